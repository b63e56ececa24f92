//! `cerium bench edit`: edits with drafts of each kind beside edits without, in turn, by an engine that
//! remembers nothing from one to the next.

mod cases;
mod replay;
mod sites;

use crate::backend::Counted;
use crate::cli::{BenchEdit, EditView};
use crate::commands::Exit;
use crate::config::Settings;
use crate::local::LocalBackend;
use crate::model;
use crate::output::progress::Spinner;
use crate::output::{self, BOLD, DIM, Output};
use anyhow::Result;
use cases::Case;
use cerium_engine::DraftedSteps;
use cerium_harness::edit::{EditRequest, plan_text, run_edit};
use cerium_harness::files::SourceFile;
use cerium_harness::{Backend, OnText};
use cerium_protocol::{
    CompletionRequest, CreateResponse, DraftSource, ErrorBody, ModelInfo, Response, Usage,
};
use replay::Written;
use serde::Serialize;
use std::fmt::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;

/// What is drafted from, and what that is called.
pub(super) type Source = (&'static str, &'static [DraftSource]);

const NONE: Source = ("none", &[]);

/// What is done unless told otherwise.
const ALL: Source = ("all", &[DraftSource::Changes, DraftSource::Repeats]);

/// A text drafted from itself: how fast what is entirely predicted can be verified.
const ITSELF: Source = ("itself", &[DraftSource::Prediction]);

pub(super) const SOURCES: [Source; 6] = [
    NONE,
    ("copy", &[DraftSource::Prediction]),
    ("changes", &[DraftSource::Changes]),
    ("repeats", &[DraftSource::Repeats]),
    ("copy, repeats", &[DraftSource::Prediction, DraftSource::Repeats]),
    ALL,
];

/// What one setting came to in one view of one set.
#[derive(Clone, Debug, Serialize)]
struct Row {
    set: String,
    view: &'static str,
    drafted_from: &'static str,
    edits: usize,
    /// Of these, edits whose output is that without drafts.
    same: usize,
    #[serde(flatten)]
    usage: Usage,
    decode_s: f64,
    /// Steps that checked a draft, those not counted that also computed of the prompt.
    drafted_steps: usize,
    /// Tokens of their drafts that were right.
    drafted_steps_accepted: usize,
    drafted_steps_s: f64,
}

impl Row {
    /// Tokens a second, from the first one on.
    fn rate(&self) -> f64 {
        self.usage.output_tokens as f64 / self.decode_s.max(1e-9)
    }

    /// Right tokens of drafts a second, of the time that steps took in which a draft was checked.
    fn verified(&self) -> f64 {
        self.drafted_steps_accepted as f64 / self.drafted_steps_s.max(1e-9)
    }
}

pub(super) fn run(output: Output, settings: &Settings, args: &BenchEdit) -> Result<Exit> {
    let loaded = model::open_forgetful(output, settings)?;
    let backend = Counted::new(LocalBackend::new(loaded.service())?);
    let mut rows = Vec::new();
    for set in &args.set {
        let cases = cases::read(&args.cases.join(set).with_extension("jsonl"), args.every)?;
        for view in &args.view {
            let mut these = start(set, *view);
            let jobs: Vec<Job> = match view {
                EditView::EndToEnd => cases.iter().map(Job::Edit).collect(),
                EditView::Replay => {
                    cases.iter().filter_map(cases::window).map(Job::Replay).collect()
                }
                EditView::Sites => cases.iter().flat_map(sites::changes).map(Job::Replay).collect(),
                EditView::Unlike => cases::unlike(&cases).map(Job::Replay).collect(),
                EditView::Disorder => {
                    cases.iter().filter_map(cases::disorder).map(Job::Replay).collect()
                }
            };
            for (i, job) in jobs.iter().enumerate() {
                let text = format!("{set}, {}, {} of {}", these[0].view, i + 1, jobs.len());
                let _spinner = Spinner::start(output, text);
                let mut first = None;
                for (row, source) in these.iter_mut().zip(all_sources()) {
                    if !is_of_interest(*view, source) {
                        continue;
                    }
                    let Written { text, usage, drafted, decode_ms } = match job {
                        Job::Edit(case) => edit(&backend, case, source.1),
                        Job::Replay(change) if source == ITSELF => {
                            replay::replay(&loaded, &change.new, &change.new, source.1)?
                        }
                        Job::Replay(change) => {
                            replay::replay(&loaded, &change.old, &change.new, source.1)?
                        }
                    };
                    row.edits += 1;
                    row.same += usize::from(*first.get_or_insert_with(|| text.clone()) == text);
                    row.usage += usage;
                    row.decode_s += decode_ms / 1e3;
                    row.drafted_steps += drafted.n_steps;
                    row.drafted_steps_accepted += drafted.n_accepted;
                    row.drafted_steps_s += drafted.time.as_secs_f64();
                }
            }
            these.retain(|row| row.edits > 0);
            rows.extend(these);
        }
    }
    if output.json {
        output::object(&serde_json::json!({ "model": loaded.name, "rows": rows }))?;
    } else {
        output::data(&text(&loaded.name, &rows))?;
    }
    Ok(Exit::Done)
}

/// What is written with each setting.
enum Job<'a> {
    Edit(&'a Case),
    Replay(cases::Change),
}

/// What is drafted from, in the order of the rows.
fn all_sources() -> impl Iterator<Item = Source> {
    SOURCES.into_iter().chain([ITSELF])
}

/// Whether a view says something with drafts from there.
fn is_of_interest(view: EditView, source: Source) -> bool {
    match view {
        EditView::EndToEnd => source != ITSELF,
        // What is forced is known without drafts, and slow.
        EditView::Replay | EditView::Sites => source != NONE,
        EditView::Unlike | EditView::Disorder => [NONE, ALL].contains(&source),
    }
}

fn start(set: &str, view: EditView) -> Vec<Row> {
    let view = match view {
        EditView::EndToEnd => "end-to-end",
        EditView::Replay => "replay",
        EditView::Sites => "sites",
        EditView::Unlike => "unlike",
        EditView::Disorder => "disorder",
    };
    let row = |(drafted_from, _)| Row {
        set: set.to_owned(),
        view,
        drafted_from,
        edits: 0,
        same: 0,
        usage: Usage::default(),
        decode_s: 0.0,
        drafted_steps: 0,
        drafted_steps_accepted: 0,
        drafted_steps_s: 0.0,
    };
    all_sources().map(row).collect()
}

/// The model's own edit of a case: the file after it, or why there is none.
fn edit(backend: &Counted, case: &Case, drafts: &[DraftSource]) -> Written {
    let backend = Drafting { backend, drafts };
    let file = SourceFile::from_text(PathBuf::new(), case.path.clone(), case.before.clone(), false);
    let request = EditRequest::new(&case.path, &case.instruction);
    let made = plan_text(file, request)
        .and_then(|prepared| run_edit(&backend, &prepared, &mut |_| ControlFlow::Continue(())));
    let text = made.map_or_else(|error| error.to_string(), |proposal| proposal.after);
    let stats = backend.backend.take_stats();
    let (usage, decode_ms) = (stats.usage, stats.timings.decode_ms);
    // The wire does not tell steps apart.
    Written { text, usage, drafted: DraftedSteps::default(), decode_ms }
}

/// A backend whose answers are drafted from some sources only.
struct Drafting<'a> {
    backend: &'a Counted,
    drafts: &'a [DraftSource],
}

impl Backend for Drafting<'_> {
    fn respond(
        &self,
        request: &CreateResponse,
        on_text: &mut OnText<'_>,
    ) -> Result<Response, ErrorBody> {
        let mut request = request.clone();
        request.cerium.drafts = Some(self.drafts.to_vec());
        self.backend.respond(&request, on_text)
    }

    fn complete(
        &self,
        request: &CompletionRequest,
        on_text: &mut OnText<'_>,
    ) -> Result<Response, ErrorBody> {
        self.backend.complete(request, on_text)
    }

    fn model(&self) -> ModelInfo {
        self.backend.model()
    }

    fn count_tokens(&self, text: &str) -> usize {
        self.backend.count_tokens(text)
    }
}

fn text(model: &str, rows: &[Row]) -> String {
    let mut text = format!("{BOLD}{model}{BOLD:#}\n");
    for row in rows {
        let Row { set, view, drafted_from, edits, same, usage, decode_s, .. } = row;
        let Usage { output_tokens, output_steps, drafted_tokens, accepted_tokens, .. } = usage;
        let (rate, steps) = (row.rate(), *output_steps as f64 / *output_tokens as f64);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{DIM}{set} {view:<10}{DIM:#} {drafted_from:<13} {edits:>3} edits, {same:>3} the same  \
             {output_tokens:>6} tokens in {output_steps:>6} steps ({steps:.3} a token)  \
             {accepted_tokens:>6} of {drafted_tokens:>6} drafted  {decode_s:>7.1} s  \
             {BOLD}{rate:>6.0} tok/s{BOLD:#}"
        );
        if row.drafted_steps == 0 {
            continue;
        }
        let Row { drafted_steps, drafted_steps_accepted, drafted_steps_s, .. } = row;
        let _ = write!(
            text,
            "  {drafted_steps} steps with a draft: {drafted_steps_accepted} tokens of theirs in \
             {drafted_steps_s:.2} s, {:.0} tok/s",
            row.verified()
        );
        // What can be verified, in this run.
        let itself = rows
            .iter()
            .find(|other| (&other.set, other.view, other.drafted_from) == (set, *view, ITSELF.0));
        let _ = match itself {
            Some(itself) => writeln!(
                text,
                "; of what is drafted from itself: {:.2}, and {:.2} of all tokens over all time",
                row.verified() / itself.verified(),
                rate / itself.rate()
            ),
            None => writeln!(text),
        };
    }
    text
}

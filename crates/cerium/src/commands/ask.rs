//! `cerium ask`: an answer that streams, and the places that bear it out.

use super::{Context, Exit, Tree};
use crate::cli::Ask;
use crate::failure::advice;
use crate::interrupt;
use crate::output::progress::Spinner;
use crate::output::{self, CYAN, DIM, Output};
use crate::redirect::Keys;
use crate::stats::Stats;
use anyhow::{Context as _, Result};
use cerium_harness::Backend as _;
use cerium_harness::ask::{Answer, AskEvent, AskTask, Citation, Kept, TalkStore, ask, warming};
use cerium_harness::context::Excerpt;
use cerium_harness::journal::tail;
use cerium_harness::lines::LineSpan;
use cerium_protocol::Status;
use serde::Serialize;
use std::ops::ControlFlow;

/// Bytes of what happened in the tree that are shown with a question.
const HISTORY_BYTES_MAX: usize = 2_000;

/// The `--json` object.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    stats: Stats,
    tier: &'static str,
    answer: &'a str,
    status: Status,
    citations: &'a [Citation],
    unfounded: &'a [String],
    excerpts: Vec<Place<'a>>,
    search_ms: f64,
}

#[derive(Serialize)]
struct Place<'a> {
    path: &'a str,
    #[serde(flatten)]
    lines: LineSpan,
}

pub(crate) fn run(context: &Context, args: Ask) -> Result<Exit> {
    let tree = Tree::here()?;
    let store = TalkStore::of(&tree.state, &tree.workspace);
    let kept = if args.go_on { Some(store.load().ok_or_else(nothing_said)?) } else { None };
    let backend = context.asked(&tree, &args.delegate)?;
    let before = kept.map(|kept| kept.current(&backend));
    let tier = args.delegate.tier();
    let (question, within) = (args.text, args.paths);
    let history =
        if args.log { tail(&tree.journal().deeds()?, HISTORY_BYTES_MAX) } else { String::new() };
    let mut task = AskTask { question, within, before, history, ..AskTask::default() };
    let _deferred = interrupt::defer();
    let answer = loop {
        let mut stream = Stream::new(context.output);
        let answer = ask(&backend, &tree.workspace, &task, &mut |event| stream.event(&event));
        let Some(more) = stream.finish()? else { break answer? };
        if answer.is_ok() {
            output::data("\n\n")?;
        }
        task.redirect(answer, &more)?;
    };
    if interrupt::requested() || answer.response.status == Status::Cancelled && !answer.looped {
        return Ok(Exit::Interrupted);
    }
    if context.output.json {
        output::object(&Report {
            stats: Stats::of(&answer.response),
            tier,
            answer: &answer.text,
            status: answer.response.status,
            citations: &answer.citations,
            unfounded: &answer.unfounded,
            excerpts: answer.excerpts.iter().map(place).collect(),
            search_ms: answer.search.as_secs_f64() * 1e3,
        })?;
    } else {
        finish(context.output, &answer)?;
    }
    let fresh = answer.talk.fresh(&backend);
    if let Some(fresh) = &fresh {
        // Behind the answer: whoever goes on, goes on from it once it has been read.
        backend.warm(&[warming(&backend.model().name, fresh)]);
    }
    if let Err(error) = store.save(&Kept { talk: answer.talk, fresh }) {
        context.output.note(format!("what was said cannot be kept for --continue: {error}"));
    }
    Ok(Exit::Done)
}

fn nothing_said() -> anyhow::Error {
    advice(
        "there is no question in this tree to go on from",
        "`cerium ask TEXT` asks the first one",
    )
}

fn place(excerpt: &Excerpt) -> Place<'_> {
    Place { path: &excerpt.path, lines: excerpt.lines }
}

/// What is shown while the answer comes.
struct Stream {
    output: Output,
    spinner: Option<Spinner>,
    /// Why standard output no longer takes anything.
    broken: Option<anyhow::Error>,
    /// Heard where the answer is seen.
    keys: Option<Keys>,
}

impl Stream {
    fn new(output: Output) -> Self {
        let spinner = Some(Spinner::start(output, "searching".into()));
        let keys = (output::is_shown() && !output.json).then(|| Keys::listen(output));
        Self { output, spinner, broken: None, keys }
    }

    fn event(&mut self, event: &AskEvent<'_>) -> ControlFlow<()> {
        match event {
            AskEvent::Reading(excerpts) => {
                let n_lines: usize = excerpts.iter().map(|e| e.lines.end + 1 - e.lines.start).sum();
                let what = match n_lines {
                    0 => "reading".to_owned(),
                    _ => format!("reading {n_lines} lines in {} places", excerpts.len()),
                };
                self.spinner = Some(Spinner::start(self.output, what));
            }
            AskEvent::Text(text) => {
                self.spinner = None;
                if !self.output.json
                    && let Err(error) = output::data(text)
                {
                    self.broken = Some(error);
                    return ControlFlow::Break(());
                }
            }
        }
        let clear = || {
            self.spinner = None;
            output::ask("\n");
        };
        self.keys.as_mut().map_or_else(interrupt::going_on, |keys| keys.going_on(clear))
    }

    /// The end of it: what the person wants instead, if that is why.
    fn finish(self) -> Result<Option<String>> {
        let redirect = self.keys.and_then(|mut keys| keys.take_redirect());
        self.broken.map_or(Ok(redirect), Err).context("streaming the answer")
    }
}

/// The places after the answer, on standard output, and remarks for people.
fn finish(output: Output, answer: &Answer) -> Result<()> {
    let mut text = String::from(if answer.text.ends_with('\n') { "" } else { "\n" });
    if !answer.citations.is_empty() {
        text.push('\n');
    }
    for Citation { path, lines, quote, .. } in &answer.citations {
        let quote = quote.trim();
        text = format!("{text}{CYAN}{path}:{}{CYAN:#}  {DIM}{quote}{DIM:#}\n", lines.start);
    }
    output::data(&text)?;
    if answer.response.status == Status::Incomplete {
        output.note("the answer was cut: it reached the limit of its length");
    }
    if answer.looped {
        output.note("the answer was stopped: the model began to repeat itself");
    }
    if let Some(line) = Stats::of(&answer.response).line() {
        output.note(line);
    }
    Ok(())
}

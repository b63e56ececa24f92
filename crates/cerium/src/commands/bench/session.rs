//! `cerium bench session`: many edits in a row over a real tree, as a person makes them, mostly where the
//! last one was; what each of them reads anew, how long it takes, and whether memory stays flat. The
//! model's own edits are taken up, in memory: no file is touched.

use super::quantile;
use crate::backend::Counted;
use crate::cli::BenchSession;
use crate::commands::Exit;
use crate::config::Settings;
use crate::local::LocalBackend;
use crate::model;
use crate::output::progress::Spinner;
use crate::output::{self, Output};
use anyhow::{Context as _, Result, ensure};
use cerium_harness::Backend;
use cerium_harness::edit::{EditRequest, Strategy, plan_text, run_edit, warm};
use cerium_harness::files::SourceFile;
use cerium_harness::lines::LineSpan;
use cerium_harness::syntax::{self, Decl, Language};
use cerium_harness::workspace::{WalkLimits, Workspace};
use cerium_model::memory::resident;
use cerium_protocol::{PartRead, Why};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// Files of other sizes, in bytes, are left alone.
const FILE_BYTES: std::ops::Range<usize> = 100..40_000;

/// Functions of more lines are left alone.
const LINES_MAX: usize = 60;

/// What is asked of a function, by its name.
const INSTRUCTIONS: [&str; 8] = [
    "add a comment to NAME that says what it does",
    "give the first variable of NAME a longer name",
    "add a check at the beginning of NAME that returns early when there is nothing to do",
    "make the messages in NAME more helpful",
    "take the last constant in NAME out into a variable with a name",
    "remove the comments in NAME",
    "add a log line at the end of NAME",
    "simplify the first condition in NAME",
];

/// What one edit took.
#[derive(Clone, Debug, Serialize)]
struct Turn {
    /// Whether the model gave a usable edit.
    applied: bool,
    prompt_tokens: u64,
    /// Tokens of the prompt that were computed.
    uncached_tokens: u64,
    ttft_ms: f64,
    /// From the instruction to the new text.
    total_ms: f64,
    /// Memory of the process after it.
    resident_bytes: u64,
    path: String,
    function: String,
    instruction: String,
    /// What of each request's prompt was known.
    why: Vec<Why>,
}

pub(super) fn run(output: Output, settings: &Settings, args: &BenchSession) -> Result<Exit> {
    let loaded = model::open_remembering(output, settings)?;
    let backend = Counted::new(LocalBackend::new(loaded.service())?);
    let typing = Duration::from_millis(args.typing);
    let mut person = Person::new(&args.tree, typing)?;
    let mut turns = Vec::new();
    for i in 0..args.edits {
        let _spinner = Spinner::start(output, format!("edit {} of {}", i + 1, args.edits));
        turns.push(person.edit(&backend)?);
    }
    if output.json {
        output::object(&serde_json::json!({ "model": backend.model().name, "turns": turns }))?;
    } else {
        output::data(&text(&turns))?;
    }
    Ok(Exit::Done)
}

/// Somebody who goes through the functions of a tree. What they do is the same every time.
struct Person {
    texts: BTreeMap<String, String>,
    /// File and function of the last edit.
    at: Option<(String, String)>,
    random: u64,
    /// How long an instruction takes to type.
    typing: Duration,
}

impl Person {
    fn new(tree: &Path, typing: Duration) -> Result<Self> {
        let workspace = Workspace::discover(tree)?;
        let listing = workspace.list(&[], &WalkLimits::default());
        let mut texts = BTreeMap::new();
        for path in listing.files {
            let Ok(file) = workspace.read_text(&path, FILE_BYTES.end as u64) else { continue };
            if FILE_BYTES.contains(&file.text.len()) && !functions(&path, &file.text).is_empty() {
                texts.insert(path, file.text);
            }
        }
        ensure!(!texts.is_empty(), "no functions to edit in `{}`", tree.display());
        Ok(Self { texts, at: None, random: 0x9e37_79b9_7f4a_7c15, typing })
    }

    /// Where the next edit is: in three of five cases where the last one was, else mostly in the same file.
    fn place(&mut self) -> Result<(String, Decl)> {
        loop {
            let (stays, stays_in_file) = (self.below(5) < 3, self.below(3) < 2);
            let last = self.at.take().filter(|_| stays || stays_in_file);
            let (path, last) = if let Some((path, name)) = last {
                (path, Some(name).filter(|_| stays))
            } else {
                let i = self.below(self.texts.len().max(1));
                let path = self.texts.keys().nth(i).cloned();
                (path.context("no functions are left to edit")?, None)
            };
            let mut decls = functions(&path, &self.texts[&path]);
            if decls.is_empty() {
                // All that was in it is gone.
                self.texts.remove(&path);
                continue;
            }
            let stayed = last.and_then(|name| decls.iter().position(|decl| decl.name == name));
            let i = stayed.unwrap_or_else(|| self.below(decls.len()));
            return Ok((path, decls.swap_remove(i)));
        }
    }

    fn edit(&mut self, backend: &Counted) -> Result<Turn> {
        let (path, Decl { name, def_line, .. }) = self.place()?;
        let instruction = INSTRUCTIONS[self.below(INSTRUCTIONS.len())].replace("NAME", &name);
        let before = self.texts[&path].clone();
        let file = SourceFile::from_text(PathBuf::new(), path.clone(), before, false);
        if self.typing > Duration::ZERO {
            warm(backend, &file, LineSpan::line(def_line), &Strategy::default());
            thread::sleep(self.typing);
        }
        let request = EditRequest {
            symbol: Some(name.clone()),
            direct: false,
            ..EditRequest::new(&path, instruction.clone())
        };
        let start = Instant::now();
        let made = plan_text(file, request)
            .and_then(|prepared| run_edit(backend, &prepared, &mut |_| ControlFlow::Continue(())));
        let total_ms = start.elapsed().as_secs_f64() * 1e3;
        let stats = backend.take_stats();
        let applied = made.is_ok();
        if let Ok(proposal) = made {
            self.texts.insert(path.clone(), proposal.after);
        }
        self.at = Some((path.clone(), name.clone()));
        let usage = stats.usage;
        Ok(Turn {
            applied,
            prompt_tokens: usage.prompt_tokens,
            uncached_tokens: usage.prompt_tokens - usage.cached_tokens,
            ttft_ms: stats.timings.ttft_ms,
            total_ms,
            resident_bytes: resident().n_bytes,
            path,
            function: name,
            instruction,
            why: stats.why,
        })
    }

    /// A number below `n`, from the generator of Vigna's `splitmix64`.
    fn below(&mut self, n: usize) -> usize {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}

/// The functions of a text that are not too long and whose names no other one has.
fn functions(path: &str, text: &str) -> Vec<Decl> {
    let parsed = Language::of(Path::new(path)).and_then(|language| syntax::parse(language, text));
    let decls = parsed.map(|parsed| parsed.declarations()).unwrap_or_default();
    let is_alone = |decl: &&Decl| decls.iter().filter(|other| other.name == decl.name).count() == 1;
    let fits = |decl: &&Decl| decl.kind.is_callable() && decl.lines.count() <= LINES_MAX;
    decls.iter().filter(fits).filter(is_alone).cloned().collect()
}

fn text(turns: &[Turn]) -> String {
    let row = |what: &str, value: &dyn Fn(&Turn) -> f64| {
        let mut values: Vec<f64> = turns.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        let at = |share| quantile(&values, share);
        format!("{what:<18} median {:>8.0}  p95 {:>8.0}\n", at(0.5), at(0.95))
    };
    let mb = |turn: Option<&Turn>| turn.map_or(0, |turn| turn.resident_bytes >> 20);
    let applied = turns.iter().filter(|turn| turn.applied).count();
    let again = turns.iter().filter(|turn| turn.why.len() > 1).count();
    let quick = turns.iter().filter(|turn| turn.total_ms < 1000.0).count();
    [
        format!(
            "{} edits, {applied} usable, {again} asked for again, {quick} within a second\n",
            turns.len()
        ),
        row("prompt tokens", &|turn| turn.prompt_tokens as f64),
        row("of these computed", &|turn| turn.uncached_tokens as f64),
        row("in first requests", &|turn| turn.why.first().map_or(0, computed) as f64),
        row("first token, ms", &|turn| turn.ttft_ms),
        row("all of it, ms", &|turn| turn.total_ms),
        format!(
            "memory, MiB         {} after {} edits, {} after all\n",
            mb(turns.get(turns.len() / 4)),
            turns.len() / 4 + 1,
            mb(turns.last()),
        ),
    ]
    .concat()
        + &by_part(turns)
}

/// Tokens of a prompt that were computed.
fn computed(why: &Why) -> u64 {
    why.parts.iter().map(|part| part.tokens - part.known_tokens).sum()
}

/// What was computed, by what it is, in tokens an edit.
fn by_part(turns: &[Turn]) -> String {
    let mut parts: Vec<(&str, u64)> = Vec::new();
    for PartRead { name, tokens, known_tokens } in
        turns.iter().flat_map(|turn| &turn.why).flat_map(|why| &why.parts)
    {
        match parts.iter_mut().find(|(other, _)| other == name) {
            Some((_, n)) => *n += tokens - known_tokens,
            None => parts.push((name, tokens - known_tokens)),
        }
    }
    let line = |(name, n): (&str, u64)| {
        format!("  {name:<24} {:>6.1} tokens computed an edit\n", n as f64 / turns.len() as f64)
    };
    parts.into_iter().map(line).collect()
}

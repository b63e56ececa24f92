//! What somebody who types waits for: suggestions of the language server, at so many keys a second, in a long file.
//!
//! Lines of the file are taken out and typed again, key by key, as an editor would tell of it: a change, and a request for
//! what may come. The next key does not wait for the answer, and makes it pointless; after the last key of a line the
//! person looks what comes. Every answer is held against the text as it was when it was asked for.

mod editor;

use crate::project;
use crate::run::{Reporting, Run};
use crate::table::{Table, percentile};
use anyhow::{Context, Result, ensure};
use editor::Editor;
use serde::Serialize;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

/// Shorter lines are not typed: little of them can be suggested.
const LINE_CHARS_MIN: usize = 20;

/// Options of `cargo xtask bench typing`.
#[derive(clap::Args)]
pub(crate) struct Typing {
    /// File that is typed in
    #[arg(long, value_name = "FILE", default_value = "crates/cerium/src/cli.rs")]
    file: PathBuf,
    /// Lines of it
    #[arg(long, value_name = "N", default_value_t = 600, value_parser = clap::value_parser!(u32).range(10..))]
    lines: u32,
    /// How many of them are typed again
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    typed: u32,
    /// Keys a second
    #[arg(long, value_name = "N", default_value_t = 5.0)]
    keys: f64,
    /// Model, by name or path
    #[arg(long, value_name = "NAME|PATH", default_value = "qwen2.5-coder-0.5b")]
    model: String,
    /// The cerium to measure [default: this checkout's, built in release mode]
    #[arg(long, value_name = "PATH")]
    cerium: Option<PathBuf>,
    #[command(flatten)]
    reporting: Reporting,
}

/// A key, and what came of it.
#[derive(Debug, Serialize)]
struct Key {
    line: usize,
    column: usize,
    /// Whether the person waited for the answer.
    awaited: bool,
    /// Until the answer was there; absent when the next key made it pointless.
    latency_ms: Option<f64>,
    /// Whether something was suggested.
    suggested: bool,
    /// Whether what was suggested is what the line goes on with.
    right: bool,
}

#[derive(Debug, Serialize)]
struct Typed {
    model: String,
    file: PathBuf,
    lines: u32,
    keys_per_second: f64,
    keys: Vec<Key>,
    /// Suggestions that came when the text had gone on: an editor drops them.
    late: usize,
}

impl Typing {
    pub(crate) fn run(&self) -> Result<()> {
        ensure!(self.keys > 0.0 && self.keys <= 100.0, "wanted between 0 and 100 keys a second");
        let cerium = match &self.cerium {
            Some(path) => path.canonicalize().with_context(|| format!("{}", path.display()))?,
            None => project::build("cerium")?,
        };
        let path = project::root().join(&self.file);
        let text = fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
        let text: String = text.split_inclusive('\n').take(self.lines as usize).collect();
        let lines: Vec<&str> = text.lines().collect();
        let long: Vec<usize> = (0..lines.len())
            .filter(|&line| lines[line].trim().chars().count() >= LINE_CHARS_MIN)
            .filter(|&line| lines[line].is_ascii())
            .collect();
        let typed = (self.typed as usize).min(long.len());
        ensure!(typed > 0, "no line of {} is long enough", self.file.display());
        let mut editor = Editor::start(&cerium, &self.model)?;
        let mut keys = Vec::new();
        let mut late = 0;
        for n in 0..typed {
            let line = long[n * long.len() / typed];
            late += self.retype(&mut editor, &lines, line, &mut keys)?;
        }
        let threads = thread::available_parallelism()?.get();
        let (model, file) = (self.model.clone(), self.file.clone());
        let typed =
            Typed { model, file, lines: self.lines, keys_per_second: self.keys, keys, late };
        let (table, csv) = (table(&typed), csv(&typed));
        Run::new("typing", threads, typed).report(&table, &csv, self.reporting)
    }

    /// Types one line again, in the file as it is; how many suggestions came too late.
    fn retype(
        &self,
        editor: &mut Editor,
        lines: &[&str],
        line: usize,
        keys: &mut Vec<Key>,
    ) -> Result<usize> {
        let whole = lines[line];
        let indent = whole.len() - whole.trim_start().len();
        let mut without: Vec<&str> = lines.to_vec();
        without[line] = &whole[..indent];
        editor.open(&(without.join("\n") + "\n"))?;
        // The person looks at the place before typing.
        editor.suggest(line, indent)?;
        editor.told()?;
        let begun = Instant::now();
        for (n, column) in (indent..whole.len()).enumerate() {
            let due = begun + Duration::from_secs_f64(n as f64 / self.keys);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            editor.press(line, column, &whole[column..=column])?;
            editor.suggest(line, column + 1)?;
        }
        let told = editor.told()?;
        let late = told.iter().filter(|told| told.late).count();
        for (told, column) in told.into_iter().zip(indent + 1..) {
            let rest = &whole[column..];
            keys.push(Key {
                line: line + 1,
                column: column + 1,
                awaited: rest.is_empty(),
                latency_ms: told.latency.map(|latency| latency.as_secs_f64() * 1e3),
                suggested: !told.text.is_empty(),
                right: !rest.is_empty() && told.text.starts_with(rest),
            });
        }
        Ok(late)
    }
}

fn table(typed: &Typed) -> String {
    let head = ["keys", "all", "answered before the next", "p50", "p95", "suggested", "right"];
    let mut table = Table::new(head);
    for (name, awaited) in [("while typing", false), ("at the end of a line", true)] {
        let keys: Vec<&Key> = typed.keys.iter().filter(|key| key.awaited == awaited).collect();
        let latencies: Vec<f64> = keys.iter().filter_map(|key| key.latency_ms).collect();
        table.row([
            name.to_owned(),
            keys.len().to_string(),
            latencies.len().to_string(),
            format!("{:.0} ms", percentile(&latencies, 0.5)),
            format!("{:.0} ms", percentile(&latencies, 0.95)),
            keys.iter().filter(|key| key.suggested).count().to_string(),
            keys.iter().filter(|key| key.right).count().to_string(),
        ]);
    }
    format!("{table}\n{} answers for a text that was gone\n", typed.late)
}

fn csv(typed: &Typed) -> String {
    let mut csv = "line,column,awaited,latency_ms,suggested,right\n".to_owned();
    for Key { line, column, awaited, latency_ms, suggested, right } in &typed.keys {
        let latency = latency_ms.map_or(String::new(), |ms| format!("{ms:.1}"));
        // Writing to a string cannot fail.
        let _ = writeln!(csv, "{line},{column},{awaited},{latency},{suggested},{right}");
    }
    csv
}

//! Do the places exist that an answer speaks of? And what does the text look like once those that
//! do not are taken out of it?

use super::mention::{Mention, compact};
use crate::context::Excerpt;
use crate::lines::LineSpan;
use crate::search::FileKind;
use crate::workspace::{Workspace, sole_match};
use std::collections::HashMap;
use std::path::Path;

/// Files kept open for looking up lines.
const N_FILES_MAX: usize = 64;
/// Larger files are not looked into.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Text without white space is held back up to this length, in bytes.
const HELD_BYTES_MAX: usize = 512;

/// What is known of the tree while an answer is checked.
#[derive(Debug)]
pub(super) struct Places<'a> {
    workspace: &'a Workspace,
    excerpts: &'a [Excerpt],
    files: &'a [String],
    lines: HashMap<String, Option<Vec<String>>>,
}

/// A mention held against the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The lines exist, in the file with this path.
    Exists { path: String, lines: LineSpan },
    /// The file exists, the line does not.
    NoSuchLine { path: String },
    /// There is no such file.
    NoSuchFile,
}

impl<'a> Places<'a> {
    /// * `files`: the paths that a walk listed, relative to the root
    pub(super) fn new(
        workspace: &'a Workspace,
        excerpts: &'a [Excerpt],
        files: &'a [String],
    ) -> Self {
        Self { workspace, excerpts, files, lines: HashMap::new() }
    }

    /// Looks a mention up.
    pub(super) fn check(&mut self, mention: &Mention) -> Verdict {
        let Some(path) = self.resolve(&mention.path) else { return Verdict::NoSuchFile };
        let LineSpan { start, end } = mention.lines;
        if self.line(&path, start).is_none() {
            return Verdict::NoSuchLine { path };
        }
        let end = if self.line(&path, end).is_some() { end } else { start };
        Verdict::Exists { path, lines: LineSpan { start, end } }
    }

    /// A line of a file, without its ending.
    pub(super) fn line(&mut self, path: &str, line: usize) -> Option<&str> {
        if !self.lines.contains_key(path) && self.lines.len() < N_FILES_MAX {
            let read = self.workspace.read_text(path, FILE_BYTES_MAX).ok();
            let lines = read.map(|read| read.text.lines().map(str::to_owned).collect());
            self.lines.insert(path.to_owned(), lines);
        }
        let lines = self.lines.get(path)?.as_ref()?;
        lines.get(line.checked_sub(1)?).map(String::as_str)
    }

    /// The file that a path in an answer means: written whole, or by its last parts when that
    /// leaves no doubt. Excerpts go before the rest of the tree. Hidden files are never meant.
    fn resolve(&self, written: &str) -> Option<String> {
        let written = written.strip_prefix("./").unwrap_or(written);
        if written.split('/').any(|part| part.is_empty() || part.starts_with('.')) {
            return None;
        }
        let mut shown: Vec<String> = self.excerpts.iter().map(|e| e.path.clone()).collect();
        shown.sort_unstable();
        shown.dedup();
        let in_full = |written| self.workspace.resolve_in_tree(written).ok();
        sole_match(&shown, written)
            .or_else(|| sole_match(self.files, written))
            .or_else(|| in_full(written).filter(|path| path == written))
    }
}

/// Lets an answer through as it is written, holding back a word until it is whole, and takes out
/// of it the line numbers that do not exist.
#[derive(Debug, Default)]
pub(super) struct Filter {
    held: String,
    /// Places mentioned that exist, in order.
    pub found: Vec<(String, LineSpan)>,
    /// Mentions taken out, as they were written.
    pub unfounded: Vec<String>,
}

impl Filter {
    /// Takes more text; returns what may be shown.
    pub(super) fn push(&mut self, places: &mut Places<'_>, text: &str) -> String {
        self.held.push_str(text);
        let end = match self.held.rfind(char::is_whitespace) {
            Some(at) => at,
            None if self.held.len() > HELD_BYTES_MAX => self.held.len(),
            None => return String::new(),
        };
        let rest = self.held.split_off(end);
        let ready = std::mem::replace(&mut self.held, rest);
        self.rewrite(places, &ready)
    }

    /// Returns what is left at the end.
    pub(super) fn finish(&mut self, places: &mut Places<'_>) -> String {
        let rest = std::mem::take(&mut self.held);
        self.rewrite(places, &rest)
    }

    fn rewrite(&mut self, places: &mut Places<'_>, text: &str) -> String {
        let mut written = String::with_capacity(text.len());
        let mut at = 0;
        for mention in compact(text) {
            let as_written = &text[mention.bytes.clone()];
            let replacement = match places.check(&mention) {
                Verdict::Exists { path, lines } => {
                    let place = place(&path, lines);
                    self.found.push((path, lines));
                    place
                }
                Verdict::NoSuchLine { path } => {
                    self.unfounded.push(as_written.to_owned());
                    path
                }
                Verdict::NoSuchFile if names_a_file(&mention.path) => {
                    self.unfounded.push(as_written.to_owned());
                    mention.path.clone()
                }
                Verdict::NoSuchFile => continue, // `localhost.lan:8080` is nobody's citation.
            };
            written.push_str(&text[at..mention.bytes.start]);
            written.push_str(&replacement);
            at = mention.bytes.end;
        }
        written.push_str(&text[at..]);
        written
    }
}

/// `path:12` or `path:12-20`.
pub(super) fn place(path: &str, lines: LineSpan) -> String {
    match lines.count() {
        1 => format!("{path}:{}", lines.start),
        _ => format!("{path}:{}-{}", lines.start, lines.end),
    }
}

/// Whether a path that does not exist was surely meant as a file, by its ending.
fn names_a_file(path: &str) -> bool {
    let known = crate::syntax::Language::of(Path::new(path)).is_some();
    known || matches!(FileKind::of(path), FileKind::Docs | FileKind::Data)
}

//! A conversation about a tree that only grows: what is said next is put behind all that was said before, word for
//! word, so that only what is new of it is read.
//!
//! What was shown of files goes stale. So a question is preceded by what changed since, as hunks of a diff,
//! and once there are any, the conversation is written anew with the files as they are, to be read while nobody
//! waits ([`Talk::fresh`]).

use crate::Backend;
use crate::context::Excerpt;
use crate::edit::diff;
use crate::lines::{LineIndex, LineSpan};
use crate::workspace::{ReadError, Workspace, WorkspaceError};
use cerium_protocol::{Item, Role};
use serde::{Deserialize, Serialize};
use similar::DiffOp;
use std::collections::BTreeMap;

/// Questions that a conversation written anew begins with.
const TURNS_KEPT: usize = 4;
/// Questions after which it is written anew even if nothing changed.
const TURNS_MAX: usize = 12;
/// Tokens of what it shows of files.
const SHOWN_TOKENS_MAX: usize = 2_500;
/// Files of which changes are told, and the bytes of each.
const FILES_MAX: usize = 32;
pub(crate) const FILE_BYTES_MAX: u64 = 256 << 10;
/// Excerpts in a conversation that somebody else kept: more than its questions can have come to.
const SHOWN_MAX: usize = 512;
/// Bytes of what is told of changes to one file, and to all.
const FILE_CHANGE_BYTES_MAX: usize = 1_600;
const CHANGE_BYTES_MAX: usize = 4_000;

/// What was said, and what was shown of the tree.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Talk {
    turns: Vec<Turn>,
    /// What was shown, in the lines where it is now.
    shown: Vec<Shown>,
    /// The files of it, as the model has heard of them.
    files: BTreeMap<String, String>,
    /// Whether changes were told.
    has_changes: bool,
    /// What the project asks for, as the model has heard it.
    #[serde(default)]
    pub(crate) guide: String,
}

/// A question and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Turn {
    /// What was asked for, as it was put.
    asked: String,
    /// What the model was told, in full: that, and what of the tree came before it.
    told: String,
    /// What it said.
    answer: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Shown {
    path: String,
    #[serde(flatten)]
    lines: LineSpan,
}

impl Talk {
    /// Whether nothing was said yet.
    pub fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// Whether it can be gone on from, for one that was kept where others may write: what it says it showed are lines
    /// of files that it holds, and not more of them than a conversation comes to.
    pub fn is_sound(&self) -> bool {
        let files = &self.files;
        let is_small = |text: &String| text.len() as u64 <= FILE_BYTES_MAX;
        if self.shown.len() > SHOWN_MAX || files.len() > FILES_MAX || !files.values().all(is_small)
        {
            return false;
        }
        let whole = |(path, text): (&String, &String)| (path.clone(), LineIndex::new(text).all());
        let whole: BTreeMap<String, LineSpan> = files.iter().map(whole).collect();
        self.shown.iter().all(|Shown { path, lines }| {
            lines.start <= lines.end && whole.get(path).is_some_and(|all| all.contains(*lines))
        })
    }

    /// Whether nothing was said, or so much that it is better to begin anew.
    pub(crate) fn is_long(&self) -> bool {
        self.turns.is_empty() || self.turns.len() >= TURNS_MAX
    }

    /// Everything that was said, as items of a request.
    pub(crate) fn items(&self) -> Vec<Item> {
        let both = |turn: &Turn| {
            [
                Item::message(Role::User, turn.told.as_str()),
                Item::message(Role::Assistant, turn.answer.as_str()),
            ]
        };
        self.turns.iter().flat_map(both).collect()
    }

    /// The same as one text, to see how long it is.
    pub(crate) fn text(&self) -> String {
        self.turns.iter().flat_map(|turn| [turn.told.as_str(), &turn.answer]).collect()
    }

    /// What of the tree was shown, as it is now.
    pub(crate) fn excerpts(&self) -> Vec<Excerpt> {
        self.shown.iter().filter_map(|shown| self.excerpt(shown)).collect()
    }

    fn excerpt(&self, Shown { path, lines }: &Shown) -> Option<Excerpt> {
        let text = self.files.get(path)?;
        let mut text = text[LineIndex::new(text).bytes(*lines)].to_owned();
        if !text.ends_with('\n') {
            text.push('\n');
        }
        Some(Excerpt { path: path.clone(), lines: *lines, names: Vec::new(), text })
    }

    /// Whether lines were shown already.
    pub(crate) fn shows(&self, path: &str, lines: LineSpan) -> bool {
        self.shown.iter().any(|shown| shown.path == path && shown.lines.overlaps(lines))
    }

    /// Takes notice of what changed in the files that were shown; tells it in a few words, a file each.
    pub(crate) fn notice(&mut self, workspace: &Workspace) -> Vec<(String, String)> {
        let mut told = Vec::new();
        let mut left = CHANGE_BYTES_MAX;
        for (path, old) in &mut self.files {
            let new = match workspace.read_text(path, FILE_BYTES_MAX) {
                Ok(read) => read.text,
                Err(error) if is_gone(&error) => String::new(),
                // Too large by now, say: what was shown may still be there.
                Err(_) => continue,
            };
            if new == *old {
                continue;
            }
            let spans = self.shown.iter_mut().filter(|shown| shown.path == *path);
            let mut spans: Vec<&mut LineSpan> = spans.map(|shown| &mut shown.lines).collect();
            let seen: Vec<LineSpan> = spans.iter().map(|span| **span).collect();
            let change = if new.is_empty() {
                format!("=== {path} is gone or empty now\n")
            } else {
                hunks(path, old, &new, &seen, left.min(FILE_CHANGE_BYTES_MAX))
            };
            let ops = diff::lines_between(old, &new);
            for span in &mut spans {
                // What is gone altogether is dropped below.
                **span = moved(&ops, **span).unwrap_or(LineSpan { start: 0, end: 0 });
            }
            if !change.is_empty() {
                left = left.saturating_sub(change.len());
                told.push((path.clone(), change));
            }
            *old = new;
        }
        self.shown.retain(|shown| shown.lines.start > 0);
        self.has_changes |= !told.is_empty();
        told
    }

    /// Takes notice of lines that will be shown.
    pub(crate) fn show(&mut self, workspace: &Workspace, excerpts: &[Excerpt]) {
        for Excerpt { path, lines, .. } in excerpts {
            if !self.files.contains_key(path) {
                let read = workspace.read_text(path, FILE_BYTES_MAX);
                let Some(read) = read.ok().filter(|_| self.files.len() < FILES_MAX) else {
                    continue;
                };
                self.files.insert(path.clone(), read.text);
            }
            self.shown.push(Shown { path: path.clone(), lines: *lines });
        }
    }

    /// A question was answered.
    ///
    /// * `told`: what the model was told for it
    pub(crate) fn add(&mut self, asked: String, told: String, answer: String) {
        self.turns.push(Turn { asked, told, answer });
    }

    /// The same conversation with the files as they are, and without what was said long ago, if it has gone
    /// stale or long: for going on with, once that has been read.
    pub fn fresh(&self, backend: &dyn Backend) -> Option<Self> {
        let is_stale = self.has_changes || self.turns.len() >= TURNS_MAX;
        is_stale.then(|| self.rewritten(backend))
    }

    /// As [`Talk::fresh`], stale or not.
    pub(crate) fn rewritten(&self, backend: &dyn Backend) -> Self {
        let n_tokens_max = SHOWN_TOKENS_MAX.min(backend.model().context_tokens / 4);
        let fits = |text: &str| backend.count_tokens(text) <= n_tokens_max;
        let (files, guide) = (self.files.clone(), self.guide.clone());
        let mut fresh = Self { files, guide, ..Self::default() };
        let mut told = String::new();
        // What was shown last is what the last questions were about.
        for shown in self.shown.iter().rev() {
            let Some(excerpt) = self.excerpt(shown) else { continue };
            let more = format!("{}\n{told}", excerpt.write());
            if !fresh.shows(&shown.path, shown.lines) && fits(&more) {
                told = more;
                fresh.shown.insert(0, shown.clone());
            }
        }
        fresh.files.retain(|path, _| fresh.shown.iter().any(|shown| shown.path == *path));
        for turn in &self.turns[self.turns.len().saturating_sub(TURNS_KEPT)..] {
            let told = std::mem::take(&mut told) + &turn.asked;
            fresh.add(turn.asked.clone(), told, turn.answer.clone());
        }
        fresh
    }
}

fn is_gone(error: &ReadError) -> bool {
    matches!(error, ReadError::Place(WorkspaceError::Missing { .. }))
}

/// The hunks of a file's change that touch lines which were shown, up to so many bytes.
fn hunks(path: &str, old: &str, new: &str, seen: &[LineSpan], n_bytes_max: usize) -> String {
    let diff = diff::texts(old, new);
    let mut text = String::new();
    for hunk in diff.unified_diff().context_radius(2).iter_hunks() {
        let touches = |op: &DiffOp| {
            let lines = op.old_range();
            let changed = LineSpan { start: lines.start + 1, end: lines.end.max(lines.start + 1) };
            !matches!(op, DiffOp::Equal { .. }) && seen.iter().any(|span| span.overlaps(changed))
        };
        if !hunk.ops().iter().any(touches) {
            continue;
        }
        let hunk = hunk.to_string();
        if text.is_empty() {
            text = format!("=== {path} has changed\n");
        }
        if text.len() + hunk.len() > n_bytes_max {
            text.push_str("(and more)\n");
            break;
        }
        text.push_str(&hunk);
    }
    text
}

/// Where lines of an old text are in the new one; `None` if they are all gone.
fn moved(ops: &[DiffOp], span: LineSpan) -> Option<LineSpan> {
    let (first, last) = (span.start - 1, span.end - 1);
    let within = ops.iter().filter_map(|op| {
        let (old, new) = (op.old_range(), op.new_range());
        match op {
            DiffOp::Equal { .. } if old.start <= last && first < old.end => {
                let from = new.start + first.saturating_sub(old.start);
                Some(LineSpan {
                    start: from + 1,
                    end: new.start + (last + 1).min(old.end) - old.start,
                })
            }
            DiffOp::Insert { .. } if first < old.start && old.start <= last => {
                Some(LineSpan { start: new.start + 1, end: new.end })
            }
            DiffOp::Replace { .. } if old.start <= last && first < old.end => {
                Some(LineSpan { start: new.start + 1, end: new.end })
            }
            _ => None,
        }
    });
    within.reduce(LineSpan::hull)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_where_they_went() {
        let old = "a\nb\nc\nd\ne\nf\n";
        let place = |new: &str, start, end| {
            moved(&diff::lines_between(old, new), LineSpan { start, end }).map(|s| (s.start, s.end))
        };
        assert_eq!(place(old, 2, 4), Some((2, 4)));
        assert_eq!(place("x\ny\na\nb\nc\nd\ne\nf\n", 2, 4), Some((4, 6)), "something came before");
        assert_eq!(place("a\nb\nx\nc\nd\ne\nf\n", 2, 4), Some((2, 5)), "something came between");
        assert_eq!(place("a\nb\nC\nC\nd\ne\nf\n", 3, 3), Some((3, 4)), "it is written otherwise");
        assert_eq!(place("a\nd\ne\nf\n", 2, 4), Some((2, 2)), "part of it is gone");
        assert_eq!(place("a\ne\nf\n", 2, 4), None);
    }

    #[test]
    fn a_conversation_from_elsewhere_shows_lines_that_are_there() {
        let is_sound = |text: &str, path: &str, start: usize, end: usize| {
            let shown = serde_json::json!({ "path": path, "start_line": start, "end_line": end });
            let talk = serde_json::json!({
                "turns": [{ "asked": "a", "told": "b", "answer": "c" }],
                "files": { "a.py": text },
                "shown": [shown],
                "has_changes": false,
            });
            serde_json::from_value::<Talk>(talk).unwrap().is_sound()
        };
        assert!(is_sound("a\nb\n", "a.py", 1, 2) && Talk::default().is_sound());
        for (path, start, end) in [("a.py", 0, 1), ("a.py", 2, 1), ("a.py", 2, 3), ("b.py", 1, 1)] {
            assert!(!is_sound("a\nb\n", path, start, end), "{path}:{start}-{end}");
        }
        assert!(!is_sound(&"a\n".repeat(200_000), "a.py", 1, 2), "large");
        let many = Talk {
            shown: vec![Shown { path: "a.py".into(), lines: LineSpan::line(1) }; SHOWN_MAX + 1],
            files: [("a.py".to_owned(), "a\n".to_owned())].into(),
            ..Talk::default()
        };
        assert!(!many.is_sound());
    }

    #[test]
    fn of_a_change_what_was_seen_is_told_and_little_of_it() {
        let lines: Vec<String> = (0..100).map(|i| format!("line {i}\n")).collect();
        let old = lines.concat();
        let new = old.replace("line 10\n", "LINE 10\n").replace("line 90\n", "LINE 90\n");
        let told = hunks("a.py", &old, &new, &[LineSpan { start: 5, end: 20 }], 1000);
        let want = "=== a.py has changed\n@@ -9,5 +9,5 @@\n line 8\n line 9\n-line 10\n+LINE 10\n line 11\n \
                    line 12\n";
        assert_eq!(told, want);
        assert_eq!(hunks("a.py", &old, &new, &[LineSpan { start: 30, end: 40 }], 1000), "");
        let all = [LineSpan { start: 1, end: 100 }];
        let cut = hunks("a.py", &old, &new, &all, 120);
        assert!(cut.ends_with("(and more)\n") && cut.len() < 140, "{cut}");
    }
}

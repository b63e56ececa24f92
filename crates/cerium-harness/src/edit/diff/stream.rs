//! A diff that is told the new text as it is written, and says what it is sure of at once.
//!
//! Every event is final: together they turn the old lines into the new ones, whatever comes next.
//! The price is that the result need not be the shortest diff; that one is made at the end.

use serde::Serialize;
use std::collections::VecDeque;

/// How far ahead a new line is looked for among the old ones.
const LOOK_AHEAD_LINES: usize = 60;

/// One line of the diff.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum LineEvent {
    /// The old line stays. 1-based line of the file.
    Keep {
        /// Line in the old text.
        line: usize,
        /// Its text.
        text: String,
    },
    /// The old line goes.
    Remove {
        /// Line in the old text.
        line: usize,
        /// Its text.
        text: String,
    },
    /// A new line comes.
    Add {
        /// Its text.
        text: String,
    },
}

/// The state of a diff between lines that are known and lines that are still coming.
#[derive(Debug)]
pub struct DiffStream {
    old: Vec<String>,
    first_line: usize,
    /// Old lines before this are settled.
    at: usize,
    partial: String,
    events: VecDeque<LineEvent>,
    n_matched_in_row: usize,
    changed: bool,
}

impl DiffStream {
    /// * `old`: the old lines, without endings
    /// * `first_line`: line of the file where they start
    pub fn new(old: Vec<String>, first_line: usize) -> Self {
        Self {
            old,
            first_line,
            at: 0,
            partial: String::new(),
            events: VecDeque::new(),
            n_matched_in_row: 0,
            changed: false,
        }
    }

    /// Takes the next piece of the new text; whole lines are compared, the rest waits.
    pub fn push(&mut self, text: &str) {
        self.partial.push_str(text);
        while let Some(end) = self.partial.find('\n') {
            let line: String = self.partial.drain(..=end).collect();
            self.line(line.trim_end_matches(['\n', '\r']));
        }
    }

    /// Events that are sure by now and were not taken yet.
    pub fn take(&mut self) -> impl Iterator<Item = LineEvent> + '_ {
        self.events.drain(..)
    }

    /// The new text ends here: the last line is compared, old lines that are left go.
    pub fn finish(&mut self) {
        if !self.partial.is_empty() {
            let line = std::mem::take(&mut self.partial);
            self.line(line.trim_end_matches('\r'));
        }
        self.remove_until(self.old.len());
    }

    /// The new text was ended early because the rest of the old one stays.
    pub fn finish_keeping_rest(&mut self) {
        self.partial.clear();
        while self.at < self.old.len() {
            self.keep();
        }
    }

    /// How many lines in a row have matched since the last change; 0 while nothing has changed.
    pub fn n_matched_after_change(&self) -> usize {
        if self.changed { self.n_matched_in_row } else { 0 }
    }

    /// The old lines that no new line has reached yet.
    pub fn rest(&self) -> &[String] {
        &self.old[self.at..]
    }

    /// Whether no line has been told yet.
    pub(crate) fn is_untouched(&self) -> bool {
        self.at == 0 && !self.changed
    }

    fn line(&mut self, new: &str) {
        let here = self.old.get(self.at).is_some_and(|old| same(old, new));
        if here {
            self.keep();
            self.n_matched_in_row += 1;
            return;
        }
        self.changed = true;
        let window = self.old[self.at..].iter().take(LOOK_AHEAD_LINES);
        let ahead = window.clone().position(|old| same(old, new));
        match (ahead, self.old.get(self.at)) {
            // Lines such as `}` match everywhere and prove nothing beyond the next few lines.
            (Some(n), _) if n <= 2 || is_telling(new) => {
                self.remove_until(self.at + n);
                self.keep();
                self.n_matched_in_row = 1;
            }
            (_, Some(old)) if is_similar(old, new) => {
                self.remove_until(self.at + 1);
                self.events.push_back(LineEvent::Add { text: new.to_owned() });
                self.n_matched_in_row = 0;
            }
            _ => {
                self.events.push_back(LineEvent::Add { text: new.to_owned() });
                self.n_matched_in_row = 0;
            }
        }
    }

    fn keep(&mut self) {
        let (line, text) = (self.first_line + self.at, self.old[self.at].clone());
        self.events.push_back(LineEvent::Keep { line, text });
        self.at += 1;
    }

    fn remove_until(&mut self, end: usize) {
        while self.at < end {
            let (line, text) = (self.first_line + self.at, self.old[self.at].clone());
            self.events.push_back(LineEvent::Remove { line, text });
            self.at += 1;
            self.changed = true;
        }
    }
}

/// White space at the end of a line is no difference: it is put back later.
fn same(old: &str, new: &str) -> bool {
    old.trim_end() == new.trim_end()
}

/// Whether a line says enough to be recognised somewhere else.
fn is_telling(line: &str) -> bool {
    line.chars().filter(|c| c.is_alphanumeric()).count() >= 4
}

/// Whether one line looks like a changed form of the other: more than half of it is shared at its
/// beginning and end.
fn is_similar(old: &str, new: &str) -> bool {
    let (old, new) = (old.trim(), new.trim());
    let prefix = old.chars().zip(new.chars()).take_while(|(a, b)| a == b).count();
    let longest = old.chars().count().max(new.chars().count());
    let left = old.chars().count().min(new.chars().count()) - prefix;
    let suffix = old.chars().rev().zip(new.chars().rev()).take_while(|(a, b)| a == b).count();
    longest > 0 && 2 * (prefix + suffix.min(left)) > longest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fmt::Write;

    fn events(old: &str, chunks: &[&str]) -> String {
        let mut stream = DiffStream::new(old.lines().map(str::to_owned).collect(), 10);
        let mut out = String::new();
        for chunk in chunks {
            stream.push(chunk);
            for event in stream.take() {
                let (line, mark, text) = match event {
                    LineEvent::Keep { line, text } => (line.to_string(), ' ', text),
                    LineEvent::Remove { line, text } => (line.to_string(), '-', text),
                    LineEvent::Add { text } => (String::new(), '+', text),
                };
                let _ = writeln!(out, "{line:>3}{mark}{text}");
            }
            out += "~\n";
        }
        out
    }

    #[test]
    fn lines_are_settled_as_soon_as_they_are_whole() {
        insta::assert_snapshot!(
            events("fn a() {\n    one();\n    two();\n}\n", &["fn a", "() {\n    one(1);\n", "    two();\n}"]),
            @r"
        ~
         10 fn a() {
         11-    one();
           +    one(1);
        ~
         12     two();
        ~
        "
        );
    }

    #[test]
    fn insertions_and_removals_realign() {
        insta::assert_snapshot!(
            events("a one\nb two\nc three\n", &["a one\nnew line\nb two\n", "c three\n"]),
            @r"
         10 a one
           +new line
         11 b two
        ~
         12 c three
        ~
        "
        );
        insta::assert_snapshot!(
            events("aaaa one\nbbbb two\ncccc three\n", &["cccc three\n"]),
            @r"
         10-aaaa one
         11-bbbb two
         12 cccc three
        ~
        "
        );
    }

    proptest! {
        #[test]
        fn the_events_turn_old_into_new(
            old in prop::collection::vec("[abcd]{0,5}", 0..10),
            new in prop::collection::vec("[abcd]{0,5}", 0..10),
            cuts in prop::collection::vec(0usize..60, 0..6),
        ) {
            let text = new.join("\n");
            let mut stream = DiffStream::new(old.clone(), 1);
            let mut events = Vec::new();
            let mut at = 0;
            for cut in cuts {
                let end = (at + cut).min(text.len());
                stream.push(&text[at..end]);
                at = end;
                events.extend(stream.take());
            }
            stream.push(&text[at..]);
            stream.finish();
            events.extend(stream.take());
            let (mut was, mut is) = (Vec::new(), Vec::new());
            for event in events {
                match event {
                    LineEvent::Keep { text, line } => {
                        prop_assert_eq!(&old[line - 1], &text);
                        was.push(text.clone());
                        is.push(text);
                    }
                    LineEvent::Remove { text, .. } => was.push(text),
                    LineEvent::Add { text } => is.push(text),
                }
            }
            prop_assert_eq!(was, old);
            let wanted: Vec<String> = text.split_terminator('\n').map(str::to_owned).collect();
            prop_assert_eq!(is, wanted);
        }
    }
}

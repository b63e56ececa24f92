//! What an edit that was broken off had written, as a draft of the one that takes its place.
//!
//! Whoever redirects an edit has seen a part of it, and mostly wants that part and something more. So
//! the new edit is drafted from what the old one had come to: where it says the same, that is accepted
//! at the speed of reading. Where it does not, it is written anew; a draft never decides anything, so
//! the result is the one that both instructions together would have given at once.

use super::diff::LineEvent;
use crate::lines::LineSpan;
use std::collections::{BTreeMap, BTreeSet};

/// Lines that came and went, by the lines of the file as it was.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written {
    gone: BTreeSet<usize>,
    /// New lines, by the old line before which they stand.
    come: BTreeMap<usize, Vec<String>>,
}

impl Written {
    /// * `events`: a diff as it was told, up to where it was broken off
    pub(crate) fn new(events: &[LineEvent]) -> Self {
        let mut written = Self::default();
        let mut new: Vec<String> = Vec::new();
        let mut next = None;
        for event in events {
            match event {
                LineEvent::Add { text } => new.push(text.clone()),
                LineEvent::Keep { line, .. } | LineEvent::Remove { line, .. } => {
                    let at = next.unwrap_or(*line);
                    written.come.entry(at).or_default().append(&mut new);
                    if matches!(event, LineEvent::Remove { .. }) {
                        written.gone.insert(*line);
                    }
                    next = Some(line + 1);
                }
            }
        }
        if let Some(at) = next {
            written.come.entry(at).or_default().append(&mut new);
        }
        written
    }

    /// A region as it would stand now.
    ///
    /// * `old`: its lines, without the indentation `dedent`
    pub(crate) fn region(&self, span: LineSpan, old: &[String], dedent: &str) -> Vec<String> {
        let come = |line| self.come.get(&line).into_iter().flatten();
        let come =
            |line| come(line).map(|text| text.strip_prefix(dedent).unwrap_or(text).to_owned());
        let mut lines = Vec::new();
        for (line, text) in (span.start..).zip(old) {
            lines.extend(come(line));
            if !self.gone.contains(&line) {
                lines.push(text.clone());
            }
        }
        lines.extend(come(span.end + 1));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_followed_by_what_was_not_reached() {
        let keep = |line, text: &str| LineEvent::Keep { line, text: text.to_owned() };
        let remove = |line| LineEvent::Remove { line, text: String::new() };
        let add = |text: &str| LineEvent::Add { text: text.to_owned() };
        let old = ["fn a() {", "    one", "    two", "}"].map(str::to_owned);
        let events = [keep(11, "  fn a() {"), add("      zero"), remove(12), add("      1")];
        let region = |span| Written::new(&events).region(span, &old, "  ");
        assert_eq!(
            region(LineSpan::new(11, 14)),
            ["fn a() {", "    zero", "    1", "    two", "}"]
        );
        // Another place has nothing of it.
        assert_eq!(region(LineSpan::new(21, 24)), old);
        assert_eq!(Written::new(&[add("x")]).region(LineSpan::new(1, 4), &old, ""), old);
    }
}

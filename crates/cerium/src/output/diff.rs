//! A diff for people, line by line while it is written: changes in colour, few lines around them.

use super::{BOLD, CYAN, DIM, GREEN, Output, RED, printable};
use cerium_harness::edit::LineEvent;
use std::collections::VecDeque;
use std::fmt::Write;

/// Unchanged lines shown before and after a change.
const CONTEXT_LINES: usize = 3;

/// A line of a diff as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    Keep(String),
    Remove(String),
    Add(String),
    /// Lines were left out here.
    Gap,
}

/// The state of one diff on the screen.
#[derive(Debug, Default)]
pub(crate) struct DiffView {
    /// Unchanged lines that are shown if a change follows soon.
    held: VecDeque<Row>,
    /// Unchanged lines since the last change; `None` before the first one.
    since_change: Option<usize>,
    /// Whether lines were left out since the last one shown.
    gap: bool,
}

impl DiffView {
    /// What to print for the next line.
    pub(crate) fn line(&mut self, event: &LineEvent) -> String {
        self.rows(event).iter().map(Row::paint).collect()
    }

    /// What to show for the next line.
    pub(crate) fn rows(&mut self, event: &LineEvent) -> Vec<Row> {
        match event {
            LineEvent::Keep { text, .. } => self.keep(Row::Keep(printable(text).into())),
            LineEvent::Remove { text, .. } => self.change(Row::Remove(printable(text).into())),
            LineEvent::Add { text } => self.change(Row::Add(printable(text).into())),
        }
    }

    fn keep(&mut self, row: Row) -> Vec<Row> {
        if let Some(n) = self.since_change.filter(|n| *n < CONTEXT_LINES) {
            self.since_change = Some(n + 1);
            return vec![row];
        }
        self.held.push_back(row);
        if self.held.len() > CONTEXT_LINES {
            self.held.pop_front();
            self.gap = true;
        }
        Vec::new()
    }

    fn change(&mut self, row: Row) -> Vec<Row> {
        let gap = (self.gap && self.since_change.is_some()).then_some(Row::Gap);
        self.gap = false;
        self.since_change = Some(0);
        gap.into_iter().chain(self.held.drain(..)).chain([row]).collect()
    }
}

impl Row {
    /// The line as it is printed.
    fn paint(&self) -> String {
        match self {
            Self::Keep(text) => format!("  {text}\n"),
            Self::Remove(text) => format!("{RED}- {text}{RED:#}\n"),
            Self::Add(text) => format!("{GREEN}+ {text}{GREEN:#}\n"),
            Self::Gap => format!("{DIM}  ...{DIM:#}\n"),
        }
    }
}

/// A unified diff in colour, for a terminal that saw no lines come.
pub(crate) fn colour(unified: &str) -> String {
    let mut text = String::new();
    let mut in_header = true;
    for line in unified.lines() {
        in_header &= !line.starts_with('@');
        let style = match line.as_bytes().first() {
            _ if in_header => BOLD,
            Some(b'+') => GREEN,
            Some(b'-') => RED,
            Some(b'@') => CYAN,
            _ => anstyle::Style::new(),
        };
        let _ = writeln!(text, "{style}{}{style:#}", printable(line));
    }
    text
}

/// Where a diff is: the heading above its lines.
pub(crate) fn heading(output: Output, path: &str, places: &str) {
    output.note(format!("{CYAN}{}{CYAN:#} {DIM}{places}{DIM:#}", printable(path)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(events: &str) -> String {
        let mut view = DiffView::default();
        let mut text = String::new();
        for (line, event) in events.chars().enumerate() {
            let text_of = line.to_string();
            text += &view.line(&match event {
                ' ' => LineEvent::Keep { line, text: text_of },
                '-' => LineEvent::Remove { line, text: text_of },
                _ => LineEvent::Add { text: text_of },
            });
        }
        anstream::adapter::strip_str(&text).to_string().replace('\n', "|")
    }

    #[test]
    fn a_few_lines_surround_each_change() {
        assert_eq!(show("     -+     "), "  2|  3|  4|- 5|+ 6|  7|  8|  9|");
        assert_eq!(show("+      -"), "+ 0|  1|  2|  3|  4|  5|  6|- 7|");
        assert_eq!(show("+         -"), "+ 0|  1|  2|  3|  ...|  7|  8|  9|- 10|");
        assert_eq!(show("        "), "");
    }

    #[test]
    fn text_of_files_cannot_steer_the_terminal() {
        let mut view = DiffView::default();
        let event = LineEvent::Add { text: "a\u{1b}]0;x\u{7}b\tc\u{202e}d".into() };
        let shown = anstream::adapter::strip_str(&view.line(&event)).to_string();
        assert_eq!(shown, "+ a\u{fffd}]0;x\u{fffd}b\tc\u{fffd}d\n");
    }
}

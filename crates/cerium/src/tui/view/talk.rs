//! The conversation: each entry laid out once for a width, and the part of all that is on the screen.

use super::wrap::{cut, wrap};
use crate::output::diff::Row;
use crate::output::printable;
use crate::tui::history::{Choice, Diff, DiffState, Entry, What};
use crate::tui::state::{Phase, Reveal, State};
use crate::tui::theme::Theme;
use cerium_harness::edit::{Hunk, LineEvent};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use std::collections::HashMap;

/// With fewer columns the second one of a table stands below the first.
const TABLE_WIDTH_MIN: usize = 60;

/// What was laid out before: an entry's lines, by its version, for one width.
#[derive(Debug, Default)]
pub(in crate::tui) struct Drawn {
    width: usize,
    lines: HashMap<u64, Vec<Line<'static>>>,
}

pub(super) fn draw(
    frame: &mut Frame<'_>,
    state: &mut State,
    drawn: &mut Drawn,
    theme: &Theme,
    area: Rect,
) {
    let width = usize::from(area.width);
    if drawn.width != width {
        *drawn = Drawn { width, lines: HashMap::new() };
    }
    let looked_at = match state.phase {
        Phase::Deciding { hunk } => Some(hunk),
        _ => None,
    };
    let height = usize::from(area.height);
    if state.history.is_empty() {
        for (line, row) in welcome(theme, width).into_iter().zip(area.rows()) {
            frame.render_widget(line, row);
        }
        return;
    }
    let mut kept = HashMap::new();
    let mut all: Vec<&Line<'static>> = Vec::new();
    let mut revealed = None;
    let mut n_hunks = 0;
    // What is offered changes with every key and is laid out each time.
    let mut offered: HashMap<u64, Vec<Line<'static>>> = HashMap::new();
    for entry in state.history.entries() {
        if let What::Diff(diff @ Diff { state: DiffState::Offered(taken), .. }) = &entry.what {
            let looked_at = looked_at.and_then(|hunk| hunk.checked_sub(n_hunks));
            let (lines, at) = diff_lines(diff, width, theme, looked_at);
            revealed = revealed.or(at.map(|at| (entry.version, at)));
            n_hunks += taken.len();
            offered.insert(entry.version, lines);
        } else {
            let lines = drawn.lines.remove(&entry.version);
            kept.insert(entry.version, lines.unwrap_or_else(|| lay_out(entry, width, theme)));
        }
    }
    drawn.lines = kept;
    let (mut hunk, mut begins) = (None, 0);
    for entry in state.history.entries() {
        let lines = offered.get(&entry.version).or_else(|| drawn.lines.get(&entry.version));
        if let Some((version, at)) = revealed
            && version == entry.version
        {
            hunk = Some(all.len() + at);
        }
        begins = all.len();
        all.extend(lines.into_iter().flatten());
    }
    let last = all.len().saturating_sub(height);
    let scroll = &mut state.scroll;
    (scroll.n_lines, scroll.height) = (all.len(), height);
    let before = scroll.top.map_or(last, |top| top.min(last));
    let top = match (scroll.reveal.take(), hunk) {
        // From its head on, with as much of it as fits.
        (Some(Reveal::Hunk), Some(line)) if line < before || line + 6 > before + height => {
            line.saturating_sub(height / 4).min(last)
        }
        (Some(Reveal::Last), _) => begins.min(last),
        _ => before,
    };
    scroll.top = (top < last).then_some(top);
    for (line, row) in all.into_iter().skip(top).zip(area.rows()) {
        frame.render_widget(line, row);
    }
}

fn welcome(theme: &Theme, width: usize) -> Vec<Line<'static>> {
    let texts = [
        ("", theme.plain),
        ("Ask about this tree, or say what to change.", theme.said),
        ("", theme.plain),
        ("  where are retries configured?", theme.plain),
        ("  /edit src/app.py read the port from the environment", theme.plain),
        ("  /plan move the settings into one struct", theme.plain),
        ("", theme.plain),
        (
            "Type while it writes to redirect it; Esc stops it. F1 lists keys and commands.",
            theme.dim,
        ),
    ];
    texts
        .iter()
        .flat_map(|&(text, style)| wrap(&[(text, style)], width, &Span::raw(" "), 0))
        .collect()
}

/// The lines of an entry, a blank one before it.
fn lay_out(entry: &Entry, width: usize, theme: &Theme) -> Vec<Line<'static>> {
    let mut lines = vec![Line::default()];
    match &entry.what {
        What::Said(text) => {
            for (n, line) in text.lines().enumerate() {
                let sign = if n == 0 { "\u{203a} " } else { "  " };
                let pieces = [(sign, theme.said), (&printable(line), theme.said)];
                lines.extend(wrap(&pieces, width, &Span::raw(""), 2));
            }
        }
        What::Answer { text, places } => {
            lines.extend(answer(text, width, theme));
            if !places.is_empty() {
                lines.push(Line::default());
            }
            for (place, quote) in places {
                let text = cut(&format!("{}  ", printable(place)), width.saturating_sub(2));
                let quote = cut(&printable(quote), width.saturating_sub(2 + text.chars().count()));
                lines.push(Line::from(vec![
                    Span::raw("  "),
                    Span::styled(text, theme.place),
                    Span::styled(quote, theme.dim),
                ]));
            }
        }
        What::Diff(diff) => return diff_lines(diff, width, theme, None).0,
        What::Note(text) => {
            lines.extend(wrap(&[(&printable(text), theme.dim)], width, &Span::raw("  "), 0));
        }
        What::Table(rows) => lines.extend(table(rows, width, theme)),
        What::Error { what, hint } => {
            let what = printable(what);
            let pieces = [("error: ", theme.error), (&*what, theme.plain)];
            lines.extend(wrap(&pieces, width, &Span::raw("  "), 2));
            if let Some(hint) = hint {
                let hint = printable(hint);
                let pieces = [("hint: ", theme.place), (&*hint, theme.plain)];
                lines.extend(wrap(&pieces, width, &Span::raw("  "), 2));
            }
        }
    }
    lines
}

/// Prose with names and blocks of code in it.
fn answer(text: &str, width: usize, theme: &Theme) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let mut in_code = false;
    for line in text.trim_end().lines() {
        let line = printable(line);
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
            continue;
        }
        let margin = Span::raw("  ");
        if in_code {
            lines.extend(wrap(&[(&line, theme.code)], width, &Span::raw("    "), 2));
            continue;
        }
        let styles = [theme.plain, theme.code];
        let pieces = line.split('`').enumerate().map(|(n, piece)| (piece, styles[n % 2]));
        let pieces: Vec<(&str, Style)> = pieces.filter(|(piece, _)| !piece.is_empty()).collect();
        lines.extend(wrap(&pieces, width, &margin, hanging(&line)));
    }
    lines
}

/// How far the text of an item of a list is from its sign.
fn hanging(line: &str) -> usize {
    let trimmed = line.trim_start();
    let sign = trimmed.split_inclusive(' ').next().unwrap_or_default();
    let mark = sign.trim_end();
    let number = mark.strip_suffix('.').is_some_and(|n| n.parse::<u16>().is_ok());
    let is_item = mark == "-" || mark == "*" || number;
    line.len() - trimmed.len() + if is_item { sign.len() } else { 0 }
}

fn table(rows: &[(String, String)], width: usize, theme: &Theme) -> Vec<Line<'static>> {
    if width < TABLE_WIDTH_MIN {
        let row = |(left, right): &(String, String)| {
            let left = wrap(&[(printable(left), theme.place)], width, &Span::raw("  "), 2);
            let right = wrap(&[(printable(right), theme.plain)], width, &Span::raw("    "), 0);
            left.into_iter().chain(right)
        };
        return rows.iter().flat_map(row).collect();
    }
    let widest = rows.iter().map(|(left, _)| left.chars().count()).max().unwrap_or(0);
    let column = widest.min(width / 2);
    let row = |(left, right): &(String, String)| {
        let left = format!("{:column$}  ", cut(&printable(left), column));
        let right = printable(right);
        wrap(
            &[(left.as_str(), theme.place), (&*right, theme.plain)],
            width,
            &Span::raw("  "),
            column + 2,
        )
    };
    rows.iter().flat_map(row).collect()
}

/// A diff, and the line at which the hunk begins that is looked at.
fn diff_lines(
    diff: &Diff,
    width: usize,
    theme: &Theme,
    looked_at: Option<usize>,
) -> (Vec<Line<'static>>, Option<usize>) {
    let mut lines = vec![Line::default()];
    let (added, removed) = diff.counts();
    let counts = format!("+{added} -{removed}");
    let (state, style) = match &diff.state {
        DiffState::Written => (String::new(), theme.dim),
        DiffState::Offered(_) => (counts, theme.plain),
        DiffState::Applied(id, _) => (format!("{counts} applied as edit {id}"), theme.good),
        DiffState::Undone(id, _) => (format!("{counts} edit {id}, undone"), theme.dim),
        DiffState::Rejected => ("rejected".to_owned(), theme.dim),
        DiffState::Void => ("not finished".to_owned(), theme.dim),
    };
    let path = printable(&diff.path);
    let places = format!("  {}  ", diff.places);
    let pieces = [(&*path, theme.place), (places.as_str(), theme.dim), (state.as_str(), style)];
    lines.extend(wrap(&pieces, width, &Span::raw("  "), 2));
    let alive =
        !matches!(diff.state, DiffState::Rejected | DiffState::Void | DiffState::Undone(..));
    let signs = if alive { [theme.add, theme.remove] } else { [theme.dim; 2] };
    for row in &diff.rows {
        let (sign, text, style) = match row {
            Row::Keep(text) => ("  ", text.as_str(), theme.plain),
            Row::Add(text) => ("+ ", text.as_str(), signs[0]),
            Row::Remove(text) => ("- ", text.as_str(), signs[1]),
            Row::Gap => ("  ", "\u{22ee}", theme.dim),
        };
        lines.extend(code(sign, text, style, width));
    }
    let taken = match &diff.state {
        DiffState::Offered(taken) | DiffState::Applied(_, taken) | DiffState::Undone(_, taken) => {
            taken.as_slice()
        }
        _ => &[],
    };
    let offered = matches!(diff.state, DiffState::Offered(_));
    let mut begins = None;
    for (n, Choice { hunk, .. }) in diff.hunks.iter().enumerate() {
        let is_taken = taken.get(n) == Some(&true);
        let is_looked_at = looked_at == Some(n);
        if is_looked_at {
            // The first one with the name of the file.
            begins = Some(if n == 0 { 1 } else { lines.len() });
        }
        let left_out = !taken.is_empty() && !is_taken;
        let sign = if is_looked_at { "\u{25b8} " } else { "  " };
        let (mark, word) = match (offered, left_out) {
            (true, false) => ("[x] ", ""),
            (true, true) => ("[ ] ", ""),
            (false, true) => ("", ", left out"),
            (false, false) => ("", ""),
        };
        let head = format!("{sign}{mark}line {}{word}", first_line(hunk));
        let style = if is_looked_at { theme.said } else { theme.dim };
        lines.push(Line::from(Span::styled(head, style)));
        for line in &hunk.lines {
            let (sign, text, style) = match line {
                LineEvent::Keep { text, .. } => ("  ", text, theme.plain),
                LineEvent::Add { text } => ("+ ", text, signs[0]),
                LineEvent::Remove { text, .. } => ("- ", text, signs[1]),
            };
            let style = if left_out { theme.dim } else { style };
            lines.extend(code(sign, &printable(text), style, width));
        }
    }
    (lines, begins)
}

/// The line of the file at which a hunk changes something.
fn first_line(hunk: &Hunk) -> usize {
    let kept = hunk.lines.iter().take_while(|line| matches!(line, LineEvent::Keep { .. }));
    hunk.line_before + kept.count()
}

fn code(sign: &'static str, text: &str, style: Style, width: usize) -> Vec<Line<'static>> {
    let margin = Span::styled(format!("  {sign}"), style);
    wrap(&[(text, style)], width, &margin, 2)
}

//! The lower edge: what is being done, what is typed and what it may become, what the last answer took.

use super::wrap::{between, cut};
use crate::output::{bytes, printable};
use crate::tui::command::{COMMANDS, Mode};
use crate::tui::state::{Phase, State};
use crate::tui::theme::Theme;
use cerium_protocol::{Timings, Usage};
use ratatui::text::{Line, Span};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Ways to complete a word that are shown at once.
const N_HINTS: usize = 6;

/// With fewer columns keys are told in fewer words.
const WIDE: usize = 60;

/// The frames of what turns while one waits.
const TURNS: [&str; 4] = ["\u{2596}", "\u{2598}", "\u{259d}", "\u{2597}"];

/// What is typed, cut to lines, and the column and line of the cursor.
pub(super) struct Typed {
    pub(super) lines: Vec<Line<'static>>,
    pub(super) cursor: (u16, u16),
}

/// The line above the input: what is being done, and what keys do now.
pub(super) fn activity(state: &State, theme: &Theme, width: u16) -> Line<'static> {
    let width = usize::from(width);
    if let Some(remark) = &state.remark {
        return Line::from(Span::styled(
            cut(&format!(" {}", printable(remark)), width),
            theme.error,
        ));
    }
    let (left, right) = match &state.phase {
        Phase::Idle => return Line::from(Span::styled("\u{2500}".repeat(width), theme.dim)),
        Phase::Working(work) => {
            let elapsed = state.now.saturating_duration_since(work.since);
            let turn = TURNS[(elapsed.as_millis() / 250) as usize % TURNS.len()];
            let left = format!(" {turn} {}  {} s", printable(&work.doing), elapsed.as_secs());
            let keys = ["Esc stops, text redirects ", "Esc stops "];
            (left, keys[usize::from(width < WIDE)].to_owned())
        }
        Phase::Deciding { hunk } => {
            let taken = state.history.offered();
            let n = taken.iter().flatten().count();
            let n_taken = taken.iter().flatten().filter(|taken| **taken).count();
            let what = match (state.consent(), n_taken) {
                (None, _) => {
                    let left = " Enter makes it again with this in mind, Esc clears the line";
                    return Line::from(Span::styled(cut(left, width), theme.said));
                }
                (Some(false), _) => "rejects it".to_owned(),
                (_, 0) => "drops all of it".to_owned(),
                (_, taken) if taken == n => "applies it".to_owned(),
                (_, taken) => format!("applies {taken} of {n}"),
            };
            let (narrow, can_split) = (width < WIDE, state.history.can_split(*hunk));
            let choose = match (n > 1, narrow) {
                (false, _) => "",
                (true, true) => ", \u{2191}\u{2193} Space",
                (true, false) => ", \u{2191}\u{2193} Space choose",
            };
            let split = match (can_split, narrow) {
                (false, _) => "",
                (true, true) => ", \u{2192}",
                (true, false) => ", \u{2192} splits",
            };
            let esc = if narrow { "Esc not" } else { "Esc rejects" };
            let more = if narrow { "" } else { ", or say what else" };
            (format!(" Enter {what}, {esc}{choose}{split}{more}"), String::new())
        }
        Phase::Offering(entry) => {
            let what = format!("{} ({}) is not here yet", entry.name, bytes(entry.bytes));
            (format!(" {what}. Enter fetches it, Esc does not"), String::new())
        }
    };
    Line::from(Span::styled(between(&left, &right, width), theme.said))
}

/// What is typed, behind a word that says what Enter does with it.
pub(super) fn input(state: &State, theme: &Theme, width: u16) -> Typed {
    let prompt = match (&state.phase, state.mode) {
        (Phase::Working(_), _) => "redirect \u{203a} ".to_owned(),
        (Phase::Deciding { .. }, _) => "apply? \u{203a} ".to_owned(),
        (_, Mode::Ask) => "ask \u{203a} ".to_owned(),
        (_, Mode::Edit) => {
            let chosen = cut(&state.chosen.join(" "), usize::from(width / 3));
            format!("edit {chosen} \u{203a} ")
        }
    };
    let margin = prompt.width();
    let room = usize::from(width).saturating_sub(margin + 1).max(8);
    let mut lines = vec![String::new()];
    let mut cursor = (0, 0);
    let mut column = 0;
    for (at, grapheme) in state.input.text().grapheme_indices(true) {
        let n = if grapheme == "\n" { 0 } else { grapheme.width() };
        if column + n > room {
            lines.push(String::new());
            column = 0;
        }
        if at == state.input.cursor() {
            cursor = (column, lines.len() - 1);
        }
        if grapheme == "\n" {
            lines.push(String::new());
            column = 0;
        } else if let Some(line) = lines.last_mut() {
            line.push_str(grapheme);
            column += n;
        }
    }
    if state.input.cursor() == state.input.text().len() {
        cursor = (column, lines.len() - 1);
    }
    let lines = lines.into_iter().enumerate().map(|(n, line)| {
        let before = if n == 0 { prompt.clone() } else { " ".repeat(margin) };
        Line::from(vec![Span::styled(before, theme.place), Span::styled(line, theme.plain)])
    });
    let (column, line) = cursor;
    Typed { lines: lines.collect(), cursor: ((margin + column) as u16, line as u16) }
}

/// What the word may become: the ways to complete it, or the commands that begin so.
pub(super) fn hints(state: &State, theme: &Theme, width: u16) -> Vec<Line<'static>> {
    let width = usize::from(width);
    if let Some(completion) = &state.completion {
        let chosen = completion.chosen.unwrap_or(0);
        let first = chosen.saturating_sub(N_HINTS - 1);
        let shown = completion.candidates.iter().enumerate().skip(first).take(N_HINTS);
        let row = |(n, text): (usize, &String)| {
            let style = if n == chosen { theme.chosen } else { theme.plain };
            Line::from(vec![
                Span::raw("  "),
                Span::styled(cut(text.trim_end(), width.saturating_sub(2)), style),
            ])
        };
        return shown.map(row).collect();
    }
    let Some(name) = state.input.text().strip_prefix('/') else { return Vec::new() };
    let fits = COMMANDS.iter().filter(|(command, ..)| {
        // Once it is written whole, what follows it is of interest.
        name.split_once(' ').map_or(command.starts_with(name), |(name, _)| name == *command)
    });
    let row = |(command, args, about): &(&str, &str, &str)| {
        let left = format!("  {:<24}", format!("/{command} {args}"));
        let about = cut(about, width.saturating_sub(left.width()));
        Line::from(vec![Span::styled(left, theme.place), Span::styled(about, theme.dim)])
    };
    fits.take(N_HINTS).map(row).collect()
}

/// The model, and what the last answer took.
pub(super) fn status(state: &State, theme: &Theme, width: u16) -> Line<'static> {
    let model = state.model.as_deref().unwrap_or("no model yet");
    let Usage {
        prompt_tokens, cached_tokens, output_tokens, drafted_tokens, accepted_tokens, ..
    } = state.stats.usage;
    let Timings { ttft_ms, decode_ms, .. } = state.stats.timings;
    let mut figures = Vec::new();
    if prompt_tokens > 0 {
        figures.push(format!("TTFT {:.2} s", ttft_ms / 1e3));
        let rate = output_tokens.saturating_sub(1) as f64 / decode_ms.max(1.0) * 1e3;
        figures.push(format!("{rate:.0} tok/s"));
        if let Some(part) = (accepted_tokens * 100).checked_div(drafted_tokens) {
            figures.push(format!("{part}% drafts"));
        }
        figures.push(format!("{cached_tokens}/{prompt_tokens} cached"));
    }
    let (left, width) = (format!(" {model}  "), usize::from(width));
    let joined = |figures: &[String]| format!("{} ", figures.join(" \u{b7} "));
    // The first figures are what people look for.
    while !figures.is_empty() && left.width() + joined(&figures).width() > width {
        figures.pop();
    }
    Line::from(Span::styled(between(&left, &joined(&figures), width), theme.bar))
}

//! What is beside the conversation: the plan, or the files.

use super::wrap::{cut, wrap};
use crate::output::printable;
use crate::tui::state::{Pane, State};
use crate::tui::theme::Theme;
use cerium_harness::plan::{Step, StepState};
use ratatui::text::{Line, Span};

/// Files listed that nothing is known of but that they are there.
const N_FILES_MAX: usize = 200;

pub(super) fn lines(state: &State, pane: Pane, width: usize, theme: &Theme) -> Vec<Line<'static>> {
    match pane {
        Pane::Plan => plan(state, width, theme),
        Pane::Files => files(state, width, theme),
    }
}

pub(super) fn is_done(step: &Step) -> bool {
    matches!(step.state, StepState::Done { .. })
}

fn plan(state: &State, width: usize, theme: &Theme) -> Vec<Line<'static>> {
    let none = Span::raw("");
    let Some(plan) = &state.plan else {
        return wrap(&[("no plan yet; /plan GOAL writes one", theme.dim)], width, &none, 0);
    };
    let mut lines = wrap(&[(&printable(&plan.goal), theme.said)], width, &none, 0);
    for step in &plan.steps {
        let (mark, style) =
            if is_done(step) { ("\u{2713}", theme.good) } else { (" ", theme.plain) };
        let number = format!("{mark}{} ", step.number);
        let text_style = if is_done(step) { theme.dim } else { theme.plain };
        let margin = Span::styled(number, style);
        lines.extend(wrap(&[(&printable(&step.title), text_style)], width, &margin, 0));
        let indent = Span::raw(" ".repeat(margin.width()));
        for file in &step.files {
            let new = if file.new { " (new)" } else { "" };
            let text = format!("{}{new}", printable(&file.path));
            lines.extend(wrap(&[(&text, theme.place)], width, &indent, 0));
        }
        if !step.detail.is_empty() && !is_done(step) {
            lines.extend(wrap(&[(&printable(&step.detail), theme.dim)], width, &indent, 0));
        }
    }
    lines
}

fn files(state: &State, width: usize, theme: &Theme) -> Vec<Line<'static>> {
    let row = |sign: &str, path: &str, style| {
        Line::from(Span::styled(cut(&format!("{sign} {}", printable(path)), width), style))
    };
    let mut lines = Vec::new();
    let mut part = |title: &str, sign: &str, paths: &[String], style| {
        if !paths.is_empty() {
            lines.push(Line::from(Span::styled(title.to_owned(), theme.said)));
            lines.extend(paths.iter().map(|path| row(sign, path, style)));
        }
    };
    part("chosen for edits", "\u{203a}", &state.chosen, theme.place);
    part("edited", "\u{b1}", &state.changed, theme.good);
    let n = state.files.len().min(N_FILES_MAX);
    part("in the tree", " ", &state.files[..n], theme.plain);
    if state.files.len() > n {
        lines.push(row(" ", &format!("and {} more", state.files.len() - n), theme.dim));
    }
    lines
}

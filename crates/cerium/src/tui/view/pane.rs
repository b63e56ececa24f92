//! What is beside the conversation: the plan, or the files.

use super::wrap::{cut, wrap};
use crate::output::printable;
use crate::tui::state::{Pane, State};
use crate::tui::theme::Theme;
use cerium_harness::plan::{Plan, Step, StepState};
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

/// Files listed that nothing is known of but that they are there.
const N_FILES_MAX: usize = 200;

/// What a pane shows.
///
/// * `width`, `height`: columns and rows there are; what does not fit is left out
pub(super) fn lines(
    state: &State,
    pane: Pane,
    [width, height]: [usize; 2],
    theme: &Theme,
) -> Vec<Line<'static>> {
    let mut lines = match pane {
        Pane::Plan => plan(state, [width, height], theme),
        Pane::Files => files(state, width, theme),
    };
    if lines.len() > height {
        lines.truncate(height.saturating_sub(1));
        lines.push(Line::from(Span::styled("\u{22ee}", theme.dim)));
    }
    lines
}

pub(super) fn is_done(step: &Step) -> bool {
    matches!(step.state, StepState::Done { .. })
}

/// The plan with the details of its open steps, of the next one alone, or without any: as many as fit.
fn plan(state: &State, [width, height]: [usize; 2], theme: &Theme) -> Vec<Line<'static>> {
    let Some(plan) = &state.plan else {
        let none =
            if state.is_moving() { "no plan yet" } else { "no plan yet; /plan GOAL writes one" };
        return wrap(&[(none, theme.dim)], width, &Span::raw(""), 0);
    };
    let n_open = plan.steps.iter().filter(|step| !is_done(step)).count();
    let mut lines = Vec::new();
    for n_details in [n_open, 1, 0] {
        lines = steps(plan, n_details, width, theme);
        if lines.len() <= height {
            break;
        }
    }
    lines
}

/// * `n_details`: so many open steps tell their details
fn steps(plan: &Plan, n_details: usize, width: usize, theme: &Theme) -> Vec<Line<'static>> {
    let none = Span::raw("");
    let mut lines = wrap(&[(&printable(&plan.goal), theme.said)], width, &none, 0);
    let mut n_open = 0;
    for step in &plan.steps {
        let (mark, style) =
            if is_done(step) { ("\u{2713}", theme.good) } else { (" ", theme.plain) };
        let number = format!("{mark}{} ", step.number);
        let text_style = if is_done(step) { theme.dim } else { theme.plain };
        let indent = Span::raw(" ".repeat(number.width()));
        let pieces = [(number.as_str(), style), (&printable(&step.title), text_style)];
        lines.extend(wrap(&pieces, width, &none, indent.width()));
        for file in &step.files {
            let text = file.to_string();
            lines.extend(wrap(&[(&printable(&text), theme.place)], width, &indent, 0));
        }
        if is_done(step) {
            continue;
        }
        n_open += 1;
        if n_open <= n_details && !step.detail.is_empty() && step.detail != step.title {
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

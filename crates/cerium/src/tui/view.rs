//! The screen: conversation, pane, input and status, from a state.

mod bottom;
mod pane;
mod talk;
mod wrap;

use super::state::{Pane, State};
use super::theme::Theme;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
pub(super) use talk::Drawn;

/// Columns of a pane beside the conversation.
const PANE_WIDTH: u16 = 34;
/// With fewer columns the pane takes the place of the upper part of the conversation.
const BESIDE_WIDTH_MIN: u16 = 76;

/// Draws everything.
///
/// * `drawn`: what was laid out for earlier frames
pub(super) fn draw(frame: &mut Frame<'_>, state: &mut State, drawn: &mut Drawn, theme: &Theme) {
    let area = frame.area();
    let typed = bottom::input(state, theme, area.width);
    let hints = bottom::hints(state, theme, area.width);
    let n_typed = (typed.lines.len() as u16).min(area.height / 3).max(1);
    let rows = [
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
        Constraint::Length(hints.len() as u16),
        Constraint::Length(n_typed),
        Constraint::Length(1),
    ];
    let [head, body, rule, hint_rows, input, status] = Layout::vertical(rows).areas(area);
    frame.render_widget(header(state, theme, head.width), head);
    let conversation = match state.pane {
        None => body,
        Some(pane) => {
            let (conversation, beside) = split(body);
            pane_beside(frame, state, pane, beside, theme);
            conversation
        }
    };
    talk::draw(frame, state, drawn, theme, conversation);
    frame.render_widget(bottom::activity(state, theme, rule.width), rule);
    for (line, row) in hints.into_iter().zip(hint_rows.rows()) {
        frame.render_widget(line, row);
    }
    let (column, line) = typed.cursor;
    let skipped = line.saturating_sub(input.height.saturating_sub(1));
    for (line, row) in typed.lines.into_iter().skip(usize::from(skipped)).zip(input.rows()) {
        frame.render_widget(line, row);
    }
    frame.render_widget(bottom::status(state, theme, status.width), status);
    let last = area.width.saturating_sub(1);
    frame.set_cursor_position((input.x + column.min(last), input.y + line - skipped));
}

fn header(state: &State, theme: &Theme, width: u16) -> Line<'static> {
    let left = format!(" cerium  {}", state.tree);
    let plan = state.plan.as_ref().map(|plan| {
        let n_done = plan.steps.iter().filter(|step| pane::is_done(step)).count();
        format!("plan {n_done}/{}", plan.steps.len())
    });
    let count = |n: usize, what: &str| (n > 0).then(|| format!("{n} {what}"));
    let parts = [count(state.n_away, "away"), count(state.n_back, "back"), plan];
    let right: Vec<String> = parts.into_iter().flatten().collect();
    let right = format!("{} ", right.join(" \u{b7} "));
    Line::from(Span::styled(wrap::between(&left, &right, usize::from(width)), theme.bar))
}

/// The conversation's part of the body, and that of a pane.
fn split(body: Rect) -> (Rect, Rect) {
    if body.width >= BESIDE_WIDTH_MIN {
        let columns = [Constraint::Min(1), Constraint::Length(PANE_WIDTH)];
        let [conversation, pane] = Layout::horizontal(columns).areas(body);
        (conversation, pane)
    } else {
        let rows = [Constraint::Percentage(45), Constraint::Min(1)];
        let [pane, conversation] = Layout::vertical(rows).areas(body);
        (conversation, pane)
    }
}

fn pane_beside(frame: &mut Frame<'_>, state: &State, pane: Pane, area: Rect, theme: &Theme) {
    // A rule on the left, where it stands beside the conversation, else below.
    let beside = area.x > 0;
    let inner = if beside {
        Rect { x: area.x + 2, width: area.width - 2, ..area }
    } else {
        Rect { height: area.height.saturating_sub(1), ..area }
    };
    let room = [inner.width, inner.height].map(usize::from);
    let lines = pane::lines(state, pane, room, theme);
    for (line, row) in lines.into_iter().zip(inner.rows()) {
        frame.render_widget(line, row);
    }
    let rule = |sign: String| Line::from(Span::styled(sign, theme.dim));
    for (n, row) in area.rows().enumerate() {
        if beside {
            frame.render_widget(rule("\u{2502}".to_owned()), row);
        } else if n == room[1] {
            frame.render_widget(rule("\u{2500}".repeat(room[0])), row);
        }
    }
}

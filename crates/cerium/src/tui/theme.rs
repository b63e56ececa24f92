//! How roles look: the terminal's own sixteen colours, or none.

use ratatui::style::{Color, Modifier, Style};

#[derive(Clone, Copy, Debug)]
pub(super) struct Theme {
    pub(super) plain: Style,
    pub(super) said: Style,
    pub(super) dim: Style,
    pub(super) code: Style,
    pub(super) place: Style,
    pub(super) add: Style,
    pub(super) remove: Style,
    pub(super) good: Style,
    pub(super) error: Style,
    pub(super) bar: Style,
    pub(super) chosen: Style,
}

impl Theme {
    /// * `colour`: false where the person wants none (`NO_COLOR`); then weight and signs alone tell
    pub(super) fn new(colour: bool) -> Self {
        let plain = Style::new();
        let bold = plain.add_modifier(Modifier::BOLD);
        let dim = plain.add_modifier(Modifier::DIM);
        let fg = |colour_of: Color, without: Style| {
            if colour { plain.fg(colour_of) } else { without }
        };
        Self {
            plain,
            said: bold,
            dim,
            code: fg(Color::Cyan, plain),
            place: fg(Color::Cyan, plain),
            add: fg(Color::Green, bold),
            remove: fg(Color::Red, dim),
            good: fg(Color::Green, bold),
            error: fg(Color::Red, bold).add_modifier(Modifier::BOLD),
            bar: plain.add_modifier(Modifier::REVERSED),
            chosen: plain.add_modifier(Modifier::REVERSED),
        }
    }
}

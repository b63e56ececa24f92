//! A screen as a picture: text in the place and the colour in which it stands.

use std::fmt::Write;
use vt100::{Cell, Color, Screen};

/// Pixels of a cell, and around the screen.
const WIDTH: f64 = 8.4;
const HEIGHT: f64 = 18.0;
const MARGIN: f64 = 12.0;

const INK: &str = "#d7dae0";
const PAPER: &str = "#1d2026";

/// The colours that a terminal gives to the numbers from 0 to 7.
const COLOURS: [&str; 8] =
    ["#3f4451", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#d7dae0"];

/// How a cell looks.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Look {
    colour: &'static str,
    bold: bool,
    dim: bool,
    reversed: bool,
}

impl Look {
    fn of(cell: &Cell) -> Self {
        let colour = match cell.fgcolor() {
            Color::Idx(n) => COLOURS[usize::from(n) % COLOURS.len()],
            _ => INK,
        };
        Self { colour, bold: cell.bold(), dim: cell.dim(), reversed: cell.inverse() }
    }
}

/// The screen as SVG: one element for each run of cells that look alike, a line each.
pub(crate) fn svg(screen: &Screen) -> String {
    let (rows, columns) = screen.size();
    let (rows, columns) = (rows.get(), columns.get());
    let width = f64::from(columns) * WIDTH + 2.0 * MARGIN;
    let height = f64::from(rows) * HEIGHT + 2.0 * MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         font-family=\"ui-monospace,Menlo,Consolas,DejaVu Sans Mono,monospace\" font-size=\"14\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"{PAPER}\"/>\n"
    );
    for row in 0..rows {
        let cells = (0..columns).map(|column| (column, screen.cell(row, column).unwrap()));
        let cells: Vec<(u16, &Cell)> = cells.collect();
        for run in cells.chunk_by(|(_, a), (_, b)| Look::of(a) == Look::of(b)) {
            let text: String = run.iter().map(|(_, cell)| shown(cell)).collect();
            element(&mut svg, row, run[0].0, &text, Look::of(run[0].1));
        }
    }
    let (row, column) = screen.cursor_position();
    let [x, y] = place(row, column);
    let _ = writeln!(
        svg,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"{INK}\"/>"
    );
    svg + "</svg>\n"
}

/// Where a cell begins.
fn place(row: u16, column: u16) -> [f64; 2] {
    [MARGIN + f64::from(column) * WIDTH, MARGIN + f64::from(row) * HEIGHT]
}

fn shown(cell: &Cell) -> &str {
    match cell.contents() {
        "" if cell.is_wide_continuation() => "",
        "" => " ",
        text => text,
    }
}

fn element(svg: &mut String, row: u16, column: u16, text: &str, look: Look) {
    let [x, y] = place(row, column);
    let width = |text: &str| text.chars().count() as f64 * WIDTH;
    if look.reversed {
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{HEIGHT}\" fill=\"{}\"/>",
            width(text),
            look.colour
        );
    }
    let text = text.trim_end();
    let inner = text.trim_start();
    if inner.is_empty() {
        return;
    }
    let x = x + width(&text[..text.len() - inner.len()]);
    let colour = if look.reversed { PAPER } else { look.colour };
    let bold = if look.bold { " font-weight=\"bold\"" } else { "" };
    let dim = if look.dim { " opacity=\"0.6\"" } else { "" };
    let escaped = inner.replace('&', "&amp;").replace('<', "&lt;").replace(' ', "\u{a0}");
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{:.1}\" textLength=\"{:.1}\" fill=\"{colour}\"{bold}{dim}>{escaped}</text>",
        y + 13.5,
        width(inner)
    );
}

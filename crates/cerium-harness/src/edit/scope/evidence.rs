//! Lines that share text with an instruction, weighed by how rare the shared text is.

use crate::edit::instruction::{Piece, Shape, stems};
use crate::edit::strategy::Strategy;
use crate::edit::view::{View, has_word};
use crate::lines::LineSpan;
use crate::search::{stem, subwords};
use std::collections::HashMap;

/// Text on more lines than this points nowhere by itself.
const LINES_PER_TEXT_MAX: usize = 8;

/// What the lines of a file have in common with an instruction.
#[derive(Debug)]
pub(super) struct Evidence {
    /// Lines that hold code quoted in the instruction, each with the piece's rarity.
    strong: Vec<(usize, f64)>,
    /// Per line (index 0 is line 1), the weight of the words it shares.
    weights: Vec<f64>,
    /// Distinct words shared by each line.
    n_words: Vec<usize>,
    /// Lines of the rarest shared word.
    rarest: usize,
}

impl Evidence {
    /// Reads a file for what the pieces say, but for those whose place is already known.
    ///
    /// * `names`: pieces that name declarations
    pub(super) fn gather(view: &View<'_>, pieces: &[Piece], names: &[usize]) -> Self {
        let n_lines = view.lines.count();
        let mut strong: HashMap<usize, f64> = HashMap::new();
        let others = pieces.iter().enumerate().filter(|(i, _)| !names.contains(i));
        for (i, piece) in others.clone() {
            let inside = i > 0 && !matches!(pieces[i - 1].after, Some('.' | ':' | '!' | '?'));
            let lines = lines_with(view, piece, inside);
            if lines.is_empty() || lines.len() > LINES_PER_TEXT_MAX {
                continue;
            }
            for line in &lines {
                *strong.entry(*line).or_default() += 1.0 / lines.len() as f64;
            }
        }
        let mut strong: Vec<(usize, f64)> = strong.into_iter().collect();
        strong.sort_by_key(|&(line, _)| line);

        let said = stems(others.map(|(_, piece)| piece));
        let mut lines_of: HashMap<&str, Vec<usize>> = HashMap::new();
        for line in 1..=n_lines {
            for part in subwords(view.line(line)) {
                let lower = part.to_lowercase();
                let stem = stem(&lower);
                if let Some(said) = said.iter().find(|s| *s == stem) {
                    let lines = lines_of.entry(said).or_default();
                    if lines.last() != Some(&line) {
                        lines.push(line);
                    }
                }
            }
        }
        let (mut weights, mut n_words) = (vec![0.0; n_lines], vec![0; n_lines]);
        for lines in lines_of.values() {
            let weight = (1.0 + n_lines as f64 / lines.len() as f64).ln();
            for line in lines {
                weights[line - 1] += weight;
                n_words[line - 1] += 1;
            }
        }
        // A new number takes the place of another, a new string stands beside others.
        let absent =
            |shape| pieces.iter().any(|p| p.shape == shape && !view.text.contains(p.text.as_str()));
        let (number, string) = (absent(Shape::Number), absent(Shape::Quoted));
        for (i, weight) in weights.iter_mut().enumerate().filter(|(_, w)| **w > 0.0) {
            let line = view.line(i + 1);
            let digits = number && line.contains(|c: char| c.is_ascii_digit());
            let quotes = string && line.contains(['"', '\'']);
            *weight *= if digits || quotes { 1.4 } else { 1.0 };
        }
        let rarest = lines_of.values().map(Vec::len).min().unwrap_or(usize::MAX);
        Self { strong, weights, n_words, rarest }
    }

    /// Lines with quoted code inside a span.
    pub(super) fn strong_in(&self, span: LineSpan) -> Vec<usize> {
        let inside = |line: &usize| span.contains(LineSpan::line(*line));
        self.strong.iter().map(|&(line, _)| line).filter(inside).collect()
    }

    /// Lines with quoted code where `inside` does not hold, and which no line inside has too.
    pub(super) fn strong_outside(&self, inside: &dyn Fn(usize) -> bool) -> Vec<usize> {
        let lines: Vec<usize> = self.strong.iter().map(|&(line, _)| line).collect();
        if lines.iter().any(|&line| inside(line)) {
            return Vec::new();
        }
        lines
    }

    /// Whether the words alone say where to look.
    pub(super) fn is_convincing(&self) -> bool {
        self.n_words.iter().any(|&n| n >= 2) || self.rarest <= 3
    }

    /// The windows of a span whose lines share most with the instruction; at most two, and none
    /// without any shared word.
    pub(super) fn best_windows(
        &self,
        view: &View<'_>,
        span: LineSpan,
        strategy: &Strategy,
    ) -> Vec<LineSpan> {
        let weight = |line: usize| self.weights.get(line - 1).copied().unwrap_or_default();
        // Neighbours count a little: the comment above, the call's next line.
        let score = |line: usize| {
            let near = |at: Option<usize>| at.filter(|&n| n >= 1).map_or(0.0, weight);
            weight(line) + 0.3 * (near(line.checked_sub(1)) + near(Some(line + 1)))
        };
        let mut lines: Vec<(usize, f64)> = (span.start..=span.end)
            .filter(|&line| weight(line) > 0.0)
            .map(|line| (line, score(line)))
            .collect();
        lines.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let Some(&(_, best)) = lines.first() else { return Vec::new() };
        let mut windows: Vec<LineSpan> = Vec::new();
        for (line, score) in lines {
            let covered = windows.iter().any(|w| w.contains(LineSpan::line(line)));
            if score < 0.8 * best || windows.len() == 2 {
                break;
            }
            if !covered {
                windows.push(view.window(LineSpan::line(line), strategy.window_lines_max));
            }
        }
        windows
    }
}

/// Lines that hold a piece's code. Numbers and plain words are no strong evidence, but a
/// capitalised word inside a sentence is likely to be a name.
fn lines_with(view: &View<'_>, piece: &Piece, inside: bool) -> Vec<usize> {
    let text = match piece.shape {
        Shape::Quoted => piece.text.trim().trim_end_matches(['.', '\u{2026}']).trim(),
        Shape::Code => piece.text.trim_end_matches("()"),
        Shape::Word if inside && piece.text.starts_with(char::is_uppercase) => &piece.text,
        Shape::Number | Shape::Word => return Vec::new(),
    };
    if text.len() < 2 || text.contains('\n') {
        return Vec::new();
    }
    let lines = |text: &str| -> Vec<usize> {
        (1..=view.lines.count()).filter(|&line| has_word(view.line(line), text)).collect()
    };
    let exact = lines(text);
    if !exact.is_empty() || piece.shape == Shape::Quoted {
        return exact;
    }
    // `json.dumps(x)` said of `json.dumps(y)`, `self.name` of `name`.
    let head = text.split('(').next().unwrap_or_default();
    let found = lines(head);
    if !found.is_empty() || head.len() < 3 {
        return found;
    }
    let last = head.rsplit(['.', ':']).next().unwrap_or_default();
    if last.len() < 3 { Vec::new() } else { lines(last) }
}

//! Choosing what a model gets to see of a tree, within a budget of tokens, and how it is written.
//!
//! Excerpts come first in every prompt and are written the same way each time, so that a second
//! question about the same code finds its prompt already computed.

use crate::lines::LineSpan;
use crate::search::Piece;
use serde::Serialize;

/// Pieces that score below this part of the best one are left out: they cost time and distract.
const SCORE_PART_MIN: f32 = 0.15;
/// Pieces tried at most; counting tokens of hundreds would take longer than the search.
const N_PIECES_TRIED: usize = 64;

/// Lines of a file as a model gets to see them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Excerpt {
    /// File, relative to the root.
    pub path: String,
    /// Its lines.
    #[serde(flatten)]
    pub lines: LineSpan,
    /// What it declares, or what it is part of.
    pub names: Vec<String>,
    /// The lines, ending in a line feed.
    pub text: String,
}

impl Excerpt {
    fn new(piece: &Piece) -> Self {
        let mut text = piece.text.clone();
        if !text.ends_with('\n') {
            text.push('\n');
        }
        Self {
            path: piece.path.clone(),
            lines: piece.chunk.lines,
            names: piece.chunk.names.clone(),
            text,
        }
    }

    /// The excerpt as it stands in a prompt: a header line with `path:first-last`, then the lines.
    pub fn write(&self) -> String {
        format!("=== {}\n{}", self.place(), self.text)
    }

    /// `path:first-last`.
    pub fn place(&self) -> String {
        format!("{}:{}-{}", self.path, self.lines.start, self.lines.end)
    }

    /// Whether a line of a file is shown here.
    pub fn shows(&self, path: &str, line: usize) -> bool {
        self.path == path && self.lines.contains(LineSpan::line(line))
    }

    /// The text of a line, without its ending.
    pub fn line(&self, line: usize) -> Option<&str> {
        self.text.lines().nth(line.checked_sub(self.lines.start)?)
    }
}

/// Takes the best pieces that fit into `tokens_max` as [`Excerpt::write`] writes them. Neighbours
/// in a file become one excerpt; files come in the order of their best piece, and their excerpts
/// in the order of lines.
///
/// * `pieces`: best first
/// * `count_tokens`: how many tokens the model sees in a text
pub fn select(
    pieces: &[Piece],
    tokens_max: usize,
    count_tokens: &dyn Fn(&str) -> usize,
) -> Vec<Excerpt> {
    let mut left = tokens_max;
    let mut chosen: Vec<Excerpt> = Vec::new();
    let score_min = pieces.first().map_or(0.0, |best| best.score * SCORE_PART_MIN);
    let worthy = pieces.iter().take_while(|piece| piece.score >= score_min);
    for piece in worthy.take(N_PIECES_TRIED) {
        let mut excerpt = Excerpt::new(piece);
        let mut n_tokens = count_tokens(&excerpt.write());
        if n_tokens > left && chosen.is_empty() {
            // The best piece is worth showing in part.
            excerpt = shortened(excerpt, left, count_tokens);
            n_tokens = count_tokens(&excerpt.write());
        }
        if n_tokens <= left && !excerpt.text.trim().is_empty() {
            left -= n_tokens;
            chosen.push(excerpt);
        }
    }
    in_reading_order(chosen)
}

/// Cuts lines off the end until an excerpt fits.
fn shortened(excerpt: Excerpt, tokens_max: usize, count_tokens: &dyn Fn(&str) -> usize) -> Excerpt {
    let mut excerpt = excerpt;
    let mut left = tokens_max
        .saturating_sub(count_tokens(&Excerpt { text: String::new(), ..excerpt.clone() }.write()));
    let mut end = 0;
    let mut n_lines = 0;
    for line in excerpt.text.split_inclusive('\n') {
        let n_tokens = count_tokens(line);
        if n_tokens > left {
            break;
        }
        left -= n_tokens;
        end += line.len();
        n_lines += 1;
    }
    excerpt.text.truncate(end);
    excerpt.lines.end = (excerpt.lines.start + n_lines).saturating_sub(1);
    excerpt
}

/// Groups excerpts by file, sorts each file's by line and joins those that touch.
fn in_reading_order(chosen: Vec<Excerpt>) -> Vec<Excerpt> {
    let mut files: Vec<Vec<Excerpt>> = Vec::new();
    for excerpt in chosen {
        match files.iter_mut().find(|file| file[0].path == excerpt.path) {
            Some(file) => file.push(excerpt),
            None => files.push(vec![excerpt]),
        }
    }
    let mut ordered: Vec<Excerpt> = Vec::new();
    for mut file in files {
        file.sort_by_key(|excerpt| excerpt.lines.start);
        for excerpt in file {
            match ordered.last_mut() {
                Some(last)
                    if last.path == excerpt.path && last.lines.end + 1 == excerpt.lines.start =>
                {
                    last.lines.end = excerpt.lines.end;
                    last.text.push_str(&excerpt.text);
                    last.names.extend(excerpt.names);
                    last.names.dedup();
                }
                _ => ordered.push(excerpt),
            }
        }
    }
    ordered
}

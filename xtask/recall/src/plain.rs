//! Plain text search, as `grep` in the hand of somebody patient: every file in windows of equal length, those first
//! in which most of the question's words occur.

use cerium_harness::lines::LineSpan;
use cerium_harness::search::{Chunk, Piece};
use cerium_harness::workspace::{WalkLimits, Workspace};
use std::collections::BTreeSet;

/// Lines of a window.
const WINDOW: usize = 40;

/// Shorter words are in every text.
const LETTERS_MIN: usize = 4;

/// Windows with any of the question's words: most of them first, then most places.
pub(crate) fn search(workspace: &Workspace, question: &str) -> Vec<Piece> {
    let limits = WalkLimits::default();
    let wanted: BTreeSet<String> = words(question).collect();
    let mut pieces = Vec::new();
    for path in workspace.list(&[], &limits).files {
        let Ok(read) = workspace.read_text(&path, limits.file_bytes_max) else { continue };
        let lines: Vec<&str> = read.text.split_inclusive('\n').collect();
        for (i, window) in lines.chunks(WINDOW).enumerate() {
            let text = window.concat();
            let found: Vec<String> = words(&text).filter(|word| wanted.contains(word)).collect();
            let n_different = found.iter().collect::<BTreeSet<_>>().len();
            let start = i * WINDOW + 1;
            let lines = LineSpan { start, end: start + window.len() - 1 };
            let chunk = Chunk { lines, names: Vec::new() };
            let score = n_different as f32 + found.len() as f32 / 1e4;
            if n_different > 0 {
                pieces.push(Piece { path: path.clone(), chunk, text, score });
            }
        }
    }
    pieces.sort_by(|a, b| b.score.total_cmp(&a.score));
    pieces
}

fn words(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.filter(|word| word.chars().count() >= LETTERS_MIN).map(str::to_lowercase)
}

//! Finding the code that a question is about: terms of the question, one parallel pass over the
//! tree, and a ranking of declarations and windows of lines.
//!
//! Nothing is indexed or kept: a tree of five thousand files is searched in well under a second,
//! and an index could be stale. Files are read again only when they rank high.

mod chunk;
mod rank;
mod scan;
mod terms;

pub use chunk::{Chunk, Declared, chunks};
pub use rank::FileKind;
pub(crate) use scan::is_definition as defines;
pub use terms::{Query, Term, TermKind, query, stem, subwords};
pub(crate) use terms::{is_stop_word, is_word_char};

use crate::syntax::{self, Decl, DeclKind, Language};
use crate::workspace::{WalkLimits, Workspace};
use rank::{Rarity, chunk_scores, file_score};
use scan::{FileHits, Matcher, scan};
use std::collections::HashMap;
use std::path::Path;

/// Files that are cut into pieces and ranked by them.
const N_FILES_RANKED: usize = 24;
/// Pieces returned at most.
const N_PIECES_MAX: usize = 200;
/// What every further piece of a file is worth, as a part of the one before it: an answer mostly lies in
/// several files, and of two like pieces the one from another file tells more.
const SAME_FILE: f32 = 0.95;

/// Bounds of a search and where to look.
#[derive(Clone, Debug)]
pub struct SearchOptions {
    /// Files and directories, relative to the root; none means the whole tree.
    pub within: Vec<String>,
    /// Bounds of the walk.
    pub walk: WalkLimits,
    /// Bytes read in all.
    pub bytes_max: u64,
}

impl Default for SearchOptions {
    fn default() -> Self {
        Self { within: Vec::new(), walk: WalkLimits::default(), bytes_max: 512 << 20 }
    }
}

/// A piece of a file that matches.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// File, relative to the root.
    pub path: String,
    /// Its lines and the names it declares.
    pub chunk: Chunk,
    /// Its lines, each with its line ending.
    pub text: String,
    /// Higher is better; comparable only within one search.
    pub score: f32,
}

/// What a search found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Best first.
    pub pieces: Vec<Piece>,
    /// Files of the tree (or of the parts searched), in order of their paths.
    pub files: Vec<String>,
    /// Files read as text.
    pub n_files_read: usize,
    /// Bytes read.
    pub n_bytes: u64,
    /// Whether a bound ended the walk or the reading early.
    pub cut: bool,
}

/// Searches the tree for what a question is about.
pub fn search(workspace: &Workspace, query: &Query, options: &SearchOptions) -> Found {
    let listing = workspace.list(&options.within, &options.walk);
    let mut found = Found { files: listing.files, cut: listing.cut, ..Found::default() };
    let Some(matcher) = Matcher::new(query) else { return found };
    let scan =
        scan(workspace, &found.files, &matcher, options.walk.file_bytes_max, options.bytes_max);
    found.n_files_read = scan.n_files;
    found.n_bytes = scan.n_bytes;
    found.cut |= scan.cut;
    let rarity = Rarity::new(query, &scan.files, scan.n_files);
    let mut files: Vec<(f32, &FileHits)> = scan
        .files
        .iter()
        .map(|file| (file_score(query, &rarity, file, &matcher.terms_in(&file.path)), file))
        .collect();
    files.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.path.cmp(&b.1.path)));
    for &(score, file) in files.iter().take(N_FILES_RANKED) {
        let Ok(read) = workspace.read_text(&file.path, options.walk.file_bytes_max) else {
            continue; // Gone or changed since the scan.
        };
        let chunks = chunks(&read.text, &declared(&file.path, &read.text));
        let scores =
            chunk_scores(query, &rarity, file, score, &chunks, |name| matcher.terms_in(name));
        for (chunk, score) in chunks.into_iter().zip(scores).filter(|&(_, score)| score > 0.0) {
            let text = lines_of(&read.text, &chunk);
            found.pieces.push(Piece { path: file.path.clone(), chunk, text, score });
        }
    }
    // Equal scores keep the order of paths and lines, so that equal questions see equal excerpts.
    found.pieces.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut n_before: HashMap<String, i32> = HashMap::new();
    for piece in &mut found.pieces {
        let n = n_before.entry(piece.path.clone()).or_default();
        piece.score *= SAME_FILE.powi(*n);
        *n += 1;
    }
    found.pieces.sort_by(|a, b| b.score.total_cmp(&a.score));
    found.pieces.truncate(N_PIECES_MAX);
    found
}

/// The whole of some files in pieces, for when there is nothing to search for.
pub fn whole(workspace: &Workspace, paths: &[String], bytes_max: u64) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut left = bytes_max;
    for path in paths {
        let Ok(read) = workspace.read_text(path, left) else { continue };
        left -= read.text.len() as u64;
        for chunk in chunks(&read.text, &declared(path, &read.text)) {
            let text = lines_of(&read.text, &chunk);
            pieces.push(Piece { path: path.clone(), chunk, text, score: 0.0 });
        }
    }
    pieces
}

fn lines_of(text: &str, chunk: &Chunk) -> String {
    text.split_inclusive('\n').skip(chunk.lines.start - 1).take(chunk.lines.count()).collect()
}

/// What a file declares, when a grammar knows its language. Fields and variables stay with what is
/// around them unless they are large.
fn declared(path: &str, text: &str) -> Vec<Declared> {
    let parsed = Language::of(Path::new(path)).and_then(|language| syntax::parse(language, text));
    let decls = parsed.map(|parsed| parsed.declarations()).unwrap_or_default();
    let worth_it = |decl: &Decl| decl.kind != DeclKind::Field && decl.kind != DeclKind::Module;
    let declared = |decl: Decl| Declared { name: decl.path, lines: decl.lines };
    decls.into_iter().filter(worth_it).map(declared).collect()
}

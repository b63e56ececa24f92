//! Which files is an instruction about, when nobody named one?
//!
//! A path or a declared name in the instruction tells; a name to be replaced tells of every file
//! that holds it. Else the tree is searched for what the instruction speaks of, and the model picks
//! one of the best files from an outline of them.

use super::error::EditError;
use super::run::refused;
use super::view::has_word;
use crate::backend::Backend;
use crate::search::{FileKind, Piece, SearchOptions, query, search};
use crate::syntax::{self, Language, outline};
use crate::workspace::{Workspace, sole_match};
use cerium_protocol::{CreateResponse, Extensions, Input, Status};
use serde::Serialize;
use std::fmt::{self, Write};
use std::ops::ControlFlow;
use std::path::Path;

/// Files of one edit at most that nobody named.
const FILES_MAX: usize = 16;

/// Files shown to a model.
const SHOWN_FILES_MAX: usize = 8;

/// Declarations shown of each.
const SHOWN_DECLS_MAX: usize = 12;

/// Larger files are not looked into.
const FILE_BYTES_MAX: u64 = 1 << 20;

const SYSTEM: &str = "You are shown some files of a project, each with its number and what it \
                      declares, and an instruction for an edit. Answer with the number of the one \
                      file that has to be edited, and nothing else.";

/// A file that an instruction is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Picked {
    /// Relative to the root.
    pub path: String,
    /// What told.
    pub why: Why,
}

/// What told that a file is meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The instruction names it.
    Named,
    /// It declares a name of the instruction.
    Declares(String),
    /// It holds a name that is to be replaced.
    Holds(String),
    /// It is the only one that has to do with the instruction.
    Alone,
    /// The model picked it out of so many.
    Chosen(usize),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named => f.write_str("the instruction names it"),
            Self::Declares(name) => write!(f, "it declares `{name}`"),
            Self::Holds(name) => write!(f, "it holds `{name}`"),
            Self::Alone => f.write_str("nothing else matches"),
            Self::Chosen(n) => write!(f, "the model picked it out of {n}"),
        }
    }
}

/// Files that an instruction may be about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileChoice {
    /// These.
    Sure(Vec<Picked>),
    /// One of these; a model has to say which.
    Unsure(Vec<String>),
}

/// Finds the files that an instruction is about, as far as that can be told without a model.
///
/// # Errors
/// `EmptyInstruction`, `NoFile`.
pub fn find_files(workspace: &Workspace, instruction: &str) -> Result<FileChoice, EditError> {
    let instruction = instruction.trim();
    if instruction.is_empty() {
        return Err(EditError::EmptyInstruction);
    }
    let found = search(workspace, &query(instruction), &SearchOptions::default());
    let words: Vec<&str> = words(instruction).collect();
    let named = words.iter().filter(|word| word.contains(['.', '/']));
    let mut paths: Vec<String> =
        named.filter_map(|word| sole_match(&found.files, word.trim_start_matches("./"))).collect();
    paths.sort_unstable();
    paths.dedup();
    if !paths.is_empty() {
        return Ok(sure(paths, &Why::Named));
    }
    if let Some(name) = replaced(instruction, &words) {
        let holders = holders(workspace, &found.pieces, name);
        if (1..=FILES_MAX).contains(&holders.len()) {
            return Ok(sure(holders, &Why::Holds(name.to_owned())));
        }
    }
    for name in words.iter().filter(|word| is_name(word)) {
        if let [path] = declaring(&found.pieces, name).as_slice() {
            return Ok(sure(vec![path.clone()], &Why::Declares((*name).to_owned())));
        }
    }
    let mut files = by_rank(&found.pieces);
    files.truncate(SHOWN_FILES_MAX);
    match files.as_slice() {
        [] => Err(EditError::NoFile),
        [_] => Ok(sure(files, &Why::Alone)),
        _ => Ok(FileChoice::Unsure(files)),
    }
}

/// Has a model pick one of some files by their outlines.
///
/// # Errors
/// `Cancelled` when `go_on` breaks off; `NoFile` when the answer names none; `Backend`.
pub fn pick_file(
    backend: &dyn Backend,
    workspace: &Workspace,
    instruction: &str,
    files: &[String],
    go_on: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<Picked, EditError> {
    let model = backend.model();
    let mut shown = String::new();
    let mut n_shown = 0;
    let request = format!("\nInstruction: {}\n", instruction.trim());
    for (n, path) in files.iter().enumerate() {
        let more = described(workspace, n + 1, path);
        let n_tokens = backend.count_tokens(&format!("{shown}{more}{request}"));
        if n_tokens + 128 > model.context_tokens / 2 {
            break;
        }
        shown += &more;
        n_shown += 1;
    }
    let request = CreateResponse {
        instructions: Some(SYSTEM.to_owned()),
        max_output_tokens: Some(4),
        temperature: Some(0.0),
        cerium: Extensions {
            prefix: "File ".to_owned(),
            stop: vec!["\n".to_owned()],
            ..Extensions::default()
        },
        ..CreateResponse::new(model.name, Input::Text(shown + &request))
    };
    let mut cancelled = false;
    let response = backend.respond(&request, &mut |_| {
        cancelled |= go_on().is_break();
        if cancelled { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let response = response.map_err(refused)?;
    if cancelled || response.status == Status::Cancelled {
        return Err(EditError::Cancelled);
    }
    let text = response.text();
    let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit());
    let number: Option<usize> =
        digits.split(|c: char| !c.is_ascii_digit()).next().and_then(|number| number.parse().ok());
    let picked = number.filter(|n| (1..=n_shown).contains(n)).and_then(|n| files.get(n - 1));
    let path = picked.ok_or(EditError::NoFile)?.clone();
    Ok(Picked { path, why: Why::Chosen(n_shown) })
}

fn sure(paths: Vec<String>, why: &Why) -> FileChoice {
    let picked = |path| Picked { path, why: why.clone() };
    FileChoice::Sure(paths.into_iter().map(picked).collect())
}

/// Words of an instruction without what stands around them.
fn words(instruction: &str) -> impl Iterator<Item = &str> {
    let around = |c: char| !(c.is_alphanumeric() || matches!(c, '_' | '$' | '/'));
    instruction.split([' ', '\n', '\t', ',', '`', '\'', '"', '(']).map(move |word| {
        // A hidden file keeps its dot, a sentence does not.
        word.trim_end_matches(around).trim_start_matches(|c| around(c) && c != '.')
    })
}

/// Whether a word can only be a name of code.
fn is_name(word: &str) -> bool {
    let inner_capital = word.chars().skip(1).any(char::is_uppercase);
    let lower = word.chars().any(char::is_lowercase);
    syntax::is_identifier(word) && (word.contains('_') || (inner_capital && lower))
}

/// The name that an instruction wants to be another everywhere: `rename X to Y`.
fn replaced<'w>(instruction: &str, words: &[&'w str]) -> Option<&'w str> {
    let first = instruction.split_whitespace().next()?;
    let renames = first.eq_ignore_ascii_case("rename");
    let skipped = ["the", "function", "method", "class", "variable", "struct", "type", "constant"];
    let mut rest = words.iter().skip(1).filter(|word| !word.is_empty());
    let name = rest.find(|word| !skipped.contains(word))?;
    (renames && syntax::is_identifier(name)).then_some(name)
}

/// Files of code that hold a name as a whole word, in order of their paths.
fn holders(workspace: &Workspace, pieces: &[Piece], name: &str) -> Vec<String> {
    let mut files = by_rank(pieces);
    files.retain(|path| matches!(FileKind::of(path), FileKind::Code | FileKind::Test));
    files.retain(|path| {
        let read = workspace.read_text(path, FILE_BYTES_MAX);
        read.is_ok_and(|read| read.text.lines().any(|line| has_word(line, name)))
    });
    files.sort_unstable();
    files
}

/// Files with a declaration of this name.
fn declaring(pieces: &[Piece], name: &str) -> Vec<String> {
    let declares = |piece: &&Piece| {
        piece.chunk.names.iter().any(|declared| declared.rsplit('.').next() == Some(name))
    };
    let mut paths: Vec<String> =
        pieces.iter().filter(declares).map(|piece| piece.path.clone()).collect();
    paths.sort_unstable();
    paths.dedup();
    paths
}

/// Files by their best piece, code before everything else.
fn by_rank(pieces: &[Piece]) -> Vec<String> {
    let mut files: Vec<String> = Vec::new();
    for piece in pieces {
        if !files.contains(&piece.path) {
            files.push(piece.path.clone());
        }
    }
    files.sort_by_key(|path| FileKind::of(path) != FileKind::Code);
    files
}

/// A file in a few lines.
fn described(workspace: &Workspace, number: usize, path: &str) -> String {
    let mut text = format!("{number}: {path}\n");
    let Ok(read) = workspace.read_text(path, FILE_BYTES_MAX) else { return text };
    let Some(parsed) = Language::of(Path::new(path)).and_then(|l| syntax::parse(l, &read.text))
    else {
        return text;
    };
    let outermost = outline(&parsed).into_iter().filter(|line| line.depth == 0);
    for line in outermost.take(SHOWN_DECLS_MAX) {
        let _ = writeln!(text, "   {}", line.signature); // Writing to a string cannot fail.
    }
    text
}

//! One pass over the bytes of every file: where do the terms of a query occur?
//!
//! An Aho-Corasick automaton finds every term at once, case ignored; each find is then checked to
//! be a whole identifier (a name) or a whole part of one whose stem is the term. Files are shared
//! out to a few threads, and only the finds are kept.

use super::terms::{Query, TermKind, begins_part, is_word_char, stem};
use crate::workspace::{Workspace, is_binary, read_bytes};
use aho_corasick::{AhoCorasick, AhoCorasickBuilder, AhoCorasickKind};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Finds kept of one file, so that a generated file of a million hits costs no more than others.
const N_HITS_MAX: usize = 5_000;
/// Threads of a scan at most; past this the disk or the page cache is the limit.
const N_THREADS_MAX: usize = 8;

/// Where terms occur in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileHits {
    /// Relative to the root.
    pub path: String,
    /// Number of lines.
    pub n_lines: usize,
    /// Finds in order of their lines.
    pub hits: Vec<Hit>,
}

/// One find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    /// 1-based.
    pub line: u32,
    /// Index into the terms of the query.
    pub term: u16,
    /// The word before it on the line says that it is defined here.
    pub defines: bool,
}

/// Keywords that stand before a name where it is defined, in the languages we read.
const DEFINERS: &[&str] = &[
    "def",
    "class",
    "fn",
    "func",
    "function",
    "struct",
    "enum",
    "trait",
    "interface",
    "type",
    "const",
    "static",
    "mod",
    "module",
    "macro_rules",
    "union",
    "namespace",
    "let",
    "var",
    "define",
];

/// What a scan needs of a query, built once.
pub(crate) struct Matcher {
    automaton: AhoCorasick,
    kinds: Vec<TermKind>,
    /// Stem to the index of its term.
    stems: HashMap<String, u16>,
}

impl Matcher {
    /// Nothing when the query has no terms.
    pub(crate) fn new(query: &Query) -> Option<Self> {
        let texts: Vec<&str> = query.terms.iter().map(|term| term.text.as_str()).collect();
        if texts.is_empty() {
            return None;
        }
        let mut builder = AhoCorasickBuilder::new();
        builder.ascii_case_insensitive(true).kind(Some(AhoCorasickKind::DFA));
        // Fails only for more states than the query's bounded terms can make.
        let automaton = builder.build(&texts).ok()?;
        let stems = query.terms.iter().enumerate().filter(|(_, term)| term.kind == TermKind::Stem);
        let stems = stems.map(|(i, term)| (term.text.clone(), i as u16)).collect();
        let kinds = query.terms.iter().map(|term| term.kind).collect();
        Some(Self { automaton, kinds, stems })
    }

    /// All finds in one text.
    pub(crate) fn hits(&self, text: &str) -> Vec<Hit> {
        let mut hits = Vec::new();
        let (mut line, mut counted) = (1, 0);
        for found in self.automaton.find_overlapping_iter(text) {
            let (start, end) = (found.start(), found.end());
            let term = found.pattern().as_usize();
            let real = match self.kinds[term] {
                TermKind::Name => stands_alone(text, start, end),
                TermKind::Stem => self.is_part(text, start, term as u16),
            };
            if !real {
                continue;
            }
            // Finds come in order of their ends; within one line that is near enough.
            if start > counted {
                line += text[counted..start].matches('\n').count();
                counted = start;
            }
            let defines = self.kinds[term] == TermKind::Name && is_definition(text, start);
            hits.push(Hit { line: line as u32, term: term as u16, defines });
            if hits.len() == N_HITS_MAX {
                break;
            }
        }
        hits
    }

    /// Which terms occur in a short text such as a path or a name.
    pub(crate) fn terms_in(&self, text: &str) -> Vec<u16> {
        let mut terms: Vec<u16> = self.hits(text).iter().map(|hit| hit.term).collect();
        terms.sort_unstable();
        terms.dedup();
        terms
    }

    /// Whether the part of an identifier that begins at `start` has the term as its stem.
    fn is_part(&self, text: &str, start: usize, term: u16) -> bool {
        let Some(part) = part_at(text, start) else { return false };
        let lower = part.to_lowercase();
        self.stems.get(stem(&lower)) == Some(&term)
    }
}

/// Whether the identifier at `start..end` is whole.
fn stands_alone(text: &str, start: usize, end: usize) -> bool {
    let before = text.get(..start).and_then(|text| text.chars().next_back());
    let after = text.get(end..).and_then(|text| text.chars().next());
    !before.is_some_and(is_word_char) && !after.is_some_and(is_word_char)
}

/// The part of an identifier that begins at `start`, if one begins there.
fn part_at(text: &str, start: usize) -> Option<&str> {
    let rest = text.get(start..)?;
    let mut chars = rest.char_indices();
    let (_, first) = chars.next()?;
    let second = rest[first.len_utf8()..].chars().next();
    let before = text[..start].chars().next_back().filter(|c| c.is_alphanumeric());
    if before.is_some_and(|before| !begins_part(before, first, second)) {
        return None;
    }
    let mut previous = first;
    for (at, c) in chars {
        let next = rest[at + c.len_utf8()..].chars().next();
        if !c.is_alphanumeric() || begins_part(previous, c, next) || at > 64 {
            return Some(&rest[..at]);
        }
        previous = c;
    }
    Some(rest)
}

/// Whether the word before `start` on its line is one that introduces a definition.
pub(crate) fn is_definition(text: &str, start: usize) -> bool {
    let line = &text[text[..start].rfind('\n').map_or(0, |at| at + 1)..start];
    let Some(word) = line.split_whitespace().next_back() else { return false };
    line.ends_with(char::is_whitespace) && DEFINERS.contains(&word.trim_start_matches("export."))
}

/// What a scan saw of a tree.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Files with at least one find, in order of their paths.
    pub files: Vec<FileHits>,
    /// Files read as text.
    pub n_files: usize,
    /// Bytes read.
    pub n_bytes: u64,
    /// Whether `bytes_max` ended the scan before the last file.
    pub cut: bool,
}

/// Reads the files and finds the terms in them.
///
/// * `paths`: relative to the root
/// * `file_bytes_max`: files above this size are left out
/// * `bytes_max`: no file is begun after so many bytes were read in all
pub(crate) fn scan(
    workspace: &Workspace,
    paths: &[String],
    matcher: &Matcher,
    file_bytes_max: u64,
    bytes_max: u64,
) -> Scan {
    let next = AtomicUsize::new(0);
    let (n_files, n_bytes) = (AtomicUsize::new(0), AtomicU64::new(0));
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from).min(N_THREADS_MAX);
    let work = || {
        let mut found = Vec::new();
        while n_bytes.load(Ordering::Relaxed) < bytes_max {
            let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
            let Ok(bytes) = read_bytes(&workspace.root().join(path), file_bytes_max) else {
                continue;
            };
            n_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            if is_binary(&bytes) {
                continue;
            }
            n_files.fetch_add(1, Ordering::Relaxed);
            // Older encodings are searched as far as they are ASCII.
            let text = String::from_utf8_lossy(&bytes);
            let hits = matcher.hits(&text);
            if !hits.is_empty() {
                found.push(FileHits { path: path.clone(), n_lines: text.lines().count(), hits });
            }
        }
        found
    };
    let mut files: Vec<FileHits> = std::thread::scope(|scope| {
        let threads: Vec<_> = (1..n_threads).map(|_| scope.spawn(work)).collect();
        let mut files = work();
        for thread in threads {
            // A panicking scan is our bug and must not be swallowed.
            files.extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        files
    });
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Scan {
        files,
        n_files: n_files.into_inner(),
        n_bytes: n_bytes.into_inner(),
        cut: next.into_inner() < paths.len(),
    }
}

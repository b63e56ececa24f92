//! One text seen every way an edit looks at it: lines, tree, declarations.

use crate::lines::{LineIndex, LineSpan};
use crate::syntax::{self, Decl, DeclKind, Language, Parsed};
use std::path::Path;

/// A text with its lines and, where there is a grammar, its tree.
#[derive(Debug)]
pub struct View<'t> {
    pub(crate) text: &'t str,
    pub(crate) lines: LineIndex,
    pub(crate) language: Option<Language>,
    pub(crate) parsed: Option<Parsed<'t>>,
    pub(crate) decls: Vec<Decl>,
}

impl<'t> View<'t> {
    /// Looks at a text; the path only tells the language.
    pub fn new(path: &Path, text: &'t str) -> Self {
        let language = Language::of(path);
        let parsed = language.and_then(|language| syntax::parse(language, text));
        let decls = parsed.as_ref().map(Parsed::declarations).unwrap_or_default();
        Self { text, lines: LineIndex::new(text), language, parsed, decls }
    }

    /// One line without its ending.
    pub(crate) fn line(&self, line: usize) -> &'t str {
        self.lines.text(self.text, line)
    }

    /// The lines of a span, without endings.
    pub(crate) fn block(&self, span: LineSpan) -> Vec<&'t str> {
        (span.start..=span.end.min(self.lines.count())).map(|n| self.line(n)).collect()
    }

    /// What the grammar could not read; 0 without a grammar.
    pub(crate) fn errors(&self) -> usize {
        self.parsed.as_ref().map_or(0, Parsed::errors)
    }

    /// The smallest run of statements around a span, if it is not too long; else the span with a
    /// line on either side, kept inside the span's declaration.
    pub(crate) fn window(&self, span: LineSpan, n_lines_max: usize) -> LineSpan {
        let statements = self.parsed.as_ref().map(|parsed| {
            let found = parsed.statements(span);
            // A comment speaks of what follows it.
            if (found.start..=found.end).all(|line| self.is_comment(line)) {
                found.hull(parsed.statements(LineSpan::line(found.end + 1)))
            } else {
                found
            }
        });
        if let Some(statements) = statements.filter(|s| s.count() <= n_lines_max) {
            return statements;
        }
        let near = LineSpan::new(
            span.start.saturating_sub(2).max(1),
            (span.end + 2).min(self.lines.count()),
        );
        match self.enclosing(span) {
            Some(decl) => {
                LineSpan::new(near.start.max(decl.lines.start), near.end.min(decl.lines.end))
                    .hull(span)
            }
            None => near,
        }
    }

    /// The lines of the smallest declaration around a span: what somebody means who points at a place.
    pub fn around(&self, span: LineSpan) -> Option<LineSpan> {
        self.enclosing(span).map(|decl| decl.lines)
    }

    /// The smallest declaration other than a field around a span.
    pub(crate) fn enclosing(&self, span: LineSpan) -> Option<&Decl> {
        let around = self.decls.iter().filter(|decl| decl.lines.contains(span));
        around.filter(|decl| decl.kind != DeclKind::Field).min_by_key(|decl| decl.lines.count())
    }

    fn is_comment(&self, line: usize) -> bool {
        let text = self.line(line).trim_start();
        let (mark, _) = self.language.map_or(("#", ""), Language::comment);
        !text.is_empty() && text.starts_with(mark.trim_end()) && line < self.lines.count()
    }

    /// Whether a line begins with, or goes on with, an import.
    pub(crate) fn is_import(&self, line: usize) -> bool {
        let text = self.line(line);
        let starts = |words: &[&str]| words.iter().any(|word| text.starts_with(word));
        match self.language {
            Some(Language::Python) => starts(&["import ", "from "]),
            Some(Language::Rust) => {
                starts(&["use ", "pub use ", "extern crate ", "pub(crate) use "])
            }
            Some(Language::C | Language::Cpp) => starts(&["#include", "using "]),
            Some(Language::Css) => starts(&["@import"]),
            Some(Language::JavaScript | Language::TypeScript | Language::Tsx) => {
                starts(&["import "])
                    || (starts(&["const ", "var ", "let "]) && text.contains("require("))
            }
            _ => starts(&["import "]),
        }
    }

    /// First and last line of the imports at the top of the file.
    pub(crate) fn imports(&self) -> Option<LineSpan> {
        let first_code =
            self.decls.iter().filter(|d| d.kind.is_callable() || d.kind == DeclKind::Type);
        let end = first_code.map(|d| d.lines.start).min().unwrap_or(self.lines.count() + 1);
        let mut imports = (1..end).filter(|&line| self.is_import(line));
        let first = imports.next()?;
        let last = imports.next_back().unwrap_or(first);
        let parsed = self.parsed.as_ref();
        let last = parsed.map_or(last, |p| p.statements(LineSpan::line(last)).end.min(last + 40));
        Some(LineSpan::new(first, last))
    }
}

/// Whether `word` occurs in `line` with no word character on either side.
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let begins = word.chars().next().is_some_and(is_word);
    let ends = word.chars().next_back().is_some_and(is_word);
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_some_and(is_word);
        let after = line[at + word.len()..].chars().next().is_some_and(is_word);
        (!begins || !before) && (!ends || !after)
    })
}

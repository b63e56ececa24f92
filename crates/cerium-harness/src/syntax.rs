//! What tree-sitter knows of a source text: whether it parses, what it declares, where names occur.
//!
//! [`Language::of`] picks a grammar by file name, [`parse`] makes a tree that borrows the text, and
//! everything else is asked of that tree. Trees of broken code are useful too: [`Parsed::errors`]
//! counts what the grammar could not read, so that an edit can be held to "parses at least as well
//! as before".

mod declarations;
mod identifiers;
mod language;
mod outline;

pub use declarations::{Decl, DeclKind};
pub use identifiers::{Occurrence, Role as NameRole, is_identifier};
pub use language::Language;
pub use outline::{OutlineLine, outline, render_outline};

use crate::lines::{LineIndex, LineSpan};
use std::ops::{ControlFlow, Range};
use std::time::{Duration, Instant};
use tree_sitter::{Node, ParseOptions, ParseState, Parser, Tree};

/// A parse that takes longer is given up; hostile input can make a grammar crawl.
const PARSE_TIME_MAX: Duration = Duration::from_secs(5);

/// A parsed text.
#[derive(Debug)]
pub struct Parsed<'t> {
    text: &'t str,
    language: Language,
    lines: LineIndex,
    tree: Tree,
}

/// Parses a text; `None` when the grammar needed more than five seconds.
pub fn parse(language: Language, text: &str) -> Option<Parsed<'_>> {
    let mut parser = Parser::new();
    parser.set_language(&language.grammar()).ok()?;
    let start = Instant::now();
    let mut give_up = |_: &ParseState| {
        if start.elapsed() > PARSE_TIME_MAX {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let options = ParseOptions::new().progress_callback(&mut give_up);
    let bytes = text.as_bytes();
    let tree = parser.parse_with_options(
        &mut |at, _| bytes.get(at..).unwrap_or_default(),
        None,
        Some(options),
    )?;
    Some(Parsed { text, language, lines: LineIndex::new(text), tree })
}

/// Errors of a text in a language, or none when the file has no grammar or the parser gave up:
/// what cannot be checked is not held against an edit.
pub fn count_errors(language: Option<Language>, text: &str) -> usize {
    language.and_then(|l| parse(l, text)).map_or(0, |parsed| parsed.errors())
}

impl<'t> Parsed<'t> {
    /// The text that was parsed.
    pub fn text(&self) -> &'t str {
        self.text
    }

    /// The language it was parsed as.
    pub fn language(&self) -> Language {
        self.language
    }

    /// The text's lines.
    pub fn lines(&self) -> &LineIndex {
        &self.lines
    }

    /// How many places the grammar could not read: nodes marked as error or missing.
    pub fn errors(&self) -> usize {
        if !self.tree.root_node().has_error() {
            return 0;
        }
        let mut n_errors = 0;
        self.walk(|node| {
            n_errors += usize::from(node.is_error() || node.is_missing());
            node.has_error()
        });
        n_errors
    }

    /// Lines of the first place the grammar could not read.
    pub fn first_error(&self) -> Option<LineSpan> {
        let mut first: Option<Range<usize>> = None;
        self.walk(|node| {
            if first.is_none() && (node.is_error() || node.is_missing()) {
                first = Some(node.byte_range());
            }
            first.is_none() && node.has_error()
        });
        first.map(|bytes| self.lines.span_of(&bytes))
    }

    /// Every declaration, in the order of the text; containers come before their members.
    pub fn declarations(&self) -> Vec<Decl> {
        declarations::collect(self)
    }

    /// The smallest declaration that holds all the lines of a span.
    pub fn enclosing(&self, span: LineSpan) -> Option<Decl> {
        self.declarations()
            .into_iter()
            .filter(|decl| decl.lines.contains(span))
            .min_by_key(|decl| decl.lines.count())
    }

    /// Lines of the smallest run of sibling statements that holds a span: what one would select
    /// before typing over it. Grows to whole lines; a span inside one statement gives that one.
    pub fn statements(&self, span: LineSpan) -> LineSpan {
        let bytes = self.trimmed(span);
        let Some(mut node) =
            self.tree.root_node().named_descendant_for_byte_range(bytes.start, bytes.end)
        else {
            return span;
        };
        loop {
            // The node's own children may tile the span more tightly than the node.
            let mut hull: Option<LineSpan> = None;
            let mut cursor = node.walk();
            for child in node.children(&mut cursor) {
                let lines = self.lines_of(child);
                if lines.overlaps(span) {
                    hull = Some(hull.map_or(lines, |h| h.hull(lines)));
                }
            }
            let own = self.lines_of(node);
            let statements = self.language.is_block(node.kind());
            match hull {
                Some(hull) if statements && hull.contains(span) => return hull,
                _ if language::is_statement(node.kind()) && own.contains(span) => return own,
                _ => match node.parent() {
                    Some(parent) => node = parent,
                    None => return own.hull(span),
                },
            }
        }
    }

    /// Where a name occurs as an identifier (never inside strings or comments).
    pub fn occurrences(&self, name: &str) -> Vec<Occurrence> {
        identifiers::occurrences(self, name)
    }

    /// Every distinct identifier in a range of bytes, in order of appearance.
    pub fn identifiers(&self, bytes: &Range<usize>) -> Vec<&'t str> {
        identifiers::within(self, bytes)
    }

    /// Byte ranges of all comments.
    pub fn comments(&self) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        self.walk(|node| {
            let comment = node.kind().ends_with("comment");
            if comment {
                found.push(node.byte_range());
            }
            !comment
        });
        found
    }

    fn root(&self) -> Node<'_> {
        self.tree.root_node()
    }

    /// Visits nodes in text order; descends where `visit` says so. Iterative: hostile files nest
    /// deeper than any stack.
    fn walk(&self, mut visit: impl FnMut(Node<'_>) -> bool) {
        let mut cursor = self.tree.walk();
        loop {
            let descend = visit(cursor.node());
            if descend && cursor.goto_first_child() {
                continue;
            }
            while !cursor.goto_next_sibling() {
                if !cursor.goto_parent() {
                    return;
                }
            }
        }
    }

    /// Lines of a node. Nodes that swallow their line ending do not reach into the next line.
    fn lines_of(&self, node: Node<'_>) -> LineSpan {
        let bytes = node.byte_range();
        let tail = self.text[bytes.clone()].trim_end();
        self.lines.span_of(&(bytes.start..bytes.start + tail.len()))
    }

    /// Bytes of a span without the white space around its text.
    fn trimmed(&self, span: LineSpan) -> Range<usize> {
        let bytes = self.lines.bytes(span);
        let text = &self.text[bytes.clone()];
        let start = bytes.start + (text.len() - text.trim_start().len());
        start..(start + text.trim().len()).max(start)
    }
}

#[cfg(test)]
mod tests;

//! What a text declares: functions, types, members, constants, with everything that belongs to them.
//!
//! A declaration's span starts at the comments, attributes and decorators directly above it and ends
//! with its body, so that cutting the span out of the file leaves nothing of it behind. Local
//! variables are not declarations; functions inside functions are.

mod kinds;

use super::{Language, Parsed};
use crate::lines::LineSpan;
use kinds::Found;
use std::ops::Range;
use tree_sitter::Node;

/// What sort of thing is declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeclKind {
    /// A function that belongs to no type.
    Function,
    /// A function that belongs to a type.
    Method,
    /// A class, struct, enum, union, trait, interface or record.
    Type,
    /// A Rust `impl` block; its name is the type's.
    Impl,
    /// A module or namespace.
    Module,
    /// A constant or variable outside functions.
    Variable,
    /// A field, property or enum variant.
    Field,
    /// A macro.
    Macro,
}

impl DeclKind {
    /// A word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Function => "function",
            Self::Method => "method",
            Self::Type => "type",
            Self::Impl => "impl",
            Self::Module => "module",
            Self::Variable => "variable",
            Self::Field => "field",
            Self::Macro => "macro",
        }
    }

    /// Whether it has code of its own to run.
    pub fn is_callable(self) -> bool {
        matches!(self, Self::Function | Self::Method | Self::Macro)
    }
}

/// One declaration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decl {
    /// Its own name, such as `method`.
    pub name: String,
    /// Name with containers, joined by dots in every language: `Class.method`.
    pub path: String,
    /// What it is.
    pub kind: DeclKind,
    /// All its lines: comments, attributes and decorators above it included.
    pub lines: LineSpan,
    /// Bytes from the first of the comments, attributes or decorators to the end.
    pub bytes: Range<usize>,
    /// Line with the keyword or name, after what stands above.
    pub def_line: usize,
    /// Last line of the signature: the one before the body, or the one that opens it.
    pub head_end: usize,
    /// Bytes of the name where it is declared.
    pub name_bytes: Range<usize>,
    /// Lines of its documentation: a doc string inside or a comment above.
    pub doc: Option<LineSpan>,
    /// The signature on one line, without the body.
    pub signature: String,
}

impl Decl {
    /// The containers' part of the path; empty at the top level.
    pub fn container(&self) -> &str {
        self.path.strip_suffix(&self.name).map_or("", |c| c.trim_end_matches('.'))
    }

    /// Whether a name as people write it means this declaration: `method`, `Class.method`,
    /// `Class::method`, `Class#method`, with or without `()`.
    pub fn is_called(&self, name: &str) -> bool {
        let name = name.trim_end_matches("()").replace("::", ".").replace(['#', ':'], ".");
        let name = name.trim_start_matches(['.', '*', '&']);
        self.path == name
            || self
                .path
                .strip_suffix(name)
                .is_some_and(|rest| !name.is_empty() && rest.ends_with('.'))
    }
}

/// Longest signature shown, in characters.
const SIGNATURE_CHARS_MAX: usize = 160;

/// Comments, attributes and decorators seen just before a node.
struct Lead {
    start: usize,
    end_row: usize,
    comment: Option<LineSpan>,
}

pub(super) fn collect(parsed: &Parsed<'_>) -> Vec<Decl> {
    let mut decls: Vec<Decl> = Vec::new();
    // Each entry: a node whose children are to be read, the path around it, and whether that is
    // inside a function. The newest entry is taken first; the result is sorted at the end.
    let mut work = vec![(parsed.root(), String::new(), false, false)];
    while let Some((parent, path, in_function, in_type)) = work.pop() {
        let mut lead: Option<Lead> = None;
        let mut cursor = parent.walk();
        let mut previous_end_row = None;
        for child in parent.children(&mut cursor) {
            let row = child.start_position().row;
            let end_row = end_row(parsed, child);
            if is_lead(child) && !parsed.text()[child.byte_range()].starts_with("#!") {
                let own_line = previous_end_row != Some(row);
                let joins = lead.as_ref().is_some_and(|l| row <= l.end_row + 1);
                if !joins {
                    lead = own_line.then(|| Lead {
                        start: child.start_byte(),
                        end_row,
                        comment: None,
                    });
                }
                if let Some(lead) = &mut lead {
                    lead.end_row = end_row;
                    if child.kind().ends_with("comment") {
                        let lines = parsed.lines_of(child);
                        lead.comment = Some(lead.comment.map_or(lines, |c| c.hull(lines)));
                    }
                }
                previous_end_row = Some(end_row);
                continue;
            }
            let above = lead.take().filter(|l| l.end_row + 1 >= row);
            previous_end_row = Some(end_row);
            let inner = unwrap(child);
            let Some(found) = kinds::classify(parsed, inner, in_function, in_type) else {
                if child.child_count() > 0 {
                    work.push((child, path.clone(), in_function, in_type));
                }
                continue;
            };
            let decl = declaration(parsed, child, &found, &path, above.as_ref());
            let is_function = decl.kind.is_callable();
            let is_type = matches!(decl.kind, DeclKind::Type | DeclKind::Impl);
            work.push((found.members, decl.path.clone(), in_function || is_function, is_type));
            decls.push(decl);
        }
    }
    decls.sort_by_key(|decl| (decl.bytes.start, std::cmp::Reverse(decl.bytes.end)));
    decls
}

fn declaration(
    parsed: &Parsed<'_>,
    outer: Node<'_>,
    found: &Found<'_>,
    around: &str,
    above: Option<&Lead>,
) -> Decl {
    let name = found.name.clone();
    let container = match (&found.container, around) {
        (Some(own), "") => own.clone(),
        (Some(own), around) => format!("{around}.{own}"),
        (None, around) => around.to_owned(),
    };
    let path = if container.is_empty() { name.clone() } else { format!("{container}.{name}") };
    let own_lines = parsed.lines_of(outer);
    let start = above.map_or(outer.start_byte(), |l| l.start);
    let end = outer.start_byte() + parsed.text()[outer.byte_range()].trim_end().len();
    let end = with_terminator(parsed.text(), end);
    let lines = LineSpan::new(parsed.lines().line_of(start), own_lines.end);
    let def_line = parsed.lines_of(found.node).start.max(own_lines.start);
    let def_line = match found.node.child_by_field_name("name") {
        // Modifiers such as Java annotations may stand on lines of their own.
        Some(name) if found.node.kind().ends_with("_declaration") => {
            parsed.lines_of(name).start.max(def_line)
        }
        _ => def_line,
    };
    let body = found.body;
    let head_bytes = match body {
        Some(body) => found.node.start_byte()..body.start_byte(),
        None => found.node.start_byte()..end,
    };
    let head_text = parsed.text().get(head_bytes.clone()).unwrap_or_default();
    let head_end = parsed
        .lines()
        .span_of(&(head_bytes.start..head_bytes.start + head_text.trim_end().len()))
        .end
        .max(def_line);
    let doc_inside = body.and_then(|body| doc_string(parsed, body));
    Decl {
        name,
        path,
        kind: found.kind,
        lines,
        bytes: start..end,
        def_line,
        head_end,
        name_bytes: found.name_bytes.clone(),
        doc: doc_inside.or(above.and_then(|l| l.comment)),
        signature: signature(head_text),
    }
}

/// A member's comma or semicolon stands outside its node in several grammars.
fn with_terminator(text: &str, end: usize) -> usize {
    match text.as_bytes().get(end) {
        Some(b',' | b';') => end + 1,
        _ => end,
    }
}

fn signature(head: &str) -> String {
    let comment = |line: &&str| {
        let line = line.trim_start();
        line.starts_with("# ") || line.starts_with("//")
    };
    // A comment between signature and body belongs to the body.
    let own: Vec<&str> = head.lines().filter(|line| !comment(line)).collect();
    let mut line = own.join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
    let trimmed = line.trim_end_matches(['{', ':', '=', ' ', ',']).len();
    line.truncate(trimmed);
    match line.char_indices().nth(SIGNATURE_CHARS_MAX) {
        Some((cut, _)) => format!("{} ...", &line[..cut]),
        None => line,
    }
}

/// The string that opens a Python body.
fn doc_string(parsed: &Parsed<'_>, body: Node<'_>) -> Option<LineSpan> {
    if parsed.language() != Language::Python {
        return None;
    }
    let first = body.named_child(0)?;
    let string = match first.kind() {
        "expression_statement" => first.named_child(0)?,
        _ => first,
    };
    (string.kind() == "string").then(|| parsed.lines_of(string))
}

/// Nodes that belong to the declaration that follows them.
fn is_lead(node: Node<'_>) -> bool {
    let kind = node.kind();
    kind.ends_with("comment")
        || matches!(kind, "attribute_item" | "decorator" | "attribute_declaration")
}

/// Looks through nodes that only wrap a declaration.
fn unwrap(mut node: Node<'_>) -> Node<'_> {
    for _ in 0..4 {
        let inner = match node.kind() {
            "decorated_definition" => node.child_by_field_name("definition"),
            "export_statement" => node
                .child_by_field_name("declaration")
                .or_else(|| node.child_by_field_name("value")),
            "template_declaration" | "ambient_declaration" | "linkage_specification" => {
                let last = node.named_child_count().saturating_sub(1);
                u32::try_from(last).ok().and_then(|last| node.named_child(last))
            }
            _ => None,
        };
        match inner {
            Some(inner) => node = inner,
            None => return node,
        }
    }
    node
}

/// Last row of a node that may have swallowed its line ending.
fn end_row(parsed: &Parsed<'_>, node: Node<'_>) -> usize {
    parsed.lines_of(node).end - 1
}

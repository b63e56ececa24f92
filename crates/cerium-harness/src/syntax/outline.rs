//! A file in a few lines: the signatures of its declarations, with their line numbers.

use super::{DeclKind, Parsed};
use crate::lines::LineSpan;
use std::fmt::Write;

/// One declaration of an outline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutlineLine {
    /// Lines of the declaration, with what stands above it.
    pub lines: LineSpan,
    /// Line of its signature.
    pub def_line: usize,
    /// Number of containers around it.
    pub depth: usize,
    /// Name with containers, joined by dots.
    pub path: String,
    /// What it is.
    pub kind: DeclKind,
    /// The signature on one line.
    pub signature: String,
}

/// The declarations of a text, in order; fields are left out, they are read with their type.
pub fn outline(parsed: &Parsed<'_>) -> Vec<OutlineLine> {
    let decls = parsed.declarations();
    let mut around: Vec<usize> = Vec::new(); // End bytes of the declarations that are open.
    let mut lines = Vec::new();
    for decl in decls {
        around.retain(|&end| decl.bytes.start < end);
        if decl.kind != DeclKind::Field {
            lines.push(OutlineLine {
                lines: decl.lines,
                def_line: decl.def_line,
                depth: around.len(),
                path: decl.path,
                kind: decl.kind,
                signature: decl.signature,
            });
        }
        around.push(decl.bytes.end);
    }
    lines
}

/// An outline as text: `line: signature`, indented by depth.
pub fn render_outline(lines: &[OutlineLine]) -> String {
    let mut text = String::new();
    for line in lines {
        let indent = "  ".repeat(line.depth.min(8));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}: {indent}{}", line.def_line, line.signature);
    }
    text
}

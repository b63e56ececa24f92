//! What kind of change an instruction asks for, as far as that decides where to look.

use crate::edit::instruction::{Piece, Shape};
use crate::edit::view::{View, has_word};
use crate::lines::LineSpan;
use crate::syntax::{Decl, DeclKind, Language};

/// Import blocks of more lines than this are cut to the part that matters.
const IMPORT_LINES_MAX: usize = 8;

/// What an instruction asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent observations, all read by name")]
pub(super) struct Intent {
    /// Only what stands around a signature changes: documentation, decorators, types.
    pub(super) head_only: bool,
    /// The signature changes, among other things.
    pub(super) needs_head: bool,
    /// Documentation changes.
    pub(super) about_docs: bool,
    /// The members of a type are meant rather than its declaration.
    pub(super) about_members: bool,
    /// The places that use a name change with it.
    pub(super) about_uses: bool,
    /// What a function returns changes.
    pub(super) about_return: bool,
    /// Something behaves wrongly and is to behave as described.
    pub(super) is_bug: bool,
    /// It says what should work rather than what to change.
    pub(super) vague: bool,
    /// A new constant is wanted outside functions.
    new_constant: bool,
    /// An import is wanted, changed or not needed any more: the names it is about.
    imports: Option<Vec<String>>,
}

impl Intent {
    pub(super) fn of(view: &View<'_>, pieces: &[Piece]) -> Self {
        let says = |words: &[&str]| pieces.iter().any(|p| p.is(words));
        let begins = |starts: &[&str]| {
            pieces
                .iter()
                .any(|p| p.shape == Shape::Word && starts.iter().any(|s| p.lower().starts_with(s)))
        };
        let code = |starts: &[&str]| {
            pieces.iter().any(|p| p.is_code() && starts.iter().any(|s| p.text.starts_with(s)))
        };
        let about_docs =
            begins(&["docstring", "document", "jsdoc", "javadoc", "comment", "rustdoc"])
                || says(&["doc", "docs"]);
        let types = says(&["hint", "hints", "annotation", "annotations"])
            || (says(&["return", "returns"]) && says(&["type", "types"]));
        let marks = begins(&["decorat", "deriv", "attribut", "annotat"])
            || code(&["#[", "@", "derive"])
            || says(&["pub", "public", "private", "visibility", "exported", "silence"])
            || code(&["pub("]);
        let parameters = begins(&["param", "argument", "signature", "kwarg", "keyword"])
            || says(&["arg", "args", "default", "defaults", "async", "generic", "static"]);
        let exists = |name: &str| has_word(view.text, name);
        let is_constant = |text: &str| {
            let letters = text.chars().filter(|c| c.is_alphabetic()).count();
            letters > 1 && text.chars().all(|c| c.is_uppercase() || c.is_ascii_digit() || c == '_')
        };
        let new_constant = (says(&["const", "constant", "constants"]) || code(&["const "]))
            && pieces.iter().any(|p| {
                let words = p.text.split(|c: char| !(c.is_alphanumeric() || c == '_'));
                words.into_iter().any(|w| is_constant(w) && !exists(w))
            });
        Self {
            head_only: (about_docs || types || marks) && !parameters,
            needs_head: about_docs || types || marks || parameters,
            about_docs,
            about_members: says(&["impl", "impls"]),
            about_uses: begins(&["replac", "caller", "inline", "usage"])
                || says(&["uses", "instead", "everywhere", "drop", "remove", "delete", "call"]),
            about_return: says(&["return", "returns", "returned", "returning"]),
            is_bug: says(&["bug", "bugs", "fix", "fixes", "wrong", "broken"]) && pieces.len() <= 40,
            vague: says(&["fix", "fixes"])
                || begins(&[
                    "fix",
                    "correct",
                    "support",
                    "implement",
                    "improv",
                    "refactor",
                    "optim",
                ])
                || begins(&["modif", "handl", "bug", "issue", "simplif", "clean", "problem"]),
            new_constant,
            imports: imports(view, pieces),
        }
    }

    /// Places that the change needs besides those that the evidence points to.
    pub(super) fn places(&self, view: &View<'_>) -> Vec<LineSpan> {
        let mut places = Vec::new();
        if self.new_constant {
            places.push(constants(view));
        }
        if let Some(names) = &self.imports {
            places.extend(imported(view, names));
        }
        places
    }
}

/// The names an import is about, if one is.
fn imports(view: &View<'_>, pieces: &[Piece]) -> Option<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    let said = pieces.iter().any(|p| {
        p.is(&["import", "imports", "importing", "require", "include"])
            || p.text.starts_with("import ")
            || p.text.starts_with("from ")
    });
    for piece in pieces.iter().filter(|p| p.is_code()) {
        let text = piece.text.trim_start_matches(['@', '&']);
        let head = text.split(['(', '[']).next().unwrap_or_default();
        let separator = if head.contains("::") { "::" } else { "." };
        let Some((root, _)) = head.split_once(separator) else {
            if said {
                names.push(head.to_owned());
            }
            continue;
        };
        let is_name = root.chars().all(|c| c.is_alphanumeric() || c == '_') && !root.is_empty();
        let lower = root.chars().next().is_some_and(char::is_lowercase);
        let qualified = matches!(view.language, Some(Language::Python | Language::Go));
        if is_name && lower && (said || (qualified && !has_word(view.text, root))) {
            names.push(root.to_owned());
        }
    }
    (said || !names.is_empty()).then_some(names)
}

/// The imports that the names stand in, or beside which they would: all when there are few.
fn imported(view: &View<'_>, names: &[String]) -> Option<LineSpan> {
    let all = view.imports()?;
    if all.count() <= IMPORT_LINES_MAX {
        return Some(all);
    }
    let lines = all.start..=all.end;
    let named = lines
        .clone()
        .filter(|&line| names.iter().any(|name| has_word(view.line(line), name)))
        .map(LineSpan::line)
        .reduce(LineSpan::hull);
    if let Some(named) = named.filter(|span| span.count() <= IMPORT_LINES_MAX) {
        return Some(named);
    }
    // Where it would be by the alphabet.
    let import = names.first().map(|name| format!("import {name}"))?;
    let at = lines.clone().filter(|&n| view.is_import(n)).find(|&n| view.line(n) > import.as_str());
    let at = at.unwrap_or(all.end);
    Some(LineSpan::new(at.saturating_sub(2).max(all.start), at.min(all.end)))
}

/// Where a new constant would stand: at the last one before the first function or type, or after
/// the imports.
fn constants(view: &View<'_>) -> LineSpan {
    let code =
        |d: &&Decl| d.kind.is_callable() || matches!(d.kind, DeclKind::Type | DeclKind::Impl);
    let first_code = view.decls.iter().find(code).map_or(view.lines.count() + 1, |d| d.lines.start);
    let mut before = view.decls.iter().filter(|d| {
        d.kind == DeclKind::Variable
            && d.container().is_empty()
            && d.lines.end < first_code
            && !view.is_import(d.lines.start)
    });
    if let Some(last) = before.next_back() {
        let last = last.lines;
        return if last.count() <= 3 { last } else { LineSpan::line(last.end) };
    }
    let after = view.imports().map_or(1, |imports| imports.end);
    LineSpan::new(after, (after + 1).min(first_code.saturating_sub(1)).max(after))
}

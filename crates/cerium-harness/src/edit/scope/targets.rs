//! Declarations that an instruction names, by code, by plain words, or by the words of their name.

use super::intent::Intent;
use crate::edit::instruction::{Piece, Shape, is_edit_word, stems};
use crate::edit::view::View;
use crate::search::{is_stop_word, stem, subwords};
use crate::syntax::{Decl, DeclKind};

/// A name that so many declarations bear points nowhere.
const SAME_NAME_MAX: usize = 6;

/// Words that point at the name before or after them.
const POINTERS: &[&str] = &[
    "function",
    "method",
    "fn",
    "def",
    "class",
    "struct",
    "enum",
    "trait",
    "interface",
    "type",
    "helper",
    "constructor",
    "module",
    "macro",
    "constant",
    "variable",
    "field",
];

/// What an instruction names.
#[derive(Debug)]
pub(super) struct Targets<'v> {
    /// The declarations, in order.
    pub(super) decls: Vec<&'v Decl>,
    /// Pieces of the instruction that are names of declarations.
    pub(super) names: Vec<usize>,
}

/// Declarations that the instruction means, without those that only contain others of them.
pub(super) fn targets<'v>(view: &'v View<'_>, pieces: &[Piece], intent: &Intent) -> Targets<'v> {
    let mut groups: Vec<Vec<&Decl>> = Vec::new();
    let mut names = Vec::new();
    for (i, piece) in pieces.iter().enumerate() {
        let name = piece.text.split('(').next().unwrap_or_default();
        if name.is_empty() || name.contains(char::is_whitespace) {
            continue;
        }
        let mut called: Vec<&Decl> = view.decls.iter().filter(|d| d.is_called(name)).collect();
        if called.is_empty() {
            called.extend(abbreviated(view, pieces, i));
        }
        if called.is_empty() || !(points(pieces, i) || is_enumerated(view, pieces, i)) {
            continue;
        }
        names.push(i);
        groups.push(called);
    }
    groups.extend(spelled_out(view, pieces));
    Targets { decls: narrow(&groups, intent), names }
}

/// The one declaration whose name begins with the words of a piece that names none: `solve` said
/// of `solve_161`, `sortArray` of `sort_array_fast`.
fn abbreviated<'v>(view: &'v View<'_>, pieces: &[Piece], i: usize) -> Option<&'v Decl> {
    let piece = &pieces[i];
    let led = i > 0 && (pieces[i - 1].is(&["in", "of"]) || pieces[i - 1].is(POINTERS));
    if !(piece.is_code() || led) || piece.text.len() < 4 {
        return None;
    }
    let words = |name: &str| subwords(name).iter().map(|w| w.to_lowercase()).collect::<Vec<_>>();
    let said = words(&piece.text);
    let code = view.decls.iter().filter(|d| d.kind.is_callable() || d.kind == DeclKind::Type);
    let mut found = code.filter(|d| !said.is_empty() && words(&d.name).starts_with(&said));
    found.next().filter(|_| found.next().is_none())
}

/// Order in which declarations of one name are meant: a type rather than its `impl`s, anything
/// rather than a field.
pub(super) fn rank(decl: &Decl) -> u8 {
    match decl.kind {
        DeclKind::Function | DeclKind::Method | DeclKind::Macro | DeclKind::Type => 0,
        DeclKind::Impl | DeclKind::Module => 1,
        DeclKind::Variable => 2,
        DeclKind::Field => 3,
    }
}

/// Whether a piece that equals a declared name means it.
fn points(pieces: &[Piece], i: usize) -> bool {
    let piece = &pieces[i];
    if piece.is_code() {
        return true;
    }
    let near = |j: Option<usize>| j.and_then(|j| pieces.get(j)).is_some_and(|p| p.is(POINTERS));
    if near(i.checked_sub(1)) || near(Some(i + 1)) {
        return true;
    }
    let lower = piece.lower();
    let common = is_stop_word(&lower) || is_edit_word(&lower) || lower.len() < 3;
    // A plain word: `main`, `copy`, `Attachment`. After "in", "to" or "for", or with a colon, even
    // a word that is also English.
    let before = i.checked_sub(1).map(|j| &pieces[j]);
    let led =
        before.is_some_and(|p| p.is(&["in", "to", "for", "of", "on", "from", "make", "give"]));
    piece.shape == Shape::Word && (!common || (led && i > 0))
}

/// `to, temporary and permanent`: a name among names is a name, English or not.
fn is_enumerated(view: &View<'_>, pieces: &[Piece], i: usize) -> bool {
    let declared = |p: &Piece| p.text.len() > 3 && view.decls.iter().any(|d| d.is_called(&p.text));
    let joined = i > 0 && (pieces[i - 1].is(&["and", "or"]) || pieces[i - 1].after == Some(','));
    if joined && pieces[..i].iter().rev().take(4).any(|p| p.is_code() && declared(p)) {
        return true;
    }
    let next = match pieces.get(i + 1) {
        Some(p) if p.is(&["and", "or"]) => pieces.get(i + 2),
        other => other.filter(|_| pieces[i].after == Some(',')),
    };
    next.is_some_and(declared)
}

/// Declarations whose name's words all stand in the instruction: "the per-thread state" means
/// `per_thread_state`. Only names of two words or more, and only the one that says most.
fn spelled_out<'v>(view: &'v View<'_>, pieces: &[Piece]) -> Option<Vec<&'v Decl>> {
    let said = stems(pieces.iter().filter(|p| p.shape == Shape::Word));
    let mut best: Option<(usize, Vec<&Decl>)> = None;
    for decl in view.decls.iter().filter(|d| d.kind != DeclKind::Field) {
        let lower: Vec<String> = subwords(&decl.name).iter().map(|p| p.to_lowercase()).collect();
        let parts: Vec<&String> = lower.iter().filter(|part| !is_stop_word(part)).collect();
        let n_parts = parts.len();
        let all = parts.iter().all(|part| said.iter().any(|s| s == stem(part)));
        if n_parts < 2 || !all {
            continue;
        }
        match &mut best {
            Some((n, decls)) if *n == n_parts => decls.push(decl),
            Some((n, _)) if *n > n_parts => {}
            _ => best = Some((n_parts, vec![decl])),
        }
    }
    best.map(|(_, decls)| decls)
}

/// Of each name's declarations the ones that other names speak for; then no containers.
fn narrow<'v>(groups: &[Vec<&'v Decl>], intent: &Intent) -> Vec<&'v Decl> {
    let containers: Vec<&str> = groups.iter().flatten().map(|d| d.path.as_str()).collect();
    let contained = |d: &Decl| {
        let around = d.container();
        containers.iter().any(|c| around == *c || around.ends_with(&format!(".{c}")))
    };
    let mut targets: Vec<&Decl> = Vec::new();
    for group in groups {
        let inside: Vec<&Decl> = group.iter().copied().filter(|d| contained(d)).collect();
        let mut group = if inside.is_empty() { group.clone() } else { inside };
        if !intent.about_members {
            let best = group.iter().map(|d| rank(d)).min();
            group.retain(|d| Some(rank(d)) == best);
        }
        if group.len() <= SAME_NAME_MAX {
            targets.extend(group);
        }
    }
    targets.sort_by_key(|d| (d.bytes.start, d.bytes.end));
    targets.dedup_by_key(|d| (d.bytes.start, d.bytes.end));
    let holds = |outer: &Decl, inner: &Decl| {
        outer.bytes != inner.bytes
            && outer.bytes.start <= inner.bytes.start
            && inner.bytes.end <= outer.bytes.end
    };
    let inner = targets.clone();
    targets.retain(|outer| !inner.iter().any(|inner| holds(outer, inner)));
    // A type whose impl's member is meant is not meant itself.
    let named_type = |d: &Decl| {
        matches!(d.kind, DeclKind::Type | DeclKind::Impl)
            && inner.iter().any(|i| i.container() == d.path && i.kind == DeclKind::Method)
    };
    if targets.iter().any(|d| !named_type(d)) {
        targets.retain(|d| !named_type(d) || d.lines.count() <= 3);
    }
    targets
}

//! Renaming an identifier the way an editor's refactoring would, as far as one file and its syntax
//! can tell; whatever they cannot tell is refused.

use super::sentence::Rename;
use crate::edit::splice::Change;
use crate::edit::view::{View, has_word};
use crate::lines::LineSpan;
use crate::syntax::{Decl, DeclKind, Language, NameRole, Occurrence, Parsed};
use std::ops::Range;

/// All renames of a sentence, or none.
pub(super) fn all(view: &View<'_>, renames: &[Rename]) -> Option<Vec<Change>> {
    let mut changes = Vec::new();
    for rename in renames {
        changes.extend(one(view, rename)?);
    }
    // `a -> b, b -> a` and the like: each would be right alone, together they are not.
    let clash =
        renames.iter().any(|a| renames.iter().any(|b| a.to == b.from || (a != b && a.to == b.to)));
    (!clash).then_some(changes)
}

/// Which occurrences are meant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meant {
    Plain,
    Member,
    Both,
}

fn one(view: &View<'_>, rename: &Rename) -> Option<Vec<Change>> {
    let parsed = view.parsed.as_ref()?;
    if is_keyword(&rename.to) {
        return None;
    }
    let everything = parsed.occurrences(&rename.from);
    let within = container(view, rename)?;
    let inside = |bytes: &Range<usize>| {
        within.ranges.is_empty()
            || within.ranges.iter().any(|r| r.start <= bytes.start && bytes.end <= r.end)
    };
    let here: Vec<&Occurrence> = everything.iter().filter(|o| inside(&o.bytes)).collect();
    let taken = parsed.occurrences(&rename.to);
    let taken_here = taken.iter().any(|o| !within.is_function || inside(&o.bytes));
    if here.is_empty() || taken_here {
        return None;
    }
    let meant = meant(view, rename, &here, &within)?;
    let outside: Vec<&Occurrence> = everything.iter().filter(|o| !inside(&o.bytes)).collect();
    if !is_closed(view, rename, meant, &here, &outside, &within) {
        return None;
    }

    let mut changes: Vec<Change> = Vec::new();
    for occurrence in &here {
        let to = &rename.to;
        let new = match (occurrence.role, meant) {
            (NameRole::Plain, Meant::Plain | Meant::Both)
            | (NameRole::Member, Meant::Member | Meant::Both)
            | (NameRole::Shorthand, Meant::Both)
            | (NameRole::Qualified, _) => to.clone(),
            // One name stands for two things, of which one changes.
            (NameRole::Shorthand, Meant::Plain) => format!("{}: {to}", rename.from),
            (NameRole::Shorthand, Meant::Member) => format!("{to}: {}", rename.from),
            (NameRole::Plain | NameRole::Member | NameRole::Key, _) => continue,
        };
        changes.push(Change { bytes: occurrence.bytes.clone(), new });
    }
    if changes.is_empty() {
        return None;
    }
    let more = mentions(view, parsed, rename, meant, &inside);
    for bytes in more {
        let overlaps =
            changes.iter().any(|c| c.bytes.start < bytes.end && bytes.start < c.bytes.end);
        if !overlaps {
            changes.push(Change { bytes, new: rename.to.clone() });
        }
    }
    Some(changes)
}

/// Where the rename is to happen.
struct Within {
    /// Bytes of the declarations meant; empty for the whole file.
    ranges: Vec<Range<usize>>,
    is_function: bool,
    /// Path of the type whose member is meant.
    of_type: Option<String>,
}

fn container(view: &View<'_>, rename: &Rename) -> Option<Within> {
    let Some(name) = &rename.container else {
        return Some(Within { ranges: Vec::new(), is_function: false, of_type: None });
    };
    let called: Vec<&Decl> = view.decls.iter().filter(|d| d.is_called(name)).collect();
    let first = called.first()?;
    let is_function = called.iter().all(|d| d.kind.is_callable());
    let is_type = called.iter().all(|d| matches!(d.kind, DeclKind::Type | DeclKind::Impl));
    if !(is_function || is_type) || (is_function && called.len() > 1) {
        return None;
    }
    let member_of = |decl: &Decl| decl.name == rename.from && decl.container() == first.path;
    let declared = view.decls.iter().filter(|d| d.name == rename.from);
    let members: Vec<&Decl> = declared.filter(|d| member_of(d)).collect();
    if is_type && (rename.member == Some(true) || !members.is_empty()) {
        // A member is used wherever values of the type are: the whole file, if no other type has
        // one of that name.
        let others = view
            .decls
            .iter()
            .any(|d| d.name == rename.from && !member_of(d) && !d.container().is_empty());
        if others {
            return None;
        }
        let of_type = Some(first.path.clone());
        return Some(Within { ranges: Vec::new(), is_function: false, of_type });
    }
    let ranges = called.iter().map(|d| d.bytes.clone()).collect();
    Some(Within { ranges, is_function, of_type: None })
}

/// Which of the roles the sentence means; `None` when that is open.
fn meant(view: &View<'_>, rename: &Rename, here: &[&Occurrence], within: &Within) -> Option<Meant> {
    let has = |role| here.iter().any(|o| o.role == role);
    let (plain, member) = (has(NameRole::Plain), has(NameRole::Member));
    // Members of this file's own: declared here, or set on `self`.
    let own_member = here.iter().any(|o| {
        let before = &view.text[..o.bytes.start];
        o.role == NameRole::Member
            && (o.declares || ["self.", "this.", "cls."].iter().any(|s| before.ends_with(s)))
    });
    if view.language.is_some_and(Language::has_bare_members) && own_member && plain {
        return None;
    }
    match (rename.member, within.of_type.is_some()) {
        (Some(true), _) | (None, true) => return Some(Meant::Member),
        (Some(false), _) => return Some(Meant::Plain),
        (None, false) => {}
    }
    match (plain || has(NameRole::Shorthand), own_member) {
        (true, true) if rename.everywhere => Some(Meant::Both),
        (true, true) => None,
        (true, false) => Some(Meant::Plain),
        (false, _) if member => Some(Meant::Member),
        (false, _) => has(NameRole::Qualified).then_some(Meant::Plain),
    }
}

/// Whether the file shows everything the rename has to change.
fn is_closed(
    view: &View<'_>,
    rename: &Rename,
    meant: Meant,
    here: &[&Occurrence],
    outside: &[&Occurrence],
    within: &Within,
) -> bool {
    let selected = |o: &&&Occurrence| match meant {
        Meant::Plain => o.role != NameRole::Member,
        Meant::Member => o.role != NameRole::Plain,
        Meant::Both => true,
    };
    // An imported name has another owner.
    let imported =
        here.iter().filter(selected).any(|o| view.is_import(view.lines.line_of(o.bytes.start)));
    // Keyword arguments and keys of literals may or may not be the same thing.
    let keys = |list: &[&Occurrence]| list.iter().any(|o| o.role == NameRole::Key);
    let local = within.is_function && meant == Meant::Plain;
    let unclear_keys = if local { keys(outside) } else { keys(here) };
    // A member whose uses reach beyond the class that was named.
    let leaks = meant != Meant::Plain
        && !within.ranges.is_empty()
        && outside.iter().any(|o| matches!(o.role, NameRole::Member | NameRole::Shorthand));
    // A name that is no declaration of the file, and local to several functions at once.
    let declared = view.decls.iter().any(|d| d.name == rename.from);
    let outermost = |o: &&Occurrence| {
        let line = LineSpan::line(view.lines.line_of(o.bytes.start));
        let around =
            view.decls.iter().find(|d| d.lines.contains(line) && d.kind != DeclKind::Field);
        let function = view.decls.iter().find(|d| d.lines.contains(line) && d.kind.is_callable());
        function.or(around).map(|d| d.bytes.start)
    };
    let mut owners: Vec<Option<usize>> = here.iter().map(outermost).collect();
    owners.sort_unstable();
    owners.dedup();
    let scattered = meant == Meant::Plain
        && !declared
        && owners.len() > 1
        && !rename.everywhere
        && !owners.contains(&None);
    !(imported || unclear_keys || leaks || scattered)
}

/// Where comments, doc strings and format strings say the name.
fn mentions(
    view: &View<'_>,
    parsed: &Parsed<'_>,
    rename: &Rename,
    meant: Meant,
    inside: &dyn Fn(&Range<usize>) -> bool,
) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let docs = view.decls.iter().filter_map(|d| d.doc).map(|doc| view.lines.bytes(doc));
    let mut prose: Vec<Range<usize>> = parsed.comments();
    prose.extend(docs);
    let from = rename.from.as_str();
    // A name that is also a word stays in prose, unless it is marked as a name there.
    let is_word = from.chars().all(char::is_lowercase);
    for range in prose.into_iter().filter(|range| inside(range)) {
        let text = &view.text[range.clone()];
        for (at, _) in text.match_indices(from) {
            let bytes = range.start + at..range.start + at + from.len();
            if is_whole(view.text, &bytes) && (!is_word || is_marked(view.text, &bytes)) {
                found.push(bytes);
            }
        }
    }
    if view.language == Some(Language::Rust) && meant != Meant::Member {
        for (at, _) in view.text.match_indices(from) {
            let bytes = at..at + from.len();
            let before = &view.text[..at];
            let after = &view.text[bytes.end..];
            let braces = before.ends_with('{') && !before.ends_with("{{");
            if braces && after.starts_with(['}', ':']) && inside(&bytes) && in_string(view, at) {
                found.push(bytes);
            }
        }
    }
    if view.language == Some(Language::Python) && inside(&(0..view.text.len())) {
        for decl in view.decls.iter().filter(|d| d.name == "__all__" || d.name == "__slots__") {
            let text = &view.text[decl.bytes.clone()];
            for (at, _) in text.match_indices(from) {
                let bytes = decl.bytes.start + at..decl.bytes.start + at + from.len();
                let quoted = view.text[..bytes.start].ends_with(['"', '\''])
                    && view.text[bytes.end..].starts_with(['"', '\'']);
                if quoted {
                    found.push(bytes);
                }
            }
        }
    }
    found.sort_by_key(|bytes| bytes.start);
    found.dedup();
    found
}

fn is_whole(text: &str, bytes: &Range<usize>) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    !text[..bytes.start].chars().next_back().is_some_and(is_word)
        && !text[bytes.end..].chars().next().is_some_and(is_word)
}

/// Whether a word in prose is set as a name: in backticks, or in a `@param` or `:param` line.
fn is_marked(text: &str, bytes: &Range<usize>) -> bool {
    let line_start = text[..bytes.start].rfind('\n').map_or(0, |at| at + 1);
    let before = &text[line_start..bytes.start];
    let after = &text[bytes.end..];
    let ticked = before.ends_with('`') && after.starts_with('`');
    let tag = before.contains("@param") || before.trim_start().starts_with(":param");
    let first_there = tag && !has_word(before, &text[bytes.clone()]) && !before.contains(" - ");
    ticked || first_there
}

/// Whether a place in Rust code is inside a string, as far as its line tells.
fn in_string(view: &View<'_>, at: usize) -> bool {
    let line_start = view.text[..at].rfind('\n').map_or(0, |n| n + 1);
    let before = &view.text[line_start..at];
    let n_quotes = before.matches('"').count() - before.matches("\\\"").count();
    n_quotes % 2 == 1
}

/// Words that no language here takes as a name, or that would be a bad surprise as one.
fn is_keyword(name: &str) -> bool {
    const WORDS: &str = "and as assert async await bool break case catch char class const continue \
        crate def default del delete do double else enum except export extends extern false final \
        finally float fn for from func function global if impl import in instanceof int interface \
        is lambda let long loop match mod move mut namespace new nil None nonlocal not null or pass \
        private protected pub public raise ref return self Self short static struct super switch \
        this throw trait true True False try type typeof unsafe use var void where while with yield";
    WORDS.split_ascii_whitespace().any(|word| word == name)
}

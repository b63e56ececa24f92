//! Sentences that are understood to the last word, or not at all.

use crate::edit::instruction::{Piece, Shape, pieces};
use crate::syntax::is_identifier;

/// What a sentence orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Rename(Vec<Rename>),
    Remove(Vec<Removal>),
}

/// One name to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rename {
    pub(super) from: String,
    pub(super) to: String,
    /// The declaration in which to do it.
    pub(super) container: Option<String>,
    /// Said to be a field, property or method (true), or a variable or parameter (false).
    pub(super) member: Option<bool>,
    /// Said to concern every use.
    pub(super) everywhere: bool,
}

/// One declaration to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Removal {
    pub(super) name: String,
    pub(super) container: Option<String>,
}

const MEMBERS: &[&str] = &["field", "attribute", "property", "method", "member", "variant"];
const PLAINS: &[&str] =
    &["variable", "parameter", "param", "argument", "arg", "local", "local variable"];
const OTHERS: &[&str] = &[
    "function",
    "fn",
    "class",
    "struct",
    "enum",
    "trait",
    "interface",
    "type",
    "constant",
    "const",
    "macro",
    "helper",
    "module",
    "identifier",
    "name",
    "symbol",
    "constructor",
];
const ARROWS: &[&str] = &["->", "\u{2192}", "=>"];

/// Reads an instruction; `None` unless every word of it is understood.
pub(super) fn parse(instruction: &str) -> Option<Order> {
    if instruction.contains('\n') || instruction.len() > 300 {
        return None;
    }
    let pieces = pieces(instruction);
    // What stands in parentheses adds a condition, as a rule; a reason is looked for in `removal`.
    let mut reader = Reader { pieces: &pieces, at: 0 };
    reader.skip(&["please"]);
    let start = reader.at;
    renames(&mut reader).map(Order::Rename).or_else(|| {
        reader.at = start;
        removals(&mut reader).map(Order::Remove)
    })
}

struct Reader<'p> {
    pieces: &'p [Piece],
    at: usize,
}

impl<'p> Reader<'p> {
    fn peek(&self) -> Option<&'p Piece> {
        self.pieces.get(self.at)
    }

    fn next(&mut self) -> Option<&'p Piece> {
        let piece = self.peek();
        self.at += usize::from(piece.is_some());
        piece
    }

    fn last(&self) -> Option<&'p Piece> {
        self.pieces.get(self.at.checked_sub(1)?)
    }

    /// Takes one of some words, if it comes next.
    fn take(&mut self, words: &[&str]) -> bool {
        let found = self.peek().is_some_and(|piece| piece.is(words));
        self.at += usize::from(found);
        found
    }

    /// Takes any run of some words.
    fn skip(&mut self, words: &[&str]) {
        while self.take(words) {}
    }

    /// Takes nouns that say what a name is; the last one of them that tells member from variable.
    fn kinds(&mut self) -> Option<bool> {
        let mut member = None;
        loop {
            // `rename field to x` has a name that looks like a noun: the noun is followed by one.
            if self.take(MEMBERS) {
                member = Some(true);
            } else if self.take(PLAINS) {
                member = Some(false);
            } else if !self.take(OTHERS) && !self.take(&["the", "all", "private", "global", "of"]) {
                return member;
            }
        }
    }

    /// Takes a name, without call brackets; a path keeps its containers.
    fn name(&mut self) -> Option<String> {
        let piece = self.next().filter(|piece| !piece.opens_aside)?;
        let text = piece.text.trim().trim_end_matches("()").replace("::", ".").replace('#', ".");
        let text = text.trim_start_matches("self.").trim_start_matches("this.").to_owned();
        let sane = text.split('.').all(is_identifier);
        sane.then_some(text)
    }

    fn is_done(&self) -> bool {
        self.at >= self.pieces.len()
    }
}

/// Splits `A.b` into its container and its last part.
fn split(path: &str) -> (Option<String>, String) {
    match path.rsplit_once('.') {
        Some((container, name)) => (Some(container.to_owned()), name.to_owned()),
        None => (None, path.to_owned()),
    }
}

fn renames(reader: &mut Reader<'_>) -> Option<Vec<Rename>> {
    let mut container = None;
    // `in f, rename ...`, `f: rename ...`, `use snake_case: ...`
    if reader.take(&["in", "inside", "within"]) {
        reader.kinds();
        container = Some(reader.name()?);
        reader.kinds();
    } else if reader.take(&["use"]) {
        let style = reader.next().filter(|piece| piece.after == Some(':'))?;
        style.is(&["snake_case", "camelcase", "pascalcase"]).then_some(())?;
    } else if reader.peek().is_some_and(|p| p.after == Some(':') && p.shape != Shape::Word) {
        container = Some(reader.name()?);
    }
    let mut found: Vec<Rename> = Vec::new();
    loop {
        let verb = reader.take(&["rename", "renaming"]);
        let mut member = if verb { reader.kinds() } else { None };
        let from = reader.name()?;
        if verb {
            member = reader.kinds().or(member);
        }
        if reader.last().is_some_and(|p| p.is(&["of"])) || reader.take(&["in", "from"]) {
            container = Some(reader.name()?);
            reader.kinds();
        }
        let arrow = reader.take(ARROWS);
        if !(arrow || (verb && reader.take(&["to", "into", "as"]))) {
            // `rename a and b to ...` and `rename a to b, c to d`: the second has a verb before.
            let goes_on = !found.is_empty() && reader.take(&["to"]);
            goes_on.then_some(())?;
        }
        let to = reader.name()?;
        let (around, from) = split(&from);
        let (to_around, to) = split(&to);
        // `A.b to A.c` is a rename, `b to c.d` would be a move.
        (to_around.is_none() || to_around == around).then_some(())?;
        found.push(Rename { from, to, container: around, member, everywhere: false });
        let comma = reader.last().is_some_and(|p| matches!(p.after, Some(',' | ';')));
        let pair_follows = |at: usize| {
            let piece = |n: usize| reader.pieces.get(at + n);
            piece(0).is_some_and(|p| p.is(&["rename"]))
                || piece(1).is_some_and(|p| p.is(ARROWS) || p.is(&["to"]))
        };
        let joined = reader.peek().is_some_and(|p| p.is(&["and"])) && pair_follows(reader.at + 1);
        if joined {
            reader.at += 1;
        } else if !(comma && pair_follows(reader.at)) {
            break;
        }
    }
    let everywhere = tail(reader, &mut container)?;
    for rename in &mut found {
        rename.everywhere = everywhere;
        if rename.container.is_none() {
            rename.container.clone_from(&container);
        }
    }
    Some(found)
}

/// What may follow the renames; whether every use was said to be meant.
fn tail(reader: &mut Reader<'_>, container: &mut Option<String>) -> Option<bool> {
    const USES: &[&str] = &[
        "uses",
        "usages",
        "callers",
        "references",
        "occurrences",
        "calls",
        "usage",
        "sites",
        "declaration",
        "definition",
    ];
    const FILE: &[&str] = &["file", "module"];
    let mut everywhere = false;
    while !reader.is_done() {
        if reader.peek().is_some_and(|piece| piece.opens_aside) {
            return None;
        }
        if reader.take(&["everywhere", "throughout", "globally"]) {
            everywhere = true;
            reader.skip(&["in", "the", "this", "whole", "file", "module"]);
        } else if reader.take(&["please", "too", "consistently"]) {
        } else if reader.take(&["in", "inside", "within", "of", "from"]) {
            let start = reader.at;
            reader.skip(&["the", "this", "whole", "entire"]);
            if reader.take(FILE) {
                continue;
            }
            reader.at = start;
            reader.kinds();
            if container.replace(reader.name()?).is_some() {
                return None;
            }
            reader.kinds();
        } else {
            reader.take(&["and", "including", "with", "plus"]);
            reader.skip(&["also", "update", "fix", "adjust", "change", "in", "at"]);
            reader.skip(&["all", "its", "the", "every", "of", "other", "call", "their", "both"]);
            reader.take(USES).then_some(())?;
            reader.skip(&["and"]);
            reader.skip(USES);
            reader.skip(&["accordingly", "too", "of", "it"]);
            everywhere = true;
        }
    }
    Some(everywhere)
}

fn removals(reader: &mut Reader<'_>) -> Option<Vec<Removal>> {
    if !reader.take(&["delete", "remove", "drop"]) {
        reader.take(&["get"]).then_some(())?;
        (reader.take(&["rid"]) && reader.take(&["of"])).then_some(())?;
    }
    reader.skip(&["the", "unused", "dead", "obsolete", "deprecated", "whole", "entire", "now"]);
    let mut found = Vec::new();
    loop {
        reader.kinds();
        let name = reader.name()?;
        let (container, name) = split(&name);
        found.push(Removal { name, container });
        reader.skip(MEMBERS);
        reader.skip(OTHERS);
        reader.skip(&["methods", "functions", "helpers"]);
        let named = |piece: Option<&Piece>| {
            piece.is_some_and(|p| p.shape == Shape::Code || p.shape == Shape::Quoted)
        };
        if reader.peek().is_some_and(|p| p.is(&["and"])) && named(reader.pieces.get(reader.at + 1))
        {
            reader.at += 1;
        } else if !(reader.last()?.after == Some(',') && named(reader.peek())) {
            break;
        }
    }
    if reader.take(&["from", "in"]) {
        reader.kinds();
        let container = reader.name()?;
        reader.kinds();
        for removal in &mut found {
            removal.container.get_or_insert_with(|| container.clone());
        }
    }
    (reader.is_done() || is_reason(reader)).then_some(found)
}

/// Whether what is left only says why: a clause of its own, without code or anything to do.
fn is_reason(reader: &Reader<'_>) -> bool {
    const NOT_REASONS: &[&str] = &[
        "but", "except", "instead", "only", "unless", "then", "also", "too", "keep", "leave",
        "use", "add", "replace", "move", "make", "update", "rename", "change", "put", "call",
        "should", "must", "caller", "callers", "and", "with", "test", "tests", "set", "rewrite",
        "inline", "return", "other", "others", "its", "not", "if", "where", "when",
    ];
    let rest = &reader.pieces[reader.at..];
    let Some(first) = rest.first() else { return true };
    let apart = reader.last().is_some_and(|p| p.ends_clause) || first.opens_aside;
    let because = first.is(&["because", "since", "as", "which", "it", "it's", "that"]);
    (apart || because)
        && rest.len() <= 14
        && rest
            .iter()
            .all(|p| p.shape != Shape::Code && p.shape != Shape::Quoted && !p.is(NOT_REASONS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(instruction: &str) -> String {
        let place = |container: &Option<String>| {
            container.as_ref().map_or(String::new(), |c| format!(" in {c}"))
        };
        match parse(instruction) {
            None => "-".to_owned(),
            Some(Order::Rename(renames)) => {
                let show = |r: &Rename| {
                    let kind = match r.member {
                        Some(true) => " member",
                        Some(false) => " plain",
                        None => "",
                    };
                    let all = if r.everywhere { " all" } else { "" };
                    format!("{}>{}{}{kind}{all}", r.from, r.to, place(&r.container))
                };
                renames.iter().map(show).collect::<Vec<_>>().join("; ")
            }
            Some(Order::Remove(removals)) => {
                let show = |r: &Removal| format!("x {}{}", r.name, place(&r.container));
                removals.iter().map(show).collect::<Vec<_>>().join("; ")
            }
        }
    }

    #[test]
    fn renames_are_understood() {
        for (instruction, wanted) in [
            ("rename old_name to new_name", "old_name>new_name"),
            ("Rename `total` to `sum_total`.", "total>sum_total"),
            ("rename tally to total in count_all", "tally>total in count_all"),
            ("in count_all rename tally to total", "tally>total in count_all"),
            (
                "In count_all, rename the local variable tally to total",
                "tally>total in count_all plain",
            ),
            ("count_all: rename tally to total", "tally>total in count_all"),
            ("rename Cart.sum to total, including callers.", "sum>total in Cart all"),
            ("_cache -> _store in Reader, all uses", "_cache>_store in Reader all"),
            ("hits -> n_hits everywhere", "hits>n_hits all"),
            ("rename the items field of Cart to lines", "items>lines in Cart member"),
            (
                "Rename the width parameter to columns and update all callers",
                "width>columns plain all",
            ),
            (
                "use snake_case: fooBar -> foo_bar, bazQux -> baz_qux",
                "fooBar>foo_bar; bazQux>baz_qux",
            ),
            ("rename a1 to b1 and c1 to d1", "a1>b1; c1>d1"),
            (
                "rename method Cart::sum to total throughout the file",
                "sum>total in Cart member all",
            ),
            ("please rename self.count to self.n_items", "count>n_items"),
        ] {
            assert_eq!(show(instruction), wanted, "{instruction}");
        }
    }

    #[test]
    fn deletions_are_understood() {
        for (instruction, wanted) in [
            ("delete Cart.__repr__", "x __repr__ in Cart"),
            ("remove the unused function parse_old", "x parse_old"),
            ("drop `parse_old`, nobody calls that any more", "x parse_old"),
            ("remove parse_old (dead code)", "x parse_old"),
            ("remove the __str__ method from Cart", "x __str__ in Cart"),
            ("Remove parse_old and parse_older.", "x parse_old; x parse_older"),
            ("delete load_v1 since the format is gone", "x load_v1"),
        ] {
            assert_eq!(show(instruction), wanted, "{instruction}");
        }
    }

    #[test]
    fn anything_more_is_left_to_the_model() {
        for instruction in [
            "rename tally to total and add a docstring",
            "rename tally to something better",
            "rename tally to total (only the local one)",
            "rename tally to total but keep the keyword",
            "rename the file to x.py",
            "remove tally and use total instead",
            "remove parse_old, callers should use parse_new",
            "remove parse_old but keep its docstring",
            "drop the else",
            "delete every comment in parse_old",
            "remove the second argument of parse_old",
            "drop the <4 upper bound from python_requires",
            "",
            "->",
            "rename",
            "rename a to",
            "fix the bug",
        ] {
            let found = show(instruction);
            let harmless = found == "-" || found == "x else";
            assert!(harmless, "{instruction}: {found}");
        }
    }
}

//! What was changed once is probably changed again: renamed identifiers in all their forms, words and
//! arguments that came or went, lines that moved in or out.
//!
//! A change is learned when the texts match again after it, and the rest of the older text is written
//! anew with all that was learned. Where the model then goes back to what stood there, the change
//! behind it is not made any more.

use super::follow::Place;
use super::lexemes::{Class, Lexeme, Lexemes, indent, next};
use super::names::Rename;

/// Changes longer than this, in lexemes, are no pattern.
const N_LEXEMES_MAX: usize = 12;

/// Rules at most; older ones go.
const N_RULES_MAX: usize = 16;

/// Forms of a name that may stay while others change.
const N_EXCEPT_MAX: usize = 1;

/// How far before a closing bracket its opening one is looked for, in lexemes.
const N_INSIDE_MAX: usize = 256;

/// The number of the change that moves lines in or out.
const SHIFT: u32 = 0;

/// Everything learned from one text.
#[derive(Debug)]
pub(super) struct Changes {
    /// The older text as it was.
    original: Vec<Lexeme>,
    written: Vec<Lexeme>,
    /// Where the texts matched again after the last change that was learned.
    n_learned: usize,
    rules: Vec<Known>,
    n_rules: u32,
    shift: Option<Shift>,
}

/// A rule and how it fared.
#[derive(Clone, Debug)]
struct Known {
    number: u32,
    rule: Rule,
    /// Lexemes that it would change, and that stayed.
    except: Vec<u32>,
}

/// A change that may be made in other places.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    Rename(Rename),
    /// Some lexemes, by their ids and perhaps nothing, become others.
    Replace {
        from: Vec<u32>,
        to: Vec<(u32, Class)>,
        beside: Option<Anchor>,
    },
}

/// What a place is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Anchor {
    /// What stands before it.
    After(Key),
    /// What stands behind it.
    Before(Key),
}

/// A word; or a bracket and the word that its opening one follows, which is mostly a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    id: u32,
    callee: Option<u32>,
}

/// Lines of a block have another indentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shift {
    n_bytes: isize,
    /// Indentation of the block's lines before, at least.
    floor: usize,
    /// The line break in the original text that shows it.
    since: usize,
}

impl Changes {
    pub(super) fn new(old: &Lexemes) -> Self {
        Self {
            original: old.list().to_vec(),
            written: Vec::new(),
            n_learned: 0,
            rules: Vec::new(),
            n_rules: SHIFT,
            shift: None,
        }
    }

    /// Takes a lexeme that was written and where the text then stands. True when the older text was
    /// written anew from there on.
    pub(super) fn saw(&mut self, old: &mut Lexemes, lexeme: &[u8], place: Place) -> bool {
        let Some((class, _)) = next(lexeme) else { return false };
        let id = old.intern(lexeme);
        self.written.push(Lexeme { id, class, origin: 0, change: None });
        let (new_end, old_end) = (place.new - place.run, place.old - place.run);
        let (new_start, old_start) = place.change;
        // A blank alone may match by chance.
        let meets = place.run == 2 || (place.run == 1 && class != Class::Blank);
        if !meets || new_end <= self.n_learned || new_start > new_end || old_start > old_end {
            return false;
        }
        self.n_learned = new_end;
        let gone = &old.list()[old_start..old_end];
        let wrong: Vec<Lexeme> =
            gone.iter().filter(|l| l.change.is_some_and(|n| n != SHIFT)).copied().collect();
        let news = if wrong.is_empty() {
            let rule = rule(old, (old_start, old_end), &self.written[new_start..new_end]);
            rule.is_some_and(|rule| self.learn(rule))
        } else {
            self.unlearn(&wrong);
            true
        };
        let moved = self.measure(old, new_end, old_end);
        if news || moved {
            self.rewrite(old, place.old);
        }
        news || moved
    }

    /// Keeps a rule, if it is new.
    fn learn(&mut self, rule: Rule) -> bool {
        if self.rules.iter().any(|known| known.rule == rule) {
            return false;
        }
        self.n_rules += 1;
        self.rules.push(Known { number: self.n_rules, rule, except: Vec::new() });
        let n_over = self.rules.len().saturating_sub(N_RULES_MAX);
        self.rules.drain(..n_over);
        true
    }

    /// Makes changes no more that the model did not make: of a name in this form, or at all.
    fn unlearn(&mut self, wrong: &[Lexeme]) {
        for lexeme in wrong {
            let original = self.original.get(lexeme.origin as usize).map(|l| l.id);
            self.rules.retain_mut(|known| {
                known.except.extend(original.filter(|_| lexeme.change == Some(known.number)));
                let n_max = if matches!(known.rule, Rule::Rename(_)) { N_EXCEPT_MAX } else { 0 };
                known.except.len() <= n_max
            });
        }
    }

    /// Finds out by how much lines are shifted, where the texts match again at the beginning of one.
    /// True when it is not by as much as before.
    fn measure(&mut self, old: &Lexemes, new_end: usize, old_end: usize) -> bool {
        let line_break = |lexeme: &Lexeme| lexeme.class == Class::Break;
        let Some(now) = new_end.checked_sub(1).map(|i| self.written[i]).filter(line_break) else {
            return false;
        };
        // The first line has no break before it.
        let (since, was) = match old_end.checked_sub(1).map(|i| old.list()[i].origin as usize) {
            None => (0, 0),
            Some(since) => match self.original.get(since).filter(|l| line_break(l)) {
                Some(was) => (since, indent(old.text(was.id)).len()),
                None => return false,
            },
        };
        let now = indent(old.text(now.id)).len();
        let shift = Shift { n_bytes: now as isize - was as isize, floor: was, since };
        let before = self.shift.map_or(0, |shift| shift.n_bytes);
        self.shift = Some(shift).filter(|shift| shift.n_bytes != 0);
        shift.n_bytes != before
    }

    /// Writes the older text anew from a place on, with all that was learned.
    fn rewrite(&self, old: &mut Lexemes, place: usize) {
        let origin = old.list().get(place).map_or(self.original.len(), |l| l.origin as usize);
        let mut list = old.list()[..place].to_vec();
        list.extend_from_slice(&self.original[origin..]);
        for known in &self.rules {
            list = known.apply(old, list, place);
        }
        if let Some(shift) = self.shift {
            shift.apply(old, &self.original[..origin], &mut list[place..]);
        }
        old.exchange(place, &list[place..]);
    }
}

/// What a change teaches: lexemes of the older text that became others.
fn rule(old: &Lexemes, (start, end): (usize, usize), to: &[Lexeme]) -> Option<Rule> {
    let from = &old.list()[start..end];
    let n_start = from.iter().zip(to).take_while(|(a, b)| a.id == b.id).count();
    let (from, to) = (&from[n_start..], &to[n_start..]);
    let n_end = from.iter().rev().zip(to.iter().rev()).take_while(|(a, b)| a.id == b.id).count();
    let (from, to) = (&from[..from.len() - n_end], &to[..to.len() - n_end]);
    let all = || from.iter().chain(to);
    if all().next().is_none()
        || from.len().max(to.len()) > N_LEXEMES_MAX
        || all().any(|lexeme| lexeme.class == Class::Break)
    {
        return None;
    }
    let word = |l: &Lexeme| l.class == Class::Word;
    if let ([from], [to]) = (from, to)
        && word(from)
        && word(to)
    {
        let text = |l: &Lexeme| str::from_utf8(old.text(l.id)).ok();
        return Rename::of(text(from)?, text(to)?).map(Rule::Rename);
    }
    let comma = |l: Option<&Lexeme>| l.is_some_and(|l| old.text(l.id) == b",");
    let is_known = from.iter().any(|l| word(l) && old.text(l.id).len() > 1)
        && !comma(from.first())
        && !comma(from.last());
    let beside = if is_known { None } else { Some(anchor(old, start + n_start, end - n_end, to)?) };
    let to = to.iter().map(|l| (l.id, l.class)).collect();
    Some(Rule::Replace { from: from.iter().map(|l| l.id).collect(), to, beside })
}

/// What the place of a change is best known by, which puts `to` between two places of the older text.
fn anchor(old: &Lexemes, start: usize, end: usize, to: &[Lexeme]) -> Option<Anchor> {
    let list = old.list();
    let left = start.checked_sub(1).and_then(|i| key(old, &list[..i], list[i]));
    let right = list.get(end).and_then(|&lexeme| key(old, &list[..end], lexeme));
    let (after, before) = (left.map(Anchor::After), right.map(Anchor::Before));
    let is_call = |key: Option<Key>| key.is_some_and(|key| key.callee.is_some());
    let byte = |lexeme: Option<&Lexeme>| lexeme.and_then(|l| old.text(l.id).first().copied());
    let last = to.iter().rev().find(|lexeme| lexeme.class != Class::Blank);
    let (first, last) = (byte(to.first()), byte(last));
    let removed = list[start..end].iter().rev().find(|lexeme| lexeme.class != Class::Blank);
    let (first, last) = (first.or(byte(list[start..end].first())), last.or(byte(removed)));
    match (first, last) {
        // The first and the last argument of a call.
        (_, Some(b',')) if is_call(left) => after,
        (Some(b','), _) if is_call(right) => before,
        // What a name begins with, what opens before it, and what stands in its way.
        (_, Some(b'(' | b'[' | b'<' | b'.' | b':' | b'&' | b'*' | b'!')) => before.or(after),
        _ if to.last().is_some_and(|l| l.class == Class::Blank) => before.or(after),
        _ => after.or(before),
    }
}

/// What a lexeme is known by, if it is worth knowing.
fn key(old: &Lexemes, before: &[Lexeme], lexeme: Lexeme) -> Option<Key> {
    let word = |l: &&Lexeme| l.class == Class::Word;
    match (lexeme.class, old.text(lexeme.id)) {
        (Class::Word, text) => (text.len() > 1).then_some(Key { id: lexeme.id, callee: None }),
        (Class::Mark, b"(" | b"[" | b"{") => {
            let callee = before.last().filter(word)?.id;
            Some(Key { id: lexeme.id, callee: Some(callee) })
        }
        (Class::Mark, b")" | b"]" | b"}") => {
            let mut depth = 0;
            let inside = before.iter().rposition(|l| {
                match old.text(l.id) {
                    b")" | b"]" | b"}" => depth += 1,
                    b"(" | b"[" | b"{" if depth == 0 => return true,
                    b"(" | b"[" | b"{" => depth -= 1,
                    _ => {}
                }
                false
            })?;
            let near = before.len() - inside <= N_INSIDE_MAX;
            let callee = before[..inside].last().filter(word).filter(|_| near)?.id;
            Some(Key { id: lexeme.id, callee: Some(callee) })
        }
        _ => None,
    }
}

impl Known {
    /// Makes the change everywhere from a place on.
    fn apply(&self, old: &mut Lexemes, list: Vec<Lexeme>, place: usize) -> Vec<Lexeme> {
        let change = Some(self.number);
        match &self.rule {
            Rule::Rename(rename) => {
                let mut list = list;
                for lexeme in &mut list[place..] {
                    if lexeme.class != Class::Word || self.except.contains(&lexeme.id) {
                        continue;
                    }
                    let name = str::from_utf8(old.text(lexeme.id)).ok();
                    if let Some(new) = name.and_then(|name| rename.apply(name)) {
                        *lexeme = Lexeme { id: old.intern(new.as_bytes()), change, ..*lexeme };
                    }
                }
                list
            }
            Rule::Replace { from, to, beside } => {
                let mut new = list[..place].to_vec();
                let mut rest = &list[place..];
                while let Some((first, others)) = rest.split_first() {
                    let there = from.len() <= rest.len()
                        && rest.iter().zip(from).all(|(lexeme, id)| lexeme.id == *id);
                    let behind = rest.get(from.len()).copied();
                    if there && beside.is_none_or(|at| at.is_here(old, &new, behind, to, rest)) {
                        let origin = first.origin;
                        new.extend(to.iter().map(|&(id, class)| Lexeme {
                            id,
                            class,
                            origin,
                            change,
                        }));
                        rest = &rest[from.len()..];
                        if !from.is_empty() {
                            continue;
                        }
                    }
                    new.push(*first);
                    rest = others;
                }
                new
            }
        }
    }
}

impl Anchor {
    /// Whether this is between `before` and `behind`, and what is to come there is not there yet.
    fn is_here(
        self,
        old: &Lexemes,
        before: &[Lexeme],
        behind: Option<Lexeme>,
        to: &[(u32, Class)],
        rest: &[Lexeme],
    ) -> bool {
        let same = |(l, (id, _)): (&Lexeme, &(u32, Class))| l.id == *id;
        let reversed = || before.iter().rev().zip(to.iter().rev());
        match self {
            Self::After(wanted) => {
                let last = before.split_last();
                let key = last.and_then(|(last, before)| key(old, before, *last));
                key == Some(wanted) && !(rest.len() >= to.len() && rest.iter().zip(to).all(same))
            }
            Self::Before(wanted) => {
                let key = behind.filter(|l| wanted.id == l.id).and_then(|l| key(old, before, l));
                key == Some(wanted) && !(before.len() >= to.len() && reversed().all(same))
            }
        }
    }
}

impl Shift {
    /// Shifts the lines of a text's rest for as long as the block goes on.
    fn apply(self, old: &mut Lexemes, passed: &[Lexeme], rest: &mut [Lexeme]) {
        let ends = |old: &Lexemes, l: &Lexeme| {
            l.class == Class::Break && indent(old.text(l.id)).len() < self.floor
        };
        if passed[self.since.min(passed.len())..].iter().any(|lexeme| ends(old, lexeme)) {
            return;
        }
        for lexeme in rest {
            if lexeme.class != Class::Break {
                continue;
            }
            if ends(old, lexeme) {
                return;
            }
            let text = old.text(lexeme.id).to_vec();
            let was = indent(&text);
            let fill = was.last().copied().unwrap_or(b' ');
            let n = was.len().saturating_add_signed(self.n_bytes);
            let mut new = text[..text.len() - was.len()].to_vec();
            new.resize(new.len() + n, fill);
            *lexeme = Lexeme { id: old.intern(&new), change: Some(SHIFT), ..*lexeme };
        }
    }
}

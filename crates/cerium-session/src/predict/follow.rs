//! Where a text that is being written stands in an older one: an alignment that grows by a lexeme at
//! a time, over the whole of the older text.
//!
//! For every place of the older text the cheapest way is kept to have come there. A lexeme is
//! matched, put in place of another one, or inserted; older ones are skipped one by one or, at a
//! flat price, to any line. So repeated lines are told apart by all that was written before, and
//! after a change the ways meet again where the least is left unexplained.

use super::lexemes::{self, Class, Lexemes};

/// Prices, chosen by replaying the edits of the benchmark sets: of some twenty others none took fewer
/// steps. An insertion must be cheaper than following a wrong place, where about every second lexeme
/// matches by chance; dearer skips and jumps find back later, cheaper ones leave the place for less.
const INSERT_FIRST: u32 = 14;
const INSERT_MORE: u32 = 5;
const SKIP_FIRST: u32 = 5;
const SKIP_MORE: u32 = 1;
const JUMP_FORWARD: u32 = 15;
const JUMP_BACK: u32 = 25;
/// A jump that does not lead to the beginning of a line.
const JUMP_MIDLINE: u32 = 20;

/// The price of one lexeme in place of another one.
fn replace(old: Class, new: Class) -> u32 {
    match (old, new) {
        (Class::Blank, Class::Blank) => 2,
        (Class::Break, Class::Break) => 4,
        (Class::Word, Class::Word) => 10,
        (Class::Mark, Class::Mark) => 12,
        _ => 25,
    }
}

/// Support of a text that has not changed yet, beside what has matched of it.
const UNCHANGED: u32 = 15;

/// The cheapest way to a place.
#[derive(Clone, Copy, Debug)]
struct Way {
    cost: u32,
    /// Lexemes that matched without a gap up to here.
    run: u32,
    /// Where the last change began: lexemes written before it, and older ones passed.
    change: (u32, u32),
}

const NO_WAY: Way = Way { cost: u32::MAX / 2, run: 0, change: (0, 0) };

/// Where a text stands after a lexeme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Older lexemes passed.
    pub(super) old: usize,
    /// Lexemes written.
    pub(super) new: usize,
    /// How many lexemes right before are the same in both, without a gap.
    pub(super) run: usize,
    /// Where the change before these began: lexemes written before it, and older ones passed.
    pub(super) change: (usize, usize),
}

/// What is expected next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Next<'a> {
    /// Rest of the lexeme that is being written.
    pub(super) rest: &'a [u8],
    /// The older lexeme after it.
    pub(super) place: usize,
    /// 0 within an insertion, 1 after a word in place of another one, more after lexemes that matched, and
    /// still more where nothing has changed yet.
    pub(super) support: usize,
}

/// The cheapest ways, by place.
#[derive(Debug)]
struct Row {
    /// Those whose last lexeme stands for an older one.
    paired: Vec<Way>,
    /// Those whose last lexeme was inserted.
    inserted: Vec<Way>,
}

/// An alignment, as far as the newer text goes.
#[derive(Debug)]
pub(super) struct Follow {
    n_new: u32,
    row: Row,
    /// The row that is made out of it: after a whole lexeme, or one that is being written.
    made: Row,
}

impl Follow {
    /// At the beginning of both texts.
    pub(super) fn new(n_old: usize) -> Self {
        let row = || Row { paired: vec![NO_WAY; n_old + 1], inserted: vec![NO_WAY; n_old + 1] };
        let mut follow = Self { n_new: 0, row: row(), made: row() };
        follow.row.paired[0].cost = 0;
        follow
    }

    /// Takes a whole lexeme.
    pub(super) fn advance(&mut self, old: &Lexemes, lexeme: &[u8]) -> Place {
        let (id, list) = (old.id(lexeme), old.list());
        self.step(old, lexeme, |i| Some(list[i].id) == id);
        std::mem::swap(&mut self.row, &mut self.made);
        self.n_new += 1;
        let (way, place, _) = self.row.best();
        Place {
            old: place,
            new: self.n_new as usize,
            run: way.run as usize,
            change: (way.change.0 as usize, way.change.1 as usize),
        }
    }

    /// What is expected after `open`, the beginning of a lexeme or nothing.
    pub(super) fn ahead<'a>(&mut self, old: &'a Lexemes, open: &[u8]) -> Next<'a> {
        let row = if open.is_empty() {
            &self.row
        } else {
            self.step(old, open, |i| old.bytes(i).starts_with(open));
            &self.made
        };
        let (way, place, paired) = row.best();
        let last = place.checked_sub(1).filter(|_| paired && !open.is_empty());
        let rest = last.and_then(|i| old.bytes(i).strip_prefix(open)).unwrap_or_default();
        let support = match way.run {
            _ if way.cost == 0 => way.run + UNCHANGED,
            // A word that was written may go on, or another one is over; nothing else tells where a mark leads.
            0 => u32::from(paired && matches!(lexemes::next(open), Some((Class::Word, _)))),
            run => run + 1,
        };
        Next { rest, place, support: support as usize }
    }

    /// The older text is another one from a place on, and has `n_old` lexemes.
    pub(super) fn forget_after(&mut self, place: usize, n_old: usize) {
        for row in [&mut self.row, &mut self.made] {
            for ways in [&mut row.paired, &mut row.inserted] {
                ways.truncate(place + 1);
                ways.resize(n_old + 1, NO_WAY);
            }
        }
    }

    /// Makes the row after one more lexeme, which is the same as some of the older ones.
    fn step(&mut self, old: &Lexemes, lexeme: &[u8], same: impl Fn(usize) -> bool) {
        let Some((class, _)) = lexemes::next(lexeme) else { return };
        let Row { paired, inserted } = &mut self.made;
        let n_new = self.n_new;
        let leave = |way: Way, place: usize| match way.run {
            0 => way,
            _ => Way { change: (n_new, place as u32), run: 0, ..way },
        };
        let (everywhere, from, _) = self.row.best();
        let back = leave(everywhere, from).plus(JUMP_BACK);
        // The cheapest ways from places before: that skipped all between, and that jump.
        let (mut skipping, mut forward) = (NO_WAY, NO_WAY);
        paired[0] = NO_WAY;
        let mut line = true;
        for (place, lexeme) in old.list().iter().enumerate() {
            let here = self.row.at(place);
            let leaving = leave(here, place);
            inserted[place] = self.row.insert(place, leave);
            let jump = forward.or(back).plus(if line { 0 } else { JUMP_MIDLINE });
            let way = here.or(skipping).or(jump);
            paired[place + 1] = if same(place) {
                Way { run: way.run + 1, ..way }
            } else {
                leave(way, place).plus(replace(lexeme.class, class))
            };
            skipping = leaving.plus(SKIP_FIRST).or(skipping.plus(SKIP_MORE));
            forward = leaving.plus(JUMP_FORWARD).or(forward);
            line = lexeme.class == Class::Break;
        }
        inserted[old.len()] = self.row.insert(old.len(), leave);
    }
}

impl Row {
    /// The cheapest way to a place.
    fn at(&self, place: usize) -> Way {
        self.paired[place].or(self.inserted[place])
    }

    /// The cheapest way to insert a lexeme at a place.
    fn insert(&self, place: usize, leave: impl Fn(Way, usize) -> Way) -> Way {
        let first = leave(self.paired[place], place).plus(INSERT_FIRST);
        self.inserted[place].plus(INSERT_MORE).or(first)
    }

    /// The cheapest way of all, of equals one that matched for longer; its place; whether its last
    /// lexeme stands for an older one.
    fn best(&self) -> (Way, usize, bool) {
        let mut best = (self.paired[0], 0, true);
        for (ways, paired) in [(&self.paired, true), (&self.inserted, false)] {
            for (place, &way) in ways.iter().enumerate() {
                let better =
                    way.cost < best.0.cost || (way.cost == best.0.cost && way.run > best.0.run);
                if better {
                    best = (way, place, paired);
                }
            }
        }
        best
    }
}

impl Way {
    fn plus(self, price: u32) -> Self {
        Self { cost: self.cost + price, ..self }
    }

    /// The cheaper one, this of equals.
    fn or(self, other: Self) -> Self {
        if other.cost < self.cost { other } else { self }
    }
}

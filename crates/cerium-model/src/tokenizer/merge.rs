//! The merge loop both kinds of BPE share: of all neighbours that may join, the best pair joins,
//! the leftmost among equals, until none may.
//!
//! Words are short: up to [`SHORT`] symbols a scan for the minimum wins. Longer runs (a line of
//! dashes, base64, a megabyte of spaces) use a heap, so that hostile text costs `n log n`.

use std::{cmp::Reverse, collections::BinaryHeap};

/// Measured on source code: between 16 and 64 the choice makes no difference.
const SHORT: usize = 32;

/// The rank of a pair that may not join.
const NEVER: u32 = u32::MAX;

/// Which symbols may join.
pub(super) trait Rules {
    /// What text is made of on its way to tokens.
    type Symbol: Copy;

    /// The rank of a pair (lower joins first, never `u32::MAX`) and what it becomes.
    fn join(&self, left: Self::Symbol, right: Self::Symbol) -> Option<(u32, Self::Symbol)>;
}

/// Buffers that outlive a word.
#[derive(Debug)]
pub(super) struct Scratch<S> {
    /// The word: what to merge, and afterwards what became of it.
    pub(super) symbols: Vec<S>,
    /// For each symbol what it and its right neighbour would become, by rank.
    joins: Vec<(u32, S)>,
}

impl<S> Default for Scratch<S> {
    fn default() -> Self {
        Self { symbols: Vec::new(), joins: Vec::new() }
    }
}

/// Merges `scratch.symbols` in place.
pub(super) fn merge<R: Rules>(rules: &R, scratch: &mut Scratch<R::Symbol>) {
    match scratch.symbols.len() {
        0 | 1 => {}
        2..=SHORT => merge_short(rules, scratch),
        _ => merge_long(rules, &mut scratch.symbols),
    }
}

fn merge_short<R: Rules>(rules: &R, Scratch { symbols, joins }: &mut Scratch<R::Symbol>) {
    let join = |left, right| rules.join(left, right).unwrap_or((NEVER, left));
    joins.clear();
    joins.extend(symbols.windows(2).map(|pair| join(pair[0], pair[1])));
    loop {
        let mut best = (NEVER, 0);
        for (idx, &(rank, _)) in joins.iter().enumerate() {
            if rank < best.0 {
                best = (rank, idx);
            }
        }
        let (rank, idx) = best;
        if rank == NEVER {
            return;
        }
        symbols[idx] = joins[idx].1;
        symbols.remove(idx + 1);
        joins.remove(idx);
        if idx > 0 {
            joins[idx - 1] = join(symbols[idx - 1], symbols[idx]);
        }
        if idx < joins.len() {
            joins[idx] = join(symbols[idx], symbols[idx + 1]);
        }
    }
}

/// A symbol in a doubly linked list over the word.
struct Node<S> {
    symbol: S,
    prev: u32,
    next: u32,
    /// How many of the original symbols it has taken in; 0 once its left neighbour took it.
    n_merged: u32,
}

const NONE: u32 = u32::MAX;

fn merge_long<R: Rules>(rules: &R, symbols: &mut Vec<R::Symbol>) {
    assert!(symbols.len() < NONE as usize, "a word of 4 GiB: callers bound their text");
    let n = symbols.len() as u32;
    let mut nodes: Vec<Node<R::Symbol>> = (0..)
        .zip(symbols.iter())
        .map(|(idx, &symbol)| Node {
            symbol,
            prev: if idx == 0 { NONE } else { idx - 1 },
            next: if idx + 1 == n { NONE } else { idx + 1 },
            n_merged: 1,
        })
        .collect();
    // By rank, then position. The last number tells whether the pair still is what it was: borders
    // between symbols only vanish, so a pair that starts and ends where it did is the same pair.
    let mut heap = BinaryHeap::with_capacity(symbols.len());
    let candidate = |nodes: &[Node<R::Symbol>], left: u32| {
        let a = &nodes[left as usize];
        let b = nodes.get(a.next as usize)?;
        let (rank, _) = rules.join(a.symbol, b.symbol)?;
        Some(Reverse((rank, left, a.n_merged + b.n_merged)))
    };
    heap.extend((0..n).filter_map(|left| candidate(&nodes, left)));
    while let Some(Reverse((_, left, n_merged))) = heap.pop() {
        let a = &nodes[left as usize];
        let right = a.next;
        if a.n_merged == 0 || right == NONE {
            continue;
        }
        let b = &nodes[right as usize];
        if a.n_merged + b.n_merged != n_merged {
            continue;
        }
        let Some((_, symbol)) = rules.join(a.symbol, b.symbol) else { continue };
        let (prev, next) = (a.prev, b.next);
        nodes[left as usize] = Node { symbol, prev, next, n_merged };
        nodes[right as usize].n_merged = 0;
        if let Some(after) = nodes.get_mut(next as usize) {
            after.prev = left;
        }
        heap.extend(candidate(&nodes, left));
        if prev != NONE {
            heap.extend(candidate(&nodes, prev));
        }
    }
    symbols.clear();
    symbols.extend(nodes.iter().filter(|node| node.n_merged > 0).map(|node| node.symbol));
}

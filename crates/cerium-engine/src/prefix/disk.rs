//! What of the tree goes to disk, and what of a prompt comes from there.

use super::but_last;
use super::tree::{NodeId, PrefixTree};
use crate::store::{Key, PAGES_MIN, Reading, Store};
use cerium_model::kv::PAGE;
use std::collections::VecDeque;

/// The tree's other half.
#[derive(Debug)]
pub(super) struct Disk {
    store: Store,
    /// Pages to be written, by place and name: what has gone meanwhile is not written.
    unwritten: VecDeque<(NodeId, Key)>,
}

/// How far a prompt was looked for on disk.
#[derive(Debug, Default)]
pub(crate) enum Restoring {
    /// Not at all.
    #[default]
    Untried,
    /// Pages from this one on are being read.
    Reading { pages: Reading, depth: usize },
    /// There is nothing more.
    Over,
}

impl Disk {
    pub(super) fn new(store: Store) -> Self {
        Self { store, unwritten: VecDeque::new() }
    }

    /// Notes the pages of a beginning that is there, for writing.
    pub(super) fn note(&mut self, tree: &mut PrefixTree, end: NodeId) {
        if tree.depth(end) + 1 >= PAGES_MIN {
            let start = self.unwritten.len();
            self.unwritten.extend(tree.take_new(end));
            // The first pages of a prefix are of use without the later ones.
            self.unwritten.make_contiguous()[start..].reverse();
        }
    }

    pub(super) fn has_unwritten(&self) -> bool {
        !self.unwritten.is_empty()
    }

    /// Hands pages to the writer, as many as it takes.
    pub(super) fn write_some(&mut self, tree: &PrefixTree) {
        while self.store.has_room() {
            let Some((id, key)) = self.unwritten.pop_front() else { return };
            if let Some(page) = tree.page_named(id, key).filter(|_| !self.store.has(key)) {
                self.store.write(key, tree.depth(id), |bytes| page.write_to(bytes));
            }
        }
    }

    /// Begins to read what a prompt goes on with behind what is in the tree.
    pub(super) fn look_up(&self, tree: &PrefixTree, prompt: &[u32]) -> Restoring {
        let nodes = tree.find(but_last(prompt)).nodes;
        let rest = but_last(prompt)[nodes.len() * PAGE..].chunks_exact(PAGE);
        let keys = rest.scan(tree.key(nodes.last().copied()), |key, tokens| {
            *key = key.then(tokens);
            self.store.has(*key).then_some(*key)
        });
        let keys: Vec<Key> = keys.collect();
        if keys.is_empty() {
            return Restoring::Over;
        }
        let depth = nodes.len();
        Restoring::Reading { pages: self.store.read(keys, depth), depth }
    }
}

//! A radix tree over token ids whose edges are pages of keys and values.
//!
//! A page with all its positions may have successors; one with fewer ends its branch. What goes first
//! is chosen by "greedy dual" (Cao and Irani 1997): a page is worth the time that computing it again
//! takes, counted from the worth of the last one that went, so that what is not used loses to what is.

use super::seen::Trace;
use crate::glance::{TREE_PAGES_MAX, TreePage};
use crate::store::Key;
use cerium_model::kv::{PAGE, Page};
use slab::Slab;
use std::collections::{BTreeSet, VecDeque};

pub(crate) type NodeId = usize;

/// What computing a position takes: a part of its own, and one for each position before it. Any unit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) of_token: u64,
    pub(crate) of_key: u64,
}

#[derive(Debug)]
pub(crate) struct PrefixTree {
    nodes: Slab<Node>,
    /// Pages that sequences begin with.
    roots: Vec<NodeId>,
    /// Pages without successors, those that go first in front.
    leaves: BTreeSet<(u64, NodeId)>,
    /// Worth of what went last.
    clock: u64,
    cost: Cost,
    /// What sequences are known by before their first token.
    first: Key,
}

#[derive(Debug)]
struct Node {
    parent: Option<NodeId>,
    /// Pages before this one.
    depth: usize,
    /// 1 to [`PAGE`].
    tokens: Vec<u32>,
    page: Page,
    children: Vec<NodeId>,
    worth: u64,
    /// Of the sequence up to its end.
    key: Key,
    /// The same, by its tokens alone.
    trace: Trace,
    /// Whether nobody has [taken](PrefixTree::take_new) it yet.
    is_new: bool,
}

/// What is there of a sequence's beginning.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    /// Full pages, in order.
    pub(crate) nodes: Vec<NodeId>,
    /// A page that begins as the sequence goes on, and for how many tokens.
    pub(crate) part: Option<(NodeId, usize)>,
}

impl Found {
    /// Tokens in all.
    pub(crate) fn n_tokens(&self) -> usize {
        self.nodes.len() * PAGE + self.part.map_or(0, |(_, n)| n)
    }
}

impl PrefixTree {
    pub(crate) fn new(cost: Cost) -> Self {
        let (nodes, leaves) = (Slab::new(), BTreeSet::new());
        Self { nodes, roots: Vec::new(), leaves, clock: 0, cost, first: Key::default() }
    }

    /// Says what sequences are known by before their first token, while there are none.
    pub(crate) fn begin_with(&mut self, first: Key) {
        assert!(self.nodes.is_empty(), "names of pages begin with it");
        self.first = first;
    }

    /// Pages held.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Pages that nobody but the tree holds.
    pub(crate) fn n_idle(&self) -> usize {
        self.nodes.iter().filter(|(_, node)| !node.page.is_shared()).count()
    }

    /// The longest beginning of a sequence that is there, to the token.
    pub(crate) fn find(&self, tokens: &[u32]) -> Found {
        let mut found = Found::default();
        let mut rest = tokens;
        loop {
            let children = self.children(found.nodes.last().copied());
            let shared = |&id: &NodeId| (n_shared(&self.nodes[id].tokens, rest), id);
            match children.iter().map(shared).max() {
                Some((PAGE, id)) => found.nodes.push(id),
                Some((n, id)) if n > 0 => {
                    found.part = Some((id, n));
                    return found;
                }
                _ => return found,
            }
            rest = &rest[PAGE..];
        }
    }

    /// A hold on a page.
    pub(crate) fn page(&self, id: NodeId) -> Page {
        self.nodes[id].page.clone()
    }

    /// A hold on a page, if it is still this one.
    pub(crate) fn page_named(&self, id: NodeId, key: Key) -> Option<Page> {
        let node = self.nodes.get(id).filter(|node| node.key == key)?;
        Some(node.page.clone())
    }

    /// What sequences are known by at the end of a page, or before the first.
    pub(crate) fn key(&self, id: Option<NodeId>) -> Key {
        id.map_or(self.first, |id| self.nodes[id].key)
    }

    /// The same by tokens alone, whoever computes them.
    pub(crate) fn trace(&self, id: Option<NodeId>) -> Trace {
        id.map_or_else(Trace::default, |id| self.nodes[id].trace)
    }

    /// What a known sequence goes on with behind what was found of another one, up to `n_max` tokens: the
    /// one that has most in common with it, of several the one that was used last. Nothing where all known
    /// ones end.
    pub(crate) fn beside(&self, found: &Found, n_max: usize) -> Vec<u32> {
        let latest = |id| self.children(id).iter().copied().max_by_key(|&id| self.nodes[id].worth);
        let (mut next, mut n_skipped) = match found.part {
            Some((id, n)) => (Some(id), n),
            None => (latest(found.nodes.last().copied()), 0),
        };
        let mut tokens = Vec::new();
        while let Some(id) = next.filter(|_| tokens.len() < n_max) {
            tokens.extend_from_slice(&self.nodes[id].tokens[n_skipped..]);
            (next, n_skipped) = (latest(Some(id)), 0);
        }
        tokens.truncate(n_max);
        tokens
    }

    /// The pages as people see them, of every branch as many.
    pub(crate) fn glance(&self) -> Vec<TreePage> {
        let mut seen = Vec::new();
        let mut next: VecDeque<_> = self.roots.iter().map(|&id| (None, id)).collect();
        while let Some((parent, id)) = next.pop_front().filter(|_| seen.len() < TREE_PAGES_MAX) {
            let node = &self.nodes[id];
            let (n_tokens, in_use) = (node.tokens.len(), node.page.is_shared());
            next.extend(node.children.iter().map(|&child| (Some(seen.len()), child)));
            seen.push(TreePage { parent, n_tokens, in_use });
        }
        seen
    }

    /// Pages before one.
    pub(crate) fn depth(&self, id: NodeId) -> usize {
        self.nodes[id].depth
    }

    /// The pages from one towards the first that have not been asked for before.
    pub(crate) fn take_new(&mut self, end: NodeId) -> Vec<(NodeId, Key)> {
        let mut new = Vec::new();
        let mut next = Some(end);
        while let Some(id) = next.filter(|&id| std::mem::take(&mut self.nodes[id].is_new)) {
            new.push((id, self.nodes[id].key));
            next = self.nodes[id].parent;
        }
        new
    }

    /// Notes that pages were used.
    pub(crate) fn touch(&mut self, found: &Found) {
        for &id in found.nodes.iter().chain(found.part.as_ref().map(|(id, _)| id)) {
            let worth = self.clock + self.cost(id);
            let node = &mut self.nodes[id];
            if self.leaves.remove(&(node.worth, id)) {
                self.leaves.insert((worth, id));
            }
            node.worth = worth;
        }
    }

    /// Adds a page after another one, which is full, or as a sequence's first. Whatever ended on the way
    /// to it goes: it holds the same.
    pub(crate) fn insert(&mut self, parent: Option<NodeId>, tokens: &[u32], page: Page) -> NodeId {
        let is_shorter = |&id: &NodeId| {
            let theirs = &self.nodes[id].tokens;
            theirs.len() < tokens.len() && tokens.starts_with(theirs)
        };
        let shorter: Vec<NodeId> =
            self.children(parent).iter().copied().filter(is_shorter).collect();
        for id in shorter {
            self.remove(id);
        }
        let depth = parent.map_or(0, |id| self.nodes[id].depth + 1);
        let (key, trace) = (self.key(parent).then(tokens), self.trace(parent).then(tokens));
        let (tokens, children, is_new) = (tokens.to_vec(), Vec::new(), true);
        let node = Node { parent, depth, tokens, page, children, worth: 0, key, trace, is_new };
        let id = self.nodes.insert(node);
        let worth = self.clock + self.cost(id);
        self.nodes[id].worth = worth;
        self.leaves.insert((worth, id));
        if let Some(parent) = parent {
            self.leaves.remove(&(self.nodes[parent].worth, parent));
        }
        self.children_mut(parent).push(id);
        id
    }

    /// Lets go of the page that is worth least, of those that nobody else holds and no other follows.
    /// False if there is none.
    pub(crate) fn evict(&mut self) -> bool {
        let is_idle = |&&(_, id): &&(u64, NodeId)| !self.nodes[id].page.is_shared();
        let Some(&(worth, id)) = self.leaves.iter().find(is_idle) else { return false };
        self.clock = self.clock.max(worth);
        self.remove(id);
        true
    }

    /// Takes out a page without successors.
    fn remove(&mut self, id: NodeId) {
        let node = self.nodes.remove(id);
        self.leaves.remove(&(node.worth, id));
        let siblings = self.children_mut(node.parent);
        siblings.retain(|&sibling| sibling != id);
        if let Some(parent) = node.parent.filter(|_| siblings.is_empty()) {
            self.leaves.insert((self.nodes[parent].worth, parent));
        }
    }

    fn children(&self, parent: Option<NodeId>) -> &[NodeId] {
        parent.map_or(&self.roots, |id| &self.nodes[id].children)
    }

    fn children_mut(&mut self, parent: Option<NodeId>) -> &mut Vec<NodeId> {
        match parent {
            Some(id) => &mut self.nodes[id].children,
            None => &mut self.roots,
        }
    }

    /// What computing a page's positions again takes.
    fn cost(&self, id: NodeId) -> u64 {
        let node = &self.nodes[id];
        let Cost { of_token, of_key } = self.cost;
        let n_before = (node.depth * PAGE) as u64;
        node.tokens.len() as u64 * (of_token + n_before * of_key)
    }
}

/// Tokens that two sequences begin with.
fn n_shared(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

//! Which keys and values are kept for prompts to come, within one budget for them and for all sequences
//! that run.
//!
//! Pages that a running sequence has filled are in the tree at once, so that whoever comes with the same
//! prompt finds them; its last page, half full, comes when it ends, and until then whoever has the same prompt gets
//! a copy of it. A sequence starts only when all that
//! it may ever take fits beside what the others hold and were promised: then there is always a
//! page to be had, because every other page is idle and can go.

mod disk;
mod seen;
mod tree;

#[cfg(test)]
mod tests;

use crate::glance::{Pages, TreePage};
use crate::store::{Key, Store, StoreOptions};
use cerium_model::kv::{PAGE, PagePool};
use cerium_model::{KvCache, Model, Opening};
use disk::Disk;
pub(crate) use disk::Restoring;
pub use seen::Gone;
use seen::Seen;
use std::time::Duration;
use tree::{Cost, Found, PrefixTree};

/// Pages that come from disk between two steps: some 5 ms.
const RESTORED_MAX: usize = 16;

/// How long a page from disk is waited for while nothing is computed.
const WAIT: Duration = Duration::from_millis(2);

/// Tokens that are told of a sequence beside a prompt.
const N_BESIDE: usize = 16;

/// Where a prompt left what was known, and what became of the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parting {
    /// Tokens of the prompt that were known.
    pub n_known: usize,
    /// What a known sequence goes on with there, instead; nothing where all known ones end.
    pub beside: Vec<u32>,
    /// Tokens behind the known ones that were computed once, and why they are not there; in full pages.
    pub gone: Option<(Gone, usize)>,
}

/// Keys and values of all sequences of an engine.
#[derive(Debug)]
pub(crate) struct PrefixCache {
    pool: PagePool,
    /// `None` where nothing is kept.
    tree: Option<PrefixTree>,
    /// `None` where nothing outlives the process.
    disk: Option<Disk>,
    /// What was ever in the tree.
    seen: Seen,
    /// Pages that may be held, by anybody.
    n_pages_max: usize,
}

impl PrefixCache {
    /// * `n_bytes_max`: of keys and values, one page at least
    /// * `shares`: whether sequences find what others have computed
    pub(crate) fn new(model: &Model, opening: Opening, n_bytes_max: usize, shares: bool) -> Self {
        let pool = PagePool::new(model.config(), opening);
        let n_pages_max = (n_bytes_max / pool.page_bytes()).max(1);
        let tree = shares.then(|| PrefixTree::new(cost(model)));
        Self { pool, tree, disk: None, seen: Seen::default(), n_pages_max }
    }

    /// Has pages outlive the process, where the model is known by anything.
    pub(crate) fn open_store(&mut self, model: &mut Model, options: StoreOptions) {
        let Some(tree) = &mut self.tree else { return };
        if let Some(fingerprint) = model.fingerprint(self.pool.opening()) {
            let first = Key::first(&fingerprint);
            tree.begin_with(first);
            self.seen.open_diary(&options.dir, first.number());
            self.disk = Some(Disk::new(Store::open(options, &fingerprint, self.pool.page_bytes())));
        }
    }

    /// Hands pages to the thread that writes them; true if more wait for it.
    pub(crate) fn write_some(&mut self) -> bool {
        let (Some(tree), Some(disk)) = (&self.tree, &mut self.disk) else { return false };
        disk.write_some(tree);
        disk.has_unwritten()
    }

    /// Gives a sequence what comes from disk of its prompt.
    ///
    /// * `waits`: whether there is nothing else to do
    pub(crate) fn restore(
        &mut self,
        kv: &mut KvCache,
        prompt: &[u32],
        restoring: &mut Restoring,
        waits: bool,
    ) {
        let (Some(tree), Some(disk)) = (&self.tree, &self.disk) else {
            *restoring = Restoring::Over;
            return;
        };
        if let Restoring::Untried = restoring {
            *restoring = disk.look_up(tree, prompt);
        }
        for _ in 0..RESTORED_MAX {
            let Restoring::Reading { pages, depth } = restoring else { break };
            let page = if waits { pages.recv_timeout(WAIT).ok() } else { pages.try_recv().ok() };
            let Some(page) = page else {
                if pages.is_disconnected() && pages.is_empty() {
                    *restoring = Restoring::Over;
                }
                break;
            };
            // Others may have computed it meanwhile.
            if kv.n_tokens() / PAGE == *depth {
                if !self.make_room(1) {
                    *restoring = Restoring::Over;
                    break;
                }
                kv.push(&self.pool.read(&page));
            }
            *depth += 1;
        }
        self.publish(kv, prompt);
    }

    /// Tokens of the longest sequence that there is memory for.
    pub(crate) fn n_tokens_max(&self) -> usize {
        self.n_pages_max * PAGE
    }

    /// Opens a sequence that begins with `prompt`, if there is memory for all the `n_tokens` that it may
    /// get.
    ///
    /// * `n_promised`: pages that sequences which run may still take
    pub(crate) fn open(
        &mut self,
        prompt: &[u32],
        n_tokens: usize,
        n_promised: usize,
    ) -> Option<KvCache> {
        let mut kv = self.pool.open();
        if let Some(tree) = &self.tree {
            let found = tree.find(but_last(prompt));
            let pages: Vec<_> = found.nodes.iter().map(|&id| tree.page(id)).collect();
            kv.follow(&pages);
        }
        // What it has just taken hold of is not idle any more.
        self.has_promised(n_promised + n_promise(&kv, n_tokens)).then_some(kv)
    }

    /// Whether so many pages can still be taken, one after the other.
    pub(crate) fn has_promised(&self, n_pages: usize) -> bool {
        let n_idle = self.tree.as_ref().map_or(0, PrefixTree::n_idle);
        self.pool.n_used() - n_idle + n_pages <= self.n_pages_max
    }

    /// Gives a sequence what is there of its prompt beyond what it has.
    pub(crate) fn catch_up(&mut self, kv: &mut KvCache, prompt: &[u32]) {
        let Some(tree) = &mut self.tree else { return };
        let Found { nodes, part } = tree.find(but_last(prompt));
        if nodes.len() * PAGE + part.map_or(0, |(_, n)| n) <= kv.n_tokens() {
            return;
        }
        let pages: Vec<_> = nodes.iter().map(|&id| tree.page(id)).collect();
        let part_page = part.map(|(id, n)| (tree.page(id), n));
        tree.touch(&Found { nodes, part });
        if pages.len() * PAGE > kv.n_tokens() / PAGE * PAGE {
            kv.follow(&pages);
        }
        // While it is copied it cannot go, so there may be no room for the copy.
        if let Some((page, n)) = part_page.filter(|_| self.make_room(1)) {
            kv.truncate(pages.len() * PAGE);
            kv.follow_part(&page, n);
        }
    }

    /// How much of a prompt is known.
    pub(crate) fn n_known(&self, prompt: &[u32]) -> usize {
        let Some((tree, _)) = self.tree.as_ref().zip(prompt.split_last()) else { return 0 };
        tree.find(but_last(prompt)).n_tokens()
    }

    /// Where a prompt leaves what is known, given how much of it is; `None` if only its last token is left, or
    /// nothing is kept.
    pub(crate) fn parting(&self, n_known: usize, prompt: &[u32]) -> Option<Parting> {
        let tree = self.tree.as_ref().filter(|_| n_known < but_last(prompt).len())?;
        let found = tree.find(but_last(prompt));
        let rest = prompt[found.nodes.len() * PAGE..].chunks_exact(PAGE);
        let traces = rest.scan(tree.trace(found.nodes.last().copied()), |trace, tokens| {
            *trace = trace.then(tokens);
            Some(*trace)
        });
        let gone: Vec<Gone> = traces.map_while(|trace| self.seen.why(trace)).collect();
        let n_once = (found.nodes.len() + gone.len()) * PAGE;
        let gone = gone.first().map(|&gone| (gone, n_once.min(prompt.len()) - n_known));
        Some(Parting { n_known, beside: tree.beside(&found, N_BESIDE), gone })
    }

    /// Gives a sequence the first `n_tokens` of another one that begins alike, if only a page that is not
    /// full is missing: a copy of that.
    pub(crate) fn join(&mut self, kv: &mut KvCache, of: &KvCache, n_tokens: usize) {
        let start = n_tokens / PAGE * PAGE;
        if self.tree.is_some() && (start..n_tokens).contains(&kv.n_tokens()) && self.make_room(1) {
            kv.truncate(start);
            kv.follow_part(&of.page(start / PAGE), n_tokens - start);
        }
    }

    /// Lets idle pages go until `n_pages` can be taken; false if there are not so many.
    pub(crate) fn make_room(&mut self, n_pages: usize) -> bool {
        while self.pool.n_used() + n_pages > self.n_pages_max {
            if !self.tree.as_mut().is_some_and(PrefixTree::evict) {
                return false;
            }
        }
        true
    }

    /// Shows others the full pages of a sequence; where they are known already, the sequence holds those
    /// and lets go of its own.
    pub(crate) fn publish(&mut self, kv: &mut KvCache, tokens: &[u32]) {
        let Some(tree) = &mut self.tree else { return };
        let n_full = kv.n_tokens() / PAGE;
        if n_full == 0 || kv.is_shared(n_full - 1) {
            return;
        }
        let tokens = &tokens[..n_full * PAGE];
        let found = tree.find(tokens);
        for (i, &id) in found.nodes.iter().enumerate() {
            kv.share(i, &tree.page(id));
        }
        let mut parent = found.nodes.last().copied();
        for (i, tokens) in tokens.chunks_exact(PAGE).enumerate().skip(found.nodes.len()) {
            parent = Some(tree.insert(parent, tokens, kv.page(i)));
            self.seen.add(tree.trace(parent));
        }
        if let (Some(disk), Some(end)) = (&mut self.disk, parent) {
            disk.note(tree, end);
        }
    }

    /// Keeps what a sequence that has ended leaves behind.
    pub(crate) fn close(&mut self, mut kv: KvCache, tokens: &[u32]) {
        self.publish(&mut kv, tokens);
        self.seen.write();
        let Some(tree) = &mut self.tree else { return };
        let tokens = &tokens[..kv.n_tokens()];
        let found = tree.find(tokens);
        tree.touch(&found);
        let (full, part) = tokens.as_chunks::<PAGE>();
        if found.n_tokens() < tokens.len() {
            tree.insert(found.nodes.last().copied(), part, kv.page(full.len()));
        }
    }

    /// How many pages there are, and those of the tree.
    pub(crate) fn glance(&self) -> (Pages, Vec<TreePage>) {
        let tree = self.tree.as_ref();
        let pages = Pages {
            n_used: self.pool.n_used(),
            n_max: self.n_pages_max,
            n_idle: tree.map_or(0, PrefixTree::n_idle),
            n_kept: tree.map_or(0, PrefixTree::len),
            bytes: self.pool.page_bytes(),
            n_tokens: PAGE,
        };
        (pages, tree.map(PrefixTree::glance).unwrap_or_default())
    }

    /// Checks that every page in use is the tree's or that of a running sequence.
    #[cfg(debug_assertions)]
    pub(crate) fn audit<'a>(&self, running: impl Iterator<Item = &'a KvCache>) {
        let n_own = |kv: &KvCache| (0..kv.n_pages()).filter(|&i| !kv.is_shared(i)).count();
        let n_own: usize = running.map(n_own).sum();
        let n_kept = self.tree.as_ref().map_or(0, PrefixTree::len);
        assert_eq!(self.pool.n_used(), n_kept + n_own, "pages in use");
        let n_allocated = self.pool.n_used() + self.pool.n_free();
        assert!(n_allocated <= self.n_pages_max, "{n_allocated} pages of {}", self.n_pages_max);
    }
}

/// Pages that a sequence may still take until it has `n_tokens`.
pub(crate) fn n_promise(kv: &KvCache, n_tokens: usize) -> usize {
    n_tokens.div_ceil(PAGE).saturating_sub(kv.n_pages())
}

/// The last token of a prompt is always computed: its logits are wanted.
pub(crate) fn but_last(prompt: &[u32]) -> &[u32] {
    &prompt[..prompt.len() - 1]
}

/// Multiply-accumulates of a position.
fn cost(model: &Model) -> Cost {
    let costs = model.costs();
    Cost { of_token: costs.layer_macs as u64, of_key: costs.key_macs as u64 }
}

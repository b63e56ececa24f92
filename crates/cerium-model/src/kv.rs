//! Keys and values of one sequence, in pages of 64 positions.
//!
//! A page holds all layers, so that one page is the unit of sharing, eviction and storage. Attention
//! reads nothing but what is stored, so a position's results are the same whether its prefix was just
//! computed or kept. Sequences that begin alike share pages until one of them writes: it gets a copy.

mod fingerprint;
mod pool;

use crate::arch::Config;
pub use cerium_kernels::PAGE;
use cerium_kernels::{Cpu, KvFormat, KvLayout, KvPage, Span, Team};
pub use fingerprint::Fingerprint;
pub use pool::{Page, PagePool};
use std::sync::Arc;

/// How a sequence is computed: chosen when its cache is opened and never changed, because every
/// position depends on it. Whatever identifies a cache contains it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Opening {
    /// How keys and values are stored.
    pub format: KvFormat,
    /// How far positions reach.
    pub reach: Reach,
}

/// How far positions reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reach {
    /// As far as the model was trained for.
    #[default]
    Native,
    /// Farther, with rotations that are stretched for it from the first position on.
    Extended,
}

/// The cache of one sequence. A clone is another sequence that begins alike.
#[derive(Debug)]
pub struct KvCache {
    pool: PagePool,
    n_tokens: usize,
    pages: Vec<Arc<KvPage>>,
}

impl KvCache {
    /// An empty cache for sequences of a model within its native window.
    pub fn new(config: &Config) -> Self {
        Self::open(config, Opening::default())
    }

    /// An empty cache for sequences that are computed in another way.
    pub fn open(config: &Config, opening: Opening) -> Self {
        PagePool::new(config, opening).open()
    }

    /// Positions whose keys and values are there.
    pub fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// How they are computed.
    pub fn opening(&self) -> Opening {
        self.pool.opening()
    }

    /// Pages that it holds.
    pub fn n_pages(&self) -> usize {
        self.pages.len()
    }

    /// Whether somebody else holds one of its pages as well.
    pub fn is_shared(&self, i: usize) -> bool {
        Arc::strong_count(&self.pages[i]) > 1
    }

    /// Pages of its pool that `n` more positions take.
    pub fn n_wanted(&self, n: usize) -> usize {
        let pages = self.n_tokens / PAGE..(self.n_tokens + n).div_ceil(PAGE);
        pages.filter(|&i| i >= self.pages.len() || self.is_shared(i)).count()
    }

    /// A hold on one of its pages.
    pub fn page(&self, i: usize) -> Page {
        Page::new(&self.pages[i], &self.pool)
    }

    /// Holds full pages of another sequence instead of what it had.
    pub fn follow(&mut self, pages: &[Page]) {
        self.truncate(0);
        self.pages.extend(pages.iter().map(|page| Arc::clone(page.get())));
        self.n_tokens = pages.len() * PAGE;
    }

    /// Goes on, from the beginning of a page, with a copy of the first `n_tokens` positions of one.
    ///
    /// # Panics
    /// If it ends inside a page, or a page has fewer positions.
    pub fn follow_part(&mut self, page: &Page, n_tokens: usize) {
        assert!(self.n_tokens.is_multiple_of(PAGE) && n_tokens <= PAGE, "one page");
        self.truncate(self.n_tokens);
        self.pages.push(self.pool.take(|copy| copy.copy_from(page.get())));
        self.n_tokens += n_tokens;
    }

    /// Goes on with a whole page instead of what it had behind its last full one.
    pub fn push(&mut self, page: &Page) {
        self.truncate(self.n_tokens / PAGE * PAGE);
        self.pages.push(Arc::clone(page.get()));
        self.n_tokens += PAGE;
    }

    /// Holds a page that has the same positions and tokens as the one it holds, and lets go of that.
    pub fn share(&mut self, i: usize, page: &Page) {
        let own = std::mem::replace(&mut self.pages[i], Arc::clone(page.get()));
        self.pool.give(own);
    }

    /// Forgets all positions from `n_tokens` on. Their pages go, except a partly used one.
    pub fn truncate(&mut self, n_tokens: usize) {
        self.n_tokens = self.n_tokens.min(n_tokens);
        let n_pages = self.n_tokens.div_ceil(PAGE).min(self.pages.len());
        for page in self.pages.drain(n_pages..) {
            self.pool.give(page);
        }
    }

    /// Bytes that a cache of `n_tokens` positions holds.
    pub fn n_bytes(config: &Config, format: KvFormat, n_tokens: usize) -> usize {
        n_tokens.div_ceil(PAGE) * layout(config, format).page_bytes()
    }

    /// Makes room for `n` more positions; they count only after [`Self::commit`].
    pub(crate) fn reserve(&mut self, n: usize) {
        let n_pages = (self.n_tokens + n).div_ceil(PAGE);
        for page in self.pages.iter_mut().skip(self.n_tokens / PAGE) {
            if Arc::get_mut(page).is_none() {
                let copy = self.pool.take(|copy| copy.copy_from(page));
                self.pool.give(std::mem::replace(page, copy));
            }
        }
        while self.pages.len() < n_pages {
            self.pages.push(self.pool.take(|_| {}));
        }
    }

    /// Stores one layer's keys and values, `[n, n_kv_heads * head_dim]`, of the positions after the valid
    /// ones, which there is room for.
    pub(crate) fn store(
        &mut self,
        cpu: Cpu,
        team: &Team,
        layer: usize,
        keys: &[f32],
        values: &[f32],
    ) {
        let heads = self.pool.heads();
        let width = heads.n_kv_heads * heads.head_dim;
        let positions = self.n_tokens..self.n_tokens + keys.len() / width;
        let first_page = positions.start / PAGE;
        let pages = &mut self.pages[first_page..positions.end.div_ceil(PAGE)];
        team.for_each_chunk(pages, 1, |i, page| {
            let page = Arc::get_mut(&mut page[0]).expect("a reserved page is its own");
            let start = (first_page + i) * PAGE;
            for pos in positions.start.max(start)..positions.end.min(start + PAGE) {
                let row = (pos - positions.start) * width..(pos - positions.start + 1) * width;
                page.store(cpu, layer, pos - start, &keys[row.clone()], &values[row]);
            }
        });
    }

    /// Declares `n` stored positions valid.
    pub(crate) fn commit(&mut self, n: usize) {
        self.n_tokens += n;
    }

    /// What attention needs for `n_rows` new positions of one layer.
    pub(crate) fn span(&self, layer: usize, first_row: usize, n_rows: usize) -> Span<'_> {
        Span { first_row, n_rows, first_pos: self.n_tokens, pages: &self.pages, layer }
    }
}

impl Clone for KvCache {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone(), n_tokens: self.n_tokens, pages: self.pages.clone() }
    }
}

impl Drop for KvCache {
    fn drop(&mut self) {
        self.truncate(0);
    }
}

fn layout(config: &Config, format: KvFormat) -> KvLayout {
    KvLayout { heads: config.heads, n_layers: config.n_layers, format }
}

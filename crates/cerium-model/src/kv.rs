//! Keys and values of one sequence, in pages of 64 positions.
//!
//! A page holds all layers, so that one page is the unit of sharing, eviction and storage. What is
//! stored is half precision; attention reads nothing else, so a position's results are the same
//! whether its prefix was just computed or kept.

use crate::arch::Config;
use cerium_kernels::{Heads, PAGE, Span, store_kv};

/// The cache of one sequence.
#[derive(Debug)]
pub struct KvCache {
    heads: Heads,
    n_layers: usize,
    n_tokens: usize,
    pages: Vec<Page>,
}

/// `[n_layers, Heads::page_len]` halves each.
#[derive(Debug)]
struct Page {
    keys: Vec<u16>,
    values: Vec<u16>,
}

impl KvCache {
    /// An empty cache for sequences of a model.
    pub fn new(config: &Config) -> Self {
        Self { heads: config.heads, n_layers: config.n_layers, n_tokens: 0, pages: Vec::new() }
    }

    /// Positions whose keys and values are there.
    pub fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// Forgets all positions from `n_tokens` on. Their pages go, except a partly used one.
    pub fn truncate(&mut self, n_tokens: usize) {
        self.n_tokens = self.n_tokens.min(n_tokens);
        self.pages.truncate(self.n_tokens.div_ceil(PAGE));
    }

    /// Bytes that a cache of `n_tokens` positions holds.
    pub fn n_bytes(config: &Config, n_tokens: usize) -> usize {
        n_tokens.div_ceil(PAGE) * config.n_layers * config.heads.page_len() * 2 * size_of::<u16>()
    }

    /// Makes room for `n` more positions; they count only after [`Self::commit`].
    pub(crate) fn reserve(&mut self, n: usize) {
        let len = self.n_layers * self.heads.page_len();
        let n_pages = (self.n_tokens + n).div_ceil(PAGE);
        self.pages.resize_with(n_pages.max(self.pages.len()), || Page {
            keys: vec![0; len],
            values: vec![0; len],
        });
    }

    /// Stores the key and value of position `pos` in one layer.
    pub(crate) fn store(&mut self, layer: usize, pos: usize, key: &[f32], value: &[f32]) {
        let len = self.heads.page_len();
        let page = &mut self.pages[pos / PAGE];
        let range = layer * len..(layer + 1) * len;
        let into = (&mut page.keys[range.clone()], &mut page.values[range]);
        store_kv(self.heads, (key, value), pos % PAGE, into);
    }

    /// Declares `n` stored positions valid.
    pub(crate) fn commit(&mut self, n: usize) {
        self.n_tokens += n;
    }

    /// What attention needs for `n_rows` new positions of one layer.
    pub(crate) fn span(&self, layer: usize, first_row: usize, n_rows: usize) -> Span<'_> {
        let len = self.heads.page_len();
        let range = layer * len..(layer + 1) * len;
        Span {
            first_row,
            n_rows,
            first_pos: self.n_tokens,
            keys: self.pages.iter().map(|page| &page.keys[range.clone()]).collect(),
            values: self.pages.iter().map(|page| &page.values[range.clone()]).collect(),
        }
    }
}

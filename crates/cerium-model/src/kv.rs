//! Keys and values of one sequence, in pages of 64 positions.
//!
//! A page holds all layers, so that one page is the unit of sharing, eviction and storage. Attention
//! reads nothing but what is stored, so a position's results are the same whether its prefix was just
//! computed or kept. A copy of a cache shares its pages until one of the two writes to them.

use crate::arch::Config;
use cerium_kernels::{Cpu, KvFormat, KvLayout, KvPage, PAGE, Span, Team};
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

/// The cache of one sequence.
#[derive(Clone, Debug)]
pub struct KvCache {
    opening: Opening,
    layout: KvLayout,
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
        let layout = layout(config, opening.format);
        Self { opening, layout, n_tokens: 0, pages: Vec::new() }
    }

    /// Positions whose keys and values are there.
    pub fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// How they are computed.
    pub fn opening(&self) -> Opening {
        self.opening
    }

    /// Forgets all positions from `n_tokens` on. Their pages go, except a partly used one.
    pub fn truncate(&mut self, n_tokens: usize) {
        self.n_tokens = self.n_tokens.min(n_tokens);
        self.pages.truncate(self.n_tokens.div_ceil(PAGE));
    }

    /// Bytes that a cache of `n_tokens` positions holds.
    pub fn n_bytes(config: &Config, format: KvFormat, n_tokens: usize) -> usize {
        n_tokens.div_ceil(PAGE) * layout(config, format).page_bytes()
    }

    /// Makes room for `n` more positions; they count only after [`Self::commit`].
    pub(crate) fn reserve(&mut self, n: usize) {
        let n_pages = (self.n_tokens + n).div_ceil(PAGE);
        let page = || Arc::new(KvPage::new(self.layout));
        self.pages.resize_with(n_pages.max(self.pages.len()), page);
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
        let width = self.layout.heads.n_kv_heads * self.layout.heads.head_dim;
        let positions = self.n_tokens..self.n_tokens + keys.len() / width;
        let first_page = positions.start / PAGE;
        let pages = &mut self.pages[first_page..positions.end.div_ceil(PAGE)];
        team.for_each_chunk(pages, 1, |i, page| {
            let page = Arc::make_mut(&mut page[0]);
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

fn layout(config: &Config, format: KvFormat) -> KvLayout {
    KvLayout { heads: config.heads, n_layers: config.n_layers, format }
}

//! Causal attention over pages of keys and values, in integers.
//!
//! A sequence's keys and values lie in pages of 64 positions. A query's softmax is computed page by
//! page; the pages of a stretch are merged in order, then the stretches. Both grids are absolute, so a
//! query's bits depend on its own position alone: not on the batch, on the thread, on where the prompt
//! was cut, nor on whether threads shared its stretches.
//!
//! Queries and the weights of the softmax have 16 bits, keys and values 16 or 8 (`page`); their products
//! are exact in integers (`products`), and everything between them (`softmax`) is computed for sixteen
//! queries side by side. A work item is a few rows with all heads that share a key head, so that what a
//! page costs is shared by them.

mod lanes;
mod operand;
mod page;
mod products;
mod rotation;
mod softmax;
#[cfg(test)]
mod tests;

use crate::cpu::{Cpu, Isa};
use crate::team::{Shareable, Team};
use lanes::{LANES, Lanes};
use operand::{QueryRow, Unpacked, inner_len, right_len};
pub use page::{KvFormat, KvLayout, KvPage};
use softmax::{HEADER, Scale, Seen};
use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

/// Positions per page.
pub const PAGE: usize = 64;

/// Pages per stretch: what threads share of one row's work.
const STRETCH: usize = 8;

/// Rows that one work item serves.
const ROWS_PER_ITEM: usize = 64;

/// Heads of one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Query heads.
    pub n_heads: usize,
    /// Key and value heads; divides `n_heads`.
    pub n_kv_heads: usize,
    /// Values per head.
    pub head_dim: usize,
}

impl Heads {
    /// Query heads of a key head.
    fn group(self) -> usize {
        self.n_heads / self.n_kv_heads
    }
}

/// How a layer attends.
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a> {
    /// Its heads.
    pub heads: Heads,
    /// What scores are multiplied with before the softmax: `1 / sqrt(head_dim)` in most families.
    pub scale: f32,
    /// Positions that a row sees, its own the last of them; all before it where there is no window.
    pub window: Option<usize>,
    /// A score per query head that takes its share of the softmax and gives nothing for it.
    pub sinks: Option<&'a [f32]>,
}

impl Attention<'_> {
    /// The positions that position `pos` sees.
    fn visible(&self, pos: usize) -> Range<usize> {
        self.window.map_or(0, |window| (pos + 1).saturating_sub(window))..pos + 1
    }
}

/// The rows of a batch that belong to one sequence, with that sequence's pages.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    /// Index of the first row in the batch.
    pub first_row: usize,
    /// Number of rows.
    pub n_rows: usize,
    /// Position of the first row in its sequence.
    pub first_pos: usize,
    /// The sequence's pages.
    pub pages: &'a [Arc<KvPage>],
    /// Which of their layers is attended to.
    pub layer: usize,
}

/// Attends every row of the spans to its own position and those before it that it sees.
///
/// * `queries`, `out`: `[n_rows, n_heads, head_dim]`
///
/// # Panics
/// If shapes do not fit each other, `head_dim` is not a multiple of 16, a window is 0, or pages are
/// missing.
pub fn attention(
    cpu: Cpu,
    team: &Team,
    how: Attention<'_>,
    spans: &[Span<'_>],
    queries: &[f32],
    out: &mut [f32],
) {
    let heads = how.heads;
    let width = heads.n_heads * heads.head_dim;
    assert!(how.window != Some(0), "a row sees itself");
    assert!(how.sinks.is_none_or(|sinks| sinks.len() == heads.n_heads), "a sink per head");
    assert!(heads.head_dim.is_multiple_of(16) && heads.n_heads.is_multiple_of(heads.n_kv_heads));
    assert_eq!(queries.len(), out.len(), "as many outputs as queries");
    for span in spans {
        assert!((span.first_row + span.n_rows) * width <= queries.len(), "rows of the batch");
        let n_pages = (span.first_pos + span.n_rows).div_ceil(PAGE);
        assert!(span.pages.len() >= n_pages, "pages");
        assert!(span.pages.iter().all(|page| page.layout().heads == heads), "heads of the pages");
        assert!(span.pages.iter().all(|page| span.layer < page.layout().n_layers), "layer");
    }
    let pass = Pass { cpu, how, queries, out: Shareable(out.as_mut_ptr()) };
    let works = || spans.iter().map(|span| Work::new(how, span, team.n_threads()));
    let n_states: usize = works().map(|work| work.n_states()).sum();
    PARTS.with_borrow_mut(|parts| {
        parts.resize(n_states * pass.state_len(), Lanes::splat(0.0));
        let parts = Shareable(parts.as_mut_ptr());
        team.run(works().map(|work| work.n_items()).sum(), &|mut item| {
            let mut at = 0;
            for work in works() {
                if item < work.n_items() {
                    return pass.run(work, item, at, &parts);
                }
                item -= work.n_items();
                at += work.n_states();
            }
        });
        team.run(works().filter(Work::is_shared).map(|work| work.n_blocks).sum(), &|mut block| {
            let mut at = 0;
            for work in works().filter(Work::is_shared) {
                if block < work.n_blocks {
                    return pass.join(work, block, at, &parts);
                }
                block -= work.n_blocks;
                at += work.n_states();
            }
        });
    });
}

thread_local! {
    /// States of stretches that threads share, of the pass that this thread leads.
    static PARTS: RefCell<Vec<Lanes<f32>>> = const { RefCell::new(Vec::new()) };
    /// What a work item needs.
    static ROOM: RefCell<Room> = RefCell::default();
}

/// How products read integers: see `operand`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Words,
    #[cfg_attr(not(all(target_arch = "x86_64", target_os = "linux")), expect(dead_code))]
    Bytes,
}

impl Form {
    fn of(cpu: Cpu) -> Self {
        match cpu.0 {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Isa::Amx => Self::Bytes,
            _ => Self::Words,
        }
    }
}

/// A span, cut into blocks of a few rows and one key head.
#[derive(Clone, Copy)]
struct Work<'a> {
    span: &'a Span<'a>,
    n_kv_heads: usize,
    n_blocks: usize,
    /// Lanes that a block fills, in sixteens.
    n_tiles: usize,
    first_stretch: usize,
    /// Stretches that are items of their own; 1 where a block is not shared.
    n_parts: usize,
}

/// Rows of a span and the key head whose queries they are.
#[derive(Clone, Debug)]
struct Block {
    rows: Range<usize>,
    kv_head: usize,
}

impl<'a> Work<'a> {
    fn new(how: Attention<'_>, span: &'a Span<'a>, n_threads: usize) -> Self {
        let n_kv_heads = how.heads.n_kv_heads;
        let n_blocks = span.n_rows.div_ceil(ROWS_PER_ITEM) * n_kv_heads;
        let n_tiles = (span.n_rows.min(ROWS_PER_ITEM) * how.heads.group()).div_ceil(LANES);
        let first_stretch = how.visible(span.first_pos).start / (STRETCH * PAGE);
        let n_stretches = (span.first_pos + span.n_rows).div_ceil(STRETCH * PAGE) - first_stretch;
        // Few blocks are shared, so that all threads have work.
        let n_parts = if n_blocks < 4 * n_threads { n_stretches } else { 1 };
        Self { span, n_kv_heads, n_blocks, n_tiles, first_stretch, n_parts }
    }

    fn is_shared(&self) -> bool {
        self.n_parts > 1
    }

    fn n_items(&self) -> usize {
        self.n_blocks * self.n_parts
    }

    /// States that outlive their item.
    fn n_states(&self) -> usize {
        if self.is_shared() { self.n_items() * self.n_tiles } else { 0 }
    }

    /// Later rows attend to more: longest first balances the threads.
    fn block(&self, i: usize) -> Block {
        let i = self.n_blocks - 1 - i;
        let row = i / self.n_kv_heads * ROWS_PER_ITEM;
        let rows = row..self.span.n_rows.min(row + ROWS_PER_ITEM);
        Block { rows, kv_head: i % self.n_kv_heads }
    }
}

/// What all items of a call share.
struct Pass<'a> {
    cpu: Cpu,
    how: Attention<'a>,
    queries: &'a [f32],
    out: Shareable<f32>,
}

impl Pass<'_> {
    /// Lines of a softmax so far.
    fn state_len(&self) -> usize {
        HEADER + self.how.heads.head_dim
    }

    /// One item: a block, or a stretch of one whose states go to `parts`, from state `at` of it on.
    fn run(&self, work: Work<'_>, item: usize, at: usize, parts: &Shareable<Lanes<f32>>) {
        ROOM.with_borrow_mut(|room| {
            let block = work.block(item / work.n_parts);
            if work.is_shared() {
                let stretch = work.first_stretch + item % work.n_parts;
                room.begin(self, &work, &block, None);
                room.attend(self, work.span, &block, stretch..stretch + 1);
                let from = (at + item * work.n_tiles) * self.state_len();
                // SAFETY: every item of shared work has its own `n_tiles` states of `parts`, which
                // is that long, and is filled before anything reads it.
                let part = unsafe {
                    let len = work.n_tiles * self.state_len();
                    std::slice::from_raw_parts_mut(parts.0.add(from), len)
                };
                part[..room.totals.len()].copy_from_slice(&room.totals);
            } else {
                room.begin(self, &work, &block, self.how.sinks);
                room.attend(self, work.span, &block, 0..usize::MAX);
                self.finish(work.span, &block, &room.totals);
            }
        });
    }

    /// Merges the stretches of a shared block.
    fn join(&self, work: Work<'_>, i: usize, at: usize, parts: &Shareable<Lanes<f32>>) {
        ROOM.with_borrow_mut(|room| {
            let block = work.block(i);
            room.start(self, &block, self.how.sinks);
            for part in 0..work.n_parts {
                let item = i * work.n_parts + part;
                let from = (at + item * work.n_tiles) * self.state_len();
                // SAFETY: as in `run`; all items have been run.
                let part =
                    unsafe { std::slice::from_raw_parts(parts.0.add(from), room.totals.len()) };
                let states = room.totals.chunks_exact_mut(self.state_len());
                for (total, part) in states.zip(part.chunks_exact(self.state_len())) {
                    softmax::merge(self.cpu, total, part);
                }
            }
            self.finish(work.span, &block, &room.totals);
        });
    }

    /// Writes what a block attended to.
    fn finish(&self, span: &Span<'_>, block: &Block, totals: &[Lanes<f32>]) {
        let dim = self.how.heads.head_dim;
        for i in 0..block.n_queries(self.how.heads) {
            let at = self.at(span, block, i);
            // SAFETY: the query is inside the batch (checked in `attention`), and nobody else
            // writes what it attends to.
            let out = unsafe { std::slice::from_raw_parts_mut(self.out.0.add(at), dim) };
            let (state, lane) = (&totals[i / LANES * self.state_len()..], i % LANES);
            let inverse = 1.0 / state[1].0[lane];
            for (out, value) in out.iter_mut().zip(&state[HEADER..]) {
                // A negative zero becomes a positive one: whether pages that a query does not see
                // were merged must not be seen.
                *out = value.0[lane] * inverse + 0.0;
            }
        }
    }

    /// Where query `i` of a block is in the batch.
    fn at(&self, span: &Span<'_>, block: &Block, i: usize) -> usize {
        let Heads { n_heads, head_dim, .. } = self.how.heads;
        let group = self.how.heads.group();
        let row = span.first_row + block.rows.start + i / group;
        (row * n_heads + block.kv_head * group + i % group) * head_dim
    }
}

impl Block {
    /// A query for each row and head of the group; those of a row are neighbours.
    fn n_queries(&self, heads: Heads) -> usize {
        self.rows.len() * heads.group()
    }
}

/// What a work item needs, kept from item to item.
#[derive(Default)]
struct Room {
    keys: Unpacked,
    values: Unpacked,
    query: QueryRow,
    /// By tile of sixteen queries: right operands, and what their integers count.
    queries: Vec<Lanes<u32>>,
    steps: Vec<Lanes<f32>>,
    /// By tile: the positions that each query sees.
    seen: Vec<(Lanes<i32>, Lanes<i32>)>,
    scores: Vec<Lanes<f32>>,
    weights: Vec<Lanes<u32>>,
    /// Sums of products, and room for them.
    sums: [Vec<Lanes<i32>>; 2],
    /// States of the stretch and of all before it, by tile.
    stretch: Vec<Lanes<f32>>,
    totals: Vec<Lanes<f32>>,
}

impl Room {
    /// Empty states, or such that begin with a sink: its score is the greatest so far, and its own
    /// share is 1.
    fn start(&mut self, pass: &Pass<'_>, block: &Block, sinks: Option<&[f32]>) {
        let heads = pass.how.heads;
        let n_tiles = block.n_queries(heads).div_ceil(LANES);
        self.totals.resize(n_tiles * pass.state_len(), Lanes::splat(0.0));
        for (tile, state) in self.totals.chunks_exact_mut(pass.state_len()).enumerate() {
            softmax::clear(state);
            let Some(sinks) = sinks else { continue };
            for lane in 0..LANES {
                let head = block.kv_head * heads.group() + (tile * LANES + lane) % heads.group();
                state[0].0[lane] = sinks[head] * std::f32::consts::LOG2_E;
                state[1].0[lane] = 1.0;
            }
        }
    }

    /// Makes ready for a block's queries.
    fn begin(&mut self, pass: &Pass<'_>, work: &Work<'_>, block: &Block, sinks: Option<&[f32]>) {
        self.start(pass, block, sinks);
        let (heads, form) = (pass.how.heads, Form::of(pass.cpu));
        let (dim, n_queries) = (heads.head_dim, block.n_queries(heads));
        let n_tiles = n_queries.div_ceil(LANES);
        let format = work.span.pages[0].layout().format;
        let len = right_len(form, format, inner_len(dim));
        self.queries.clear();
        self.queries.resize(n_tiles * len, Lanes::splat(0));
        self.steps.clear();
        self.steps.resize(n_tiles, Lanes::splat(0.0));
        self.seen.clear();
        let width = match format {
            KvFormat::F16 => 1,
            KvFormat::Q8 => rotation::width(dim),
        };
        let scale = pass.how.scale * std::f32::consts::LOG2_E * 256.0 / width as f32;
        for tile in 0..n_tiles {
            let right = &mut self.queries[tile * len..(tile + 1) * len];
            let (mut first, mut end) = (Lanes::splat(0), Lanes::splat(0));
            for lane in 0..LANES {
                let i = tile * LANES + lane;
                if i < n_queries {
                    let query = &pass.queries[pass.at(work.span, block, i)..][..dim];
                    let step = self.query.pack((pass.cpu, form, format), query, lane, right);
                    self.steps[tile].0[lane] = step * scale;
                }
                // Lanes without a query see what the last one does.
                let row = block.rows.start + i.min(n_queries - 1) / heads.group();
                let visible = pass.how.visible(work.span.first_pos + row);
                (first.0[lane], end.0[lane]) = (visible.start as i32, visible.end as i32);
            }
            self.seen.push((first, end));
        }
        self.stretch.resize(self.totals.len(), Lanes::splat(0.0));
        self.scores.resize(PAGE, Lanes::splat(0.0));
        self.weights.resize(right_len(form, format, PAGE), Lanes::splat(0));
        for sums in &mut self.sums {
            sums.resize(dim.max(PAGE), Lanes::splat(0));
        }
    }

    /// Adds stretches, as far as the block's rows see them, to the totals.
    fn attend(&mut self, pass: &Pass<'_>, span: &Span<'_>, block: &Block, stretches: Range<usize>) {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        // SAFETY: bytes are the form of AMX alone, whose licence `cpu` is.
        let _tiles = (Form::of(pass.cpu) == Form::Bytes)
            .then(|| unsafe { crate::tiles::Tiles::new(&crate::tiles::Shapes::full()) });
        let first = pass.how.visible(span.first_pos + block.rows.start).start / PAGE;
        let end = (span.first_pos + block.rows.end).div_ceil(PAGE);
        let seen = first / STRETCH..end.div_ceil(STRETCH);
        for stretch in stretches.start.max(seen.start)..stretches.end.min(seen.end) {
            self.stretch.chunks_exact_mut(pass.state_len()).for_each(softmax::clear);
            for page in first.max(stretch * STRETCH)..end.min((stretch + 1) * STRETCH) {
                self.page(pass, span, block.kv_head, page);
            }
            let states = self.totals.chunks_exact_mut(pass.state_len());
            for (total, stretch) in states.zip(self.stretch.chunks_exact(pass.state_len())) {
                softmax::merge(pass.cpu, total, stretch);
            }
        }
    }

    /// Adds a page to the stretch.
    fn page(&mut self, pass: &Pass<'_>, span: &Span<'_>, kv_head: usize, page: usize) {
        let (cpu, form, dim) = (pass.cpu, Form::of(pass.cpu), pass.how.heads.head_dim);
        let format = span.pages[page].layout().format;
        let head = span.pages[page].head(span.layer, kv_head);
        // Tiles of bytes are loaded from the page itself, and wait for it; halves are converted before,
        // by loads in a row, which processors foresee.
        let next = span.pages.get(page + 1).filter(|_| format == KvFormat::Q8);
        let next = next.map(|next| next.head(span.layer, kv_head));
        let keys = self.keys.keys((cpu, form), head.keys, head.key_steps);
        if let Some(next) = &next {
            next.keys.prefetch();
        }
        let values = self.values.values((cpu, form), head.values, head.value_steps);
        let scores = self.scores.first_chunk_mut().expect("a page of scores");
        let [room, sums] = &mut self.sums;
        let tiles = self.queries.chunks_exact(right_len(form, format, inner_len(dim)));
        let states = self.stretch.chunks_exact_mut(pass.state_len());
        for (((queries, state), steps), seen) in tiles.zip(states).zip(&self.steps).zip(&self.seen)
        {
            let Some(seen) = Seen::of_page(seen, page) else { continue };
            products::products(cpu, keys, queries, &mut room[..PAGE], &mut sums[..PAGE]);
            let part = softmax::softmax(
                cpu,
                (form, format),
                sums.first_chunk().expect("a page of sums"),
                Scale { queries: steps, keys: head.key_steps, values: head.value_steps },
                &seen,
                scores,
                &mut self.weights,
            );
            products::products(cpu, values, &self.weights, &mut room[..dim], &mut sums[..dim]);
            softmax::merge_page(cpu, state, &part, &sums[..dim]);
        }
        if let Some(next) = &next {
            next.values.prefetch();
        }
    }
}

//! Activations as the integer kernels read them: small integers with one f32 scale per token and 32
//! values.
//!
//! Integers have 8 bits, or 16 in two planes of 8 ([`Detail::fine`]): twice the arithmetic, for models
//! so narrow that rounding to 8 bits is heard in their answers.

use crate::block::BLOCK;
use crate::cpu::{Cpu, per_isa};
use crate::team::Team;

/// A batch of activation rows, quantised.
///
/// Blocks lie block-major (`[n_cols / 32][n_tokens]`), so that a kernel which holds one block of
/// weights in registers reads all tokens in one run. A token's block depends on nothing but that
/// token's 32 values: batch size cannot change it.
#[derive(Debug, Default)]
pub struct Activations {
    pub(crate) n_tokens: usize,
    pub(crate) n_cols: usize,
    pub(crate) blocks: Vec<Quants>,
    /// Value of one quantisation step.
    pub(crate) d: Vec<f32>,
    /// Sums of the quants of a block's two halves: what offsets and minima are multiplied with.
    pub(crate) sums: [Vec<i32>; 2],
    /// Low bytes of 16-bit quants, whose high bytes are in `blocks`; empty unless asked for.
    pub(crate) lows: Vec<Quants>,
    /// The rows themselves, `[n_tokens, n_cols]`, for float matrices; empty unless asked for.
    pub(crate) floats: Vec<f32>,
}

/// What a batch holds beside 8-bit quants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Detail {
    /// Quants of 16 bits.
    pub fine: bool,
    /// The rows themselves: float matrices are multiplied with them.
    pub floats: bool,
}

/// Tokens are read in runs of this many: the last run may pass the end of all of these buffers.
pub(crate) const SLACK: usize = 16;

/// Rows that are quantised together at most, so that what they write lies together.
const ROWS_PER_ITEM: usize = 16;

/// One token's block. The alignment lets a block sit in one cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(32))]
pub(crate) struct Quants(pub(crate) [i8; BLOCK]);

/// One token's block, quantised.
#[derive(Clone, Copy, Debug)]
struct Quantised {
    quants: Quants,
    lows: Quants,
    d: f32,
    sums: [i32; 2],
}

impl Activations {
    /// An empty batch; buffers grow to the largest batch seen and are kept.
    pub fn new() -> Self {
        Self::default()
    }

    /// Quantises `rows`, `[n_tokens, n_cols]` in row-major order.
    ///
    /// `produce(i, row)` may first change row `i` in place (a norm, an activation function): it
    /// runs on the thread that quantises the row, while the row is in its cache.
    ///
    /// # Panics
    /// If `n_cols` is not a multiple of 32 or the rows are not whole.
    pub fn quantize(
        &mut self,
        cpu: Cpu,
        team: &Team,
        rows: &mut [f32],
        n_cols: usize,
        detail: Detail,
        produce: impl Fn(usize, &mut [f32]) + Sync,
    ) {
        assert!(n_cols > 0 && n_cols.is_multiple_of(BLOCK), "{n_cols} columns in blocks of 32");
        assert_eq!(rows.len() % n_cols, 0, "whole rows");
        let n_tokens = rows.len() / n_cols;
        let n_blocks = n_cols / BLOCK;
        (self.n_tokens, self.n_cols) = (n_tokens, n_cols);
        self.blocks.resize(n_tokens * n_blocks + SLACK, Quants::default());
        self.d.resize(n_tokens * n_blocks + SLACK, 0.0);
        self.sums.iter_mut().for_each(|sums| sums.resize(n_tokens * n_blocks + SLACK, 0));
        let n_lows = if detail.fine { n_tokens * n_blocks + SLACK } else { 0 };
        self.lows.resize(n_lows, Quants::default());
        let scatter = Scatter {
            blocks: self.blocks.as_mut_ptr(),
            lows: detail.fine.then_some(self.lows.as_mut_ptr()),
            d: self.d.as_mut_ptr(),
            sums: self.sums.each_mut().map(Vec::as_mut_ptr),
        };
        let n_rows = n_tokens.div_ceil(4 * team.n_threads()).clamp(1, ROWS_PER_ITEM);
        team.for_each_chunk(rows, n_rows * n_cols, |i, rows| {
            for (j, row) in rows.chunks_exact_mut(n_cols).enumerate() {
                produce(i * n_rows + j, row);
            }
            let shape = Shape { n_cols, n_tokens, fine: detail.fine };
            let into = scatter.from(i * n_rows);
            per_isa!(cpu, quantize_rows(rows: &[f32], shape: Shape, into: Scatter));
        });
        self.floats.clear();
        if detail.floats {
            self.floats.extend_from_slice(rows);
        }
    }

    /// Rows in the batch.
    pub fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// Values per row.
    pub fn n_cols(&self) -> usize {
        self.n_cols
    }
}

/// How a batch is laid out.
#[derive(Clone, Copy)]
struct Shape {
    n_cols: usize,
    n_tokens: usize,
    fine: bool,
}

/// Where blocks go: rows are quantised in parallel and each scatters into all buffers.
#[derive(Clone, Copy)]
struct Scatter {
    blocks: *mut Quants,
    lows: Option<*mut Quants>,
    d: *mut f32,
    sums: [*mut i32; 2],
}

// SAFETY: the pointers are only written through, at indices that differ between threads.
unsafe impl Send for Scatter {}
// SAFETY: as above.
unsafe impl Sync for Scatter {}

impl Scatter {
    /// Where the blocks of a token begin.
    fn from(&self, token: usize) -> Self {
        Self {
            blocks: self.blocks.wrapping_add(token),
            lows: self.lows.map(|lows| lows.wrapping_add(token)),
            d: self.d.wrapping_add(token),
            sums: self.sums.map(|sums| sums.wrapping_add(token)),
        }
    }

    /// # Safety
    /// `at` is inside all buffers, and nobody else touches it.
    #[inline(always)]
    unsafe fn put(&self, at: usize, block: &Quantised) {
        // SAFETY: the caller's promise.
        unsafe {
            self.blocks.add(at).write(block.quants);
            if let Some(lows) = self.lows {
                lows.add(at).write(block.lows);
            }
            self.d.add(at).write(block.d);
            self.sums[0].add(at).write(block.sums[0]);
            self.sums[1].add(at).write(block.sums[1]);
        }
    }
}

/// Quantises whole rows, block by block: in that order they are written.
#[inline(always)]
fn quantize_rows(rows: &[f32], shape: Shape, into: Scatter) {
    let Shape { n_cols, n_tokens, fine } = shape;
    for i in 0..n_cols / BLOCK {
        for (token, row) in rows.chunks_exact(n_cols).enumerate() {
            let values = &row.as_chunks::<BLOCK>().0[i];
            let block =
                if fine { quantize_block::<true>(values) } else { quantize_block::<false>(values) };
            // SAFETY: all buffers were resized to hold every block of every token, and no other
            // row has this index.
            unsafe { into.put(i * n_tokens + token, &block) };
        }
    }
}

/// Adding 1.5 * 2^23 leaves the rounded integer in the low mantissa bits.
const MAGIC: f32 = 12_582_912.0;

/// Symmetric to +-127, or +-127 * 256 with 16 bits, rounded to nearest, ties to even.
///
/// Loops of one simple operation each, over whole arrays: that is what compilers turn into vectors.
#[inline(always)]
fn quantize_block<const FINE: bool>(values: &[f32; BLOCK]) -> Quantised {
    // The bits of positive floats are ordered as the floats are.
    let size = |v: &f32| v.to_bits() & 0x7fff_ffff;
    let max = f32::from_bits(values.iter().map(size).fold(0, u32::max));
    let d = max / if FINE { 127.0 * 256.0 } else { 127.0 };
    let inverse = if d > 0.0 { 1.0 / d } else { 0.0 };
    let mut rounded = [0i32; BLOCK];
    for (rounded, v) in rounded.iter_mut().zip(values) {
        // All have 16 bits, unless a value was infinite or none at all.
        *rounded =
            i32::from(((v * inverse + MAGIC).to_bits() as i32 - MAGIC.to_bits() as i32) as i16);
    }
    let (mut quants, mut lows) = (Quants::default(), Quants::default());
    if FINE {
        // The low byte counts from -128 to 127, so the high one is rounded to nearest.
        for (high, rounded) in quants.0.iter_mut().zip(rounded) {
            *high = ((rounded + 128) >> 8) as i8;
        }
        for (low, rounded) in lows.0.iter_mut().zip(rounded) {
            *low = rounded as i8;
        }
    } else {
        for (quant, rounded) in quants.0.iter_mut().zip(rounded) {
            *quant = rounded as i8;
        }
    }
    // Through memory: taken from registers, compilers sum the lanes one by one.
    let (first, last) = std::hint::black_box(&rounded).split_at(BLOCK / 2);
    Quantised { quants, lows, d, sums: [first.iter().sum(), last.iter().sum()] }
}

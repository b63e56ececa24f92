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
        self.blocks.resize(n_tokens * n_blocks, Quants::default());
        self.d.resize(n_tokens * n_blocks, 0.0);
        self.sums.iter_mut().for_each(|sums| sums.resize(n_tokens * n_blocks, 0));
        self.lows.resize(if detail.fine { n_tokens * n_blocks } else { 0 }, Quants::default());
        let scatter = Scatter {
            blocks: self.blocks.as_mut_ptr(),
            lows: detail.fine.then_some(self.lows.as_mut_ptr()),
            d: self.d.as_mut_ptr(),
            sums: self.sums.each_mut().map(Vec::as_mut_ptr),
        };
        team.for_each_chunk(rows, n_cols, |token, row| {
            produce(token, row);
            let (fine, step) = (detail.fine, n_tokens);
            let first = scatter.from(token);
            per_isa!(cpu, quantize_row(row: &[f32], fine: bool, first: Scatter, step: usize));
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

/// Quantises one token's row; its blocks lie `step` apart.
#[inline(always)]
fn quantize_row(row: &[f32], fine: bool, first: Scatter, step: usize) {
    for (i, values) in row.as_chunks::<BLOCK>().0.iter().enumerate() {
        let block = quantize_block(values, fine);
        // SAFETY: all buffers were resized to hold every block of every token, and no other row
        // has this index.
        unsafe { first.put(i * step, &block) };
    }
}

/// Symmetric to +-127, or +-127 * 256 with 16 bits, rounded to nearest, ties to even.
#[inline(always)]
fn quantize_block(values: &[f32; BLOCK], fine: bool) -> Quantised {
    let mut max = [0.0f32; 16];
    for chunk in values.as_chunks::<16>().0 {
        for (max, v) in max.iter_mut().zip(chunk) {
            let v = v.abs();
            *max = if v > *max { v } else { *max };
        }
    }
    let max = max.iter().fold(0.0f32, |a, &b| if b > a { b } else { a });
    let d = max / if fine { 127.0 * 256.0 } else { 127.0 };
    let inverse = if d > 0.0 { 1.0 / d } else { 0.0 };
    let (mut quants, mut lows) = (Quants::default(), Quants::default());
    let mut sums = [0i32; 2];
    // Adding 1.5 * 2^23 leaves the rounded integer in the low mantissa bits.
    const MAGIC: f32 = 12_582_912.0;
    for (half, sum) in sums.iter_mut().enumerate() {
        for j in half * 16..half * 16 + 16 {
            let rounded = (values[j] * inverse + MAGIC).to_bits() as i32 - MAGIC.to_bits() as i32;
            if fine {
                // The low byte counts from -128 to 127, so the high one is rounded to nearest.
                quants.0[j] = ((rounded + 128) >> 8) as i8;
                lows.0[j] = rounded as i8;
            } else {
                quants.0[j] = rounded as i8;
            }
            *sum += i32::from(rounded as i16);
        }
    }
    Quantised { quants, lows, d, sums }
}

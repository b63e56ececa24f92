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
    /// `d` times the sum of the 32 quants: what a minimum is multiplied with.
    pub(crate) sum: Vec<f32>,
    /// The same for the two halves of a block, for types with groups of 16.
    pub(crate) half_sums: Vec<[f32; 2]>,
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
    sum: f32,
    half_sums: [f32; 2],
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
        self.sum.resize(n_tokens * n_blocks, 0.0);
        self.half_sums.resize(n_tokens * n_blocks, [0.0; 2]);
        self.lows.resize(if detail.fine { n_tokens * n_blocks } else { 0 }, Quants::default());
        let scatter = Scatter {
            blocks: self.blocks.as_mut_ptr(),
            lows: detail.fine.then_some(self.lows.as_mut_ptr()),
            d: self.d.as_mut_ptr(),
            sum: self.sum.as_mut_ptr(),
            half_sums: self.half_sums.as_mut_ptr(),
        };
        team.for_each_chunk(rows, n_cols, |token, row| {
            produce(token, row);
            for (i, values) in row.as_chunks::<BLOCK>().0.iter().enumerate() {
                let block = quantize_block(cpu, values, detail.fine);
                // SAFETY: the index is below `n_blocks * n_tokens`, to which all buffers were
                // resized, and no other token's row has it.
                unsafe { scatter.put(i * n_tokens + token, &block) };
            }
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
    sum: *mut f32,
    half_sums: *mut [f32; 2],
}

// SAFETY: the pointers are only written through, at indices that differ between threads.
unsafe impl Send for Scatter {}
// SAFETY: as above.
unsafe impl Sync for Scatter {}

impl Scatter {
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
            self.sum.add(at).write(block.sum);
            self.half_sums.add(at).write(block.half_sums);
        }
    }
}

fn quantize_block(cpu: Cpu, values: &[f32; BLOCK], fine: bool) -> Quantised {
    per_isa!(cpu, quantize_body(values: &[f32; BLOCK], fine: bool) -> Quantised)
}

/// Symmetric to +-127, or +-127 * 256 with 16 bits, rounded to nearest, ties to even.
#[inline(always)]
fn quantize_body(values: &[f32; BLOCK], fine: bool) -> Quantised {
    let mut max = [0.0f32; 8];
    for chunk in values.as_chunks::<8>().0 {
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
    Quantised {
        quants,
        lows,
        d,
        sum: d * (sums[0] + sums[1]) as f32,
        half_sums: sums.map(|s| d * s as f32),
    }
}

//! Activations as the integer kernels read them: small integers with one f32 scale per token and run of
//! values, as long as the weights' own runs: 32, or 256 for the K types.
//!
//! Integers have 8 bits, or 16 in two planes of 8 ([`Detail::of`]): twice the arithmetic, for models
//! so narrow that rounding to 8 bits is heard in their answers.

mod blocks;
mod supers;

use crate::block::{BLOCK, SUPER};
use crate::cpu::{Cpu, per_isa};
use crate::pack::{Form, PackedMatrix};
use crate::team::{Shareable, Team};
pub(crate) use blocks::Blocks;
use std::ops::Range;
pub(crate) use supers::{Sums, Supers};

/// A batch of activation rows, quantised in each form that the weights it meets read.
///
/// A token's quants depend on nothing but that token's values: batch size cannot change them.
#[derive(Debug, Default)]
pub struct Activations {
    pub(crate) n_tokens: usize,
    pub(crate) n_cols: usize,
    /// With a scale per block of 32 values.
    pub(crate) blocks: Blocks,
    /// With a scale per super-block of 256 values.
    pub(crate) supers: Supers,
    /// The rows themselves, `[n_tokens, n_cols]`.
    pub(crate) floats: Vec<f32>,
    /// Rows that wait to be quantised.
    pub(crate) staged: Vec<f32>,
}

/// What a batch is to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent, and set by what weights read")]
pub struct Detail {
    fine: bool,
    blocks: bool,
    supers: bool,
    floats: bool,
}

impl Detail {
    /// What products with these weights read, with quants of 16 bits if `fine`.
    pub fn of(fine: bool, weights: &[&PackedMatrix]) -> Self {
        let any = |form| weights.iter().any(|weights| weights.form() == form);
        let (blocks, supers, floats) = (any(Form::Blocks), any(Form::Supers), any(Form::Floats));
        Self { fine, blocks, supers, floats }
    }
}

/// Tokens are read in runs of this many: the last run may pass the end of all of these buffers.
pub(crate) const SLACK: usize = 16;

/// Rows that are quantised together at most, so that what they write lies together.
const ROWS_PER_ITEM: usize = 16;

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
    /// If the rows are not whole, or `n_cols` is not a multiple of the blocks that are asked for.
    pub fn quantize(
        &mut self,
        cpu: Cpu,
        team: &Team,
        rows: &mut [f32],
        n_cols: usize,
        detail: Detail,
        produce: impl Fn(usize, &mut [f32]) + Sync,
    ) {
        assert_eq!(rows.len() % n_cols.max(1), 0, "whole rows");
        let n_tokens = rows.len() / n_cols.max(1);
        let room = self.room(n_tokens, n_cols, detail);
        let n_rows = n_tokens.div_ceil(4 * team.n_threads()).clamp(1, ROWS_PER_ITEM);
        team.for_each_chunk(rows, n_rows * n_cols, |i, rows| {
            for (j, row) in rows.chunks_exact_mut(n_cols).enumerate() {
                produce(i * n_rows + j, row);
            }
            room.fill(cpu, rows, i * n_rows, 0..n_cols);
        });
    }

    /// Room for a batch, which is to be filled part by part.
    ///
    /// # Panics
    /// If `n_cols` is not a multiple of the blocks that are asked for.
    pub(crate) fn room(&mut self, n_tokens: usize, n_cols: usize, detail: Detail) -> Room {
        assert!(n_cols > 0 && n_cols.is_multiple_of(BLOCK), "{n_cols} columns in blocks of 32");
        assert!(!detail.supers || n_cols.is_multiple_of(SUPER), "{n_cols} columns by 256");
        (self.n_tokens, self.n_cols) = (n_tokens, n_cols);
        let n = |is_wanted: bool, len: usize| if is_wanted { n_tokens * n_cols / len } else { 0 };
        self.floats.resize(n(detail.floats, 1), 0.0);
        Room {
            n_tokens,
            n_cols,
            detail,
            blocks: self.blocks.resize(n(detail.blocks, BLOCK), detail.fine),
            supers: self.supers.resize(n(detail.supers, SUPER), detail.fine),
            floats: Shareable(self.floats.as_mut_ptr()),
        }
    }

    /// Whether the batch was quantised for matrices that read this form.
    pub(crate) fn holds(&self, form: Form) -> bool {
        let (n, len) = match form {
            Form::Blocks => (self.blocks.d.len() - SLACK, BLOCK),
            Form::Supers => (self.supers.d.len() - SLACK, SUPER),
            Form::Floats => (self.floats.len(), 1),
        };
        n * len == self.n_tokens * self.n_cols
    }

    /// The values that the quants of a token stand for in this form, which the batch holds.
    pub(crate) fn values(&self, form: Form, token: usize, out: &mut [f32]) {
        match form {
            Form::Blocks => {
                let x = &self.blocks;
                for (i, out) in out.chunks_exact_mut(BLOCK).enumerate() {
                    let at = i * self.n_tokens + token;
                    let low = x.lows.get(at).map(|low| &low.0[..]);
                    fill(out, &x.quants[at].0, low, x.d[at]);
                }
            }
            Form::Supers => {
                let x = &self.supers;
                for (i, out) in out.chunks_exact_mut(SUPER).enumerate() {
                    let at = i * self.n_tokens + token;
                    let low = x.low.quants.get(at).map(|low| &low.0[..]);
                    fill(out, &x.high.quants[at].0, low, x.d[at]);
                }
            }
            Form::Floats => out.copy_from_slice(&self.floats[token * self.n_cols..][..out.len()]),
        }
    }

    /// Whether quants have 16 bits.
    pub(crate) fn is_fine(&self) -> bool {
        !self.blocks.lows.is_empty() || !self.supers.low.quants.is_empty()
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

/// What quants in one byte or two stand for.
fn fill(out: &mut [f32], high: &[i8], low: Option<&[i8]>, d: f32) {
    match low {
        None => out.iter_mut().zip(high).for_each(|(v, &q)| *v = f32::from(q) * d),
        Some(low) => {
            for ((v, &high), &low) in out.iter_mut().zip(high).zip(low) {
                *v = (256.0 * f32::from(high) + f32::from(low)) * d;
            }
        }
    }
}

/// Where the values of a batch go. Threads fill disjoint parts of it.
pub(crate) struct Room {
    n_tokens: usize,
    n_cols: usize,
    detail: Detail,
    blocks: blocks::Into,
    supers: supers::Into,
    floats: Shareable<f32>,
}

impl Room {
    /// Quantises `rows`, `[tokens, columns.len()]`, of the tokens from `first` on. No two calls have a
    /// value in common.
    ///
    /// # Panics
    /// If the rows are outside the batch, or the columns are not whole blocks of it.
    pub(crate) fn fill(&self, cpu: Cpu, rows: &[f32], first: usize, columns: Range<usize>) {
        let (n_cols, n_tokens) = (columns.len(), rows.len() / columns.len());
        let unit = if self.detail.supers { SUPER } else { BLOCK };
        assert!([columns.start, n_cols].iter().all(|n| n.is_multiple_of(unit)), "whole blocks");
        assert!(rows.len() == n_tokens * n_cols && first + n_tokens <= self.n_tokens, "tokens");
        assert!(columns.end <= self.n_cols, "columns");
        let part = Part { n_cols, first_column: columns.start, n_tokens: self.n_tokens, first };
        if self.detail.blocks {
            let into = self.blocks;
            per_isa!(cpu, blocks::quantize(rows: &[f32], part: Part, into: blocks::Into));
        }
        if self.detail.supers {
            let into = self.supers;
            per_isa!(cpu, supers::quantize(rows: &[f32], part: Part, into: supers::Into));
        }
        if self.detail.floats {
            for (token, row) in rows.chunks_exact(n_cols).enumerate() {
                let at = (first + token) * self.n_cols + columns.start;
                // SAFETY: inside the batch, as asserted, and nobody else has these values.
                unsafe { self.floats.0.add(at).copy_from_nonoverlapping(row.as_ptr(), n_cols) };
            }
        }
    }
}

/// A part of a batch: `n_cols` columns from `first_column` on, of tokens from `first` on. The batch has
/// `n_tokens`.
#[derive(Clone, Copy)]
struct Part {
    n_cols: usize,
    first_column: usize,
    n_tokens: usize,
    first: usize,
}

/// Steps of the quants: to +-127, or +-127 * 256 with 16 bits.
const fn steps(fine: bool) -> f32 {
    if fine { 127.0 * 256.0 } else { 127.0 }
}

/// Size of the largest value and what values are multiplied with to count steps.
#[inline(always)]
fn scale<const FINE: bool>(values: &[f32]) -> (f32, f32) {
    // The bits of positive floats are ordered as the floats are.
    let size = |v: &f32| v.to_bits() & 0x7fff_ffff;
    let max = f32::from_bits(values.iter().map(size).fold(0, u32::max));
    let d = max / steps(FINE);
    (d, if d > 0.0 { 1.0 / d } else { 0.0 })
}

/// Adding 1.5 * 2^23 leaves the rounded integer in the low mantissa bits.
const MAGIC: f32 = 12_582_912.0;

/// Rounds to nearest, ties to even.
#[inline(always)]
fn round(v: f32, inverse: f32) -> i32 {
    // All have 16 bits, unless a value was infinite or none at all.
    i32::from(((v * inverse + MAGIC).to_bits() as i32 - MAGIC.to_bits() as i32) as i16)
}

/// The high byte of 16 bits: the low one counts from -128 to 127, so the high one is rounded.
#[inline(always)]
fn high_byte(rounded: i32) -> i8 {
    ((rounded + 128) >> 8) as i8
}

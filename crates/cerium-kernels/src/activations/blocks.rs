//! Quants with a scale per block of 32 values.

use super::{Part, SLACK, high_byte, round, scale};
use crate::block::BLOCK;

/// Blocks lie block-major (`[n_cols / 32][n_tokens]`), so that a kernel which holds one block of
/// weights in registers reads all tokens in one run.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    pub(crate) quants: Vec<Quants>,
    /// Low bytes of 16-bit quants, whose high bytes are in `quants`; else empty.
    pub(crate) lows: Vec<Quants>,
    /// Value of one step.
    pub(crate) d: Vec<f32>,
    /// Sums of the quants: what offsets and minima are multiplied with.
    pub(crate) sums: Vec<i32>,
}

/// One token's block. The alignment lets it sit in one cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(32))]
pub(crate) struct Quants(pub(crate) [i8; BLOCK]);

/// Where blocks go: rows are quantised in parallel and each scatters into all buffers.
#[derive(Clone, Copy)]
pub(super) struct Into {
    quants: *mut Quants,
    lows: Option<*mut Quants>,
    d: *mut f32,
    sums: *mut i32,
}

// SAFETY: the pointers are only written through, at indices that differ between threads.
unsafe impl Send for Into {}
// SAFETY: as above.
unsafe impl Sync for Into {}

impl Blocks {
    /// Makes room for `n` blocks in all.
    pub(super) fn resize(&mut self, n: usize, fine: bool) -> Into {
        self.quants.resize(n + SLACK, Quants::default());
        self.lows.resize(if fine { n + SLACK } else { 0 }, Quants::default());
        self.d.resize(n + SLACK, 0.0);
        self.sums.resize(n + SLACK, 0);
        Into {
            quants: self.quants.as_mut_ptr(),
            lows: fine.then_some(self.lows.as_mut_ptr()),
            d: self.d.as_mut_ptr(),
            sums: self.sums.as_mut_ptr(),
        }
    }
}

/// Quantises whole rows, block by block: in that order they are written.
#[inline(always)]
pub(super) fn quantize(rows: &[f32], part: Part, into: Into) {
    for i in 0..part.n_cols / BLOCK {
        for (token, row) in rows.chunks_exact(part.n_cols).enumerate() {
            let values = &row.as_chunks::<BLOCK>().0[i];
            let at = (part.first_column / BLOCK + i) * part.n_tokens + part.first + token;
            // SAFETY: all buffers were resized to hold every block of every token, and no other
            // row has this index.
            unsafe {
                if into.lows.is_some() {
                    block::<true>(values, into, at);
                } else {
                    block::<false>(values, into, at);
                }
            }
        }
    }
}

/// Loops of one simple operation each, over whole arrays: that is what compilers turn into vectors.
///
/// # Safety
/// `at` is inside all buffers, and nobody else touches it.
#[inline(always)]
unsafe fn block<const FINE: bool>(values: &[f32; BLOCK], into: Into, at: usize) {
    let (d, inverse) = scale::<FINE>(values);
    let mut rounded = [0i32; BLOCK];
    for (rounded, v) in rounded.iter_mut().zip(values) {
        *rounded = round(*v, inverse);
    }
    let (mut quants, mut lows) = (Quants::default(), Quants::default());
    for (quant, rounded) in quants.0.iter_mut().zip(rounded) {
        *quant = if FINE { high_byte(rounded) } else { rounded as i8 };
    }
    for (low, rounded) in lows.0.iter_mut().zip(rounded) {
        *low = rounded as i8;
    }
    // Through memory: taken from registers, compilers sum the lanes one by one.
    let sum = std::hint::black_box(&rounded).iter().sum();
    // SAFETY: the caller's promise.
    unsafe {
        into.quants.add(at).write(quants);
        if FINE && let Some(into) = into.lows {
            into.add(at).write(lows);
        }
        into.d.add(at).write(d);
        into.sums.add(at).write(sum);
    }
}

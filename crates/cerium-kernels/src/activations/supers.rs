//! Quants with a scale per super-block of 256 values, for the K types: their factors per 32 or 16 values
//! are integers, so that a whole super-block is summed exactly before anything is rounded.

use super::{Part, SLACK, high_byte, round, scale};
use crate::block::{BLOCK, SUPER};

/// Super-blocks lie as blocks do: `[n_cols / 256][n_tokens]`.
#[derive(Debug, Default)]
pub(crate) struct Supers {
    /// Quants of 8 bits, or the high bytes of 16: each counts 256 steps then.
    pub(crate) high: Plane,
    /// The low bytes of 16; else empty.
    pub(crate) low: Plane,
    /// Value of one step.
    pub(crate) d: Vec<f32>,
}

/// One byte of every quant.
#[derive(Debug, Default)]
pub(crate) struct Plane {
    pub(crate) quants: Vec<Quants>,
    pub(crate) sums: Vec<Sums>,
}

/// One token's super-block: rows of a tile are whole cache lines of it.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Quants(pub(crate) [i8; SUPER]);

/// Sums of a super-block's quants, which offsets and minima are multiplied with, in the pairs that one
/// instruction takes.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(16))]
pub(crate) struct Sums {
    /// Of the two halves of each block.
    pub(crate) halves: [[i16; 2]; SUPER / BLOCK],
    /// Of the blocks.
    pub(crate) wholes: [[i16; 2]; SUPER / BLOCK / 2],
}

/// Where super-blocks go.
#[derive(Clone, Copy)]
pub(super) struct Into {
    high: (*mut Quants, *mut Sums),
    low: Option<(*mut Quants, *mut Sums)>,
    d: *mut f32,
}

// SAFETY: the pointers are only written through, at indices that differ between threads.
unsafe impl Send for Into {}
// SAFETY: as above.
unsafe impl Sync for Into {}

impl Supers {
    /// Makes room for `n` super-blocks in all.
    pub(super) fn resize(&mut self, n: usize, fine: bool) -> Into {
        self.d.resize(n + SLACK, 0.0);
        let high = self.high.resize(n + SLACK);
        let low = self.low.resize(if fine { n + SLACK } else { 0 });
        Into { high, low: fine.then_some(low), d: self.d.as_mut_ptr() }
    }
}

impl Plane {
    fn resize(&mut self, n: usize) -> (*mut Quants, *mut Sums) {
        self.quants.resize(n, Quants([0; SUPER]));
        self.sums.resize(n, Sums::default());
        (self.quants.as_mut_ptr(), self.sums.as_mut_ptr())
    }
}

/// Quantises whole rows.
#[inline(always)]
pub(super) fn quantize(rows: &[f32], part: Part, into: Into) {
    for i in 0..part.n_cols / SUPER {
        for (token, row) in rows.chunks_exact(part.n_cols).enumerate() {
            let values = &row.as_chunks::<SUPER>().0[i];
            let at = (part.first_column / SUPER + i) * part.n_tokens + part.first + token;
            // SAFETY: all buffers were resized to hold every super-block of every token, and no
            // other row has this index.
            unsafe {
                let (quants, sums) = (into.high.0.add(at), into.high.1.add(at));
                if let Some(low) = into.low {
                    let (d, inverse) = scale::<true>(values);
                    into.d.add(at).write(d);
                    plane::<true>(values, inverse, quants, sums);
                    plane::<false>(values, inverse, low.0.add(at), low.1.add(at));
                } else {
                    let (d, inverse) = scale::<false>(values);
                    into.d.add(at).write(d);
                    plane::<false>(values, inverse, quants, sums);
                }
            }
        }
    }
}

/// The high bytes, or the low ones: without high ones, all there is.
///
/// Loops of one simple operation each, over whole arrays: that is what compilers turn into vectors.
///
/// # Safety
/// Both places may be written, and nobody else touches them.
#[inline(always)]
unsafe fn plane<const HIGH: bool>(
    values: &[f32; SUPER],
    inverse: f32,
    quants: *mut Quants,
    sums: *mut Sums,
) {
    let mut bytes = Quants([0; SUPER]);
    for (byte, v) in bytes.0.iter_mut().zip(values) {
        let rounded = round(*v, inverse);
        *byte = if HIGH { high_byte(rounded) } else { rounded as i8 };
    }
    // Through memory: taken from registers, compilers sum the lanes one by one.
    let bytes = std::hint::black_box(&bytes);
    let mut all = Sums::default();
    for (half, bytes) in all.halves.as_flattened_mut().iter_mut().zip(bytes.0.as_chunks::<16>().0) {
        *half = bytes.iter().map(|&b| i16::from(b)).sum();
    }
    for (whole, [first, last]) in all.wholes.as_flattened_mut().iter_mut().zip(all.halves) {
        *whole = first + last;
    }
    // SAFETY: the caller's promise.
    unsafe {
        quants.write(*bytes);
        sums.write(all);
    }
}

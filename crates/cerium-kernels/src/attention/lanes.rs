//! Sixteen queries side by side: everything about a query happens in its lane, and no sum crosses lanes.

/// Queries side by side.
pub(super) const LANES: usize = 16;

/// A value for each of sixteen queries: one register of AVX-512, one row of a tile.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
pub(super) struct Lanes<T>(pub(super) [T; LANES]);

impl<T: Copy> Lanes<T> {
    /// All lanes equal.
    #[inline(always)]
    pub(super) fn splat(value: T) -> Self {
        Self([value; LANES])
    }
}

/// A cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([i8; 64]);

/// Integers that begin at a cache line.
#[derive(Clone, Debug, Default)]
pub(super) struct Buffer(Vec<Line>);

impl Buffer {
    /// Room for `n` bytes, zeros where nothing was written.
    pub(super) fn bytes(&mut self, n: usize) -> &mut [i8] {
        self.0.resize(self.0.len().max(n.div_ceil(64)), Line([0; 64]));
        // SAFETY: lines are 64 bytes each, without gaps, and enough of them.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), n) }
    }

    /// The same as words of 16 bits.
    pub(super) fn words(&mut self, n: usize) -> &mut [i16] {
        let words = self.bytes(2 * n).as_mut_ptr().cast();
        // SAFETY: twice as many bytes, aligned to 64.
        unsafe { std::slice::from_raw_parts_mut(words, n) }
    }

    /// All bytes written so far, and zeros.
    pub(super) fn as_bytes(&self) -> &[i8] {
        // SAFETY: as in `bytes`.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), 64 * self.0.len()) }
    }
}

//! Types with a scale per block: after a block's products a conversion, a product of scales and a fused
//! multiply-add. A token's sums are touched once per block. An offset costs nothing: the dot product
//! starts from it.

use super::{STEPS, Simd, Strip, Tokens, ZERO, block_at, dots, prefetch_after, scales, unpack};
use crate::activations::{Activations, Blocks, SLACK};
use crate::block::BLOCK;
use crate::matmul::TILE;
use crate::pack::{Layout, PANEL};

/// See [`super::tile`].
#[inline(always)]
pub(super) unsafe fn tile<S: Simd, L: Layout, const FINE: bool, const N: usize>(
    strip: &Strip<'_, N>,
    tokens: Tokens<'_>,
) {
    let x = &tokens.x.blocks;
    let mut sums = BlockSums::default();
    // SAFETY: as in `panels`.
    unsafe {
        for i_block in 0..tokens.x.n_cols / BLOCK {
            let at = i_block * tokens.x.n_tokens + tokens.first;
            sums.read::<L>(x, at, tokens.n);
            let first = BlockRows::<S>::read::<L>(strip.panels[0], i_block, strip.first_row);
            let mut rows = [first; N];
            for (rows, panel) in rows[1..].iter_mut().zip(&strip.panels[1..]) {
                *rows = BlockRows::read::<L>(panel, i_block, strip.first_row);
            }
            // Two tokens at a time: their chains of products run side by side.
            for t in (0..tokens.n - 1).step_by(2) {
                let a = [Token::at(x, at, &sums, t), Token::at(x, at, &sums, t + 1)];
                add_to_sums::<S, L, FINE, N, 2>(strip, &rows, &a, t);
            }
            if !tokens.n.is_multiple_of(2) {
                let t = tokens.n - 1;
                let a = [Token::at(x, at, &sums, t)];
                add_to_sums::<S, L, FINE, N, 1>(strip, &rows, &a, t);
            }
        }
    }
}

/// See [`super::rows`]. All 16 rows at once, so that the weights stream through in file order.
#[inline(always)]
pub(super) unsafe fn one_token<S: Simd, L: Layout, const FINE: bool>(
    panel: &[u8],
    x: &Activations,
    token: usize,
    sums: &mut [f32; PANEL],
) {
    let (x, n_tokens, n_cols) = (&x.blocks, x.n_tokens, x.n_cols);
    // SAFETY: as in `panels`.
    unsafe {
        let mut acc = [S::zero(); 2];
        for i_block in 0..n_cols / BLOCK {
            let at = i_block * n_tokens + token;
            let (sum, d) = (*x.sums.get_unchecked(at), *x.d.get_unchecked(at));
            let (start, min) = (-L::OFFSET * sum, sum as f32 * d);
            let high = x.quants.as_ptr().add(at).cast();
            let low = if FINE { x.lows.as_ptr().add(at).cast() } else { high };
            let a = [Token {
                high,
                low,
                d: &raw const d,
                start: &raw const start,
                min: &raw const min,
            }];
            prefetch_after::<S, L>(panel, i_block);
            for (part, acc) in acc.iter_mut().take(PANEL / S::LANES).enumerate() {
                let rows = BlockRows::<S>::read::<L>(panel, i_block, part * S::LANES);
                let mut sums = [[*acc]];
                add_block::<S, L, FINE, 1, 1>(&[rows], &a, &mut sums);
                *acc = sums[0][0];
            }
        }
        for (part, acc) in acc.iter().take(PANEL / S::LANES).enumerate() {
            S::store(sums.as_mut_ptr().add(part * S::LANES), *acc);
        }
    }
}

/// What the sums of a block's quants turn into for a layout, for the tokens of a tile.
pub(in crate::matmul) struct BlockSums {
    /// Where the integer product starts: the sum times the offset.
    starts: [i32; TILE],
    /// What a minimum is multiplied with.
    pub(in crate::matmul) mins: [f32; TILE],
}

impl Default for BlockSums {
    fn default() -> Self {
        Self { starts: [0; TILE], mins: [0.0; TILE] }
    }
}

impl BlockSums {
    /// Those of `n_tokens` blocks from the `at`-th of the batch on, which must be there.
    #[inline(always)]
    pub(in crate::matmul) unsafe fn read<L: Layout>(
        &mut self,
        x: &Blocks,
        at: usize,
        n_tokens: usize,
    ) {
        for t in (0..n_tokens).step_by(SLACK) {
            // SAFETY: the caller's promise, and `SLACK` more that every buffer has.
            let (sums, d) = unsafe {
                let sums = x.sums.as_ptr().add(at + t).cast::<[i32; SLACK]>().read_unaligned();
                (sums, x.d.as_ptr().add(at + t).cast::<[f32; SLACK]>().read_unaligned())
            };
            if L::MINS {
                for ((min, sum), d) in self.mins[t..t + SLACK].iter_mut().zip(sums).zip(d) {
                    *min = sum as f32 * d;
                }
            } else {
                for (start, sum) in self.starts[t..t + SLACK].iter_mut().zip(sums) {
                    *start = -L::OFFSET * sum;
                }
            }
        }
    }
}

/// One block of `LANES` rows of a panel, unpacked.
#[derive(Clone, Copy)]
pub(in crate::matmul) struct BlockRows<S: Simd> {
    pub(in crate::matmul) weights: [S::B; STEPS],
    pub(in crate::matmul) scale: S::F,
    /// Where the type has minima.
    pub(in crate::matmul) min: S::F,
}

impl<S: Simd> BlockRows<S> {
    #[inline(always)]
    pub(in crate::matmul) unsafe fn read<L: Layout>(
        panel: &[u8],
        i_block: usize,
        first_row: usize,
    ) -> Self {
        // SAFETY: as in `panels`.
        unsafe {
            let header = panel.as_ptr().add(i_block * L::RECORD_BYTES + 2 * first_row);
            Self {
                weights: unpack::<S, L>(block_at::<L>(panel, i_block).add(4 * first_row)),
                scale: scales::<S, L>(header),
                min: if L::MINS { S::halves(header.add(2 * PANEL)) } else { S::zero() },
            }
        }
    }
}

/// Where a token's block is, with what follows from its sum for a layout. Pointers, because a
/// broadcast straight from memory leaves the ports of the products alone.
#[derive(Clone, Copy)]
struct Token {
    high: *const i8,
    low: *const i8,
    d: *const f32,
    start: *const i32,
    min: *const f32,
}

impl Token {
    /// That of the `t`-th token after the one whose block is the `at`-th; without 16-bit quants,
    /// `low` is not to be read.
    #[inline(always)]
    unsafe fn at(x: &Blocks, at: usize, sums: &BlockSums, t: usize) -> Self {
        // SAFETY: as in `panels`.
        unsafe {
            Self {
                high: x.quants.as_ptr().add(at + t).cast(),
                low: x.lows.as_ptr().wrapping_add(at + t).cast(),
                d: x.d.as_ptr().add(at + t),
                start: sums.starts.as_ptr().add(t),
                min: sums.mins.as_ptr().add(t),
            }
        }
    }
}

/// Adds the block's share of `T` tokens from the `t`-th on to their sums.
#[inline(always)]
unsafe fn add_to_sums<S: Simd, L: Layout, const FINE: bool, const N: usize, const T: usize>(
    strip: &Strip<'_, N>,
    rows: &[BlockRows<S>; N],
    a: &[Token; T],
    t: usize,
) {
    // SAFETY: as in `panels`.
    unsafe {
        let mut acc = [[S::zero(); N]; T];
        for (i, acc) in acc.iter_mut().enumerate() {
            for (acc, sums) in acc.iter_mut().zip(strip.sums) {
                *acc = S::load(sums.add((t + i) * strip.step));
            }
        }
        add_block::<S, L, FINE, N, T>(rows, a, &mut acc);
        for (i, acc) in acc.iter().enumerate() {
            for (acc, sums) in acc.iter().zip(strip.sums) {
                S::store(sums.add((t + i) * strip.step), *acc);
            }
        }
    }
}

/// Adds one block's share of `T` tokens to the sums of `LANES` rows of each panel.
#[inline(always)]
unsafe fn add_block<S: Simd, L: Layout, const FINE: bool, const N: usize, const T: usize>(
    rows: &[BlockRows<S>; N],
    a: &[Token; T],
    acc: &mut [[S::F; N]; T],
) {
    // SAFETY: as in `panels`.
    unsafe {
        let mut weights = [&rows[0].weights; N];
        for (weights, rows) in weights.iter_mut().zip(rows) {
            *weights = &rows.weights;
        }
        let (mut high, mut low, mut starts) = ([a[0].high; T], [a[0].low; T], [a[0].start; T]);
        for (i, a) in a.iter().enumerate() {
            (high[i], low[i], starts[i]) = (a.high, a.low, a.start);
        }
        let products = if FINE {
            let high = dots::<S, L, STEPS, N, T>(weights, high, [&raw const ZERO; T]);
            let mut dots = dots::<S, L, STEPS, N, T>(weights, low, starts);
            for (low, high) in dots.iter_mut().zip(high) {
                for (low, high) in low.iter_mut().zip(high) {
                    *low = S::join(high, *low);
                }
            }
            dots
        } else {
            dots::<S, L, STEPS, N, T>(weights, high, starts)
        };
        for ((acc, a), dots) in acc.iter_mut().zip(a).zip(products) {
            let d = S::splat(*a.d);
            for ((acc, rows), dot) in acc.iter_mut().zip(rows).zip(dots) {
                *acc = S::fma(S::to_f32(dot), S::mul(rows.scale, d), *acc);
                if L::MINS {
                    *acc = S::fma(rows.min, S::splat(*a.min), *acc);
                }
            }
        }
    }
}

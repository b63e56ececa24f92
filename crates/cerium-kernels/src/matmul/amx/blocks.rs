//! Types with a scale per block: tiles of 32 columns, half filled, whose results meet their scales at once.

use super::{Results, Shapes, TOKENS, clear, load, multiply, store};
use crate::activations::Activations;
use crate::block::BLOCK;
use crate::matmul::TILE;
use crate::matmul::avx512::Avx512;
use crate::matmul::simd::{BlockRows, BlockSums, STEPS};
use crate::pack::{Layout, PANEL};
use std::arch::x86_64::*;

/// Fewer tokens are faster without tiles.
pub(super) const TOKENS_MIN: usize = 6;

/// Which register holds what: activations, weights (by panel and block) in 1 to 4, results.
const A: usize = 0;
const C: [usize; 2] = [6, 7];

/// One block of a panel, signed.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Weights([[i8; 64]; STEPS]);

/// Blocks of weights have eight rows, and those of activations 32 bytes in each.
pub(super) fn shapes() -> Shapes {
    let mut shapes = Shapes::full();
    shapes.row_bytes[A] = BLOCK as u16;
    shapes.rows[1..5].fill(STEPS as u8);
    shapes
}

/// Adds to `sums[t * N + p]`.
///
/// # Safety
/// Tiles have these [`shapes`], and the tokens are in the batch.
#[inline(always)]
pub(super) unsafe fn panels<L: Layout, const N: usize>(
    panels: [&[u8]; N],
    x: &Activations,
    first_token: usize,
    sums: &mut [[f32; PANEL]],
) {
    assert!(sums.len() <= N * TILE, "tokens of a tile");
    // SAFETY: the caller's promise.
    unsafe {
        if x.blocks.lows.is_empty() {
            tile::<L, false, N>(panels, x, first_token, sums);
        } else {
            tile::<L, true, N>(panels, x, first_token, sums);
        }
    }
}

/// Activations of 16 bits when `FINE`.
///
/// # Safety
/// As for [`panels`].
#[inline(always)]
unsafe fn tile<L: Layout, const FINE: bool, const N: usize>(
    panels: [&[u8]; N],
    x: &Activations,
    first_token: usize,
    sums: &mut [[f32; PANEL]],
) {
    let n_blocks = x.n_cols / BLOCK;
    let mut buffers = Buffers {
        weights: [[Weights([[0; 64]; STEPS]); BLOCKS]; N],
        quant_sums: [BlockSums::default(), BlockSums::default()],
        results: [[[[Results([[0; PANEL]; TOKENS]); N]; BLOCKS]; 2]; 2],
    };
    // SAFETY: the caller's promise.
    unsafe {
        for i_block in (0..n_blocks - 1).step_by(BLOCKS) {
            blocks::<L, FINE, N, BLOCKS>(panels, i_block, x, first_token, sums, &mut buffers);
        }
        if !n_blocks.is_multiple_of(BLOCKS) {
            blocks::<L, FINE, N, 1>(panels, n_blocks - 1, x, first_token, sums, &mut buffers);
        }
    }
}

/// Blocks that are added to the sums in one pass, so that sums are loaded and stored half as often.
const BLOCKS: usize = 2;

/// What lies in memory between tiles and vectors.
struct Buffers<const N: usize> {
    /// By panel and block.
    weights: [[Weights; BLOCKS]; N],
    /// By block.
    quant_sums: [BlockSums; BLOCKS],
    /// In turn, then by plane, block and panel.
    results: [[[[Results; N]; BLOCKS]; 2]; 2],
}

/// Adds `B` blocks from the `i_block`-th on to the sums.
///
/// # Safety
/// As for [`tile`].
#[inline(always)]
unsafe fn blocks<L: Layout, const FINE: bool, const N: usize, const B: usize>(
    panels: [&[u8]; N],
    i_block: usize,
    x: &Activations,
    first_token: usize,
    sums: &mut [[f32; PANEL]],
    buffers: &mut Buffers<N>,
) {
    let n_tokens = sums.len() / N;
    let Buffers { weights, quant_sums, results } = buffers;
    let at = i_block * x.n_tokens + first_token;
    // SAFETY: features and shapes by the caller's promise; all buffers of `x` have `SLACK` tokens
    // more than the batch, which is what a tile may read beyond it.
    unsafe {
        // Scale and minimum.
        let mut scales = [[(_mm512_setzero_ps(), _mm512_setzero_ps()); BLOCKS]; N];
        for block in 0..B {
            if L::MINS {
                quant_sums[block].read::<L>(&x.blocks, at + block * x.n_tokens, n_tokens);
            }
            let offset = _mm512_set1_epi8(L::OFFSET as u8 as i8);
            for p in 0..N {
                let rows = BlockRows::<Avx512>::read::<L>(panels[p], i_block + block, 0);
                scales[p][block] = (rows.scale, rows.min);
                for (to, w) in weights[p][block].0.iter_mut().zip(rows.weights) {
                    _mm512_store_si512(to.as_mut_ptr().cast(), _mm512_sub_epi8(w, offset));
                }
            }
        }
        load::<1>(weights[0][0].0.as_ptr().cast(), 64);
        load::<2>(weights[0][B - 1].0.as_ptr().cast(), 64);
        load::<3>(weights[N - 1][0].0.as_ptr().cast(), 64);
        load::<4>(weights[N - 1][B - 1].0.as_ptr().cast(), 64);
        products::<FINE, N, B>(x, at, &mut results[0]);
        let mut turn = 0;
        for first in (0..n_tokens).step_by(TOKENS) {
            // The next tokens' products run while this one's results are scaled.
            if first + TOKENS < n_tokens {
                products::<FINE, N, B>(x, at + first + TOKENS, &mut results[1 - turn]);
            }
            for t in first..n_tokens.min(first + TOKENS) {
                for p in 0..N {
                    let sum = sums.get_unchecked_mut(t * N + p).as_mut_ptr();
                    let mut acc = _mm512_loadu_ps(sum);
                    for block in 0..B {
                        let row = results[turn][0][block][p].0.get_unchecked(t - first).as_ptr();
                        let mut dot = _mm512_load_si512(row.cast());
                        if FINE {
                            let row = results[turn][1][block][p].0.get_unchecked(t - first);
                            let low = _mm512_load_si512(row.as_ptr().cast());
                            dot = _mm512_add_epi32(_mm512_slli_epi32::<8>(dot), low);
                        }
                        let d = *x.blocks.d.get_unchecked(at + block * x.n_tokens + t);
                        let (scale, min) = scales[p][block];
                        let scale = _mm512_mul_ps(scale, _mm512_set1_ps(d));
                        acc = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), scale, acc);
                        if L::MINS {
                            let m = *quant_sums[block].mins.get_unchecked(t);
                            acc = _mm512_fmadd_ps(min, _mm512_set1_ps(m), acc);
                        }
                    }
                    _mm512_storeu_ps(sum, acc);
                }
            }
            turn = 1 - turn;
        }
    }
}

/// The integer products of sixteen tokens, the first block of which is the `at`-th of the batch, with
/// the weights that the registers hold.
#[inline(always)]
unsafe fn products<const FINE: bool, const N: usize, const B: usize>(
    x: &Activations,
    at: usize,
    results: &mut [[[Results; N]; BLOCKS]; 2],
) {
    for (plane, results) in results.iter_mut().enumerate().take(if FINE { 2 } else { 1 }) {
        let quants = if plane == 0 { &x.blocks.quants } else { &x.blocks.lows };
        for (block, results) in results.iter_mut().enumerate().take(B) {
            // SAFETY: as in `blocks`.
            unsafe {
                load::<A>(quants.as_ptr().add(at + block * x.n_tokens).cast(), BLOCK);
                match block {
                    0 => product::<{ C[0] }, 1>(&mut results[0]),
                    _ => product::<{ C[0] }, 2>(&mut results[0]),
                }
                match (N, block) {
                    (1, _) => {}
                    (_, 0) => product::<{ C[1] }, 3>(&mut results[N - 1]),
                    _ => product::<{ C[1] }, 4>(&mut results[N - 1]),
                }
            }
        }
    }
}

/// The product of the activations with register `B`, by way of register `R`.
#[inline(always)]
unsafe fn product<const R: usize, const B: usize>(into: &mut Results) {
    // SAFETY: the callers' promise.
    unsafe {
        clear::<R>();
        multiply::<R, A, B>();
        store::<R>(into);
    }
}

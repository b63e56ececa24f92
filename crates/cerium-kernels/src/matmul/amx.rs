//! AMX: the integer products of sixteen tokens with sixteen rows in one instruction.
//!
//! A block of a panel, unpacked, lies in memory as the instruction wants its second operand: a row per
//! four columns, in it four bytes for each of the panel's rows. Sixteen tokens' blocks lie one after
//! the other: that is the first operand. Offsets are taken from the weights before, which gives the
//! same integers as starting from the sum of the activations. What is left to AVX-512 are the scales,
//! and types with scales per 16 columns: half-filled tiles measured slower than its own products.
//!
//! Stable Rust has the instructions as inline assembly only. The compiler never uses tiles itself, so
//! nothing but this file changes them.

use super::TILE;
use super::avx512::{self, Avx512};
use super::simd::{QuantSums, Rows, STEPS};
use crate::activations::Activations;
use crate::block::BLOCK;
use crate::pack::{Layout, PANEL, panel_bytes};
use std::arch::asm;
use std::arch::x86_64::*;

/// Tokens of a tile.
const TOKENS: usize = 16;

/// A tile is filled for fewer tokens too, but then AVX-512 is faster.
const TOKENS_MIN: usize = 6;

/// Shapes of the eight tile registers: the operand of `ldtilecfg`.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// Which register holds what: activations, weights (by panel and block) in 1 to 4, results.
const A: usize = 0;
const C: [usize; 2] = [6, 7];

/// One tile of results: a row per token.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Results([[i32; PANEL]; TOKENS]);

/// One block of a panel, signed.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Weights([[i8; 64]; STEPS]);

/// See [`super::scalar::panels`].
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn panels<L: Layout>(
    panels: &[u8],
    x: &Activations,
    first_token: usize,
    sums: &mut [[f32; PANEL]],
) {
    let len = panel_bytes::<L>(x.n_cols);
    let n_tokens = sums.len() * len / panels.len();
    if n_tokens < TOKENS_MIN || L::GROUPS_OF_16 {
        return avx512::panels::<L>(panels, x, first_token, sums);
    }
    assert!(n_tokens <= TILE && first_token + n_tokens <= x.n_tokens, "tokens of the tile");
    let mut shapes =
        Shapes { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
    shapes.row_bytes[..8].fill(64);
    shapes.rows[..8].fill(STEPS as u8);
    for register in [A, C[0], C[1]] {
        shapes.rows[register] = TOKENS as u8;
    }
    shapes.row_bytes[A] = BLOCK as u16;
    // SAFETY: whoever comes here holds the licence for AMX; the shapes are valid for its one
    // palette. Tiles are released before anything else can run on this thread.
    unsafe {
        asm!("ldtilecfg [{}]", in(reg) &raw const shapes, options(nostack));
        match (panels.len() / len, x.lows.is_empty()) {
            (1, true) => tile::<L, false, 1>([panels], x, first_token, sums),
            (1, false) => tile::<L, true, 1>([panels], x, first_token, sums),
            (_, is_plain) => {
                let (first, second) = panels.split_at(len);
                if is_plain {
                    tile::<L, false, 2>([first, second], x, first_token, sums);
                } else {
                    tile::<L, true, 2>([first, second], x, first_token, sums);
                }
            }
        }
        asm!("tilerelease", options(nomem, nostack));
    }
}

/// `sums[t * N + p]`, activations of 16 bits when `FINE`.
///
/// # Safety
/// Tiles are configured, and the tokens are in the batch.
#[inline(always)]
unsafe fn tile<L: Layout, const FINE: bool, const N: usize>(
    panels: [&[u8]; N],
    x: &Activations,
    first_token: usize,
    sums: &mut [[f32; PANEL]],
) {
    let n_blocks = x.n_cols / BLOCK;
    sums.fill([0.0; PANEL]);
    let mut buffers = Buffers {
        weights: [[Weights([[0; 64]; STEPS]); BLOCKS]; N],
        quant_sums: [QuantSums::default(), QuantSums::default()],
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
    quant_sums: [QuantSums; BLOCKS],
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
        let mut groups = [[(_mm512_setzero_ps(), _mm512_setzero_ps()); BLOCKS]; N];
        for block in 0..B {
            if L::MINS {
                quant_sums[block].read::<L>(x, at + block * x.n_tokens, n_tokens);
            }
            let offset = _mm512_set1_epi8(L::OFFSET as u8 as i8);
            for p in 0..N {
                let rows = Rows::<Avx512>::read::<L>(panels[p], i_block + block, 0);
                groups[p][block] = rows.groups[0];
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
                        let d = *x.d.get_unchecked(at + block * x.n_tokens + t);
                        let (scale, min) = groups[p][block];
                        let scale = _mm512_mul_ps(scale, _mm512_set1_ps(d));
                        acc = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), scale, acc);
                        if L::MINS {
                            let m = *quant_sums[block].mins[0].get_unchecked(t);
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
        let quants = if plane == 0 { &x.blocks } else { &x.lows };
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

/// Fills a register, rows `stride` bytes apart.
#[inline(always)]
unsafe fn load<const REGISTER: usize>(from: *const u8, stride: usize) {
    // SAFETY: the rows are readable, by the callers' promise.
    unsafe {
        asm!(
            "tileloadd tmm{r}, [{from} + {stride}*1]",
            r = const REGISTER, from = in(reg) from, stride = in(reg) stride,
            options(nostack, readonly),
        );
    }
}

/// The product of the activations with register `B`, by way of register `R`.
#[inline(always)]
unsafe fn product<const R: usize, const B: usize>(into: &mut Results) {
    // SAFETY: the registers are configured and filled, by the callers' promise.
    unsafe {
        asm!(
            "tilezero tmm{r}",
            "tdpbssd tmm{r}, tmm{a}, tmm{b}",
            "tilestored [{into} + {stride}*1], tmm{r}",
            r = const R, a = const A, b = const B,
            into = in(reg) &raw mut *into, stride = in(reg) 64usize,
            options(nostack),
        );
    }
}

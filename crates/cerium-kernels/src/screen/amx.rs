//! Coarse products in whole tiles: sixteen tokens with sixteen rows, 64 columns at a time, straight from
//! where weights and tokens lie. Results leave the tiles once per panel; their maxima are taken between
//! the next tiles' products.

use super::tokens::Tokens;
use super::{COLUMNS, scales};
use crate::pack::PANEL;
use crate::tiles::{
    A, B, Block, C, Results, Shapes, Tiles, clear_block, load, multiply_unsigned, store_block,
};
use std::arch::x86_64::*;

/// Tokens of a register.
const TOKENS: usize = super::GROUP;

/// Bytes of a panel that a register holds.
const TILE: usize = PANEL * COLUMNS;

/// See [`super::products::maxima`].
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn maxima(panels: &[u8], len: usize, tokens: &Tokens, maxima: &mut [f32]) {
    let n_filled = tokens.n_filled();
    let mut results: [Block; 2] = [[[Results([[0; PANEL]; TOKENS]); 2]; 2]; 2];
    let (mut turn, mut done) = (0, None);
    // SAFETY: whoever comes here holds the licence for AMX, shapes are valid for its one palette; sizes
    // are checked by whoever calls.
    unsafe {
        let _tiles = Tiles::new(&Shapes::full());
        for (pair, maxima) in panels.chunks(2 * len).zip(maxima.chunks_mut(2 * n_filled)) {
            // The last panel may be alone: it is its own neighbour.
            let pair = [&pair[..len], &pair[pair.len() - len..]];
            let (n, base) = (maxima.len(), maxima.as_mut_ptr());
            let maxima = [base, base.add(n - n_filled)];
            for first in (0..n_filled).step_by(2 * TOKENS) {
                let [even, odd] = &mut results;
                let (into, from) = if turn == 0 { (even, &*odd) } else { (odd, &*even) };
                let n_groups = 2.min((n_filled - first) / TOKENS);
                match n_groups {
                    2 => products::<2>(pair, tokens, first, into, from, done.as_ref()),
                    _ => products::<1>(pair, tokens, first, into, from, done.as_ref()),
                }
                done = Some(Done { pair, tokens, first, n: n_groups * TOKENS, maxima });
                turn = 1 - turn;
            }
        }
        if let Some(done) = done {
            done.take(&results[1 - turn], 0, 1);
        }
    }
}

/// The products of `T` groups of tokens, rows of a block, with two panels, its columns, and the maxima of
/// the last ones.
#[inline(always)]
unsafe fn products<const T: usize>(
    pair: [&[u8]; 2],
    tokens: &Tokens,
    first: usize,
    into: &mut Block,
    from: &Block,
    done: Option<&Done<'_>>,
) {
    let n_lines = tokens.n_lines();
    let stride = n_lines * COLUMNS;
    let a = tokens.quants(first).as_ptr().cast::<u8>();
    // SAFETY: the caller's promise.
    unsafe {
        clear_block::<T>();
        for i in 0..n_lines {
            let [b0, b1] = [pair[0].as_ptr().add(TILE * i), pair[1].as_ptr().add(TILE * i)];
            load::<{ A[0] }>(a.add(COLUMNS * i), stride);
            load::<{ B[0] }>(b0, 4 * PANEL);
            multiply_unsigned::<{ C[0][0] }, { A[0] }, { B[0] }>();
            load::<{ B[1] }>(b1, 4 * PANEL);
            multiply_unsigned::<{ C[0][1] }, { A[0] }, { B[1] }>();
            if T == 2 {
                load::<{ A[1] }>(a.add(TOKENS * stride + COLUMNS * i), stride);
                multiply_unsigned::<{ C[1][0] }, { A[1] }, { B[0] }>();
                multiply_unsigned::<{ C[1][1] }, { A[1] }, { B[1] }>();
            }
            if first == 0 {
                // The next pair lies behind this one.
                let ahead = pair[1].as_ptr().wrapping_add(pair[1].len());
                for line in 0..2 * TILE / 64 {
                    let at = ahead.wrapping_add(2 * TILE * i + 64 * line);
                    _mm_prefetch::<_MM_HINT_T1>(at.cast());
                }
            }
            if let Some(done) = done {
                done.take(from, i, n_lines);
            }
        }
        store_block::<T>(into);
    }
}

/// Results whose maxima are still to be taken.
struct Done<'a> {
    pair: [&'a [u8]; 2],
    tokens: &'a Tokens,
    first: usize,
    n: usize,
    /// Of each panel, that of the first token of the batch.
    maxima: [*mut f32; 2],
}

impl Done<'_> {
    /// Takes the `i`-th share of `n_shares`.
    #[inline(always)]
    unsafe fn take(&self, results: &Block, i: usize, n_shares: usize) {
        for t in self.n * i / n_shares..self.n * (i + 1) / n_shares {
            // SAFETY: features and sizes by the caller's promise.
            unsafe {
                let token = self.tokens.known.get_unchecked(self.first + t);
                let excess = _mm512_set1_epi32(token.excess);
                for (p, maxima) in self.maxima.into_iter().enumerate() {
                    let row = results[t / TOKENS][p].0.get_unchecked(t % TOKENS).as_ptr();
                    let dot = _mm512_sub_epi32(_mm512_load_si512(row.cast()), excess);
                    let scales = _mm512_loadu_ps(scales(self.pair[p]).as_ptr().cast());
                    let products = _mm512_mul_ps(_mm512_cvtepi32_ps(dot), scales);
                    let max = _mm512_reduce_max_ps(products);
                    maxima.add(self.first + t).write(max);
                }
            }
        }
    }
}

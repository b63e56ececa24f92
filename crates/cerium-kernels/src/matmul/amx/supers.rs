//! Types with super-blocks: quants times their integer factors, in two planes of bytes, so that tiles
//! are full and a whole super-block is summed in them.
//!
//! A product of a quant and a factor has up to 14 bits: `256 * high + low`. Twice the products of
//! bytes, but results leave the tiles once in 256 columns instead of once in 32, and it is their
//! scaling that takes the time. Unpacking into planes costs as much as products with some 60 tokens,
//! so that a pass serves many.

use super::{Results, load, multiply};
use crate::activations::Activations;
use crate::block::{BLOCK, SUPER};
use crate::matmul::avx512::Avx512;
use crate::matmul::simd::{STEPS, Simd, SuperScales, block_at, unpack};
use crate::pack::{Layout, PANEL};
use crate::tiles::{A, B, Block, C, clear_block, store_block};
use std::arch::x86_64::*;

/// Tokens that a pass serves at most.
pub(in crate::matmul) const TOKENS: usize = 256;

/// Fewer tokens are faster without tiles.
pub(super) const TOKENS_MIN: usize = 12;

/// Tokens whose products are made together: two tiles of them.
const GROUP: usize = 2 * super::TOKENS;

/// Columns of a tile.
const COLUMNS: usize = 64;

/// Steps along the columns of a super-block, between which other work is done.
const SLOTS: usize = SUPER / COLUMNS;

/// A super-block of a panel, ready to be multiplied: a row per four columns.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Planes {
    high: [[i8; 64]; SUPER / 4],
    low: [[i8; 64]; SUPER / 4],
}

/// Adds to `sums[t * N + p]`.
///
/// Tiles work for themselves: meanwhile vectors scale the results of the group of tokens before, and
/// unpack the super-block that comes next.
///
/// # Safety
/// Tiles are configured as full, and the tokens are in the batch.
#[inline(always)]
pub(super) unsafe fn panels<L: Layout, const N: usize>(
    panels: [&[u8]; N],
    x: &Activations,
    first_token: usize,
    sums: &mut [[f32; PANEL]],
) {
    let (n_tokens, n_supers) = (sums.len() / N, x.n_cols / SUPER);
    let n_slots = SLOTS * n_tokens.div_ceil(GROUP);
    let sums = sums.as_mut_ptr();
    let mut planes = [Planes { high: [[0; 64]; SUPER / 4], low: [[0; 64]; SUPER / 4] }; 2];
    let mut results: [Block; 2] = [[[Results([[0; PANEL]; super::TOKENS]); 2]; 2]; 2];
    let (mut here, mut turn) = (0, 0);
    // SAFETY: the caller's promise; `Activations` have `SLACK` tokens more than the batch, which is
    // what the last tile may read beyond it.
    unsafe {
        let mut scales = [SuperScales::<Avx512>::read::<L>(panels[0], 0, 0); 2];
        let mut done = Done { x, scales: &raw const scales[1], at: 0, n_tokens: 0, sums, step: N };
        Unpacking::new(panels[0], 0, &mut planes[0], 1).advance::<L>();
        for (p, panel) in panels.into_iter().enumerate() {
            for i_super in 0..n_supers {
                let at = i_super * x.n_tokens + first_token;
                let [even, odd] = &mut planes;
                let (planes, next) = if here == 0 { (&*even, odd) } else { (&*odd, even) };
                let mut next = if i_super + 1 < n_supers {
                    Unpacking::new(panel, i_super + 1, next, n_slots)
                } else if p + 1 < N {
                    Unpacking::new(panels[p + 1], 0, next, n_slots)
                } else {
                    Unpacking::nothing(next)
                };
                for first in (0..n_tokens).step_by(GROUP) {
                    let [even, odd] = &mut results;
                    let (into, from) = if turn == 0 { (even, &*odd) } else { (odd, &*even) };
                    let a = x.supers.high.quants.as_ptr().add(at + first).cast();
                    if n_tokens - first > super::TOKENS {
                        products::<L, 2>(a, planes, into, from, &done, &mut next);
                    } else {
                        products::<L, 1>(a, planes, into, from, &done, &mut next);
                    }
                    if first == 0 {
                        // The results that the other scales belonged to are done.
                        scales[here] = SuperScales::read::<L>(panel, i_super, 0);
                    }
                    done = Done {
                        scales: &raw const scales[here],
                        at: at + first,
                        n_tokens: GROUP.min(n_tokens - first),
                        sums: sums.add(first * N + p),
                        ..done
                    };
                    turn = 1 - turn;
                }
                here = 1 - here;
            }
        }
        for slot in 0..SLOTS {
            done.scale::<L>(&results[1 - turn], slot);
        }
    }
}

/// The products of `T` tiles of tokens, rows of a block, with the two planes of a super-block, its columns,
/// and a share of the work of others.
#[inline(always)]
unsafe fn products<L: Layout, const T: usize>(
    a: *const u8,
    planes: &Planes,
    results: &mut Block,
    done_results: &Block,
    done: &Done<'_>,
    next: &mut Unpacking<'_>,
) {
    // SAFETY: the callers' promise.
    unsafe {
        clear_block::<T>();
        for slot in 0..SLOTS {
            let rows = COLUMNS / 4 * slot;
            load::<{ A[0] }>(a.add(COLUMNS * slot), SUPER);
            load::<{ B[0] }>(planes.high.as_ptr().add(rows).cast(), 64);
            multiply::<{ C[0][0] }, { A[0] }, { B[0] }>();
            load::<{ B[1] }>(planes.low.as_ptr().add(rows).cast(), 64);
            multiply::<{ C[0][1] }, { A[0] }, { B[1] }>();
            if T == 2 {
                load::<{ A[1] }>(a.add(super::TOKENS * SUPER + COLUMNS * slot), SUPER);
                multiply::<{ C[1][0] }, { A[1] }, { B[0] }>();
                multiply::<{ C[1][1] }, { A[1] }, { B[1] }>();
            }
            done.scale::<L>(done_results, slot);
            next.advance::<L>();
        }
        store_block::<T>(results);
    }
}

/// A super-block on its way into planes.
struct Unpacking<'a> {
    panel: &'a [u8],
    i_super: usize,
    into: &'a mut Planes,
    n_blocks: usize,
    /// Slots in all, and those that are over.
    n_slots: usize,
    slot: usize,
}

impl<'a> Unpacking<'a> {
    /// Of a panel's `i_super`-th super-block, in so many calls of [`Self::advance`].
    fn new(panel: &'a [u8], i_super: usize, into: &'a mut Planes, n_slots: usize) -> Self {
        Self { panel, i_super, into, n_blocks: 0, n_slots, slot: 0 }
    }

    fn nothing(into: &'a mut Planes) -> Self {
        Self { panel: &[], i_super: 0, into, n_blocks: SUPER / BLOCK, n_slots: 1, slot: 0 }
    }

    #[inline(always)]
    unsafe fn advance<L: Layout>(&mut self) {
        self.slot += 1;
        while self.n_blocks * self.n_slots < SUPER / BLOCK * self.slot
            && self.n_blocks < SUPER / BLOCK
        {
            // SAFETY: the callers' promise.
            unsafe { self.block::<L>() };
            self.n_blocks += 1;
        }
    }

    /// Takes one block apart.
    #[inline(always)]
    unsafe fn block<L: Layout>(&mut self) {
        // SAFETY: features and shapes by the callers' promise.
        unsafe {
            let block = block_at::<L>(self.panel, SUPER / BLOCK * self.i_super + self.n_blocks);
            let weights = unpack::<Avx512, L>(block);
            let factors = block.add(L::QUANT_BYTES);
            let evens = _mm512_set1_epi16(0xff);
            let flip = _mm512_set1_epi8(-128);
            let mut run = Factors::read::<L>(factors);
            for (step, &w) in weights.iter().enumerate() {
                if L::GROUPS_OF_16 && step == STEPS / 2 {
                    run = Factors::read::<L>(factors.add(PANEL));
                }
                // Products of every second column, and 128 to round the high byte.
                let even = _mm512_maddubs_epi16(_mm512_and_si512(w, evens), run.factors);
                let even = _mm512_add_epi16(even, run.rest);
                let odd = _mm512_maddubs_epi16(_mm512_andnot_si512(evens, w), run.factors);
                let odd = _mm512_add_epi16(odd, run.rest);
                let low =
                    _mm512_ternarylogic_epi32::<SELECT>(evens, even, _mm512_slli_epi16::<8>(odd));
                let high =
                    _mm512_ternarylogic_epi32::<SELECT>(evens, _mm512_srli_epi16::<8>(even), odd);
                let row = STEPS * self.n_blocks + step;
                _mm512_store_si512(
                    self.into.low.as_mut_ptr().add(row).cast(),
                    _mm512_xor_si512(low, flip),
                );
                _mm512_store_si512(self.into.high.as_mut_ptr().add(row).cast(), high);
            }
        }
    }
}

/// The factors of sixteen rows.
struct Factors {
    /// Each four times: its row's bytes.
    factors: __m512i,
    /// What the offset makes of them, and 128.
    rest: __m512i,
}

impl Factors {
    #[inline(always)]
    unsafe fn read<L: Layout>(factors: *const u8) -> Self {
        // SAFETY: features and shapes by the callers' promise.
        unsafe {
            let wide = Avx512::signed_bytes(factors);
            let pairs = Avx512::pairs(wide, wide);
            let offset = _mm512_mullo_epi16(pairs, _mm512_set1_epi16(L::OFFSET as i16));
            let rest = _mm512_sub_epi16(_mm512_set1_epi16(128), offset);
            let evens = _mm512_set1_epi16(0xff);
            let factors =
                _mm512_ternarylogic_epi32::<SELECT>(evens, pairs, _mm512_slli_epi16::<8>(pairs));
            Self { factors, rest }
        }
    }
}

/// The truth table of `a ? b : c`.
const SELECT: i32 = 0xca;

/// Results of a panel and a group of tokens that wait to be scaled.
struct Done<'a> {
    x: &'a Activations,
    scales: *const SuperScales<Avx512>,
    /// The first token's super-block.
    at: usize,
    n_tokens: usize,
    /// The first token's sums; those of the next lie `step` further.
    sums: *mut [f32; PANEL],
    step: usize,
}

impl Done<'_> {
    /// Scales a slot's share of the results, and adds them to their sums.
    #[inline(always)]
    unsafe fn scale<L: Layout>(&self, results: &Block, slot: usize) {
        const SHARE: usize = GROUP / SLOTS;
        // SAFETY: the callers' promise.
        unsafe {
            let results = results.as_ptr().add(slot / 2).cast::<[Results; 2]>();
            for t in SHARE * slot..self.n_tokens.min(SHARE * (slot + 1)) {
                let [high, low] = &*results;
                let high = high.0.get_unchecked(t % super::TOKENS).as_ptr();
                let low = low.0.get_unchecked(t % super::TOKENS).as_ptr();
                let high = _mm512_slli_epi32::<8>(_mm512_load_si512(high.cast()));
                let dot = _mm512_add_epi32(high, _mm512_load_si512(low.cast()));
                let x = &self.x.supers;
                let mut corrections = _mm512_setzero_si512();
                if L::MINS {
                    corrections =
                        (*self.scales).corrections::<L>(x.high.sums.as_ptr().add(self.at + t));
                }
                let d = _mm512_set1_ps(*x.d.get_unchecked(self.at + t));
                let sums = self.sums.add(t * self.step).cast();
                let acc = _mm512_loadu_ps(sums);
                _mm512_storeu_ps(sums, (*self.scales).add::<L>(dot, corrections, d, acc));
            }
        }
    }
}

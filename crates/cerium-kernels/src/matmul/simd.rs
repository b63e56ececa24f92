//! The fast product, written once over the few operations that an instruction set must offer.
//!
//! For each block of 32 columns the weights of `LANES` rows of one panel or two are unpacked into eight
//! registers each (one per four columns), then every token of the tile is served from them: eight
//! broadcasts of four activations, and per panel eight integer dot products. Unpacking is paid once
//! per tile. What follows a block's products differs: types with a scale per block (`blocks`), and
//! those that sum a whole super-block in integers first (`supers`).
//!
//! Plain loops instead of closures in all of it: a closure that is not inlined would be compiled
//! without the instruction set, and every operation in it would become a call.

mod blocks;
mod supers;

use super::TILE;
use crate::activations::Activations;
use crate::pack::{Layout, PANEL, panel_bytes};
pub(super) use blocks::{BlockRows, BlockSums};
pub(super) use supers::SuperScales;

/// How far ahead of a single token's product its weights are asked for. Processors do so themselves,
/// but stop at every page of 4 KiB.
const AHEAD_BYTES: usize = 4096;

/// Steps of four columns in a block.
pub(crate) const STEPS: usize = 8;

/// What an instruction set offers. Every function needs the set's features to be enabled where it
/// is inlined, and that is the safety condition of all of them.
pub(crate) trait Simd: Copy {
    /// Rows that one register holds: 8 or 16.
    const LANES: usize;
    /// Whether there are registers for a block of two panels.
    const PAIRS: bool;
    /// `LANES` f32 values.
    type F: Copy;
    /// `4 * LANES` bytes: four columns of each row.
    type B: Copy;
    /// `LANES` i32 values.
    type I: Copy;

    /// Asks for the cache line at `p`, which may be any address.
    unsafe fn prefetch(p: *const u8);
    /// Loads bytes, unaligned.
    unsafe fn bytes(p: *const u8) -> Self::B;
    /// `b & mask`, bytewise.
    unsafe fn and(b: Self::B, mask: u8) -> Self::B;
    /// `a | b`.
    unsafe fn or(a: Self::B, b: Self::B) -> Self::B;
    /// Shifts pairs of bytes left as 16-bit numbers.
    unsafe fn shl<const N: u32>(b: Self::B) -> Self::B;
    /// Shifts pairs of bytes right as 16-bit numbers.
    unsafe fn shr<const N: u32>(b: Self::B) -> Self::B;
    /// `table[b]`, bytewise, of bytes below 16.
    unsafe fn look_up(table: &[u8; 16], b: Self::B) -> Self::B;

    /// `*start` plus the sum over the steps of the products of four unsigned quants of `BITS` bits with
    /// the four activations at `a + 4 * step`, for each row of `N` panels and each of `T` tokens. Exact.
    unsafe fn dots<const BITS: usize, const STEPS: usize, const N: usize, const T: usize>(
        w: [&[Self::B; STEPS]; N],
        a: [*const i8; T],
        starts: [*const i32; T],
    ) -> [[Self::I; N]; T];

    /// Zeros.
    unsafe fn zero() -> Self::F;
    /// All lanes equal.
    unsafe fn splat(v: f32) -> Self::F;
    /// Loads, unaligned.
    unsafe fn load(p: *const f32) -> Self::F;
    /// Stores, unaligned.
    unsafe fn store(p: *mut f32, v: Self::F);
    /// Loads halves and widens them.
    unsafe fn halves(p: *const u8) -> Self::F;
    /// Loads upper halves of singles and widens them.
    unsafe fn bfloats(p: *const u8) -> Self::F;
    /// Loads signed bytes and widens them to integers.
    unsafe fn signed_bytes(p: *const u8) -> Self::I;
    /// All lanes equal.
    unsafe fn splat_integer(v: i32) -> Self::I;
    /// Loads integers, unaligned.
    unsafe fn load_integers(p: *const i32) -> Self::I;
    /// Stores integers, unaligned.
    unsafe fn store_integers(p: *mut i32, v: Self::I);
    /// `a + b`, wrapping.
    unsafe fn add_integers(a: Self::I, b: Self::I) -> Self::I;
    /// `a * b + c`, wrapping.
    unsafe fn multiply_add(a: Self::I, b: Self::I, c: Self::I) -> Self::I;
    /// Pairs of 16-bit integers, from the low halves of `first` and `second`.
    unsafe fn pairs(first: Self::I, second: Self::I) -> Self::I;
    /// `sum + w[0] * a[0] + w[1] * a[1]` for the pairs `w` of each row.
    unsafe fn dot_pairs(sum: Self::I, w: Self::I, a: *const [i16; 2]) -> Self::I;
    /// `256 * high + low`.
    unsafe fn join(high: Self::I, low: Self::I) -> Self::I;
    /// Converts integers, rounding to nearest even.
    unsafe fn to_f32(v: Self::I) -> Self::F;
    /// `a * b`.
    unsafe fn mul(a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`, rounded once.
    unsafe fn fma(a: Self::F, b: Self::F, c: Self::F) -> Self::F;
}

/// `sums[t * n_panels + p][r]` = row `r` of panel `p` times token `first_token + t`, for one panel or
/// two.
///
/// # Safety
/// `S`'s features are enabled in the caller.
#[inline(always)]
pub(super) unsafe fn panels<S: Simd, L: Layout>(
    panels: &[u8],
    x: &Activations,
    first_token: usize,
    sums: &mut [[f32; PANEL]],
) {
    let len = panel_bytes::<L>(x.n_cols);
    let n_panels = panels.len() / len;
    let n_tokens = sums.len() / n_panels.max(1);
    assert!(n_panels.is_power_of_two() && n_panels <= 2 && panels.len() == n_panels * len);
    assert!(sums.len() == n_panels * n_tokens && n_tokens <= TILE, "one sum per panel and token");
    assert!(first_token + n_tokens <= x.n_tokens, "tokens of the tile");
    // SAFETY: features by the caller's promise; the pointers stay inside `panels`, `x` and `sums`
    // by the checks above.
    unsafe {
        if x.is_fine() {
            rows::<S, L, true>(panels, n_panels, x, first_token, sums);
        } else {
            rows::<S, L, false>(panels, n_panels, x, first_token, sums);
        }
    }
}

/// Activations of 16 bits when `FINE`.
#[inline(always)]
unsafe fn rows<S: Simd, L: Layout, const FINE: bool>(
    panels: &[u8],
    n_panels: usize,
    x: &Activations,
    first_token: usize,
    sums: &mut [[f32; PANEL]],
) {
    let len = panels.len() / n_panels;
    let tokens = Tokens { x, first: first_token, n: sums.len() / n_panels };
    // SAFETY: as in `panels`.
    unsafe {
        if tokens.n == 1 {
            for (panel, sums) in panels.chunks_exact(len).zip(sums) {
                if L::BLOCKS == 1 {
                    blocks::one_token::<S, L, FINE>(panel, x, first_token, sums);
                } else {
                    supers::one_token::<S, L, FINE>(panel, x, first_token, sums);
                }
            }
            return;
        }
        sums.fill([0.0; PANEL]);
        if S::PAIRS && n_panels == 2 {
            let (first, second) = panels.split_at(len);
            let sums = [sums[0].as_mut_ptr(), sums[1].as_mut_ptr()];
            let strip = Strip { panels: [first, second], first_row: 0, sums, step: 2 * PANEL };
            tile::<S, L, FINE, 2>(&strip, tokens);
        } else {
            for (p, panel) in panels.chunks_exact(len).enumerate() {
                for first_row in (0..PANEL).step_by(S::LANES) {
                    let sums = [sums[p].as_mut_ptr().add(first_row)];
                    let strip = Strip { panels: [panel], first_row, sums, step: n_panels * PANEL };
                    tile::<S, L, FINE, 1>(&strip, tokens);
                }
            }
        }
    }
}

/// `LANES` rows, from `first_row` on, of each of `N` panels.
struct Strip<'a, const N: usize> {
    panels: [&'a [u8]; N],
    first_row: usize,
    /// Where the first token's sums are, by panel.
    sums: [*mut f32; N],
    /// From a token's sums to the next one's.
    step: usize,
}

/// A run of tokens of a batch.
#[derive(Clone, Copy)]
struct Tokens<'a> {
    x: &'a Activations,
    first: usize,
    n: usize,
}

/// Many tokens.
#[inline(always)]
unsafe fn tile<S: Simd, L: Layout, const FINE: bool, const N: usize>(
    strip: &Strip<'_, N>,
    tokens: Tokens<'_>,
) {
    // SAFETY: as in `panels`.
    unsafe {
        if L::BLOCKS == 1 {
            blocks::tile::<S, L, FINE, N>(strip, tokens);
        } else {
            supers::tile::<S, L, FINE, N>(strip, tokens);
        }
    }
}

/// Where a block is in a panel.
#[inline(always)]
pub(super) fn block_at<L: Layout>(panel: &[u8], i_block: usize) -> *const u8 {
    let record = i_block / L::BLOCKS * L::RECORD_BYTES;
    let block = L::HEADER_BYTES + i_block % L::BLOCKS * L::BLOCK_BYTES;
    panel.as_ptr().wrapping_add(record + block)
}

/// Asks for the weights that a single token will need `AHEAD_BYTES` later.
#[inline(always)]
unsafe fn prefetch_after<S: Simd, L: Layout>(panel: &[u8], i_block: usize) {
    let ahead = block_at::<L>(panel, i_block).wrapping_add(AHEAD_BYTES);
    for line in (0..L::BLOCK_BYTES).step_by(64) {
        // SAFETY: as in `panels`.
        unsafe { S::prefetch(ahead.wrapping_add(line)) };
    }
}

/// What a product without an offset starts from.
static ZERO: i32 = 0;

/// The integer products of `N` panels' quants with the activations of `T` tokens.
#[inline(always)]
unsafe fn dots<S: Simd, L: Layout, const STEPS: usize, const N: usize, const T: usize>(
    weights: [&[S::B; STEPS]; N],
    a: [*const i8; T],
    starts: [*const i32; T],
) -> [[S::I; N]; T] {
    // SAFETY: as in `panels`.
    unsafe {
        match L::FACTOR_BITS {
            4 => S::dots::<4, STEPS, N, T>(weights, a, starts),
            5 => S::dots::<5, STEPS, N, T>(weights, a, starts),
            6 => S::dots::<6, STEPS, N, T>(weights, a, starts),
            _ => S::dots::<8, STEPS, N, T>(weights, a, starts),
        }
    }
}

/// The scales of `LANES` rows.
#[inline(always)]
unsafe fn scales<S: Simd, L: Layout>(p: *const u8) -> S::F {
    // SAFETY: as in `panels`.
    unsafe { if L::BFLOATS { S::bfloats(p) } else { S::halves(p) } }
}

/// The quants of a block, or what they stand for, one register per four columns.
#[inline(always)]
pub(super) unsafe fn unpack<S: Simd, L: Layout>(p: *const u8) -> [S::B; STEPS] {
    // SAFETY: as in `panels`.
    unsafe {
        let mut w = [S::bytes(p); STEPS];
        if L::BITS == 8 {
            for (s, w) in w.iter_mut().enumerate() {
                *w = S::bytes(p.add(64 * s));
            }
            return w;
        }
        for run in 0..4 {
            let b = S::bytes(p.add(64 * run));
            w[2 * run] = S::and(b, 15);
            w[2 * run + 1] = S::and(S::shr::<4>(b), 15);
        }
        if let Some(codes) = L::CODES {
            for w in &mut w {
                *w = S::look_up(codes, *w);
            }
        }
        if L::BITS == 5 {
            let b = S::bytes(p.add(256));
            let fifth = [
                S::shl::<4>(b),
                S::shl::<3>(b),
                S::shl::<2>(b),
                S::shl::<1>(b),
                b,
                S::shr::<1>(b),
                S::shr::<2>(b),
                S::shr::<3>(b),
            ];
            for (w, fifth) in w.iter_mut().zip(fifth) {
                *w = S::or(*w, S::and(fifth, 16));
            }
        } else if L::BITS == 6 {
            for run in 0..2 {
                let b = S::bytes(p.add(256 + 64 * run));
                let high = [S::shl::<4>(b), S::shl::<2>(b), b, S::shr::<2>(b)];
                for (w, high) in w[4 * run..4 * run + 4].iter_mut().zip(high) {
                    *w = S::or(*w, S::and(high, 48));
                }
            }
        }
        w
    }
}

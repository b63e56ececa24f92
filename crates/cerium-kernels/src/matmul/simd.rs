//! The fast product, written once over the few operations that an instruction set must offer.
//!
//! For each block of 32 columns the weights of `LANES` rows are unpacked into eight registers (one
//! per four columns), then every token of the tile is served from them: eight broadcasts of four
//! activations, eight integer dot products, one conversion, two fused multiply-adds. Unpacking is
//! paid once per tile, and a token's sums are touched once per block.

use crate::activations::Activations;
use crate::pack::{Layout, PANEL};

/// Steps of four columns in a block.
const STEPS: usize = 8;

/// What an instruction set offers. Every function needs the set's features to be enabled where it
/// is inlined, and that is the safety condition of all of them.
pub(super) trait Simd {
    /// Rows that one register holds: 8 or 16.
    const LANES: usize;
    /// `LANES` f32 values.
    type F: Copy;
    /// `4 * LANES` bytes: four columns of each row.
    type B: Copy;
    /// `LANES` i32 values.
    type I: Copy;

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

    /// Sum over `N` steps of the products of four unsigned quants of `BITS` bits with the four
    /// activations at `a + 4 * step`, for each row. Exact.
    unsafe fn dot<const BITS: usize, const N: usize>(w: &[Self::B; N], a: *const i8) -> Self::I;

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
    /// Loads signed bytes and converts them.
    unsafe fn signed_bytes(p: *const u8) -> Self::F;
    /// `256 * high + low`.
    unsafe fn join(high: Self::I, low: Self::I) -> Self::I;
    /// Converts integers, rounding to nearest even.
    unsafe fn to_f32(v: Self::I) -> Self::F;
    /// `a * b`.
    unsafe fn mul(a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`, rounded once.
    unsafe fn fma(a: Self::F, b: Self::F, c: Self::F) -> Self::F;
}

/// `sums[t][r]` = row `r` of the panel times token `first_token + t`.
///
/// # Safety
/// `S`'s features are enabled in the caller.
#[inline(always)]
pub(super) unsafe fn panel<S: Simd, L: Layout>(
    panel: &[u8],
    x: &Activations,
    first_token: usize,
    sums: &mut [[f32; PANEL]],
) {
    assert_eq!(panel.len() / L::RECORD_BYTES * L::BLOCKS * 32, x.n_cols, "columns of the panel");
    assert!(first_token + sums.len() <= x.n_tokens, "tokens of the tile");
    sums.fill([0.0; PANEL]);
    // SAFETY: features by the caller's promise; the pointers stay inside `panel`, `x` and `sums`
    // by the two checks above.
    unsafe {
        if x.lows.is_empty() {
            rows::<S, L, false>(panel, x, first_token, sums);
        } else {
            rows::<S, L, true>(panel, x, first_token, sums);
        }
    }
}

/// Activations of 16 bits when `FINE`.
#[inline(always)]
unsafe fn rows<S: Simd, L: Layout, const FINE: bool>(
    panel: &[u8],
    x: &Activations,
    first_token: usize,
    sums: &mut [[f32; PANEL]],
) {
    // SAFETY: as in `panel`.
    unsafe {
        if let [sums] = sums {
            one_token::<S, L, FINE>(panel, x, first_token, sums);
        } else {
            for first_row in (0..PANEL).step_by(S::LANES) {
                tile::<S, L, FINE>(panel, x, first_token, first_row, sums);
            }
        }
    }
}

/// Many tokens: `LANES` rows of the panel, from `first_row` on.
#[inline(always)]
unsafe fn tile<S: Simd, L: Layout, const FINE: bool>(
    panel: &[u8],
    x: &Activations,
    first_token: usize,
    first_row: usize,
    sums: &mut [[f32; PANEL]],
) {
    // SAFETY: as in `panel`.
    unsafe {
        let mut at = first_token;
        for record in panel.chunks_exact(L::RECORD_BYTES) {
            let header = record.as_ptr().add(2 * first_row);
            let d = S::halves(header);
            let m = if L::MINS { S::halves(header.add(2 * PANEL)) } else { S::zero() };
            for i in 0..L::BLOCKS {
                let block = record.as_ptr().add(L::HEADER_BYTES + i * L::BLOCK_BYTES);
                let weights = unpack::<S, L>(block.add(4 * first_row));
                let groups = scales::<S, L>(d, m, block.add(L::QUANT_BYTES + first_row));
                for (t, sums) in sums.iter_mut().enumerate() {
                    let sums = sums.as_mut_ptr().add(first_row);
                    let new = add_block::<S, L, FINE>(&weights, &groups, x, at + t, S::load(sums));
                    S::store(sums, new);
                }
                at += x.n_tokens;
            }
        }
    }
}

/// A single token: all 16 rows at once, so that the weights stream through in file order.
#[inline(always)]
unsafe fn one_token<S: Simd, L: Layout, const FINE: bool>(
    panel: &[u8],
    x: &Activations,
    token: usize,
    sums: &mut [f32; PANEL],
) {
    // SAFETY: as in `panel`.
    unsafe {
        let mut at = token;
        let mut acc = [S::zero(); 2];
        for record in panel.chunks_exact(L::RECORD_BYTES) {
            for i in 0..L::BLOCKS {
                for (part, acc) in acc.iter_mut().take(PANEL / S::LANES).enumerate() {
                    let first_row = part * S::LANES;
                    let header = record.as_ptr().add(2 * first_row);
                    let d = S::halves(header);
                    let m = if L::MINS { S::halves(header.add(2 * PANEL)) } else { S::zero() };
                    let block = record.as_ptr().add(L::HEADER_BYTES + i * L::BLOCK_BYTES);
                    let weights = unpack::<S, L>(block.add(4 * first_row));
                    let groups = scales::<S, L>(d, m, block.add(L::QUANT_BYTES + first_row));
                    *acc = add_block::<S, L, FINE>(&weights, &groups, x, at, *acc);
                }
                at += x.n_tokens;
            }
        }
        for (part, acc) in acc.iter().take(PANEL / S::LANES).enumerate() {
            S::store(sums.as_mut_ptr().add(part * S::LANES), *acc);
        }
    }
}

/// Adds one block's share of one token to the sums of `LANES` rows.
#[inline(always)]
unsafe fn add_block<S: Simd, L: Layout, const FINE: bool>(
    weights: &[S::B; STEPS],
    groups: &[(S::F, S::F); 2],
    x: &Activations,
    at: usize,
    acc: S::F,
) -> S::F {
    // SAFETY: as in `panel`; `at` is one of the batch's blocks, and there are as many low planes
    // when `FINE`.
    unsafe {
        let high = x.blocks.get_unchecked(at).0.as_ptr();
        let low = if FINE { x.lows.get_unchecked(at).0.as_ptr() } else { high };
        let d = S::splat(*x.d.get_unchecked(at));
        if L::GROUPS_OF_16 {
            let (first, last) = (weights.first_chunk::<4>(), weights.last_chunk::<4>());
            let (Some(first), Some(last)) = (first, last) else {
                std::hint::unreachable_unchecked()
            };
            let half_sums = x.half_sums.get_unchecked(at);
            let mut acc = acc;
            for (i, w) in [first, last].into_iter().enumerate() {
                let dot = dot::<S, L, 4, FINE>(w, high.add(16 * i), low.add(16 * i));
                acc = S::fma(S::to_f32(dot), S::mul(groups[i].0, d), acc);
                acc = S::fma(groups[i].1, S::splat(half_sums[i]), acc);
            }
            acc
        } else {
            let dot = dot::<S, L, STEPS, FINE>(weights, high, low);
            let acc = S::fma(S::to_f32(dot), S::mul(groups[0].0, d), acc);
            S::fma(groups[0].1, S::splat(*x.sum.get_unchecked(at)), acc)
        }
    }
}

#[inline(always)]
unsafe fn dot<S: Simd, L: Layout, const N: usize, const FINE: bool>(
    w: &[S::B; N],
    high: *const i8,
    low: *const i8,
) -> S::I {
    // SAFETY: as in `panel`.
    unsafe {
        let plane = |a| match L::BITS {
            4 => S::dot::<4, N>(w, a),
            5 => S::dot::<5, N>(w, a),
            6 => S::dot::<6, N>(w, a),
            _ => S::dot::<8, N>(w, a),
        };
        if FINE { S::join(plane(high), plane(low)) } else { plane(high) }
    }
}

/// Scale and addend of the block's group or groups.
#[inline(always)]
unsafe fn scales<S: Simd, L: Layout>(d: S::F, m: S::F, factors: *const u8) -> [(S::F, S::F); 2] {
    let n_groups = if L::GROUPS_OF_16 { 2 } else { 1 };
    // SAFETY: as in `panel`.
    unsafe {
        let mut groups = [(d, m); 2];
        for (i, group) in groups.iter_mut().take(n_groups).enumerate() {
            if L::BLOCKS > 1 {
                group.0 = S::mul(d, S::signed_bytes(factors.add(i * PANEL)));
            }
            if !L::MINS {
                group.1 = S::mul(S::splat(-L::OFFSET), group.0);
            } else if L::BLOCKS > 1 {
                let min = S::mul(m, S::signed_bytes(factors.add((n_groups + i) * PANEL)));
                group.1 = S::mul(S::splat(-1.0), min);
            }
        }
        groups
    }
}

/// The quants of a block, one register per four columns.
#[inline(always)]
unsafe fn unpack<S: Simd, L: Layout>(p: *const u8) -> [S::B; STEPS] {
    // SAFETY: as in `panel`.
    unsafe {
        if L::BITS == 8 {
            return std::array::from_fn(|s| S::bytes(p.add(64 * s)));
        }
        let low = [0, 1, 2, 3].map(|run| S::bytes(p.add(64 * run)));
        let mut w: [S::B; STEPS] = std::array::from_fn(|s| {
            let run = low[s / 2];
            S::and(if s % 2 == 0 { run } else { S::shr::<4>(run) }, 15)
        });
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
            w = std::array::from_fn(|s| S::or(w[s], S::and(fifth[s], 16)));
        } else if L::BITS == 6 {
            let high = [S::bytes(p.add(256)), S::bytes(p.add(320))];
            w = std::array::from_fn(|s| {
                let b = high[s / 4];
                let b = match s % 4 {
                    0 => S::shl::<4>(b),
                    1 => S::shl::<2>(b),
                    2 => b,
                    _ => S::shr::<2>(b),
                };
                S::or(w[s], S::and(b, 48))
            });
        }
        w
    }
}

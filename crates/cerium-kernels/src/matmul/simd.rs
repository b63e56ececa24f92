//! The fast product, written once over the few operations that an instruction set must offer.
//!
//! For each block of 32 columns the weights of `LANES` rows of one panel or two are unpacked into eight
//! registers each (one per four columns), then every token of the tile is served from them: eight
//! broadcasts of four activations, and per panel eight integer dot products, a conversion, a product
//! of scales and a fused multiply-add. Unpacking is paid once per tile, and a token's sums are
//! touched once per block. An offset costs nothing: the dot product starts from it.
//!
//! Plain loops instead of closures in all of it: a closure that is not inlined would be compiled
//! without the instruction set, and every operation in it would become a call.

use super::TILE;
use crate::activations::{Activations, SLACK};
use crate::block::BLOCK;
use crate::pack::{Layout, PANEL, panel_bytes};
use std::marker::PhantomData;

/// How far ahead of a single token's product its weights are asked for. Processors do so themselves,
/// but stop at every page of 4 KiB.
const AHEAD_BYTES: usize = 4096;

/// Steps of four columns in a block.
pub(super) const STEPS: usize = 8;

/// What an instruction set offers. Every function needs the set's features to be enabled where it
/// is inlined, and that is the safety condition of all of them.
pub(super) trait Simd {
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
        if x.lows.is_empty() {
            rows::<S, L, false>(panels, n_panels, x, first_token, sums);
        } else {
            rows::<S, L, true>(panels, n_panels, x, first_token, sums);
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
    // SAFETY: as in `panels`.
    unsafe {
        if sums.len() == n_panels {
            for (panel, sums) in panels.chunks_exact(len).zip(sums) {
                one_token::<S, L, FINE>(panel, x, first_token, sums);
            }
            return;
        }
        sums.fill([0.0; PANEL]);
        if S::PAIRS && n_panels == 2 {
            let (first, second) = panels.split_at(len);
            let rows = [(first, sums[0].as_mut_ptr()), (second, sums[1].as_mut_ptr())];
            tile::<S, L, FINE, 2>(rows, 0, n_panels, x, first_token, sums.len() / n_panels);
        } else {
            for (p, panel) in panels.chunks_exact(len).enumerate() {
                for first_row in (0..PANEL).step_by(S::LANES) {
                    let rows = [(panel, sums[p].as_mut_ptr().add(first_row))];
                    let n_tokens = sums.len() / n_panels;
                    tile::<S, L, FINE, 1>(rows, first_row, n_panels, x, first_token, n_tokens);
                }
            }
        }
    }
}

/// Many tokens: `LANES` rows of each of `N` panels, from `first_row` on. A panel comes with where its
/// sums of the first token are; those of the next lie `n_panels * PANEL` further.
#[inline(always)]
unsafe fn tile<S: Simd, L: Layout, const FINE: bool, const N: usize>(
    panels: [(&[u8], *mut f32); N],
    first_row: usize,
    n_panels: usize,
    x: &Activations,
    first_token: usize,
    n_tokens: usize,
) {
    let mut sums = QuantSums::default();
    // SAFETY: as in `panels`.
    unsafe {
        for i_block in 0..x.n_cols / BLOCK {
            let at = i_block * x.n_tokens + first_token;
            sums.read::<L>(x, at, n_tokens);
            let mut rows = [Rows::<S>::read::<L>(panels[0].0, i_block, first_row); N];
            for (rows, (panel, _)) in rows[1..].iter_mut().zip(&panels[1..]) {
                *rows = Rows::read::<L>(panel, i_block, first_row);
            }
            let high = x.blocks.as_ptr().add(at);
            let low = if FINE { x.lows.as_ptr().add(at) } else { high };
            let at = Tokens::<S, N> {
                high: high.cast(),
                low: low.cast(),
                d: x.d.as_ptr().add(at),
                starts: [sums.starts[0].as_ptr(), sums.starts[1].as_ptr()],
                mins: [sums.mins[0].as_ptr(), sums.mins[1].as_ptr()],
                sums: panels.map(|(_, sums)| sums),
                step: n_panels * PANEL,
                lanes: PhantomData,
            };
            // Two tokens at a time: their chains of products run side by side.
            for t in (0..n_tokens - 1).step_by(2) {
                at.add_block::<L, FINE, 2>(&rows, t);
            }
            if !n_tokens.is_multiple_of(2) {
                at.add_block::<L, FINE, 1>(&rows, n_tokens - 1);
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
    // SAFETY: as in `panels`.
    unsafe {
        let mut acc = [S::zero(); 2];
        for i_block in 0..x.n_cols / BLOCK {
            let at = i_block * x.n_tokens + token;
            let halves = [*x.sums[0].get_unchecked(at), *x.sums[1].get_unchecked(at)];
            let d = *x.d.get_unchecked(at);
            let [first, last] = if L::GROUPS_OF_16 { halves } else { [halves[0] + halves[1], 0] };
            let (starts, mins) =
                ([-L::OFFSET * first, -L::OFFSET * last], [first as f32 * d, last as f32 * d]);
            let high = x.blocks.as_ptr().add(at).cast();
            let a = [Block {
                high,
                low: if FINE { x.lows.as_ptr().add(at).cast() } else { high },
                d: &raw const d,
                starts: [&raw const starts[0], &raw const starts[1]],
                mins: [&raw const mins[0], &raw const mins[1]],
            }];
            let ahead = Rows::<S>::at::<L>(panel, i_block).wrapping_add(AHEAD_BYTES);
            for line in (0..L::BLOCK_BYTES).step_by(64) {
                S::prefetch(ahead.wrapping_add(line));
            }
            for (part, acc) in acc.iter_mut().take(PANEL / S::LANES).enumerate() {
                let rows = Rows::<S>::read::<L>(panel, i_block, part * S::LANES);
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

/// What the sums of a block's quants turn into for a layout, for the tokens of a tile and both halves
/// of the block, or the whole in the first.
pub(super) struct QuantSums {
    /// Where the integer product starts: the sum times the offset.
    starts: [[i32; TILE]; 2],
    /// What a minimum is multiplied with.
    pub(super) mins: [[f32; TILE]; 2],
}

impl Default for QuantSums {
    fn default() -> Self {
        Self { starts: [[0; TILE]; 2], mins: [[0.0; TILE]; 2] }
    }
}

impl QuantSums {
    /// Those of `n_tokens` blocks from the `at`-th of the batch on, which must be there.
    #[inline(always)]
    pub(super) unsafe fn read<L: Layout>(&mut self, x: &Activations, at: usize, n_tokens: usize) {
        for group in 0..if L::GROUPS_OF_16 { 2 } else { 1 } {
            let (starts, mins) = (&mut self.starts[group], &mut self.mins[group]);
            for t in (0..n_tokens).step_by(SLACK) {
                // SAFETY: the caller's promise, and `SLACK` more that every buffer has.
                let (mut sums, last, d) = unsafe {
                    let run = |sums: &[i32]| {
                        sums.as_ptr().add(at + t).cast::<[i32; SLACK]>().read_unaligned()
                    };
                    let d = x.d.as_ptr().add(at + t).cast::<[f32; SLACK]>().read_unaligned();
                    (run(&x.sums[group]), run(&x.sums[1]), d)
                };
                if !L::GROUPS_OF_16 {
                    for (sum, last) in sums.iter_mut().zip(last) {
                        *sum += last;
                    }
                }
                if L::MINS {
                    for ((min, sum), d) in mins[t..t + SLACK].iter_mut().zip(sums).zip(d) {
                        *min = sum as f32 * d;
                    }
                } else {
                    for (start, sum) in starts[t..t + SLACK].iter_mut().zip(sums) {
                        *start = -L::OFFSET * sum;
                    }
                }
            }
        }
    }
}

/// One block of `LANES` rows of a panel, unpacked.
pub(super) struct Rows<S: Simd> {
    pub(super) weights: [S::B; STEPS],
    /// Scale and minimum of the two halves, or of the whole in the first.
    pub(super) groups: [(S::F, S::F); 2],
}

impl<S: Simd> Clone for Rows<S> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: Simd> Copy for Rows<S> {}

impl<S: Simd> Rows<S> {
    /// Where a block is.
    #[inline(always)]
    fn at<L: Layout>(panel: &[u8], i_block: usize) -> *const u8 {
        let record = i_block / L::BLOCKS * L::RECORD_BYTES;
        let block = L::HEADER_BYTES + i_block % L::BLOCKS * L::BLOCK_BYTES;
        panel.as_ptr().wrapping_add(record + block)
    }

    #[inline(always)]
    pub(super) unsafe fn read<L: Layout>(panel: &[u8], i_block: usize, first_row: usize) -> Self {
        let record = i_block / L::BLOCKS * L::RECORD_BYTES;
        // SAFETY: as in `panels`.
        unsafe {
            let header = panel.as_ptr().add(record + 2 * first_row);
            let block = Self::at::<L>(panel, i_block);
            let d = S::halves(header);
            let m = if L::MINS { S::halves(header.add(2 * PANEL)) } else { S::zero() };
            Self {
                weights: unpack::<S, L>(block.add(4 * first_row)),
                groups: scales::<S, L>(d, m, block.add(L::QUANT_BYTES + first_row)),
            }
        }
    }
}

/// Where one block of a tile's tokens is, with what follows from its sums for a layout, and where the
/// tokens' sums are for each panel.
struct Tokens<S, const N: usize> {
    high: *const [i8; BLOCK],
    low: *const [i8; BLOCK],
    d: *const f32,
    starts: [*const i32; 2],
    mins: [*const f32; 2],
    sums: [*mut f32; N],
    /// From a token's sums to the next one's.
    step: usize,
    lanes: PhantomData<S>,
}

/// The same of one token. Pointers, because a broadcast straight from memory leaves the ports of the
/// products alone.
#[derive(Clone, Copy)]
struct Block {
    high: *const i8,
    low: *const i8,
    d: *const f32,
    starts: [*const i32; 2],
    mins: [*const f32; 2],
}

impl<S: Simd, const N: usize> Tokens<S, N> {
    /// Adds the block's share of `T` tokens from the `t`-th on to their sums.
    #[inline(always)]
    unsafe fn add_block<L: Layout, const FINE: bool, const T: usize>(
        &self,
        rows: &[Rows<S>; N],
        t: usize,
    ) {
        // SAFETY: as in `panels`.
        unsafe {
            let mut a = [self.block(t); T];
            for (i, a) in a.iter_mut().enumerate() {
                *a = self.block(t + i);
            }
            let mut acc = [[S::zero(); N]; T];
            for (i, acc) in acc.iter_mut().enumerate() {
                for (acc, sums) in acc.iter_mut().zip(self.sums) {
                    *acc = S::load(sums.add((t + i) * self.step));
                }
            }
            add_block::<S, L, FINE, N, T>(rows, &a, &mut acc);
            for (i, acc) in acc.iter().enumerate() {
                for (acc, sums) in acc.iter().zip(self.sums) {
                    S::store(sums.add((t + i) * self.step), *acc);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn block(&self, t: usize) -> Block {
        // SAFETY: as in `panels`.
        unsafe {
            Block {
                high: self.high.add(t).cast(),
                low: self.low.add(t).cast(),
                d: self.d.add(t),
                starts: [self.starts[0].add(t), self.starts[1].add(t)],
                mins: [self.mins[0].add(t), self.mins[1].add(t)],
            }
        }
    }
}

/// Adds one block's share of `T` tokens to the sums of `LANES` rows of each panel.
#[inline(always)]
unsafe fn add_block<S: Simd, L: Layout, const FINE: bool, const N: usize, const T: usize>(
    rows: &[Rows<S>; N],
    a: &[Block; T],
    acc: &mut [[S::F; N]; T],
) {
    // SAFETY: as in `panels`.
    unsafe {
        for group in 0..if L::GROUPS_OF_16 { 2 } else { 1 } {
            let (mut high, mut low) = ([a[0].high; T], [a[0].low; T]);
            let (zero, mut starts) = ([&raw const ZERO; T], [a[0].starts[group]; T]);
            for (i, a) in a.iter().enumerate() {
                (high[i], low[i]) = (a.high.add(16 * group), a.low.add(16 * group));
                starts[i] = a.starts[group];
            }
            let dots = if FINE {
                let high = plane::<S, L, N, T>(rows, high, group, zero);
                let mut dots = plane::<S, L, N, T>(rows, low, group, starts);
                for (low, high) in dots.iter_mut().zip(high) {
                    for (low, high) in low.iter_mut().zip(high) {
                        *low = S::join(high, *low);
                    }
                }
                dots
            } else {
                plane::<S, L, N, T>(rows, high, group, starts)
            };
            for ((acc, a), dots) in acc.iter_mut().zip(a).zip(dots) {
                let d = S::splat(*a.d);
                for ((acc, rows), dot) in acc.iter_mut().zip(rows).zip(dots) {
                    let (scale, min) = rows.groups[group];
                    *acc = S::fma(S::to_f32(dot), S::mul(scale, d), *acc);
                    if L::MINS {
                        *acc = S::fma(min, S::splat(*a.mins[group]), *acc);
                    }
                }
            }
        }
    }
}

static ZERO: i32 = 0;

/// The integer products of one group of one plane of activations.
#[inline(always)]
unsafe fn plane<S: Simd, L: Layout, const N: usize, const T: usize>(
    rows: &[Rows<S>; N],
    a: [*const i8; T],
    group: usize,
    starts: [*const i32; T],
) -> [[S::I; N]; T] {
    // SAFETY: as in `panels`.
    unsafe {
        if L::GROUPS_OF_16 {
            let half = |rows: &Rows<S>| rows.weights.as_ptr().wrapping_add(4 * group).cast();
            let mut weights: [&[S::B; 4]; N] = [&*half(&rows[0]); N];
            for (weights, rows) in weights.iter_mut().zip(rows) {
                *weights = &*half(rows);
            }
            dots::<S, L, 4, N, T>(weights, a, starts)
        } else {
            let mut weights = [&rows[0].weights; N];
            for (weights, rows) in weights.iter_mut().zip(rows) {
                *weights = &rows.weights;
            }
            dots::<S, L, STEPS, N, T>(weights, a, starts)
        }
    }
}

#[inline(always)]
unsafe fn dots<S: Simd, L: Layout, const STEPS: usize, const N: usize, const T: usize>(
    weights: [&[S::B; STEPS]; N],
    a: [*const i8; T],
    starts: [*const i32; T],
) -> [[S::I; N]; T] {
    // SAFETY: as in `panels`.
    unsafe {
        match L::BITS {
            4 => S::dots::<4, STEPS, N, T>(weights, a, starts),
            5 => S::dots::<5, STEPS, N, T>(weights, a, starts),
            6 => S::dots::<6, STEPS, N, T>(weights, a, starts),
            _ => S::dots::<8, STEPS, N, T>(weights, a, starts),
        }
    }
}

/// Scale and minimum of the block's group or groups; a minimum is only there where the type has them.
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
            if L::MINS && L::BLOCKS > 1 {
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

//! Types with super-blocks: products times the integer factors of their block are summed in integers,
//! and only a whole super-block meets its scale. Offsets and minima follow from the sums of the
//! activations: a pair of their factors per instruction, once per super-block.

use super::{STEPS, Simd, Strip, Tokens, ZERO, block_at, dots, prefetch_after, scales, unpack};
use crate::activations::{Activations, Sums, Supers};
use crate::block::{BLOCK, SUPER};
use crate::matmul::TILE;
use crate::pack::{Layout, PANEL};
use std::mem::MaybeUninit;

/// Blocks of a super-block.
const BLOCKS: usize = SUPER / BLOCK;

/// See [`super::tile`].
#[inline(always)]
pub(super) unsafe fn tile<S: Simd, L: Layout, const FINE: bool, const N: usize>(
    strip: &Strip<'_, N>,
    tokens: Tokens<'_>,
) {
    let (x, n_planes) = (&tokens.x.supers, if FINE { 2 } else { 1 });
    // The integer sums of the super-block at hand, by plane, token and panel.
    let mut dots = MaybeUninit::<[[[[i32; PANEL]; N]; TILE]; 2]>::uninit();
    let dots: [*mut [[i32; PANEL]; N]; 2] =
        [dots.as_mut_ptr().cast(), dots.as_mut_ptr().wrapping_byte_add(TILE * N * 64).cast()];
    // SAFETY: as in `panels`; a tile has at most `TILE` tokens.
    unsafe {
        for dots in dots.into_iter().take(n_planes) {
            dots.write_bytes(0, tokens.n);
        }
        for i_super in 0..tokens.x.n_cols / SUPER {
            let at = i_super * tokens.x.n_tokens + tokens.first;
            let high = x.high.quants.as_ptr().add(at).cast::<i8>();
            let low = x.low.quants.as_ptr().wrapping_add(at).cast::<i8>();
            for block in 0..BLOCKS {
                let i_block = BLOCKS * i_super + block;
                let first = Rows::<S>::read::<L>(strip.panels[0], i_block, strip.first_row);
                let mut rows = [first; N];
                for (rows, panel) in rows[1..].iter_mut().zip(&strip.panels[1..]) {
                    *rows = Rows::read::<L>(panel, i_block, strip.first_row);
                }
                for (dots, a) in dots.into_iter().zip([high, low]).take(n_planes) {
                    let a = a.wrapping_add(block * BLOCK);
                    // Two tokens at a time: their chains of products run side by side.
                    for t in (0..tokens.n - 1).step_by(2) {
                        let a = a.add(t * SUPER);
                        add_block::<S, L, N, 2>(&rows, [a, a.add(SUPER)], dots.add(t));
                    }
                    if !tokens.n.is_multiple_of(2) {
                        let t = tokens.n - 1;
                        add_block::<S, L, N, 1>(&rows, [a.add(t * SUPER)], dots.add(t));
                    }
                }
            }
            for (p, (panel, sums)) in strip.panels.iter().zip(strip.sums).enumerate() {
                let scales = SuperScales::<S>::read::<L>(panel, i_super, strip.first_row);
                for t in 0..tokens.n {
                    let mut dot = [S::splat_integer(0); 2];
                    for (dot, dots) in dot.iter_mut().zip(dots).take(n_planes) {
                        let place = (&raw mut (*dots.add(t))[p]).cast();
                        *dot = S::load_integers(place);
                        S::store_integers(place, S::splat_integer(0));
                    }
                    let sum = sums.add(t * strip.step);
                    let acc = S::load(sum);
                    S::store(sum, add_super::<S, L, FINE>(&scales, dot, x, at + t, acc));
                }
            }
        }
    }
}

/// See [`super::rows`].
#[inline(always)]
pub(super) unsafe fn one_token<S: Simd, L: Layout, const FINE: bool>(
    panel: &[u8],
    x: &Activations,
    token: usize,
    sums: &mut [f32; PANEL],
) {
    let (x, n_tokens, n_cols) = (&x.supers, x.n_tokens, x.n_cols);
    // SAFETY: as in `panels`.
    unsafe {
        let mut acc = [S::zero(); 2];
        for i_super in 0..n_cols / SUPER {
            let at = i_super * n_tokens + token;
            let mut dots = [[[[S::splat_integer(0); 1]; 1]; 2]; 2];
            for block in 0..BLOCKS {
                let i_block = BLOCKS * i_super + block;
                prefetch_after::<S, L>(panel, i_block);
                for (part, dots) in dots.iter_mut().take(PANEL / S::LANES).enumerate() {
                    let rows = [Rows::<S>::read::<L>(panel, i_block, part * S::LANES)];
                    let high = x.high.quants.as_ptr().add(at).cast::<i8>().add(block * BLOCK);
                    add_products::<S, L, 1, 1>(&rows, [high], &mut dots[0]);
                    if FINE {
                        let low = x.low.quants.as_ptr().add(at).cast::<i8>().add(block * BLOCK);
                        add_products::<S, L, 1, 1>(&rows, [low], &mut dots[1]);
                    }
                }
            }
            for (part, acc) in acc.iter_mut().take(PANEL / S::LANES).enumerate() {
                let scales = SuperScales::<S>::read::<L>(panel, i_super, part * S::LANES);
                let [[[high]], [[low]]] = dots[part];
                *acc = add_super::<S, L, FINE>(&scales, [high, low], x, at, *acc);
            }
        }
        for (part, acc) in acc.iter().take(PANEL / S::LANES).enumerate() {
            S::store(sums.as_mut_ptr().add(part * S::LANES), *acc);
        }
    }
}

/// One block of `LANES` rows of a panel, unpacked.
#[derive(Clone, Copy)]
struct Rows<S: Simd> {
    weights: [S::B; STEPS],
    /// Integer factors of the block's two halves, or of all in the first.
    factors: [S::I; 2],
}

impl<S: Simd> Rows<S> {
    #[inline(always)]
    unsafe fn read<L: Layout>(panel: &[u8], i_block: usize, first_row: usize) -> Self {
        let block = block_at::<L>(panel, i_block);
        // SAFETY: as in `panels`.
        unsafe {
            let factors = block.add(L::QUANT_BYTES + first_row);
            let first = S::signed_bytes(factors);
            let last = if L::GROUPS_OF_16 { S::signed_bytes(factors.add(PANEL)) } else { first };
            Self { weights: unpack::<S, L>(block.add(4 * first_row)), factors: [first, last] }
        }
    }
}

/// Adds one block's products of `T` tokens to their integer sums.
#[inline(always)]
unsafe fn add_block<S: Simd, L: Layout, const N: usize, const T: usize>(
    rows: &[Rows<S>; N],
    a: [*const i8; T],
    sums: *mut [[i32; PANEL]; N],
) {
    // SAFETY: as in `panels`.
    unsafe {
        let mut acc = [[S::splat_integer(0); N]; T];
        for (t, acc) in acc.iter_mut().enumerate() {
            for (p, acc) in acc.iter_mut().enumerate() {
                *acc = S::load_integers((*sums.add(t))[p].as_ptr());
            }
        }
        add_products::<S, L, N, T>(rows, a, &mut acc);
        for (t, acc) in acc.iter().enumerate() {
            for (p, acc) in acc.iter().enumerate() {
                S::store_integers((*sums.add(t))[p].as_mut_ptr(), *acc);
            }
        }
    }
}

#[inline(always)]
unsafe fn add_products<S: Simd, L: Layout, const N: usize, const T: usize>(
    rows: &[Rows<S>; N],
    a: [*const i8; T],
    acc: &mut [[S::I; N]; T],
) {
    for group in 0..if L::GROUPS_OF_16 { 2 } else { 1 } {
        // SAFETY: as in `panels`.
        unsafe {
            let products = if L::GROUPS_OF_16 {
                let half = |rows: &Rows<S>| rows.weights.as_ptr().wrapping_add(4 * group).cast();
                let mut weights: [&[S::B; STEPS / 2]; N] = [&*half(&rows[0]); N];
                for (weights, rows) in weights.iter_mut().zip(rows) {
                    *weights = &*half(rows);
                }
                let mut a = a;
                for a in &mut a {
                    *a = a.wrapping_add(16 * group);
                }
                dots::<S, L, { STEPS / 2 }, N, T>(weights, a, [&raw const ZERO; T])
            } else {
                let mut weights = [&rows[0].weights; N];
                for (weights, rows) in weights.iter_mut().zip(rows) {
                    *weights = &rows.weights;
                }
                dots::<S, L, STEPS, N, T>(weights, a, [&raw const ZERO; T])
            };
            for (acc, products) in acc.iter_mut().zip(products) {
                for ((acc, rows), product) in acc.iter_mut().zip(rows).zip(products) {
                    *acc = S::multiply_add(product, rows.factors[group], *acc);
                }
            }
        }
    }
}

/// What a super-block of `LANES` rows is scaled with.
#[derive(Clone, Copy)]
pub(in crate::matmul) struct SuperScales<S: Simd> {
    scale: S::F,
    /// Negative.
    min: S::F,
    /// Pairs of factors that the sums of the activations are multiplied with: those of the minima, or
    /// of the scales where there is an offset instead. As many as the type has pairs of groups.
    factors: [S::I; BLOCKS],
}

/// Pairs of groups in a super-block.
const fn n_pairs<L: Layout>() -> usize {
    if L::GROUPS_OF_16 { BLOCKS } else { BLOCKS / 2 }
}

impl<S: Simd> SuperScales<S> {
    #[inline(always)]
    pub(in crate::matmul) unsafe fn read<L: Layout>(
        panel: &[u8],
        i_super: usize,
        first_row: usize,
    ) -> Self {
        // SAFETY: as in `panels`.
        unsafe {
            let header = panel.as_ptr().add(i_super * L::RECORD_BYTES + 2 * first_row);
            let mut min = S::zero();
            if L::MINS {
                min = S::mul(S::splat(-1.0), S::halves(header.add(2 * PANEL)));
            }
            let mut factors = [S::splat_integer(0); BLOCKS];
            for (i, pair) in factors.iter_mut().take(n_pairs::<L>()).enumerate() {
                let n_groups = if L::GROUPS_OF_16 { 2 } else { 1 };
                let group = |i: usize| {
                    let run = if L::MINS { n_groups } else { 0 } + i % n_groups;
                    let block = block_at::<L>(panel, BLOCKS * i_super + i / n_groups);
                    block.wrapping_add(L::QUANT_BYTES + run * PANEL + first_row)
                };
                let first = S::signed_bytes(group(2 * i));
                *pair = S::pairs(first, S::signed_bytes(group(2 * i + 1)));
            }
            Self { scale: scales::<S, L>(header), min, factors }
        }
    }

    /// The factors times the sums of one token's activations.
    #[inline(always)]
    pub(in crate::matmul) unsafe fn corrections<L: Layout>(&self, sums: *const Sums) -> S::I {
        // SAFETY: as in `panels`.
        unsafe {
            let sums: *const [i16; 2] = if L::GROUPS_OF_16 {
                (&raw const (*sums).halves).cast()
            } else {
                (&raw const (*sums).wholes).cast()
            };
            let mut sum = S::splat_integer(0);
            for (i, factors) in self.factors.iter().take(n_pairs::<L>()).enumerate() {
                sum = S::dot_pairs(sum, *factors, sums.add(i));
            }
            sum
        }
    }

    /// `acc` and a super-block: its products, and its corrections where there are minima, times the value
    /// of a step.
    #[inline(always)]
    pub(in crate::matmul) unsafe fn add<L: Layout>(
        &self,
        dot: S::I,
        corrections: S::I,
        d: S::F,
        acc: S::F,
    ) -> S::F {
        // SAFETY: as in `panels`.
        unsafe {
            let acc = S::fma(S::to_f32(dot), S::mul(self.scale, d), acc);
            if L::MINS { S::fma(S::to_f32(corrections), S::mul(self.min, d), acc) } else { acc }
        }
    }
}

/// `acc` and the share of a token's super-block, whose products are `dots` without their offset: of the
/// high bytes, then of the low ones, which come first.
#[inline(always)]
unsafe fn add_super<S: Simd, L: Layout, const FINE: bool>(
    scales: &SuperScales<S>,
    dots: [S::I; 2],
    x: &Supers,
    at: usize,
    acc: S::F,
) -> S::F {
    let mut acc = acc;
    let planes = [(&x.high, if FINE { 256.0 } else { 1.0 }), (&x.low, 1.0)];
    for i in (0..if FINE { 2 } else { 1 }).rev() {
        let (plane, step) = planes[i];
        // SAFETY: as in `panels`.
        unsafe {
            let corrections = scales.corrections::<L>(plane.sums.as_ptr().add(at));
            let mut dot = dots[i];
            if L::OFFSET != 0 {
                dot = S::multiply_add(corrections, S::splat_integer(-L::OFFSET), dot);
            }
            let d = S::splat(*x.d.get_unchecked(at) * step);
            acc = scales.add::<L>(dot, corrections, d, acc);
        }
    }
    acc
}

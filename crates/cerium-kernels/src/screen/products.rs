//! The coarse products: of bytes, with nothing in between, and one maximum per panel and token.

use super::tokens::Tokens;
use super::{COLUMNS, GROUP, Screen, TAIL, scales};
use crate::block::BLOCK;
use crate::cpu::{Cpu, Isa};
use crate::matmul::simd::{STEPS, Simd};
#[cfg(target_arch = "x86_64")]
use crate::matmul::{avx2::Avx2, avx512::Avx512};
use crate::pack::PANEL;
use std::ops::Range;

/// Tokens whose sums stay in registers.
const TOKENS: usize = 4;

/// `maxima[p * n_filled + t]` = the greatest, over the rows of panel `p`, of the exact product with token
/// `t` times the row's scale.
pub(super) fn maxima(
    cpu: Cpu,
    screen: &Screen,
    panels: Range<usize>,
    tokens: &Tokens,
    maxima: &mut [f32],
) {
    assert_eq!(maxima.len(), panels.len() * tokens.n_filled(), "a maximum per panel and token");
    let len = screen.shape.panel_bytes();
    assert_eq!(len - TAIL, PANEL * COLUMNS * tokens.n_lines(), "columns of the tokens");
    let panels = screen.panels(panels);
    match cpu.0 {
        Isa::Scalar => scalar(panels, len, tokens, maxima),
        // SAFETY: `available` makes this value only after detecting the features.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { avx2(panels, len, tokens, maxima) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512Vnni => unsafe { avx512(panels, len, tokens, maxima) },
        // SAFETY: as above.
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        Isa::Amx => unsafe { super::amx::maxima(panels, len, tokens, maxima) },
    }
}

/// The definition.
fn scalar(panels: &[u8], len: usize, tokens: &Tokens, maxima: &mut [f32]) {
    for (panel, maxima) in panels.chunks_exact(len).zip(maxima.chunks_exact_mut(tokens.n_filled()))
    {
        for (token, max) in maxima.iter_mut().enumerate().take(tokens.n) {
            *max = f32::NEG_INFINITY;
            for (r, scale) in scales(panel).as_chunks().0.iter().enumerate() {
                let mut dot = -tokens.known[token].excess;
                for (i, line) in tokens.quants(token)[..tokens.n_lines()].iter().enumerate() {
                    for (c, &q) in line.0.iter().enumerate() {
                        let at = PANEL * (COLUMNS * i + c / 4 * 4) + 4 * r + c % 4;
                        dot += i32::from(panel[at]) * i32::from(q);
                    }
                }
                *max = max.max(dot as f32 * f32::from_le_bytes(*scale));
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
fn avx2(panels: &[u8], len: usize, tokens: &Tokens, maxima: &mut [f32]) {
    // SAFETY: this function enables the features.
    unsafe { simd::<Avx2>(panels, len, tokens, maxima) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
fn avx512(panels: &[u8], len: usize, tokens: &Tokens, maxima: &mut [f32]) {
    // SAFETY: this function enables the features.
    unsafe { simd::<Avx512>(panels, len, tokens, maxima) }
}

/// # Safety
/// `S`'s features are enabled in the caller, and sizes are those that [`maxima`] checks.
#[inline(always)]
unsafe fn simd<S: Simd>(panels: &[u8], len: usize, tokens: &Tokens, maxima: &mut [f32]) {
    for (panel, maxima) in panels.chunks_exact(len).zip(maxima.chunks_exact_mut(tokens.n_filled()))
    {
        for (group, maxima) in maxima.chunks_exact_mut(TOKENS).enumerate() {
            // SAFETY: the caller's promise; groups of tokens divide those that fill up.
            unsafe { four::<S>(panel, tokens, group * TOKENS, maxima) };
        }
    }
}

/// # Safety
/// As for [`simd`].
#[inline(always)]
unsafe fn four<S: Simd>(panel: &[u8], tokens: &Tokens, first: usize, maxima: &mut [f32]) {
    let n_blocks = tokens.n_lines() * (COLUMNS / BLOCK);
    let quants = tokens.quants(first).as_ptr().cast::<i8>();
    let zero = 0;
    let mut products = [[0.0f32; PANEL]; TOKENS];
    // SAFETY: the caller's promise.
    unsafe {
        for row in (0..PANEL).step_by(S::LANES) {
            let mut sums = [S::splat_integer(0); TOKENS];
            for (t, sum) in sums.iter_mut().enumerate() {
                *sum = S::splat_integer(-tokens.known[first + t].excess);
            }
            for i in 0..n_blocks {
                let block = panel.as_ptr().add(PANEL * BLOCK * i + 4 * row);
                let mut weights = [S::bytes(block); STEPS];
                for (step, w) in weights.iter_mut().enumerate() {
                    *w = S::bytes(block.add(4 * PANEL * step));
                }
                let mut a = [quants.add(BLOCK * i); TOKENS];
                for (t, a) in a.iter_mut().enumerate() {
                    *a = a.add(t * COLUMNS * tokens.n_lines());
                }
                let dots = S::dots::<8, STEPS, 1, TOKENS>([&weights], a, [&raw const zero; TOKENS]);
                for (sum, dot) in sums.iter_mut().zip(dots) {
                    *sum = S::add_integers(*sum, dot[0]);
                }
            }
            let scales = S::load(scales(panel).as_ptr().add(4 * row).cast());
            for (products, sum) in products.iter_mut().zip(sums) {
                S::store(products.as_mut_ptr().add(row), S::mul(S::to_f32(sum), scales));
            }
        }
    }
    for (max, products) in maxima.iter_mut().zip(&products) {
        *max = greatest(*products);
    }
}

/// The greatest of finite numbers.
#[inline(always)]
fn greatest(values: [f32; PANEL]) -> f32 {
    let mut values = values;
    let mut width = PANEL / 2;
    while width > 0 {
        for i in 0..width {
            let (a, b) = (values[i], values[i + width]);
            values[i] = if a > b { a } else { b };
        }
        width /= 2;
    }
    values[0]
}

const _: () = assert!(GROUP.is_multiple_of(TOKENS));

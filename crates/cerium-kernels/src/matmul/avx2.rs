//! AVX2: eight rows, products of bytes by `maddubs`, which adds pairs into 16 bits.
//!
//! Small quants leave room in 16 bits: with 4 bits eight sums of pairs fit (8 * 2 * 15 * 128 =
//! 30,720), with 5 bits four, with 6 bits two, and quants of 8 bits are taken as two nibbles. So the
//! widening to 32 bits is paid once per block or so, not once per product.

use super::simd::{self, Simd};
use crate::activations::Activations;
use crate::pack::{Layout, PANEL};
use std::arch::x86_64::*;
use std::hint::black_box;

/// See [`super::scalar::panels`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn panels<L: Layout>(
    panels: &[u8],
    x: &Activations,
    first_token: usize,
    sums: &mut [[f32; PANEL]],
) {
    // SAFETY: this function enables the features.
    unsafe { simd::panels::<Avx2, L>(panels, x, first_token, sums) }
}

/// Products of 4-bit quants as [`chain`] and [`widen`] make them: one widening after eight products.
/// Returns the multiply-accumulates.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn peak() -> f64 {
    const STEPS: usize = 1 << 14;
    const CHAINS: usize = 6;
    let (w, a) = black_box((_mm256_set1_epi8(3), _mm256_set1_epi8(-2)));
    let mut sums = [_mm256_setzero_si256(); CHAINS];
    for _ in 0..STEPS {
        let mut pairs = [_mm256_setzero_si256(); CHAINS];
        for _ in 0..8 {
            for pair in &mut pairs {
                *pair = _mm256_add_epi16(*pair, _mm256_maddubs_epi16(w, black_box(a)));
            }
        }
        for (sum, pair) in sums.iter_mut().zip(pairs) {
            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pair, _mm256_set1_epi16(1)));
        }
    }
    black_box(sums);
    (STEPS * CHAINS * 8 * 32) as f64
}

/// Products of f32 in as many chains as hide their latency; returns the multiply-accumulates.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn float_peak() -> f64 {
    const STEPS: usize = 1 << 17;
    const CHAINS: usize = 12;
    let a = black_box(_mm256_set1_ps(0.5));
    let mut sums = [a; CHAINS];
    for _ in 0..STEPS {
        for sum in &mut sums {
            *sum = _mm256_fmadd_ps(*sum, a, a);
        }
    }
    black_box(sums);
    (STEPS * CHAINS * 8) as f64
}

#[derive(Clone, Copy)]
pub(crate) struct Avx2;

/// Four activations, in every row's place.
#[inline(always)]
unsafe fn broadcast(a: *const i8, step: usize) -> __m256i {
    // SAFETY: four bytes at `a + 4 * step` are readable, by the callers' promise.
    unsafe { _mm256_set1_epi32(a.cast::<i32>().add(step).read_unaligned()) }
}

/// Adds neighbouring 16-bit sums, each times `factor`, into 32 bits.
#[inline(always)]
unsafe fn widen(sums: __m256i, factor: i16) -> __m256i {
    // SAFETY: features by the callers' promise.
    unsafe { _mm256_madd_epi16(sums, _mm256_set1_epi16(factor)) }
}

/// One run of products whose 16-bit sums cannot overflow.
#[inline(always)]
unsafe fn chain(w: &[__m256i], a: *const i8, first_step: usize) -> __m256i {
    // SAFETY: as above.
    unsafe {
        let mut sums = _mm256_maddubs_epi16(w[0], broadcast(a, first_step));
        for (i, &w) in w.iter().enumerate().skip(1) {
            let products = _mm256_maddubs_epi16(w, broadcast(a, first_step + i));
            sums = _mm256_add_epi16(sums, products);
        }
        sums
    }
}

/// Exact products of one panel's quants.
#[inline(always)]
unsafe fn dot<const BITS: usize, const N: usize>(w: &[__m256i; N], a: *const i8) -> __m256i {
    // SAFETY: as above.
    unsafe {
        match BITS {
            4 => widen(chain(w, a, 0), 1),
            8 => {
                let (mut low, mut high) = (*w, *w);
                for (low, high) in low.iter_mut().zip(&mut high) {
                    (*low, *high) = (Avx2::and(*low, 15), Avx2::and(Avx2::shr::<4>(*high), 15));
                }
                let (low, high) = (chain(&low, a, 0), chain(&high, a, 0));
                _mm256_add_epi32(widen(low, 1), widen(high, 16))
            }
            _ => {
                let len = if BITS == 5 { 4 } else { 2 };
                let mut sum = widen(chain(&w[..len], a, 0), 1);
                let mut step = len;
                while step < N {
                    let part = widen(chain(&w[step..step + len], a, step), 1);
                    sum = _mm256_add_epi32(sum, part);
                    step += len;
                }
                sum
            }
        }
    }
}

impl Simd for Avx2 {
    const LANES: usize = 8;
    const PAIRS: bool = false;
    type F = __m256;
    type B = __m256i;
    type I = __m256i;

    #[inline(always)]
    unsafe fn prefetch(p: *const u8) {
        // SAFETY: a hint; it reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
    }
    #[inline(always)]
    unsafe fn bytes(p: *const u8) -> __m256i {
        // SAFETY: 32 bytes are readable, by the caller's promise; so for all loads below.
        unsafe { _mm256_loadu_si256(p.cast()) }
    }
    #[inline(always)]
    unsafe fn and(b: __m256i, mask: u8) -> __m256i {
        // SAFETY: features by the caller's promise; so for all of these.
        unsafe { _mm256_and_si256(b, _mm256_set1_epi8(mask as i8)) }
    }
    #[inline(always)]
    unsafe fn or(a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: features.
        unsafe { _mm256_or_si256(a, b) }
    }
    #[inline(always)]
    unsafe fn shl<const N: u32>(b: __m256i) -> __m256i {
        // SAFETY: features.
        unsafe { _mm256_sll_epi16(b, _mm_cvtsi32_si128(N as i32)) }
    }
    #[inline(always)]
    unsafe fn shr<const N: u32>(b: __m256i) -> __m256i {
        // SAFETY: features.
        unsafe { _mm256_srl_epi16(b, _mm_cvtsi32_si128(N as i32)) }
    }
    #[inline(always)]
    unsafe fn look_up(table: &[u8; 16], b: __m256i) -> __m256i {
        // SAFETY: features, and a load of sixteen bytes.
        unsafe {
            let table = _mm_loadu_si128(table.as_ptr().cast());
            _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), b)
        }
    }

    #[inline(always)]
    unsafe fn dots<const BITS: usize, const STEPS: usize, const N: usize, const T: usize>(
        w: [&[__m256i; STEPS]; N],
        a: [*const i8; T],
        starts: [*const i32; T],
    ) -> [[__m256i; N]; T] {
        // SAFETY: features, and `4 * STEPS` activations, by the caller's promise.
        unsafe {
            let mut sums = [[_mm256_setzero_si256(); N]; T];
            for (i, sums) in sums.iter_mut().enumerate() {
                for (sum, w) in sums.iter_mut().zip(w) {
                    let start = _mm256_set1_epi32(*starts[i]);
                    *sum = _mm256_add_epi32(start, dot::<BITS, STEPS>(w, a[i]));
                }
            }
            sums
        }
    }

    #[inline(always)]
    unsafe fn join(high: __m256i, low: __m256i) -> __m256i {
        // SAFETY: features.
        unsafe { _mm256_add_epi32(_mm256_slli_epi32::<8>(high), low) }
    }

    #[inline(always)]
    unsafe fn zero() -> __m256 {
        // SAFETY: features.
        unsafe { _mm256_setzero_ps() }
    }
    #[inline(always)]
    unsafe fn splat(v: f32) -> __m256 {
        // SAFETY: features.
        unsafe { _mm256_set1_ps(v) }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> __m256 {
        // SAFETY: a load.
        unsafe { _mm256_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: __m256) {
        // SAFETY: eight floats are writable, by the caller's promise.
        unsafe { _mm256_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn halves(p: *const u8) -> __m256 {
        // SAFETY: a load.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(p.cast())) }
    }
    #[inline(always)]
    unsafe fn bfloats(p: *const u8) -> __m256 {
        // SAFETY: a load.
        unsafe {
            let bits = _mm256_cvtepu16_epi32(_mm_loadu_si128(p.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(bits))
        }
    }
    #[inline(always)]
    unsafe fn signed_bytes(p: *const u8) -> __m256i {
        // SAFETY: a load.
        unsafe { _mm256_cvtepi8_epi32(_mm_loadl_epi64(p.cast())) }
    }
    #[inline(always)]
    unsafe fn splat_integer(v: i32) -> __m256i {
        // SAFETY: features.
        unsafe { _mm256_set1_epi32(v) }
    }
    #[inline(always)]
    unsafe fn load_integers(p: *const i32) -> __m256i {
        // SAFETY: a load.
        unsafe { _mm256_loadu_si256(p.cast()) }
    }
    #[inline(always)]
    unsafe fn store_integers(p: *mut i32, v: __m256i) {
        // SAFETY: eight integers are writable, by the caller's promise.
        unsafe { _mm256_storeu_si256(p.cast(), v) }
    }
    #[inline(always)]
    unsafe fn add_integers(a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: features.
        unsafe { _mm256_add_epi32(a, b) }
    }
    #[inline(always)]
    unsafe fn multiply_add(a: __m256i, b: __m256i, c: __m256i) -> __m256i {
        // SAFETY: features.
        unsafe { _mm256_add_epi32(_mm256_mullo_epi32(a, b), c) }
    }
    #[inline(always)]
    unsafe fn pairs(first: __m256i, second: __m256i) -> __m256i {
        // SAFETY: features.
        unsafe { _mm256_blend_epi16::<0xaa>(first, _mm256_slli_epi32::<16>(second)) }
    }
    #[inline(always)]
    unsafe fn dot_pairs(sum: __m256i, w: __m256i, a: *const [i16; 2]) -> __m256i {
        // SAFETY: features, and a pair at `a`, by the caller's promise.
        unsafe {
            let a = _mm256_set1_epi32(a.cast::<i32>().read_unaligned());
            _mm256_add_epi32(sum, _mm256_madd_epi16(w, a))
        }
    }
    #[inline(always)]
    unsafe fn to_f32(v: __m256i) -> __m256 {
        // SAFETY: features.
        unsafe { _mm256_cvtepi32_ps(v) }
    }
    #[inline(always)]
    unsafe fn mul(a: __m256, b: __m256) -> __m256 {
        // SAFETY: features.
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: features.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
}

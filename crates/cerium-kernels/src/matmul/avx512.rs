//! AVX-512 with VNNI: sixteen rows, and four products of bytes added into 32 bits at once.

use super::simd::{self, Simd};
use crate::activations::Activations;
use crate::pack::{Layout, PANEL};
use std::arch::x86_64::*;
use std::hint::black_box;

/// See [`super::scalar::panels`].
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn panels<L: Layout>(
    panels: &[u8],
    x: &Activations,
    first_token: usize,
    sums: &mut [[f32; PANEL]],
) {
    // SAFETY: this function enables the features.
    unsafe { simd::panels::<Avx512, L>(panels, x, first_token, sums) }
}

/// Products of bytes in as many chains as hide their latency; returns the multiply-accumulates.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn peak() -> f64 {
    const STEPS: usize = 1 << 17;
    const CHAINS: usize = 16;
    let (w, a) = black_box((_mm512_set1_epi8(3), _mm512_set1_epi8(-2)));
    let mut sums = [_mm512_setzero_si512(); CHAINS];
    for _ in 0..STEPS {
        for sum in &mut sums {
            *sum = _mm512_dpbusd_epi32(*sum, w, a);
        }
    }
    black_box(sums);
    (STEPS * CHAINS * 64) as f64
}

/// The same of f32.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn float_peak() -> f64 {
    const STEPS: usize = 1 << 17;
    const CHAINS: usize = 16;
    let a = black_box(_mm512_set1_ps(0.5));
    let mut sums = [a; CHAINS];
    for _ in 0..STEPS {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ps(*sum, a, a);
        }
    }
    black_box(sums);
    (STEPS * CHAINS * 16) as f64
}

#[derive(Clone, Copy)]
pub(crate) struct Avx512;

impl Simd for Avx512 {
    const LANES: usize = 16;
    const PAIRS: bool = true;
    type F = __m512;
    type B = __m512i;
    type I = __m512i;

    #[inline(always)]
    unsafe fn prefetch(p: *const u8) {
        // SAFETY: a hint; it reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
    }
    #[inline(always)]
    unsafe fn bytes(p: *const u8) -> __m512i {
        // SAFETY: 64 bytes are readable, by the caller's promise; so for all loads below.
        unsafe { _mm512_loadu_si512(p.cast()) }
    }
    #[inline(always)]
    unsafe fn and(b: __m512i, mask: u8) -> __m512i {
        // SAFETY: features by the caller's promise; so for all of these.
        unsafe { _mm512_and_si512(b, _mm512_set1_epi8(mask as i8)) }
    }
    #[inline(always)]
    unsafe fn or(a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: features.
        unsafe { _mm512_or_si512(a, b) }
    }
    #[inline(always)]
    unsafe fn shl<const N: u32>(b: __m512i) -> __m512i {
        // SAFETY: features.
        unsafe { _mm512_slli_epi16::<N>(b) }
    }
    #[inline(always)]
    unsafe fn shr<const N: u32>(b: __m512i) -> __m512i {
        // SAFETY: features.
        unsafe { _mm512_srli_epi16::<N>(b) }
    }
    #[inline(always)]
    unsafe fn look_up(table: &[u8; 16], b: __m512i) -> __m512i {
        // SAFETY: features, and a load of sixteen bytes.
        unsafe {
            let table = _mm_loadu_si128(table.as_ptr().cast());
            _mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), b)
        }
    }

    #[inline(always)]
    unsafe fn dots<const BITS: usize, const STEPS: usize, const N: usize, const T: usize>(
        w: [&[__m512i; STEPS]; N],
        a: [*const i8; T],
        starts: [*const i32; T],
    ) -> [[__m512i; N]; T] {
        // SAFETY: features, and `4 * STEPS` activations, by the caller's promise.
        unsafe {
            let mut sums = [[_mm512_setzero_si512(); N]; T];
            for (sums, start) in sums.iter_mut().zip(starts) {
                *sums = [_mm512_set1_epi32(*start); N];
            }
            for step in 0..STEPS {
                for (sums, a) in sums.iter_mut().zip(a) {
                    let a = _mm512_set1_epi32(a.cast::<i32>().add(step).read_unaligned());
                    for (sum, w) in sums.iter_mut().zip(w) {
                        *sum = _mm512_dpbusd_epi32(*sum, w[step], a);
                    }
                }
            }
            sums
        }
    }

    #[inline(always)]
    unsafe fn join(high: __m512i, low: __m512i) -> __m512i {
        // SAFETY: features.
        unsafe { _mm512_add_epi32(_mm512_slli_epi32::<8>(high), low) }
    }

    #[inline(always)]
    unsafe fn zero() -> __m512 {
        // SAFETY: features.
        unsafe { _mm512_setzero_ps() }
    }
    #[inline(always)]
    unsafe fn splat(v: f32) -> __m512 {
        // SAFETY: features.
        unsafe { _mm512_set1_ps(v) }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> __m512 {
        // SAFETY: a load.
        unsafe { _mm512_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: __m512) {
        // SAFETY: sixteen floats are writable, by the caller's promise.
        unsafe { _mm512_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn halves(p: *const u8) -> __m512 {
        // SAFETY: a load.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(p.cast())) }
    }
    #[inline(always)]
    unsafe fn bfloats(p: *const u8) -> __m512 {
        // SAFETY: a load.
        unsafe {
            let bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256(p.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(bits))
        }
    }
    #[inline(always)]
    unsafe fn signed_bytes(p: *const u8) -> __m512i {
        // SAFETY: a load.
        unsafe { _mm512_cvtepi8_epi32(_mm_loadu_si128(p.cast())) }
    }
    #[inline(always)]
    unsafe fn splat_integer(v: i32) -> __m512i {
        // SAFETY: features.
        unsafe { _mm512_set1_epi32(v) }
    }
    #[inline(always)]
    unsafe fn load_integers(p: *const i32) -> __m512i {
        // SAFETY: a load.
        unsafe { _mm512_loadu_si512(p.cast()) }
    }
    #[inline(always)]
    unsafe fn store_integers(p: *mut i32, v: __m512i) {
        // SAFETY: sixteen integers are writable, by the caller's promise.
        unsafe { _mm512_storeu_si512(p.cast(), v) }
    }
    #[inline(always)]
    unsafe fn add_integers(a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: features.
        unsafe { _mm512_add_epi32(a, b) }
    }
    #[inline(always)]
    unsafe fn multiply_add(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
        // SAFETY: features.
        unsafe { _mm512_add_epi32(_mm512_mullo_epi32(a, b), c) }
    }
    #[inline(always)]
    unsafe fn pairs(first: __m512i, second: __m512i) -> __m512i {
        // SAFETY: features.
        unsafe {
            let first = _mm512_and_si512(first, _mm512_set1_epi32(0xffff));
            _mm512_or_si512(first, _mm512_slli_epi32::<16>(second))
        }
    }
    #[inline(always)]
    unsafe fn dot_pairs(sum: __m512i, w: __m512i, a: *const [i16; 2]) -> __m512i {
        // SAFETY: features, and a pair at `a`, by the caller's promise.
        unsafe {
            let a = _mm512_set1_epi32(a.cast::<i32>().read_unaligned());
            _mm512_dpwssd_epi32(sum, w, a)
        }
    }
    #[inline(always)]
    unsafe fn to_f32(v: __m512i) -> __m512 {
        // SAFETY: features.
        unsafe { _mm512_cvtepi32_ps(v) }
    }
    #[inline(always)]
    unsafe fn mul(a: __m512, b: __m512) -> __m512 {
        // SAFETY: features.
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: features.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
}

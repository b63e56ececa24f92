//! AVX2: pairs of words at once, for eight queries.

use crate::attention::lanes::Lanes;
use std::arch::x86_64::*;

/// Rows whose sums stay in registers.
const ROWS: usize = 4;

/// See [`super::products`].
///
/// # Safety
/// `left` has a row of `2 * right.len()` words for each of `out`, in each plane.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn words<const N: usize>(
    left: [&[i16]; N],
    right: [&[Lanes<u32>]; N],
    out: &mut [Lanes<i32>],
) {
    let n_pairs = right[0].len();
    let mut chunks = out.chunks_exact_mut(ROWS);
    let mut row = 0;
    for out in &mut chunks {
        let mut sums = [[_mm256_setzero_si256(); 2]; ROWS];
        for plane in 0..N {
            let left = left[plane].as_ptr().cast::<i32>().wrapping_add(row * n_pairs);
            for (i, right) in right[plane].iter().enumerate() {
                // SAFETY: a line holds two registers; `left` by the caller's promise.
                unsafe {
                    let right = right.0.as_ptr().cast::<__m256i>();
                    let (low, high) = (_mm256_load_si256(right), _mm256_load_si256(right.add(1)));
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let pair = left.add(r * n_pairs + i).read_unaligned();
                        let pair = _mm256_set1_epi32(pair);
                        sums[0] = _mm256_add_epi32(sums[0], _mm256_madd_epi16(low, pair));
                        sums[1] = _mm256_add_epi32(sums[1], _mm256_madd_epi16(high, pair));
                    }
                }
            }
        }
        for (out, sums) in out.iter_mut().zip(sums) {
            let out = out.0.as_mut_ptr().cast::<__m256i>();
            // SAFETY: as above.
            unsafe {
                _mm256_store_si256(out, sums[0]);
                _mm256_store_si256(out.add(1), sums[1]);
            }
        }
        row += ROWS;
    }
    debug_assert!(chunks.into_remainder().is_empty(), "rows by four");
}

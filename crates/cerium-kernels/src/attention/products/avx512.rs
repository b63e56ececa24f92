//! AVX-512 VNNI: pairs of words at once, for all sixteen queries.

use crate::attention::lanes::Lanes;
use std::arch::x86_64::*;

/// Rows whose sums stay in registers; each of them is a load that a product takes in.
const ROWS: usize = 8;

/// See [`super::products`].
///
/// # Safety
/// `left` has a row of `2 * right.len()` words for each of `out`, in each plane.
#[target_feature(enable = "avx512f,avx512vnni")]
pub(super) unsafe fn words<const N: usize>(
    left: [&[i16]; N],
    right: [&[Lanes<u32>]; N],
    out: &mut [Lanes<i32>],
) {
    let n_pairs = right[0].len();
    let mut chunks = out.chunks_exact_mut(ROWS);
    let mut row = 0;
    for out in &mut chunks {
        let mut sums = [_mm512_setzero_si512(); ROWS];
        for plane in 0..N {
            let left = left[plane].as_ptr().cast::<i32>().wrapping_add(row * n_pairs);
            for (i, right) in right[plane].iter().enumerate() {
                // SAFETY: a line holds a register; `left` by the caller's promise.
                unsafe {
                    let right = _mm512_load_si512(right.0.as_ptr().cast());
                    for (r, sum) in sums.iter_mut().enumerate() {
                        let pair = left.add(r * n_pairs + i).read_unaligned();
                        *sum = _mm512_dpwssd_epi32(*sum, right, _mm512_set1_epi32(pair));
                    }
                }
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            // SAFETY: as above.
            unsafe { _mm512_store_si512(out.0.as_mut_ptr().cast(), sum) };
        }
        row += ROWS;
    }
    debug_assert!(chunks.into_remainder().is_empty(), "rows by eight");
}

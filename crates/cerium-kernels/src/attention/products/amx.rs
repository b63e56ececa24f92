//! AMX: sixteen rows with sixteen queries over 64 values in one instruction.
//!
//! High bytes with high ones are summed apart from the products that count 256 times less, in two
//! registers for each of two blocks of rows.

use crate::attention::lanes::Lanes;
use crate::tiles::{Results, clear, load, multiply, store};
use std::arch::x86_64::*;

/// Rows of a register.
const ROWS: usize = 16;

/// See [`super::products`].
///
/// # Safety
/// Tiles are configured. `high`, and `low` unless it is empty, have a row of `2 * right.len()` bytes for
/// each of `out`, and whole blocks of 16 rows; `room` is as long as `out`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) unsafe fn products(
    high: &[i8],
    low: &[i8],
    right: &[Lanes<u32>],
    room: &mut [Lanes<i32>],
    out: &mut [Lanes<i32>],
) {
    let inner = 2 * right.len();
    let n_steps = inner / 64;
    let second = right.len() / 2;
    for row in (0..out.len()).step_by(2 * ROWS) {
        let is_pair = row + ROWS < out.len();
        // SAFETY: the caller's promise; the second block of rows is touched only where there is one.
        unsafe {
            clear::<0>();
            clear::<1>();
            clear::<2>();
            clear::<3>();
            for step in 0..n_steps {
                let at = row * inner + 64 * step;
                load::<6>(right.as_ptr().add(16 * step).cast(), 64);
                load::<7>(right.as_ptr().add(second + 16 * step).cast(), 64);
                load::<4>(high.as_ptr().add(at).cast(), inner);
                multiply::<0, 4, 6>();
                multiply::<1, 4, 7>();
                if is_pair {
                    load::<5>(high.as_ptr().add(at + ROWS * inner).cast(), inner);
                    multiply::<2, 5, 6>();
                    multiply::<3, 5, 7>();
                }
                if !low.is_empty() {
                    load::<4>(low.as_ptr().add(at).cast(), inner);
                    multiply::<1, 4, 6>();
                    if is_pair {
                        load::<5>(low.as_ptr().add(at + ROWS * inner).cast(), inner);
                        multiply::<3, 5, 6>();
                    }
                }
            }
            store::<0>(results(room, row));
            store::<1>(results(out, row));
            if is_pair {
                store::<2>(results(room, row + ROWS));
                store::<3>(results(out, row + ROWS));
            }
        }
    }
    for (out, high) in out.iter_mut().zip(room) {
        // SAFETY: a line is a register.
        unsafe {
            let out = out.0.as_mut_ptr().cast();
            let high = _mm512_slli_epi32::<8>(_mm512_load_si512(high.0.as_ptr().cast()));
            _mm512_store_si512(out, _mm512_add_epi32(_mm512_load_si512(out), high));
        }
    }
}

/// Sixteen lines as a register's results.
///
/// # Safety
/// There are sixteen from `row` on.
#[inline(always)]
unsafe fn results(lines: &mut [Lanes<i32>], row: usize) -> &mut Results {
    // SAFETY: both are sixteen times sixteen integers at a cache line.
    unsafe { &mut *lines.as_mut_ptr().add(row).cast() }
}

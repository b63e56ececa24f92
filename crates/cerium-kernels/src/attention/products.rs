//! Products of integers: rows of keys or values with sixteen queries or their weights. Every path gives
//! the same integers.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(super) mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

use super::lanes::{LANES, Lanes};
use super::operand::Left;
use crate::cpu::{Cpu, Isa};

/// `out[row] = sum over inner of left[row] * right`, as `operand` says.
///
/// * `right`: planes of `inner` values
/// * `room`: as long as `out`
///
/// # Panics
/// If lengths do not fit, or `left` is not of the path's form.
pub(super) fn products(
    cpu: Cpu,
    left: Left<'_>,
    right: &[Lanes<u32>],
    room: &mut [Lanes<i32>],
    out: &mut [Lanes<i32>],
) {
    match left {
        Left::Words(first, []) => words(cpu, [first], [right], out),
        Left::Words(first, second) => {
            let (high, low) = right.split_at(right.len() / 2);
            words(cpu, [first, second], [high, low], out);
        }
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        Left::Bytes(high, low) => {
            assert!(cpu.0 == Isa::Amx, "bytes are for tiles");
            let inner = 2 * right.len();
            assert!(inner.is_multiple_of(64) && out.len().is_multiple_of(16), "whole tiles");
            assert!(high.len() == out.len() * inner && room.len() == out.len(), "shapes");
            assert!(low.is_empty() || low.len() == high.len(), "planes");
            // SAFETY: the path was detected, the caller has configured the tiles
            // (`amx::Tiles` lives), and the shapes were checked.
            unsafe { amx::products(high, low, right, room, out) }
        }
        #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
        Left::Bytes(..) => unreachable!("bytes are for tiles"),
    }
}

/// The sum of `N` products of words.
fn words<const N: usize>(
    cpu: Cpu,
    left: [&[i16]; N],
    right: [&[Lanes<u32>]; N],
    out: &mut [Lanes<i32>],
) {
    let inner = 2 * right[0].len();
    for (left, right) in left.iter().zip(right) {
        assert!(left.len() == out.len() * inner && 2 * right.len() == inner, "shapes");
    }
    match cpu.0 {
        // SAFETY: `available` makes this value only after detecting AVX2; shapes were checked.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { avx2::words(left, right, out) },
        // SAFETY: as above, with AVX-512 VNNI.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512Vnni => unsafe { avx512::words(left, right, out) },
        _ => scalar(left, right, out),
    }
}

/// The definition.
fn scalar<const N: usize>(left: [&[i16]; N], right: [&[Lanes<u32>]; N], out: &mut [Lanes<i32>]) {
    out.fill(Lanes::splat(0));
    for (left, right) in left.iter().zip(right) {
        for (row, out) in left.chunks_exact(2 * right.len()).zip(&mut *out) {
            for (pair, right) in row.as_chunks::<2>().0.iter().zip(right) {
                for lane in 0..LANES {
                    let word = right.0[lane];
                    let (first, second) = (word as i16, (word >> 16) as i16);
                    out.0[lane] += i32::from(pair[0]) * i32::from(first)
                        + i32::from(pair[1]) * i32::from(second);
                }
            }
        }
    }
}

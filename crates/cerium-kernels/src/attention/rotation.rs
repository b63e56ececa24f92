//! Keys spread before they are stored in 8 bits.
//!
//! Keys of some models have a few features that are far greater than all others, and a step for such a
//! key is too coarse for the rest of it. A Hadamard transform adds and subtracts every feature to and
//! from every other: what was in one is in all of them, and products of keys with queries that were
//! transformed alike are the same but for a factor.

use crate::cpu::{Cpu, per_isa};

/// Features that are transformed together: the greatest power of two that divides the head's.
pub(super) fn width(head_dim: usize) -> usize {
    1 << head_dim.trailing_zeros()
}

/// Transforms a head's features; products of two transformed heads are [`width`] times as great.
pub(super) fn spread(cpu: Cpu, head: &mut [f32]) {
    per_isa!(cpu, spread_body(head: &mut [f32]));
}

#[inline(always)]
fn spread_body(head: &mut [f32]) {
    let width = width(head.len());
    let mut half = 1;
    while half < width {
        for pair in head.chunks_exact_mut(2 * half) {
            let (low, high) = pair.split_at_mut(half);
            for (a, b) in low.iter_mut().zip(high) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
}

//! The softmax of sixteen queries at once, a page at a time, and how parts of it are merged.
//!
//! Scores count powers of two, so that one exponential serves. A state holds a softmax so far: the
//! greatest score, the sum of `2^(score - greatest)`, and the values weighted with the same.

use super::PAGE;
use super::lanes::{LANES, Lanes};
use super::operand::{MAGIC, pack_weights};
use super::page::{STEPS, inverse};
use super::{Form, KvFormat};
use crate::cpu::{Cpu, Isa, per_isa};

/// Lines of a state before the weighted values.
pub(super) const HEADER: usize = 2;

/// Smaller powers than `2^LOWEST` count as that: it is nothing beside a sum of at least 1.
const LOWEST: f32 = -64.0;

/// A polynomial for `2^r`, `|r| <= 1/2`, highest power first: the least greatest relative error, 1.1e-7,
/// of its degree among those that are exact at 0.
#[expect(clippy::approx_constant, reason = "near to ln 2, but not it")]
const POWERS: [f32; 6] =
    [0.001_326_472_7, 0.009_671_513, 0.055_507_336, 0.240_222_42, 0.693_147, 1.0];

/// `2^x` for `x` up to 0.
#[inline(always)]
fn exp2(x: f32) -> f32 {
    let clamped = if x > LOWEST { x } else { LOWEST };
    let rounded = clamped + MAGIC;
    let r = clamped - (rounded - MAGIC);
    let mut p = 0.0;
    for c in POWERS {
        p = r.mul_add(p, c);
    }
    // The low bits of `rounded` are the integer, which belongs into the exponent.
    f32::from_bits(p.to_bits().wrapping_add(rounded.to_bits() << 23))
}

/// A difference of scores, or what stands for it where nothing has been seen yet.
#[inline(always)]
fn base(max: f32) -> f32 {
    if max == f32::NEG_INFINITY { 0.0 } else { max }
}

/// The slots of a page that each query sees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) first: Lanes<i32>,
    pub(super) end: Lanes<i32>,
    /// Whether all queries see all slots.
    pub(super) is_whole: bool,
}

impl Seen {
    /// Of the page's slots, from the positions that queries see; `None` where nobody sees any.
    pub(super) fn of_page((first, end): &(Lanes<i32>, Lanes<i32>), page: usize) -> Option<Self> {
        let start = (page * PAGE) as i32;
        let slot = |pos: i32| (pos - start).clamp(0, PAGE as i32);
        let (first, end) = (Lanes(first.0.map(slot)), Lanes(end.0.map(slot)));
        let lanes = || first.0.iter().zip(end.0);
        let is_whole = lanes().all(|(&first, end)| first == 0 && end == PAGE as i32);
        lanes().any(|(&first, end)| first < end).then_some(Self { first, end, is_whole })
    }
}

/// What the integers of a page's products count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale<'a> {
    pub(super) queries: &'a Lanes<f32>,
    pub(super) keys: &'a [f32; PAGE],
    pub(super) values: &'a [f32; PAGE],
}

/// A page's softmax before its values: see the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    max: Lanes<f32>,
    sum: Lanes<f32>,
    /// What the integers of the weighted values count.
    step: Lanes<f32>,
}

/// From integer products to weights, ready for the product with values.
///
/// * `products`: `[PAGE]`, keys with queries
/// * `scores`: `[PAGE]`, room to work in
/// * `weights`: the operand that is written
pub(super) fn softmax(
    cpu: Cpu,
    form: (Form, KvFormat),
    products: &[Lanes<i32>; PAGE],
    scale: Scale<'_>,
    seen: &Seen,
    scores: &mut [Lanes<f32>; PAGE],
    weights: &mut [Lanes<u32>],
) -> Part {
    per_isa!(cpu, softmax_body(
        form: (Form, KvFormat),
        products: &[Lanes<i32>; PAGE],
        scale: Scale<'_>,
        seen: &Seen,
        scores: &mut [Lanes<f32>; PAGE],
        weights: &mut [Lanes<u32>],
    ) -> Part)
}

#[inline(always)]
fn softmax_body(
    (form, format): (Form, KvFormat),
    products: &[Lanes<i32>; PAGE],
    scale: Scale<'_>,
    seen: &Seen,
    scores: &mut [Lanes<f32>; PAGE],
    weights: &mut [Lanes<u32>],
) -> Part {
    // Lines are copied before their lanes are used: of lanes that could overlap compilers make no
    // registers.
    let (factors, first, end) = (*scale.queries, seen.first, seen.end);
    let mut max = Lanes::splat(f32::NEG_INFINITY);
    for slot in 0..PAGE {
        let (product, mut score) = (products[slot], max);
        for lane in 0..LANES {
            score.0[lane] = product.0[lane] as f32 * scale.keys[slot] * factors.0[lane];
        }
        if !seen.is_whole {
            for lane in 0..LANES {
                let is_seen = first.0[lane] <= slot as i32 && (slot as i32) < end.0[lane];
                score.0[lane] = if is_seen { score.0[lane] } else { f32::NEG_INFINITY };
            }
        }
        for lane in 0..LANES {
            let greater = score.0[lane] > max.0[lane];
            max.0[lane] = if greater { score.0[lane] } else { max.0[lane] };
        }
        scores[slot] = score;
    }
    let mut bases = max;
    for lane in 0..LANES {
        bases.0[lane] = base(max.0[lane]);
    }
    // Four sums of every fourth slot.
    let mut sums = [Lanes::splat(0.0f32); 4];
    let mut greatest = Lanes::splat(0.0f32);
    for (scores, steps) in
        scores.as_chunks_mut::<4>().0.iter_mut().zip(scale.values.as_chunks::<4>().0)
    {
        for i in 0..4 {
            let mut weight = scores[i];
            for lane in 0..LANES {
                let score = weight.0[lane];
                let mut power = exp2(score - bases.0[lane]);
                if !seen.is_whole {
                    power = if score == f32::NEG_INFINITY { 0.0 } else { power };
                }
                sums[i].0[lane] += power;
                weight.0[lane] = power * steps[i];
                let max = greatest.0[lane];
                greatest.0[lane] = if weight.0[lane] > max { weight.0[lane] } else { max };
            }
            scores[i] = weight;
        }
    }
    let (mut sum, mut step, mut inverses) = (max, max, max);
    for lane in 0..LANES {
        sum.0[lane] = sums[0].0[lane] + sums[1].0[lane] + (sums[2].0[lane] + sums[3].0[lane]);
        step.0[lane] = greatest.0[lane] / STEPS;
        inverses.0[lane] = inverse(step.0[lane]);
        step.0[lane] *= 256.0;
    }
    pack_weights(form, format, scores, &inverses, weights);
    Part { max, sum, step }
}

/// An empty state for heads of `dim` features.
pub(super) fn clear(state: &mut [Lanes<f32>]) {
    state.fill(Lanes::splat(0.0));
    state[0] = Lanes::splat(f32::NEG_INFINITY);
}

/// Adds a page to a state; `values` are the integers of its weighted values, `[head_dim]`.
pub(super) fn merge_page(cpu: Cpu, state: &mut [Lanes<f32>], part: &Part, values: &[Lanes<i32>]) {
    let (header, sums) = state.split_at_mut(HEADER);
    let mut factors = merge_header(cpu, header, &part.max, &part.sum);
    for (take, step) in factors.take.0.iter_mut().zip(part.step.0) {
        *take *= step;
    }
    add(cpu, &factors, values, sums);
}

/// Adds a state to another.
pub(super) fn merge(cpu: Cpu, state: &mut [Lanes<f32>], from: &[Lanes<f32>]) {
    let (header, sums) = state.split_at_mut(HEADER);
    let factors = merge_header(cpu, header, &from[0], &from[1]);
    add(cpu, &factors, &from[HEADER..], sums);
}

/// What the weighted values of both are multiplied with when states are merged.
#[derive(Clone, Copy, Debug)]
struct Factors {
    keep: Lanes<f32>,
    take: Lanes<f32>,
}

/// Merges what states begin with.
fn merge_header(
    cpu: Cpu,
    header: &mut [Lanes<f32>],
    max: &Lanes<f32>,
    sum: &Lanes<f32>,
) -> Factors {
    per_isa!(cpu, merge_header_body(
        header: &mut [Lanes<f32>],
        max: &Lanes<f32>,
        sum: &Lanes<f32>,
    ) -> Factors)
}

#[inline(always)]
fn merge_header_body(header: &mut [Lanes<f32>], max: &Lanes<f32>, sum: &Lanes<f32>) -> Factors {
    let (mut keep, mut take) = (*max, *max);
    let (mut greatest, mut total) = (header[0], header[1]);
    for lane in 0..LANES {
        let (old, new) = (greatest.0[lane], max.0[lane]);
        let greater = if new > old { new } else { old };
        keep.0[lane] = exp2(old - base(greater));
        take.0[lane] = exp2(new - base(greater));
        greatest.0[lane] = greater;
        total.0[lane] = sum.0[lane].mul_add(take.0[lane], total.0[lane] * keep.0[lane]);
    }
    (header[0], header[1]) = (greatest, total);
    Factors { keep, take }
}

/// Integers or floats.
trait Value: Copy {
    const IS_INTEGER: bool;
    fn to_f32(self) -> f32;
}

impl Value for i32 {
    const IS_INTEGER: bool = true;
    fn to_f32(self) -> f32 {
        self as f32
    }
}

impl Value for f32 {
    const IS_INTEGER: bool = false;
    fn to_f32(self) -> f32 {
        self
    }
}

/// `sums = values * take + sums * keep`
fn add<V: Value>(cpu: Cpu, factors: &Factors, values: &[Lanes<V>], sums: &mut [Lanes<f32>]) {
    assert_eq!(values.len(), sums.len(), "features");
    match cpu.0 {
        // SAFETY: `available` makes these values only after detecting the features.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512Vnni => unsafe { add_avx512(factors, values, sums) },
        // SAFETY: AMX is only taken where AVX-512 was detected.
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        Isa::Amx => unsafe { add_avx512(factors, values, sums) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { add_avx2(factors, values, sums) },
        Isa::Scalar => add_scalar(factors, values, sums),
    }
}

#[inline(always)]
fn add_scalar<V: Value>(factors: &Factors, values: &[Lanes<V>], sums: &mut [Lanes<f32>]) {
    for (sum, value) in sums.iter_mut().zip(values) {
        for lane in 0..LANES {
            let kept = sum.0[lane] * factors.keep.0[lane];
            sum.0[lane] = value.0[lane].to_f32().mul_add(factors.take.0[lane], kept);
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn add_avx2<V: Value>(factors: &Factors, values: &[Lanes<V>], sums: &mut [Lanes<f32>]) {
    add_scalar(factors, values, sums);
}

/// Written out, because compilers make gathers of the plain loop.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn add_avx512<V: Value>(factors: &Factors, values: &[Lanes<V>], sums: &mut [Lanes<f32>]) {
    use std::arch::x86_64::*;
    // SAFETY: lines are registers.
    unsafe {
        let keep = _mm512_load_ps(factors.keep.0.as_ptr());
        let take = _mm512_load_ps(factors.take.0.as_ptr());
        for (sum, value) in sums.iter_mut().zip(values) {
            let value = if V::IS_INTEGER {
                _mm512_cvtepi32_ps(_mm512_load_si512(value.0.as_ptr().cast()))
            } else {
                _mm512_load_ps(value.0.as_ptr().cast())
            };
            let kept = _mm512_mul_ps(_mm512_load_ps(sum.0.as_ptr()), keep);
            _mm512_store_ps(sum.0.as_mut_ptr(), _mm512_fmadd_ps(value, take, kept));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_close_and_end_softly() {
        for i in 0..64_000 {
            let x = -i as f32 / 1000.0;
            let error = (f64::from(exp2(x)) / f64::from(x).exp2() - 1.0).abs();
            assert!(error < 2.5e-7, "2^{x} is off by {error}");
        }
        assert_eq!(exp2(0.0).to_bits(), 1.0f32.to_bits());
        assert_eq!(exp2(f32::NEG_INFINITY), exp2(-64.0));
        assert!(exp2(f32::NAN) < 1e-19);
    }
}

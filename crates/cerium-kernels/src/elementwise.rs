//! The small operations between matrix products, each on one row.
//!
//! Plain loops with a fixed order of operations, compiled once per instruction set: sums run in 16
//! lanes that are folded at the end, so that every path and every vector width gives the same bits.

use crate::cpu::{Cpu, per_isa};

/// Lanes of a sum.
const LANES: usize = 16;

/// `row[i] *= weight[i] / sqrt(mean(row^2) + eps)`, for every run of a row as long as the weights: the
/// whole row, or each of its heads.
///
/// Source: Zhang and Sennrich 2019.
///
/// # Panics
/// If the row is not whole runs.
pub fn rms_norm(cpu: Cpu, row: &mut [f32], weight: &[f32], eps: f32) {
    assert!(!weight.is_empty() && row.len().is_multiple_of(weight.len()), "whole runs");
    for run in row.chunks_exact_mut(weight.len()) {
        per_isa!(cpu, rms_norm_body(run: &mut [f32], weight: &[f32], eps: f32));
    }
}

#[inline(always)]
fn rms_norm_body(run: &mut [f32], weight: &[f32], eps: f32) {
    let scale = 1.0 / (sum_of_squares(run) / run.len() as f32 + eps).sqrt();
    for (v, w) in run.iter_mut().zip(weight) {
        *v = *v * scale * w;
    }
}

/// `row[i] = (row[i] - mean) / sqrt(variance + eps) * weight[i] + bias[i]`.
///
/// Source: Ba, Kiros and Hinton 2016.
///
/// # Panics
/// If the lengths differ.
pub fn layer_norm(cpu: Cpu, row: &mut [f32], weight: &[f32], bias: &[f32], eps: f32) {
    assert!(row.len() == weight.len() && row.len() == bias.len(), "lengths differ");
    per_isa!(cpu, layer_norm_body(row: &mut [f32], weight: &[f32], bias: &[f32], eps: f32));
}

#[inline(always)]
fn layer_norm_body(row: &mut [f32], weight: &[f32], bias: &[f32], eps: f32) {
    let mut lanes = [0.0f32; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, v) in lanes.iter_mut().zip(chunk) {
            *lane += v;
        }
    }
    for (lane, v) in lanes.iter_mut().zip(rest) {
        *lane += v;
    }
    let mean = fold(lanes) / row.len() as f32;
    for v in &mut *row {
        *v -= mean;
    }
    let scale = 1.0 / (sum_of_squares(row) / row.len() as f32 + eps).sqrt();
    for ((v, w), b) in row.iter_mut().zip(weight).zip(bias) {
        *v = *v * scale * w + b;
    }
}

#[inline(always)]
fn sum_of_squares(values: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, v) in lanes.iter_mut().zip(chunk) {
            *lane = v.mul_add(*v, *lane);
        }
    }
    for (lane, v) in lanes.iter_mut().zip(rest) {
        *lane = v.mul_add(*v, *lane);
    }
    fold(lanes)
}

/// Sums lanes pairwise, in a fixed order.
#[inline(always)]
pub(crate) fn fold(lanes: [f32; LANES]) -> f32 {
    let mut lanes = lanes;
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// `x[i] += y[i]`.
///
/// # Panics
/// If the lengths differ.
pub fn add(cpu: Cpu, x: &mut [f32], y: &[f32]) {
    assert_eq!(x.len(), y.len(), "lengths differ");
    per_isa!(cpu, add_body(x: &mut [f32], y: &[f32]));
}

#[inline(always)]
fn add_body(x: &mut [f32], y: &[f32]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

/// `x[i] += factor * y[i]`, rounded once.
///
/// # Panics
/// If the lengths differ.
pub fn add_scaled(cpu: Cpu, x: &mut [f32], factor: f32, y: &[f32]) {
    assert_eq!(x.len(), y.len(), "lengths differ");
    per_isa!(cpu, add_scaled_body(x: &mut [f32], factor: f32, y: &[f32]));
}

#[inline(always)]
fn add_scaled_body(x: &mut [f32], factor: f32, y: &[f32]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x = factor.mul_add(*y, *x));
}

/// `x = cap * tanh(x / cap)`: values stay below `cap`.
pub fn softcap(cpu: Cpu, x: &mut [f32], cap: f32) {
    per_isa!(cpu, softcap_body(x: &mut [f32], cap: f32));
}

#[inline(always)]
fn softcap_body(x: &mut [f32], cap: f32) {
    for x in x {
        *x = cap * (1.0 - 2.0 / (1.0 + exp(2.0 * *x / cap)));
    }
}

/// How the values of a head are paired for rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RopePairs {
    /// `(i, i + n/2)`: `qwen2` and most others.
    Halves,
    /// `(2i, 2i + 1)`: `llama` files, whose rows were permuted for it.
    Neighbours,
}

/// Rotates the heads of one row by its position, in place.
///
/// * `row`: `[n_heads, head_dim]`
/// * `turn`: cosine and sine of each pair's angle at this position, `[n_rot / 2]`; values beyond
///   `n_rot` stay
///
/// Source: Su et al. 2021, eq. 34.
///
/// # Panics
/// If the row does not hold whole heads or `turn` is longer than half a head.
pub fn rope(cpu: Cpu, row: &mut [f32], head_dim: usize, pairs: RopePairs, turn: &[(f32, f32)]) {
    assert_eq!(row.len() % head_dim, 0, "whole heads");
    assert!(turn.len() * 2 <= head_dim, "more pairs than a head holds");
    per_isa!(cpu, rope_body(row: &mut [f32], head_dim: usize, pairs: RopePairs, turn: &[(f32, f32)]));
}

#[inline(always)]
fn rope_body(row: &mut [f32], head_dim: usize, pairs: RopePairs, turn: &[(f32, f32)]) {
    for head in row.chunks_exact_mut(head_dim) {
        match pairs {
            RopePairs::Halves => {
                let (low, high) = head.split_at_mut(turn.len());
                for ((x, y), (cos, sin)) in low.iter_mut().zip(high).zip(turn) {
                    (*x, *y) = (*x * cos - *y * sin, *x * sin + *y * cos);
                }
            }
            RopePairs::Neighbours => {
                for ([x, y], (cos, sin)) in head.as_chunks_mut::<2>().0.iter_mut().zip(turn) {
                    (*x, *y) = (*x * cos - *y * sin, *x * sin + *y * cos);
                }
            }
        }
    }
}

/// `e^x` to about two units in the last place; 0 below -87, infinite above 88.7.
///
/// The argument is cut into `n * ln 2 + r` with `|r| <= ln 2 / 2`; `e^r` is its Taylor polynomial of
/// degree 7, whose error there is below 2^-27.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0; // Adding 1.5 * 2^23 rounds to an integer.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let low = if x > -88.0 { x } else { -88.0 };
    let clamped = if low < 89.0 { low } else { 89.0 };
    let rounded = clamped.mul_add(std::f32::consts::LOG2_E, MAGIC);
    let (n, n_int) = (rounded - MAGIC, rounded.to_bits() as i32 - MAGIC.to_bits() as i32);
    let r = n.mul_add(-LN2_LOW, n.mul_add(-LN2_HIGH, clamped));
    let mut p = 1.0 / 5040.0;
    for c in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = r.mul_add(p, c);
    }
    // Two steps, so that 2^128 / 2 and the smallest normals are reached without overflow.
    let half = n_int >> 1;
    let power = |n: i32| f32::from_bits(((n + 127) as u32) << 23);
    let value = p * power(half) * power(n_int - half);
    if x < -87.0 { 0.0 } else { value }
}

/// Index of the greatest value, the first of equals; `None` when empty or all NaN.
pub fn argmax(values: &[f32]) -> Option<usize> {
    // Two passes that compilers turn into vectors, instead of one that they cannot.
    let max = max(values);
    values.iter().position(|v| *v == max)
}

/// The greatest value; NaN is none.
#[inline(always)]
fn max(values: &[f32]) -> f32 {
    let greater = |max: f32, v: f32| if v > max { v } else { max };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, v) in lanes.iter_mut().zip(chunk) {
            *lane = greater(*lane, *v);
        }
    }
    lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, greater)
}

/// `ln(sum(e^x))`: the logarithm of a probability is its logit less this.
///
/// Powers are summed in f32 over stretches of 1024 values and in f64 over those, so that it is off by
/// less than 1e-5 for a vocabulary of any size.
pub fn log_sum_exp(cpu: Cpu, values: &[f32]) -> f64 {
    per_isa!(cpu, log_sum_exp_body(values: &[f32]) -> f64)
}

#[inline(always)]
fn log_sum_exp_body(values: &[f32]) -> f64 {
    let max = max(values);
    let mut sum = 0.0;
    for stretch in values.chunks(1024) {
        let mut lanes = [0.0f32; LANES];
        let (chunks, rest) = stretch.as_chunks::<LANES>();
        for chunk in chunks {
            for (lane, v) in lanes.iter_mut().zip(chunk) {
                *lane += exp(v - max);
            }
        }
        for (lane, v) in lanes.iter_mut().zip(rest) {
            *lane += exp(v - max);
        }
        sum += f64::from(fold(lanes));
    }
    f64::from(max) + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_close_over_its_range() {
        for i in -87_000..88_500 {
            let x = i as f32 / 1000.0;
            let want = f64::from(x).exp();
            let error = (f64::from(exp(x)) / want - 1.0).abs();
            assert!(error < 3e-7, "exp({x}) is off by {error}");
        }
        assert_eq!((exp(-1000.0), exp(0.0)), (0.0, 1.0));
        assert!(exp(1000.0).is_infinite() || exp(1000.0) > 1e38);
    }

    #[test]
    fn paths_agree_to_the_bit() {
        let wave =
            |n: usize, f: f32| (0..n).map(|i| (i as f32 * f).sin() * 5.0).collect::<Vec<_>>();
        let (x, w, up) = (wave(899, 0.37), wave(899, 0.11), wave(899, 0.77));
        let turn: Vec<_> = (0..16).map(|i| ((i as f32).cos(), (i as f32).sin())).collect();
        let run = |cpu| {
            let mut normed = x.clone();
            rms_norm(cpu, &mut normed, &w, 1e-6);
            layer_norm(cpu, &mut normed, &w, &up, 1e-5);
            add(cpu, &mut normed, &x);
            add_scaled(cpu, &mut normed, 0.3, &up);
            softcap(cpu, &mut normed, 3.0);
            let mut heads = normed[..64 * 3].to_vec();
            rope(cpu, &mut heads, 64, RopePairs::Halves, &turn);
            rope(cpu, &mut heads, 64, RopePairs::Neighbours, &turn);
            normed.extend(heads);
            normed.push(log_sum_exp(cpu, &x) as f32);
            normed.iter().map(|v| v.to_bits()).collect::<Vec<_>>()
        };
        for cpu in Cpu::available() {
            assert_eq!(run(cpu), run(Cpu::SCALAR), "{}", cpu.name());
        }
    }

    #[test]
    fn norm_and_rotation_are_what_they_say() {
        let close = |got: &[f32], want: &[f64]| {
            assert_eq!(got.len(), want.len());
            for (got, want) in got.iter().zip(want) {
                assert!((f64::from(*got) - want).abs() < 1e-6, "{got} {want}");
            }
        };
        let mut row = [1.0, -2.0, 3.0, -4.0];
        rms_norm(Cpu::best(), &mut row, &[1.0, 1.0, 2.0, 1.0], 0.0);
        close(&row, &[1.0, -2.0, 6.0, -4.0].map(|v| v / 7.5f64.sqrt()));
        let mut heads = [3.0, 4.0, -4.0, 3.0];
        rms_norm(Cpu::best(), &mut heads, &[1.0, 10.0], 0.0);
        close(&heads, &[3.0, 40.0, -4.0, 30.0].map(|v| v / 12.5f64.sqrt()));
        let mut row = [1.0, 3.0, 5.0, 7.0];
        layer_norm(Cpu::best(), &mut row, &[1.0, 1.0, 2.0, 1.0], &[0.0, 1.0, 0.0, 0.0], 0.0);
        let sd = 5.0f64.sqrt();
        close(&row, &[-3.0 / sd, 1.0 - 1.0 / sd, 2.0 / sd, 3.0 / sd]);
        let mut head = [1.0, 2.0, 3.0, 4.0];
        rope(Cpu::best(), &mut head, 4, RopePairs::Halves, &[(0.0, 1.0), (1.0, 0.0)]);
        assert_eq!(head, [-3.0, 2.0, 1.0, 4.0]);
        rope(Cpu::best(), &mut head, 4, RopePairs::Neighbours, &[(0.0, 1.0)]);
        assert_eq!(head, [-2.0, -3.0, 1.0, 4.0]);
    }

    #[test]
    fn a_softcap_is_a_hyperbolic_tangent() {
        for i in -2000..=2000 {
            let x = i as f32 / 20.0;
            let mut got = [x];
            softcap(Cpu::best(), &mut got, 30.0);
            let want = 30.0 * (f64::from(x) / 30.0).tanh();
            assert!((f64::from(got[0]) - want).abs() < 1e-5, "{x}: {} {want}", got[0]);
        }
    }

    #[test]
    fn a_log_sum_of_powers_is_close_for_any_length() {
        for n in [1, 15, 16, 1000, 1025, 151_936] {
            for scale in [0.0f32, 1.0, 30.0] {
                let x: Vec<f32> = (0..n).map(|i| (i as f32 * 0.37).sin() * scale - 7.0).collect();
                let want = x.iter().map(|&x| f64::from(x).exp()).sum::<f64>().ln();
                let got = log_sum_exp(Cpu::best(), &x);
                assert!((got - want).abs() < 1e-5, "{n} values of {scale}: {got} {want}");
            }
        }
    }

    #[test]
    fn argmax_takes_the_first_and_skips_nan() {
        assert_eq!(argmax(&[f32::NAN, 1.0, 3.0, 3.0]), Some(2));
        assert_eq!(argmax(&[f32::NAN, f32::NEG_INFINITY]), Some(1));
        let mut values: Vec<f32> = (0..1000).map(|i| (i % 100) as f32).collect();
        assert_eq!(argmax(&values), Some(99));
        values[998] = 1e9;
        values[17] = f32::NAN;
        assert_eq!(argmax(&values), Some(998));
        assert_eq!(argmax(&[f32::NAN]), None);
        assert_eq!(argmax(&[]), None);
    }
}

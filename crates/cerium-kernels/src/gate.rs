//! The activation functions of feed-forward networks, each on one row.

use crate::cpu::{Cpu, per_isa};
use crate::elementwise::exp;

/// What a gated feed-forward network makes of its gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// `g / (1 + exp(-g)) * up`: `SwiGLU` (Shazeer 2020).
    Silu,
    /// `gelu(g) * up`, by `tanh`.
    Gelu,
    /// `g / (1 + exp(-1.702 g)) * (up + 1)`, where `g` is 7 at most and `up` between -7 and 7: gpt-oss.
    Clamped,
}

/// Applies a gate: `gate` becomes what it lets through of `up`.
///
/// # Panics
/// If the lengths differ.
pub(crate) fn apply_gate(cpu: Cpu, kind: Gate, gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len(), "lengths differ");
    match kind {
        Gate::Silu => per_isa!(cpu, silu_gate_body(gate: &mut [f32], up: &[f32])),
        Gate::Gelu => per_isa!(cpu, gelu_gate_body(gate: &mut [f32], up: &[f32])),
        Gate::Clamped => per_isa!(cpu, clamped_gate_body(gate: &mut [f32], up: &[f32])),
    }
}

#[inline(always)]
fn silu_gate_body(gate: &mut [f32], up: &[f32]) {
    for (gate, up) in gate.iter_mut().zip(up) {
        *gate = *gate / (1.0 + exp(-*gate)) * up;
    }
}

#[inline(always)]
fn gelu_gate_body(gate: &mut [f32], up: &[f32]) {
    for (gate, up) in gate.iter_mut().zip(up) {
        *gate = gelu_of(*gate) * up;
    }
}

#[inline(always)]
fn clamped_gate_body(gate: &mut [f32], up: &[f32]) {
    const STEEPNESS: f32 = 1.702;
    const LIMIT: f32 = 7.0;
    for (gate, up) in gate.iter_mut().zip(up) {
        let g = if *gate < LIMIT { *gate } else { LIMIT };
        let up = up.clamp(-LIMIT, LIMIT);
        *gate = g / (1.0 + exp(-STEEPNESS * g)) * (up + 1.0);
    }
}

/// `x = x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))`.
///
/// Source: Hendrycks and Gimpel 2016, the approximation by `tanh`, which models are trained with.
pub(crate) fn gelu(cpu: Cpu, x: &mut [f32]) {
    per_isa!(cpu, gelu_body(x: &mut [f32]));
}

#[inline(always)]
fn gelu_body(x: &mut [f32]) {
    for x in x {
        *x = gelu_of(*x);
    }
}

/// `(1 + tanh(u)) / 2` is `1 / (1 + exp(-2u))`.
#[inline(always)]
fn gelu_of(x: f32) -> f32 {
    const FACTOR: f32 = -2.0 * 0.797_884_6;
    x / (1.0 + exp(FACTOR * (x + 0.044_715 * x * x * x)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATES: [Gate; 3] = [Gate::Silu, Gate::Gelu, Gate::Clamped];

    #[test]
    fn they_are_what_they_say() {
        let gelu_of = |x: f64| {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
            x / 2.0 * (1.0 + inner.tanh())
        };
        for i in -2000..=2000 {
            let x = i as f32 / 50.0;
            let wide = f64::from(x);
            let mut alone = [x];
            gelu(Cpu::best(), &mut alone);
            let mut all = vec![(alone[0], gelu_of(wide))];
            for kind in GATES {
                let mut gate = [x];
                apply_gate(Cpu::best(), kind, &mut gate, &[3.0]);
                let want = match kind {
                    Gate::Silu => 3.0 * wide / (1.0 + (-wide).exp()),
                    Gate::Gelu => 3.0 * gelu_of(wide),
                    Gate::Clamped => 4.0 * wide.min(7.0) / (1.0 + (-1.702 * wide.min(7.0)).exp()),
                };
                all.push((gate[0], want));
            }
            for (got, want) in all {
                let error = (f64::from(got) - want).abs();
                assert!(error <= 1e-5 + 1e-6 * want.abs(), "{x}: {got} {want}");
            }
        }
    }

    #[test]
    fn a_clamped_gate_lets_through_so_much() {
        for (up, want) in [(-9.0, -6.0), (-1.0, 0.0), (0.0, 1.0), (7.0, 8.0), (1e30, 8.0)] {
            let mut gate = [1e30];
            apply_gate(Cpu::best(), Gate::Clamped, &mut gate, &[up]);
            let of_seven = 7.0 / (1.0 + (-1.702f64 * 7.0).exp());
            assert!((f64::from(gate[0]) - want * of_seven).abs() < 1e-5, "{up}: {}", gate[0]);
        }
    }

    #[test]
    fn paths_agree_to_the_bit() {
        let wave = |f: f32| (0..899).map(|i| (i as f32 * f).sin() * 9.0).collect::<Vec<_>>();
        let run = |cpu| {
            let mut x = wave(0.37);
            for kind in GATES {
                apply_gate(cpu, kind, &mut x, &wave(0.77));
                gelu(cpu, &mut x);
            }
            x.iter().map(|v| v.to_bits()).collect::<Vec<_>>()
        };
        for cpu in Cpu::available() {
            assert_eq!(run(cpu), run(Cpu::SCALAR), "{}", cpu.name());
        }
    }
}

//! Rotary positions: the angles of a step's rows, and how they reach beyond what a model was trained on.

use crate::LoadError;
use crate::gguf::{Gguf, optional};
use smallvec::SmallVec;
use std::f64::consts::PI;
use std::ops::Range;

/// How positions turn the heads of a layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rope {
    /// Base of the frequencies.
    theta: f32,
    scaling: Scaling,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Scaling {
    /// Positions are what they are.
    None,
    /// They are divided by this.
    Linear(f32),
    Yarn(Yarn),
}

/// Frequencies that turn often within the trained length stay, those that turn seldom are divided, and
/// between the two is a ramp; all of it is made a little longer, so that scores grow with the length.
///
/// Source: Peng et al. 2023 (`YaRN`), sections 3.2 to 3.4.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Yarn {
    /// How many times the trained length is reached.
    factor: f32,
    /// The trained length.
    n_trained: usize,
    /// Turns within it from which a frequency stays, and up to which it is divided.
    fast: f32,
    slow: f32,
    /// What cosines and sines are multiplied with.
    length: f32,
    /// Whether the ramp begins and ends at whole pairs.
    at_pairs: bool,
}

impl Yarn {
    /// With the constants of the paper.
    fn new(factor: f32, n_trained: usize) -> Self {
        Self {
            factor,
            n_trained,
            fast: 32.0,
            slow: 1.0,
            length: 0.1 * factor.ln() + 1.0,
            at_pairs: true,
        }
    }

    /// What a pair's frequency is multiplied with.
    fn scale(&self, pair: usize, n_rot: usize, theta: f32) -> f64 {
        // The pair that turns so many times within the trained length.
        let pair_of = |turns: f32| {
            let positions_per_radian = self.n_trained as f64 / (f64::from(turns) * 2.0 * PI);
            n_rot as f64 * positions_per_radian.ln() / (2.0 * f64::from(theta).ln())
        };
        let (mut low, mut high) = (pair_of(self.fast), pair_of(self.slow));
        if self.at_pairs {
            (low, high) = (low.floor(), high.ceil());
        }
        let (low, high) = (low.max(0.0), high.min(n_rot as f64 - 1.0));
        let divided = ((pair as f64 - low) / (high - low).max(0.001)).clamp(0.0, 1.0);
        divided / f64::from(self.factor) + (1.0 - divided)
    }
}

impl Rope {
    /// Without scaling.
    pub(super) fn plain(theta: f32) -> Self {
        Self { theta, scaling: Scaling::None }
    }

    /// The same scaling of another base.
    pub(super) fn with_theta(self, theta: f32) -> Self {
        Self { theta, ..self }
    }

    /// Stretched to `factor` times the trained length; `None` if it is scaled already.
    pub(super) fn stretched(self, factor: f32, n_trained: usize) -> Option<Self> {
        let scaling = Scaling::Yarn(Yarn::new(factor, n_trained));
        (self.scaling == Scaling::None).then_some(Self { scaling, ..self })
    }

    /// What the metadata of a file says. `n_context` is the length that it promises; whether ramps begin
    /// and end `at_pairs` is not in it.
    pub(super) fn from_gguf(
        gguf: &Gguf,
        n_context: usize,
        at_pairs: bool,
    ) -> Result<Self, LoadError> {
        let theta = optional(gguf.arch_f32("rope.freq_base"))?.unwrap_or(1e4);
        let kind = optional(gguf.arch_str("rope.scaling.type"))?.unwrap_or("none");
        if kind == "none" {
            return Ok(Self::plain(theta));
        }
        let number = |key: &str, default: f32| {
            let value = optional(gguf.arch_f32(key))?.unwrap_or(default);
            let is_usable = value.is_finite() && value > 0.0;
            let found = || format!("{kind} with {key} of {value}");
            if is_usable { Ok(value) } else { Err(LoadError::RopeScaling { found: found() }) }
        };
        let factor = match gguf.arch_f32("rope.scaling.factor")? {
            factor if factor.is_finite() && factor > 0.0 => factor,
            factor => {
                let found = format!("{kind} by {factor}");
                return Err(LoadError::RopeScaling { found });
            }
        };
        let scaling = match kind {
            "linear" => Scaling::Linear(factor),
            "yarn" => {
                let n_trained = optional(gguf.arch_u32("rope.scaling.original_context_length"))?
                    .map_or(n_context, |n| n as usize);
                let paper = Yarn::new(factor, n_trained.max(1));
                Scaling::Yarn(Yarn {
                    fast: number("rope.scaling.yarn_beta_fast", paper.fast)?,
                    slow: number("rope.scaling.yarn_beta_slow", paper.slow)?,
                    length: paper.length * number("rope.scaling.attn_factor", 1.0)?,
                    at_pairs,
                    ..paper
                })
            }
            found => return Err(LoadError::RopeScaling { found: found.to_owned() }),
        };
        Ok(Self { theta, scaling })
    }

    /// Adds cosine and sine of the angle of each of `n_rot / 2` pairs, position by position. `factors`
    /// divide the frequencies.
    ///
    /// In f64: position 30,000 times a frequency of 1 has no digits to spare in f32.
    pub(super) fn add_turns(
        self,
        n_rot: usize,
        factors: Option<&[f32]>,
        positions: Range<usize>,
        turns: &mut Vec<(f32, f32)>,
    ) {
        let frequency = |i: usize| {
            let exponent = -2.0 * i as f64 / n_rot as f64;
            let factor = factors.map_or(1.0, |factors| f64::from(factors[i]));
            let scale = match self.scaling {
                Scaling::None => 1.0,
                Scaling::Linear(divisor) => 1.0 / f64::from(divisor),
                Scaling::Yarn(yarn) => yarn.scale(i, n_rot, self.theta),
            };
            f64::from(self.theta).powf(exponent) * scale / factor
        };
        let length = match self.scaling {
            Scaling::Yarn(yarn) => f64::from(yarn.length),
            _ => 1.0,
        };
        let frequencies: SmallVec<[f64; 128]> = (0..n_rot / 2).map(frequency).collect();
        for pos in positions {
            turns.extend(frequencies.iter().map(|f| {
                let (sin, cos) = (pos as f64 * f).sin_cos();
                ((cos * length) as f32, (sin * length) as f32)
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Qwen2.5's: 64 rotated values, base 1e6, four times 32,768. By hand: pairs up to 11 turn 32 times
    /// and more in 32,768 positions, pairs from 20 on less than once.
    #[test]
    fn yarn_keeps_fast_pairs_and_divides_slow_ones() {
        let yarn = Yarn::new(4.0, 32_768);
        let scale = |pair| yarn.scale(pair, 64, 1e6);
        assert_eq!((scale(0), scale(11)), (1.0, 1.0));
        assert!((scale(15) - (1.0 - 0.75 * 4.0 / 9.0)).abs() < 1e-12, "{}", scale(15));
        assert_eq!((scale(20), scale(31)), (0.25, 0.25));
        assert!((yarn.length - 1.138_629_4).abs() < 1e-6);
        let mut turns = Vec::new();
        let rope = Rope::plain(1e6).stretched(4.0, 32_768).unwrap();
        assert_eq!(rope.stretched(2.0, 100), None);
        rope.add_turns(64, None, 0..1, &mut turns);
        assert_eq!(turns, [(yarn.length, 0.0); 32]);
    }
}

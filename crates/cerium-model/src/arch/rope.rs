//! Rotary positions: the angles of a step's rows.

use crate::LoadError;
use crate::gguf::{Gguf, optional};

/// How positions turn the heads of a layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rope {
    /// Base of the frequencies.
    theta: f32,
    /// What positions are divided by.
    divisor: f32,
}

impl Rope {
    /// Without scaling.
    pub(super) fn plain(theta: f32) -> Self {
        Self { theta, divisor: 1.0 }
    }

    /// The same scaling of another base.
    pub(super) fn with_theta(self, theta: f32) -> Self {
        Self { theta, ..self }
    }

    /// What the metadata of a file says.
    pub(super) fn from_gguf(gguf: &Gguf) -> Result<Self, LoadError> {
        let plain = Self::plain(optional(gguf.arch_f32("rope.freq_base"))?.unwrap_or(1e4));
        match optional(gguf.arch_str("rope.scaling.type"))? {
            None | Some("none") => Ok(plain),
            Some("linear") => match gguf.arch_f32("rope.scaling.factor")? {
                divisor if divisor.is_finite() && divisor > 0.0 => Ok(Self { divisor, ..plain }),
                divisor => Err(LoadError::RopeScaling { found: format!("linear by {divisor}") }),
            },
            Some(found) => Err(LoadError::RopeScaling { found: found.to_owned() }),
        }
    }

    /// Cosine and sine of the angle of each of `n_rot / 2` pairs, position by position. `factors` divide
    /// the frequencies.
    ///
    /// In f64: position 30,000 times a frequency of 1 has no digits to spare in f32.
    pub(super) fn fill_turns(
        self,
        n_rot: usize,
        factors: Option<&[f32]>,
        positions: &[usize],
        turns: &mut Vec<(f32, f32)>,
    ) {
        let frequency = |i: usize| {
            let exponent = -2.0 * i as f64 / n_rot as f64;
            let factor = factors.map_or(1.0, |factors| f64::from(factors[i]));
            f64::from(self.theta).powf(exponent) / f64::from(self.divisor) / factor
        };
        let frequencies: Vec<f64> = (0..n_rot / 2).map(frequency).collect();
        turns.clear();
        for &pos in positions {
            turns.extend(frequencies.iter().map(|f| {
                let (sin, cos) = (pos as f64 * f).sin_cos();
                (cos as f32, sin as f32)
            }));
        }
    }
}

//! Tokens as a screen multiplies them.

use super::{COLUMNS, GROUP, LARGEST, SLACK, TINY};
use crate::activations::Activations;
use crate::cpu::{Cpu, per_isa};
use crate::pack::PackedMatrix;
use crate::team::{Shareable, Team};

/// The largest quant.
const STEPS: f32 = 127.0;

/// The coarse tokens of a step.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    pub(super) n: usize,
    n_lines: usize,
    /// `[n_filled, n_lines]`
    quants: Vec<Line>,
    /// What is known of each, filled up like the quants.
    pub(super) known: Vec<Token>,
}

/// Quants of a token: a cache line of them.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [i8; COLUMNS]);

/// What is known of a token.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Token {
    /// Value of one step.
    pub(super) scale: f32,
    /// What products with weights have too much, which are stored with 128 more: 128 times the sum of
    /// the quants.
    pub(super) excess: i32,
    /// `|x'|`; infinite for a token that nothing can be said of.
    pub(super) norm: f32,
    /// `|x' - y|`
    pub(super) error: f32,
    /// `|x|`
    pub(super) size: f32,
}

impl Tokens {
    /// Tokens with those that fill them up.
    pub(super) fn n_filled(&self) -> usize {
        self.n.next_multiple_of(GROUP)
    }

    /// Lines of a token.
    pub(super) fn n_lines(&self) -> usize {
        self.n_lines
    }

    /// The quants of all tokens from one on.
    pub(super) fn quants(&self, token: usize) -> &[Line] {
        &self.quants[token * self.n_lines..]
    }

    /// Takes a batch as products with `weights` read it; `factors` are what they are multiplied with.
    pub(super) fn read(
        &mut self,
        cpu: Cpu,
        team: &Team,
        weights: &PackedMatrix,
        x: &Activations,
        factors: &[[u8; 4]],
    ) {
        self.n = x.n_tokens();
        self.n_lines = x.n_cols().div_ceil(COLUMNS);
        self.quants.resize(self.n_filled() * self.n_lines, Line([0; COLUMNS]));
        self.known.resize(self.n_filled(), Token::default());
        let known = Shareable(self.known.as_mut_ptr());
        let quants = &mut self.quants[..self.n * self.n_lines];
        team.for_each_chunk(quants, self.n_lines, |i, quants| {
            let mut values = vec![0.0; x.n_cols()];
            x.values(weights.form(), i, &mut values);
            let values = &mut values;
            let token = per_isa!(
                cpu,
                quantize(values: &mut [f32], factors: &[[u8; 4]], quants: &mut [Line]) -> Token
            );
            let known = &known;
            // SAFETY: there is one for each token, and no other item has this one.
            unsafe { known.0.add(i).write(token) };
        });
    }
}

/// Loops of one simple operation each, over whole arrays: that is what compilers turn into vectors.
#[inline(always)]
fn quantize(values: &mut [f32], factors: &[[u8; 4]], quants: &mut [Line]) -> Token {
    let size = norm(values);
    for (v, factor) in values.iter_mut().zip(factors) {
        *v *= f32::from_le_bytes(*factor);
    }
    let norm_scaled = norm(values);
    let max = values.iter().fold(0.0f32, |max, v| if v.abs() > max { v.abs() } else { max });
    let scale = max / STEPS;
    let inverse = 1.0 / scale;
    // Norms that are no numbers are not below it either.
    let is_bounded = size < LARGEST && norm_scaled < LARGEST;
    let (scale, inverse) =
        if is_bounded && inverse.is_normal() { (scale, inverse) } else { (0.0, 0.0) };
    let mut sum = 0;
    for (values, line) in values.chunks_mut(COLUMNS).zip(quants) {
        line.0 = [0; COLUMNS];
        for (v, q) in values.iter_mut().zip(&mut line.0) {
            *q = (*v * inverse).round_ties_even() as i8;
            // Exact, or off by what `SLACK` is for.
            *v -= f32::from(*q) * scale;
        }
        sum += line.0.iter().map(|&q| i32::from(q)).sum::<i32>();
    }
    let norm_max = if is_bounded { norm_scaled + TINY } else { f32::INFINITY };
    let error = norm(values) + SLACK as f32 * norm_scaled;
    Token { scale, excess: 128 * sum, norm: norm_max, error, size }
}

/// Rounded up.
#[inline(always)]
fn norm(values: &[f32]) -> f32 {
    let mut lanes = [0.0f64; 16];
    let (chunks, rest) = values.as_chunks::<16>();
    for chunk in chunks {
        for (lane, v) in lanes.iter_mut().zip(chunk) {
            *lane += f64::from(*v) * f64::from(*v);
        }
    }
    let squares = lanes.iter().sum::<f64>();
    let squares = rest.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>() + squares;
    (squares.sqrt() * (1.0 + SLACK)) as f32
}

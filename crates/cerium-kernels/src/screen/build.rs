//! Making a screen from the weights of a file.

use super::{Bounds, LARGEST, SLACK, Screen, ScreenShape, TAIL};
use crate::block::{self, BLOCK};
use crate::half::f16_to_f32;
use crate::pack::PANEL;
use crate::{Team, TensorType, dequantize};

/// Rows that the shared vector and the factors of the columns are made from, evenly spread.
const SAMPLE: usize = 2048;

/// The largest coarse weight.
const STEPS: f64 = 127.0;

/// Exponents of factors are at most this.
const EXPONENT_MAX: f64 = 30.0;

/// What the rows of a matrix share.
struct Columns {
    mean: Vec<f32>,
    factors: Vec<f32>,
}

impl ScreenShape {
    /// Builds a [`Screen`] of `bytes`, `[n_rows, n_cols]` as a GGUF file stores them in `kind`, into `out`, which
    /// is zeroed and [`n_bytes`](Self::n_bytes) long.
    ///
    /// * `sizes`: about how large each column of the tokens is beside the others, `[n_cols]`; any
    ///   number is right, good ones leave less undecided
    ///
    /// # Panics
    /// If lengths do not fit the shape.
    pub fn build(self, team: &Team, kind: TensorType, bytes: &[u8], sizes: &[f32], out: &mut [u8]) {
        let Self { n_rows, n_cols } = self;
        assert_eq!(n_cols % kind.block_len(), 0, "whole blocks");
        let row_bytes = n_cols / kind.block_len() * kind.block_bytes();
        assert!(n_rows > 0 && bytes.len() == n_rows * row_bytes, "bytes of the matrix");
        assert_eq!(sizes.len(), n_cols, "a size per column");
        assert_eq!(out.len(), self.n_bytes(), "room for the screen");
        let row = |r: usize| &bytes[r * row_bytes..(r + 1) * row_bytes];
        let columns = Columns::of(n_rows, n_cols, sizes, |r, out| dequantize(kind, row(r), out));
        let (factors, panels) = out.split_at_mut(4 * self.n_cols_filled());
        for (out, factor) in factors.as_chunks_mut::<4>().0.iter_mut().zip(&columns.factors) {
            *out = (1.0 / factor).to_le_bytes();
        }
        team.for_each_chunk(panels, self.panel_bytes(), |i, panel| {
            // The last panel is filled up with copies: they change no maximum.
            let rows = (0..PANEL).map(|r| (i * PANEL + r).min(n_rows - 1));
            let mut bounds = Bounds { error: 0.0, norm: 0.0, rounding: 0.0 };
            let mut values = vec![0.0; n_cols];
            for (r, at) in rows.enumerate() {
                dequantize(kind, row(at), &mut values);
                let minima = minima(kind, row(at), n_cols);
                let (scale, of_row) = pack_row(r, &values, minima, &columns, panel);
                let at = panel.len() - TAIL + 4 * r;
                panel[at..at + 4].copy_from_slice(&scale.to_le_bytes());
                bounds = bounds.max(of_row);
            }
            let at = panel.len() - TAIL + 4 * PANEL;
            let Bounds { error, norm, rounding } = bounds;
            for (out, bound) in
                panel[at..].as_chunks_mut().0.iter_mut().zip([error, norm, rounding])
            {
                *out = f32::to_le_bytes(bound);
            }
        });
    }
}

impl Bounds {
    /// Of a row that cannot be ruled out.
    const NONE: Self = Self { error: f32::INFINITY, norm: 0.0, rounding: 0.0 };

    fn max(self, other: Self) -> Self {
        Self {
            error: self.error.max(other.error),
            norm: self.norm.max(other.norm),
            rounding: self.rounding.max(other.rounding),
        }
    }
}

impl Columns {
    fn of(n_rows: usize, n_cols: usize, sizes: &[f32], read: impl Fn(usize, &mut [f32])) -> Self {
        let (mut sum, mut squares) = (vec![0.0; n_cols], vec![0.0; n_cols]);
        let mut row = vec![0.0; n_cols];
        let mut n = 0.0;
        for r in (0..n_rows).step_by(n_rows.div_ceil(SAMPLE)) {
            read(r, &mut row);
            if row.iter().all(|v| v.abs() < LARGEST) {
                n += 1.0;
                for ((sum, squares), &v) in sum.iter_mut().zip(&mut squares).zip(&row) {
                    *sum += f64::from(v);
                    *squares += f64::from(v) * f64::from(v);
                }
            }
        }
        let n = f64::max(n, 1.0);
        let mean: Vec<f32> = sum.iter().map(|sum| (sum / n) as f32).collect();
        let factors = mean.iter().zip(squares).zip(sizes).map(|((&mean, squares), &size)| {
            let deviation = (squares / n - f64::from(mean).powi(2)).max(0.0).sqrt();
            // As much error of the tokens as of the weights: the square root of their ratio.
            let exponent = (f64::from(size.abs()) / deviation).log2() / 2.0;
            let exponent = if exponent.is_finite() { exponent.round() } else { 0.0 };
            exponent.clamp(-EXPONENT_MAX, EXPONENT_MAX).exp2() as f32
        });
        let factors = factors.collect();
        Self { mean, factors }
    }
}

/// Makes row `r` of a panel; returns its scale and bounds.
fn pack_row(
    r: usize,
    values: &[f32],
    minima: f64,
    columns: &Columns,
    panel: &mut [u8],
) -> (f32, Bounds) {
    let scaled = values.iter().zip(&columns.mean).zip(&columns.factors);
    let scaled = scaled.map(|((&v, &mean), &f)| (f64::from(v) - f64::from(mean)) * f64::from(f));
    let norm = |squares: f64| (squares.sqrt() * (1.0 + SLACK)) as f32;
    let size = norm(values.iter().map(|&v| f64::from(v) * f64::from(v)).sum());
    let size = f64::from(size) + 2.0 * minima;
    let max = scaled.clone().map(f64::abs).fold(0.0, f64::max);
    let scale = (max / STEPS) as f32;
    // Sizes that are no numbers are not below it either; the scale is one of them if a value is.
    let is_bounded = size < f64::from(LARGEST) && scale < LARGEST;
    let scale = if is_bounded && scale.is_normal() { scale } else { 0.0 };
    let (mut error, mut norm_squares) = (0.0, 0.0);
    let n_filled = (panel.len() - TAIL) / PANEL;
    for c in 0..n_filled {
        panel[c / 4 * (4 * PANEL) + 4 * r + c % 4] = 128;
    }
    for (c, w) in scaled.enumerate() {
        let step = f64::from(scale);
        let q = if scale > 0.0 { (w / step).round_ties_even().clamp(-STEPS, STEPS) } else { 0.0 };
        panel[c / 4 * (4 * PANEL) + 4 * r + c % 4] = (128.0 + q) as u8;
        error += (w - q * step).powi(2);
        norm_squares += (q * step).powi(2);
    }
    if !is_bounded {
        return (0.0, Bounds::NONE);
    }
    let rounding = 4.0 * (values.len() + 64) as f64 * f64::powi(2.0, -24);
    let slack = SLACK * norm_squares.sqrt();
    let error = norm(error) + slack as f32;
    (scale, Bounds { error, norm: norm(norm_squares), rounding: (rounding * size) as f32 })
}

/// Norm of what minima add to a row.
fn minima(kind: TensorType, row: &[u8], n_cols: usize) -> f64 {
    if matches!(kind, TensorType::F32 | TensorType::F16 | TensorType::BF16) {
        return 0.0;
    }
    let blocks = (0..n_cols / BLOCK).map(|i| block::read(kind, row, i));
    let squares = blocks.flat_map(|block| {
        let m = f64::from(f16_to_f32(block.m));
        block.mins.map(|min| (m * f64::from(min)).powi(2) * (BLOCK / 2) as f64)
    });
    squares.sum::<f64>().sqrt()
}

impl Screen {
    /// Builds a screen on the heap; see [`ScreenShape::build`].
    #[cfg(test)]
    pub(super) fn build(
        team: &Team,
        kind: TensorType,
        bytes: &[u8],
        n_rows: usize,
        sizes: &[f32],
    ) -> Self {
        let shape = ScreenShape::new(n_rows, sizes.len());
        let mut out = vec![0; shape.n_bytes()];
        shape.build(team, kind, bytes, sizes, &mut out);
        Self::new(shape, out.into())
    }
}

//! The greatest product of each token, without computing the others: an arg-max that is screened.
//!
//! A coarse copy of the weights, 8 bits with one scale per row, is multiplied with tokens of 8 bits with
//! one scale each: a bare product of bytes, and in the end one maximum per token and panel of 16 rows.
//! How far from the truth it may be is known, so that most panels are ruled out: those whose greatest
//! product cannot reach what another panel has for certain. What is left, a few panels per token, is
//! multiplied by the kernels that compute everything else ([`crate::matmul`]). The result is theirs to the
//! bit, by proof and not by chance.
//!
//! # The bound
//!
//! Let `w` be a row, `x` a token as it is quantised for `matmul`, `m` any vector that all rows share
//! (about their mean: what it adds is the same for all rows and decides nothing) and `f` factors of the
//! columns. Then `(w - m) * x = w' * x'` with `w' = (w - m) f` and `x' = x / f`, and with the coarse
//! `v` and `y` of these two
//!
//! ```text
//! |w' * x' - v * y| <= |w' - v| |x'| + |v| |x' - y|        (Cauchy and Schwarz)
//! |matmul - w * x|  <= 4 (n_cols + 64) 2^-24 size(w) |x|   (roundings)
//! ```
//!
//! `matmul` rounds less than `n_cols + 16` times on the way to a sum, each time by at most 2^-24 of a
//! partial sum of sizes; `size(w)` is what these sum up to for `|x| = 1`: `|w|`, and twice the
//! minima's share where the type has some, which may cancel the rest of it. That 16-bit
//! activations are multiplied in two planes adds less than a tenth. Norms of rows are rounded up when weights are
//! packed, those of tokens when they come; the rest of the four times, and [`SLACK`], are for the roundings of the
//! screen itself. Factors are powers of two and round nothing.
//!
//! Rows and tokens that hold infinities, none at all or more than [`LARGEST`] are never ruled out.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx;
mod build;
mod choice;
mod products;
mod tokens;

use crate::activations::Activations;
use crate::cpu::Cpu;
use crate::pack::{PANEL, PackedMatrix};
use crate::team::{Shareable, Team};
use bytes::Bytes;
use choice::Choice;
use std::ops::Range;
use tokens::Tokens;

/// Columns are filled up to a multiple of this, which tiles take at once.
const COLUMNS: usize = 64;

/// Tokens are filled up to a multiple of this.
const GROUP: usize = 16;

/// Of weights' and tokens' norms: their product, and all sums on the way to it, are far from
/// overflowing.
const LARGEST: f32 = 1e15;

/// What bounds are widened by, relatively: more than the screen's own roundings.
const SLACK: f64 = 1e-5;

/// And absolutely: more than what is lost below the smallest normal number.
const TINY: f32 = 1e-30;

/// Panels that a thread takes at once.
const PANELS_PER_ITEM: usize = 4;

/// What follows a panel's coarse weights: the scales of its rows, and its [`Bounds`].
const TAIL: usize = 4 * PANEL + 64;

/// The coarse copy of a weight matrix.
///
/// ```text
/// factors  reciprocals of f: [f32; n_cols], filled up with zeros
/// panel    weights: for every 4 columns and 16 rows 4 bytes, 128 more than the coarse weight
///          scales: [f32; 16]
///          bounds: [f32; 16], of which three are used
/// ```
#[derive(Clone, Debug)]
pub struct Screen {
    shape: ScreenShape,
    bytes: Bytes,
    /// Of the panels.
    bounds: Vec<Bounds>,
}

/// Shape of the matrix that a screen is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScreenShape {
    n_rows: usize,
    n_cols: usize,
}

/// What a screen needs of a step: grows to the largest one seen and is kept.
#[derive(Debug, Default)]
pub struct Screening {
    tokens: Tokens,
    /// Greatest coarse product by panel and token, `[n_panels, n_tokens_filled]`, but for the token's scale.
    maxima: Vec<f32>,
}

/// The greatest norms of a panel's rows.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Bounds {
    /// `|w' - v|`
    error: f32,
    /// `|v|`
    norm: f32,
    /// Roundings of `matmul`, for a token of `|x| = 1`.
    rounding: f32,
}

impl ScreenShape {
    /// Of a matrix of `n_rows` outputs and `n_cols` inputs.
    pub fn new(n_rows: usize, n_cols: usize) -> Self {
        Self { n_rows, n_cols }
    }

    /// Bytes of a screen; `usize::MAX` for a matrix that no memory holds.
    pub fn n_bytes(self) -> usize {
        let panels = self.panel_bytes().saturating_mul(self.n_panels());
        panels.saturating_add(4 * self.n_cols_filled())
    }

    /// Columns with those that fill them up.
    fn n_cols_filled(self) -> usize {
        self.n_cols.next_multiple_of(COLUMNS)
    }

    fn n_panels(self) -> usize {
        self.n_rows.div_ceil(PANEL)
    }

    fn panel_bytes(self) -> usize {
        PANEL * self.n_cols_filled() + TAIL
    }
}

impl Screen {
    /// A screen that was built before.
    ///
    /// # Panics
    /// If the bytes are not [`ScreenShape::n_bytes`].
    pub fn new(shape: ScreenShape, bytes: Bytes) -> Self {
        assert_eq!(bytes.len(), shape.n_bytes(), "bytes of the screen");
        let panels = bytes[4 * shape.n_cols_filled()..].chunks_exact(shape.panel_bytes());
        let bounds = panels.map(Bounds::read).collect();
        Self { shape, bytes, bounds }
    }

    /// All of it, as [`Self::new`] takes it.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Of each token the row whose product with it is the greatest, the first of equals; none where no
    /// product is a number: the [`argmax`](crate::argmax) of [`matmul`](crate::matmul).
    ///
    /// * `weights`: those that the screen was built from
    /// * `x`: `[n_tokens, n_cols]`
    ///
    /// `None` if so much stays undecided that computing everything is faster.
    ///
    /// # Panics
    /// If shapes do not fit each other, or activations lack what the matrix reads.
    pub fn argmax(
        &self,
        cpu: Cpu,
        team: &Team,
        weights: &PackedMatrix,
        x: &Activations,
        screening: &mut Screening,
    ) -> Option<Vec<Option<usize>>> {
        let ScreenShape { n_rows, n_cols } = self.shape;
        assert_eq!((weights.n_rows(), weights.n_cols()), (n_rows, n_cols), "weights of the screen");
        assert_eq!(x.n_cols(), n_cols, "input features");
        assert!(x.holds(weights.form()), "activations for {:?}", weights.form());
        let Screening { tokens, maxima } = screening;
        tokens.read(cpu, team, weights, x, self.factors());
        self.fill_maxima(cpu, team, tokens, maxima);
        let choice = Choice::make(cpu, team, self, tokens, maxima)?;
        Some(choice.decide(cpu, team, weights, x))
    }

    /// The coarse products.
    fn fill_maxima(&self, cpu: Cpu, team: &Team, tokens: &Tokens, maxima: &mut Vec<f32>) {
        let (n_panels, n_tokens) = (self.shape.n_panels(), tokens.n_filled());
        maxima.resize(n_panels * n_tokens, 0.0);
        let maxima = Shareable(maxima.as_mut_ptr());
        team.run(n_panels.div_ceil(PANELS_PER_ITEM), &|item| {
            let first = item * PANELS_PER_ITEM;
            let panels = first..n_panels.min(first + PANELS_PER_ITEM);
            let maxima = &maxima;
            // SAFETY: these panels' maxima, inside of what was made room for; nobody else has them.
            let maxima = unsafe {
                let first = maxima.0.add(panels.start * n_tokens);
                std::slice::from_raw_parts_mut(first, panels.len() * n_tokens)
            };
            products::maxima(cpu, self, panels, tokens, maxima);
        });
    }

    fn factors(&self) -> &[[u8; 4]] {
        self.bytes[..4 * self.shape.n_cols].as_chunks().0
    }

    /// The bytes of some panels.
    fn panels(&self, range: Range<usize>) -> &[u8] {
        let (first, len) = (4 * self.shape.n_cols_filled(), self.shape.panel_bytes());
        &self.bytes[first + range.start * len..first + range.end * len]
    }
}

impl Bounds {
    /// Those at the end of a panel.
    fn read(panel: &[u8]) -> Self {
        let bounds = panel[panel.len() - 64..].as_chunks().0;
        let [error, norm, rounding] = [bounds[0], bounds[1], bounds[2]].map(f32::from_le_bytes);
        Self { error, norm, rounding }
    }
}

/// The scales at the end of a panel.
fn scales(panel: &[u8]) -> &[u8; 4 * PANEL] {
    let at = panel.len() - TAIL;
    panel[at..].first_chunk().expect("the tail begins with the scales")
}

#[cfg(test)]
mod tests;

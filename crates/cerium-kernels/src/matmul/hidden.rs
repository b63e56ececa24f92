//! The hidden layer of a feed-forward network: its products, its activation function, and quantising the
//! result, without writing the products to memory. They are eight times as large as what is left of
//! them, and of a large batch no cache holds them.

use super::{PAIR, pair_sums, tile};
use crate::activations::{Activations, Detail};
use crate::block::SUPER;
use crate::cpu::Cpu;
use crate::gate::{Gate, apply_gate, gelu};
use crate::pack::{PANEL, PackedMatrix};
use crate::team::{Shareable, Team};
use std::cell::RefCell;
use std::ops::Range;

/// Columns of the result that a work item makes, which are whole in every form.
const COLUMNS: usize = SUPER;

/// Tokens that it makes them for at most: what it makes stays in the second-level cache.
const TOKENS: usize = 256;

/// Fewer items per thread leave threads idle at the end.
const ITEMS_PER_THREAD: usize = 16;

/// A product that a bias may be added to.
#[derive(Clone, Copy, Debug)]
pub struct Affine<'a> {
    /// The weights, `[n_rows, n_cols]`.
    pub weights: &'a PackedMatrix,
    /// `[n_rows]`.
    pub bias: Option<&'a [f32]>,
}

/// How a hidden layer is made of the network's input.
#[derive(Clone, Copy, Debug)]
pub struct Hidden<'a> {
    /// What the activation function is applied to.
    pub gate: Affine<'a>,
    /// What it is a gate of, and how; without, the function is GELU.
    pub up: Option<(Gate, Affine<'a>)>,
}

impl<'a> Hidden<'a> {
    fn products(&self) -> impl Iterator<Item = Affine<'a>> {
        std::iter::once(self.gate).chain(self.up.map(|(_, up)| up))
    }
}

/// Quantises the hidden layer into `out`, `[n_tokens, n_rows]`.
///
/// * `x`: `[n_tokens, n_cols]`
/// * `detail`: what the next product reads of the result
///
/// # Panics
/// If shapes do not fit each other, activations lack what a matrix reads, or the rows are not whole
/// blocks of `detail`.
pub fn hidden(
    cpu: Cpu,
    team: &Team,
    x: &Activations,
    layer: Hidden<'_>,
    detail: Detail,
    out: &mut Activations,
) {
    let n_rows = layer.gate.weights.n_rows();
    for Affine { weights, bias } in layer.products() {
        assert_eq!((weights.n_rows(), weights.n_cols()), (n_rows, x.n_cols), "features");
        assert!(x.holds(weights.form()), "activations for {:?}", weights.form());
        assert!(bias.is_none_or(|bias| bias.len() == n_rows), "biases");
    }
    let (n_runs, n_groups) = (n_rows.div_ceil(COLUMNS), x.n_tokens.div_ceil(TOKENS));
    if n_runs * n_groups >= ITEMS_PER_THREAD * team.n_threads() {
        let room = out.room(x.n_tokens, n_rows, detail);
        team.run(n_runs * n_groups, &|item| {
            let columns = COLUMNS * (item / n_groups)..n_rows.min(COLUMNS * (item / n_groups + 1));
            let first = TOKENS * (item % n_groups);
            let tokens = first..x.n_tokens.min(first + TOKENS);
            BUFFERS.with_borrow_mut(|Buffers { rows, sums }| {
                rows.resize(tokens.len() * columns.len(), 0.0);
                let into = Rows { values: Shareable(rows.as_mut_ptr()), n_columns: columns.len() };
                product(cpu, x, layer, columns.clone(), tokens, sums, &into);
                room.fill(cpu, rows, first, columns);
            });
        });
    } else {
        // Few tokens: finer items, and what they make is small.
        let mut staged = std::mem::take(&mut out.staged);
        staged.resize(x.n_tokens * n_rows, 0.0);
        let values = Shareable(staged.as_mut_ptr());
        team.run(n_rows.div_ceil(PAIR * PANEL), &|item| {
            let first = PAIR * PANEL * item;
            let columns = first..n_rows.min(first + PAIR * PANEL);
            let values = &values;
            // SAFETY: inside the rows; the columns of an item are its own.
            let values = Shareable(unsafe { values.0.add(first) });
            let into = Rows { values, n_columns: n_rows };
            BUFFERS.with_borrow_mut(|Buffers { sums, .. }| {
                product(cpu, x, layer, columns, 0..x.n_tokens, sums, &into);
            });
        });
        out.quantize(cpu, team, &mut staged, n_rows, detail, |_, _| {});
        out.staged = staged;
    }
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

/// What a work item needs.
#[derive(Debug, Default)]
struct Buffers {
    /// Its part of the result, `[tokens, columns]`.
    rows: Vec<f32>,
    /// Both products of a pair of panels.
    sums: [Vec<[f32; PANEL]>; 2],
}

/// Where results go, `n_columns` from token to token.
struct Rows {
    values: Shareable<f32>,
    n_columns: usize,
}

/// Some columns of the result for some tokens; the first value is the first of `into`.
fn product(
    cpu: Cpu,
    x: &Activations,
    layer: Hidden<'_>,
    columns: Range<usize>,
    tokens: Range<usize>,
    sums: &mut [Vec<[f32; PANEL]>; 2],
    into: &Rows,
) {
    let tile = layer.products().map(|p| tile(cpu, p.weights.form(), x)).fold(TOKENS, usize::min);
    for first in tokens.clone().step_by(tile) {
        let n_tokens = tile.min(tokens.end - first);
        for column in columns.clone().step_by(PAIR * PANEL) {
            let n_columns = (PAIR * PANEL).min(columns.end - column);
            let panels = column / PANEL..(column + n_columns).div_ceil(PANEL);
            let n_panels = panels.len();
            for (Affine { weights, bias }, sums) in layer.products().zip(&mut *sums) {
                sums.resize(n_panels * n_tokens, [0.0; PANEL]);
                pair_sums(cpu, weights, panels.clone(), x, first, sums);
                if let Some(bias) = bias {
                    for sums in sums.chunks_exact_mut(n_panels) {
                        let sums = sums.as_flattened_mut().iter_mut();
                        sums.zip(&bias[column..]).for_each(|(sum, bias)| *sum += bias);
                    }
                }
            }
            let [gate, up] = &mut *sums;
            match layer.up {
                Some((kind, _)) => {
                    apply_gate(cpu, kind, gate.as_flattened_mut(), up.as_flattened());
                }
                None => gelu(cpu, gate.as_flattened_mut()),
            }
            for (t, values) in gate.chunks_exact(n_panels).enumerate() {
                let at = (first - tokens.start + t) * into.n_columns + column - columns.start;
                let values = &values.as_flattened()[..n_columns];
                // SAFETY: the row and these columns of it are inside what the callers made room for,
                // and this item's own.
                unsafe {
                    let into = into.values.0.add(at);
                    match values.as_array::<{ PAIR * PANEL }>() {
                        Some(values) => into.cast::<[f32; PAIR * PANEL]>().write_unaligned(*values),
                        None => into.copy_from_nonoverlapping(values.as_ptr(), n_columns),
                    }
                }
            }
        }
    }
}

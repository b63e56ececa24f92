//! Float weights with float activations, for files that store matrices unquantised.

use crate::activations::Activations;
use crate::cpu::{Cpu, per_isa};
use crate::pack::PANEL;

/// `sums[t][r]` = row `r` of the panel times token `first_token + t`, columns in ascending order.
pub(super) fn panel(
    cpu: Cpu,
    panel: &[f32],
    x: &Activations,
    first_token: usize,
    sums: &mut [[f32; PANEL]],
) {
    for (t, sums) in sums.iter_mut().enumerate() {
        let row = &x.floats[(first_token + t) * x.n_cols..][..x.n_cols];
        per_isa!(cpu, body(panel: &[f32], row: &[f32], sums: &mut [f32; PANEL]));
    }
}

#[inline(always)]
fn body(panel: &[f32], row: &[f32], sums: &mut [f32; PANEL]) {
    let mut acc = [0.0f32; PANEL];
    for (weights, &a) in panel.as_chunks::<PANEL>().0.iter().zip(row) {
        for (acc, &w) in acc.iter_mut().zip(weights) {
            *acc = w.mul_add(a, *acc);
        }
    }
    *sums = acc;
}

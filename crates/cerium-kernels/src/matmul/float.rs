//! Float weights with float activations, for files that store matrices unquantised.

use crate::activations::Activations;
use crate::cpu::{Cpu, per_isa};
use crate::pack::PANEL;

/// `sums[t * n_panels + p][r]` = row `r` of panel `p` times token `first_token + t`, columns in
/// ascending order.
pub(super) fn panels(
    cpu: Cpu,
    panels: &[u8],
    x: &Activations,
    first_token: usize,
    sums: &mut [[f32; PANEL]],
) {
    let panel_bytes = 4 * PANEL * x.n_cols;
    let n_panels = panels.len() / panel_bytes;
    for (t, sums) in sums.chunks_exact_mut(n_panels).enumerate() {
        let row = &x.floats[(first_token + t) * x.n_cols..][..x.n_cols];
        for (panel, sums) in panels.chunks_exact(panel_bytes).zip(sums) {
            per_isa!(cpu, body(panel: &[u8], row: &[f32], sums: &mut [f32; PANEL]));
        }
    }
}

#[inline(always)]
fn body(panel: &[u8], row: &[f32], sums: &mut [f32; PANEL]) {
    let mut acc = [0.0f32; PANEL];
    for (weights, &a) in panel.as_chunks::<4>().0.as_chunks::<PANEL>().0.iter().zip(row) {
        for (acc, w) in acc.iter_mut().zip(weights) {
            *acc = f32::from_le_bytes(*w).mul_add(a, *acc);
        }
    }
    *sums = acc;
}

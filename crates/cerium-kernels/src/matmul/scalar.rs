//! The definition: short, safe, slow. Every other path is tested against it, bit for bit.

use crate::activations::Activations;
use crate::block::BLOCK;
use crate::half::f16_to_f32;
use crate::pack::{Layout, PANEL, panel_bytes, quant};

/// `sums[t * n_panels + p][r]` = row `r` of panel `p` times token `first_token + t`.
pub(super) fn panels<L: Layout>(
    panels: &[u8],
    x: &Activations,
    first_token: usize,
    sums: &mut [[f32; PANEL]],
) {
    sums.fill([0.0; PANEL]);
    let panel_bytes = panel_bytes::<L>(x.n_cols);
    let n_panels = panels.len() / panel_bytes;
    for (p, bytes) in panels.chunks_exact(panel_bytes).enumerate() {
        panel::<L>(bytes, x, first_token, sums.iter_mut().skip(p).step_by(n_panels));
    }
}

fn panel<'a, L: Layout>(
    panel: &[u8],
    x: &Activations,
    first_token: usize,
    sums: impl Iterator<Item = &'a mut [f32; PANEL]>,
) {
    let mut sums: Vec<_> = sums.collect();
    let n_groups = if L::GROUPS_OF_16 { 2 } else { 1 };
    let columns = BLOCK / n_groups;
    for (i_record, record) in panel.chunks_exact(L::RECORD_BYTES).enumerate() {
        let (header, blocks) = record.split_at(L::HEADER_BYTES);
        let half = |at: usize| f16_to_f32(u16::from_le_bytes([header[at], header[at + 1]]));
        for (i_block, block) in blocks.chunks_exact(L::BLOCK_BYTES).enumerate() {
            let (quants, factors) = block.split_at(L::QUANT_BYTES);
            let at = (i_record * L::BLOCKS + i_block) * x.n_tokens + first_token;
            for r in 0..PANEL {
                for group in 0..n_groups {
                    let factor = |run: usize| f32::from(factors[run * PANEL + r] as i8);
                    let mut scale = half(2 * r);
                    if L::BLOCKS > 1 {
                        scale *= factor(group);
                    }
                    let min = match (L::MINS, L::BLOCKS > 1) {
                        (false, _) => None,
                        (true, false) => Some(half(2 * PANEL + 2 * r)),
                        (true, true) => Some(-(half(2 * PANEL + 2 * r) * factor(n_groups + group))),
                    };
                    let range = group * columns..(group + 1) * columns;
                    for (t, sums) in sums.iter_mut().enumerate() {
                        let a = |c: usize| {
                            let low = x.lows.get(at + t).map(|low| i32::from(low.0[c]));
                            let high = i32::from(x.blocks[at + t].0[c]);
                            low.map_or(high, |low| 256 * high + low)
                        };
                        let quants =
                            range.clone().map(|c| i32::from(quant::<L>(quants, r, c)) * a(c));
                        let [first, last] = x.sums.each_ref().map(|sums| sums[at + t]);
                        let sum_a = match (n_groups, group) {
                            (1, _) => first + last,
                            (_, 0) => first,
                            _ => last,
                        };
                        let dot = quants.sum::<i32>() - L::OFFSET * sum_a;
                        let d = x.d[at + t];
                        sums[r] = (dot as f32).mul_add(scale * d, sums[r]);
                        if let Some(min) = min {
                            sums[r] = min.mul_add(sum_a as f32 * d, sums[r]);
                        }
                    }
                }
            }
        }
    }
}

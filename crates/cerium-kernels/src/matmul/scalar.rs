//! The definition: short, safe, slow. Every other path is tested against it, bit for bit.

use crate::activations::Activations;
use crate::block::BLOCK;
use crate::half::f16_to_f32;
use crate::pack::{Layout, PANEL, quant};

/// `sums[t][r]` = row `r` of the panel times token `first_token + t`.
pub(super) fn panel<L: Layout>(
    panel: &[u8],
    x: &Activations,
    first_token: usize,
    sums: &mut [[f32; PANEL]],
) {
    sums.fill([0.0; PANEL]);
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
                        (false, _) => -L::OFFSET * scale,
                        (true, false) => half(2 * PANEL + 2 * r),
                        (true, true) => -(half(2 * PANEL + 2 * r) * factor(n_groups + group)),
                    };
                    let range = group * columns..(group + 1) * columns;
                    for (t, sums) in sums.iter_mut().enumerate() {
                        let a = |c: usize| {
                            let low = x.lows.get(at + t).map(|low| i32::from(low.0[c]));
                            let high = i32::from(x.blocks[at + t].0[c]);
                            low.map_or(high, |low| 256 * high + low)
                        };
                        let dot: i32 =
                            range.clone().map(|c| i32::from(quant::<L>(quants, r, c)) * a(c)).sum();
                        let sum_a = if L::GROUPS_OF_16 {
                            x.half_sums[at + t][group]
                        } else {
                            x.sum[at + t]
                        };
                        let sum = (dot as f32).mul_add(scale * x.d[at + t], sums[r]);
                        sums[r] = min.mul_add(sum_a, sum);
                    }
                }
            }
        }
    }
}

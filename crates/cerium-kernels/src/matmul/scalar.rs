//! The definition: short, safe, slow. Every other path is tested against it, bit for bit.

use crate::activations::Activations;
use crate::block::BLOCK;
use crate::half::{bf16_to_f32, f16_to_f32};
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
    for (p, panel) in panels.chunks_exact(panel_bytes).enumerate() {
        for (i, record) in panel.chunks_exact(L::RECORD_BYTES).enumerate() {
            for (t, sums) in sums.iter_mut().skip(p).step_by(n_panels).enumerate() {
                let at = i * x.n_tokens + first_token + t;
                for (r, sum) in sums.iter_mut().enumerate() {
                    *sum = if L::BLOCKS == 1 {
                        block::<L>(record, r, x, at, *sum)
                    } else {
                        super_block::<L>(record, r, x, at, *sum)
                    };
                }
            }
        }
    }
}

fn bits(header: &[u8], i: usize) -> u16 {
    u16::from_le_bytes([header[2 * i], header[2 * i + 1]])
}

fn scale<L: Layout>(header: &[u8], r: usize) -> f32 {
    if L::BFLOATS { bf16_to_f32(bits(header, r)) } else { f16_to_f32(bits(header, r)) }
}

fn min(header: &[u8], r: usize) -> f32 {
    f16_to_f32(bits(header, PANEL + r))
}

/// `sum` and what a row's block adds to it: a scale times the exact sum of products, and a minimum times
/// the sum of the activations.
fn block<L: Layout>(record: &[u8], r: usize, x: &Activations, at: usize, sum: f32) -> f32 {
    let x = &x.blocks;
    let quants = &record[L::HEADER_BYTES..];
    let (d, sum_a) = (x.d[at], x.sums[at]);
    let mut dot = -L::OFFSET * sum_a;
    for c in 0..BLOCK {
        let high = i32::from(x.quants[at].0[c]);
        let a = x.lows.get(at).map_or(high, |low| 256 * high + i32::from(low.0[c]));
        dot += i32::from(quant::<L>(quants, r, c)) * a;
    }
    let sum = (dot as f32).mul_add(scale::<L>(record, r) * d, sum);
    if L::MINS { min(record, r).mul_add(sum_a as f32 * d, sum) } else { sum }
}

/// The same of a super-block, whose integer factors are part of the exact sums. Each byte of an
/// activation has sums of its own, low ones first: together they might not fit 32 bits.
fn super_block<L: Layout>(record: &[u8], r: usize, x: &Activations, at: usize, sum: f32) -> f32 {
    let x = &x.supers;
    let (header, blocks) = record.split_at(L::HEADER_BYTES);
    let n_groups = if L::GROUPS_OF_16 { 2 } else { 1 };
    let planes = [(&x.low, 1.0), (&x.high, if x.low.quants.is_empty() { 1.0 } else { 256.0 })];
    let mut sum = sum;
    for (plane, step) in planes.into_iter().filter(|(plane, _)| !plane.quants.is_empty()) {
        let (mut dot, mut mins) = (0, 0);
        for (i, block) in blocks.chunks_exact(L::BLOCK_BYTES).enumerate() {
            let (quants, factors) = block.split_at(L::QUANT_BYTES);
            for c in 0..BLOCK {
                let a = i32::from(plane.quants[at].0[BLOCK * i + c]);
                let group = c * n_groups / BLOCK;
                let factor = |run: usize| i32::from(factors[run * PANEL + r] as i8);
                dot += factor(group) * (i32::from(quant::<L>(quants, r, c)) - L::OFFSET) * a;
                mins += if L::MINS { factor(n_groups + group) * a } else { 0 };
            }
        }
        let d = x.d[at] * step;
        sum = (dot as f32).mul_add(scale::<L>(header, r) * d, sum);
        if L::MINS {
            sum = (mins as f32).mul_add(-(min(header, r) * d), sum);
        }
    }
    sum
}

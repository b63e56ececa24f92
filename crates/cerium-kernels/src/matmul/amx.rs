//! AMX: the integer products of sixteen tokens with sixteen rows in one instruction.
//!
//! A block of a panel, unpacked, lies in memory as the instruction wants its second operand: a row per
//! four columns, in it four bytes for each of the panel's rows. Sixteen tokens' blocks are the first
//! operand. Offsets are taken from the weights before, which gives the same integers as starting from
//! the sum of the activations. What is left to AVX-512 are the scales: per block (`blocks`), or per
//! super-block (`supers`).

mod blocks;
mod supers;

use super::avx512;
use crate::activations::Activations;
use crate::pack::{Layout, PANEL, panel_bytes};
use crate::tiles::{Results, Shapes, Tiles, clear, load, multiply, store};
pub(super) use supers::TOKENS as SUPER_TOKENS;

/// Tokens of a tile register.
const TOKENS: usize = 16;

/// See [`super::scalar::panels`].
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn panels<L: Layout>(
    panels: &[u8],
    x: &Activations,
    first_token: usize,
    sums: &mut [[f32; PANEL]],
) {
    let len = panel_bytes::<L>(x.n_cols);
    let n_tokens = sums.len() * len / panels.len();
    // Tiles are filled for few tokens too, but then AVX-512 is faster.
    let tokens_min = if L::BLOCKS == 1 { blocks::TOKENS_MIN } else { supers::TOKENS_MIN };
    if n_tokens < tokens_min || (L::BLOCKS > 1 && x.is_fine()) {
        return avx512::panels::<L>(panels, x, first_token, sums);
    }
    assert!(first_token + n_tokens <= x.n_tokens, "tokens of the tile");
    sums.fill([0.0; PANEL]);
    // SAFETY: whoever comes here holds the licence for AMX; the shapes are valid for its one
    // palette. The tokens are in the batch.
    unsafe {
        let shapes = if L::BLOCKS == 1 { blocks::shapes() } else { Shapes::full() };
        let _tiles = Tiles::new(&shapes);
        let (first, second) = panels.split_at(len);
        match (L::BLOCKS == 1, second.is_empty()) {
            (true, true) => blocks::panels::<L, 1>([first], x, first_token, sums),
            (true, false) => blocks::panels::<L, 2>([first, second], x, first_token, sums),
            (false, true) => supers::panels::<L, 1>([first], x, first_token, sums),
            (false, false) => supers::panels::<L, 2>([first, second], x, first_token, sums),
        }
    }
}

/// Products of whole tiles in four chains; returns the multiply-accumulates.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn peak() -> f64 {
    const STEPS: usize = 1 << 15;
    // SAFETY: as for `panels`; configured registers are zeros.
    unsafe {
        let _tiles = Tiles::new(&Shapes::full());
        for _ in 0..STEPS {
            multiply::<0, 4, 6>();
            multiply::<1, 4, 7>();
            multiply::<2, 5, 6>();
            multiply::<3, 5, 7>();
        }
    }
    (STEPS * 4 * TOKENS * PANEL * 64) as f64
}

//! AMX: the integer products of sixteen tokens with sixteen rows in one instruction.
//!
//! A block of a panel, unpacked, lies in memory as the instruction wants its second operand: a row per
//! four columns, in it four bytes for each of the panel's rows. Sixteen tokens' blocks are the first
//! operand. Offsets are taken from the weights before, which gives the same integers as starting from
//! the sum of the activations. What is left to AVX-512 are the scales: per block (`blocks`), or per
//! super-block (`supers`).
//!
//! Stable Rust has the instructions as inline assembly only. The compiler never uses tiles itself, so
//! nothing but this module changes them.

mod blocks;
mod supers;

use super::avx512;
use crate::activations::Activations;
use crate::pack::{Layout, PANEL, panel_bytes};
use std::arch::asm;
pub(super) use supers::TOKENS as SUPER_TOKENS;

/// Tokens of a tile register.
const TOKENS: usize = 16;

/// Shapes of the eight tile registers: the operand of `ldtilecfg`.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Shapes {
    /// Sixteen rows of 64 bytes, all of them.
    fn full() -> Self {
        let (mut row_bytes, mut rows) = ([0; 16], [0; 16]);
        row_bytes[..8].fill(64);
        rows[..8].fill(16);
        Self { palette: 1, start_row: 0, reserved: [0; 14], row_bytes, rows }
    }
}

/// One tile of results: a row per token.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Results([[i32; PANEL]; TOKENS]);

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
    // palette. Tiles are released before anything else can run on this thread. The tokens are in
    // the batch.
    unsafe {
        let shapes = if L::BLOCKS == 1 { blocks::shapes() } else { Shapes::full() };
        asm!("ldtilecfg [{}]", in(reg) &raw const shapes, options(nostack));
        let (first, second) = panels.split_at(len);
        match (L::BLOCKS == 1, second.is_empty()) {
            (true, true) => blocks::panels::<L, 1>([first], x, first_token, sums),
            (true, false) => blocks::panels::<L, 2>([first, second], x, first_token, sums),
            (false, true) => supers::panels::<L, 1>([first], x, first_token, sums),
            (false, false) => supers::panels::<L, 2>([first, second], x, first_token, sums),
        }
        asm!("tilerelease", options(nomem, nostack));
    }
}

/// Products of whole tiles in four chains; returns the multiply-accumulates.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn peak() -> f64 {
    const STEPS: usize = 1 << 15;
    // SAFETY: as for `panels`; configured registers are zeros.
    unsafe {
        let shapes = Shapes::full();
        asm!("ldtilecfg [{}]", in(reg) &raw const shapes, options(nostack));
        for _ in 0..STEPS {
            multiply::<0, 4, 6>();
            multiply::<1, 4, 7>();
            multiply::<2, 5, 6>();
            multiply::<3, 5, 7>();
        }
        asm!("tilerelease", options(nomem, nostack));
    }
    (STEPS * 4 * TOKENS * PANEL * 64) as f64
}

/// Fills a register, rows `stride` bytes apart.
#[inline(always)]
unsafe fn load<const REGISTER: usize>(from: *const u8, stride: usize) {
    // SAFETY: the rows are readable, by the callers' promise.
    unsafe {
        asm!(
            "tileloadd tmm{r}, [{from} + {stride}*1]",
            r = const REGISTER, from = in(reg) from, stride = in(reg) stride,
            options(nostack, readonly),
        );
    }
}

/// Adds the product of register `A`, activations, and register `B`, weights, to register `C`.
#[inline(always)]
unsafe fn multiply<const C: usize, const A: usize, const B: usize>() {
    // SAFETY: the registers are configured and filled, by the callers' promise.
    unsafe {
        asm!(
            "tdpbssd tmm{c}, tmm{a}, tmm{b}",
            c = const C, a = const A, b = const B, options(nomem, nostack),
        );
    }
}

/// Empties a register.
#[inline(always)]
unsafe fn clear<const REGISTER: usize>() {
    // SAFETY: the register is configured, by the callers' promise.
    unsafe {
        asm!("tilezero tmm{r}", r = const REGISTER, options(nomem, nostack));
    }
}

/// Writes a register's sixteen rows.
#[inline(always)]
unsafe fn store<const REGISTER: usize>(into: &mut Results) {
    // SAFETY: the register is configured as results, by the callers' promise.
    unsafe {
        asm!(
            "tilestored [{into} + {stride}*1], tmm{r}",
            r = const REGISTER, into = in(reg) &raw mut *into, stride = in(reg) 64usize,
            options(nostack),
        );
    }
}

//! Products of packed weights with a batch of activations.
//!
//! One output is `sum over blocks of d * s * (dot(q, a) - o * sum(a)) + m * (d * sum(a))`: `q` unsigned
//! quants with offset `o` and `a` int8 activations, all of it exact in integers, `s` and `m` the
//! weight's scale and minimum, `d` the activation's scale. The K types have integer factors per block and
//! halves per super-block of 256 columns; there the factors belong to the integers, and the sum goes over
//! super-blocks. They are added in ascending order with fused multiply-adds, for every row and token by
//! itself: neither the batch, nor the thread, nor the code path can change a bit of the result.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
mod float;
mod hidden;
mod scalar;
pub(crate) mod simd;

use crate::activations::Activations;
use crate::cpu::{Cpu, Isa};
use crate::pack::{Form, PANEL, PackedMatrix, with_layout};
use crate::team::{Shareable, Team};
pub use hidden::{Affine, Hidden, hidden};
use smallvec::SmallVec;
use std::ops::Range;

/// Tokens that one pass over a pair of panels serves; their sums stay in the first-level cache.
const TILE: usize = 64;

/// The same where more is unpacked for it.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
const TILE_MAX: usize = amx::SUPER_TOKENS;
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
const TILE_MAX: usize = TILE;

/// Panels that share a pass: activations are loaded once for both.
const PAIR: usize = 2;

/// Pairs a thread takes at once, of a large batch: they share what they read of the activations. And of
/// a small one, where threads would wait for each other at the end.
const PAIRS_PER_ITEM: [usize; 2] = [4, 2];

/// One product of a group that shares its activations, such as query, key and value.
#[derive(Debug)]
pub struct Product<'a> {
    /// The weights, `[n_rows, n_cols]`.
    pub weights: &'a PackedMatrix,
    /// The result, `[n_tokens, n_rows]`, row-major; overwritten.
    pub out: &'a mut [f32],
}

/// Computes `out = x * weights^T` for each product.
///
/// * `x`: `[n_tokens, n_cols]`
///
/// # Panics
/// If shapes do not fit each other, or activations lack what a matrix reads.
pub fn matmul(cpu: Cpu, team: &Team, x: &Activations, products: &mut [Product<'_>]) {
    if x.n_tokens == 0 {
        return;
    }
    let [many, few] = PAIRS_PER_ITEM;
    let panels_per_item = PAIR * if x.n_tokens > TILE { many } else { few };
    let n_groups = x.n_tokens.div_ceil(TILE_MAX);
    let mut jobs = SmallVec::<[_; 4]>::new();
    let mut n_items = 0;
    for Product { weights, out } in products {
        assert_eq!(weights.n_cols(), x.n_cols, "input features");
        assert_eq!(out.len(), weights.n_rows() * x.n_tokens, "output of [n_tokens, n_rows]");
        assert!(x.holds(weights.form()), "activations for {:?}", weights.form());
        jobs.push((n_items, *weights, Shareable(out.as_mut_ptr())));
        n_items += weights.n_panels().div_ceil(panels_per_item) * n_groups;
    }
    team.run(n_items, &|item| {
        let (first, weights, out) =
            jobs.iter().rfind(|(first, ..)| *first <= item).expect("the first job starts at 0");
        let (panels, tokens) = ((item - first) / n_groups, (item - first) % n_groups);
        let panels = panels * panels_per_item;
        let panels = panels..weights.n_panels().min(panels + panels_per_item);
        let tokens = tokens * TILE_MAX..x.n_tokens.min((tokens + 1) * TILE_MAX);
        let tile = tile(cpu, weights.form(), x);
        let run = |sums: &mut [[f32; PANEL]]| {
            // Tokens outside, so that a tile's activations stay in the second-level cache.
            for first_token in tokens.clone().step_by(tile) {
                for panel in panels.clone().step_by(PAIR) {
                    let panels = panel..panels.end.min(panel + PAIR);
                    let n_tokens = tile.min(tokens.end - first_token);
                    let sums = &mut sums[..panels.len() * n_tokens];
                    pair_sums(cpu, weights, panels.clone(), x, first_token, sums);
                    write_rows(sums, weights.n_rows(), panels, first_token, out);
                }
            }
        };
        match tile.min(x.n_tokens) {
            1 => run(&mut [[0.0; PANEL]; PAIR]),
            2..=TILE => run(&mut [[0.0; PANEL]; PAIR * TILE]),
            #[allow(clippy::large_stack_arrays, reason = "32 KiB, of stacks that have 2 MiB")]
            _ => run(&mut [[0.0; PANEL]; PAIR * TILE_MAX]),
        }
    });
}

/// Bytes of activations that stay in the second-level cache beside everything else.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
const CACHED_BYTES: usize = 5 << 18;

/// Tokens that one pass over a pair of panels serves: from [`TILE`] to [`TILE_MAX`].
fn tile(cpu: Cpu, form: Form, x: &Activations) -> usize {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    if cpu.0 == Isa::Amx && form == Form::Supers && !x.is_fine() {
        let mut tile = TILE_MAX;
        while tile > TILE && tile * x.n_cols > CACHED_BYTES {
            tile /= 2;
        }
        return tile;
    }
    let _ = (cpu, form, x);
    TILE
}

/// A path's bare products: each runs for a while and says how many multiply-accumulates that were. They
/// may be called wherever the path they were asked of may run.
pub(crate) struct Peaks {
    pub(crate) int8: unsafe fn() -> f64,
    pub(crate) float: unsafe fn() -> f64,
}

/// None for the scalar path, which has no instructions of its own.
pub(crate) fn peaks(cpu: Cpu) -> Option<Peaks> {
    match cpu.0 {
        Isa::Scalar => None,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => Some(Peaks { int8: avx2::peak, float: avx2::float_peak }),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512Vnni => Some(Peaks { int8: avx512::peak, float: avx512::float_peak }),
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        Isa::Amx => Some(Peaks { int8: amx::peak, float: avx512::float_peak }),
    }
}

/// A tile of tokens with one panel of 16 rows or two. `sums` has room for each panel and token; what
/// is in it does not matter.
pub(crate) fn pair_sums(
    cpu: Cpu,
    weights: &PackedMatrix,
    panels: Range<usize>,
    x: &Activations,
    first_token: usize,
    sums: &mut [[f32; PANEL]],
) {
    let bytes = weights.panels(panels);
    with_layout!(weights.kind(), L => match cpu.0 {
        Isa::Scalar => scalar::panels::<L>(bytes, x, first_token, sums),
        // SAFETY: `available` makes this value only after detecting the features.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { avx2::panels::<L>(bytes, x, first_token, sums) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512Vnni => unsafe { avx512::panels::<L>(bytes, x, first_token, sums) },
        // SAFETY: as above.
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        Isa::Amx => unsafe { amx::panels::<L>(bytes, x, first_token, sums) },
    }, float => float::panels(cpu, bytes, x, first_token, sums));
}

/// Writes a tile's sums to the rows of their tokens.
fn write_rows(
    sums: &[[f32; PANEL]],
    n_rows: usize,
    panels: Range<usize>,
    first_token: usize,
    out: &Shareable<f32>,
) {
    for (token, sums) in sums.chunks_exact(panels.len()).enumerate() {
        for (panel, sums) in panels.clone().zip(sums) {
            let n = PANEL.min(n_rows - panel * PANEL);
            let at = (first_token + token) * n_rows + panel * PANEL;
            // SAFETY: `at + n <= n_tokens * n_rows`, the checked length of this product's
            // output, and these rows belong to this panel alone.
            unsafe {
                if n == PANEL {
                    // A length known to the compiler: two stores instead of a call.
                    out.0.add(at).cast::<[f32; PANEL]>().write_unaligned(*sums);
                } else {
                    std::ptr::copy_nonoverlapping(sums.as_ptr(), out.0.add(at), n);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;

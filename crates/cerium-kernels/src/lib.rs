//! Quantised blocks to floats: packing, integer matrix products, attention, the thread team.
//!
//! Weights arrive as a GGUF file stores them, are packed once ([`PackedMatrix::pack`]) and then
//! multiplied with batches of quantised [`Activations`] by [`matmul`]. Everything that costs time
//! runs on a [`Team`] and takes the code path of a [`Cpu`].
//!
//! The promise of this crate: a result depends on its inputs alone. Batch size, number of threads
//! and code path change the speed and not a single bit.
//!
//! ```
//! use cerium_kernels::{Activations, Cpu, Detail, PackedMatrix, Product, Team, TensorType, matmul};
//!
//! let (cpu, team) = (Cpu::best(), Team::new(2));
//! let ones: Vec<u8> = std::iter::repeat_n(1.0f32.to_le_bytes(), 2 * 32).flatten().collect();
//! let weights = PackedMatrix::pack(&team, TensorType::F32, &ones, 2, 32)?;
//! let mut x = Activations::new();
//! x.quantize(cpu, &team, &mut [0.5; 32], 32, Detail::of(false, &[&weights]), |_, _| {});
//! let mut out = [0.0; 2];
//! matmul(cpu, &team, &x, &mut [Product { weights: &weights, out: &mut out }]);
//! assert_eq!(out, [16.0, 16.0]);
//! # Ok::<(), cerium_kernels::PackError>(())
//! ```

mod activations;
mod attention;
mod block;
mod cores;
mod cpu;
mod elementwise;
mod gate;
mod half;
mod matmul;
mod pack;
mod roofline;
mod screen;
mod team;
mod tensor_type;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod tiles;

pub use activations::{Activations, Detail};
pub use attention::{Attention, Heads, KvFormat, KvLayout, KvPage, PAGE, Span, attention};
pub use block::dequantize;
pub use cores::n_cores;
pub use cpu::Cpu;
pub use elementwise::{
    RopePairs, add, add_scaled, argmax, layer_norm, log_sum_exp, rms_norm, rope, softcap,
};
pub use gate::Gate;
pub use half::{f16_to_f32, f16s_to_f32s, f32_to_f16, f32s_to_f16s};
pub use matmul::{Affine, Hidden, Product, hidden, matmul};
pub use pack::{MatrixShape, PackError, PackedMatrix, layout_sample};
pub use roofline::{Memory, float_products, int8_products, read_bandwidth};
pub use screen::{Screen, ScreenShape, Screening};
pub use team::Team;
pub use tensor_type::TensorType;

//! The file's quantised blocks, read one block of 32 values at a time.
//!
//! Every quantised type is brought to one form: value `i` of a block of 32 is
//! `scale[i / 16] * (q[i] - offset) + min[i / 16]` with small unsigned integers `q`, or with
//! `codes[q[i]]` in their place where the quants stand for 16 values of the type's own. The formats are
//! ggml's (`ggml-common.h`, `dequantize_row_*`); checked against the `gguf` Python package in
//! `tests/it/dequant.rs`.

use crate::TensorType;
use crate::half::{bf16_to_f32, f16_to_f32};

/// Values per block in this form.
pub(crate) const BLOCK: usize = 32;

/// Values of a K type that share their half-precision factors.
pub(crate) const SUPER: usize = 256;

/// One block of 32 values. Scales and minima stay as the factors the file holds, so that packing
/// loses nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Block {
    /// Unsigned quants.
    pub(crate) q: [u8; BLOCK],
    /// Half-precision factor of the scales, as bits; of a bfloat where the type [has those](has_bfloats).
    pub(crate) d: u16,
    /// Half-precision factor of the minima, as bits; 0 where the type has none.
    pub(crate) m: u16,
    /// Integer factors of the scales of the two halves; 1 where the type has none.
    pub(crate) scales: [i8; 2],
    /// Integer factors of the minima; they are subtracted. -1 where the type has none.
    pub(crate) mins: [i8; 2],
}

/// What the quants of `IQ4_NL` and `IQ4_XS` stand for, with their offset.
pub(crate) const IQ4_CODES: [u8; 16] =
    [1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241];

/// The same of `MXFP4`: twice the floats of a sign, two bits of exponent and one of mantissa.
pub(crate) const MXFP4_CODES: [u8; 16] =
    [12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0];

/// What quants stand for, where it is not themselves.
const fn codes(kind: TensorType) -> Option<&'static [u8; 16]> {
    match kind {
        TensorType::IQ4_NL | TensorType::IQ4_XS => Some(&IQ4_CODES),
        TensorType::MXFP4 => Some(&MXFP4_CODES),
        _ => None,
    }
}

/// Whether scales are upper halves of singles: powers of two that a half cannot hold.
const fn has_bfloats(kind: TensorType) -> bool {
    matches!(kind, TensorType::MXFP4)
}

/// What is subtracted from the quants of a type, or from what they stand for.
pub(crate) const fn offset(kind: TensorType) -> i32 {
    match kind {
        TensorType::Q4_0 => 8,
        TensorType::Q5_0 => 16,
        TensorType::Q8_0 | TensorType::IQ4_NL | TensorType::IQ4_XS => 128,
        TensorType::Q6_K => 32,
        TensorType::Q3_K => 4,
        TensorType::MXFP4 => 12,
        _ => 0,
    }
}

/// Reads block `i` (of 32 values) of a row of quantised `bytes`.
///
/// # Panics
/// If `kind` is a float type or the row is too short.
pub(crate) fn read(kind: TensorType, bytes: &[u8], i: usize) -> Block {
    let per_super = kind.block_len() / BLOCK;
    let at = i / per_super * kind.block_bytes();
    let bytes = &bytes[at..at + kind.block_bytes()];
    let sub = i % per_super;
    match kind {
        TensorType::Q4_0 | TensorType::IQ4_NL => legacy(bytes, 4, false),
        TensorType::Q4_1 => legacy(bytes, 4, true),
        TensorType::Q5_0 => legacy(bytes, 5, false),
        TensorType::Q5_1 => legacy(bytes, 5, true),
        TensorType::Q8_0 => q8_0(bytes),
        TensorType::Q2_K => q2_k(bytes, sub),
        TensorType::Q3_K => q3_k(bytes, sub),
        TensorType::Q4_K => q4_k(bytes, sub),
        TensorType::Q5_K => q5_k(bytes, sub),
        TensorType::Q6_K => q6_k(bytes, sub),
        TensorType::IQ4_XS => iq4_xs(bytes, sub),
        TensorType::MXFP4 => mxfp4(bytes),
        TensorType::F32 | TensorType::F16 | TensorType::BF16 => {
            unreachable!("{} has no quantised blocks", kind.name())
        }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// 32 nibbles: the lower ones first.
fn nibbles(bytes: &[u8]) -> [u8; BLOCK] {
    let mut q = [0; BLOCK];
    let (low, high) = q.split_at_mut(BLOCK / 2);
    for ((low, high), nibbles) in low.iter_mut().zip(high).zip(bytes) {
        (*low, *high) = (nibbles & 15, nibbles >> 4);
    }
    q
}

/// `Q4_0`, `Q4_1`, `Q5_0`, `Q5_1`, `IQ4_NL`: scale, perhaps a minimum, perhaps 32 fifth bits, 32 nibbles.
fn legacy(bytes: &[u8], bits: u32, has_min: bool) -> Block {
    let header = if has_min { 4 } else { 2 };
    let (fifth, low) = bytes[header..].split_at(if bits == 5 { 4 } else { 0 });
    let mut q = nibbles(low);
    if let Some(fifth) = fifth.first_chunk() {
        let fifth = u32::from_le_bytes(*fifth);
        q.iter_mut().enumerate().for_each(|(j, q)| *q |= (((fifth >> j) & 1) << 4) as u8);
    }
    let m = if has_min { u16_at(bytes, 2) } else { 0 };
    Block { q, d: u16_at(bytes, 0), m, scales: [1; 2], mins: [-1; 2] }
}

fn q8_0(bytes: &[u8]) -> Block {
    let q = std::array::from_fn(|j| bytes[2 + j] ^ 0x80);
    Block { q, d: u16_at(bytes, 0), m: 0, scales: [1; 2], mins: [-1; 2] }
}

/// The 6-bit scale and minimum of sub-block `j` in the 12 bytes of `Q4_K` and `Q5_K`.
fn scale_min(packed: &[u8], j: usize) -> (i8, i8) {
    let (scale, min) = if j < 4 {
        (packed[j] & 63, packed[j + 4] & 63)
    } else {
        let low = packed[j + 4];
        ((low & 15) | (packed[j - 4] >> 6 << 4), (low >> 4) | (packed[j] >> 6 << 4))
    };
    (scale as i8, min as i8)
}

/// Sub-block `sub` of the nibbles of a 256-value block: pairs of sub-blocks share 32 bytes.
fn k_nibbles(bytes: &[u8], sub: usize) -> [u8; BLOCK] {
    let shift = sub % 2 * 4;
    std::array::from_fn(|l| (bytes[sub / 2 * 32 + l] >> shift) & 15)
}

fn q4_k(bytes: &[u8], sub: usize) -> Block {
    let (scale, min) = scale_min(&bytes[4..16], sub);
    let q = k_nibbles(&bytes[16..], sub);
    let (d, m) = (u16_at(bytes, 0), u16_at(bytes, 2));
    Block { q, d, m, scales: [scale; 2], mins: [min; 2] }
}

fn q5_k(bytes: &[u8], sub: usize) -> Block {
    let (scale, min) = scale_min(&bytes[4..16], sub);
    let (high, nibbles) = bytes[16..].split_at(32);
    let mut q = k_nibbles(nibbles, sub);
    q.iter_mut().zip(high).for_each(|(q, h)| *q |= ((h >> sub) & 1) << 4);
    let (d, m) = (u16_at(bytes, 0), u16_at(bytes, 2));
    Block { q, d, m, scales: [scale; 2], mins: [min; 2] }
}

fn q6_k(bytes: &[u8], sub: usize) -> Block {
    let (half, part) = (sub / 4, sub % 4);
    let low = &bytes[half * 64 + part % 2 * 32..];
    let high = &bytes[128 + half * 32..];
    let q = std::array::from_fn(|l| {
        ((low[l] >> (part / 2 * 4)) & 15) | (((high[l] >> (part * 2)) & 3) << 4)
    });
    let scales = [bytes[192 + sub * 2] as i8, bytes[193 + sub * 2] as i8];
    Block { q, d: u16_at(bytes, 208), m: 0, scales, mins: [-1; 2] }
}

fn q3_k(bytes: &[u8], sub: usize) -> Block {
    let (high, rest) = bytes.split_at(32);
    let (low, packed) = rest.split_at(64);
    let q = std::array::from_fn(|l| {
        let low = (low[sub / 4 * 32 + l] >> (sub % 4 * 2)) & 3;
        low | (((high[l] >> sub) & 1) << 2)
    });
    let scale = |j: usize| {
        let low = if j < 8 { packed[j] & 15 } else { packed[j - 8] >> 4 };
        let high = (packed[8 + j % 4] >> (j / 4 * 2)) & 3;
        (low | (high << 4)) as i8 - 32
    };
    let scales = [scale(sub * 2), scale(sub * 2 + 1)];
    Block { q, d: u16_at(bytes, 108), m: 0, scales, mins: [-1; 2] }
}

fn q2_k(bytes: &[u8], sub: usize) -> Block {
    let (packed, low) = bytes.split_at(16);
    let q = std::array::from_fn(|l| (low[sub / 4 * 32 + l] >> (sub % 4 * 2)) & 3);
    let pair = [packed[sub * 2], packed[sub * 2 + 1]];
    let (d, m) = (u16_at(bytes, 80), u16_at(bytes, 82));
    Block { q, d, m, scales: pair.map(|p| (p & 15) as i8), mins: pair.map(|p| (p >> 4) as i8) }
}

fn iq4_xs(bytes: &[u8], sub: usize) -> Block {
    let low = (bytes[4 + sub / 2] >> (sub % 2 * 4)) & 15;
    let high = (u16_at(bytes, 2) >> (2 * sub)) & 3;
    let scale = (low | (high << 4) as u8) as i8 - 32;
    let q = nibbles(&bytes[8 + 16 * sub..][..16]);
    Block { q, d: u16_at(bytes, 0), m: 0, scales: [scale; 2], mins: [-1; 2] }
}

/// The scale is `2^(e - 127)` of values that are doubled here.
fn mxfp4(bytes: &[u8]) -> Block {
    let d = match u16::from(bytes[0]) {
        // Subnormal.
        e @ 0..2 => 0x20 << e,
        e => (e - 1) << 7,
    };
    Block { q: nibbles(&bytes[1..]), d, m: 0, scales: [1; 2], mins: [-1; 2] }
}

/// Writes the values of one row as f32.
///
/// * `bytes`: the row as the file stores it, `out.len() / block_len * block_bytes` bytes
///
/// # Panics
/// If the lengths do not fit each other.
pub fn dequantize(kind: TensorType, bytes: &[u8], out: &mut [f32]) {
    assert_eq!(out.len() % kind.block_len(), 0, "a row of whole {} blocks", kind.name());
    assert_eq!(bytes.len(), out.len() / kind.block_len() * kind.block_bytes(), "row length");
    match kind {
        TensorType::F32 => {
            let (words, _) = bytes.as_chunks::<4>();
            words.iter().zip(out).for_each(|(&w, o)| *o = f32::from_le_bytes(w));
        }
        TensorType::F16 => {
            let (words, _) = bytes.as_chunks::<2>();
            words.iter().zip(out).for_each(|(&w, o)| *o = f16_to_f32(u16::from_le_bytes(w)));
        }
        TensorType::BF16 => {
            let (words, _) = bytes.as_chunks::<2>();
            words.iter().zip(out).for_each(|(&w, o)| *o = bf16_to_f32(u16::from_le_bytes(w)));
        }
        _ => {
            let (offset, codes) = (offset(kind), codes(kind));
            let scale = if has_bfloats(kind) { bf16_to_f32 } else { f16_to_f32 };
            for (i, out) in out.chunks_exact_mut(BLOCK).enumerate() {
                let block = read(kind, bytes, i);
                let (d, m) = (scale(block.d), f16_to_f32(block.m));
                for (j, out) in out.iter_mut().enumerate() {
                    let scale = d * f32::from(block.scales[j / 16]);
                    let min = m * f32::from(block.mins[j / 16]);
                    let q = block.q[j];
                    let value = codes.map_or(q, |codes| codes[usize::from(q)]);
                    *out = scale * (i32::from(value) - offset) as f32 - min;
                }
            }
        }
    }
}

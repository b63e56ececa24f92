//! Integers of 16 bits, laid out as products read them.
//!
//! A product sums `left * right` over an inner dimension, in integers. What is summed are 16 bits times
//! 16 bits, without the product of their low bytes; high bytes are rounded and low ones have a sign, so
//! that what is left out is some `2^-16` of the greatest product and has no bias. Two forms give the same
//! integers: words of 16 bits, in pairs, and bytes, in fours.
//!
//! * from halves, words: `whole * high + high * low` (left times right, here and below)
//! * from halves, bytes: `256 * high * high + high * low + low * high`
//! * stored as bytes, which have no low ones, words: `high * whole`
//! * stored as bytes, bytes: `256 * high * high + high * low`

use super::lanes::{Buffer, LANES, Lanes};
use super::page::{STEPS, Stored, inverse};
use super::{Form, KvFormat, PAGE, rotation};
use crate::cpu::{Cpu, per_isa};
use crate::half::f16s_to_f32s;

/// Adding 1.5 * 2^23 leaves the rounded integer in the low mantissa bits.
pub(super) const MAGIC: f32 = 12_582_912.0;

/// The low 16 bits are the value, rounded to nearest even.
#[inline(always)]
fn round(value: f32, inverse: f32) -> u32 {
    value.mul_add(inverse, MAGIC).to_bits()
}

/// The high byte of 16 bits, in the low byte: the low one counts from -128 to 127.
#[inline(always)]
fn high(bits: u32) -> u32 {
    ((bits + 128) as u16 as i16 >> 8) as u32
}

/// Values of the inner dimension: whole rows of tiles, with zeros at the end.
pub(super) fn inner_len(n: usize) -> usize {
    n.next_multiple_of(64)
}

/// Planes of a right operand.
fn n_planes(form: Form, format: KvFormat) -> usize {
    if form == Form::Words && format == KvFormat::Q8 { 1 } else { 2 }
}

/// Lines of a right operand, of all its planes.
pub(super) fn right_len(form: Form, format: KvFormat, inner: usize) -> usize {
    let values_per_line = if form == Form::Words { 2 } else { 4 };
    n_planes(form, format) * inner / values_per_line
}

/// Two rounded values in the words of both planes of a right operand.
#[inline(always)]
fn pair(format: KvFormat, a: u32, b: u32) -> (u32, u32) {
    match format {
        KvFormat::F16 => {
            let (low_a, low_b) = (a as u8 as i8 as u32, b as u8 as i8 as u32);
            (high(a) & 0xffff | high(b) << 16, low_a & 0xffff | low_b << 16)
        }
        KvFormat::Q8 => (a & 0xffff | b << 16, 0),
    }
}

/// Four rounded values in the bytes of both planes of a right operand.
#[inline(always)]
fn four(a: u32, b: u32, c: u32, d: u32) -> (u32, u32) {
    let low = a & 0xff | (b & 0xff) << 8 | (c & 0xff) << 16 | d << 24;
    let (a, b, c, d) = (a + 128, b + 128, c + 128, d + 128);
    (a >> 8 & 0xff | b & 0xff00 | (c & 0xff00) << 8 | (d & 0xff00) << 16, low)
}

/// Writes the weights of a page's slots as a right operand.
#[inline(always)]
pub(super) fn pack_weights(
    form: Form,
    format: KvFormat,
    weights: &[Lanes<f32>; PAGE],
    inverses: &Lanes<f32>,
    into: &mut [Lanes<u32>],
) {
    match form {
        Form::Words => {
            let (first, second) = into.split_at_mut(PAGE / 2);
            for i in 0..PAGE / 2 {
                let (mut ones, mut twos) = (first[i], first[i]);
                for lane in 0..LANES {
                    let a = round(weights[2 * i].0[lane], inverses.0[lane]);
                    let b = round(weights[2 * i + 1].0[lane], inverses.0[lane]);
                    (ones.0[lane], twos.0[lane]) = pair(format, a, b);
                }
                first[i] = ones;
                if format == KvFormat::F16 {
                    second[i] = twos;
                }
            }
        }
        Form::Bytes => {
            let (first, second) = into.split_at_mut(PAGE / 4);
            for i in 0..PAGE / 4 {
                for lane in 0..LANES {
                    let a = round(weights[4 * i].0[lane], inverses.0[lane]);
                    let b = round(weights[4 * i + 1].0[lane], inverses.0[lane]);
                    let c = round(weights[4 * i + 2].0[lane], inverses.0[lane]);
                    let d = round(weights[4 * i + 3].0[lane], inverses.0[lane]);
                    (first[i].0[lane], second[i].0[lane]) = four(a, b, c, d);
                }
            }
        }
    }
}

/// A query's words on the way into its lane, by plane.
#[derive(Debug, Default)]
pub(super) struct QueryRow {
    planes: [Vec<u32>; 2],
    /// The query, as keys are stored.
    query: Vec<f32>,
}

impl QueryRow {
    /// Quantises a query into a lane of a right operand; returns its step.
    pub(super) fn pack(
        &mut self,
        (cpu, form, format): (Cpu, Form, KvFormat),
        query: &[f32],
        lane: usize,
        into: &mut [Lanes<u32>],
    ) -> f32 {
        let n_planes = n_planes(form, format);
        let n_words = query.len() / if form == Form::Words { 2 } else { 4 };
        self.query.clear();
        self.query.extend_from_slice(query);
        if format == KvFormat::Q8 {
            rotation::spread(cpu, &mut self.query);
        }
        for plane in &mut self.planes {
            plane.resize(n_words, 0);
        }
        let ([first, second], query) = (&mut self.planes, &self.query[..]);
        let step = per_isa!(cpu, query_body(
            form: Form,
            format: KvFormat,
            query: &[f32],
            first: &mut [u32],
            second: &mut [u32],
        ) -> f32);
        let plane_len = into.len() / n_planes;
        for (lines, plane) in into.chunks_exact_mut(plane_len).zip(&self.planes) {
            for (line, word) in lines.iter_mut().zip(plane) {
                line.0[lane] = *word;
            }
        }
        step
    }
}

#[inline(always)]
fn query_body(
    form: Form,
    format: KvFormat,
    query: &[f32],
    first: &mut [u32],
    second: &mut [u32],
) -> f32 {
    let mut max = 0;
    for value in query {
        max = max.max(value.to_bits() & 0x7fff_ffff);
    }
    let step = f32::from_bits(max) / STEPS;
    let by = inverse(step);
    match form {
        Form::Words => {
            for ((x, first), second) in query.as_chunks::<2>().0.iter().zip(first).zip(second) {
                (*first, *second) = pair(format, round(x[0], by), round(x[1], by));
            }
        }
        Form::Bytes => {
            for ((x, first), second) in query.as_chunks::<4>().0.iter().zip(first).zip(second) {
                let [a, b, c, d] = *x;
                (*first, *second) = four(round(a, by), round(b, by), round(c, by), round(d, by));
            }
        }
    }
    step
}

/// The left operand of one product: `[n_rows, inner]` for each plane.
#[derive(Clone, Copy, Debug)]
pub(super) enum Left<'a> {
    /// One plane or two.
    Words(&'a [i16], &'a [i16]),
    /// High bytes, and low ones if there are any.
    Bytes(&'a [i8], &'a [i8]),
}

/// Room for a page's left operands.
#[derive(Debug, Default)]
pub(super) struct Unpacked {
    planes: [Buffer; 2],
    floats: Vec<f32>,
}

impl Unpacked {
    /// Keys, `[PAGE, dim]`, as rows of a product over features.
    pub(super) fn keys<'a>(
        &'a mut self,
        (cpu, form): (Cpu, Form),
        keys: Stored<'a>,
        steps: &[f32; PAGE],
    ) -> Left<'a> {
        self.unpack(cpu, form, keys, PAGE, steps, true)
    }

    /// Values, `[dim, PAGE]`, as rows of a product over positions.
    pub(super) fn values<'a>(
        &'a mut self,
        (cpu, form): (Cpu, Form),
        values: Stored<'a>,
        steps: &[f32; PAGE],
    ) -> Left<'a> {
        let n_rows = match values {
            Stored::Halves(halves) => halves.len() / PAGE,
            Stored::Bytes(bytes) => bytes.len() / PAGE,
        };
        self.unpack(cpu, form, values, n_rows, steps, false)
    }

    /// `by_row`: whether a step belongs to a row, or to a column.
    fn unpack<'a>(
        &'a mut self,
        cpu: Cpu,
        form: Form,
        stored: Stored<'a>,
        n_rows: usize,
        steps: &[f32; PAGE],
        by_row: bool,
    ) -> Left<'a> {
        match stored {
            Stored::Halves(halves) => {
                let len = halves.len() / n_rows;
                let n = n_rows * inner_len(len);
                let [first, second] = &mut self.planes;
                match form {
                    Form::Words => {
                        self.floats.resize(halves.len(), 0.0);
                        f16s_to_f32s(cpu, halves, &mut self.floats);
                        let (floats, shape) = (&self.floats[..], (len, by_row));
                        let (first, second) = (first.words(n), second.words(n));
                        per_isa!(cpu, words_body(
                            floats: &[f32],
                            shape: (usize, bool),
                            steps: &[f32; PAGE],
                            first: &mut [i16],
                            second: &mut [i16],
                        ));
                        Left::Words(first, second)
                    }
                    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
                    Form::Bytes => {
                        let (first, second) = (first.bytes(n), second.bytes(n));
                        // SAFETY: bytes are the form of AMX alone, which comes with AVX-512.
                        unsafe { halves_to_bytes(halves, (len, by_row), steps, first, second) };
                        Left::Bytes(first, second)
                    }
                    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
                    Form::Bytes => unreachable!("bytes are for tiles"),
                }
            }
            Stored::Bytes(bytes) => {
                let len = bytes.len() / n_rows;
                let inner = inner_len(len);
                let n = n_rows * inner;
                let [first, _] = &mut self.planes;
                match form {
                    Form::Words => {
                        let words = first.words(n);
                        for (row, words) in
                            bytes.chunks_exact(len).zip(words.chunks_exact_mut(inner))
                        {
                            for (byte, word) in row.iter().zip(words) {
                                *word = i16::from(*byte);
                            }
                        }
                        Left::Words(words, &[])
                    }
                    Form::Bytes if inner == len => Left::Bytes(bytes, &[]),
                    Form::Bytes => {
                        let padded = first.bytes(n);
                        for (row, into) in
                            bytes.chunks_exact(len).zip(padded.chunks_exact_mut(inner))
                        {
                            into[..len].copy_from_slice(row);
                        }
                        Left::Bytes(padded, &[])
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn words_body(
    floats: &[f32],
    (len, by_row): (usize, bool),
    steps: &[f32; PAGE],
    first: &mut [i16],
    second: &mut [i16],
) {
    let inner = inner_len(len);
    let mut by = [0.0; PAGE];
    for (by, &step) in by.iter_mut().zip(steps) {
        *by = inverse(step);
    }
    for (i, row) in floats.chunks_exact(len).enumerate() {
        let (first, second) = (&mut first[i * inner..][..len], &mut second[i * inner..][..len]);
        if by_row {
            for ((&value, first), second) in row.iter().zip(first).zip(second) {
                let bits = round(value, by[i]);
                (*first, *second) = (bits as i16, high(bits) as i16);
            }
        } else {
            for (((&value, &by), first), second) in row.iter().zip(&by).zip(first).zip(second) {
                let bits = round(value, by);
                (*first, *second) = (bits as i16, high(bits) as i16);
            }
        }
    }
}

/// The same in bytes, which only AMX reads: in one pass from halves, because that is what a decoded
/// token waits for.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn halves_to_bytes(
    halves: &[u16],
    (len, by_row): (usize, bool),
    steps: &[f32; PAGE],
    first: &mut [i8],
    second: &mut [i8],
) {
    use std::arch::x86_64::*;
    let (inner, n_rows) = (inner_len(len), halves.len() / len);
    assert!(len.is_multiple_of(16) && halves.len() == n_rows * len, "whole rows");
    assert!(n_rows * inner <= first.len() && first.len() == second.len(), "room");
    assert!(if by_row { n_rows == PAGE } else { len == PAGE }, "a step for each");
    let mut by = [0.0; PAGE];
    for (by, &step) in by.iter_mut().zip(steps) {
        *by = inverse(step);
    }
    let (magic, half) = (_mm512_set1_ps(MAGIC), _mm512_set1_epi32(128));
    for row in 0..n_rows {
        for i in (0..len).step_by(16) {
            // SAFETY: sixteen values from `i` on are inside the row, here and there, and inside `by`
            // where columns have steps.
            unsafe {
                let by = if by_row {
                    _mm512_set1_ps(by[row])
                } else {
                    _mm512_loadu_ps(by.as_ptr().add(i))
                };
                let at = halves.as_ptr().add(row * len + i).cast();
                let value = _mm512_cvtph_ps(_mm256_loadu_si256(at));
                let bits = _mm512_castps_si512(_mm512_fmadd_ps(value, by, magic));
                let high = _mm512_srli_epi32::<8>(_mm512_add_epi32(bits, half));
                let at = row * inner + i;
                let (high, low) = (_mm512_cvtepi32_epi8(high), _mm512_cvtepi32_epi8(bits));
                _mm_storeu_si128(first.as_mut_ptr().add(at).cast(), high);
                _mm_storeu_si128(second.as_mut_ptr().add(at).cast(), low);
            }
        }
    }
}

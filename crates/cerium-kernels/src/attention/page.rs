//! Keys and values as they are stored: a page holds 64 positions of all layers.
//!
//! Keys lie position by position, values feature by feature: each as the rows of the product that reads
//! them. Every position and head has a step for its key and one for its value, by which attention
//! counts them as integers of 16 bits. So what a position stores depends on itself alone.

use super::lanes::Buffer;
use super::{Heads, PAGE, rotation};
use crate::cpu::Cpu;
use crate::{f16_to_f32, f32s_to_f16s};

/// Steps of a 16-bit integer to the greatest value of a key, value or query: its high byte, rounded, is
/// then 127 at most.
pub(super) const STEPS: f32 = 127.0 * 256.0;

/// The greatest half. Beyond it values are cut: infinities would spoil every sum that they enter.
const HALF_MAX: f32 = 65504.0;

/// The smallest half: keys and values of nothing greater count as zeros.
const HALF_MIN: f32 = 5.960_464_5e-8;

/// How keys and values are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KvFormat {
    /// As halves.
    #[default]
    F16,
    /// As integers of 8 bits.
    Q8,
}

impl KvFormat {
    /// Name for people and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Q8 => "q8",
        }
    }
}

/// What pages look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvLayout {
    /// Heads of each layer.
    pub heads: Heads,
    /// Decoder layers.
    pub n_layers: usize,
    /// How numbers are stored.
    pub format: KvFormat,
}

impl KvLayout {
    /// Bytes of a page.
    pub fn page_bytes(self) -> usize {
        let Heads { n_kv_heads, head_dim, .. } = self.heads;
        let value_bytes = match self.format {
            KvFormat::F16 => 2,
            KvFormat::Q8 => 1,
        };
        2 * self.n_layers * n_kv_heads * PAGE * (head_dim * value_bytes + size_of::<f32>())
    }
}

/// Keys and values of [`PAGE`] positions.
#[derive(Clone, Debug)]
pub struct KvPage {
    layout: KvLayout,
    /// `[n_layers, n_kv_heads, PAGE, head_dim]`
    keys: Store,
    /// `[n_layers, n_kv_heads, head_dim, PAGE]`
    values: Store,
    /// `[n_layers, n_kv_heads, PAGE]`
    key_steps: Vec<f32>,
    value_steps: Vec<f32>,
}

#[derive(Clone, Debug)]
enum Store {
    Halves(Vec<u16>),
    /// Counted in 256 steps.
    Bytes(Buffer),
}

/// One layer's keys, or values, of a head, as they are stored.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stored<'a> {
    Halves(&'a [u16]),
    Bytes(&'a [i8]),
}

/// One layer's keys and values of a head: `[PAGE, head_dim]`, `[head_dim, PAGE]` and their steps.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadPage<'a> {
    pub(super) keys: Stored<'a>,
    pub(super) values: Stored<'a>,
    pub(super) key_steps: &'a [f32; PAGE],
    pub(super) value_steps: &'a [f32; PAGE],
}

impl KvPage {
    /// A page of zeros.
    pub fn new(layout: KvLayout) -> Self {
        let n_steps = layout.n_layers * layout.heads.n_kv_heads * PAGE;
        let n = n_steps * layout.heads.head_dim;
        // Made twice: memory that comes zeroed is not touched, and that of a copy is.
        let [keys, values] = [(); 2].map(|()| match layout.format {
            KvFormat::F16 => Store::Halves(vec![0; n]),
            KvFormat::Q8 => {
                let mut bytes = Buffer::default();
                bytes.bytes(n);
                Store::Bytes(bytes)
            }
        });
        let (key_steps, value_steps) = (vec![0.0; n_steps], vec![0.0; n_steps]);
        Self { layout, keys, values, key_steps, value_steps }
    }

    /// What it looks like.
    pub fn layout(&self) -> KvLayout {
        self.layout
    }

    /// Takes over all that a page of the same layout holds.
    ///
    /// # Panics
    /// If layouts differ.
    pub fn copy_from(&mut self, other: &Self) {
        assert_eq!(self.layout, other.layout, "pages of one layout");
        self.keys.copy_from(&other.keys);
        self.values.copy_from(&other.values);
        self.key_steps.copy_from_slice(&other.key_steps);
        self.value_steps.copy_from_slice(&other.value_steps);
    }

    /// Appends all that it holds: keys, values and the steps of both, little-endian,
    /// [`KvLayout::page_bytes`] in all.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        for store in [&self.keys, &self.values] {
            match store {
                Store::Halves(halves) => put(out, halves, u16::to_le_bytes),
                Store::Bytes(bytes) => put(out, bytes.as_bytes(), i8::to_le_bytes),
            }
        }
        for steps in [&self.key_steps, &self.value_steps] {
            put(out, steps, f32::to_le_bytes);
        }
    }

    /// Takes over what a page of the same layout [wrote](Self::write_to).
    ///
    /// # Panics
    /// If it is not as long.
    pub fn read_from(&mut self, bytes: &[u8]) {
        assert_eq!(bytes.len(), self.layout.page_bytes(), "bytes of a page");
        let mut rest = bytes;
        for store in [&mut self.keys, &mut self.values] {
            match store {
                Store::Halves(halves) => get(&mut rest, halves, u16::from_le_bytes),
                Store::Bytes(bytes) => {
                    let n = bytes.as_bytes().len();
                    get(&mut rest, bytes.bytes(n), i8::from_le_bytes);
                }
            }
        }
        for steps in [&mut self.key_steps, &mut self.value_steps] {
            get(&mut rest, steps, f32::from_le_bytes);
        }
    }

    /// Stores one position's key and value in one layer.
    ///
    /// * `key`, `value`: `[n_kv_heads, head_dim]`
    /// * `slot`: position inside the page
    ///
    /// # Panics
    /// If lengths do not fit the layout, or `layer` or `slot` is outside.
    pub fn store(&mut self, cpu: Cpu, layer: usize, slot: usize, key: &[f32], value: &[f32]) {
        let Heads { n_kv_heads, head_dim: dim, .. } = self.layout.heads;
        assert!(slot < PAGE && layer < self.layout.n_layers, "place in the page");
        assert!(key.len() == n_kv_heads * dim && value.len() == key.len(), "lengths");
        let mut spread = Vec::new();
        for head in 0..n_kv_heads {
            let at = layer * n_kv_heads + head;
            let range = head * dim..(head + 1) * dim;
            let mut key = &key[range.clone()];
            if self.layout.format == KvFormat::Q8 {
                spread.clear();
                spread.extend_from_slice(key);
                rotation::spread(cpu, &mut spread);
                key = &spread;
            }
            self.key_steps[at * PAGE + slot] = self.keys.put(cpu, key, (at * PAGE + slot) * dim, 1);
            self.value_steps[at * PAGE + slot] =
                self.values.put(cpu, &value[range], at * PAGE * dim + slot, PAGE);
        }
    }

    pub(super) fn head(&self, layer: usize, head: usize) -> HeadPage<'_> {
        let Heads { n_kv_heads, head_dim, .. } = self.layout.heads;
        let at = layer * n_kv_heads + head;
        let range = at * PAGE * head_dim..(at + 1) * PAGE * head_dim;
        HeadPage {
            keys: self.keys.get(range.clone()),
            values: self.values.get(range),
            key_steps: &self.key_steps.as_chunks().0[at],
            value_steps: &self.value_steps.as_chunks().0[at],
        }
    }
}

impl Stored<'_> {
    /// Asks for it, because it will be read soon: processors fetch ahead within 4 KiB only, and a token
    /// that is decoded reads every page once.
    pub(super) fn prefetch(&self) {
        let (start, n_bytes) = match self {
            Self::Halves(halves) => (halves.as_ptr().cast::<i8>(), 2 * halves.len()),
            Self::Bytes(bytes) => (bytes.as_ptr(), bytes.len()),
        };
        #[cfg(target_arch = "x86_64")]
        for line in (0..n_bytes).step_by(64) {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: any address may be asked for.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(line)) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (start, n_bytes);
    }
}

impl Store {
    /// Stores a head's values, `distance` apart from `at` on; returns their step.
    fn put(&mut self, cpu: Cpu, values: &[f32], at: usize, distance: usize) -> f32 {
        match self {
            Self::Halves(halves) => {
                const RUN: usize = 64;
                let (mut within, mut run, mut greatest) = ([0.0; RUN], [0; RUN], 0);
                for (i, values) in values.chunks(RUN).enumerate() {
                    let (within, run) = (&mut within[..values.len()], &mut run[..values.len()]);
                    within.iter_mut().zip(values).for_each(|(v, &value)| *v = finite(value));
                    f32s_to_f16s(cpu, within, run);
                    let places = halves[at + i * RUN * distance..].iter_mut().step_by(distance);
                    places.zip(&*run).for_each(|(place, &half)| *place = half);
                    greatest = run.iter().fold(greatest, |max, half| max.max(half & 0x7fff));
                }
                f16_to_f32(greatest) / STEPS
            }
            Self::Bytes(bytes) => {
                let size = |&value: &f32| finite(value).to_bits() & 0x7fff_ffff;
                let max = f32::from_bits(values.iter().map(size).fold(0, u32::max));
                let step = if max < HALF_MIN { 0.0 } else { max / STEPS };
                let inverse = inverse(step * 256.0);
                let n = bytes.as_bytes().len();
                let bytes = bytes.bytes(n);
                for (i, &value) in values.iter().enumerate() {
                    bytes[at + i * distance] = (finite(value) * inverse).round_ties_even() as i8;
                }
                step
            }
        }
    }

    fn copy_from(&mut self, other: &Self) {
        match (self, other) {
            (Self::Halves(to), Self::Halves(from)) => to.copy_from_slice(from),
            (Self::Bytes(to), Self::Bytes(from)) => {
                let from = from.as_bytes();
                to.bytes(from.len()).copy_from_slice(from);
            }
            _ => unreachable!("a layout has one format"),
        }
    }

    fn get(&self, range: std::ops::Range<usize>) -> Stored<'_> {
        match self {
            Self::Halves(halves) => Stored::Halves(&halves[range]),
            Self::Bytes(bytes) => Stored::Bytes(&bytes.as_bytes()[range]),
        }
    }
}

/// Appends numbers as bytes.
fn put<T: Copy, const N: usize>(out: &mut Vec<u8>, numbers: &[T], bytes: impl Fn(T) -> [u8; N]) {
    let start = out.len();
    out.resize(start + N * numbers.len(), 0);
    for (out, &number) in out[start..].as_chunks_mut::<N>().0.iter_mut().zip(numbers) {
        *out = bytes(number);
    }
}

/// Takes as many numbers from the front.
fn get<T, const N: usize>(rest: &mut &[u8], numbers: &mut [T], number: impl Fn([u8; N]) -> T) {
    let (bytes, later) = rest.split_at(N * numbers.len());
    *rest = later;
    for (into, bytes) in numbers.iter_mut().zip(bytes.as_chunks::<N>().0) {
        *into = number(*bytes);
    }
}

/// Within what halves hold; NaN becomes its end, too.
fn finite(value: f32) -> f32 {
    let low = if value > -HALF_MAX { value } else { -HALF_MAX };
    if low < HALF_MAX { low } else { HALF_MAX }
}

/// What values are multiplied with to count steps.
#[inline(always)]
pub(super) fn inverse(step: f32) -> f32 {
    if step > 0.0 { 1.0 / step } else { 0.0 }
}

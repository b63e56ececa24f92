//! IEEE half precision to and from single: keys, values and block scales are stored in it.

use crate::cpu::{Cpu, Isa};

/// The single-precision value of a half's bits. Exact.
#[inline]
pub fn f16_to_f32(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let magnitude = u32::from(bits & 0x7fff);
    let value = match magnitude {
        0x7c00.. => 0x7f80_0000 | ((magnitude & 0x3ff) << 13), // Infinities and NaNs.
        0x0400.. => (magnitude << 13) + ((127 - 15) << 23),
        // Zeros and subnormals: an integer times 2^-24.
        _ => (magnitude as f32 * f32::from_bits((127 - 24) << 23)).to_bits(),
    };
    f32::from_bits(sign | value)
}

/// The value of the upper half of a single.
#[inline]
pub(crate) fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// The nearest half's bits, ties to even; overflow becomes infinity.
#[inline]
pub fn f32_to_f16(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = ((bits >> 16) & 0x8000) as u16;
    let magnitude = bits & 0x7fff_ffff;
    if magnitude > 0x7f80_0000 {
        return sign | 0x7e00;
    }
    if magnitude >= 0x4780_0000 {
        return sign | 0x7c00; // 65536 and more.
    }
    if magnitude < 0x3880_0000 {
        // Subnormal half: adding 0.5 leaves round(|value| * 2^24) in the low mantissa bits.
        let rounded = f32::from_bits(magnitude) + 0.5;
        return sign | (rounded.to_bits() - 0x3f00_0000) as u16;
    }
    let odd = (magnitude >> 13) & 1;
    sign | ((magnitude - ((127 - 15) << 23) + 0xfff + odd) >> 13) as u16
}

/// Converts a run of halves.
///
/// # Panics
/// If the lengths differ.
pub fn f16s_to_f32s(cpu: Cpu, from: &[u16], to: &mut [f32]) {
    assert_eq!(from.len(), to.len(), "lengths differ");
    match cpu.0 {
        Isa::Scalar => from.iter().zip(to).for_each(|(&h, f)| *f = f16_to_f32(h)),
        // SAFETY: `available` makes all other values only after detecting F16C.
        #[cfg(target_arch = "x86_64")]
        _ => unsafe { to_f32s_f16c(from, to) },
    }
}

/// Converts a run of singles, rounding to nearest even.
///
/// # Panics
/// If the lengths differ.
pub fn f32s_to_f16s(cpu: Cpu, from: &[f32], to: &mut [u16]) {
    assert_eq!(from.len(), to.len(), "lengths differ");
    match cpu.0 {
        Isa::Scalar => from.iter().zip(to).for_each(|(&f, h)| *h = f32_to_f16(f)),
        // SAFETY: `available` makes all other values only after detecting F16C.
        #[cfg(target_arch = "x86_64")]
        _ => unsafe { to_f16s_f16c(from, to) },
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx,f16c")]
fn to_f32s_f16c(from: &[u16], to: &mut [f32]) {
    use std::arch::x86_64::*;
    let (from8, from_rest) = from.as_chunks::<8>();
    let (to8, to_rest) = to.as_chunks_mut::<8>();
    for (h, f) in from8.iter().zip(to8) {
        // SAFETY: both chunks hold eight values, and neither access asks for alignment.
        unsafe {
            _mm256_storeu_ps(f.as_mut_ptr(), _mm256_cvtph_ps(_mm_loadu_si128(h.as_ptr().cast())));
        }
    }
    from_rest.iter().zip(to_rest).for_each(|(&h, f)| *f = f16_to_f32(h));
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx,f16c")]
fn to_f16s_f16c(from: &[f32], to: &mut [u16]) {
    use std::arch::x86_64::*;
    let (from8, from_rest) = from.as_chunks::<8>();
    let (to8, to_rest) = to.as_chunks_mut::<8>();
    for (f, h) in from8.iter().zip(to8) {
        // SAFETY: both chunks hold eight values, and neither access asks for alignment.
        unsafe {
            let halves = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(_mm256_loadu_ps(f.as_ptr()));
            _mm_storeu_si128(h.as_mut_ptr().cast(), halves);
        }
    }
    from_rest.iter().zip(to_rest).for_each(|(&f, h)| *h = f32_to_f16(f));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_survives_the_round_trip_on_every_path() {
        let halves: Vec<u16> = (0..=u16::MAX).filter(|h| h & 0x7fff <= 0x7c00).collect();
        for cpu in Cpu::available() {
            let mut floats = vec![0.0; halves.len()];
            f16s_to_f32s(cpu, &halves, &mut floats);
            let mut back = vec![0; halves.len()];
            f32s_to_f16s(cpu, &floats, &mut back);
            assert_eq!(back, halves, "{}", cpu.name());
            for (&h, &f) in halves.iter().zip(&floats) {
                assert_eq!(f16_to_f32(h).to_bits(), f.to_bits(), "{h:#x}");
            }
        }
    }

    #[test]
    fn rounding_is_to_nearest_even_on_every_path() {
        let mut floats: Vec<f32> = (0..200_000u32)
            .map(|i| f32::from_bits(0x3300_0000 + i.wrapping_mul(2_654_435_761) % 0x1500_0000))
            .collect();
        floats.extend([1.0 + 1.0 / 2048.0, 1.0 + 3.0 / 2048.0, 65519.9, 65520.0, 1e9, -2e-8]);
        let want: Vec<u16> = floats.iter().map(|&f| f32_to_f16(f)).collect();
        assert_eq!(f32_to_f16(1.0 + 1.0 / 2048.0), 0x3c00);
        assert_eq!(f32_to_f16(1.0 + 3.0 / 2048.0), 0x3c02);
        assert_eq!(f32_to_f16(65520.0), 0x7c00);
        for cpu in Cpu::available() {
            let mut got = vec![0; floats.len()];
            f32s_to_f16s(cpu, &floats, &mut got);
            assert_eq!(got, want, "{}", cpu.name());
        }
    }
}

//! Every path against the definition, bit for bit, on random weights of every type.

use super::*;
use crate::Detail;
use crate::TensorType;
use crate::gate::{Gate, apply_gate, gelu};
use crate::half::{bf16_to_f32, f16_to_f32};
use proptest::prelude::*;
use simd::Simd;

/// Sixteen lanes in plain Rust: the shape of AVX-512, on any machine.
#[derive(Clone, Copy)]
struct Emulated;

type Bytes = [u8; 64];

fn pairs(b: Bytes, f: impl Fn(u16) -> u16) -> Bytes {
    let mut out = [0; 64];
    for (from, to) in b.as_chunks::<2>().0.iter().zip(out.as_chunks_mut::<2>().0) {
        *to = f(u16::from_le_bytes(*from)).to_le_bytes();
    }
    out
}

impl Simd for Emulated {
    const LANES: usize = 16;
    const PAIRS: bool = true;
    type F = [f32; 16];
    type B = Bytes;
    type I = [i32; 16];

    unsafe fn prefetch(_p: *const u8) {}
    unsafe fn bytes(p: *const u8) -> Bytes {
        // SAFETY: the caller's promise.
        unsafe { p.cast::<Bytes>().read_unaligned() }
    }
    unsafe fn and(b: Bytes, mask: u8) -> Bytes {
        b.map(|b| b & mask)
    }
    unsafe fn or(a: Bytes, b: Bytes) -> Bytes {
        std::array::from_fn(|i| a[i] | b[i])
    }
    unsafe fn shl<const N: u32>(b: Bytes) -> Bytes {
        pairs(b, |p| p << N)
    }
    unsafe fn shr<const N: u32>(b: Bytes) -> Bytes {
        pairs(b, |p| p >> N)
    }
    unsafe fn look_up(table: &[u8; 16], b: Bytes) -> Bytes {
        b.map(|b| table[usize::from(b)])
    }
    unsafe fn dots<const BITS: usize, const STEPS: usize, const N: usize, const T: usize>(
        w: [&[Bytes; STEPS]; N],
        a: [*const i8; T],
        starts: [*const i32; T],
    ) -> [[[i32; 16]; N]; T] {
        let product = |w: &[Bytes; STEPS], a: *const i8, row: usize, c: usize| {
            // SAFETY: the caller promises `4 * STEPS` activations.
            i32::from(w[c / 4][4 * row + c % 4]) * i32::from(unsafe { *a.add(c) })
        };
        let sum = |w, t: usize, row| {
            // SAFETY: the caller promises a start.
            let start = unsafe { *starts[t] };
            start + (0..4 * STEPS).map(|c| product(w, a[t], row, c)).sum::<i32>()
        };
        std::array::from_fn(|t| w.map(|w| std::array::from_fn(|row| sum(w, t, row))))
    }
    unsafe fn join(high: [i32; 16], low: [i32; 16]) -> [i32; 16] {
        std::array::from_fn(|i| 256 * high[i] + low[i])
    }
    unsafe fn zero() -> [f32; 16] {
        [0.0; 16]
    }
    unsafe fn splat(v: f32) -> [f32; 16] {
        [v; 16]
    }
    unsafe fn load(p: *const f32) -> [f32; 16] {
        // SAFETY: the caller's promise.
        unsafe { p.cast::<[f32; 16]>().read_unaligned() }
    }
    unsafe fn store(p: *mut f32, v: [f32; 16]) {
        // SAFETY: the caller's promise.
        unsafe { p.cast::<[f32; 16]>().write_unaligned(v) }
    }
    unsafe fn halves(p: *const u8) -> [f32; 16] {
        // SAFETY: the caller's promise.
        unsafe { p.cast::<[u16; 16]>().read_unaligned() }.map(f16_to_f32)
    }
    unsafe fn bfloats(p: *const u8) -> [f32; 16] {
        // SAFETY: the caller's promise.
        unsafe { p.cast::<[u16; 16]>().read_unaligned() }.map(bf16_to_f32)
    }
    unsafe fn signed_bytes(p: *const u8) -> [i32; 16] {
        // SAFETY: the caller's promise.
        unsafe { p.cast::<[i8; 16]>().read_unaligned() }.map(i32::from)
    }
    unsafe fn splat_integer(v: i32) -> [i32; 16] {
        [v; 16]
    }
    unsafe fn load_integers(p: *const i32) -> [i32; 16] {
        // SAFETY: the caller's promise.
        unsafe { p.cast::<[i32; 16]>().read_unaligned() }
    }
    unsafe fn store_integers(p: *mut i32, v: [i32; 16]) {
        // SAFETY: the caller's promise.
        unsafe { p.cast::<[i32; 16]>().write_unaligned(v) }
    }
    unsafe fn add_integers(a: [i32; 16], b: [i32; 16]) -> [i32; 16] {
        std::array::from_fn(|i| a[i] + b[i])
    }
    unsafe fn multiply_add(a: [i32; 16], b: [i32; 16], c: [i32; 16]) -> [i32; 16] {
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }
    unsafe fn pairs(first: [i32; 16], second: [i32; 16]) -> [i32; 16] {
        std::array::from_fn(|i| (first[i] & 0xffff) | (second[i] << 16))
    }
    unsafe fn dot_pairs(sum: [i32; 16], w: [i32; 16], a: *const [i16; 2]) -> [i32; 16] {
        // SAFETY: the caller's promise.
        let a = unsafe { a.read() }.map(i32::from);
        std::array::from_fn(|i| sum[i] + i32::from(w[i] as i16) * a[0] + (w[i] >> 16) * a[1])
    }
    unsafe fn to_f32(v: [i32; 16]) -> [f32; 16] {
        v.map(|v| v as f32)
    }
    unsafe fn mul(a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        std::array::from_fn(|i| a[i] * b[i])
    }
    unsafe fn fma(a: [f32; 16], b: [f32; 16], c: [f32; 16]) -> [f32; 16] {
        std::array::from_fn(|i| a[i].mul_add(b[i], c[i]))
    }
}

/// Random bytes are valid blocks but for their halves, which are made small and finite.
fn random_matrix(kind: TensorType, n_rows: usize, n_cols: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut random = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    let half_at: &[usize] = match kind {
        TensorType::Q4_0
        | TensorType::Q5_0
        | TensorType::Q8_0
        | TensorType::IQ4_NL
        | TensorType::IQ4_XS => &[0],
        TensorType::Q4_1 | TensorType::Q5_1 | TensorType::Q4_K | TensorType::Q5_K => &[0, 2],
        TensorType::Q2_K => &[80, 82],
        TensorType::Q3_K => &[108],
        TensorType::Q6_K => &[208],
        TensorType::F32 | TensorType::F16 | TensorType::BF16 | TensorType::MXFP4 => &[],
    };
    let n_blocks = n_rows * n_cols / kind.block_len();
    let mut bytes: Vec<u8> = (0..n_blocks * kind.block_bytes()).map(|_| random()).collect();
    for block in bytes.chunks_exact_mut(kind.block_bytes()) {
        for &at in half_at {
            block[at + 1] = block[at + 1] & 0x80 | 0x24; // 2^-6 or so, either sign.
        }
        match kind {
            TensorType::F32 => block[3] = block[3] & 0x80 | 0x3d,
            TensorType::F16 => block[1] = block[1] & 0x80 | 0x24,
            TensorType::BF16 => block[1] = block[1] & 0x80 | 0x3d,
            TensorType::MXFP4 => block[0] = 120 + block[0] % 8,
            _ => {}
        }
    }
    bytes
}

fn random_rows(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed | 1;
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(97);
            ((state >> 40) as i32 - (1 << 23)) as f32 / 1e6
        })
        .collect()
}

fn product(cpu: Cpu, team: &Team, w: &PackedMatrix, rows: &[f32], fine: bool) -> Vec<f32> {
    let mut x = Activations::new();
    let detail = Detail::of(fine, &[w]);
    x.quantize(cpu, team, &mut rows.to_vec(), w.n_cols(), detail, |_, _| {});
    let mut out = vec![f32::NAN; x.n_tokens() * w.n_rows()];
    matmul(cpu, team, &x, &mut [Product { weights: w, out: &mut out }]);
    out
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_path_batch_and_thread_count_gives_the_definitions_bits(
        kind in prop::sample::select(TensorType::ALL.to_vec()),
        n_rows in 1usize..70, n_blocks in 1usize..4,
        n_tokens in prop_oneof![8 => 1usize..70, 1 => 256usize..300], fine: bool, seed: u64,
    ) {
        let n_cols = n_blocks * kind.block_len().max(32);
        let teams = [Team::new(1), Team::new(2)];
        let bytes = random_matrix(kind, n_rows, n_cols, seed);
        let w = PackedMatrix::pack(&teams[1], kind, &bytes, n_rows, n_cols).unwrap();
        let rows = random_rows(n_tokens * n_cols, seed ^ 0x5555);
        let want = product(Cpu::SCALAR, &teams[0], &w, &rows, fine);
        for cpu in Cpu::available() {
            for team in &teams {
                let got = product(cpu, team, &w, &rows, fine);
                prop_assert_eq!(bits(&got), bits(&want), "{} {}", kind.name(), cpu.name());
            }
            let single: Vec<f32> =
                rows.chunks(n_cols).flat_map(|row| product(cpu, &teams[0], &w, row, fine)).collect();
            prop_assert_eq!(bits(&single), bits(&want), "{} {} alone", kind.name(), cpu.name());
        }
    }

    #[test]
    fn sixteen_lanes_give_the_definitions_bits(
        kind in prop::sample::select(TensorType::ALL[3..].to_vec()), n_panels in 1usize..3, n_tokens in 1usize..5, fine: bool, seed: u64,
    ) {
        let team = Team::new(1);
        let (n_rows, n_cols) = (n_panels * PANEL, 512);
        let w = random_matrix(kind, n_rows, n_cols, seed);
        let w = PackedMatrix::pack(&team, kind, &w, n_rows, n_cols).unwrap();
        let rows = random_rows(n_tokens * n_cols, seed ^ 0x5555);
        let want = product(Cpu::SCALAR, &team, &w, &rows, fine);
        let mut x = Activations::new();
        x.quantize(Cpu::SCALAR, &team, &mut rows.clone(), n_cols, Detail::of(fine, &[&w]), |_, _| {});
        let mut sums = vec![[f32::NAN; PANEL]; n_panels * n_tokens];
        let bytes = w.bytes();
        // SAFETY: plain Rust needs no features.
        with_layout!(kind, L => unsafe {
            simd::panels::<Emulated, L>(bytes, &x, 0, &mut sums);
        }, float => unreachable!());
        prop_assert_eq!(bits(sums.as_flattened()), bits(&want), "{}", kind.name());
    }

    /// Against plain f64 arithmetic on dequantised weights. The only error is the rounding of
    /// activations to steps of d = max/127: at most d/2 per column.
    #[test]
    fn the_product_is_the_product(
        kind in prop::sample::select(TensorType::ALL.to_vec()), fine: bool, seed: u64,
    ) {
        let (n_rows, n_cols) = (20, 512);
        let team = Team::new(1);
        let bytes = random_matrix(kind, n_rows, n_cols, seed);
        let w = PackedMatrix::pack(&team, kind, &bytes, n_rows, n_cols).unwrap();
        let x = random_rows(n_cols, seed ^ 0x77);
        let got = product(Cpu::best(), &team, &w, &x, fine);
        let mut row = vec![0.0; n_cols];
        for (r, bytes) in bytes.chunks(bytes.len() / n_rows).enumerate() {
            crate::dequantize(kind, bytes, &mut row);
            let want: f64 = row.iter().zip(&x).map(|(&w, &x)| f64::from(w) * f64::from(x)).sum();
            let run = kind.block_len().max(32);
            let step = |i: usize| x[i / run * run..][..run].iter().fold(0f32, |m, v| m.max(v.abs())) / if fine { 32512.0 } else { 127.0 };
            let size: f64 = row.iter().enumerate().map(|(i, &w)| f64::from(w.abs()) * f64::from(step(i))).sum();
            let bound = size * 0.51 + 1e-5 * row.iter().zip(&x).map(|(w, x)| f64::from((w * x).abs())).sum::<f64>();
            prop_assert!((f64::from(got[r]) - want).abs() <= bound, "{}: {} {}", kind.name(), got[r], want);
        }
    }
}

#[test]
fn extreme_quants_do_not_overflow() {
    // All quants and activations at their largest: the 16-bit sums of the AVX2 path are fullest.
    let team = Team::new(1);
    for kind in &TensorType::ALL[3..] {
        for fine in [false, true] {
            for (fill, sign) in [(0xffu8, 1.0f32), (0xff, -1.0), (0x7f, 1.0), (0x80, -1.0)] {
                let n_cols = 512;
                let mut bytes = random_matrix(*kind, PANEL, n_cols, 3);
                let header = random_matrix(*kind, PANEL, n_cols, 4);
                let halves: &[usize] = match kind {
                    TensorType::Q2_K => &[80, 81, 82, 83],
                    TensorType::Q3_K => &[108, 109],
                    TensorType::Q6_K => &[208, 209],
                    TensorType::IQ4_NL | TensorType::IQ4_XS => &[0, 1],
                    TensorType::MXFP4 => &[0],
                    _ => &[0, 1, 2, 3],
                };
                for (i, b) in bytes.iter_mut().enumerate() {
                    let at = i % kind.block_bytes();
                    *b = if halves.contains(&at) { header[i] } else { fill };
                }
                let w = PackedMatrix::pack(&team, *kind, &bytes, PANEL, n_cols).unwrap();
                let rows = vec![sign * 3.0; 2 * n_cols];
                let want = product(Cpu::SCALAR, &team, &w, &rows, fine);
                for cpu in Cpu::available() {
                    assert_eq!(
                        bits(&product(cpu, &team, &w, &rows, fine)),
                        bits(&want),
                        "{}",
                        kind.name()
                    );
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Batches on both sides of where items become whole runs of columns. The steps have the definition's
    /// bits by the tests above.
    #[test]
    fn a_hidden_layer_is_its_steps_one_by_one(
        kinds in prop::array::uniform3(prop::sample::select(TensorType::ALL.to_vec())),
        n_runs in prop_oneof![1usize..3, Just(8)], n_tokens in prop_oneof![1usize..40, 257usize..300],
        biased: bool, gate: Option<bool>, fine: bool, seed: u64,
    ) {
        let (n_cols, n_rows) = (256, 256 * n_runs);
        let team = Team::new(1);
        let matrix = |kind, n_rows, n_cols, seed| {
            let bytes = random_matrix(kind, n_rows, n_cols, seed);
            PackedMatrix::pack(&team, kind, &bytes, n_rows, n_cols).unwrap()
        };
        let [first, second] = [0, 1].map(|i| matrix(kinds[i], n_rows, n_cols, seed.wrapping_add(i as u64)));
        let next = matrix(kinds[2], 32, n_rows, seed.wrapping_add(2));
        let bias = random_rows(n_rows, seed.wrapping_add(3));
        let bias = biased.then_some(&bias[..]);
        let rows = random_rows(n_tokens * n_cols, seed ^ 0x5555);
        let kind = gate.map(|gelu| if gelu { Gate::Gelu } else { Gate::Silu });
        let detail = Detail::of(fine, &[&next]);

        let mut products = [&first, &second].map(|w| product(Cpu::best(), &team, w, &rows, fine));
        for row in products.iter_mut().flat_map(|all| all.chunks_exact_mut(n_rows)) {
            if let Some(bias) = bias {
                crate::add(Cpu::best(), row, bias);
            }
        }
        let [mut made, up] = products;
        match kind {
            Some(kind) => apply_gate(Cpu::best(), kind, &mut made, &up),
            None => gelu(Cpu::best(), &mut made),
        }
        let want = product(Cpu::best(), &team, &next, &made, fine);

        for cpu in Cpu::available() {
            let (mut x, mut made) = (Activations::new(), Activations::new());
            let both = Detail::of(fine, &[&first, &second]);
            x.quantize(cpu, &team, &mut rows.clone(), n_cols, both, |_, _| {});
            let [gate, up] = [&first, &second].map(|weights| Affine { weights, bias });
            let layer = Hidden { gate, up: kind.map(|kind| (kind, up)) };
            hidden(cpu, &team, &x, layer, detail, &mut made);
            let mut got = vec![f32::NAN; want.len()];
            matmul(cpu, &team, &made, &mut [Product { weights: &next, out: &mut got }]);
            prop_assert_eq!(bits(&got), bits(&want), "{}", cpu.name());
        }
    }
}

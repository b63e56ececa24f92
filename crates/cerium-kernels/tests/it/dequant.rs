//! Dequantised blocks of every type against the `gguf` Python package
//! (`scripts/goldens/dequant.py` documents the layout).

use cerium_kernels::{TensorType, dequantize};

const GOLDEN: &[u8] = include_bytes!("../data/dequant.bin");

fn take<'a>(data: &mut &'a [u8], n: usize) -> &'a [u8] {
    let (head, tail) = data.split_at(n);
    *data = tail;
    head
}

fn take_u32(data: &mut &[u8]) -> u32 {
    u32::from_le_bytes(take(data, 4).try_into().unwrap())
}

#[test]
fn every_type_means_what_the_format_says() {
    let mut data = GOLDEN;
    assert_eq!(take(&mut data, 8), b"CEDEQ\0\0\x01");
    let mut seen = Vec::new();
    for _ in 0..take_u32(&mut data) {
        let kind = TensorType::from_ggml(take_u32(&mut data)).unwrap();
        let (n_bytes, n_values) = (take_u32(&mut data) as usize, take_u32(&mut data) as usize);
        let bytes = take(&mut data, n_bytes);
        let mut got = vec![f32::NAN; n_values];
        dequantize(kind, bytes, &mut got);
        for (i, got) in got.iter().enumerate() {
            let want = f32::from_bits(take_u32(&mut data));
            // Equal, or both a zero: only the sign of nothing may differ.
            assert!(*got == want, "{} value {i}: {got}, not {want}", kind.name());
        }
        seen.push(kind);
    }
    assert!(data.is_empty());
    assert!(TensorType::ALL.iter().all(|kind| seen.contains(kind)), "{seen:?}");
}

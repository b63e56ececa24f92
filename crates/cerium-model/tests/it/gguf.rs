//! Files that lie: whatever the bytes, parsing ends with a value or an error that says what is
//! wrong, and never takes memory that the file does not account for.

use cerium_kernels::TensorType;
use cerium_model::{
    gguf::{Array, Gguf, GgufError, Value, optional},
    testing::GgufBuilder,
};
use proptest::prelude::*;

/// One of everything.
fn small() -> GgufBuilder {
    GgufBuilder::new(3)
        .kv("general.architecture", "test")
        .kv("general.alignment", 64)
        .kv("test.block_count", Value::U8(2))
        .kv("test.offset", Value::I64(-3))
        .kv("test.scale", Value::F64(0.5))
        .kv("test.causal", true)
        .kv("test.names", Array::String(["a", "", "çé"].iter().collect()))
        .kv("test.counts", Array::U32(vec![1, 2, 3]))
        .kv("test.weights", Array::F32(vec![0.25, -1.0]))
        .kv("test.nested", Array::Array(vec![Array::U8(vec![1]), Array::Bool(vec![true])]))
        .tensor("a", &[3, 2], TensorType::F32, &[1; 24])
        .tensor("b", &[64, 2], TensorType::Q8_0, &[2; 136])
}

#[test]
fn everything_written_is_read() {
    for version in [2, 3] {
        let mut bytes = small().build();
        bytes[4] = version;
        let gguf = Gguf::parse(&bytes).unwrap();
        assert_eq!(gguf.version(), u32::from(version));
        assert_eq!(gguf.architecture().unwrap(), "test");
        assert_eq!(gguf.arch_u32("block_count").unwrap(), 2);
        assert_eq!(gguf.arch_f32("scale").unwrap(), 0.5);
        assert!(gguf.arch_bool("causal").unwrap());
        let names: Vec<&str> = gguf.strings("test.names").unwrap().iter().collect();
        assert_eq!(names, ["a", "", "çé"]);
        assert_eq!(gguf.i32s("test.counts").unwrap(), [1, 2, 3]);
        assert_eq!(gguf.f32s("test.weights").unwrap(), [0.25, -1.0]);
        assert_eq!(optional(gguf.u32("test.absent")).unwrap(), None);

        let [a, b] = gguf.tensors() else { panic!("two tensors") };
        assert_eq!(
            (a.name.as_str(), a.shape.as_slice(), a.kind),
            ("a", &[3, 2][..], TensorType::F32)
        );
        assert_eq!(bytes[a.range.clone()], [1; 24]);
        assert_eq!(bytes[b.range.clone()], [2; 136]);
        assert_eq!(b.range.start % 64, 0);
        assert_eq!(gguf.tensor("b"), Some(b));
        assert_eq!(gguf.tensor("c"), None);
    }
}

#[test]
fn getters_name_what_they_found() {
    let gguf = Gguf::parse(&small().build()).unwrap();
    let cases: [(Result<(), GgufError>, &str); 6] = [
        (gguf.u32("x.y").map(drop), "the file has no `x.y`"),
        (
            gguf.u32("test.offset").map(drop),
            "`test.offset` holds the integer -3, a 32-bit unsigned integer is needed",
        ),
        (
            gguf.str("test.names").map(drop),
            "`test.names` holds an array of 3 strings, a string is needed",
        ),
        (
            gguf.f32s("general.architecture").map(drop),
            "`general.architecture` holds the string \"test\", an array of 32-bit floats is needed",
        ),
        (gguf.arch_bool("scale").map(drop), "`test.scale` holds the float 0.5, a bool is needed"),
        (
            gguf.i32s("test.causal").map(drop),
            "`test.causal` holds the bool true, an array of 32-bit integers is needed",
        ),
    ];
    for (got, want) in cases {
        assert_eq!(got.unwrap_err().to_string(), want);
    }
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let whole = small().build();
    for n in 0..whole.len() {
        let error = Gguf::parse(&whole[..n]).expect_err("a part is not a file");
        let text = error.to_string();
        assert!(
            matches!(
                error,
                GgufError::Magic { .. }
                    | GgufError::Truncated { .. }
                    | GgufError::TensorRange { .. }
            ),
            "{n} bytes: {text}"
        );
    }
}

/// A header by hand: counts of tensors and values, then raw bytes.
fn raw(n_tensors: u64, n_values: u64, rest: &[&[u8]]) -> Vec<u8> {
    let mut file = b"GGUF\x03\0\0\0".to_vec();
    file.extend(n_tensors.to_le_bytes());
    file.extend(n_values.to_le_bytes());
    file.extend(rest.concat());
    file
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

#[test]
fn hostile_files_get_clear_errors() {
    let (u32s, u64s) = (|n: u32| n.to_le_bytes(), |n: u64| n.to_le_bytes());
    let key = string("k");
    let q4_k = |shape: &[u64]| GgufBuilder::new(3).tensor("t", shape, TensorType::Q4_K, &[0; 144]);
    let aligned_by = |n: Value| GgufBuilder::new(3).kv("general.alignment", n).build();
    let array =
        |kind: u32, n: u64, rest: &[u8]| raw(0, 1, &[&key, &u32s(9), &u32s(kind), &u64s(n), rest]);
    let nested = |depth: usize| {
        let level = [&u32s(9)[..], &u64s(1)].concat();
        raw(0, 1, &[&key, &u32s(9), &level.repeat(depth), &u32s(0), &u64s(0)])
    };
    let offset = |offset: u64| {
        raw(1, 0, &[&string("t"), &u32s(1), &u64s(8), &u32s(0), &u64s(offset), &[0; 64]])
    };
    let cases: [(Vec<u8>, &str); 29] = [
        (Vec::new(), "not a GGUF file: it starts with [], not with \"GGUF\""),
        (b"GG".to_vec(), "not a GGUF file: it starts with [47, 47], not with \"GGUF\""),
        (
            b"PK\x03\x04zip".to_vec(),
            "not a GGUF file: it starts with [50, 4b, 03, 04], not with \"GGUF\"",
        ),
        (GgufBuilder::new(1).build(), "GGUF version 1 is not supported (2 and 3 are)"),
        (GgufBuilder::new(4).build(), "GGUF version 4 is not supported (2 and 3 are)"),
        (
            GgufBuilder::new(3 << 24).build(),
            "GGUF version 50331648 is not supported (2 and 3 are); this file is in big-endian order",
        ),
        (raw(0, u64::MAX, &[]), "the metadata count is 18446744073709551615; the limit is 65536"),
        (raw(1 << 40, 0, &[]), "the tensor count is 1099511627776; the limit is 262144"),
        (
            raw(0, 60_000, &[]),
            "the metadata count at byte 24 needs 840000 bytes, 0 are left: the file is truncated or corrupt",
        ),
        (
            raw(0, 1, &[&u64s(u64::MAX), &[0; 16]]),
            "a metadata key at byte 32 needs 18446744073709551615 bytes, 16 are left: the file is truncated or corrupt",
        ),
        (raw(0, 1, &[&u64s(0), &u32s(4), &u32s(1)]), "a metadata key at byte 24 is empty"),
        (
            raw(0, 1, &[&string(&"k".repeat(70_000)), &u32s(7), &[1]]),
            "a metadata key is 70000; the limit is 65535",
        ),
        (
            raw(0, 1, &[&u64s(2), &[0xC3, 0x28], &u32s(7), &[1]]),
            "a metadata key at byte 32 is not UTF-8",
        ),
        (
            raw(0, 1, &[&key, &u32s(13), &u64s(0)]),
            "key `k` has a value of type 13; types 0 to 12 are known",
        ),
        (raw(0, 1, &[&key, &u32s(7), &[2]]), "key `k` has the value 2, but a bool is 0 or 1"),
        (
            raw(0, 1, &[&key, &u32s(8), &u64s(1), &[0xFF]]),
            "a metadata value at byte 45 is not UTF-8",
        ),
        (
            array(8, u64::MAX / 4, &[0; 64]),
            "an array in the metadata at byte 49 needs 18446744073709551615 bytes, 64 are left: the file is truncated or corrupt",
        ),
        (
            array(12, 9, &[0; 64]),
            "an array in the metadata at byte 49 needs 72 bytes, 64 are left: the file is truncated or corrupt",
        ),
        (array(99, 0, &[]), "key `k` has a value of type 99; types 0 to 12 are known"),
        (array(7, 2, &[1, 9]), "key `k` has the value 9, but a bool is 0 or 1"),
        (nested(4), "the depth of arrays is 5; the limit is 4"),
        (raw(0, 2, &[&key, &u32s(7), &[1], &key, &u32s(7), &[1]]), "key `k` occurs twice"),
        (
            GgufBuilder::new(3)
                .tensor("t", &[1], TensorType::F32, &[0; 4])
                .tensor("t", &[1], TensorType::F32, &[0; 4])
                .build(),
            "tensor `t` occurs twice",
        ),
        (
            aligned_by(Value::U32(48)),
            "key `general.alignment` has the value the integer 48, but an alignment is a power of two up to 2^20",
        ),
        (
            aligned_by(Value::F32(32.0)),
            "key `general.alignment` has the value the float 32, but an alignment is a power of two up to 2^20",
        ),
        (
            q4_k(&[100]).build(),
            "tensor `t` has shape [100], but Q4_K needs rows of a multiple of 256 values",
        ),
        (
            q4_k(&[256, 1 << 40, 1 << 20]).build(),
            "tensor `t` has shape [256, 1099511627776, 1048576], but its size overflows",
        ),
        (q4_k(&[256, 0]).build(), "tensor `t` has shape [256, 0], but an extent is zero"),
        (
            offset(u64::MAX - 31),
            "tensor `t` needs 32 bytes at offset 18446744073709551584 of the data, which has 57: the file is truncated or corrupt",
        ),
    ];
    for (file, want) in cases {
        assert_eq!(Gguf::parse(&file).unwrap_err().to_string(), want);
    }

    let text = |file: Vec<u8>| Gguf::parse(&file).unwrap_err().to_string();
    assert_eq!(
        text(GgufBuilder::new(3).raw_tensor("t", &[256], 16, &[0; 66]).build()),
        "tensor `t` is stored as ggml type 16, which has no kernel \
         (F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS, MXFP4 do)"
    );
    assert_eq!(text(offset(8)), "tensor `t` starts at offset 8, which is not a multiple of 32");
    for n_dims in [0, 5, u32::MAX] {
        let rest: [&[u8]; 3] = [&string("t"), &u32s(n_dims), &[1; 64]];
        assert_eq!(
            text(raw(1, 0, &rest)),
            format!(
                "tensor `t` has shape [], but it claims {n_dims} dimensions (1 to 4 are possible)"
            )
        );
    }
}

proptest! {
    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Gguf::parse(&bytes);
        let _ = Gguf::parse(&[b"GGUF\x03\0\0\0".as_slice(), &bytes].concat());
    }

    #[test]
    fn changed_bytes_never_escape_the_file(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut file = small().build();
        for (at, byte) in changes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        if let Ok(gguf) = Gguf::parse(&file) {
            for tensor in gguf.tensors() {
                prop_assert!(file.get(tensor.range.clone()).is_some());
            }
        }
    }
}

//! The header of a GGUF file: metadata and where each tensor lies, read and range-checked.
//!
//! [`Gguf::parse`] is pure: it looks at bytes and allocates in proportion to them, never to a count
//! that the file merely claims. What it accepts is safe to use: every tensor's range lies inside
//! the bytes that were parsed, is aligned, and holds exactly the blocks that its shape needs.
//!
//! ```
//! use cerium_model::{gguf::Gguf, testing::GgufBuilder};
//! let bytes = GgufBuilder::new(3).kv("general.architecture", "qwen2").build();
//! assert_eq!(Gguf::parse(&bytes).unwrap().architecture().unwrap(), "qwen2");
//! ```
//!
//! Format: versions 2 and 3 in little-endian order, as in ggml's `docs/gguf.md`.

mod error;
mod parse;
mod value;

use std::{collections::HashMap, ops::Range};

use cerium_kernels::TensorType;

pub use error::GgufError;
pub use value::{Array, Strings, Value};

/// Where tensors start unless `general.alignment` says otherwise, in bytes.
pub const DEFAULT_ALIGNMENT: u64 = 32;

/// Metadata and tensor directory of one file.
#[derive(Debug, Clone)]
pub struct Gguf {
    version: u32,
    values: HashMap<String, Value>,
    tensors: Vec<TensorInfo>,
    by_name: HashMap<String, usize>,
}

/// What the file says about one tensor. The bytes are `file[range]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Name, such as `blk.0.attn_q.weight`.
    pub name: String,
    /// Extents, innermost first: a matrix of `rows` outputs is `[cols, rows]`. One to four of
    /// them, none zero; their product fits in a `u64`.
    pub shape: Vec<u64>,
    /// How the values are stored.
    pub kind: TensorType,
    /// Where the values lie, in bytes from the start of the file.
    pub range: Range<usize>,
}

impl Gguf {
    /// Reads the header of a whole file (mapped, usually).
    ///
    /// # Errors
    /// Any [`GgufError`] but `MissingKey` and `WrongType`.
    pub fn parse(file: &[u8]) -> Result<Self, GgufError> {
        parse::parse(file)
    }

    /// Version of the format, 2 or 3.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The value of a metadata key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// All metadata, in no particular order.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// All tensors, in the order of the file.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// The tensor of a name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.by_name.get(name).map(|&idx| &self.tensors[idx])
    }

    /// The model family, `general.architecture`: `qwen2`, `llama`.
    ///
    /// # Errors
    /// `MissingKey`, `WrongType`.
    pub fn architecture(&self) -> Result<&str, GgufError> {
        self.str("general.architecture")
    }

    /// A string.
    ///
    /// # Errors
    /// `MissingKey`, `WrongType`; so for all getters below.
    pub fn str(&self, key: &str) -> Result<&str, GgufError> {
        self.typed(key, "a string", Value::as_str)
    }

    /// A number that fits in 32 bits unsigned, whatever integer type the file used.
    pub fn u32(&self, key: &str) -> Result<u32, GgufError> {
        self.typed(key, "a 32-bit unsigned integer", |v| v.as_u64()?.try_into().ok())
    }

    /// A number that fits in 64 bits unsigned, whatever integer type the file used.
    pub fn u64(&self, key: &str) -> Result<u64, GgufError> {
        self.typed(key, "an unsigned integer", Value::as_u64)
    }

    /// A float; a 64-bit one is rounded.
    pub fn f32(&self, key: &str) -> Result<f32, GgufError> {
        self.typed(key, "a float", Value::as_f32)
    }

    /// A truth value.
    pub fn bool(&self, key: &str) -> Result<bool, GgufError> {
        self.typed(key, "a bool", Value::as_bool)
    }

    /// An array of strings.
    pub fn strings(&self, key: &str) -> Result<&Strings, GgufError> {
        self.typed(key, "an array of strings", |v| match v {
            Value::Array(Array::String(strings)) => Some(strings),
            _ => None,
        })
    }

    /// An array of 32-bit signed integers; unsigned ones that fit are taken too.
    pub fn i32s(&self, key: &str) -> Result<Vec<i32>, GgufError> {
        self.typed(key, "an array of 32-bit integers", |v| match v {
            Value::Array(Array::I32(numbers)) => Some(numbers.clone()),
            Value::Array(Array::U32(numbers)) => {
                numbers.iter().map(|&n| n.try_into().ok()).collect()
            }
            _ => None,
        })
    }

    /// An array of 32-bit floats.
    pub fn f32s(&self, key: &str) -> Result<&[f32], GgufError> {
        self.typed(key, "an array of 32-bit floats", |v| match v {
            Value::Array(Array::F32(numbers)) => Some(numbers.as_slice()),
            _ => None,
        })
    }

    /// `<architecture>.<name>` as [`u32`](Self::u32): `arch_u32("block_count")`.
    pub fn arch_u32(&self, name: &str) -> Result<u32, GgufError> {
        self.u32(&self.arch_key(name)?)
    }

    /// `<architecture>.<name>` as [`f32`](Self::f32).
    pub fn arch_f32(&self, name: &str) -> Result<f32, GgufError> {
        self.f32(&self.arch_key(name)?)
    }

    /// `<architecture>.<name>` as [`bool`](Self::bool).
    pub fn arch_bool(&self, name: &str) -> Result<bool, GgufError> {
        self.bool(&self.arch_key(name)?)
    }

    /// `<architecture>.<name>` as [`str`](Self::str).
    pub fn arch_str(&self, name: &str) -> Result<&str, GgufError> {
        self.str(&self.arch_key(name)?)
    }

    /// The full key of an architecture's own setting.
    pub fn arch_key(&self, name: &str) -> Result<String, GgufError> {
        Ok(format!("{}.{name}", self.architecture()?))
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        wanted: &'static str,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<T, GgufError> {
        let value = self.get(key).ok_or_else(|| GgufError::MissingKey { key: key.to_owned() })?;
        convert(value).ok_or_else(|| GgufError::WrongType {
            key: key.to_owned(),
            found: value.describe(),
            wanted,
        })
    }
}

/// Makes an absent key `None` and leaves every other outcome as it is.
///
/// ```
/// # use cerium_model::{gguf::{Gguf, optional}, testing::GgufBuilder};
/// # let gguf = Gguf::parse(&GgufBuilder::new(3).build()).unwrap();
/// assert_eq!(optional(gguf.u32("llama.rope.dimension_count")).unwrap(), None);
/// ```
///
/// # Errors
/// Whatever `result` holds but `MissingKey`.
pub fn optional<T>(result: Result<T, GgufError>) -> Result<Option<T>, GgufError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(GgufError::MissingKey { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Indexes tensors by name; `Err` is the index of the second of two with one name.
fn index_by_name(tensors: &[TensorInfo]) -> Result<HashMap<String, usize>, usize> {
    let mut by_name = HashMap::with_capacity(tensors.len());
    for (idx, tensor) in tensors.iter().enumerate() {
        if by_name.insert(tensor.name.clone(), idx).is_some() {
            return Err(idx);
        }
    }
    Ok(by_name)
}

//! Tiny GGUF files for tests, written byte by byte and deliberately without checks: what a test
//! wants to be wrong can be wrong.

use cerium_kernels::TensorType;

use crate::gguf::{Array, DEFAULT_ALIGNMENT, Value};

/// Collects metadata and tensors, then writes them.
#[derive(Debug, Clone)]
pub struct GgufBuilder {
    version: u32,
    alignment: u64,
    n_values: u64,
    values: Vec<u8>,
    n_tensors: u64,
    directory: Vec<u8>,
    data: Vec<u8>,
}

impl GgufBuilder {
    /// An empty file of a format version (2 and 3 are real).
    pub fn new(version: u32) -> Self {
        Self {
            version,
            alignment: DEFAULT_ALIGNMENT,
            n_values: 0,
            values: Vec::new(),
            n_tensors: 0,
            directory: Vec::new(),
            data: Vec::new(),
        }
    }

    /// Adds a metadata entry. `general.alignment` takes effect for the tensors that follow.
    #[must_use]
    pub fn kv(mut self, key: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        if let ("general.alignment", Value::U32(n)) = (key, &value) {
            self.alignment = u64::from(*n).max(1);
        }
        self.n_values += 1;
        put_string(&mut self.values, key);
        put_value(&mut self.values, &value);
        self
    }

    /// Adds a tensor: `shape` innermost first, `bytes` as stored.
    #[must_use]
    pub fn tensor(self, name: &str, shape: &[u64], kind: TensorType, bytes: &[u8]) -> Self {
        let number = (0..64).find(|&id| TensorType::from_ggml(id) == Some(kind));
        self.raw_tensor(name, shape, number.unwrap_or(u32::MAX), bytes)
    }

    /// Adds a tensor with ggml's number for its type, which may be one that nobody knows.
    #[must_use]
    pub fn raw_tensor(mut self, name: &str, shape: &[u64], kind: u32, bytes: &[u8]) -> Self {
        let offset = self.data.len().next_multiple_of(self.alignment as usize);
        self.n_tensors += 1;
        put_string(&mut self.directory, name);
        self.directory.extend((shape.len() as u32).to_le_bytes());
        for extent in shape {
            self.directory.extend(extent.to_le_bytes());
        }
        self.directory.extend(kind.to_le_bytes());
        self.directory.extend((offset as u64).to_le_bytes());
        self.data.resize(offset, 0);
        self.data.extend(bytes);
        self
    }

    /// The file.
    pub fn build(&self) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(self.version.to_le_bytes());
        file.extend(self.n_tensors.to_le_bytes());
        file.extend(self.n_values.to_le_bytes());
        file.extend(&self.values);
        file.extend(&self.directory);
        if self.n_tensors > 0 {
            file.resize(file.len().next_multiple_of(self.alignment as usize), 0);
        }
        file.extend(&self.data);
        file
    }
}

fn put_string(out: &mut Vec<u8>, string: &str) {
    out.extend((string.len() as u64).to_le_bytes());
    out.extend(string.as_bytes());
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    let mut put = |kind: u32, bytes: &[u8]| {
        out.extend(kind.to_le_bytes());
        out.extend(bytes);
    };
    match value {
        Value::U8(n) => put(0, &n.to_le_bytes()),
        Value::I8(n) => put(1, &n.to_le_bytes()),
        Value::U16(n) => put(2, &n.to_le_bytes()),
        Value::I16(n) => put(3, &n.to_le_bytes()),
        Value::U32(n) => put(4, &n.to_le_bytes()),
        Value::I32(n) => put(5, &n.to_le_bytes()),
        Value::F32(x) => put(6, &x.to_le_bytes()),
        Value::Bool(b) => put(7, &[u8::from(*b)]),
        Value::U64(n) => put(10, &n.to_le_bytes()),
        Value::I64(n) => put(11, &n.to_le_bytes()),
        Value::F64(x) => put(12, &x.to_le_bytes()),
        Value::String(text) => {
            put(8, &[]);
            put_string(out, text);
        }
        Value::Array(array) => {
            put(9, &[]);
            put_array(out, array);
        }
    }
}

fn put_array(out: &mut Vec<u8>, array: &Array) {
    macro_rules! put {
        ($kind:literal, $elements:ident, $each:ident => $put:expr) => {{
            out.extend(u32::to_le_bytes($kind));
            out.extend(($elements.len() as u64).to_le_bytes());
            for $each in $elements.iter() {
                $put;
            }
        }};
        ($kind:literal, $numbers:ident) => {
            put!($kind, $numbers, number => out.extend(number.to_le_bytes()))
        };
    }
    match array {
        Array::U8(v) => put!(0, v),
        Array::I8(v) => put!(1, v),
        Array::U16(v) => put!(2, v),
        Array::I16(v) => put!(3, v),
        Array::U32(v) => put!(4, v),
        Array::I32(v) => put!(5, v),
        Array::F32(v) => put!(6, v),
        Array::Bool(v) => put!(7, v, b => out.push(u8::from(*b))),
        Array::String(v) => put!(8, v, text => put_string(out, text)),
        Array::Array(v) => put!(9, v, inner => put_array(out, inner)),
        Array::U64(v) => put!(10, v),
        Array::I64(v) => put!(11, v),
        Array::F64(v) => put!(12, v),
    }
}

//! The bytes of a header, front to back.
//!
//! Every count is checked against the bytes that its elements need at least, before anything is
//! allocated for them; so memory stays within a small multiple of the file, whatever it claims.

use std::collections::HashMap;

use cerium_kernels::TensorType;

use super::{Array, DEFAULT_ALIGNMENT, Gguf, GgufError, Strings, TensorInfo, Value, index_by_name};

/// Metadata entries of real files number in the dozens.
const N_VALUES_MAX: u64 = 1 << 16;
/// Tensors of the largest real files number in the thousands.
const N_TENSORS_MAX: u64 = 1 << 18;
/// A key's length in bytes, from the specification; names of tensors are held to it too.
const NAME_BYTES_MAX: usize = (1 << 16) - 1;
/// ggml's limit.
const N_DIMS_MAX: u32 = 4;
/// No known file nests arrays at all.
const ARRAY_DEPTH_MAX: usize = 4;
/// Larger than any page; keeps the padding arithmetic far from overflow.
const ALIGNMENT_MAX: u64 = 1 << 20;

pub(super) fn parse(file: &[u8]) -> Result<Gguf, GgufError> {
    let mut input = Reader { file, pos: 0 };
    if !file.starts_with(b"GGUF") {
        return Err(GgufError::Magic { found: file[..file.len().min(4)].to_vec() });
    }
    input.pos = 4;
    let version = input.u32("the version")?;
    if !(2..=3).contains(&version) {
        let big_endian = (1..=3).contains(&version.swap_bytes());
        return Err(GgufError::Version { found: version, big_endian });
    }
    // The least that one of each takes: name length, name, type, value; and with shape and offset.
    let n_tensors = input.u64("the tensor count")?;
    let n_values = input.u64("the metadata count")?;
    let n_tensors =
        input.count("the tensor count", n_tensors, N_TENSORS_MAX, 8 + 1 + 4 + 8 + 12)?;
    let n_values = input.count("the metadata count", n_values, N_VALUES_MAX, 8 + 1 + 4 + 1)?;

    let values = values(&mut input, n_values)?;
    let alignment = alignment(&values)?;
    let mut tensors = Vec::with_capacity(n_tensors);
    let mut offsets = Vec::with_capacity(n_tensors);
    for _ in 0..n_tensors {
        let (tensor, offset) = tensor(&mut input, alignment)?;
        tensors.push(tensor);
        offsets.push(offset);
    }

    // The data part follows the directory, padded. A file without tensors may end unpadded.
    let data_start = (input.pos as u64).next_multiple_of(alignment);
    let available = (file.len() as u64).saturating_sub(data_start);
    for (tensor, offset) in tensors.iter_mut().zip(offsets) {
        // Until here the range holds the size alone.
        let bytes = tensor.range.end as u64;
        if offset.checked_add(bytes).is_none_or(|end| end > available) {
            let name = tensor.name.clone();
            return Err(GgufError::TensorRange { name, offset, bytes, available });
        }
        let start = (data_start + offset) as usize;
        tensor.range = start..start + bytes as usize;
    }
    let by_name = index_by_name(&tensors)
        .map_err(|idx| GgufError::Duplicate { what: "tensor", name: tensors[idx].name.clone() })?;
    Ok(Gguf { version, values, tensors, by_name })
}

fn values(input: &mut Reader, n_values: usize) -> Result<HashMap<String, Value>, GgufError> {
    let mut values = HashMap::with_capacity(n_values);
    for _ in 0..n_values {
        let key = input.name("a metadata key")?;
        let kind = input.u32("the type of a metadata value")?;
        let value = input.value(key, kind)?;
        if values.insert(key.to_owned(), value).is_some() {
            return Err(GgufError::Duplicate { what: "key", name: key.to_owned() });
        }
    }
    Ok(values)
}

fn alignment(values: &HashMap<String, Value>) -> Result<u64, GgufError> {
    let key = "general.alignment";
    let Some(value) = values.get(key) else { return Ok(DEFAULT_ALIGNMENT) };
    match value.as_u64() {
        Some(n) if n.is_power_of_two() && n <= ALIGNMENT_MAX => Ok(n),
        _ => Err(GgufError::Value {
            key: key.to_owned(),
            found: value.describe(),
            wanted: "an alignment is a power of two up to 2^20",
        }),
    }
}

/// One entry of the directory, with its offset in the data part. The range starts at 0 for now.
fn tensor(input: &mut Reader, alignment: u64) -> Result<(TensorInfo, u64), GgufError> {
    let name = input.name("a tensor name")?.to_owned();
    let n_dims = input.u32("the dimensions of a tensor")?;
    if !(1..=N_DIMS_MAX).contains(&n_dims) {
        let problem = format!("it claims {n_dims} dimensions (1 to {N_DIMS_MAX} are possible)");
        return Err(GgufError::TensorShape { name, shape: Vec::new(), problem });
    }
    let shape =
        (0..n_dims).map(|_| input.u64("the shape of a tensor")).collect::<Result<Vec<_>, _>>()?;
    let found = input.u32("the type of a tensor")?;
    let offset = input.u64("the offset of a tensor")?;
    let Some(kind) = TensorType::from_ggml(found) else {
        return Err(GgufError::TensorKind { name, found });
    };
    if !offset.is_multiple_of(alignment) {
        return Err(GgufError::TensorAlignment { name, offset, alignment });
    }
    match size(&shape, kind) {
        Ok(bytes) => Ok((TensorInfo { name, shape, kind, range: 0..bytes }, offset)),
        Err(problem) => Err(GgufError::TensorShape { name, shape, problem }),
    }
}

/// Bytes that a tensor takes.
fn size(shape: &[u64], kind: TensorType) -> Result<usize, String> {
    if shape.contains(&0) {
        return Err("an extent is zero".to_owned());
    }
    let block = kind.block_len() as u64;
    if !shape[0].is_multiple_of(block) {
        return Err(format!("{} needs rows of a multiple of {block} values", kind.name()));
    }
    shape
        .iter()
        .try_fold(1u64, |product, &extent| product.checked_mul(extent))
        .and_then(|n_values| (n_values / block).checked_mul(kind.block_bytes() as u64))
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or_else(|| "its size overflows".to_owned())
}

struct Reader<'a> {
    file: &'a [u8],
    pos: usize,
}

impl<'a> Reader<'a> {
    fn left(&self) -> usize {
        self.file.len() - self.pos
    }

    fn take(&mut self, what: &'static str, n_bytes: u64) -> Result<&'a [u8], GgufError> {
        let left = self.left();
        if n_bytes > left as u64 {
            return Err(GgufError::Truncated { what, at: self.pos, needed: n_bytes, left });
        }
        let taken = &self.file[self.pos..self.pos + n_bytes as usize];
        self.pos += taken.len();
        Ok(taken)
    }

    fn bytes<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], GgufError> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(what, N as u64)?);
        Ok(bytes)
    }

    fn u32(&mut self, what: &'static str) -> Result<u32, GgufError> {
        self.bytes(what).map(u32::from_le_bytes)
    }

    fn u64(&mut self, what: &'static str) -> Result<u64, GgufError> {
        self.bytes(what).map(u64::from_le_bytes)
    }

    /// A claimed count, once it is small enough and the bytes left could hold that many.
    fn count(
        &self,
        what: &'static str,
        found: u64,
        limit: u64,
        bytes_each_min: u64,
    ) -> Result<usize, GgufError> {
        if found > limit {
            return Err(GgufError::Limit { what, found, limit });
        }
        let needed = found.saturating_mul(bytes_each_min);
        if needed > self.left() as u64 {
            return Err(GgufError::Truncated { what, at: self.pos, needed, left: self.left() });
        }
        Ok(found as usize)
    }

    fn string(&mut self, what: &'static str) -> Result<&'a str, GgufError> {
        let n_bytes = self.u64(what)?;
        let at = self.pos;
        let bytes = self.take(what, n_bytes)?;
        std::str::from_utf8(bytes).map_err(|_| GgufError::Utf8 { what, at })
    }

    /// A key or a tensor name: not empty, not huge.
    fn name(&mut self, what: &'static str) -> Result<&'a str, GgufError> {
        let at = self.pos;
        let name = self.string(what)?;
        if name.is_empty() {
            return Err(GgufError::EmptyName { what, at });
        }
        if name.len() > NAME_BYTES_MAX {
            let (found, limit) = (name.len() as u64, NAME_BYTES_MAX as u64);
            return Err(GgufError::Limit { what, found, limit });
        }
        Ok(name)
    }

    fn value(&mut self, key: &str, kind: u32) -> Result<Value, GgufError> {
        let what = "a metadata value";
        Ok(match kind {
            0 => Value::U8(u8::from_le_bytes(self.bytes(what)?)),
            1 => Value::I8(i8::from_le_bytes(self.bytes(what)?)),
            2 => Value::U16(u16::from_le_bytes(self.bytes(what)?)),
            3 => Value::I16(i16::from_le_bytes(self.bytes(what)?)),
            4 => Value::U32(u32::from_le_bytes(self.bytes(what)?)),
            5 => Value::I32(i32::from_le_bytes(self.bytes(what)?)),
            6 => Value::F32(f32::from_le_bytes(self.bytes(what)?)),
            7 => Value::Bool(self.bytes(what).and_then(|[byte]| truth(key, byte))?),
            8 => Value::String(self.string(what)?.to_owned()),
            9 => Value::Array(self.array(key, ARRAY_DEPTH_MAX)?),
            10 => Value::U64(u64::from_le_bytes(self.bytes(what)?)),
            11 => Value::I64(i64::from_le_bytes(self.bytes(what)?)),
            12 => Value::F64(f64::from_le_bytes(self.bytes(what)?)),
            found => return Err(GgufError::ValueType { key: key.to_owned(), found }),
        })
    }

    fn array(&mut self, key: &str, depth_left: usize) -> Result<Array, GgufError> {
        let what = "an array in the metadata";
        if depth_left == 0 {
            let limit = ARRAY_DEPTH_MAX as u64;
            return Err(GgufError::Limit { what: "the depth of arrays", found: limit + 1, limit });
        }
        let kind = self.u32(what)?;
        let claimed = self.u64(what)?;
        let bytes_each_min = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            8 | 10..=12 => 8,
            9 => 12,
            found => return Err(GgufError::ValueType { key: key.to_owned(), found }),
        };
        let n = self.count(what, claimed, u64::MAX, bytes_each_min)?;
        Ok(match kind {
            0 => Array::U8(self.numbers(n, u8::from_le_bytes)?),
            1 => Array::I8(self.numbers(n, i8::from_le_bytes)?),
            2 => Array::U16(self.numbers(n, u16::from_le_bytes)?),
            3 => Array::I16(self.numbers(n, i16::from_le_bytes)?),
            4 => Array::U32(self.numbers(n, u32::from_le_bytes)?),
            5 => Array::I32(self.numbers(n, i32::from_le_bytes)?),
            6 => Array::F32(self.numbers(n, f32::from_le_bytes)?),
            7 => Array::Bool(
                self.take(what, n as u64)?
                    .iter()
                    .map(|&byte| truth(key, byte))
                    .collect::<Result<_, _>>()?,
            ),
            8 => Array::String(self.strings(n)?),
            9 => {
                // Not reserved: an inner array takes more memory than its 12 bytes in the file.
                let mut arrays = Vec::new();
                for _ in 0..n {
                    arrays.push(self.array(key, depth_left - 1)?);
                }
                Array::Array(arrays)
            }
            10 => Array::U64(self.numbers(n, u64::from_le_bytes)?),
            11 => Array::I64(self.numbers(n, i64::from_le_bytes)?),
            _ => Array::F64(self.numbers(n, f64::from_le_bytes)?),
        })
    }

    fn numbers<T, const N: usize>(
        &mut self,
        n: usize,
        from_bytes: fn([u8; N]) -> T,
    ) -> Result<Vec<T>, GgufError> {
        let bytes = self.take("an array in the metadata", (n * N) as u64)?;
        Ok(bytes.as_chunks::<N>().0.iter().map(|&chunk| from_bytes(chunk)).collect())
    }

    fn strings(&mut self, n: usize) -> Result<Strings, GgufError> {
        let mut strings = Strings::default();
        strings.reserve(n);
        for _ in 0..n {
            strings.push(self.string("a string in an array")?);
        }
        Ok(strings)
    }
}

fn truth(key: &str, byte: u8) -> Result<bool, GgufError> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(GgufError::Value {
            key: key.to_owned(),
            found: byte.to_string(),
            wanted: "a bool is 0 or 1",
        }),
    }
}

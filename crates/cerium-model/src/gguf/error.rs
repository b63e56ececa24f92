//! What can be wrong with a GGUF file.

use cerium_kernels::TensorType;

/// Why bytes are not a GGUF file that can be used, or why a key in one cannot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GgufError {
    /// Some other kind of file.
    #[error("not a GGUF file: it starts with {found:02x?}, not with \"GGUF\"")]
    Magic {
        /// The first bytes, four at most.
        found: Vec<u8>,
    },
    /// A version of the format that is not read here.
    #[error("GGUF version {found} is not supported (2 and 3 are){}", byte_order_note(*.big_endian))]
    Version {
        /// The version in the file.
        found: u32,
        /// Whether it would be 1 to 3 in the other byte order.
        big_endian: bool,
    },
    /// The file ends too early, or a length in it is wrong.
    #[error(
        "{what} at byte {at} needs {needed} bytes, {left} are left: the file is truncated or corrupt"
    )]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Where it starts, in bytes from the start of the file.
        at: usize,
        /// How many bytes it claims; `u64::MAX` stands for any larger number.
        needed: u64,
        /// How many there are.
        left: usize,
    },
    /// A number beyond what any real file holds.
    #[error("{what} is {found}; the limit is {limit}")]
    Limit {
        /// What is too large.
        what: &'static str,
        /// How large it is.
        found: u64,
        /// How large it may be.
        limit: u64,
    },
    /// A key or a tensor name of no characters.
    #[error("{what} at byte {at} is empty")]
    EmptyName {
        /// Which name.
        what: &'static str,
        /// Where it starts.
        at: usize,
    },
    /// A string that is not UTF-8.
    #[error("{what} at byte {at} is not UTF-8")]
    Utf8 {
        /// Which string.
        what: &'static str,
        /// Where it starts.
        at: usize,
    },
    /// A metadata value of an unknown type.
    #[error("key `{key}` has a value of type {found}; types 0 to 12 are known")]
    ValueType {
        /// The key.
        key: String,
        /// The type's number.
        found: u32,
    },
    /// A metadata value that its type does not allow.
    #[error("key `{key}` has the value {found}, but {wanted}")]
    Value {
        /// The key.
        key: String,
        /// What the file says.
        found: String,
        /// What would do.
        wanted: &'static str,
    },
    /// Two metadata entries or two tensors with one name.
    #[error("{what} `{name}` occurs twice")]
    Duplicate {
        /// `key` or `tensor`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A tensor stored in a way that has no kernel.
    #[error(
        "tensor `{name}` is stored as ggml type {found}, which has no kernel ({} do)",
        supported()
    )]
    TensorKind {
        /// The tensor.
        name: String,
        /// ggml's number for the type.
        found: u32,
    },
    /// A tensor whose shape makes no sense for its type.
    #[error("tensor `{name}` has shape {shape:?}, but {problem}")]
    TensorShape {
        /// The tensor.
        name: String,
        /// Its extents, innermost first.
        shape: Vec<u64>,
        /// What is wrong with them.
        problem: String,
    },
    /// A tensor that does not start on a multiple of the alignment.
    #[error("tensor `{name}` starts at offset {offset}, which is not a multiple of {alignment}")]
    TensorAlignment {
        /// The tensor.
        name: String,
        /// Its offset in the data part, in bytes.
        offset: u64,
        /// The file's alignment, in bytes.
        alignment: u64,
    },
    /// A tensor that reaches beyond the end of the file.
    #[error(
        "tensor `{name}` needs {bytes} bytes at offset {offset} of the data, which has {available}: \
         the file is truncated or corrupt"
    )]
    TensorRange {
        /// The tensor.
        name: String,
        /// Its offset in the data part, in bytes.
        offset: u64,
        /// Its size, in bytes.
        bytes: u64,
        /// The size of the data part, in bytes.
        available: u64,
    },
    /// A key that the reader needs is absent.
    #[error("the file has no `{key}`")]
    MissingKey {
        /// The key.
        key: String,
    },
    /// A key holds something else than the reader needs.
    #[error("`{key}` holds {found}, {wanted} is needed")]
    WrongType {
        /// The key.
        key: String,
        /// What it holds.
        found: String,
        /// What is needed.
        wanted: &'static str,
    },
}

fn byte_order_note(big_endian: bool) -> &'static str {
    if big_endian { "; this file is in big-endian order" } else { "" }
}

fn supported() -> String {
    TensorType::ALL.map(TensorType::name).join(", ")
}

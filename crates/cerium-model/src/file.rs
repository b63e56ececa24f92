//! A model file on disk: mapped, with its header read.

use std::path::{Path, PathBuf};

use crate::{
    LoadError,
    gguf::{Gguf, TensorInfo},
    mmap::Mapped,
};

/// An open model file.
#[derive(Debug)]
pub struct ModelFile {
    /// Where it came from.
    pub path: PathBuf,
    /// All its bytes.
    pub map: Mapped,
    /// Its metadata and tensor directory.
    pub gguf: Gguf,
}

impl ModelFile {
    /// Maps a file and reads its header.
    ///
    /// # Errors
    /// [`LoadError::Read`], [`LoadError::Gguf`].
    pub fn open(path: &Path) -> Result<Self, LoadError> {
        let map = Mapped::open(path)
            .map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
        let gguf = Gguf::parse(&map)?;
        Ok(Self { path: path.to_owned(), map, gguf })
    }

    /// The stored bytes of one of this file's tensors.
    ///
    /// # Panics
    /// If the tensor is another, larger file's: a caller's bug, never a bad file.
    pub fn tensor_bytes(&self, tensor: &TensorInfo) -> &[u8] {
        &self.map[tensor.range.clone()]
    }
}

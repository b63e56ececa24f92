//! A model file on disk: mapped, with its header read.

use std::path::{Path, PathBuf};

use crate::{
    LoadError,
    gguf::{Gguf, TensorInfo},
    mmap::Mapped,
    packed::Shelf,
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
    /// Where its packed weights are kept, if anywhere.
    pub(crate) shelf: Option<Shelf>,
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
        Ok(Self { path: path.to_owned(), map, gguf, shelf: None })
    }

    /// Has [`Model::load`](crate::Model::load) keep the packed weights in a directory, which need not
    /// exist yet, and use those that it finds there.
    ///
    /// * `sha256`: of the whole file, in lower-case hex, where somebody checked it. Without it the file
    ///   is known by its place, its times and its header.
    ///
    /// # Panics
    /// If `sha256` is not 64 digits.
    #[must_use]
    pub fn keep_packed(mut self, dir: &Path, sha256: Option<&str>) -> Self {
        let shelf = match sha256 {
            Some(sha256) => Shelf::of_hash(dir, sha256),
            None => Shelf::of_file(dir, &self),
        };
        self.shelf = Some(shelf);
        self
    }

    /// The stored bytes of one of this file's tensors.
    ///
    /// # Panics
    /// If the tensor is another, larger file's: a caller's bug, never a bad file.
    pub fn tensor_bytes(&self, tensor: &TensorInfo) -> &[u8] {
        &self.map[tensor.range.clone()]
    }
}

//! Packed weights, kept on disk: packed at a model's first start, mapped at every later one.
//!
//! There is one file per model and layout of the panels, and it is trusted as little as any other file:
//! its name and its head say which model and which layout it is of, and all its bytes are summed up before
//! one of them is used (some 40 ms for 1 GB on two cores). What does not fit is packed anew and replaced.
//! Keeping is a convenience: when it fails, the model still loads.
//!
//! The file is mapped, not read into memory of the process's own: its pages are shared by all processes,
//! can be given back to the system when memory is short, and are there at once. Written by the megabyte
//! they lie in large pages, where the file system can, and are read as fast as any memory.

mod kept;
mod shelf;

pub(crate) use shelf::Shelf;

use crate::LoadError;
use crate::file::ModelFile;
use crate::gguf::TensorInfo;
use crate::mmap;
use bytes::Bytes;
use cerium_kernels::{MatrixShape, PackedMatrix, Team};
use kept::Kept;
use std::cell::{Cell, RefCell};
use std::io;
use std::path::PathBuf;

/// Where the packed weights of a model are.
#[derive(Debug)]
pub enum Packing {
    /// In a file that an earlier start had kept.
    Mapped,
    /// In memory, and kept for the next start.
    Kept,
    /// In memory, because there is no place to keep them or another process is just writing there.
    InMemory,
    /// In memory, because they could not be kept.
    NotKept {
        /// Where they were to be kept.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Packs matrices, or finds them packed.
#[derive(Debug)]
pub(crate) struct Packer<'a> {
    file: &'a ModelFile,
    team: &'a Team,
    kept: Option<Kept>,
    /// All that were asked for.
    matrices: RefCell<Vec<(String, PackedMatrix)>>,
    /// How many of them were found.
    n_found: Cell<usize>,
}

impl<'a> Packer<'a> {
    pub(crate) fn new(file: &'a ModelFile, team: &'a Team) -> Self {
        let kept = file.shelf.as_ref().and_then(|shelf| shelf.open(team));
        Self { file, team, kept, matrices: RefCell::default(), n_found: Cell::new(0) }
    }

    /// A tensor of the file as a matrix of `n_rows` outputs and `n_cols` inputs.
    pub(crate) fn matrix(
        &self,
        info: &TensorInfo,
        n_rows: usize,
        n_cols: usize,
    ) -> Result<PackedMatrix, LoadError> {
        let name = &info.name;
        let shape = MatrixShape::new(info.kind, n_rows, n_cols)
            .map_err(|source| LoadError::Pack { name: name.clone(), source })?;
        let found = self.kept.as_ref().and_then(|kept| kept.matrix(name, shape));
        self.n_found.update(|n| n + usize::from(found.is_some()));
        let matrix = found.map_or_else(|| self.pack(info, shape), Ok)?;
        self.matrices.borrow_mut().push((name.clone(), matrix.clone()));
        Ok(matrix)
    }

    fn pack(&self, info: &TensorInfo, shape: MatrixShape) -> Result<PackedMatrix, LoadError> {
        let n_bytes = shape.n_bytes();
        let mut packed =
            mmap::zeroed(n_bytes).map_err(|source| LoadError::Memory { n_bytes, source })?;
        shape
            .pack(self.team, self.file.tensor_bytes(info), &mut packed)
            .map_err(|source| LoadError::Pack { name: info.name.clone(), source })?;
        // Or the weights were in memory twice.
        self.file.map.release(info.range.clone());
        let packed = packed.make_read_only();
        let packed = packed.map_err(|source| LoadError::Memory { n_bytes, source })?;
        Ok(PackedMatrix::new(shape, Bytes::from_owner(packed)))
    }

    /// Keeps what was packed, unless it was found just so.
    pub(crate) fn keep(self) -> Packing {
        let Some(shelf) = &self.file.shelf else { return Packing::InMemory };
        let matrices = self.matrices.into_inner();
        let n_kept = self.kept.map_or(0, |kept| kept.n_matrices());
        if [n_kept, self.n_found.get()] == [matrices.len(); 2] {
            return Packing::Mapped;
        }
        match shelf.keep(&matrices) {
            Ok(true) => Packing::Kept,
            Ok(false) => Packing::InMemory,
            Err(source) => Packing::NotKept { dir: shelf.dir().to_owned(), source },
        }
    }
}

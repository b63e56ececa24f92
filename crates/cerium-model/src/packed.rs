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
use cerium_kernels::{MatrixShape, PackError, PackedMatrix, Screen, ScreenShape, Team};
use kept::{Kept, Matrix};
use std::cell::{Cell, RefCell};
use std::io;
use std::path::PathBuf;

/// What a screen is kept as.
const SCREEN: &str = "screen";

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
    matrices: RefCell<Vec<Matrix>>,
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
        let failed = |source| LoadError::Pack { name: info.name.clone(), source };
        let shape = MatrixShape::new(info.kind, n_rows, n_cols).map_err(failed)?;
        let pack = |bytes: &[u8], packed: &mut [u8]| shape.pack(self.team, bytes, packed);
        let kind = info.kind.name();
        let bytes = self.bytes(info, kind, (n_rows, n_cols), shape.n_bytes(), pack)?;
        Ok(PackedMatrix::new(shape, bytes))
    }

    /// A screen of a tensor that is [packed](Self::matrix) too, for tokens whose columns have such `sizes`.
    pub(crate) fn screen(
        &self,
        info: &TensorInfo,
        n_rows: usize,
        sizes: &[f32],
    ) -> Result<Screen, LoadError> {
        let shape = ScreenShape::new(n_rows, sizes.len());
        let build = |bytes: &[u8], screen: &mut [u8]| {
            shape.build(self.team, info.kind, bytes, sizes, screen);
            Ok(())
        };
        let bytes = self.bytes(info, SCREEN, (n_rows, sizes.len()), shape.n_bytes(), build)?;
        Ok(Screen::new(shape, bytes))
    }

    /// What `make` makes of a tensor's bytes, or what was kept of it.
    fn bytes(
        &self,
        info: &TensorInfo,
        kind: &'static str,
        (n_rows, n_cols): (usize, usize),
        n_bytes: usize,
        make: impl FnOnce(&[u8], &mut [u8]) -> Result<(), PackError>,
    ) -> Result<Bytes, LoadError> {
        let name = &info.name;
        let kept = self.kept.as_ref();
        let found = kept.and_then(|kept| kept.bytes(name, kind, (n_rows, n_cols), n_bytes));
        self.n_found.update(|n| n + usize::from(found.is_some()));
        let bytes = found.map_or_else(|| self.make(info, n_bytes, make), Ok)?;
        let (name, of_matrix) = (name.clone(), bytes.clone());
        self.matrices.borrow_mut().push(Matrix { name, kind, n_rows, n_cols, bytes: of_matrix });
        Ok(bytes)
    }

    fn make(
        &self,
        info: &TensorInfo,
        n_bytes: usize,
        make: impl FnOnce(&[u8], &mut [u8]) -> Result<(), PackError>,
    ) -> Result<Bytes, LoadError> {
        let out_of_memory = |source| LoadError::Memory { n_bytes, source };
        let mut made = mmap::zeroed(n_bytes).map_err(out_of_memory)?;
        make(self.file.tensor_bytes(info), &mut made)
            .map_err(|source| LoadError::Pack { name: info.name.clone(), source })?;
        // Or the weights were in memory twice.
        self.file.map.release(info.range.clone());
        Ok(Bytes::from_owner(made.make_read_only().map_err(out_of_memory)?))
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

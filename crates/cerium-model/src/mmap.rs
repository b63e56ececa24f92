//! A file as a slice of bytes, mapped read-only: the one place in this crate with `unsafe`.

use std::{fs::File, io, ops::Deref, path::Path};

/// A file mapped into memory for reading.
#[derive(Debug)]
pub struct Mapped(memmap2::Mmap);

impl Mapped {
    /// Maps a whole file.
    ///
    /// # Errors
    /// If it cannot be opened or mapped, or is not a regular file (a directory, a pipe).
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        // SAFETY: the mapping is private and read-only, and it keeps its own hold on the file. What
        // remains is somebody shortening or rewriting a model while it is in use, which no reader
        // of a mapped file can exclude: then later reads see other bytes or the process gets
        // SIGBUS. Models are installed by an atomic rename and never written again. Rust's own
        // requirement, that bytes behind a `&[u8]` do not change, is the caller's to keep up.
        #[expect(unsafe_code, reason = "mapping a file has no safe interface")]
        let map = unsafe { memmap2::MmapOptions::new().map(&file)? };
        Ok(Self(map))
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

//! Memory from the system: a file as a slice of bytes, and large pages of zeros. The one place in this
//! crate with `unsafe`.

use memmap2::{Advice, Mmap, MmapMut, MmapOptions, UncheckedAdvice};
use std::fs::{File, Metadata};
use std::ops::{Deref, Range};
use std::{io, path::Path};

/// A file mapped into memory for reading.
#[derive(Debug)]
pub struct Mapped {
    map: Mmap,
    metadata: Metadata,
}

impl Mapped {
    /// Maps a whole file.
    ///
    /// # Errors
    /// If it cannot be opened or mapped, or is not a regular file (a directory, a pipe).
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::of(&File::open(path)?)
    }

    /// Maps the whole of an open file.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        // SAFETY: the mapping is private and read-only, and it keeps its own hold on the file. What
        // remains is somebody shortening or rewriting a model while it is in use, which no reader
        // of a mapped file can exclude: then later reads see other bytes or the process gets
        // SIGBUS. Models are installed by an atomic rename and never written again. Rust's own
        // requirement, that bytes behind a `&[u8]` do not change, is the caller's to keep up.
        #[expect(unsafe_code, reason = "mapping a file has no safe interface")]
        let map = unsafe { MmapOptions::new().map(file)? };
        Ok(Self { map, metadata })
    }

    /// What the system said of the file when it was mapped.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Says that all of it will be read soon and again and again: in large pages, where the system
    /// can.
    pub(crate) fn will_be_read(&self) {
        // Both only change speed.
        let _ = self.map.advise(Advice::HugePage);
        let _ = self.map.advise(Advice::WillNeed);
    }

    /// Lets go of the memory behind a range. It may still be read, and comes from the file again.
    pub(crate) fn release(&self, range: Range<usize>) {
        // SAFETY: the mapping is private, read-only and of a file, so that pages hold nothing but what
        // the file holds, and the next read maps the same bytes again.
        #[expect(unsafe_code, reason = "of anonymous memory this would lose what was written")]
        let released = unsafe {
            self.map.unchecked_advise_range(UncheckedAdvice::DontNeed, range.start, range.len())
        };
        // A refusal costs memory only.
        let _ = released;
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// Zeroed memory of `n_bytes`, not 0, in large pages where the system has them.
///
/// # Errors
/// If the system has no room for it.
pub(crate) fn zeroed(n_bytes: usize) -> io::Result<MmapMut> {
    let map = MmapMut::map_anon(n_bytes)?;
    // Only changes speed.
    let _ = map.advise(Advice::HugePage);
    Ok(map)
}

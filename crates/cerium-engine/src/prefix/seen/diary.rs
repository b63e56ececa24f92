//! The file in which processes write down which pages they computed: 16 bytes each, of the page and of
//! the way in which it was computed. Nobody is told why it cannot be read or written: then less is known.

use super::Trace;
use crate::store::{DIARY, private_file, private_log};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Bytes of an entry.
const ENTRY: usize = 16;

#[derive(Debug)]
pub(super) struct Diary {
    path: PathBuf,
    file: Option<File>,
    way: u64,
    unwritten: Vec<u8>,
}

impl Diary {
    /// The diary of a directory, and what stands in it: pages, and the ways in which they were computed.
    ///
    /// * `n_max`: entries; what is more goes, from the oldest on
    pub(super) fn open(dir: &Path, n_max: usize) -> (Self, Vec<(Trace, u64)>) {
        let path = dir.join(DIARY);
        let bytes_max = n_max * ENTRY;
        let (mut bytes, n_bytes) = tail(&path, bytes_max).unwrap_or_default();
        // A process that was killed may have left part of an entry: what follows it would be misread.
        if n_bytes > bytes_max as u64 || !n_bytes.is_multiple_of(ENTRY as u64) {
            bytes.truncate(bytes.len() / ENTRY * ENTRY);
            bytes.drain(..bytes.len().saturating_sub(bytes_max / 2));
            // Others that write now lose an entry or two.
            let _ = private_file(&path).and_then(|mut file| file.write_all(&bytes));
        }
        let (entries, _) = bytes.as_chunks::<8>();
        let number = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
        let entries =
            entries.chunks_exact(2).map(|pair| (Trace(number(&pair[0])), number(&pair[1])));
        let entries = entries.collect();
        (Self { path, file: None, way: 0, unwritten: Vec::new() }, entries)
    }

    /// What is added was computed so.
    pub(super) fn by(self, way: u64) -> Self {
        Self { way, ..self }
    }

    pub(super) fn add(&mut self, Trace(trace): Trace) {
        self.unwritten.extend(trace.to_le_bytes());
        self.unwritten.extend(self.way.to_le_bytes());
    }

    pub(super) fn write(&mut self) {
        if self.unwritten.is_empty() {
            return;
        }
        if self.file.is_none() {
            self.file = private_log(&self.path).ok();
        }
        if let Some(file) = &mut self.file {
            // In one piece: others append as well.
            let _ = file.write_all(&self.unwritten);
        }
        self.unwritten.clear();
    }
}

/// The end of a file, from the beginning of an entry on, and the length of all of it.
fn tail(path: &Path, n_bytes_max: usize) -> io::Result<(Vec<u8>, u64)> {
    let mut file = File::open(path)?;
    let n_bytes = file.metadata()?.len();
    let entry = ENTRY as u64;
    file.seek(SeekFrom::Start(n_bytes.saturating_sub(n_bytes_max as u64).div_ceil(entry) * entry))?;
    let mut bytes = Vec::new();
    file.take(n_bytes_max as u64).read_to_end(&mut bytes)?;
    Ok((bytes, n_bytes))
}

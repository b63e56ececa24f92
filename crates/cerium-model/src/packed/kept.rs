//! One file of packed matrices, and whatever else is made of a model's tensors.
//!
//! ```text
//! magic   "cerium", 0, version of this format
//! head    its length (u64), its crc32c (u32), then JSON: model, layout, and of every matrix
//!         name, kind, shape and place
//! data    from the next multiple of 2 MiB: the matrices, each at a multiple of 64
//! sums    crc32c (u32) of every 4 MiB of the data
//! ```
//!
//! Numbers are little-endian. Checksums tell accidents; whoever may write to the directory could replace
//! the program as well.

use crate::mmap::Mapped;
use bytes::Bytes;
use cerium_kernels::Team;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

const MAGIC: [u8; 8] = *b"cerium\0\x01";

/// Magic, length and checksum of the head.
const BEFORE_HEAD: usize = 8 + 8 + 4;

/// The data begins at a multiple of this, and chunks are multiples of it: as large as large pages, so
/// that they lie in such in the system's cache of files.
const PAGE: usize = 2 << 20;

/// What is summed up, and written, at once.
const CHUNK: usize = 2 * PAGE;

/// Matrices begin at multiples of this: a cache line.
const ALIGNMENT: usize = 64;

/// Which weights a file holds.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Label {
    /// What the model is known by.
    pub(super) model: String,
    /// What the layout of the panels is known by.
    pub(super) layout: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    label: Label,
    matrices: Vec<Entry>,
    n_bytes: usize,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    name: String,
    kind: String,
    n_rows: usize,
    n_cols: usize,
    /// In the data.
    offset: usize,
}

/// A matrix in some packed form.
#[derive(Clone, Debug)]
pub(super) struct Matrix {
    /// Of the tensor.
    pub(super) name: String,
    /// The tensor's type, or what else it was made into.
    pub(super) kind: &'static str,
    pub(super) n_rows: usize,
    pub(super) n_cols: usize,
    pub(super) bytes: Bytes,
}

/// The matrices of a file that was checked.
#[derive(Debug)]
pub(super) struct Kept {
    data: Bytes,
    /// By name and kind.
    entries: HashMap<(String, String), Entry>,
}

impl Kept {
    /// Maps a file, if it holds exactly what the label says and all its sums are right.
    pub(super) fn open(file: &File, label: &Label, team: &Team) -> Option<Self> {
        let map = Mapped::of(file).ok()?;
        let rest = map.strip_prefix(&MAGIC)?;
        let (n_head, rest) = rest.split_first_chunk()?;
        let (sum, rest) = rest.split_first_chunk()?;
        let n_head = usize::try_from(u64::from_le_bytes(*n_head)).ok()?;
        let head = rest.get(..n_head)?;
        if crc32c::crc32c(head) != u32::from_le_bytes(*sum) {
            return None;
        }
        let head: Head = serde_json::from_slice(head).ok()?;
        let start = data_start(n_head);
        let end = start.checked_add(head.n_bytes)?;
        let whole = end.checked_add(4 * head.n_bytes.div_ceil(CHUNK))?;
        if head.label != *label || map.len() != whole {
            return None;
        }
        map.will_be_read();
        let (data, sums) = (map.get(start..end)?, map.get(end..)?);
        let (sums, is_whole) = (sums.as_chunks::<4>().0, AtomicBool::new(true));
        team.run(sums.len(), &|i| {
            let chunk = &data[i * CHUNK..data.len().min((i + 1) * CHUNK)];
            if crc32c::crc32c(chunk) != u32::from_le_bytes(sums[i]) {
                is_whole.store(false, Ordering::Relaxed);
            }
        });
        if !is_whole.into_inner() {
            return None;
        }
        let named = |entry: Entry| ((entry.name.clone(), entry.kind.clone()), entry);
        let entries = head.matrices.into_iter().map(named).collect();
        Some(Self { data: Bytes::from_owner(map).slice(start..end), entries })
    }

    pub(super) fn n_matrices(&self) -> usize {
        self.entries.len()
    }

    /// The bytes of a matrix of this name, kind, shape and length, if there is one.
    pub(super) fn bytes(
        &self,
        name: &str,
        kind: &str,
        shape: (usize, usize),
        n_bytes: usize,
    ) -> Option<Bytes> {
        let entry = self.entries.get(&(name.to_owned(), kind.to_owned()))?;
        let end = entry.offset.checked_add(n_bytes)?;
        let fits = (entry.n_rows, entry.n_cols) == shape && end <= self.data.len();
        fits.then(|| self.data.slice(entry.offset..end))
    }
}

/// Writes a whole file, and waits until it is on the disk.
pub(super) fn write(mut file: &File, label: Label, matrices: &[Matrix]) -> io::Result<()> {
    let mut entries = Vec::with_capacity(matrices.len());
    let mut n_bytes = 0usize;
    for &Matrix { ref name, kind, n_rows, n_cols, ref bytes } in matrices {
        let (name, kind) = (name.clone(), kind.to_owned());
        let offset = n_bytes.next_multiple_of(ALIGNMENT);
        entries.push(Entry { name, kind, n_rows, n_cols, offset });
        n_bytes = offset + bytes.len();
    }
    let head = serde_json::to_vec(&Head { label, matrices: entries, n_bytes })?;
    let mut before = MAGIC.to_vec();
    before.extend((head.len() as u64).to_le_bytes());
    before.extend(crc32c::crc32c(&head).to_le_bytes());
    before.extend(&head);
    before.resize(data_start(head.len()), 0);
    file.write_all(&before)?;

    let mut chunks = Chunks { file, chunk: Vec::with_capacity(CHUNK), sums: Vec::new() };
    for matrix in matrices {
        // Chunks are multiples of the alignment too.
        let n_over = chunks.chunk.len() % ALIGNMENT;
        chunks.put(&[0; ALIGNMENT][..(ALIGNMENT - n_over) % ALIGNMENT])?;
        chunks.put(&matrix.bytes)?;
    }
    chunks.flush()?;
    file.write_all(&chunks.sums)?;
    file.sync_all()
}

/// Writes data chunk by chunk and sums it up.
struct Chunks<'a> {
    file: &'a File,
    chunk: Vec<u8>,
    sums: Vec<u8>,
}

impl Chunks<'_> {
    fn put(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK - self.chunk.len()));
            self.chunk.extend_from_slice(now);
            bytes = later;
            if self.chunk.len() == CHUNK {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.chunk.is_empty() {
            self.sums.extend(crc32c::crc32c(&self.chunk).to_le_bytes());
            self.file.write_all(&self.chunk)?;
            self.chunk.clear();
        }
        Ok(())
    }
}

/// Where the data begins after a head of `n_head` bytes.
fn data_start(n_head: usize) -> usize {
    (BEFORE_HEAD + n_head).next_multiple_of(PAGE)
}

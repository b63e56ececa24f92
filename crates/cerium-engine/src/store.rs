//! Pages of keys and values on disk, so that a prompt that was computed before a restart is not
//! computed again.
//!
//! A page is known by a hash over the model, how it computes and all tokens up to its end ([`key`]), so
//! nothing is ever found that does not belong; and it is checked when it is read ([`entry`]), so nothing is
//! trusted that was damaged. Writing is a convenience: a thread of its own does it, and when it
//! cannot, it says so once and rests.

mod entry;
mod key;
mod shelf;

pub(crate) use key::Key;
pub(crate) use shelf::{DIARY, private_file, private_log};
pub use shelf::{Kept, clear, kept};

use cerium_model::Fingerprint;
use flume::{Receiver, Sender};
use shelf::Shelf;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Beginnings of fewer pages are computed sooner than files are worth it: 256 tokens.
pub const PAGES_MIN: usize = 4;

/// Pages that wait to be written, or that were read and wait to be used.
const WAITING: usize = 8;

/// How long nothing is written after it could not be.
const REST: Duration = Duration::from_mins(10);

/// Pages written before the directory is measured again: other processes write there too.
const MEASURED_EVERY: usize = 256;

/// Where pages are kept.
#[derive(Clone)]
pub struct StoreOptions {
    /// The directory. It need not exist yet.
    pub dir: PathBuf,
    /// Bytes that it may have.
    pub bytes_max: u64,
    /// Hears why something could not be written, once.
    pub on_trouble: Arc<dyn Fn(&io::Error) + Send + Sync>,
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dir, bytes_max, .. } = self;
        f.debug_struct("StoreOptions").field("dir", dir).field("bytes_max", bytes_max).finish()
    }
}

/// The pages of one model, computed in one way.
#[derive(Debug)]
pub(crate) struct Store {
    shelf: Shelf,
    to_write: Sender<Write>,
    /// Buffers that come back.
    spare: Receiver<Vec<u8>>,
}

#[derive(Debug)]
struct Write {
    key: Key,
    depth: usize,
    page: Vec<u8>,
}

/// Pages on their way from the disk, in order. Dropping it ends the reading.
pub(crate) type Reading = Receiver<Vec<u8>>;

impl Store {
    /// # Panics
    /// If the system cannot start a thread.
    pub(crate) fn open(
        options: StoreOptions,
        fingerprint: &Fingerprint,
        page_bytes: usize,
    ) -> Self {
        let shelf = Shelf::new(&options.dir, fingerprint, page_bytes);
        let (to_write, inbox) = flume::bounded(WAITING);
        let (back, spare) = flume::bounded(WAITING);
        let writer =
            Writer { shelf: shelf.clone(), options, n_bytes: 0, n_written: 0, rests: None };
        let thread = thread::Builder::new().name("cerium-store".to_owned());
        thread.spawn(move || writer.run(&inbox, &back)).expect("a thread can be started");
        Self { shelf, to_write, spare }
    }

    /// Whether there is such a page, right or not.
    pub(crate) fn has(&self, key: Key) -> bool {
        self.shelf.has(key)
    }

    /// Whether the writer takes another page.
    pub(crate) fn has_room(&self) -> bool {
        !self.to_write.is_full()
    }

    /// Has a page written, the `depth`th of its prefix, unless the writer is busy.
    ///
    /// * `fill`: appends the page to an empty buffer
    pub(crate) fn write(&self, key: Key, depth: usize, fill: impl FnOnce(&mut Vec<u8>)) {
        let mut page = self.spare.try_recv().unwrap_or_default();
        page.clear();
        fill(&mut page);
        // Then it is not kept.
        let _ = self.to_write.try_send(Write { key, depth, page });
    }

    /// Reads pages of a prefix, the first of which is its `depth`th, up to one that is not there or not
    /// right.
    ///
    /// # Panics
    /// If the system cannot start a thread.
    pub(crate) fn read(&self, keys: Vec<Key>, depth: usize) -> Reading {
        let (pages, reading) = flume::bounded(WAITING);
        let shelf = self.shelf.clone();
        let read = move || {
            for (i, key) in keys.into_iter().enumerate() {
                let mut page = Vec::new();
                if !shelf.read(key, depth + i, &mut page) || pages.send(page).is_err() {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("cerium-restore".to_owned());
        thread.spawn(read).expect("a thread can be started");
        reading
    }
}

/// The thread that writes.
struct Writer {
    shelf: Shelf,
    options: StoreOptions,
    /// Bytes of the directory, as far as this process knows.
    n_bytes: u64,
    n_written: usize,
    /// Since when nothing is written.
    rests: Option<Instant>,
}

impl Writer {
    fn run(mut self, inbox: &Receiver<Write>, back: &Sender<Vec<u8>>) {
        let mut told = false;
        for write in inbox {
            if self.rests.is_none_or(|since| since.elapsed() > REST) {
                self.rests = None;
                if let Err(error) = self.write(&write) {
                    self.rests = Some(Instant::now());
                    if !std::mem::replace(&mut told, true) {
                        (self.options.on_trouble)(&error);
                    }
                }
            }
            let _ = back.try_send(write.page);
        }
    }

    fn write(&mut self, Write { key, depth, page }: &Write) -> io::Result<()> {
        if self.shelf.has(*key) {
            return Ok(());
        }
        let n_bytes = (entry::HEAD + page.len()) as u64;
        let bytes_max = self.options.bytes_max;
        if self.n_written.is_multiple_of(MEASURED_EVERY) || self.n_bytes + n_bytes > bytes_max {
            self.n_bytes = self.shelf.sweep(bytes_max.saturating_sub(n_bytes));
        }
        if self.n_bytes + n_bytes <= bytes_max {
            self.shelf.write(*key, *depth, page)?;
            self.n_bytes += n_bytes;
            self.n_written += 1;
        }
        Ok(())
    }
}

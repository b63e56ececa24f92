//! The journal's files: numbered records, texts by hash, one lock. Everything is written to a
//! temporary file, synced and renamed; directories are private to the user.

use super::JournalError;
use super::record::{EntryId, FileChange, Op, Record};
use crate::files::hash;
use std::collections::HashSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long to wait for another process; it holds the lock for the time of a few small writes.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(10);

/// Records larger than this are not ours.
const RECORD_BYTES_MAX: u64 = 4 << 20;

#[derive(Debug)]
pub(super) struct Store {
    dir: PathBuf,
}

/// Held while files are changed; given up when dropped, or when the process dies.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "held for its effect")] File);

fn failed<'p>(what: &'static str, path: &'p Path) -> impl Fn(io::Error) -> JournalError + use<'p> {
    move |source| JournalError::Io { what, path: path.to_owned(), source }
}

impl Store {
    pub(super) fn at(dir: PathBuf) -> Self {
        Self { dir }
    }

    fn records_dir(&self) -> PathBuf {
        self.dir.join("records")
    }

    pub(super) fn record_path(&self, id: EntryId) -> PathBuf {
        self.records_dir().join(format!("{id:012}.json"))
    }

    pub(super) fn blob_path(&self, hash: &str) -> PathBuf {
        self.dir.join("texts").join(hash)
    }

    pub(super) fn lock(&self) -> Result<Lock, JournalError> {
        for dir in [self.dir.clone(), self.records_dir(), self.dir.join("texts")] {
            private_dir(&dir).map_err(failed("create", &dir))?;
        }
        let path = self.dir.join("lock");
        let file = private_file(&path).map_err(failed("lock", &path))?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock(file)),
                Err(TryLockError::Error(source)) => return Err(failed("lock", &path)(source)),
                Err(TryLockError::WouldBlock) if start.elapsed() > LOCK_WAIT_MAX => {
                    return Err(JournalError::Busy { path });
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Numbers of the records there are, in order.
    fn ids(&self) -> Result<Vec<EntryId>, JournalError> {
        let dir = self.records_dir();
        let entries = match fs::read_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed("read", &dir))?,
        };
        let mut ids: Vec<EntryId> = entries
            .filter_map(|entry| {
                let name = entry.ok()?.file_name();
                name.to_str()?.strip_suffix(".json")?.parse().ok()
            })
            .collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// Every record that can be read, in order.
    pub(super) fn records(&self) -> Result<Vec<Record>, JournalError> {
        Ok(self.ids()?.into_iter().filter_map(|id| self.record(id)).collect())
    }

    /// Whether the last record announces nothing: a change is settled before anything else is
    /// recorded, so that only the last one can be open.
    pub(super) fn is_settled(&self) -> Result<bool, JournalError> {
        let last = self.ids()?.last().and_then(|&id| self.record(id));
        Ok(last.is_none_or(|record| !record.op.announces()))
    }

    fn record(&self, id: EntryId) -> Option<Record> {
        let path = self.record_path(id);
        let small = fs::metadata(&path).is_ok_and(|m| m.len() <= RECORD_BYTES_MAX);
        let bytes = fs::read(&path).ok().filter(|_| small)?;
        serde_json::from_slice::<Record>(&bytes).ok().filter(|record| record.id == id)
    }

    pub(super) fn next_id(&self) -> Result<EntryId, JournalError> {
        Ok(self.ids()?.last().map_or(1, |last| last + 1))
    }

    pub(super) fn append(
        &self,
        id: EntryId,
        op: Op,
        files: Vec<FileChange>,
    ) -> Result<(), JournalError> {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let record = Record { id, at, op, files };
        let path = self.record_path(id);
        let bytes = serde_json::to_vec(&record).map_err(io::Error::from);
        let written = bytes.and_then(|bytes| write_private(&path, &bytes));
        written.map_err(failed("write", &path))
    }

    pub(super) fn settle(&self, of: EntryId, applied: bool) -> Result<(), JournalError> {
        self.append(self.next_id()?, Op::Settled { of, applied }, Vec::new())
    }

    /// Stores a text, unless it is there; returns its hash.
    pub(super) fn put_blob(&self, bytes: &[u8]) -> Result<String, JournalError> {
        let hash = hash(bytes);
        let path = self.blob_path(&hash);
        if self.blob(&hash).is_err() {
            write_private(&path, bytes).map_err(failed("write", &path))?;
        }
        Ok(hash)
    }

    /// A stored text, checked against its hash.
    pub(super) fn blob(&self, hash_wanted: &str) -> Result<Vec<u8>, JournalError> {
        let path = self.blob_path(hash_wanted);
        let bytes = fs::read(&path).ok().filter(|bytes| hash(bytes) == hash_wanted);
        bytes.ok_or(JournalError::Damaged { path })
    }

    /// Forgets the oldest records beyond a number of edits or of bytes, then the texts that no
    /// record names. Settlements and undos go with the edits before them.
    pub(super) fn prune(&self, n_entries_max: usize, bytes_max: u64) -> Result<(), JournalError> {
        let records = self.records()?;
        let size = |hash: &str| fs::metadata(self.blob_path(hash)).map_or(0, |m| m.len());
        let mut keep_from = 0;
        let (mut n_entries, mut bytes) = (0, 0);
        let mut seen = HashSet::new();
        for record in records.iter().rev() {
            for hash in record.files.iter().flat_map(FileChange::texts) {
                if seen.insert(hash) {
                    bytes += size(hash);
                }
            }
            n_entries += usize::from(record.op.is_deed());
            if n_entries >= n_entries_max || (bytes > bytes_max && n_entries > 0) {
                keep_from = record.id;
                break;
            }
        }
        for id in self.ids()?.into_iter().filter(|&id| id < keep_from) {
            let path = self.record_path(id);
            fs::remove_file(&path).map_err(failed("write", &path))?;
        }
        if keep_from > 0 {
            self.drop_texts_without_record(&records, keep_from)?;
        }
        Ok(())
    }

    fn drop_texts_without_record(
        &self,
        records: &[Record],
        keep_from: EntryId,
    ) -> Result<(), JournalError> {
        let dir = self.dir.join("texts");
        let kept = records.iter().filter(|r| r.id >= keep_from).flat_map(|r| &r.files);
        let named: HashSet<&str> = kept.flat_map(FileChange::texts).collect();
        for entry in fs::read_dir(&dir).map_err(failed("read", &dir))?.flatten() {
            let name = entry.file_name();
            // A text stored a moment ago for the edit about to be journalled has no record yet.
            let age =
                entry.metadata().and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok());
            let fresh = age.is_none_or(|age| age < Duration::from_mins(1));
            if !fresh && name.to_str().is_none_or(|name| !named.contains(name)) {
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }
}

fn private_dir(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

fn private_file(path: &Path) -> io::Result<File> {
    let mut options = fs::OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Writes a file in one step; temporary files are made with mode 0600 and stay so.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    crate::files::sync_dir(dir);
    Ok(())
}

//! The note beside a model file that its hash was checked, so that no start hashes it again.
//!
//! It holds the file's size, modification time and inode: a file that was replaced or written to
//! differs in one of them and is hashed anew. This guards against accidents, not against somebody
//! who can write to the directory; they could replace the program as well.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// What was true of a file when its hash was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    bytes: u64,
    /// Modification time, nanoseconds since 1970.
    mtime_ns: u128,
    /// 0 where the system has none.
    inode: u64,
    /// Lower-case hex.
    pub(crate) sha256: String,
}

impl Record {
    /// Describes a file whose hash was just taken.
    pub(crate) fn of(meta: &Metadata, sha256: String) -> Self {
        let mtime = meta.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Self {
            bytes: meta.len(),
            mtime_ns: mtime.map_or(0, |time| time.as_nanos()),
            inode: inode(meta),
            sha256,
        }
    }

    /// Reads the record of a model file, if there is one that still describes it.
    pub(crate) fn read(model: &Path, meta: &Metadata) -> Option<Self> {
        let text = fs::read(path_of(model)).ok()?;
        let record: Self = serde_json::from_slice(&text).ok()?;
        let now = Self::of(meta, record.sha256.clone());
        (record == now).then_some(record)
    }

    /// Writes the record beside the model file, whole or not at all.
    pub(crate) fn write(&self, model: &Path) -> io::Result<()> {
        let path = path_of(model);
        let temporary = path.with_extension(format!("json.{}", std::process::id()));
        fs::write(&temporary, serde_json::to_vec_pretty(self)?)?;
        fs::rename(&temporary, &path).inspect_err(|_| drop(fs::remove_file(&temporary)))
    }
}

/// Place of the record of a model file.
pub(crate) fn path_of(model: &Path) -> PathBuf {
    let mut name = model.as_os_str().to_owned();
    name.push(".verified.json");
    name.into()
}

#[cfg(unix)]
fn inode(meta: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(meta)
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> u64 {
    0
}

/// Hashes a file, calling `each` with the number of bytes read so far; `None` if that broke off.
pub(crate) fn hash_file(
    path: &Path,
    mut each: impl FnMut(u64) -> ControlFlow<()>,
) -> io::Result<Option<Sha256>> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut done = 0;
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok(Some(hash));
        }
        hash.update(&buffer[..n]);
        done += n as u64;
        if each(done).is_break() {
            return Ok(None);
        }
    }
}

/// The hash so far, in lower-case hex.
pub(crate) fn hex(hash: Sha256) -> String {
    let digits =
        |byte: u8| [byte >> 4, byte & 15].map(|d| char::from(b"0123456789abcdef"[usize::from(d)]));
    hash.finalize().into_iter().flat_map(digits).collect()
}

//! One page in a file.
//!
//! ```text
//! magic   "ceriumk", version of this format
//! key     32 bytes: what the page is called
//! sum     crc32c (u32, little-endian) of key and page
//! page    as `cerium_model::kv::Page` writes it
//! ```
//!
//! Checksums tell accidents; whoever may write to the directory could replace the program as well.

use super::key::Key;
use std::fs::File;
use std::io::{self, Read, Write};

const MAGIC: [u8; 8] = *b"ceriumk\x01";

/// Bytes before the page.
pub(super) const HEAD: usize = 8 + 32 + 4;

/// A whole file.
pub(super) fn write(mut file: &File, key: Key, page: &[u8]) -> io::Result<()> {
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(&MAGIC);
    head[8..40].copy_from_slice(key.bytes());
    head[40..].copy_from_slice(&sum(key, page).to_le_bytes());
    file.write_all(&head)?;
    file.write_all(page)
}

/// Reads the page of this key into `page`, all `n_bytes` of it. False if the file holds anything else.
pub(super) fn read(
    mut file: &File,
    key: Key,
    n_bytes: usize,
    page: &mut Vec<u8>,
) -> io::Result<bool> {
    if file.metadata()?.len() != (HEAD + n_bytes) as u64 {
        return Ok(false);
    }
    let mut head = [0; HEAD];
    page.resize(n_bytes, 0);
    match file.read_exact(&mut head).and_then(|()| file.read_exact(page)) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        read => read?,
    }
    let is_it = head[..8] == MAGIC && head[8..40] == *key.bytes();
    Ok(is_it && head[40..] == sum(key, page).to_le_bytes())
}

fn sum(key: Key, page: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key.bytes()), page)
}

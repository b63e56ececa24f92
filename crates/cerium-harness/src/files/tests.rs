//! Hostile files in, clear refusals out; and nothing lost when writing fails.

use super::*;
use std::fs::{self, File};

fn tree() -> (tempfile::TempDir, Workspace) {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join(".git")).unwrap();
    let workspace = Workspace::discover(dir.path()).unwrap();
    (dir, workspace)
}

fn refusal(bytes: &[u8]) -> String {
    let (dir, workspace) = tree();
    fs::write(dir.path().join("f"), bytes).unwrap();
    SourceFile::open(&workspace, Path::new("f")).unwrap_err().to_string()
}

#[test]
fn other_encodings_and_binaries_are_refused_by_name() {
    assert_eq!(
        refusal(b"\xff\xfea\0"),
        "`f` is UTF-16 by its byte order mark; only UTF-8 can be edited"
    );
    assert_eq!(refusal(b"ok\n\0"), "`f` looks binary: there is a NUL byte at offset 3");
    assert_eq!(refusal(b"# ok\n# caf\xe9\n"), "`f` is not UTF-8: byte 0xe9 on line 2 (offset 10)");
}

#[test]
fn a_50_mb_file_is_refused_without_reading_it() {
    let (dir, workspace) = tree();
    let file = File::create(dir.path().join("f")).unwrap();
    file.set_len(50 << 20).unwrap();
    let error = SourceFile::open(&workspace, Path::new("f")).unwrap_err();
    assert!(error.to_string().contains("has 52428800 bytes"), "{error}");
}

#[test]
fn directories_and_missing_files_are_refused() {
    let (dir, workspace) = tree();
    fs::create_dir(dir.path().join("d")).unwrap();
    let error = SourceFile::open(&workspace, Path::new("d")).unwrap_err();
    assert!(error.to_string().ends_with("is a directory, not a regular file"), "{error}");
    let error = SourceFile::open(&workspace, Path::new("none")).unwrap_err();
    assert_eq!(error.to_string(), "cannot find `none`");
}

#[cfg(unix)]
#[test]
fn read_only_files_are_refused() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, workspace) = tree();
    let path = dir.path().join("f");
    fs::write(&path, "x\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    let error = SourceFile::open(&workspace, Path::new("f")).unwrap_err();
    assert!(error.to_string().ends_with("is read-only"), "{error}");
    assert!(error.hint().unwrap().starts_with("make it writable first"));
}

#[cfg(unix)]
#[test]
fn links_are_followed_inside_the_tree_and_refused_outside() {
    use std::os::unix::fs::symlink;
    let (dir, workspace) = tree();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("secret"), "x\n").unwrap();
    fs::write(dir.path().join("f"), "x\n").unwrap();
    symlink("f", dir.path().join("inside")).unwrap();
    symlink(elsewhere.path().join("secret"), dir.path().join("outside")).unwrap();
    symlink(elsewhere.path(), dir.path().join("door")).unwrap();

    let file = SourceFile::open(&workspace, Path::new("inside")).unwrap();
    assert_eq!(file.path, "f");
    let root = dir.path().canonicalize().unwrap();
    for path in [Path::new("outside"), Path::new("door/secret"), &root.join("outside")] {
        let error = SourceFile::open(&workspace, path).unwrap_err();
        assert!(error.to_string().contains("is outside the tree"), "{error}");
    }
}

#[test]
fn a_path_elsewhere_belongs_to_the_tree_there() {
    let (_dir, workspace) = tree();
    let (other, _) = tree();
    fs::create_dir(other.path().join("src")).unwrap();
    fs::write(other.path().join("src/f"), "x\n").unwrap();
    let file = SourceFile::open(&workspace, &other.path().join("src/f")).unwrap();
    assert_eq!(file.root, other.path().canonicalize().unwrap());
    assert_eq!(file.path, "src/f");
}

#[test]
fn byte_order_mark_and_line_endings_are_seen_and_kept() {
    let (dir, workspace) = tree();
    fs::write(dir.path().join("f"), "\u{feff}a\r\nb\r\nc\n").unwrap();
    let file = SourceFile::open(&workspace, Path::new("f")).unwrap();
    assert_eq!((file.text.as_str(), file.bom, file.style.eol), ("a\r\nb\r\nc\n", true, Eol::CrLf));
    assert_eq!(file.encode(&file.text), fs::read(dir.path().join("f")).unwrap());
}

#[cfg(unix)]
#[test]
fn writing_keeps_the_mode_and_leaves_nothing_beside() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, _) = tree();
    let path = dir.path().join("f");
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
    write_atomic(&path, b"new").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o750);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn a_full_disk_leaves_the_file_and_no_temporary() {
    let (dir, _) = tree();
    let path = dir.path().join("f");
    fs::write(&path, "old").unwrap();
    let full = Staged::filled(&path, PREFIX, |file| {
        std::io::Write::write_all(file, b"half of the new te")?;
        Err(std::io::ErrorKind::StorageFull.into())
    });
    let error = FileError::Write { path: path.clone(), source: full.unwrap_err() };
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    assert_eq!(error.hint().unwrap(), "the disk is full; free some space and try again");
}

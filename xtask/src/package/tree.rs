//! What goes where, below a prefix such as `/usr` or `~/.local`.

use crate::project::{command, output, root, run};
use anyhow::{Context, Result};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Shells, and where each looks for the completions of a package.
pub(super) const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "share/bash-completion/completions/cerium"),
    ("fish", "share/fish/vendor_completions.d/cerium.fish"),
    ("zsh", "share/zsh/vendor-completions/_cerium"),
];

/// Where documents are.
pub(super) const DOC: &str = "share/doc/cerium";

/// Puts binary, manual pages, completions and documents below a prefix. Pages and completions are the
/// binary's own word.
pub(super) fn lay_out(binary: &Path, licenses: &str, prefix: &Path) -> Result<()> {
    let cerium = prefix.join("bin/cerium");
    copy(binary, &cerium)?;
    make_executable(&cerium)?;
    let pages = prefix.join("share/man/man1");
    run(command(binary).arg("man").arg(&pages))?;
    // Without a time and a name in it, so that equal pages are equal files.
    run(command("gzip").args(["-9", "--no-name"]).args(sorted(&pages)?))?;
    for (shell, place) in COMPLETIONS {
        let script = output(command(binary).args(["completions", shell]))?;
        write(&prefix.join(place), script.as_bytes())?;
    }
    let doc = prefix.join(DOC);
    for name in ["README.md", "CHANGELOG.md"] {
        copy(&root().join(name), &doc.join(name))?;
    }
    for page in sorted(&root().join("docs"))? {
        if page.extension().is_some_and(|it| it == "md") {
            copy(&page, &doc.join("docs").join(page.file_name().unwrap_or_default()))?;
        }
    }
    write(&doc.join("copyright"), copyright(licenses)?.as_bytes())
}

/// Our licences, then those of what is in the binary: what is no crate, and the crates.
fn copyright(licenses: &str) -> Result<String> {
    let read =
        |name| fs::read_to_string(root().join(name)).with_context(|| format!("reading {name}"));
    Ok(format!(
        "cerium is licensed under MIT or Apache-2.0, at your option.\n\n{}\n{}\n{}\n{licenses}",
        read("LICENSE-MIT")?,
        read("LICENSE-APACHE")?,
        read("packaging/others.txt")?
    ))
}

/// Copies a file, and makes the directories above it.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(from).with_context(|| format!("reading `{}`", from.display()))?;
    write(to, &bytes)
}

/// Writes a file, and makes the directories above it.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let writing = || format!("writing `{}`", path.display());
    fs::create_dir_all(path.parent().unwrap_or(path)).with_context(writing)?;
    fs::write(path, bytes).with_context(writing)
}

fn make_executable(path: &Path) -> Result<()> {
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

/// What is in a directory, by name.
pub(super) fn sorted(dir: &Path) -> Result<Vec<PathBuf>> {
    let reading = || format!("reading `{}`", dir.display());
    let entries = fs::read_dir(dir).with_context(reading)?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// Every file and directory below one, itself first, as whoever unpacks it is to find them: writable
/// for its owner, readable for all, with the same time.
pub(super) fn settle(dir: &Path, time: u64) -> Result<()> {
    let is_dir = dir.is_dir();
    if is_dir {
        for path in sorted(dir)? {
            settle(&path, time)?;
        }
    }
    let runs = is_dir || dir.metadata()?.permissions().mode() & 0o100 != 0;
    fs::set_permissions(dir, fs::Permissions::from_mode(if runs { 0o755 } else { 0o644 }))?;
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(time);
    Ok(fs::File::open(dir)?.set_modified(time)?)
}

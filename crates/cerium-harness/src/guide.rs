//! What a project asks of whoever works on it: its `AGENTS.md`.

use crate::Backend;
use crate::workspace::read_bytes;
use std::path::Path;

/// Bytes of it that are shown: small models lose the thread in more.
const SHOWN_BYTES_MAX: usize = 2_048;

/// It may take this part of a model's context; what is longer is left out of questions and plans.
const CONTEXT_PART_MAX: usize = 8;

/// A larger file is not read.
const FILE_BYTES_MAX: u64 = 256 << 10;

/// Instructions for work on a whole tree: ours, and what the project asks for.
///
/// * `guide`: as [`of_tree`] gives it; empty if it asks for nothing
pub(crate) fn heard(ours: &str, guide: &str) -> String {
    if guide.is_empty() {
        return ours.to_owned();
    }
    format!("{ours}\n\n{}", conventions(guide))
}

/// What the project asks for, as a model is told it.
pub(crate) fn conventions(guide: &str) -> String {
    format!("Conventions of this project:\n{guide}")
}

/// The `AGENTS.md` at the root of a tree, where the model has room for it; else nothing.
pub(crate) fn of_tree(backend: &dyn Backend, root: &Path) -> String {
    let guide = nearest(root, "AGENTS.md").unwrap_or_default();
    let fits = backend.count_tokens(&guide) <= backend.model().context_tokens / CONTEXT_PART_MAX;
    if fits { guide } else { String::new() }
}

/// The `AGENTS.md` nearest to a file, from its folder up to the root; its beginning, if it is long.
///
/// * `root`: canonical root of the tree
/// * `path`: of the file, relative to the root
pub(crate) fn nearest(root: &Path, path: &str) -> Option<String> {
    let file = root.join(path);
    let dirs = file.ancestors().skip(1).take_while(|dir| dir.starts_with(root));
    let found = dirs.map(|dir| dir.join("AGENTS.md")).find(|guide| guide.is_file())?;
    // A link may lead to the file of another name, not out of the tree.
    let real = found.canonicalize().ok().filter(|real| real.starts_with(root))?;
    let bytes = read_bytes(&real, FILE_BYTES_MAX).ok()?;
    let text = String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
    let text = beginning(text.trim());
    (!text.is_empty()).then(|| text.to_owned())
}

/// Whole lines of a text, as many as may be shown.
fn beginning(text: &str) -> &str {
    if text.len() <= SHOWN_BYTES_MAX {
        return text;
    }
    let fits = text.floor_char_boundary(SHOWN_BYTES_MAX);
    let end = text[..fits].rfind('\n').unwrap_or(fits);
    text[..end].trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_nearest_one_counts_and_long_ones_are_cut() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("a/b")).unwrap();
        assert_eq!(nearest(&root, "a/b/c.py"), None);
        fs::write(root.join("AGENTS.md"), "Use tabs.\r\nNo globals.\r\n\r\n").unwrap();
        assert_eq!(nearest(&root, "a/b/c.py").as_deref(), Some("Use tabs.\nNo globals."));
        fs::write(root.join("a/AGENTS.md"), "Line \u{e4}.\n".repeat(1_000)).unwrap();
        let cut = nearest(&root, "a/b/c.py").unwrap();
        assert!(cut.len() <= SHOWN_BYTES_MAX && cut.ends_with("Line \u{e4}."));
        assert_eq!(nearest(&root, "c.py").as_deref(), Some("Use tabs.\nNo globals."));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_out_of_the_tree_is_not_followed() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let root = dir.path().canonicalize().unwrap();
        fs::write(other.path().join("secret"), "secret").unwrap();
        std::os::unix::fs::symlink(other.path().join("secret"), root.join("AGENTS.md")).unwrap();
        assert_eq!(nearest(&root, "c.py"), None);
    }
}

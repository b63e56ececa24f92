//! The cases, as far as an engine may see them.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::fs;
use std::path::{Component, Path};

/// One case. Its tests and its reference stay in the file: the scorer reads them.
#[derive(Debug, Deserialize)]
pub(crate) struct Case {
    pub(crate) id: String,
    pub(super) language: String,
    /// Where the file lies, relative.
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) before: String,
    #[serde(default)]
    pub(crate) instruction: String,
    /// Text before and after the hole, for infills.
    #[serde(default)]
    prefix: Option<String>,
    #[serde(default)]
    suffix: Option<String>,
}

/// A hole in a text.
pub(super) struct Hole<'a> {
    pub(super) prefix: &'a str,
    pub(super) suffix: &'a str,
}

impl Case {
    pub(crate) fn is_infill(&self) -> bool {
        self.hole().is_some()
    }

    pub(super) fn hole(&self) -> Option<Hole<'_>> {
        let (prefix, suffix) = self.prefix.as_deref().zip(self.suffix.as_deref())?;
        Some(Hole { prefix, suffix })
    }
}

impl Hole<'_> {
    /// Line and column of the hole, from 1, the column in characters.
    pub(super) fn point(&self) -> (usize, usize) {
        let line = self.prefix.rsplit('\n').next().unwrap_or_default();
        (self.prefix.matches('\n').count() + 1, line.chars().count() + 1)
    }
}

/// Reads a set.
///
/// # Errors
/// When the file cannot be read, or a case is malformed.
pub(crate) fn read(path: &Path) -> Result<Vec<Case>> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let parse = |line: &str| -> Result<Case> {
        let case: Case = serde_json::from_str(line)?;
        let plain = |part| matches!(part, Component::Normal(_));
        let inside = Path::new(&case.path).components().all(plain) && !case.path.is_empty();
        ensure!(inside, "{}: path `{}` leaves its folder", case.id, case.path);
        Ok(case)
    };
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.map(parse).collect::<Result<_>>().with_context(|| format!("in {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_knows_its_line_and_column() {
        let point = |prefix| Hole { prefix, suffix: "" }.point();
        assert_eq!(point(""), (1, 1));
        assert_eq!(point("ab"), (1, 3));
        assert_eq!(point("a\n"), (2, 1));
        assert_eq!(point("a\né\n  x"), (3, 4));
    }

    #[test]
    fn paths_stay_inside() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (path, ok) in [("a/b.py", true), ("../a", false), ("/a", false), ("", false)] {
            let case = serde_json::json!({ "id": "x", "language": "python", "path": path });
            fs::write(file.path(), case.to_string()).unwrap();
            assert_eq!(read(file.path()).is_ok(), ok, "{path:?}");
        }
    }
}

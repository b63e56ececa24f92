//! Differences between two texts: as a patch, and line by line while the new text is being written.

mod stream;

pub use stream::{DiffStream, LineEvent};

use similar::{Algorithm, DiffOp, TextDiff, capture_diff_slices_deadline};
use std::time::{Duration, Instant};

/// A diff that takes longer becomes coarser instead; hostile answers can make it crawl.
const DIFF_TIME_MAX: Duration = Duration::from_millis(500);

/// How one list of lines becomes another.
pub(crate) fn lines(old: &[&str], new: &[&str]) -> Vec<DiffOp> {
    let deadline = Instant::now() + DIFF_TIME_MAX;
    capture_diff_slices_deadline(Algorithm::Patience, old, new, Some(deadline))
}

/// The same for texts.
pub(crate) fn lines_between(old: &str, new: &str) -> Vec<DiffOp> {
    texts(old, new).ops().to_vec()
}

/// The lines of two texts, compared.
pub(crate) fn texts<'t>(old: &'t str, new: &'t str) -> TextDiff<'t, 't, 't, str> {
    TextDiff::configure().timeout(DIFF_TIME_MAX).diff_lines(old, new)
}

/// A unified diff with three lines of context; empty when the texts are equal.
pub fn unified(path: &str, old: &str, new: &str) -> String {
    of_file(path, Some(old), Some(new))
}

/// The same for a file that may come or go.
pub(crate) fn of_file(path: &str, old: Option<&str>, new: Option<&str>) -> String {
    let name = |side: &str, text: Option<&str>| match text {
        Some(_) => format!("{side}/{path}"),
        None => "/dev/null".to_owned(),
    };
    let (a, b) = (name("a", old), name("b", new));
    let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
    texts(old, new).unified_diff().context_radius(3).header(&a, &b).to_string()
}

/// Lines added and removed.
pub fn counts(old: &str, new: &str) -> (usize, usize) {
    let diff = texts(old, new);
    let mut counts = (0, 0);
    for change in diff.iter_all_changes() {
        match change.tag() {
            similar::ChangeTag::Insert => counts.0 += 1,
            similar::ChangeTag::Delete => counts.1 += 1,
            similar::ChangeTag::Equal => {}
        }
    }
    counts
}

//! Listing the files of the tree: ignore files respected, links not followed, everything bounded.

use super::{Workspace, slashed};
use ignore::WalkBuilder;
use std::path::PathBuf;

/// Bounds of a walk.
#[derive(Clone, Copy, Debug)]
pub struct WalkLimits {
    /// Files listed at most.
    pub n_files_max: usize,
    /// Files above this size are left out, in bytes.
    pub file_bytes_max: u64,
    /// Directories deeper than this are not entered.
    pub depth_max: usize,
}

impl Default for WalkLimits {
    fn default() -> Self {
        Self { n_files_max: 50_000, file_bytes_max: 1 << 20, depth_max: 64 }
    }
}

/// Files of a tree, or of parts of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Regular files, relative to the root with `/`, in order of their paths.
    pub files: Vec<String>,
    /// Files left out because of their size.
    pub n_too_large: usize,
    /// Whether the walk ended at `n_files_max`, so that files are missing.
    pub cut: bool,
}

impl Workspace {
    /// Lists the files below `within` (paths relative to the root; none means the whole tree).
    ///
    /// Hidden files and whatever `.gitignore`, `.ignore` and git's own exclude files name are left
    /// out, unless they are named in `within`. Symbolic links are left out: what they lead to is
    /// either listed under its own name or no business of ours. What cannot be read is skipped.
    pub fn list(&self, within: &[String], limits: &WalkLimits) -> Listing {
        let starts: Vec<PathBuf> = if within.is_empty() {
            vec![self.root.clone()]
        } else {
            within.iter().map(|path| self.root.join(path)).collect()
        };
        let mut listing = Listing::default();
        let Some((first, others)) = starts.split_first() else { return listing };
        let mut builder = WalkBuilder::new(first);
        for other in others {
            builder.add(other);
        }
        // The ignore rules of directories above the root belong to other trees.
        builder.parents(!within.is_empty()).require_git(false).follow_links(false);
        builder.max_depth(Some(limits.depth_max)).sort_by_file_name(std::cmp::Ord::cmp);
        for entry in builder.build().filter_map(Result::ok) {
            if !entry.file_type().is_some_and(|kind| kind.is_file()) {
                continue;
            }
            let Some(path) = entry.path().strip_prefix(&self.root).ok().and_then(slashed) else {
                continue;
            };
            if entry.metadata().is_ok_and(|meta| meta.len() > limits.file_bytes_max) {
                listing.n_too_large += 1;
                continue;
            }
            if listing.files.len() == limits.n_files_max {
                listing.cut = true;
                break;
            }
            listing.files.push(path);
        }
        listing.files.sort_unstable();
        listing.files.dedup(); // Parts given twice, or one inside another.
        listing
    }
}

/// The path that a person or a model means: written whole, or by its last parts when only one path
/// ends in them.
///
/// * `paths`: in order, as [`Listing::files`] has them
pub fn sole_match(paths: &[String], written: &str) -> Option<String> {
    if paths.binary_search_by(|path| path.as_str().cmp(written)).is_ok() {
        return Some(written.to_owned());
    }
    let ends_so =
        |path: &&String| path.strip_suffix(written).is_some_and(|rest| rest.ends_with('/'));
    let mut matching = paths.iter().filter(ends_so);
    let first = matching.next()?;
    matching.next().is_none().then(|| first.clone())
}

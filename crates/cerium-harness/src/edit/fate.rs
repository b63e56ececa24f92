//! What becomes of a file as a whole: it is made, deleted or renamed. Deleting and renaming need no model,
//! and are done at once where an instruction says that and nothing else.

use super::error::EditError;
use super::proposal::{Proposal, Route, Stats};
use super::scope::{Scope, ScopeSource};
use super::splice::Change;
use super::view::View;
use crate::files::{FileError, SourceFile};
use crate::workspace::Workspace;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What becomes of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Its text changes.
    #[default]
    Change,
    /// There is none yet, and it is written.
    Make,
    /// It goes.
    Delete,
    /// It keeps its text and gets this path, relative to the root of its tree.
    Rename(String),
}

impl Fate {
    /// What an instruction wants of a whole file, if that is all that it wants: `delete this file`,
    /// `rename old.py to x.py`. A path with a slash begins at the root of the tree, another is one in
    /// the file's own folder.
    ///
    /// * `path`: of the file, relative to the root
    pub(crate) fn asked_for(instruction: &str, path: &str) -> Option<Self> {
        let around = ['`', '\'', '"'];
        let words: Vec<&str> = instruction
            .split_whitespace()
            .map(|word| word.trim_end_matches('.').trim_matches(around))
            .collect();
        let is = |word: &str, any: &[&str]| any.iter().any(|one| word.eq_ignore_ascii_case(one));
        let words = match words.split_first() {
            Some((first, rest)) if is(first, &["please"]) => rest,
            _ => &words,
        };
        let (verb, mut rest) = words.split_first()?;
        let mut skip = |any: &[&str]| {
            let found = rest.first().is_some_and(|word| is(word, any));
            rest = &rest[usize::from(found)..];
            found
        };
        let name = path.rsplit('/').next().unwrap_or_default();
        let this_file = skip(&["this", "the"]) & skip(&["file"]);
        // `delete this file`, or `delete` and the file's own name.
        if !(this_file | skip(&[path, name])) {
            return None;
        }
        match rest {
            [] if is(verb, &["delete", "remove"]) => Some(Self::Delete),
            [to, new] if is(verb, &["rename", "move"]) && is(to, &["to", "into", "as"]) => {
                let beside = path.strip_suffix(name).unwrap_or_default();
                let new = match new.strip_suffix('/') {
                    Some(dir) => format!("{dir}/{name}"),
                    None if new.contains('/') => (*new).to_owned(),
                    None if new.contains('.') => format!("{beside}{new}"),
                    // `rename the file to something better` names no file.
                    None => return None,
                };
                Some(Self::Rename(new.trim_start_matches("./").to_owned()))
            }
            _ => None,
        }
    }

    /// Whether it is taken whole or not at all.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self, Self::Delete | Self::Rename(_))
    }

    pub(super) fn is_change(&self) -> bool {
        *self == Self::Change
    }
}

/// A file that goes or gets another path.
///
/// # Errors
/// `File` when the path cannot be that of a new file.
pub(super) fn carry_out(
    file: &SourceFile,
    instruction: &str,
    fate: Fate,
) -> Result<Proposal, EditError> {
    let fate = match fate {
        Fate::Rename(to) => {
            let to = Workspace::at(&file.root).resolve_new(Path::new(&to));
            Fate::Rename(to.map_err(FileError::from)?)
        }
        fate => fate,
    };
    let view = View::new(Path::new(&file.path), &file.text);
    let goes = fate == Fate::Delete;
    let all = Change { bytes: 0..file.text.len(), new: String::new() };
    Ok(Proposal {
        file: file.clone(),
        fate,
        instruction: instruction.to_owned(),
        changes: if goes { vec![all] } else { Vec::new() },
        after: if goes { String::new() } else { file.text.clone() },
        scope: Scope { source: ScopeSource::Direct, ..Scope::whole(&view) },
        route: Route::Direct,
        model: String::new(),
        errors_before: view.errors(),
        errors_after: if goes { 0 } else { view.errors() },
        left_out: 0,
        chosen: None,
        stats: Stats::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_the_whole_file_and_of_nothing_else_is_understood() {
        let rename = |to: &str| Some(Fate::Rename(to.to_owned()));
        for (instruction, wanted) in [
            ("delete this file", Some(Fate::Delete)),
            ("Please remove the file.", Some(Fate::Delete)),
            ("delete the file `old.py`", Some(Fate::Delete)),
            ("Delete `src/old.py`.", Some(Fate::Delete)),
            ("rename old.py to new.py", rename("src/new.py")),
            ("remove old", None),
            ("delete the file other.py", None),
            ("delete this file and its tests", None),
            ("delete the function", None),
            ("rename this file to new.py", rename("src/new.py")),
            ("Move the file src/old.py to `lib/new.py`.", rename("lib/new.py")),
            ("move this file to lib/", rename("lib/old.py")),
            ("move this file to ./new/old.py", rename("new/old.py")),
            ("rename the file to something better", None),
            ("rename the file to better", None),
            ("rename this file to a.py and b.py", None),
            ("rename old to new.py", None),
            ("", None),
        ] {
            assert_eq!(Fate::asked_for(instruction, "src/old.py"), wanted, "{instruction}");
        }
    }
}

//! Completion: what the word before the cursor may become.

use super::command::COMMANDS;

/// More than can be looked through.
const N_MAX: usize = 40;

/// What may stand from a byte of the text up to the cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Completion {
    pub(super) start: usize,
    pub(super) candidates: Vec<String>,
    /// The one that stands there now.
    pub(super) chosen: Option<usize>,
}

/// What the word before the cursor may become: a command, a model, a path. `None` where nothing fits.
///
/// * `is_edit`: plain text names files, too
pub(super) fn complete(
    before: &str,
    files: &[String],
    models: &[&str],
    is_edit: bool,
) -> Option<Completion> {
    let start = before.rfind(char::is_whitespace).map_or(0, |at| at + 1);
    let word = &before[start..];
    let candidates: Vec<String> =
        if let Some(name) = before.strip_prefix('/').filter(|_| start == 0) {
            let commands = COMMANDS.iter().filter(|(command, ..)| command.starts_with(name));
            commands.map(|(command, ..)| format!("/{command} ")).collect()
        } else if before.starts_with("/model ") {
            let models = models.iter().filter(|model| model.starts_with(word));
            models.map(|model| (*model).to_owned()).collect()
        } else if let Some(path) = word.strip_prefix('@') {
            paths(path, files).map(|path| format!("@{path} ")).collect()
        } else if before.starts_with("/edit ") || (is_edit && !before.starts_with('/')) {
            paths(word, files).map(|path| format!("{path} ")).collect()
        } else {
            Vec::new()
        };
    (!candidates.is_empty()).then_some(Completion { start, candidates, chosen: None })
}

/// Paths that begin so, then those whose last part does, then those that hold it somewhere.
fn paths<'a>(word: &'a str, files: &'a [String]) -> impl Iterator<Item = &'a String> {
    let rank = move |path: &String| {
        let name = path.rsplit('/').next().unwrap_or_default();
        match () {
            () if path.starts_with(word) => Some(0),
            () if name.starts_with(word) => Some(1),
            () if path.contains(word) => Some(2),
            () => None,
        }
    };
    (0..3).flat_map(move |n| files.iter().filter(move |path| rank(path) == Some(n))).take(N_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(before: &str) -> Vec<String> {
        let files = ["a/calc.py", "calc.rs", "doc/local.md"].map(str::to_owned);
        complete(before, &files, &["small", "smaller"], false).map_or(Vec::new(), |c| c.candidates)
    }

    #[test]
    fn commands_paths_and_models() {
        assert_eq!(candidates("/re"), ["/revise ", "/redo "]);
        assert_eq!(candidates("/edit cal"), ["calc.rs ", "a/calc.py ", "doc/local.md "]);
        assert_eq!(candidates("/ask what is in @doc"), ["@doc/local.md "]);
        assert_eq!(candidates("/model small"), ["small", "smaller"]);
        assert!(candidates("what is cal").is_empty());
    }
}

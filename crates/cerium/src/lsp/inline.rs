//! What may come at the cursor, and what was suggested before: whoever types what was suggested keeps the rest of it.

use super::documents::Document;
use cerium_harness::Backend;
use cerium_harness::complete::{CompleteError, CompleteOptions, Point, complete_buffer};
use cerium_harness::files::SourceFile;
use cerium_protocol::{Response, Status};
use gen_lsp_types::Uri;
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::ControlFlow;

/// Suggestions that are remembered.
const REMEMBERED_MAX: usize = 32;
/// Lines suggested at most where a line begins or has ended.
const LINES_MAX: usize = 6;
/// Tokens of text after the cursor that the model sees: each key has them read anew.
const AFTER_TOKENS_MAX: usize = 128;
/// Tokens written at most.
const TOKENS_MAX: u32 = 96;

/// What was suggested at a point of a document.
#[derive(Clone, Debug)]
pub(super) struct Suggestion {
    pub(super) text: String,
    pub(super) uri: Uri,
    /// Byte of the point.
    pub(super) at: usize,
    before: u64,
    after: u64,
}

impl Suggestion {
    pub(super) fn new(uri: Uri, document: &str, at: usize, text: String) -> Self {
        let (before, after) = (hash(&document[..at]), hash(&document[at..]));
        Self { text, uri, at, before, after }
    }

    /// What of it is left when the cursor is at a byte of a text, if all else is as it was.
    fn rest(&self, uri: &Uri, text: &str, cursor: usize) -> Option<&str> {
        let typed = (self.uri == *uri).then(|| text.get(self.at..cursor))??;
        let rest = self.text.strip_prefix(typed)?;
        // All of it typed: what comes next was not asked yet.
        let open = !rest.is_empty() || typed.is_empty();
        let same = || hash(&text[..self.at]) == self.before && hash(&text[cursor..]) == self.after;
        (open && same()).then_some(rest)
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// The last suggestions.
#[derive(Debug, Default)]
pub(super) struct Remembered(VecDeque<Suggestion>);

impl Remembered {
    pub(super) fn push(&mut self, suggestion: Suggestion) {
        self.0.push_front(suggestion);
        self.0.truncate(REMEMBERED_MAX);
    }

    /// What is known to come at a byte of a document; it may be nothing.
    pub(super) fn at(&self, uri: &Uri, document: &Document, cursor: usize) -> Option<&str> {
        let text = document.text.as_str();
        self.0.iter().find_map(|suggestion| suggestion.rest(uri, text, cursor))
    }
}

/// Asks the model what comes at a byte of a file. The rest of a line that was begun is one line; elsewhere it may be some more.
/// `None` when it was stopped.
///
/// # Errors
/// Those of the harness.
pub(super) fn ask(
    backend: &dyn Backend,
    file: &SourceFile,
    at: usize,
) -> Result<Option<(String, Response)>, CompleteError> {
    let line_before = file.text[..at].rsplit('\n').next().unwrap_or_default();
    let begun = !line_before.trim().is_empty();
    let mut shown = String::new();
    let options = CompleteOptions {
        tokens_max: Some(TOKENS_MAX),
        after_tokens_max: Some(AFTER_TOKENS_MAX),
        window_tokens_max: None,
    };
    let point = Point::at(&file.text, at);
    let completion = complete_buffer(backend, file, point, &options, &mut |text| {
        shown.push_str(text);
        // Only whole lines are shown.
        if shown.lines().count() >= lines_max(begun, &shown) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    if completion.response.status == Status::Cancelled && shown.is_empty() {
        return Ok(None);
    }
    let lines = completion.text.split_inclusive('\n').take(lines_max(begun, &completion.text));
    let text: String = lines.collect();
    let text = if begun { text.trim_end() } else { &text };
    let text = if text.trim().is_empty() { "" } else { text };
    Ok(Some((text.to_owned(), completion.response)))
}

/// How many lines of a text are suggested; where a line was `begun` and ends at once, what follows counts.
fn lines_max(begun: bool, text: &str) -> usize {
    if begun && !text.starts_with(['\r', '\n']) { 1 } else { LINES_MAX }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_is_kept_while_what_was_suggested_is_typed() {
        let uri = Uri::from("file:///a.py");
        let before = "x = 1\ny = \n";
        let suggestion = Suggestion::new(uri.clone(), before, 10, "x + é2".to_owned());
        let rest = |text: &str, cursor| suggestion.rest(&uri, text, cursor);
        assert_eq!(rest(before, 10), Some("x + é2"));
        assert_eq!(rest("x = 1\ny = x + \n", 14), Some("é2"));
        assert_eq!(rest("x = 1\ny = x + \n", 12), None, "the cursor went back, the text did not");
        assert_eq!(rest("x = 1\ny = x - \n", 14), None, "something else was typed");
        assert_eq!(rest("x = 2\ny = x + \n", 14), None, "something above changed");
        assert_eq!(rest("x = 1\ny = x + \nz", 14), None, "something below changed");
        assert_eq!(rest("x = 1\ny = x + é2\n", 17), None, "nothing is left");
        assert_eq!(suggestion.rest(&Uri::from("file:///b.py"), before, 10), None);
        let none = Suggestion::new(uri.clone(), before, 10, String::new());
        assert_eq!(none.rest(&uri, before, 10), Some(""), "that nothing comes is known, too");
    }
}

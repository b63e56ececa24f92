//! Fill-in-the-middle at a point of a file, through the model's own infill tokens.
//!
//! The model sees the lines nearest to the point, three quarters of them before it. Its text is cut
//! where a completion should end (see [`ending`]) as soon as that is seen, and what repeats the
//! text after the point is taken off, so that inserting the result at the point is all there is to
//! do. Files keep their line endings.

mod ending;
mod point;
mod window;

pub use ending::ending;
pub use point::{Point, parse_place};
pub use window::window;

use crate::files::{Eol, FileError, SourceFile};
use crate::syntax::Language;
use crate::workspace::Workspace;
use crate::{Backend, OnText};
use cerium_protocol::{CompletionRequest, ErrorBody, Extensions, Response, Status};
use std::ops::{ControlFlow, Range};
use std::path::Path;

/// Tokens of text around the point by default.
const WINDOW_TOKENS_DEFAULT: usize = 1_024;
/// Tokens of a completion by default.
const TOKENS_DEFAULT: u32 = 128;
/// Tokens kept free for the infill tokens themselves.
const FRAME_TOKENS: usize = 16;

/// Bounds of a completion.
#[derive(Clone, Copy, Debug, Default)]
pub struct CompleteOptions {
    /// Tokens generated at most. Absent: 128.
    pub tokens_max: Option<u32>,
    /// Tokens of text around the point at most; the context may allow fewer. Absent: 1,024.
    pub window_tokens_max: Option<usize>,
    /// Tokens of text after the point at most. They stand behind the text before it, so that they are read anew with every
    /// key. Absent: as many as the window holds.
    pub after_tokens_max: Option<usize>,
}

/// A completion.
#[derive(Clone, Debug)]
pub struct Completion {
    /// What to put in place of `range`; may be empty.
    pub text: String,
    /// Bytes of the text that it replaces: empty, at the point.
    pub range: Range<usize>,
    /// Whether the end was chosen here rather than by the model or the token limit.
    pub cut: bool,
    /// Status, token counts and timings. A completion that was cut here counts as completed.
    pub response: Response,
}

/// Why there is no completion.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompleteError {
    /// Not `FILE:LINE:COL`.
    #[error("`{given}` is not FILE:LINE:COL with line and column counted from 1")]
    BadPlace {
        /// As given.
        given: String,
    },
    /// The text has fewer lines.
    #[error("there is no line {line}; the text has {n_lines}")]
    NoSuchLine {
        /// The line asked for.
        line: usize,
        /// Lines of the text.
        n_lines: usize,
    },
    /// The line has fewer characters.
    #[error("there is no column {column} on line {line}; the last is {column_max}, its end")]
    NoSuchColumn {
        /// The line asked for.
        line: usize,
        /// The column asked for.
        column: usize,
        /// The largest there is.
        column_max: usize,
    },
    /// The model was not made for this.
    #[error("the model `{model}` cannot fill in the middle: its vocabulary has no infill tokens")]
    NoInfill {
        /// The model.
        model: String,
    },
    /// The file cannot be read as text.
    #[error(transparent)]
    File(#[from] FileError),
    /// The model could not answer.
    #[error(transparent)]
    Backend(#[from] ErrorBody),
}

/// Completes a file on disk at a point. Nothing is written.
///
/// # Errors
/// `File`, and those of [`complete`].
pub fn complete_file(
    backend: &dyn Backend,
    workspace: &Workspace,
    file: &Path,
    point: Point,
    options: &CompleteOptions,
    on_text: &mut OnText<'_>,
) -> Result<Completion, CompleteError> {
    let file = SourceFile::open(workspace, file)?;
    complete_buffer(backend, &file, point, options, on_text)
}

/// Like [`complete_file`], for a text that was read already: an editor's buffer.
///
/// # Errors
/// Those of [`complete`].
pub fn complete_buffer(
    backend: &dyn Backend,
    file: &SourceFile,
    point: Point,
    options: &CompleteOptions,
    on_text: &mut OnText<'_>,
) -> Result<Completion, CompleteError> {
    // Where nothing is written yet, only its name says what a file is to be.
    let lead = match Language::of(Path::new(&file.path)) {
        Some(language) if file.text.trim().is_empty() => {
            let (open, close) = language.comment();
            format!("{open}{}{close}\n", file.path)
        }
        _ => String::new(),
    };
    complete_after(&lead, backend, &file.text, point, options, on_text)
}

/// Completes a text at a point. `on_text` sees the completion grow, with plain line feeds; what it
/// was shown is the beginning of the result, or the whole of it when it breaks off.
///
/// # Errors
/// `NoSuchLine`, `NoSuchColumn`, `NoInfill`, `Backend`.
pub fn complete(
    backend: &dyn Backend,
    text: &str,
    point: Point,
    options: &CompleteOptions,
    on_text: &mut OnText<'_>,
) -> Result<Completion, CompleteError> {
    complete_after("", backend, text, point, options, on_text)
}

/// Completes a text before which the model sees a `lead` that is not part of it.
fn complete_after(
    lead: &str,
    backend: &dyn Backend,
    text: &str,
    point: Point,
    options: &CompleteOptions,
    on_text: &mut OnText<'_>,
) -> Result<Completion, CompleteError> {
    let offset = point.offset(text)?;
    let model = backend.model();
    if !model.infill {
        return Err(CompleteError::NoInfill { model: model.name });
    }
    // Models write line feeds, whatever the file has.
    let (before, after) = text.split_at(offset);
    let (before, after) = (before.replace("\r\n", "\n"), after.replace("\r\n", "\n"));
    let tokens_max = options.tokens_max.unwrap_or(TOKENS_DEFAULT);
    let room = model.context_tokens.saturating_sub(tokens_max as usize + FRAME_TOKENS);
    let window_tokens_max = options.window_tokens_max.unwrap_or(WINDOW_TOKENS_DEFAULT).min(room);
    let after_tokens_max = options.after_tokens_max.unwrap_or(usize::MAX);
    let count_tokens = |text: &str| backend.count_tokens(text);
    let (before, after) =
        window(&before, &after, window_tokens_max, after_tokens_max, &count_tokens);

    let request = CompletionRequest {
        suffix: Some(after.to_owned()),
        max_tokens: Some(tokens_max),
        cerium: Extensions { infill: true, ..Extensions::default() },
        ..CompletionRequest::new(model.name, format!("{lead}{before}"))
    };
    let mut stream = Stream { before, after, generated: String::new(), n_shown: 0, end: None };
    let mut response =
        backend.complete(&request, &mut |delta: &str| stream.push(delta, on_text))?;
    let end = stream.end.or_else(|| ending(before, after, &stream.generated, true));
    let kept = match response.status {
        // The caller broke off: what was shown is all there is.
        Status::Cancelled if stream.end.is_none() => &stream.generated[..stream.n_shown],
        _ => stream.kept(end.unwrap_or(stream.generated.len())),
    };
    if let Some(rest) = kept.get(stream.n_shown..).filter(|rest| !rest.is_empty()) {
        let _ = on_text(rest); // Nothing is left to cancel.
    }
    if stream.end.is_some() {
        response.status = Status::Completed;
        response.incomplete_reason = None;
    }
    let text = match Eol::dominant(text) {
        Eol::Lf => kept.to_owned(),
        Eol::CrLf => kept.replace('\n', "\r\n"),
    };
    Ok(Completion { text, range: offset..offset, cut: end.is_some(), response })
}

/// A completion as it grows.
struct Stream<'t> {
    before: &'t str,
    after: &'t str,
    generated: String,
    n_shown: usize,
    end: Option<usize>,
}

impl Stream<'_> {
    /// Takes more text, shows what will certainly be kept, and breaks off at the end.
    fn push(&mut self, delta: &str, on_text: &mut OnText<'_>) -> ControlFlow<()> {
        self.generated.push_str(delta);
        self.end = ending(self.before, self.after, &self.generated, false);
        // A line is kept or not as a whole, so only whole lines are certain, and the blanks after
        // them are not.
        let certain = match self.end {
            Some(end) => self.kept(end).len(),
            None => self.generated[..self.generated.rfind('\n').unwrap_or(0)].trim_end().len(),
        };
        if certain > self.n_shown {
            let shown = self.n_shown..certain;
            self.n_shown = certain;
            on_text(&self.generated[shown])?;
        }
        if self.end.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// The text up to `end`, without the line feed that the text after the point begins with, and
    /// without blank lines at its end.
    fn kept(&self, end: usize) -> &str {
        let text = &self.generated[..end];
        let whole_lines = self.before.is_empty() || self.before.ends_with('\n');
        let trimmed = text.trim_end();
        let follows_line = !self.after.is_empty() && !self.after.starts_with('\n');
        match text[trimmed.len()..].find('\n') {
            // Whole lines before a line keep their own line feed.
            Some(at) if whole_lines && follows_line => &text[..=trimmed.len() + at],
            Some(_) => trimmed,
            None => text,
        }
    }
}

//! Questions about the code of a tree, answered from excerpts with places that exist.
//!
//! The question's terms are searched for, the best excerpts that fit are shown to the model (they
//! come first in the prompt, the question last), and its answer streams. A `path:line` in it that
//! does not exist never gets through: the number is dropped on the way. Small models cite little
//! and badly, so an answer without a citation that was shown gets those of the excerpts whose
//! names it uses.

mod citation;
mod mention;
mod places;
mod store;

pub use citation::{Citation, Origin};
pub use mention::{Mention, compact, in_words};
pub use store::{Kept, TalkStore};

use crate::context::{Excerpt, select};
use crate::guide;
use crate::repetition::loop_start;
use crate::search::{Piece, SearchOptions, query, search, whole};
use crate::talk::Talk;
use crate::workspace::{Workspace, WorkspaceError};
use crate::{Backend, OnText};
use cerium_protocol::{
    CreateResponse, ErrorBody, Extensions, Input, Item, PromptPart, Response, Role,
};
use places::{Filter, Places};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What the model is told; only what the project asks for follows it, so that it stays computed.
const INSTRUCTIONS: &str = "\
You answer questions about a code base. You are shown excerpts of its files; the line before each \
says `=== path:first-last`, the lines it holds. Answer from these excerpts. Name the functions, \
classes and files that matter in backticks and cite places as path:line. Be brief and concrete. If \
the excerpts do not hold the answer, say so.";

/// What comes before a question.
const QUESTION: &str = "Question: ";

/// Tokens of excerpts by default: about as much as is worth waiting for; and for a question that goes on
/// from others, which is answered at once.
const EXCERPT_TOKENS_DEFAULT: usize = 2_000;
const MORE_TOKENS_DEFAULT: usize = 250;
/// Tokens that the chat template and the words between the parts may take.
const FRAME_TOKENS: usize = 96;
/// Fewer tokens of excerpts than this are no basis for an answer.
const EXCERPT_TOKENS_MIN: usize = 64;
/// Bytes of files that are offered whole when nothing matches.
const WHOLE_BYTES_MAX: u64 = 256 << 10;

/// A question.
#[derive(Clone, Debug, Default)]
pub struct AskTask {
    /// In any natural language; identifiers in it help most.
    pub question: String,
    /// Files and directories to look in, absolute or relative to the working directory; none means
    /// the whole tree.
    pub within: Vec<PathBuf>,
    /// The conversation that it goes on from, if any.
    pub before: Option<Talk>,
    /// What happened in the tree, to be shown with the question: see
    /// [`journal::tail`](crate::journal::tail). Empty: nothing is said of it.
    pub history: String,
    /// Bound of the excerpts, in tokens; the context may allow fewer. Absent: 2,000, and 250 for a question
    /// that goes on from others.
    pub excerpt_tokens_max: Option<usize>,
    /// Bound of the answer, in tokens. Absent: 512.
    pub answer_tokens_max: Option<u32>,
}

/// What happens while an answer comes about.
#[derive(Debug)]
pub enum AskEvent<'a> {
    /// The search is over; these lines will be shown to the model.
    Reading(&'a [Excerpt]),
    /// More of the answer.
    Text(&'a str),
}

/// Called with each event; `Break` cancels.
pub type OnAskEvent<'a> = dyn FnMut(AskEvent<'_>) -> ControlFlow<()> + 'a;

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The text, exactly as it streamed. Every `path:line` in it exists.
    pub text: String,
    /// Places that bear the answer out.
    pub citations: Vec<Citation>,
    /// Places that the model named and that do not exist, as it wrote them.
    pub unfounded: Vec<String>,
    /// What the model was shown, for this question and before it.
    pub excerpts: Vec<Excerpt>,
    /// Whether the model had begun to repeat itself and was stopped.
    pub looped: bool,
    /// Status, token counts and timings of the model's part.
    pub response: Response,
    /// Time of the search, wall clock.
    pub search: Duration,
    /// The conversation, for the next question.
    pub talk: Talk,
}

/// Why a question got no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// Nothing was asked.
    #[error("the question is empty")]
    EmptyQuestion,
    /// A path to look in does not exist or lies elsewhere.
    #[error(transparent)]
    Place(#[from] WorkspaceError),
    /// There is nothing to read.
    #[error("no text files to read in `{place}` (hidden, ignored and binary files do not count)")]
    NoFiles {
        /// Where the search looked.
        place: String,
    },
    /// The question leaves no room for code.
    #[error(
        "the question has {n_tokens} tokens; with {n_context} of context at most {n_tokens_max} fit"
    )]
    QuestionTooLong {
        /// Tokens of the question.
        n_tokens: usize,
        /// Tokens a question may have.
        n_tokens_max: usize,
        /// The model's context.
        n_context: usize,
    },
    /// The caller broke off before the model was asked.
    #[error("cancelled")]
    Cancelled,
    /// The model could not answer.
    #[error(transparent)]
    Backend(#[from] ErrorBody),
}

/// Answers a question about the tree.
///
/// # Errors
/// Every variant of [`AskError`]. An answer that is cut or cancelled is no error: see the status
/// of its response.
pub fn ask(
    backend: &dyn Backend,
    workspace: &Workspace,
    task: &AskTask,
    on_event: &mut OnAskEvent<'_>,
) -> Result<Answer, AskError> {
    let question = task.question.trim();
    if question.is_empty() {
        return Err(AskError::EmptyQuestion);
    }
    let answer_tokens_max = task.answer_tokens_max.unwrap_or(512);
    let start = Instant::now();
    let mut talk = task.before.clone().unwrap_or_default();
    let mut changes = talk.notice(workspace);
    if backend.count_tokens(&talk.text()) > backend.model().context_tokens / 2 {
        (talk, changes) = (talk.rewritten(backend), Vec::new());
    }
    let goes_on = !talk.is_empty();
    talk.guide = guide::of_tree(backend, workspace.root());
    let changed: String = changes.iter().map(|(_, change)| change.as_str()).collect();
    let said = guide::heard(INSTRUCTIONS, &talk.guide) + &talk.text() + &changed + &task.history;
    let room = room(backend, &said, question, answer_tokens_max as usize)?;
    let usual = if goes_on { MORE_TOKENS_DEFAULT } else { EXCERPT_TOKENS_DEFAULT };
    let excerpt_tokens_max = task.excerpt_tokens_max.unwrap_or(usual).min(room);

    let within: Result<Vec<String>, WorkspaceError> =
        task.within.iter().map(|path| workspace.resolve(path)).collect();
    let options = SearchOptions { within: within?, ..SearchOptions::default() };
    // A command that failed names the code that it is about.
    let about = format!("{question}\n{}", task.history);
    let found = search(workspace, &query(about.trim_end()), &options);
    let mut pieces = found.pieces;
    pieces.retain(|piece| !talk.shows(&piece.path, piece.chunk.lines));
    if pieces.is_empty() && !goes_on {
        pieces = beginnings(workspace, &found.files);
    }
    let count_tokens = |text: &str| backend.count_tokens(text);
    let excerpts = select(&pieces, excerpt_tokens_max, &count_tokens);
    if excerpts.is_empty() && !goes_on {
        let place = match options.within.as_slice() {
            [] => workspace.root().display().to_string(),
            parts => parts.join("`, `"),
        };
        return Err(AskError::NoFiles { place });
    }
    let search = start.elapsed();
    if on_event(AskEvent::Reading(&excerpts)).is_break() {
        return Err(AskError::Cancelled);
    }

    let told = Told::new(&changes, &excerpts, &task.history, question);
    let request = request(backend.model().name, &talk, &told, answer_tokens_max);
    let before = talk.excerpts();
    talk.show(workspace, &excerpts);
    let excerpts = [before, excerpts].concat();
    let mut places = Places::new(workspace, &excerpts, &found.files);
    let mut filter = Filter::default();
    let mut text = String::new();
    let mut looped = false;
    let mut on_text = |delta: &str| {
        let shown = filter.push(&mut places, delta);
        text.push_str(&shown);
        looped = loop_start(&text).is_some();
        let broke_off = !shown.is_empty() && on_event(AskEvent::Text(&shown)).is_break();
        if looped || broke_off {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    };
    let on_text: &mut OnText<'_> = &mut on_text;
    let response = backend.respond(&request, on_text)?;
    let rest = filter.finish(&mut places);
    if !looped && !rest.is_empty() {
        text.push_str(&rest);
        // Nothing is left to cancel.
        let _ = on_event(AskEvent::Text(&rest));
    }
    let (citations, unfounded) = citation::collect(&text, &excerpts, &mut places, filter);
    // As it was written, so that it need not be read again; but a loop would go on.
    let mut said = response.text();
    said.truncate(loop_start(&said).unwrap_or(said.len()));
    talk.add(format!("{QUESTION}{question}"), told.text, said);
    Ok(Answer { text, citations, unfounded, excerpts, looped, response, search, talk })
}

/// Tokens that are left for excerpts.
///
/// * `said`: what comes before them, our instructions included
fn room(
    backend: &dyn Backend,
    said: &str,
    question: &str,
    n_answer: usize,
) -> Result<usize, AskError> {
    let n_context = backend.model().context_tokens;
    let n_fixed = backend.count_tokens(said) + FRAME_TOKENS + n_answer;
    let n_tokens = backend.count_tokens(question);
    let n_tokens_max = n_context.saturating_sub(n_fixed + EXCERPT_TOKENS_MIN);
    if n_tokens > n_tokens_max {
        return Err(AskError::QuestionTooLong { n_tokens, n_tokens_max, n_context });
    }
    Ok(n_context - n_fixed - n_tokens)
}

/// The request that has all of a conversation read for the question that will follow.
pub fn warming(model: &str, talk: &Talk) -> CreateResponse {
    CreateResponse {
        instructions: Some(guide::heard(INSTRUCTIONS, &talk.guide)),
        generate: false,
        ..CreateResponse::new(model.to_owned(), Input::Items(talk.items()))
    }
}

/// What is told for one question: changes, excerpts, the question, in the order of how seldom they change.
struct Told {
    text: String,
    parts: Vec<(usize, String)>,
}

impl Told {
    fn new(
        changes: &[(String, String)],
        excerpts: &[Excerpt],
        history: &str,
        question: &str,
    ) -> Self {
        let mut told = Self { text: String::new(), parts: Vec::new() };
        for (path, change) in changes {
            told.push(format!("change of {path}"), &format!("{change}\n"));
        }
        for excerpt in excerpts {
            told.push(excerpt.place(), &format!("{}\n", excerpt.write()));
        }
        if !history.is_empty() {
            told.push("history".to_owned(), &format!("What happened here last:\n{history}\n"));
        }
        told.push("question".to_owned(), &format!("{QUESTION}{question}"));
        told
    }

    fn push(&mut self, name: String, text: &str) {
        self.parts.push((self.text.len(), name));
        self.text.push_str(text);
    }
}

/// The prompt: instructions, what was said before, what is told now.
fn request(model: String, talk: &Talk, told: &Told, answer_tokens_max: u32) -> CreateResponse {
    let mut items = talk.items();
    let item = items.len();
    let part =
        |(byte, name): &(usize, String)| PromptPart { item, byte: *byte, name: name.clone() };
    let parts = told.parts.iter().map(part).collect();
    items.push(Item::message(Role::User, told.text.clone()));
    CreateResponse {
        instructions: Some(guide::heard(INSTRUCTIONS, &talk.guide)),
        max_output_tokens: Some(answer_tokens_max),
        cerium: Extensions { parts, ..Extensions::default() },
        ..CreateResponse::new(model, Input::Items(items))
    }
}

/// What to show for a question whose words occur nowhere ("what is this?"): the files by which
/// people get to know a project, their beginnings first.
fn beginnings(workspace: &Workspace, files: &[String]) -> Vec<Piece> {
    let rank = |path: &&String| {
        let depth = path.matches('/').count();
        let name = path.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        let stem = name.split('.').next().unwrap_or_default();
        let known =
            ["readme", "main", "lib", "app", "index", "mod", "__init__", "cargo", "package"];
        (known.iter().position(|known| *known == stem).unwrap_or(known.len()), depth)
    };
    let mut ranked: Vec<&String> = files.iter().collect();
    ranked.sort_by_key(rank);
    let chosen: Vec<String> = ranked.into_iter().take(16).cloned().collect();
    whole(workspace, &chosen, WHOLE_BYTES_MAX)
}

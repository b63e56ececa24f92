//! A model that says what the test wrote down, and trees made of a few lines.

use cerium_harness::workspace::Workspace;
use cerium_harness::{Backend, OnText};
use cerium_protocol::{
    CompletionRequest, CreateResponse, ErrorBody, ErrorKind, Input, Item, ModelInfo, Response,
    Role, Status, Timings, Usage,
};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Mutex;
use tempfile::TempDir;

/// Answers requests in order with the replies it was given, a few characters at a time, and keeps
/// the requests for the test to look at.
#[derive(Debug)]
pub(crate) struct Scripted {
    replies: Mutex<VecDeque<Reply>>,
    asked: Mutex<Vec<CreateResponse>>,
    completed: Mutex<Vec<CompletionRequest>>,
    warmed: Mutex<Vec<CreateResponse>>,
    info: ModelInfo,
    stride: usize,
}

/// One reply of a scripted model.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Ends by itself.
    Whole(String),
    /// Is cut by the token limit.
    Cut(String),
    /// Fails before the first character.
    Error(ErrorBody),
}

impl From<&str> for Reply {
    fn from(text: &str) -> Self {
        Self::Whole(text.to_owned())
    }
}

impl Scripted {
    pub(crate) fn new<R: Into<Reply>>(replies: impl IntoIterator<Item = R>) -> Self {
        let info = ModelInfo {
            name: "scripted".into(),
            context_tokens: 8192,
            infill: true,
            extensions: true,
        };
        Self {
            replies: Mutex::new(replies.into_iter().map(Into::into).collect()),
            asked: Mutex::default(),
            completed: Mutex::default(),
            warmed: Mutex::default(),
            info,
            stride: 3,
        }
    }

    pub(crate) fn context(mut self, n_tokens: usize) -> Self {
        self.info.context_tokens = n_tokens;
        self
    }

    pub(crate) fn without_infill(mut self) -> Self {
        self.info.infill = false;
        self
    }

    /// Characters that arrive at a time.
    pub(crate) fn stride(mut self, n_chars: usize) -> Self {
        self.stride = n_chars;
        self
    }

    /// The chat requests so far.
    pub(crate) fn asked(&self) -> Vec<CreateResponse> {
        self.asked.lock().unwrap().clone()
    }

    /// The completion requests so far.
    pub(crate) fn completed(&self) -> Vec<CompletionRequest> {
        self.completed.lock().unwrap().clone()
    }

    /// What was to be read ahead.
    pub(crate) fn warmed(&self) -> Vec<CreateResponse> {
        self.warmed.lock().unwrap().clone()
    }

    fn play(&self, stop: &[String], on_text: &mut OnText<'_>) -> Result<Response, ErrorBody> {
        let reply = self.replies.lock().unwrap().pop_front().expect("a reply for every request");
        let (whole, mut status) = match reply {
            Reply::Whole(text) => (text, Status::Completed),
            Reply::Cut(text) => (text, Status::Incomplete),
            Reply::Error(error) => return Err(error),
        };
        let end = stop.iter().filter_map(|stop| whole.find(stop.as_str())).min();
        let whole = &whole[..end.unwrap_or(whole.len())];
        let mut text = String::new();
        let chars: Vec<char> = whole.chars().collect();
        for piece in chars.chunks(self.stride) {
            let piece: String = piece.iter().collect();
            text.push_str(&piece);
            if on_text(&piece).is_break() {
                status = Status::Cancelled;
                break;
            }
        }
        let usage = Usage { output_tokens: text.len() as u64 / 4, ..Usage::default() };
        Ok(Response {
            id: "resp_1".into(),
            model: self.info.name.clone(),
            status,
            incomplete_reason: None,
            output: vec![Item::message(Role::Assistant, text)],
            logprobs: Vec::new(),
            usage,
            timings: Timings::default(),
            why: None,
        })
    }
}

impl Backend for Scripted {
    fn respond(
        &self,
        request: &CreateResponse,
        on_text: &mut OnText<'_>,
    ) -> Result<Response, ErrorBody> {
        self.asked.lock().unwrap().push(request.clone());
        self.play(&request.cerium.stop, on_text)
    }

    fn complete(
        &self,
        request: &CompletionRequest,
        on_text: &mut OnText<'_>,
    ) -> Result<Response, ErrorBody> {
        self.completed.lock().unwrap().push(request.clone());
        self.play(&request.stop, on_text)
    }

    fn warm(&self, requests: &[CreateResponse]) {
        self.warmed.lock().unwrap().extend_from_slice(requests);
    }

    /// It has read what it was told to read, and most of what goes on from what it was asked.
    fn missing_tokens(&self, request: &CreateResponse) -> Option<usize> {
        let items = |request: &CreateResponse| match &request.input {
            Input::Items(items) => items.clone(),
            Input::Text(_) => Vec::new(),
        };
        let goes_on = self.asked().iter().any(|asked| items(request).starts_with(&items(asked)));
        Some(match self.warmed().contains(request) {
            true => 0,
            false if goes_on => 1,
            false => 100,
        })
    }

    fn model(&self) -> ModelInfo {
        self.info.clone()
    }

    fn count_tokens(&self, text: &str) -> usize {
        text.len().div_ceil(4)
    }
}

/// What a server says that cannot serve a request.
pub(crate) fn refusal(message: &str) -> ErrorBody {
    ErrorBody::new(ErrorKind::InvalidRequestError, message)
}

/// The text of the last user item of a request.
pub(crate) fn prompt(request: &CreateResponse) -> String {
    match &request.input {
        Input::Text(text) => text.clone(),
        Input::Items(items) => items.last().map(|item| item.text().to_owned()).unwrap_or_default(),
    }
}

/// A tree on disk, with `.git`, from paths and contents.
pub(crate) fn tree(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join(".git")).unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

/// The workspace around a directory.
pub(crate) fn workspace(dir: &Path) -> Workspace {
    Workspace::discover(dir).unwrap()
}

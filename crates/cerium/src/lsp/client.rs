//! What is said to the editor. Any thread may speak; messages come out whole.

use super::frame;
use gen_lsp_types::{MessageType, ProgressToken};
use lsp_server::{ErrorCode, Notification, Request, RequestId, Response};
use serde::Serialize;
use serde_json::{Value, json};
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The editor at the other end.
#[derive(Clone)]
pub(super) struct Client(Arc<End>);

struct End {
    output: Mutex<Box<dyn Write + Send>>,
    n_asked: AtomicI32,
    /// Whether it shows progress that nobody asked for.
    shows_progress: AtomicBool,
}

impl Client {
    pub(super) fn new(output: impl Write + Send + 'static) -> Self {
        Self(Arc::new(End {
            output: Mutex::new(Box::new(output)),
            n_asked: AtomicI32::default(),
            shows_progress: AtomicBool::default(),
        }))
    }

    pub(super) fn shows_progress(&self, does: bool) {
        self.0.shows_progress.store(does, Ordering::SeqCst);
    }

    /// Answers a request.
    pub(super) fn answer(&self, id: RequestId, result: Result<Value, Refusal>) {
        self.send(&match result {
            Ok(value) => Response::new_ok(id, value),
            Err(Refusal { code, message }) => Response::new_err(id, code as i32, message),
        });
    }

    /// Answers what could not be read.
    pub(super) fn unreadable(&self, what: &str) {
        let error = json!({ "code": ErrorCode::ParseError as i32, "message": what });
        self.send(&json!({ "id": null, "error": error }));
    }

    pub(super) fn notify(&self, method: &str, params: impl Serialize) {
        self.send(&Notification::new(method.to_owned(), params));
    }

    /// Asks the editor for something; the answer comes with this id.
    pub(super) fn ask(&self, method: &str, params: impl Serialize) -> RequestId {
        let id = RequestId::from(self.0.n_asked.fetch_add(1, Ordering::SeqCst));
        self.send(&Request::new(id.clone(), method.to_owned(), params));
        id
    }

    /// Puts a message before the person.
    pub(super) fn show(&self, kind: MessageType, message: &str) {
        self.notify("window/showMessage", json!({ "type": kind, "message": message }));
    }

    /// Writes a message into the editor's log.
    pub(super) fn log(&self, message: &str) {
        let kind = MessageType::Warning;
        self.notify("window/logMessage", json!({ "type": kind, "message": message }));
    }

    /// Begins to tell how a work goes on, with the token that was given for it or, where the editor shows such, one of ours.
    pub(super) fn progress(&self, token: Option<ProgressToken>, title: &str) -> Progress {
        let own = || {
            self.0.shows_progress.load(Ordering::SeqCst).then(|| {
                let token = format!("cerium/{}", self.0.n_asked.fetch_add(1, Ordering::SeqCst));
                self.ask("window/workDoneProgress/create", json!({ "token": token }));
                ProgressToken::String(token)
            })
        };
        let progress = Progress { client: self.clone(), token: token.or_else(own) };
        progress.tell(&json!({ "kind": "begin", "title": title, "cancellable": true }));
        progress
    }

    /// Where the parts of a result go, if somebody wants them.
    pub(super) fn tell(&self, token: Option<ProgressToken>) -> Option<Tell> {
        token.map(|token| Tell { client: self.clone(), token })
    }

    fn send(&self, message: &impl Serialize) {
        #[derive(Serialize)]
        struct Enveloped<'m, M> {
            jsonrpc: &'static str,
            #[serde(flatten)]
            message: &'m M,
        }
        let Ok(body) = serde_json::to_vec(&Enveloped { jsonrpc: "2.0", message }) else { return };
        let mut output = self.0.output.lock().unwrap_or_else(PoisonError::into_inner);
        // Who does not listen any more will soon close the input, too.
        let _ = frame::write(&mut *output, &body);
    }
}

/// Why a request gets no result.
#[derive(Debug)]
pub(super) struct Refusal {
    code: ErrorCode,
    message: String,
}

impl Refusal {
    pub(super) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The request is well formed, and yet it cannot be done.
    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::RequestFailed, message)
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidParams, message)
    }
}

/// A work that the editor shows while it goes on.
pub(super) struct Progress {
    client: Client,
    token: Option<ProgressToken>,
}

impl Progress {
    pub(super) fn report(&self, message: &str) {
        self.tell(&json!({ "kind": "report", "message": message }));
    }

    fn tell(&self, value: &Value) {
        if let Some(token) = &self.token {
            self.client.notify("$/progress", json!({ "token": token, "value": value }));
        }
    }
}

/// Where parts of a result are told while they come.
#[derive(Clone)]
pub(super) struct Tell {
    client: Client,
    token: ProgressToken,
}

impl Tell {
    pub(super) fn value(&self, value: &Value) {
        self.client.notify("$/progress", json!({ "token": self.token, "value": value }));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.tell(&json!({ "kind": "end" }));
    }
}

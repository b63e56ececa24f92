//! `cerium lsp`: the harness for editors, as a language server on standard input and output.
//!
//! Messages are those of `lsp-server` and types those of `gen-lsp-types`: both are plain and synchronous, as the harness is, and the
//! types are made from the protocol's own model of 3.18, the first that knows inline completion.
//!
//! One thread ([`Server`]) takes everything in turn: what the editor says, and what came of the work for it, which goes on elsewhere
//! ([`jobs`]). So an answer is given by whoever knows the documents as they are now: one that was made for another text is dropped.

mod actions;
mod ahead;
mod asking;
mod client;
mod commands;
mod documents;
mod editing;
mod frame;
mod inline;
mod jobs;
mod models;
mod text;
mod wishes;

pub(crate) use models::Connect;

use crate::stats::Stats;
use ahead::{Ahead, Place};
use client::{Client, Refusal};
use documents::{Documents, path_of};
use frame::Frame;
use gen_lsp_types::{
    CancelParams, DidChangeTextDocumentParams, DidChangeWorkspaceFoldersParams,
    DidCloseTextDocumentParams, DidOpenTextDocumentParams, Id, InitializeParams,
    InlineCompletionParams, MessageType, PositionEncodingKind, Range, TextDocumentPositionParams,
    Uri, WorkspaceFolders,
};
use inline::{Remembered, Suggestion};
use jobs::{Done, Jobs};
use lsp_server::{ErrorCode, Message, Notification, Request, RequestId};
use models::Models;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{self, BufReader, Read, Write};
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use text::Encoding;
use wishes::{Edits, Offered};

/// Messages and results that may wait; whoever has more to say waits with it.
const EVENTS_MAX: usize = 64;

/// What happens.
enum Event {
    Heard(io::Result<Option<Frame>>),
    Done(RequestId, Done),
}

/// What came of a work.
enum Outcome {
    /// A suggestion for a document as it was at a revision.
    Suggested { revision: u64, suggestion: Suggestion, stats: Box<Stats> },
    /// Edits, to be handed to the editor.
    Edited(Edits),
    /// A result.
    Told(Value),
    /// Nothing, as when it was stopped.
    Nothing,
}

/// Serves an editor until it says goodbye; whether it did so politely.
///
/// # Errors
/// When the input breaks off.
pub(crate) fn serve(
    connect: Box<dyn Connect>,
    input: impl Read + Send + 'static,
    output: impl Write + Send + 'static,
) -> io::Result<bool> {
    let (sender, events) = sync_channel(EVENTS_MAX);
    let heard = sender.clone();
    thread::spawn(move || listen(input, &heard));
    Server::new(connect, Client::new(output), sender).run(&events)
}

/// Passes on what is said, to the end.
fn listen(input: impl Read, events: &SyncSender<Event>) {
    let mut input = BufReader::new(input);
    loop {
        let frame = frame::read(&mut input);
        let over = !matches!(frame, Ok(Some(_)));
        if events.send(Event::Heard(frame)).is_err() || over {
            return;
        }
    }
}

/// How far the conversation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Before,
    Open,
    Over,
}

struct Server {
    phase: Phase,
    client: Client,
    documents: Documents,
    jobs: Jobs,
    models: Models,
    ahead: Ahead,
    remembered: Remembered,
    /// Edits that the editor was asked to make.
    offered: HashMap<RequestId, Offered>,
    /// Whether the editor wants to know what each answer took.
    tells_stats: bool,
    /// Whether the editor asks for an instruction where a command has none.
    asks: bool,
    /// What the person was told is wrong: said once, and not with every key.
    complaint: String,
}

impl Server {
    fn new(connect: Box<dyn Connect>, client: Client, events: SyncSender<Event>) -> Self {
        let models = Models::new(connect, client.clone());
        Self {
            phase: Phase::Before,
            documents: Documents::new(),
            jobs: Jobs::new(events),
            ahead: Ahead::new(models.clone()),
            models,
            client,
            remembered: Remembered::default(),
            offered: HashMap::new(),
            tells_stats: false,
            asks: false,
            complaint: String::new(),
        }
    }

    fn run(&mut self, events: &Receiver<Event>) -> io::Result<bool> {
        loop {
            match events.recv() {
                Ok(Event::Heard(frame)) => match frame? {
                    None => return Ok(self.phase == Phase::Over),
                    Some(Frame::Unreadable(what)) => self.client.unreadable(&what),
                    Some(Frame::Message(Message::Request(request))) => self.request(request),
                    Some(Frame::Message(Message::Notification(note))) => {
                        if self.notification(note).is_break() {
                            return Ok(self.phase == Phase::Over);
                        }
                    }
                    Some(Frame::Message(Message::Response(answer))) => self.answered(answer),
                },
                Ok(Event::Done(id, done)) => self.done(id, done),
                Err(_) => return Ok(false),
            }
        }
    }

    fn request(&mut self, request: Request) {
        let Request { id, method, params } = request;
        let answered = match (self.phase, method.as_str()) {
            (Phase::Before, "initialize") => {
                read(params).map(|params| Some(self.initialize(params)))
            }
            (Phase::Before, _) => {
                Err(Refusal::new(ErrorCode::ServerNotInitialized, "not initialized yet"))
            }
            (Phase::Open, "shutdown") => {
                self.phase = Phase::Over;
                Ok(Some(Value::Null))
            }
            (Phase::Open, "textDocument/inlineCompletion") => {
                read(params).and_then(|params| self.inline(&id, params))
            }
            (Phase::Open, "textDocument/codeAction") => {
                read(params).map(|params| Some(self.actions(params)))
            }
            (Phase::Open, "workspace/executeCommand") => {
                read(params).and_then(|params| self.execute(&id, params))
            }
            (Phase::Open, _) => {
                Err(Refusal::new(ErrorCode::MethodNotFound, format!("no method `{method}`")))
            }
            (Phase::Over, _) => Err(Refusal::new(ErrorCode::InvalidRequest, "it is shut down")),
        };
        match answered {
            Ok(Some(result)) => self.client.answer(id, Ok(result)),
            // Its work answers it.
            Ok(None) => {}
            Err(refusal) => self.client.answer(id, Err(refusal)),
        }
    }

    fn notification(&mut self, note: Notification) -> ControlFlow<()> {
        let Notification { method, params } = note;
        let taken = match method.as_str() {
            "exit" => return ControlFlow::Break(()),
            _ if self.phase != Phase::Open => Ok(()),
            "$/cancelRequest" => read(params).map(|params| self.cancel(params)),
            "textDocument/didOpen" => read(params).and_then(|params| self.open(params)),
            "textDocument/didChange" => read(params).and_then(|params| self.change(params)),
            "textDocument/didClose" => read(params).map(|params| self.close(&params)),
            "workspace/didChangeWorkspaceFolders" => {
                read(params).map(|params| self.folders(&params))
            }
            "cerium/cursor" => read(params).map(|params| self.cursor(&params)),
            _ => Ok(()),
        };
        if let Err(refusal) = taken {
            self.client.log(&format!("cerium: {method}: {}", refusal.message()));
        }
        ControlFlow::Continue(())
    }

    fn initialize(&mut self, params: InitializeParams) -> Value {
        self.phase = Phase::Open;
        let general = params.capabilities.general;
        let encodings = general.and_then(|general| general.position_encodings).unwrap_or_default();
        let utf8 = encodings.contains(&PositionEncodingKind::UTF8);
        self.documents.encoding = if utf8 { Encoding::Utf8 } else { Encoding::Utf16 };
        let window = params.capabilities.window.and_then(|window| window.work_done_progress);
        self.client.shows_progress(window == Some(true));
        let wants = |name: &str| {
            params.initialization_options.as_ref().is_some_and(|it| it[name] == Value::Bool(true))
        };
        self.tells_stats = wants("stats");
        self.asks = wants("asks");
        let folders = params.workspace_folders_initialize_params.workspace_folders;
        if let Some(WorkspaceFolders::WorkspaceFolderList(folders)) = folders {
            self.documents.folders = folders.iter().filter_map(|it| path_of(&it.uri)).collect();
        }
        json!({
            "serverInfo": { "name": "cerium", "version": env!("CARGO_PKG_VERSION") },
            "capabilities": {
                "positionEncoding": if utf8 { "utf-8" } else { "utf-16" },
                "textDocumentSync": { "openClose": true, "change": 2 },
                "inlineCompletionProvider": true,
                "codeActionProvider": {
                    "codeActionKinds": ["quickfix", "refactor", "refactor.rewrite"],
                },
                "executeCommandProvider": {
                    "commands": commands::NAMES,
                    "workDoneProgress": true,
                },
                "workspace": {
                    "workspaceFolders": { "supported": true, "changeNotifications": true },
                },
            },
        })
    }

    fn open(&mut self, params: DidOpenTextDocumentParams) -> Result<(), Refusal> {
        let uri = params.text_document.uri.clone();
        self.documents.open(params.text_document).map_err(Refusal::failed)?;
        self.rest_at(&uri, 0);
        Ok(())
    }

    fn change(&mut self, params: DidChangeTextDocumentParams) -> Result<(), Refusal> {
        self.typed(&params.text_document.text_document_identifier.uri);
        self.documents.change(params).map_err(Refusal::failed)
    }

    fn close(&mut self, params: &DidCloseTextDocumentParams) {
        self.typed(&params.text_document.uri);
        self.documents.close(&params.text_document.uri);
    }

    fn folders(&mut self, params: &DidChangeWorkspaceFoldersParams) {
        let folders = &mut self.documents.folders;
        let gone: Vec<_> = params.event.removed.iter().filter_map(|it| path_of(&it.uri)).collect();
        folders.retain(|folder| !gone.contains(folder));
        folders.extend(params.event.added.iter().filter_map(|it| path_of(&it.uri)));
    }

    fn cursor(&mut self, params: &TextDocumentPositionParams) {
        let uri = &params.text_document.uri;
        let Some(document) = self.documents.get(uri) else { return };
        let at = document.text.offset(params.position, self.documents.encoding);
        self.rest_at(uri, at);
    }

    /// The cursor is at a byte of a document; maybe it rests there.
    fn rest_at(&self, uri: &Uri, at: usize) {
        if let Some(document) = self.documents.get(uri) {
            self.ahead.rest_at(Place { file: document.source(), at });
        }
    }

    fn cancel(&mut self, params: CancelParams) {
        let id = match params.id {
            Id::Int(id) => id.into(),
            Id::String(id) => id.into(),
        };
        if self.jobs.stop(&id) {
            let refusal = Refusal::new(ErrorCode::RequestCanceled, "cancelled");
            self.client.answer(id, Err(refusal));
        }
    }

    /// A key was pressed in a document, or a newer suggestion is asked for: older ones are pointless.
    fn typed(&mut self, uri: &Uri) {
        for id in self.jobs.stop_typing(uri) {
            let refusal = Refusal::new(ErrorCode::ContentModified, "the text went on");
            self.client.answer(id, Err(refusal));
        }
    }

    fn inline(
        &mut self,
        id: &RequestId,
        params: InlineCompletionParams,
    ) -> Result<Option<Value>, Refusal> {
        let TextDocumentPositionParams { text_document, position } =
            params.text_document_position_params;
        let uri = text_document.uri;
        self.typed(&uri);
        let Some(document) = self.documents.get(&uri) else {
            return Err(Refusal::invalid(format!("`{uri}` is not open")));
        };
        let at = document.text.offset(position, self.documents.encoding);
        if let Some(text) = self.remembered.at(&uri, document, at) {
            return Ok(Some(self.items(&uri, at, text)));
        }
        let (file, revision) = (document.source(), document.revision);
        let models = self.models.clone();
        self.jobs.start(id.clone(), Some(uri.clone()), move |stop| {
            let model = models.of(&file.root, stop).map_err(Refusal::failed)?;
            let Some(model) = model else { return Ok(Outcome::Nothing) };
            let asked = inline::ask(&*model, &file, at);
            let Some((text, response)) =
                asked.map_err(|error| Refusal::failed(error.to_string()))?
            else {
                return Ok(Outcome::Nothing);
            };
            let suggestion = Suggestion::new(uri, &file.text, at, text);
            Ok(Outcome::Suggested { revision, suggestion, stats: Box::new(Stats::of(&response)) })
        })?;
        Ok(None)
    }

    /// A suggestion as the editor wants it.
    fn items(&self, uri: &Uri, at: usize, text: &str) -> Value {
        let place = self.documents.get(uri).filter(|_| !text.is_empty());
        let Some(document) = place else { return json!([]) };
        let position = document.text.position(at, self.documents.encoding);
        json!([{ "insertText": text, "range": Range { start: position, end: position } }])
    }

    fn done(&mut self, id: RequestId, done: Done) {
        if !self.jobs.end(&id) {
            return;
        }
        let result = match done {
            Ok(Outcome::Nothing) => Ok(Value::Null),
            Ok(Outcome::Told(value)) => Ok(value),
            Ok(Outcome::Edited(edits)) => match self.hand_over(id.clone(), &edits) {
                Ok(None) => return,
                Ok(Some(told)) => Ok(told),
                Err(refusal) => Err(refusal),
            },
            Ok(Outcome::Suggested { revision, suggestion, stats }) => {
                self.suggested(revision, suggestion, &stats)
            }
            Err(refusal) => {
                if self.complaint != refusal.message() {
                    refusal.message().clone_into(&mut self.complaint);
                    self.client.show(MessageType::Error, &format!("cerium: {}", self.complaint));
                }
                Err(refusal)
            }
        };
        self.client.answer(id, result);
    }

    fn suggested(
        &mut self,
        revision: u64,
        suggestion: Suggestion,
        stats: &Stats,
    ) -> Result<Value, Refusal> {
        if !self.documents.is_at(&suggestion.uri, revision) {
            return Err(Refusal::new(ErrorCode::ContentModified, "the text went on"));
        }
        if self.tells_stats {
            self.client.notify("cerium/stats", stats);
        }
        let items = self.items(&suggestion.uri, suggestion.at, &suggestion.text);
        self.rest_at(&suggestion.uri, suggestion.at);
        self.remembered.push(suggestion);
        Ok(items)
    }
}

/// The parameters of a message.
fn read<T: DeserializeOwned>(params: Value) -> Result<T, Refusal> {
    serde_json::from_value(params).map_err(|error| Refusal::invalid(error.to_string()))
}

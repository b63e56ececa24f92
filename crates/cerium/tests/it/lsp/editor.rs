//! An editor as far as a language server can tell.

use crate::world::World;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// How long what must happen may take, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_mins(2);

pub(crate) struct Editor {
    server: Child,
    input: Option<ChildStdin>,
    heard: Receiver<Value>,
    /// What was heard while something else was waited for.
    kept: Vec<Value>,
    n_asked: i64,
}

impl Editor {
    /// Starts the server in a world, with more arguments; nothing is said yet.
    pub(crate) fn start(world: &World, args: &[&str]) -> Self {
        let mut command = world.command(&[&["lsp"], args].concat());
        let mut server = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(server.stdout.take().unwrap());
        let (sender, heard) = channel();
        thread::spawn(move || {
            while let Some(message) = message(&mut output) {
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let input = server.stdin.take();
        Self { server, input, heard, kept: Vec::new(), n_asked: 0 }
    }

    /// A server that has been greeted; its capabilities.
    pub(crate) fn greeted(world: &World, args: &[&str], says: &Value) -> (Self, Value) {
        let mut editor = Self::start(world, args);
        let root = format!("file://{}", world.tree().display());
        let mut params = json!({
            "processId": null,
            "rootUri": root,
            "workspaceFolders": [{ "uri": root, "name": "tree" }],
            "capabilities": {},
        });
        for (key, value) in says.as_object().unwrap() {
            params[key] = value.clone();
        }
        let able = editor.ask("initialize", &params).unwrap()["capabilities"].clone();
        editor.notify("initialized", &json!({}));
        (editor, able)
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let input = self.input.as_mut().unwrap();
        input.write_all(bytes).and_then(|()| input.flush()).unwrap();
    }

    pub(crate) fn say(&mut self, message: &Value) {
        let text = message.to_string();
        self.write(format!("Content-Length: {}\r\n\r\n{text}", text.len()).as_bytes());
    }

    pub(crate) fn notify(&mut self, method: &str, params: &Value) {
        self.say(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    /// Asks, and returns the id by which the answer comes.
    pub(crate) fn begin(&mut self, method: &str, params: &Value) -> i64 {
        self.n_asked += 1;
        let id = self.n_asked;
        self.say(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        id
    }

    /// The answer to a question: its result, or the code of its error.
    #[track_caller]
    pub(crate) fn answer(&mut self, id: i64) -> Result<Value, i64> {
        let message = self.wait(|message| message["id"] == id && message["method"].is_null());
        match message.get("error") {
            Some(error) => Err(error["code"].as_i64().unwrap()),
            None => Ok(message["result"].clone()),
        }
    }

    #[track_caller]
    pub(crate) fn ask(&mut self, method: &str, params: &Value) -> Result<Value, i64> {
        let id = self.begin(method, params);
        self.answer(id)
    }

    /// Waits for a message.
    #[track_caller]
    pub(crate) fn wait(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.kept.iter().position(&is_it) {
            return self.kept.remove(at);
        }
        loop {
            let message = self.heard.recv_timeout(PATIENCE).expect("a message in time");
            if is_it(&message) {
                return message;
            }
            self.kept.push(message);
        }
    }

    pub(crate) fn open(&mut self, uri: &str, text: &str) {
        let document = json!({ "uri": uri, "languageId": "", "version": 1, "text": text });
        self.notify("textDocument/didOpen", &json!({ "textDocument": document }));
    }

    /// Types something at a place, `[line, column]`.
    pub(crate) fn r#type(&mut self, uri: &str, version: i64, [line, column]: [u64; 2], text: &str) {
        let at = json!({ "line": line, "character": column });
        let change = json!({ "range": { "start": at, "end": at }, "text": text });
        let document = json!({ "uri": uri, "version": version });
        let params = json!({ "textDocument": document, "contentChanges": [change] });
        self.notify("textDocument/didChange", &params);
    }

    /// Asks for a suggestion at a place.
    pub(crate) fn begin_suggestion(&mut self, uri: &str, [line, column]: [u64; 2]) -> i64 {
        let params = json!({
            "textDocument": { "uri": uri },
            "position": { "line": line, "character": column },
            "context": { "triggerKind": 2 },
        });
        self.begin("textDocument/inlineCompletion", &params)
    }

    /// The text that is suggested at a place.
    #[track_caller]
    pub(crate) fn suggestion(&mut self, uri: &str, place: [u64; 2]) -> String {
        let id = self.begin_suggestion(uri, place);
        suggested(&self.answer(id).unwrap()).expect("a suggestion")
    }

    /// Says goodbye; the exit code.
    pub(crate) fn leave(mut self) -> Option<i32> {
        self.ask("shutdown", &Value::Null).unwrap();
        self.notify("exit", &Value::Null);
        self.server.wait().unwrap().code()
    }

    /// Hangs up; the exit code.
    pub(crate) fn hang_up(mut self) -> Option<i32> {
        self.input = None;
        self.server.wait().unwrap().code()
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The text of the first suggestion of a result.
pub(crate) fn suggested(result: &Value) -> Option<String> {
    result[0]["insertText"].as_str().map(str::to_owned)
}

fn message(output: &mut impl BufRead) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if output.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim().split_once(": ") {
            Some((_, value)) => length = value.parse().unwrap(),
            None => break,
        }
    }
    let mut bytes = Vec::new();
    output.take(length).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

//! An editor that only types, and notes when answers come.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::fs::DirBuilder;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long an answer may take, loading the model included.
const PATIENCE: Duration = Duration::from_mins(1);

pub(super) struct Editor {
    server: Child,
    input: ChildStdin,
    heard: Receiver<(Instant, Value)>,
    cerium: PathBuf,
    /// The server's engine and journal are its own.
    folder: TempDir,
    n_asked: u64,
    version: u64,
    /// What was asked since answers were last looked at, and when.
    asked: Vec<(u64, Instant)>,
}

/// The answer to one question.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Absent when it was given up for a newer one.
    pub(super) latency: Option<Duration>,
    pub(super) text: String,
    /// It came after the text had changed.
    pub(super) late: bool,
}

impl Editor {
    pub(super) fn start(cerium: &Path, model: &str) -> Result<Self> {
        let folder = TempDir::new()?;
        DirBuilder::new().mode(0o700).create(folder.path().join("run"))?;
        let mut server = command(cerium, &folder)
            .args(["lsp", "--no-persist", "--quiet", "--model", model])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start `{}`", cerium.display()))?;
        let (Some(input), Some(output)) = (server.stdin.take(), server.stdout.take()) else {
            bail!("the server has no pipes");
        };
        let (sender, heard) = channel();
        thread::spawn(move || {
            let mut output = BufReader::new(output);
            while let Some(message) = read(&mut output) {
                if sender.send((Instant::now(), message)).is_err() {
                    return;
                }
            }
        });
        let mut editor = Self {
            server,
            input,
            heard,
            cerium: cerium.to_owned(),
            folder,
            n_asked: 0,
            version: 0,
            asked: Vec::new(),
        };
        editor
            .say(&json!({ "id": 0, "method": "initialize", "params": { "capabilities": {} } }))?;
        editor.wait(0)?;
        editor.say(&json!({ "method": "initialized", "params": {} }))?;
        Ok(editor)
    }

    /// Opens the file with this text.
    pub(super) fn open(&mut self, text: &str) -> Result<()> {
        self.version += 1;
        let uri = self.uri();
        let document =
            json!({ "uri": uri, "languageId": "", "version": self.version, "text": text });
        let params = json!({ "textDocument": document });
        self.say(&json!({ "method": "textDocument/didOpen", "params": params }))
    }

    /// Types a character at a place, counted from 0.
    pub(super) fn press(&mut self, line: usize, column: usize, key: &str) -> Result<()> {
        self.version += 1;
        let place = json!({ "line": line, "character": column });
        let change = json!({ "range": { "start": place, "end": place }, "text": key });
        let document = json!({ "uri": self.uri(), "version": self.version });
        let params = json!({ "textDocument": document, "contentChanges": [change] });
        self.say(&json!({ "method": "textDocument/didChange", "params": params }))
    }

    /// Asks what may come at a place.
    pub(super) fn suggest(&mut self, line: usize, column: usize) -> Result<()> {
        self.n_asked += 1;
        self.asked.push((self.n_asked, Instant::now()));
        let params = json!({
            "textDocument": { "uri": self.uri() },
            "position": { "line": line, "character": column },
            "context": { "triggerKind": 2 },
        });
        let method = "textDocument/inlineCompletion";
        self.say(&json!({ "id": self.n_asked, "method": method, "params": params }))
    }

    /// The answers to all that was asked, in that order.
    pub(super) fn told(&mut self) -> Result<Vec<Told>> {
        let mut all = Vec::new();
        let asked = std::mem::take(&mut self.asked);
        let Some(&(last, _)) = asked.last() else { return Ok(all) };
        let mut answers = self.wait(last)?;
        for (n, (id, at)) in asked.iter().enumerate() {
            let found = answers.iter().position(|(_, answer)| answer["id"] == *id);
            let (heard, answer) = answers.swap_remove(found.context("an answer is missing")?);
            let next_key = asked.get(n + 1).map(|(_, at)| *at);
            all.push(match answer.get("error") {
                Some(error) if error["code"] == -32801 => Told::default(),
                Some(error) => bail!("{error}"),
                None => Told {
                    latency: Some(heard - *at),
                    text: answer["result"][0]["insertText"].as_str().unwrap_or_default().to_owned(),
                    late: next_key.is_some_and(|key| heard > key),
                },
            });
        }
        Ok(all)
    }

    /// Everything that was heard up to the answer of an id.
    fn wait(&mut self, id: u64) -> Result<Vec<(Instant, Value)>> {
        let mut all = Vec::new();
        loop {
            let (at, message) = self.heard.recv_timeout(PATIENCE).context("no answer came")?;
            let is_it = message["id"] == id && message["method"].is_null();
            all.push((at, message));
            if is_it {
                return Ok(all);
            }
        }
    }

    fn uri(&self) -> String {
        format!("file://{}/typed.rs", self.folder.path().display())
    }

    fn say(&mut self, message: &Value) -> Result<()> {
        let mut message = message.clone();
        message["jsonrpc"] = "2.0".into();
        let text = message.to_string();
        write!(self.input, "Content-Length: {}\r\n\r\n{text}", text.len())?;
        Ok(self.input.flush()?)
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = command(&self.cerium, &self.folder).arg("stop").output();
    }
}

/// The program, with an engine and a journal of its own.
fn command(cerium: &Path, folder: &TempDir) -> Command {
    let mut command = Command::new(cerium);
    command
        .env("XDG_RUNTIME_DIR", folder.path().join("run"))
        .env("XDG_STATE_HOME", folder.path())
        .current_dir(folder);
    command
}

fn read(output: &mut impl BufRead) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if output.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim().split_once(": ") {
            Some((_, value)) => length = value.parse().ok()?,
            None => break,
        }
    }
    let mut bytes = Vec::new();
    output.take(length).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

//! Two clients with one conversation: one tells all of it each time, the other what is new.

use super::scripted::{Noted, Notes};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use tungstenite::{Message, WebSocket};

/// What a tool gave, about as long as what coding tools give.
const OUTPUT: &str = "src/lib.rs:14: pub fn read(path: &Path) -> io::Result<String> {\n";
const N_OUTPUT_LINES: usize = 12;

/// Tokens of a line of it, about.
const N_LINE_TOKENS: usize = 22;

/// One turn, outside of the engine.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) n_prompt: usize,
    pub(super) sent_bytes: usize,
    /// From the first byte sent until the engine has the job.
    pub(super) before: Duration,
    /// From where the engine's first token leaves it until it is here.
    pub(super) first: Duration,
    /// The same of every token.
    pub(super) tokens: Vec<Duration>,
    /// From the engine's end to the end of the answer here.
    pub(super) after: Duration,
}

/// Has a conversation.
pub(super) trait Client {
    /// The `n`-th turn; the first brings the history.
    fn turn(&mut self, n: usize, notes: &Notes) -> Result<Turn>;
}

/// What a client hears of an answer, and when.
#[derive(Default)]
struct Heard {
    tokens: Vec<Instant>,
    ended: Option<(Instant, Value)>,
}

impl Heard {
    fn event(&mut self, data: &[u8]) -> Result<()> {
        let now = Instant::now();
        // Reading whole events takes the client's time, not the server's: it is done when all is over.
        let kind = data.strip_prefix(br#"{"type":""#).unwrap_or(data);
        if kind.starts_with(b"response.output_text.delta") {
            self.tokens.push(now);
        } else if kind.starts_with(b"response.completed") {
            self.ended = Some((now, serde_json::from_slice(data)?));
        } else if kind.starts_with(b"error") || kind.starts_with(b"response.failed") {
            bail!("the server said: {}", String::from_utf8_lossy(data));
        }
        Ok(())
    }

    fn turn(self, sent: Instant, sent_bytes: usize, noted: &Noted) -> Result<(Turn, Value)> {
        let (ended, event) = self.ended.context("the answer has no end")?;
        let (came, left) = noted.came.zip(noted.ended).context("the engine saw no job")?;
        if self.tokens.len() != noted.tokens.len() {
            bail!("{} deltas for {} tokens", self.tokens.len(), noted.tokens.len());
        }
        let tokens = self.tokens.iter().zip(&noted.tokens);
        let tokens: Vec<Duration> = tokens.map(|(here, left)| *here - *left).collect();
        let turn = Turn {
            n_prompt: noted.n_prompt,
            sent_bytes,
            before: came - sent,
            first: tokens.first().copied().unwrap_or_default(),
            tokens,
            after: ended - left,
        };
        Ok((turn, event))
    }
}

/// What is said in a turn: all that is to be known, or what a tool gave.
fn said(n: usize, history: usize) -> Value {
    let n_lines = if n == 0 { history.div_ceil(N_LINE_TOKENS) } else { N_OUTPUT_LINES };
    json!({"role": "user", "content": format!("{n}\n{}", OUTPUT.repeat(n_lines))})
}

fn request(model: &str, input: &[Value]) -> Value {
    json!({"model": model, "store": false, "stream": true, "input": input})
}

/// Tells all of it each time.
pub(super) struct Http {
    stream: BufReader<TcpStream>,
    model: String,
    history: usize,
    items: Vec<Value>,
}

impl Http {
    pub(super) fn open(server: SocketAddr, model: &str, history: usize) -> Result<Self> {
        let stream = BufReader::new(connect(server)?);
        Ok(Self { stream, model: model.to_owned(), history, items: Vec::new() })
    }

    /// One chunk of a body, as it comes; an empty one is the end.
    fn chunk(&mut self) -> Result<Vec<u8>> {
        let mut size = String::new();
        self.stream.read_line(&mut size)?;
        let n = usize::from_str_radix(size.trim(), 16).context("no chunk")?;
        let mut chunk = vec![0; n + 2];
        self.stream.read_exact(&mut chunk)?;
        chunk.truncate(n);
        Ok(chunk)
    }
}

impl Client for Http {
    fn turn(&mut self, n: usize, notes: &Notes) -> Result<Turn> {
        self.items.push(said(n, self.history));
        let body = request(&self.model, &self.items).to_string();
        let request = format!(
            "POST /v1/responses HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let sent = Instant::now();
        self.stream.get_mut().write_all(request.as_bytes())?;
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            self.stream.read_line(&mut line)?;
        }
        let mut heard = Heard::default();
        loop {
            let chunk = self.chunk()?;
            if chunk.is_empty() {
                break;
            }
            for line in chunk.split(|&byte| byte == b'\n') {
                if let Some(data) = line.strip_prefix(b"data: ") {
                    heard.event(data)?;
                }
            }
        }
        let (turn, mut event) = heard.turn(sent, request.len(), &notes.take())?;
        let output = event["response"]["output"].as_array_mut().context("no output")?;
        self.items.append(output);
        Ok(turn)
    }
}

/// Tells what is new.
pub(super) struct Socket {
    stream: WebSocket<TcpStream>,
    model: String,
    history: usize,
    previous: Value,
}

impl Socket {
    pub(super) fn open(server: SocketAddr, model: &str, history: usize) -> Result<Self> {
        let url = format!("ws://{server}/v1/responses");
        let (stream, _) = tungstenite::client(url, connect(server)?).context("the handshake")?;
        Ok(Self { stream, model: model.to_owned(), history, previous: Value::Null })
    }
}

impl Client for Socket {
    fn turn(&mut self, n: usize, notes: &Notes) -> Result<Turn> {
        let mut event = request(&self.model, &[said(n, self.history)]);
        event["type"] = "response.create".into();
        event["previous_response_id"] = self.previous.take();
        let event = event.to_string();
        let sent_bytes = event.len();
        let sent = Instant::now();
        self.stream.send(Message::text(event))?;
        let mut heard = Heard::default();
        while heard.ended.is_none() {
            if let Message::Text(text) = self.stream.read()? {
                heard.event(text.as_bytes())?;
            }
        }
        let (turn, mut event) = heard.turn(sent, sent_bytes, &notes.take())?;
        self.previous = event["response"]["id"].take();
        Ok(turn)
    }
}

fn connect(server: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(server).context("connecting")?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

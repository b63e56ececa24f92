//! An agent's side of a conversation over chat completions, with the time at which things came.

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use serde_json::{Value, json};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

/// One turn.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Asked {
    /// From the request to the first text.
    pub(super) first_ms: f64,
    /// To the end of the answer.
    pub(super) whole_ms: f64,
    /// Pieces of text: tokens, but for those that share a character.
    pub(super) n_pieces: usize,
}

/// Everything that was said.
pub(super) struct Conversation(Vec<Value>);

impl Conversation {
    pub(super) fn new(system: &str) -> Self {
        Self(vec![json!({"role": "system", "content": system})])
    }

    pub(super) fn say(&mut self, text: &str) {
        self.0.push(json!({"role": "user", "content": text}));
    }

    /// Has the next answer written, greedily, and adds it.
    pub(super) fn ask(
        &mut self,
        server: SocketAddr,
        model: &str,
        n_tokens: usize,
    ) -> Result<Asked> {
        let body = json!({"model": model, "messages": self.0, "max_tokens": n_tokens,
                          "temperature": 0, "stream": true})
        .to_string();
        let begun = Instant::now();
        let ms = |at: Instant| (at - begun).as_secs_f64() * 1e3;
        let mut stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        write!(
            stream,
            "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line)?;
        ensure!(line.contains(" 200 "), "the server said {line}");
        while line != "\r\n" {
            line.clear();
            stream.read_line(&mut line)?;
        }
        let (mut first, mut text, mut n_pieces) = (None, String::new(), 0);
        for line in BufReader::new(Chunks { stream, n_left: 0 }).lines() {
            let line = line?;
            let Some(data) = line.strip_prefix("data: ").filter(|data| *data != "[DONE]") else {
                continue;
            };
            let event: Value = serde_json::from_str(data)?;
            if let Some(error) = event.get("error") {
                bail!("the server said {error}");
            }
            let piece = event["choices"][0]["delta"]["content"].as_str().unwrap_or_default();
            if !piece.is_empty() {
                first.get_or_insert_with(Instant::now);
                n_pieces += 1;
                text.push_str(piece);
            }
        }
        let whole_ms = ms(Instant::now());
        let first_ms = ms(first.context("an answer without text")?);
        self.0.push(json!({"role": "assistant", "content": text}));
        Ok(Asked { first_ms, whole_ms, n_pieces })
    }
}

/// A chunked body, without its chunks' lengths.
struct Chunks<R> {
    stream: BufReader<R>,
    n_left: usize,
}

impl<R: Read> Read for Chunks<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        while self.n_left == 0 {
            let mut size = String::new();
            self.stream.read_line(&mut size)?;
            // The end of the chunk before.
            if size == "\r\n" {
                continue;
            }
            let n = usize::from_str_radix(size.trim(), 16);
            self.n_left = n.map_err(|_| io::Error::other(format!("{size:?} is no length")))?;
            if self.n_left == 0 {
                return Ok(0);
            }
        }
        let n = self.n_left.min(to.len());
        let n = self.stream.read(&mut to[..n])?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.n_left -= n;
        Ok(n)
    }
}

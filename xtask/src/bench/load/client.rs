//! An agent's side of a conversation over chat completions, with the time at which things came.

use crate::server::Server;
use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
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
    pub(super) fn ask(&mut self, server: &Server, n_tokens: usize) -> Result<Asked> {
        let body = json!({"model": server.model, "messages": self.0, "max_tokens": n_tokens,
                          "temperature": 0, "stream": true});
        let begun = Instant::now();
        let ms = |at: Instant| (at - begun).as_secs_f64() * 1e3;
        let stream = server.post("/v1/chat/completions", &body)?.into_reader();
        let (mut first, mut text, mut n_pieces) = (None, String::new(), 0);
        for line in BufReader::new(stream).lines() {
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

//! Fills a gap over `/infill` of any server, as `cerium complete` does it over its engine: the answer is read as it
//! comes, broken off where a completion ends, and rid of what repeats the text after the gap.
//!
//! The two sides come as a JSON object on standard input; the text and the seconds it took go out as another.
//! `cargo xtask eval fim` has servers compared by it.
#![expect(clippy::print_stdout, reason = "a tool for a script, which reads stdout")]

use anyhow::{Context, Result};
use cerium_harness::complete::{CompleteOptions, Point, complete};
use cerium_harness::{Backend, OnText};
use cerium_protocol::{
    CompletionRequest, CreateResponse, ErrorBody, ErrorKind, ModelInfo, Response, Status,
};
use clap::Parser;
use serde::Deserialize;
use serde_json::{Value, json};
use std::io::{self, BufRead, BufReader};
use std::ops::ControlFlow;
use std::time::Instant;

/// Fills a gap over a server's `/infill`.
#[derive(Parser)]
struct Infill {
    /// Where the server is, such as `http://127.0.0.1:8383`
    url: String,
    /// Tokens at most
    #[arg(long, default_value_t = 128)]
    tokens: u32,
}

/// A text with a gap.
#[derive(Deserialize)]
struct Gap {
    prefix: String,
    suffix: String,
}

fn main() -> Result<()> {
    let Infill { url, tokens } = Infill::parse();
    let Gap { prefix, suffix } = serde_json::from_reader(io::stdin()).context("the gap")?;
    let text = [&*prefix, &suffix].concat();
    let point = Point::at(&text, prefix.len());
    let options = CompleteOptions { tokens_max: Some(tokens), ..CompleteOptions::default() };
    let begun = Instant::now();
    let done = complete(&Door { url }, &text, point, &options, &mut |_| ControlFlow::Continue(()))?;
    let seconds = begun.elapsed().as_secs_f64();
    println!("{}", json!({"text": done.text, "cut": done.cut, "seconds": seconds}));
    Ok(())
}

/// A server as a model.
struct Door {
    url: String,
}

impl Backend for Door {
    fn respond(
        &self,
        _request: &CreateResponse,
        _on_text: &mut OnText<'_>,
    ) -> Result<Response, ErrorBody> {
        Err(ErrorBody::new(ErrorKind::ServerError, "only gaps are filled here"))
    }

    fn complete(
        &self,
        request: &CompletionRequest,
        on_text: &mut OnText<'_>,
    ) -> Result<Response, ErrorBody> {
        let broke_off = self.infill(request, on_text);
        let broke_off = broke_off
            .map_err(|error| ErrorBody::new(ErrorKind::ServerError, format!("{error:#}")))?;
        let status = if broke_off { Status::Cancelled } else { Status::Completed };
        Ok(Response { status, ..Response::begun(String::new(), String::new()) })
    }

    fn model(&self) -> ModelInfo {
        ModelInfo { name: String::new(), context_tokens: 4096, infill: true, extensions: false }
    }

    /// About: the cases are far smaller than the window that is counted for.
    fn count_tokens(&self, text: &str) -> usize {
        text.len() / 3
    }
}

impl Door {
    /// Hands on the text as it comes; whether it was broken off. The connection then ends with the body.
    fn infill(&self, request: &CompletionRequest, on_text: &mut OnText<'_>) -> Result<bool> {
        let body = json!({
            "input_prefix": request.prompt, "input_suffix": request.suffix,
            "n_predict": request.max_tokens, "temperature": 0, "stream": true,
        });
        let post = ureq::post(format!("{}/infill", self.url));
        let answer = post.header("content-type", "application/json").send(body.to_string())?;
        for line in BufReader::new(answer.into_body().into_reader()).lines() {
            let line = line?;
            let Some(data) = line.strip_prefix("data: ") else { continue };
            let event: Value = serde_json::from_str(data).with_context(|| line.clone())?;
            let text = event["content"].as_str().with_context(|| line.clone())?;
            if !text.is_empty() && on_text(text).is_break() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

//! The baseline: llama.cpp with the same weights, asked for the whole file at temperature 0.
//!
//! Its model stays loaded from case to case, which a command's does not: the comparison favours it.

use super::cases::Case;
use super::{Answer, Respond};
use crate::peer::{Kind, Peer};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;

/// Room for the file twice, in tokens: the largest of the sets have 15,000.
const CONTEXT: usize = 32_768;

/// A loaded llama.cpp.
pub(super) struct Rewrite {
    peer: Peer,
}

impl Rewrite {
    pub(super) fn new(model: &str, threads: usize) -> Result<Self> {
        // The worker knows where a name's file is, and fetches it.
        let ours = Peer::start_ours(model, threads, 256)?;
        let path = ours.loaded["path"].as_str().context("no path of the model")?.to_owned();
        drop(ours);
        Ok(Self { peer: Peer::start(Kind::LlamaCpp, Path::new(&path), threads, CONTEXT)? })
    }
}

impl Respond for Rewrite {
    fn respond(&mut self, case: &Case) -> Result<Answer> {
        let request = json!({
            "op": "chat",
            "messages": [{ "role": "user", "content": prompt(case) }],
            // A file has about a token per 3.5 bytes: this is the file and 40% more.
            "n_output_max": case.before.len() * 2 / 5 + 512,
        });
        let start = Instant::now();
        let answer = self.peer.ask(&request);
        let seconds = start.elapsed().as_secs_f64();
        let (output, report, note) = match answer {
            Ok(answer) => {
                let text = answer["text"].as_str().unwrap_or_default();
                let report = json!({
                    "engine": self.peer.engine,
                    "prompt_tokens": answer["n_prompt"],
                    "output_tokens": answer["n_output"],
                });
                let cut = answer["stopped"] == false;
                (
                    unfenced(text).to_owned(),
                    report,
                    if cut { "cut at the limit" } else { "" }.to_owned(),
                )
            }
            Err(error) if self.peer.has_ended() => return Err(error),
            // Too long for the context, for one. The file stays as it is.
            Err(error) => (case.before.clone(), Value::Null, format!("{error:#}")),
        };
        Ok(Answer { id: case.id.clone(), output, seconds, exit: None, report, note })
    }
}

fn prompt(case: &Case) -> String {
    let Case { path, language, before, instruction, .. } = case;
    let end = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
    format!(
        "This is the file `{path}`:\n\n```{language}\n{before}{end}```\n\n{instruction}\n\n\
         Reply with the whole changed file in one code block and nothing else."
    )
}

/// The first fenced block of a reply, to its end if the fence never closes; else the reply.
fn unfenced(reply: &str) -> &str {
    let fence = |line: &str| line.starts_with("```");
    let mut at = 0;
    let mut start = None;
    for line in reply.split_inclusive('\n') {
        match start {
            Some(start) if fence(line) => return &reply[start..at],
            None if fence(line) => start = Some(at + line.len()),
            _ => {}
        }
        at += line.len();
    }
    &reply[start.unwrap_or(0)..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fences_are_taken_off() {
        assert_eq!(unfenced("Sure:\n```python\na = 1\nb\n```\nDone.\n```\nc\n```"), "a = 1\nb\n");
        assert_eq!(unfenced("```\nno end\n"), "no end\n");
        assert_eq!(unfenced("plain\n"), "plain\n");
        assert_eq!(unfenced("```"), "");
        assert_eq!(unfenced(""), "");
    }
}

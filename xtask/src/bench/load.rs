//! `cerium serve` beside llama.cpp's servers under load: agents, each with a conversation that grows by answers and by
//! what tools give, ask all for chat completions; some at a time, and the servers in turns.
//!
//! All servers stay loaded and one works at a time. Agents share the beginning of their prompts, as real ones do,
//! and each goes on with text of its own. Figures are the clients'.

mod client;

use super::TEXT;
use crate::peer::cores;
use crate::run::{Reporting, Run};
use crate::server::{self, Server};
use crate::table::Table;
use anyhow::{Context, Result, anyhow};
use client::{Asked, Conversation};
use serde::Serialize;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

/// Between runs: spinning threads of the server before have gone to sleep by then.
const PAUSE: Duration = Duration::from_millis(300);

/// Room of every sequence, in tokens.
const CONTEXT: usize = 4096;

/// Options of `cargo xtask bench load`.
#[derive(clap::Args)]
pub(crate) struct Load {
    /// Model file
    #[arg(long, value_name = "PATH")]
    model: PathBuf,
    /// The binary to measure [default: a release build of this checkout]
    #[arg(long, value_name = "PATH")]
    cerium: Option<PathBuf>,
    /// How many agents ask at a time
    #[arg(long, value_name = "N", value_delimiter = ',', default_values = ["1", "4", "16"])]
    clients: Vec<usize>,
    /// Turns of each
    #[arg(long, default_value_t = 3)]
    turns: usize,
    /// Characters that all prompts begin with
    #[arg(long, default_value_t = 1600)]
    base: usize,
    /// Characters of each agent's task, and of what a tool gives
    #[arg(long, default_value_t = 500)]
    more: usize,
    /// Tokens of an answer
    #[arg(long, default_value_t = 32)]
    tokens: usize,
    /// Threads of each server [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
    #[command(flatten)]
    reporting: Reporting,
}

/// So many agents at one server.
#[derive(Debug, Serialize)]
struct Loaded {
    clients: usize,
    server: &'static str,
    /// All turns of all agents.
    turns: Vec<Asked>,
    /// From the first question to the last answer.
    total_ms: f64,
}

impl Load {
    pub(crate) fn run(&self) -> Result<()> {
        let threads = self.threads.unwrap_or_else(cores);
        let model = self.model.canonicalize().context("the model's file")?;
        let n_sequences = self.clients.iter().copied().max().unwrap_or(1);
        let load = server::Load { model: &model, threads, context: CONTEXT, n_sequences };
        let servers = [
            Server::ours(self.cerium.as_ref(), load)?,
            Server::llama_server(load)?,
            Server::llama_cpp_python(load)?,
        ];
        let mut results = Vec::new();
        for (round, &n_clients) in self.clients.iter().enumerate() {
            for turn in 0..servers.len() {
                let server = &servers[(round + turn) % servers.len()];
                thread::sleep(PAUSE);
                let loaded = self.load(server, n_clients)?;
                eprintln!("{n_clients} at {}: {:.1} s", server.name, loaded.total_ms / 1e3);
                results.push(loaded);
            }
        }
        let (text, csv) = (text(&results)?, csv(&results));
        Run::new("load", threads, results).report(&text, &csv, self.reporting)
    }

    fn load(&self, server: &Server, n_clients: usize) -> Result<Loaded> {
        let begun = Instant::now();
        let turns = thread::scope(|scope| {
            let agent = |n: usize| scope.spawn(move || self.agent(server, n_clients * 7 + n));
            let agents: Vec<_> = (0..n_clients).map(agent).collect();
            let ended = agents
                .into_iter()
                .map(|agent| agent.join().map_err(|_| anyhow!("an agent failed"))?);
            ended.collect::<Result<Vec<_>>>()
        })?;
        let total_ms = begun.elapsed().as_secs_f64() * 1e3;
        let turns = turns.into_iter().flatten().collect();
        Ok(Loaded { clients: n_clients, server: server.name, turns, total_ms })
    }

    /// One conversation, whose own text begins at another place for each `n`.
    fn agent(&self, server: &Server, n: usize) -> Result<Vec<Asked>> {
        let mut text = TEXT.chars().cycle().skip(self.base + n * 977);
        let mut some = || text.by_ref().take(self.more).collect::<String>();
        let base: String = TEXT.chars().take(self.base).collect();
        let mut conversation = Conversation::new(&base);
        let mut turns = Vec::new();
        for turn in 0..self.turns {
            let said = if turn == 0 { "Explain this code" } else { "The tool printed" };
            conversation.say(&format!("{said}:\n{}", some()));
            turns.push(conversation.ask(server, self.tokens)?);
        }
        Ok(turns)
    }
}

/// The value that so much of all are not above.
fn quantile(values: impl Iterator<Item = f64>, part: f64) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let at = (values.len() as f64 * part).ceil() as usize;
    values.get(at.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

fn text(results: &[Loaded]) -> Result<String> {
    let head = [
        "agents, server",
        "turns",
        "first token, p50 ms",
        "p95",
        "turn, p50 ms",
        "p95",
        "all, s",
        "answers, tok/s",
    ];
    let mut table = Table::new(head);
    for Loaded { clients, server, turns, total_ms } in results {
        let first = |part| quantile(turns.iter().map(|turn| turn.first_ms), part);
        let whole = |part| quantile(turns.iter().map(|turn| turn.whole_ms), part);
        let n_tokens: usize = turns.iter().map(|turn| turn.n_pieces).sum();
        table.row([
            format!("{clients}, {server}"),
            turns.len().to_string(),
            format!("{:.0}", first(0.5)),
            format!("{:.0}", first(0.95)),
            format!("{:.0}", whole(0.5)),
            format!("{:.0}", whole(0.95)),
            format!("{:.1}", total_ms / 1e3),
            format!("{:.1}", n_tokens as f64 / total_ms * 1e3),
        ]);
    }
    let mut text = String::new();
    write!(text, "{table}")?;
    Ok(text)
}

fn csv(results: &[Loaded]) -> String {
    let mut csv = "clients,server,first_ms,whole_ms,n_pieces\n".to_owned();
    for Loaded { clients, server, turns, .. } in results {
        for Asked { first_ms, whole_ms, n_pieces } in turns {
            // Writing to a string cannot fail.
            let _ = writeln!(csv, "{clients},\"{server}\",{first_ms:.1},{whole_ms:.1},{n_pieces}");
        }
    }
    csv
}

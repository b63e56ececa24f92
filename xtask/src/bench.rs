//! cerium beside other engines: same file, threads and prompt, taking turns on the same machine.
//!
//! All engines stay loaded, one works at a time, and a round asks each once, beginning with another
//! one every time: a slow minute of the machine hits all of them. Medians over the rounds.

use crate::peer::{Kind, Peer, Timing, cores};
use crate::run::Run;
use crate::table::{Table, median};
use anyhow::{Result, ensure};
use serde::Serialize;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

/// What prompts are cut from.
const TEXT: &str = concat!(
    include_str!("../../scripts/goldens/text/click_formatting.py"),
    include_str!("../../scripts/goldens/text/globset_pathutil.rs"),
    include_str!("../../scripts/goldens/text/tree_sitter_changed_ranges.c"),
);

/// Between runs: spinning threads of the engine before have gone to sleep by then.
const PAUSE: Duration = Duration::from_millis(300);

/// Options of `cargo xtask bench peers`.
#[derive(clap::Args)]
pub(crate) struct Peers {
    /// Models, by name or path
    #[arg(long, value_name = "NAME|PATH", value_delimiter = ',', default_values = ["qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"])]
    model: Vec<String>,
    /// Also measure the fork ik (about 25 minutes to build, once)
    #[arg(long)]
    ik: bool,
    /// Rounds; at least 5 for a figure to quote
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Threads of each engine [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
    /// Tokens of the prompt
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=2048))]
    prompt: u32,
    /// Tokens decoded after the first
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1024))]
    decode: u32,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Record the run under bench/runs
    #[arg(long)]
    save: bool,
}

/// One engine on one model.
#[derive(Serialize)]
struct Measured {
    model: String,
    sha256: String,
    engine: String,
    cpu: String,
    peak_mib: Option<f64>,
    rounds: Vec<Round>,
}

#[derive(Clone, Copy, Serialize)]
struct Round {
    n_prompt: u32,
    prefill_ms: f64,
    ttft_ms: f64,
    /// Of `n_decode` tokens, those after the first.
    n_decode: u32,
    decode_ms: f64,
    /// Leading tokens that are the same as cerium's.
    n_same: usize,
}

impl Peers {
    pub(crate) fn run(&self) -> Result<()> {
        let threads = self.threads.unwrap_or_else(cores);
        let mut results = Vec::new();
        for model in &self.model {
            results.extend(self.measure(model, threads)?);
        }
        let (table, csv) = (table(&results), csv(&results));
        let run = Run::new("peers", threads, results);
        if self.save {
            eprintln!("saved in {}", run.save(&table, &csv)?.display());
        }
        if self.json {
            println!("{}", serde_json::to_string_pretty(&run)?);
        } else {
            print!("{table}");
        }
        Ok(())
    }

    fn measure(&self, model: &str, threads: usize) -> Result<Vec<Measured>> {
        let context = (self.prompt + self.decode + 2).next_multiple_of(256) as usize;
        let mut ours = Peer::start_ours(model, threads, context)?;
        let ids = ours.encode(TEXT)?;
        let loaded = |key: &str| ours.loaded[key].as_str().unwrap_or_default().to_owned();
        let (path, sha256) = (PathBuf::from(loaded("path")), loaded("sha256"));
        let mut engines = vec![ours, Peer::start(Kind::LlamaCpp, &path, threads, context)?];
        if self.ik {
            engines.push(Peer::start(Kind::IkLlama, &path, threads, context)?);
        }
        let n_prompt = self.prompt as usize;
        ensure!(ids.len() >= n_prompt, "the text has only {} tokens", ids.len());
        for engine in &mut engines {
            eprintln!("{model}: {} ({})", engine.engine, engine.cpu);
            engine.run(&ids[..n_prompt], 2)?; // Pages of the file, frequencies, thread pools.
        }
        let mut rounds = vec![Vec::new(); engines.len()];
        for round in 0..self.rounds as usize {
            let first = (round * 61) % (ids.len() - n_prompt + 1);
            let prompt = &ids[first..first + n_prompt];
            let mut timings: Vec<Option<Timing>> = vec![None; engines.len()];
            for turn in 0..engines.len() {
                let i = (round + turn) % engines.len();
                thread::sleep(PAUSE);
                timings[i] = Some(engines[i].run(prompt, self.decode as usize + 1)?);
            }
            let timings: Vec<Timing> = timings.into_iter().flatten().collect();
            let cerium = &timings[0].output;
            for (i, timing) in timings.iter().enumerate() {
                let same = timing.output.iter().zip(cerium).take_while(|(a, b)| a == b).count();
                let round = self.round(timing, same);
                eprintln!(
                    "  {:>2} {:<28} prefill {:8.1} ms  decode {:8.1} ms  {same} tokens as cerium",
                    rounds[i].len() + 1,
                    engines[i].engine,
                    round.prefill_ms,
                    round.decode_ms,
                );
                rounds[i].push(round);
            }
        }
        let measured = |(engine, rounds): (&Peer, Vec<Round>)| Measured {
            model: model.to_owned(),
            sha256: sha256.clone(),
            engine: engine.engine.clone(),
            cpu: engine.cpu.clone(),
            peak_mib: engine.peak_mib(),
            rounds,
        };
        Ok(engines.iter().zip(rounds).map(measured).collect())
    }

    fn round(&self, timing: &Timing, n_same: usize) -> Round {
        let &Timing { prefill_ms, ttft_ms, decode_ms, .. } = timing;
        Round {
            n_prompt: self.prompt,
            prefill_ms,
            ttft_ms,
            n_decode: self.decode,
            decode_ms,
            n_same,
        }
    }
}

impl Measured {
    fn median(&self, of: impl Fn(&Round) -> f64) -> f64 {
        median(&self.rounds.iter().map(of).collect::<Vec<_>>())
    }

    /// Tokens per second.
    fn prefill(&self) -> f64 {
        self.median(|r| f64::from(r.n_prompt) / r.prefill_ms * 1e3)
    }

    /// Tokens per second.
    fn decode(&self) -> f64 {
        self.median(|r| f64::from(r.n_decode) / r.decode_ms * 1e3)
    }
}

fn table(results: &[Measured]) -> String {
    let mut table = Table::new([
        "engine",
        "model",
        "prefill tok/s",
        "decode tok/s",
        "first token ms",
        "peak MiB",
        "cerium prefill",
        "cerium decode",
    ]);
    for result in results {
        let ours = results.iter().find(|other| other.model == result.model).unwrap_or(result);
        table.row([
            result.engine.clone(),
            result.model.clone(),
            format!("{:.1}", result.prefill()),
            format!("{:.1}", result.decode()),
            format!("{:.0}", result.median(|r| r.ttft_ms)),
            result.peak_mib.map_or_else(String::new, |mib| format!("{mib:.0}")),
            format!("{:.2}x", ours.prefill() / result.prefill()),
            format!("{:.2}x", ours.decode() / result.decode()),
        ]);
    }
    table.to_string()
}

fn csv(results: &[Measured]) -> String {
    let mut csv =
        "model,sha256,engine,round,n_prompt,prefill_ms,ttft_ms,n_decode,decode_ms\n".to_owned();
    for result in results {
        for (i, round) in result.rounds.iter().enumerate() {
            let Measured { model, sha256, engine, .. } = result;
            let Round { n_prompt, prefill_ms, ttft_ms, n_decode, decode_ms, .. } = round;
            // Writing to a string cannot fail.
            let _ = writeln!(
                csv,
                "{model},{sha256},{engine},{i},{n_prompt},{prefill_ms:.3},{ttft_ms:.3},{n_decode},{decode_ms:.3}"
            );
        }
    }
    csv
}

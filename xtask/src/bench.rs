//! cerium beside other engines: same file, threads and prompt, taking turns on the same machine.
//!
//! All engines stay loaded, one works at a time, and a round asks each once, beginning with another
//! one every time: a slow minute of the machine hits all of them, and its limits, which every round
//! measures too. Medians over the rounds.

mod edits;
mod limits;
mod load;
mod report;
mod typing;

use crate::peer::{Kind, Peer, Timing, cores};
use crate::run::{Reporting, Run};
use anyhow::{Context, Result, ensure};
pub(crate) use edits::Edits;
use limits::Roofline;
pub(crate) use load::Load;
use report::{Compared, Measured, Round};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{fs, thread};
pub(crate) use typing::Typing;

/// What prompts are cut from.
const TEXT: &str = concat!(
    include_str!("../../scripts/goldens/text/click_formatting.py"),
    include_str!("../../scripts/goldens/text/globset_pathutil.rs"),
    include_str!("../../scripts/goldens/text/tree_sitter_changed_ranges.c"),
);

/// Between runs: spinning threads of the engine before have gone to sleep by then.
const PAUSE: Duration = Duration::from_millis(300);

/// A peer that needs longer to warm up is asked in the first round only.
const SLOW: Duration = Duration::from_secs(20);

/// Options of `cargo xtask bench peers`.
#[derive(clap::Args)]
pub(crate) struct Peers {
    /// Models, by name or path
    #[arg(long, value_name = "NAME|PATH", value_delimiter = ',', default_values = ["qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"])]
    model: Vec<String>,
    /// Also measure the fork ik (about 25 minutes to build, once)
    #[arg(long)]
    ik: bool,
    /// Also measure mistral.rs, as its published package has it
    #[arg(long)]
    mistralrs: bool,
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
    #[command(flatten)]
    reporting: Reporting,
}

impl Peers {
    pub(crate) fn run(&self) -> Result<()> {
        let threads = self.threads.unwrap_or_else(cores);
        let roofline = Roofline::new(threads)?;
        let mut results = Vec::new();
        for model in &self.model {
            results.push(self.compare(model, threads, &roofline)?);
        }
        let (text, csv) = (report::text(&results), report::csv(&results));
        Run::new("peers", threads, results).report(&text, &csv, self.reporting)
    }

    fn compare(&self, model: &str, threads: usize, roofline: &Roofline) -> Result<Compared> {
        let context = (self.prompt + self.decode + 2).next_multiple_of(256) as usize;
        let mut ours = Peer::start_ours(model, threads, context)?;
        let ids = ours.encode(TEXT)?;
        let n_prompt = self.prompt as usize;
        ensure!(ids.len() >= n_prompt, "the text has only {} tokens", ids.len());
        let loaded = |key: &str| ours.loaded[key].as_str().unwrap_or_default().to_owned();
        let (path, sha256) = (PathBuf::from(loaded("path")), loaded("sha256"));
        let costs = serde_json::from_value(ours.loaded["costs"].clone()).context("costs")?;
        let mut engines = vec![ours];
        for kind in self.kinds() {
            engines.push(Peer::start(kind, &path, threads, context)?);
        }
        let mut n_rounds = vec![self.rounds as usize; engines.len()];
        for (i, engine) in engines.iter_mut().enumerate() {
            eprintln!("{model}: {} ({})", engine.engine, engine.cpu);
            let start = Instant::now();
            engine.run(&ids[..n_prompt], 2)?; // Pages of the file, frequencies, thread pools.
            if i > 0 && start.elapsed() > SLOW {
                n_rounds[i] = 1;
            }
        }
        let mut limits = Vec::new();
        let mut rounds = vec![Vec::new(); engines.len()];
        for round in 0..self.rounds as usize {
            thread::sleep(PAUSE);
            limits.push(roofline.measure()?);
            let first = (round * 61) % (ids.len() - n_prompt + 1);
            let prompt = &ids[first..first + n_prompt];
            let mut timings: Vec<Option<Timing>> = vec![None; engines.len()];
            for turn in 0..engines.len() {
                let i = (round + turn) % engines.len();
                if round < n_rounds[i] {
                    thread::sleep(PAUSE);
                    timings[i] = Some(engines[i].run(prompt, self.decode as usize + 1)?);
                }
            }
            let cerium = timings[0].as_ref().map_or(Vec::new(), |timing| timing.output.clone());
            for (i, timing) in timings.iter().enumerate() {
                let Some(timing) = timing else { continue };
                let &Timing { prefill_ms, ttft_ms, decode_ms, .. } = timing;
                let same = timing.output.iter().zip(&cerium).take_while(|(a, b)| a == b);
                let n_same = same.count();
                eprintln!(
                    "  {:>2} {:<28} prefill {prefill_ms:8.1} ms  decode {decode_ms:8.1} ms  {n_same} tokens as cerium",
                    round + 1,
                    engines[i].engine,
                );
                rounds[i].push(Round { prefill_ms, ttft_ms, decode_ms, n_same });
            }
        }
        let measured = |(engine, rounds): (&Peer, Vec<Round>)| Measured {
            engine: engine.engine.clone(),
            cpu: engine.cpu.clone(),
            peak_mib: engine.peak_mib(),
            rounds,
        };
        Ok(Compared {
            model: model.to_owned(),
            sha256,
            file_bytes: fs::metadata(&path)?.len(),
            n_prompt: self.prompt,
            n_decode: self.decode,
            costs,
            limits,
            engines: engines.iter().zip(rounds).map(measured).collect(),
        })
    }

    /// Who is measured beside cerium.
    fn kinds(&self) -> impl Iterator<Item = Kind> {
        let asked =
            [(Kind::LlamaCpp, true), (Kind::IkLlama, self.ik), (Kind::MistralRs, self.mistralrs)];
        asked.into_iter().filter_map(|(kind, asked)| asked.then_some(kind))
    }
}

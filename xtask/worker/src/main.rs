//! cerium's side of a comparison: the engine in a process of its own, told what to do by `xtask`.
//!
//! One JSON object a line in, one out, as in `xtask/peers/driver.py`, and more: `load` takes a model's
//! name and says which file that is and what a token costs, `encode` gives the ids of a text, `edit` makes an
//! edit and gives the ids of its prompt and answer, `respond` answers a request of the Responses API. So each
//! engine has its own peak of memory, and rounds of several can take turns.

mod edit;

use anyhow::{Context, Result, bail};
use cerium_engine::{Drafts, Engine, EngineOptions, Job, Step};
use cerium_harness::Backend;
use cerium_hub::{Home, Located, Sources};
use cerium_model::file::ModelFile;
use cerium_model::template::ChatTemplate;
use cerium_model::tokenizer::Tokenizer;
use cerium_model::{Costs, Cpu, Model};
use cerium_protocol::wire;
use cerium_session::Service;
use edit::Door;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io::{self, BufRead, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fs, process::ExitCode};

/// What can be asked.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
enum Request {
    /// Loads a model; everything else needs one.
    Load { model: String, threads: usize, context: usize },
    /// Token ids of a text.
    Encode { text: String },
    /// Computes a prompt and decodes greedily, whatever comes.
    Run { prompt: Vec<u32>, n_output: usize },
    /// Makes an edit, with all drafts.
    Edit { path: String, before: String, instruction: String },
    /// Answers a body of the Responses API; with a seed, if it draws.
    Respond { body: Value, seed: Option<u64> },
}

struct Loaded {
    engine: Engine,
    tokenizer: Arc<Tokenizer>,
    door: Door,
}

fn main() -> ExitCode {
    let mut loaded = None;
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { return ExitCode::FAILURE };
        let reply = answer(&line, &mut loaded).unwrap_or_else(|error| {
            json!({ "error": format!("{error:#}") }) // One line: the chain, joined by colons.
        });
        if writeln!(io::stdout(), "{reply}").is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn answer(line: &str, loaded: &mut Option<Loaded>) -> Result<Value> {
    match serde_json::from_str(line).context("not a request")? {
        Request::Load { model, threads, context } => {
            let path = locate(&model)?;
            let sha256 = hash(&path)?;
            let file = ModelFile::open(&path)?;
            let tokenizer = Arc::new(Tokenizer::from_gguf(&file.gguf)?);
            let template = Arc::new(ChatTemplate::from_gguf(&file.gguf, &tokenizer)?);
            let cpu = Cpu::best();
            let name = model;
            let model = Model::load(file, cpu, threads)?;
            let Costs { layer_macs, head_macs, layer_bytes, head_bytes, .. } = model.costs();
            let costs = json!({
                "layer_macs": layer_macs, "head_macs": head_macs,
                "layer_bytes": layer_bytes, "head_bytes": head_bytes,
            });
            // Nothing kept: each round computes its whole prompt.
            let options = EngineOptions {
                n_context: context,
                keeps_prefixes: false,
                ..EngineOptions::default()
            };
            let engine = Engine::start(model, options);
            let n_context = engine.n_context();
            let door = Door::new(engine.clone(), |recorder| {
                Service::new(name, Arc::clone(&tokenizer), template, n_context, recorder)
            });
            *loaded = Some(Loaded { engine, tokenizer, door });
            let engine = concat!("cerium ", env!("CARGO_PKG_VERSION"));
            Ok(json!({
                "engine": engine, "cpu": cpu.name(), "path": path, "sha256": sha256, "costs": costs,
            }))
        }
        Request::Encode { text } => {
            let loaded = loaded.as_ref().context("no model is loaded")?;
            Ok(json!({ "ids": loaded.tokenizer.encode(&text) }))
        }
        Request::Run { prompt, n_output } => {
            run(&loaded.as_ref().context("no model is loaded")?.engine, prompt, n_output)
        }
        Request::Edit { path, before, instruction } => {
            let loaded = loaded.as_ref().context("no model is loaded")?;
            Ok(loaded.door.edit(&path, &before, &instruction))
        }
        Request::Respond { body, seed } => {
            let loaded = loaded.as_ref().context("no model is loaded")?;
            let mut request = wire::responses::read(&serde_json::to_vec(&body)?)?.request;
            request.cerium.seed = seed;
            let response = loaded.door.respond(&request, &mut |_| ControlFlow::Continue(()))?;
            Ok(serde_json::to_value(response)?)
        }
    }
}

fn locate(model: &str) -> Result<PathBuf> {
    let home = Home::from_env()?;
    Ok(match cerium_hub::resolve(&home, model)? {
        Located::Ready(path) => path,
        Located::Absent(entry) => cerium_hub::pull(&home, entry, &Sources::from_env(), &mut ())?,
    })
}

fn hash(path: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    io::copy(&mut fs::File::open(path)?, &mut hasher)
        .with_context(|| format!("reading {}", path.display()))?;
    Ok(hasher.finalize().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}"); // Writing to a string cannot fail.
        hex
    }))
}

/// Wall-clock times as the receiver of the steps sees them.
fn run(engine: &Engine, prompt: Vec<u32>, n_output: usize) -> Result<Value> {
    let start = Instant::now();
    // One token a step: what is compared is decoding.
    let drafts = Drafts::none();
    let job = Job { prompt, max_tokens: n_output, drafts, ..Job::default() };
    let mut generation = engine.submit(job)?;
    let (mut prefill, mut first, mut last) = (None, None, start);
    let mut output = Vec::with_capacity(n_output);
    while let Some(step) = generation.next() {
        match step {
            Step::Prefilled { n_cached: 0, .. } => prefill = Some(start.elapsed()),
            Step::Prefilled { n_cached, .. } => bail!("{n_cached} prompt tokens were cached"),
            Step::Token { id, .. } => {
                output.push(id);
                last = Instant::now();
                first.get_or_insert(last);
            }
            Step::Done(finish) if output.len() < n_output => {
                bail!("ended after {} of {n_output} tokens: {:?}", output.len(), finish.reason)
            }
            Step::Queued { .. } | Step::Steered { .. } | Step::Done(_) => {}
        }
    }
    let (prefill, first) = prefill.zip(first).context("the engine stopped")?;
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    Ok(json!({
        "prefill_ms": ms(prefill),
        "ttft_ms": ms(first - start),
        "decode_ms": ms(last - first),
        "output": output,
    }))
}

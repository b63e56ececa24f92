//! `cerium bench cache`: how long a person waits for the first token when a long context is known: in this
//! process, and to one that has just been started.

use super::kept::Dir;
use super::quantile;
use crate::cli::BenchCache;
use crate::commands::Exit;
use crate::config::Settings;
use crate::model::{self, Loaded};
use crate::output::progress::Spinner;
use crate::output::{self, BOLD, DIM, Output};
use anyhow::{Context as _, Result, bail};
use cerium_engine::{Drafts, Job, Stats, Step};
use cerium_model::kv::PAGE;
use serde::Serialize;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// What one length of context came to; milliseconds.
#[derive(Debug, Serialize)]
struct Row {
    after: usize,
    prefill_ms: f64,
    ttft_ms_p50: f64,
    ttft_ms_p95: f64,
    /// To a process that was just started, from the prompt on.
    restored_ttft_ms: f64,
    restored_tokens: usize,
    /// From before the model was loaded.
    restart_ms: f64,
}

pub(super) fn run(output: Output, settings: &Settings, args: &BenchCache) -> Result<Exit> {
    let dir = Dir::new()?;
    let rows = args.after.iter().map(|&after| measure(output, settings, args, after, &dir));
    let rows: Result<Vec<Row>> = rows.collect();
    // Whatever came of it.
    let removed = dir.remove();
    let rows = rows?;
    removed.with_context(|| format!("removing `{}`", dir.path().display()))?;
    if output.json {
        output::object(&serde_json::json!({ "tokens": args.tokens, "rows": rows }))?;
    } else {
        output::data(&text(args, &rows))?;
    }
    Ok(Exit::Done)
}

fn measure(
    output: Output,
    settings: &Settings,
    args: &BenchCache,
    after: usize,
    dir: &Dir,
) -> Result<Row> {
    let loaded = model::open_keeping(output, settings, dir.path().to_owned())?;
    let n_vocab = loaded.tokenizer.n_vocab();
    // Of any kind: what they say costs nothing.
    let token = |i: usize| (i * 7919 % n_vocab) as u32;
    let context: Vec<u32> = (after..2 * after).map(token).collect();
    let prompt = |round: usize| {
        let instruction = (0..args.tokens).map(|i| token(round * 104_729 + i * 31));
        context.iter().copied().chain(instruction).collect::<Vec<u32>>()
    };
    let before = dir.n_pages();
    let prefill = {
        let _spinner = Spinner::start(output, format!("reading {after} tokens"));
        ask(&loaded, context.clone())?
    };
    let mut times = Vec::new();
    for round in 0..usize::from(args.rounds) {
        let stats = ask(&loaded, prompt(round))?;
        if stats.n_cached < after {
            bail!("{} of {after} tokens were known: more memory is needed", stats.n_cached);
        }
        times.push(ms(stats.ttft));
    }
    times.sort_by(f64::total_cmp);

    dir.wait_for(before + after / PAGE)?;
    drop(loaded);
    let started = Instant::now();
    let loaded = model::open_keeping(output, settings, dir.path().to_owned())?;
    let stats = ask(&loaded, prompt(usize::from(args.rounds)))?;
    Ok(Row {
        after,
        prefill_ms: ms(prefill.prefill),
        ttft_ms_p50: quantile(&times, 0.5),
        ttft_ms_p95: quantile(&times, 0.95),
        restored_ttft_ms: ms(stats.ttft),
        restored_tokens: stats.n_restored,
        restart_ms: ms(started.elapsed()),
    })
}

/// One token after a prompt.
fn ask(loaded: &Loaded, prompt: Vec<u32>) -> Result<Stats> {
    let job = Job { prompt, max_tokens: 1, drafts: Drafts::none(), ..Job::default() };
    let mut generation = loaded.engine.submit(job)?;
    while let Some(step) = generation.next() {
        if let Step::Done(finish) = step {
            return Ok(finish.stats);
        }
    }
    bail!("the engine stopped")
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn text(args: &BenchCache, rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{} tokens after {:>6} known ones: first token after {BOLD}{:.0} ms{BOLD:#}, p95 {:.0} ms; after a \
             restart {BOLD}{:.0} ms{BOLD:#}, the model's loading included {:.0} ms\n\
             {DIM}({} tokens from disk; computed the first time in {:.1} s){DIM:#}",
            args.tokens,
            row.after,
            row.ttft_ms_p50,
            row.ttft_ms_p95,
            row.restored_ttft_ms,
            row.restart_ms,
            row.restored_tokens,
            row.prefill_ms / 1e3,
        );
    }
    text
}

//! `cerium bench schedule`: how long people wait for what they do not control: a cancel, a steering, their own
//! request while another one is read, and several at once.

mod waits;

use super::quantile;
use crate::cli::BenchSchedule;
use crate::commands::Exit;
use crate::config::Settings;
use crate::model;
use crate::output::progress::Spinner;
use crate::output::{self, BOLD, DIM, Output};
use anyhow::Result;
use serde::Serialize;
use std::fmt::Write;
use std::time::Duration;
use waits::World;

/// Waits of one kind.
#[derive(Debug, Serialize)]
struct Row {
    what: String,
    n: usize,
    p50_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

impl Row {
    fn new(what: &str, waits: &[Duration]) -> Self {
        let mut ms: Vec<f64> = waits.iter().map(|wait| wait.as_secs_f64() * 1e3).collect();
        ms.sort_by(f64::total_cmp);
        let at = |share| quantile(&ms, share);
        let (p50_ms, p95_ms, p99_ms, max_ms) = (at(0.5), at(0.95), at(0.99), at(1.0));
        Self { what: what.to_owned(), n: ms.len(), p50_ms, p95_ms, p99_ms, max_ms }
    }
}

pub(super) fn run(output: Output, settings: &Settings, args: &BenchSchedule) -> Result<Exit> {
    let loaded = model::open_remembering(output, settings)?;
    let mut world = World::new(loaded.engine.clone(), loaded.tokenizer.n_vocab() as u32);
    let show = |what: &str| Spinner::start(output, what.to_owned());
    let mut rows = Vec::new();

    let spinner = show("cancels");
    let [prefill, decode] = world.cancels(args.times, args.long)?;
    rows.push(Row::new("cancel to idle, prefill", &prefill));
    rows.push(Row::new("cancel to idle, decode", &decode));
    drop(spinner);

    let spinner = show("steering");
    let (steers, is_same) = world.steers(args.times.min(20), args.long / 2)?;
    rows.push(Row::new("steer to next token", &steers));
    drop(spinner);

    let spinner = show("first tokens");
    let idle = world.first_tokens(args.times.min(20), None)?;
    let busy = world.first_tokens(args.times.min(20), Some(args.long))?;
    rows.push(Row::new("first token, idle", &idle));
    rows.push(Row::new("first token, background prefill", &busy));
    let over_idle = rows[rows.len() - 1].p50_ms / rows[rows.len() - 2].p50_ms;
    drop(spinner);

    let spinner = show("streams");
    let (one, _) = world.streams(1, args.tokens)?;
    let (four, shares) = world.streams(4, args.tokens)?;
    drop(spinner);
    let least = shares.iter().copied().fold(f64::INFINITY, f64::min);

    if output.json {
        output::object(&serde_json::json!({
            "model": loaded.name,
            "waits": rows,
            "steered_is_fresh": is_same,
            "first_token_over_idle": over_idle,
            "streams": {
                "one_tokens_per_s": one,
                "four_tokens_per_s": four,
                "slowest_of_four_tokens_per_s": least,
            },
        }))?;
        return Ok(Exit::Done);
    }
    let mut text = format!("{BOLD}{}{BOLD:#}\n", loaded.name);
    for Row { what, n, p50_ms, p95_ms, p99_ms, max_ms } in &rows {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{what:<33} {n:>4} times  {BOLD}{p50_ms:>7.1} ms{BOLD:#} median  {p95_ms:>7.1} p95  \
             {p99_ms:>7.1} p99  {max_ms:>7.1} at most"
        );
    }
    let same = if is_same { "that of a fresh run" } else { "NOT that of a fresh run" };
    let _ = writeln!(
        text,
        "{DIM}the last steered answer is {same}; a first token beside a prefill takes {over_idle:.2}x{DIM:#}\n\
         one stream {BOLD}{one:.1} tok/s{BOLD:#}, four {BOLD}{four:.1}{BOLD:#}, the slowest of them {least:.1}"
    );
    output::data(&text)?;
    Ok(Exit::Done)
}

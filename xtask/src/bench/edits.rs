//! The model's own edits, as `cerium edit` has them written, beside llama.cpp on the same prompts: decoding plainly,
//! and with n-gram drafts in several settings.
//!
//! Each engine writes its own answer to the same ids, up to its own end. What is compared is the time from its first
//! token to its last; edits that left their file as it was are told apart.

use crate::eval::cases::{self, Case};
use crate::peer::{Kind, Peer, cores};
use crate::run::{Reporting, Run};
use crate::table::{Table, median};
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::str::FromStr;

/// Room for a prompt and its answer, in tokens.
const CONTEXT: usize = 8192;

/// Shorter answers tell little: most of them choose a place.
const OUTPUT_MIN: u64 = 16;

/// Options of `cargo xtask bench edits`.
#[derive(clap::Args)]
pub(crate) struct Edits {
    /// Folder with the cases (`SET.jsonl`)
    #[arg(long, value_name = "DIR")]
    cases: PathBuf,
    /// Sets of edits
    #[arg(long, value_name = "SET", value_delimiter = ',', default_values = ["micro_dev"])]
    set: Vec<String>,
    /// Only every N-th case of each set
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    every: u32,
    /// Model, by name or path
    #[arg(long, value_name = "NAME|PATH", default_value = "qwen2.5-coder-0.5b")]
    model: String,
    /// Settings of llama.cpp's drafts: tokens that must be the same, at most, and tokens drafted
    #[arg(long, value_name = "NGRAM:DRAFT", value_delimiter = ',', default_values = ["2:10", "3:16", "4:32"])]
    lookup: Vec<Lookup>,
    /// Tokens of an answer at most, in llama.cpp
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(16..=4096))]
    tokens: u32,
    /// Threads of each engine [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
    #[command(flatten)]
    reporting: Reporting,
}

/// How llama.cpp drafts.
#[derive(Clone, Copy, Debug)]
struct Lookup {
    ngram: u32,
    /// 0: not at all.
    n_draft: u32,
}

impl FromStr for Lookup {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers =
            text.split_once(':').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        match numbers {
            Some((ngram @ 1..=64, n_draft @ 1..=256)) => Ok(Self { ngram, n_draft }),
            _ => Err("wanted two numbers, as in 2:10".to_owned()),
        }
    }
}

impl Lookup {
    fn name(self) -> String {
        match self.n_draft {
            0 => "llama.cpp, plain".to_owned(),
            n => format!("llama.cpp, {n} after {} the same", self.ngram),
        }
    }
}

/// What one way to write came to in one case.
#[derive(Clone, Copy, Debug, Serialize)]
struct Written {
    n_output: u64,
    n_steps: u64,
    decode_ms: f64,
}

impl Written {
    /// Tokens after the first, a second.
    fn rate(&self) -> f64 {
        (self.n_output - 1) as f64 / self.decode_ms * 1e3
    }
}

/// One edit.
#[derive(Debug, Serialize)]
struct Edited {
    id: String,
    /// Whether the file stayed as it was, or no edit came of it.
    unchanged: bool,
    /// By way: cerium first, then llama.cpp plain, then its settings.
    ways: Vec<Written>,
}

/// All of a run.
#[derive(Serialize)]
struct Compared {
    model: String,
    ways: Vec<String>,
    edits: Vec<Edited>,
}

impl Edits {
    pub(crate) fn run(&self) -> Result<()> {
        let threads = self.threads.unwrap_or_else(cores);
        let mut ours = Peer::start_ours(&self.model, threads, CONTEXT)?;
        let path = PathBuf::from(ours.loaded["path"].as_str().context("no path of the model")?);
        let mut llama = Peer::start(Kind::LlamaCpp, &path, threads, CONTEXT)?;
        let plain = Lookup { ngram: 0, n_draft: 0 };
        let lookups: Vec<Lookup> = [&[plain], &self.lookup[..]].concat();
        let mut edits = Vec::new();
        for case in self.read()? {
            let Some((unchanged, answer, written)) = edit(&mut ours, &case)? else {
                eprintln!("{}: no answer that is long enough", case.id);
                continue;
            };
            let mut ways = vec![None; lookups.len()];
            for turn in 0..lookups.len() {
                let i = (edits.len() + turn) % lookups.len();
                ways[i] = Some(self.look_up(&mut llama, &answer, lookups[i])?);
            }
            let ways: Vec<Written> = [Some(written)].into_iter().chain(ways).flatten().collect();
            let rates = ways.iter().map(|way| format!("{:.0}", way.rate()));
            eprintln!("{}: {} tok/s", case.id, rates.collect::<Vec<_>>().join(", "));
            edits.push(Edited { id: case.id, unchanged, ways });
        }
        ensure!(!edits.is_empty(), "no edit was written");
        let ways = lookups.iter().map(|lookup| lookup.name());
        let ways = ["cerium".to_owned()].into_iter().chain(ways).collect();
        let compared = Compared { model: self.model.clone(), ways, edits };
        let (text, csv) = (compared.text(), compared.csv());
        Run::new("edits-beside", threads, compared).report(&text, &csv, self.reporting)
    }

    fn read(&self) -> Result<Vec<Case>> {
        let mut all = Vec::new();
        for set in &self.set {
            let cases = cases::read(&self.cases.join(set).with_extension("jsonl"))?;
            all.extend(cases.into_iter().step_by(self.every as usize).filter(|c| !c.is_infill()));
        }
        Ok(all)
    }

    fn look_up(&self, llama: &mut Peer, answer: &Value, lookup: Lookup) -> Result<Written> {
        let Lookup { ngram, n_draft } = lookup;
        let said = llama.ask(&json!({
            "op": "lookup", "prompt": answer["prompt"], "ends": answer["ends"],
            "n_output_max": self.tokens, "ngram": ngram, "n_draft": n_draft,
        }))?;
        written(&said).with_context(|| format!("not in {said}"))
    }
}

/// Has cerium make an edit: whether it changed nothing, its longest answer, and what that took.
fn edit(ours: &mut Peer, case: &Case) -> Result<Option<(bool, Value, Written)>> {
    let Case { path, before, instruction, .. } = case;
    let mut said = ours.ask(&json!({
        "op": "edit", "path": path, "before": before, "instruction": instruction,
    }))?;
    let unchanged = said["unchanged"].as_bool().context("no `unchanged`")?;
    let Value::Array(answers) = said["answers"].take() else { return Ok(None) };
    let length = |answer: &Value| answer["output"].as_array().map_or(0, Vec::len);
    let Some(mut answer) = answers.into_iter().max_by_key(length) else { return Ok(None) };
    answer["n_output"] = length(&answer).into();
    let written = written(&answer).context("an answer without its counts")?;
    Ok((written.n_output >= OUTPUT_MIN).then_some((unchanged, answer, written)))
}

fn written(said: &Value) -> Option<Written> {
    Some(Written {
        n_output: said["n_output"].as_u64()?,
        n_steps: said["n_steps"].as_u64()?,
        decode_ms: said["decode_ms"].as_f64()?,
    })
}

impl Compared {
    fn text(&self) -> String {
        let mut text = format!("{}\n", self.model);
        for (name, unchanged) in [("changed", false), ("left as they were", true)] {
            let edits: Vec<&Edited> =
                self.edits.iter().filter(|edit| edit.unchanged == unchanged).collect();
            if edits.is_empty() {
                continue;
            }
            let head = [
                &format!("{} edits, {name}", edits.len()),
                "tok/s, median",
                "tok/s, all",
                "tokens a step",
                "cerium: times, median",
                "times, all",
            ];
            let mut table = Table::new(head.map(String::from));
            let all = |way: usize| {
                let sum =
                    |of: fn(&Written) -> f64| edits.iter().map(|e| of(&e.ways[way])).sum::<f64>();
                let tokens = sum(|way| (way.n_output - 1) as f64);
                (tokens / sum(|way| way.decode_ms) * 1e3, tokens / sum(|way| way.n_steps as f64))
            };
            for (i, way) in self.ways.iter().enumerate() {
                let middle = |of: &dyn Fn(&Edited) -> f64| {
                    median(&edits.iter().map(|edit| of(edit)).collect::<Vec<_>>())
                };
                let (rate, a_step) = all(i);
                table.row([
                    way.clone(),
                    format!("{:.1}", middle(&|edit| edit.ways[i].rate())),
                    format!("{rate:.1}"),
                    format!("{a_step:.1}"),
                    format!("{:.1}", middle(&|edit| edit.ways[0].rate() / edit.ways[i].rate())),
                    format!("{:.1}", all(0).0 / rate),
                ]);
            }
            // Writing to a string cannot fail.
            let _ = write!(text, "\n{table}");
        }
        text
    }

    fn csv(&self) -> String {
        let mut csv = "id,unchanged,way,n_output,n_steps,decode_ms\n".to_owned();
        for Edited { id, unchanged, ways } in &self.edits {
            for (way, name) in ways.iter().zip(&self.ways) {
                let Written { n_output, n_steps, decode_ms } = way;
                let _ = writeln!(
                    csv,
                    "{id},{unchanged},\"{name}\",{n_output},{n_steps},{decode_ms:.1}"
                );
            }
        }
        csv
    }
}

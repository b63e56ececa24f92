//! Facts in a long prompt: what the `needle` program of this workspace found, as a table.

use crate::peer::cores;
use crate::project;
use crate::run::{Reporting, Run};
use crate::table::Table;
use anyhow::{Result, bail};
use serde_json::Value;
use std::fmt::Write as _;
use std::process::{Command, Stdio};

/// Options of `cargo xtask eval needle`.
#[derive(clap::Args)]
pub(crate) struct Needle {
    /// Model, by name
    #[arg(long, default_value = "qwen2.5-coder-0.5b")]
    model: String,
    /// Tokens of the context
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [32_768])]
    context: Vec<usize>,
    /// Keys and values of 8 bits
    #[arg(long)]
    q8: bool,
    /// Threads [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
    #[command(flatten)]
    reporting: Reporting,
}

/// What the prompt is made of: text of this project that does not speak of numbers of cities.
const TEXT: [&str; 2] = ["crates/cerium-harness/src", "crates/cerium-model/src"];

impl Needle {
    pub(crate) fn run(&self) -> Result<()> {
        let threads = self.threads.unwrap_or_else(cores);
        let program = project::build("needle")?;
        let list = project::command("git").args(["ls-files", "--"]).args(TEXT).output()?;
        let files = String::from_utf8(list.stdout)?;
        let mut results: Vec<Value> = Vec::new();
        for context in &self.context {
            let mut command: Command = project::command(&program);
            command.args(["--model", &self.model, "--threads", &threads.to_string()]);
            command.args(["--context", &context.to_string()]).args(self.q8.then_some("--q8"));
            let output = command.args(files.lines()).stderr(Stdio::inherit()).output()?;
            if !output.status.success() {
                bail!("`needle` failed: {}", output.status);
            }
            results.push(serde_json::from_slice(&output.stdout)?);
        }
        let (table, csv) = (table(&results), csv(&results));
        Run::new("needle", threads, results).report(&table, &csv, self.reporting)
    }
}

fn table(results: &[Value]) -> String {
    let mut table = Table::new([
        "prompt",
        "kv",
        "prefill s",
        "tok/s",
        "kv MB",
        "peak MB",
        "found",
        "decode tok/s",
        "answers",
    ]);
    for result in results {
        let answers = result["answers"].as_array().map(Vec::as_slice).unwrap_or_default();
        let seconds = last(result)["seconds"].as_f64().unwrap_or(f64::NAN);
        let n = result["prompt_tokens"].as_f64().unwrap_or(f64::NAN);
        let mb = |key: &str| format!("{:.0}", result[key].as_f64().unwrap_or(f64::NAN) / 1e6);
        let found = answers.iter().filter(|answer| answer["found"] == true).count();
        let texts: Vec<_> = answers.iter().map(|answer| answer["answer"].to_string()).collect();
        table.row([
            result["prompt_tokens"].to_string(),
            result["kv"].as_str().unwrap_or_default().to_owned(),
            format!("{seconds:.1}"),
            format!("{:.0}", n / seconds),
            mb("kv_bytes"),
            mb("peak_bytes"),
            format!("{found}/{}", answers.len()),
            format!("{:.1}", last(result)["decode_tok_s"].as_f64().unwrap_or(f64::NAN)),
            texts.join(" "),
        ]);
    }
    table.to_string()
}

fn last(result: &Value) -> &Value {
    result["prefill"].as_array().and_then(|points| points.last()).unwrap_or(&Value::Null)
}

/// The curves of prefill and decode.
fn csv(results: &[Value]) -> String {
    let mut csv = "prompt,kv,tokens,seconds,decode_tok_s\n".to_owned();
    for result in results {
        for point in result["prefill"].as_array().into_iter().flatten() {
            let kv = result["kv"].as_str().unwrap_or_default();
            let number = |key: &str| point[key].as_f64().unwrap_or_default();
            let (tokens, seconds, decoded) =
                (&point["tokens"], number("seconds"), number("decode_tok_s"));
            // Writing to a string cannot fail.
            let _ = writeln!(
                csv,
                "{},{kv},{tokens},{seconds:.3},{decoded:.2}",
                result["prompt_tokens"]
            );
        }
    }
    csv
}

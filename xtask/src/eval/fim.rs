//! Infills through `/infill` of `cerium serve` and of llama.cpp's own server: the same model, greedily, one case after
//! the other and the servers in turns.
//!
//! The program `infill` of this workspace reads both by the same rules, those of `cerium complete`: without any, a small
//! model goes on to tests and chatter up to the limit of tokens, wherever it runs.

use super::answers::{Answer, Answers};
use super::cases::{self, Case, Hole};
use super::score::{self, Scored};
use crate::peer::cores;
use crate::project;
use crate::run::{Reporting, Run};
use crate::server::{Load, Server};
use crate::table::{Table, median, percentile};
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

/// Where the cases are, in their folder.
const SET: &str = "fim_dev";

/// Room for a prompt and its answer, in tokens.
const CONTEXT: usize = 4096;

/// Between questions: spinning threads of the server before have gone to sleep by then.
const PAUSE: Duration = Duration::from_millis(300);

/// Options of `cargo xtask eval fim`.
#[derive(clap::Args)]
pub(crate) struct Fim {
    /// Folder with the cases (`fim_dev.jsonl`) and their scorer (`score.py`)
    #[arg(long, value_name = "DIR")]
    cases: PathBuf,
    /// Model file
    #[arg(long, value_name = "PATH")]
    model: PathBuf,
    /// The binary to measure [default: a release build of this checkout]
    #[arg(long, value_name = "PATH")]
    cerium: Option<PathBuf>,
    /// Only every N-th case
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    every: u32,
    /// Tokens of an infill at most
    #[arg(long, value_name = "N", default_value_t = 128)]
    tokens: u32,
    /// Keep the answers of an earlier run and only ask for those that are missing
    #[arg(long)]
    resume: bool,
    /// Threads of each server [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
    #[command(flatten)]
    reporting: Reporting,
}

/// Both servers on the same cases.
#[derive(Serialize)]
struct Compared {
    tokens: u32,
    /// Answers that are the same, byte for byte.
    n_same: usize,
    servers: Vec<Scored>,
}

impl Fim {
    pub(crate) fn run(&self) -> Result<()> {
        let threads = self.threads.unwrap_or_else(cores);
        let path = self.model.canonicalize().context("the model's file")?;
        let model = path.file_stem().context("a file")?.to_string_lossy().into_owned();
        let program = project::build("infill")?;
        let load = Load { model: &path, threads, context: CONTEXT, n_sequences: 1 };
        let servers = [Server::ours(self.cerium.as_ref(), load)?, Server::llama_server(load)?];
        let open = |server: &Server| {
            let folder = project::scratch("eval").join(format!("fim-{}-{model}", server.name));
            Answers::open(&folder.join(SET).with_extension("jsonl"), self.resume)
        };
        let mut answers = [open(&servers[0])?, open(&servers[1])?];
        let cases = cases::read(&self.cases.join(SET).with_extension("jsonl"))?;
        let cases: Vec<Case> = cases.into_iter().step_by(self.every as usize).collect();
        for server in &servers {
            let hole = Hole { prefix: "def add(a, b):\n", suffix: "" };
            self.fill(&program, server, &hole)?; // Pages of the file, thread pools.
        }
        for (n, case) in cases.iter().enumerate() {
            for turn in 0..servers.len() {
                let i = (n + turn) % servers.len();
                if !answers[i].has(&case.id) {
                    thread::sleep(PAUSE);
                    let answer = self.answer(&program, &servers[i], case)?;
                    eprintln!("{:>3} {:6.2} s  {}", n + 1, answer.seconds, servers[i].name);
                    answers[i].push(answer)?;
                }
            }
        }
        for answers in &mut answers {
            answers.keep(&cases);
        }
        let same = |case: &&Case| {
            let output = |answers: &Answers| {
                answers.all.iter().find(|answer| answer.id == case.id).map(|a| a.output.clone())
            };
            output(&answers[0]) == output(&answers[1])
        };
        let n_same = cases.iter().filter(same).count();
        let scored = answers
            .iter()
            .zip(&servers)
            .map(|(answers, server)| score::score(&self.cases, SET, answers, server.name, &model));
        let servers = scored.collect::<Result<Vec<_>>>()?;
        let compared = Compared { tokens: self.tokens, n_same, servers };
        let (text, csv) = (compared.text(), score::csv(&compared.servers));
        Run::new("fim", threads, compared).report(&text, &csv, self.reporting)
    }

    fn answer(&self, program: &Path, server: &Server, case: &Case) -> Result<Answer> {
        let hole = case.hole().with_context(|| format!("{} is no infill", case.id))?;
        let report = self.fill(program, server, &hole).with_context(|| case.id.clone())?;
        let output = report["text"].as_str().context("no `text`")?.to_owned();
        let seconds = report["seconds"].as_f64().context("no `seconds`")?;
        let (id, note) = (case.id.clone(), String::new());
        Ok(Answer { id, output, seconds, exit: None, report, note })
    }

    /// Has a server fill a gap.
    fn fill(&self, program: &Path, server: &Server, hole: &Hole<'_>) -> Result<Value> {
        let mut command = project::command(program);
        command.arg(&server.url).args(["--tokens", &self.tokens.to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let gap = json!({ "prefix": hole.prefix, "suffix": hole.suffix });
        write!(child.stdin.take().context("a pipe")?, "{gap}")?;
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "{}: {}", server.name, output.status);
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

impl Compared {
    fn text(&self) -> String {
        let head = ["server", "passed", "p50, ms", "p95, ms", "all, s"];
        let mut table = Table::new(head);
        for Scored { engine, cases, .. } in &self.servers {
            let ms: Vec<f64> = cases.iter().map(|case| case.seconds * 1e3).collect();
            let passed = cases.iter().filter(|case| case.passed == Some(true)).count();
            table.row([
                (*engine).to_owned(),
                format!("{passed}/{}", cases.iter().filter(|case| case.passed.is_some()).count()),
                format!("{:.0}", median(&ms)),
                format!("{:.0}", percentile(&ms, 0.95)),
                format!("{:.1}", ms.iter().sum::<f64>() / 1e3),
            ]);
        }
        let [ours, other] = &self.servers[..] else { return table.to_string() };
        let mut text = format!("{}\n\n{table}\n", ours.model);
        // Writing to a string cannot fail.
        let (n_same, n) = (self.n_same, ours.cases.len());
        let _ = writeln!(text, "{n_same} of {n} answers are the same bytes.");
        for (winner, loser) in [(ours, other), (other, ours)] {
            let alone = winner.cases.iter().zip(&loser.cases);
            let alone = alone.filter(|(a, b)| a.passed == Some(true) && b.passed == Some(false));
            let ids: Vec<&str> = alone.map(|(case, _)| case.id.as_str()).collect();
            let _ = writeln!(text, "Passed by {} alone: {}", winner.engine, ids.join(", "));
        }
        text
    }
}

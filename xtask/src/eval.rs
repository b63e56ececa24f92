//! Cases written by others, through the real command, scored by their own scorer.
//!
//! `cases` reads them, `command` runs one through `cerium`, `rewrite` is what people do today with
//! the same weights (ask llama.cpp for the whole file), `answers` keeps what came out, so that a
//! run can be continued, and `score` reads the verdicts. `fim` asks servers instead of the command.
//! A case's tests and reference never reach an engine.

mod answers;
pub(crate) mod cases;
mod command;
mod fim;
mod needle;
mod qa;
mod rewrite;
mod score;
mod shapes;

use crate::peer::cores;
use crate::project;
use crate::run::{Reporting, Run};
use answers::{Answer, Answers};
use anyhow::{Context, Result};
use cases::Case;
use clap::ValueEnum;
pub(crate) use fim::Fim;
pub(crate) use needle::Needle;
pub(crate) use qa::Qa;
pub(crate) use shapes::Shapes;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

/// Options of `cargo xtask eval edits`.
#[derive(clap::Args)]
pub(crate) struct Edits {
    /// Folder with the cases (`SET.jsonl`) and their scorer (`score.py`)
    #[arg(long, value_name = "DIR")]
    cases: PathBuf,
    /// Sets: edits, `humaneval_dev`, or infills
    #[arg(long, value_name = "SET", value_delimiter = ',', default_values = ["micro_dev", "edit_dev", "edit_dev_extra"])]
    set: Vec<String>,
    /// Models, by name or path
    #[arg(long, value_name = "NAME|PATH", value_delimiter = ',', default_values = ["qwen2.5-coder-0.5b"])]
    model: Vec<String>,
    /// Who answers
    #[arg(long, value_delimiter = ',', default_values = ["cerium"])]
    engine: Vec<Engine>,
    /// Only every N-th case of each set
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    every: u32,
    /// Keep the answers of an earlier run and only ask for those that are missing
    #[arg(long)]
    resume: bool,
    /// Threads of each engine [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
    /// Answers of `cerium edit` to choose from
    #[arg(long, value_name = "N", default_value_t = 1)]
    candidates: usize,
    /// Give a case up after this many seconds
    #[arg(long, default_value_t = 1800, value_name = "SECONDS")]
    timeout: u64,
    #[command(flatten)]
    reporting: Reporting,
}

/// Who answers a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Engine {
    /// The `cerium` command, one process per case
    Cerium,
    /// The same, with answers in search/replace blocks
    CeriumSearchReplace,
    /// llama.cpp, kept loaded and asked to rewrite the whole file
    LlamaWholeFile,
}

impl Engine {
    fn name(self) -> &'static str {
        match self {
            Self::Cerium => "cerium",
            Self::CeriumSearchReplace => "cerium-search-replace",
            Self::LlamaWholeFile => "llama-whole-file",
        }
    }
}

/// Something that answers cases.
trait Respond {
    /// Answers one case. A case that fails is an answer too; an error ends the run.
    fn respond(&mut self, case: &Case) -> Result<Answer>;
}

impl Edits {
    pub(crate) fn run(&self) -> Result<()> {
        let threads = self.threads.unwrap_or_else(cores);
        let mut results = Vec::new();
        for model in &self.model {
            for &engine in &self.engine {
                let mut responder: Option<Box<dyn Respond>> = None;
                for set in &self.set {
                    let answers = self.answer(model, engine, set, threads, &mut responder)?;
                    results.push(score::score(&self.cases, set, &answers, engine.name(), model)?);
                }
            }
        }
        let (table, csv) = (score::table(&results), score::csv(&results));
        Run::new("edits", threads, results).report(&table, &csv, self.reporting)
    }

    /// Asks for what is missing. The engine is started with the first question.
    fn answer(
        &self,
        model: &str,
        engine: Engine,
        set: &str,
        threads: usize,
        responder: &mut Option<Box<dyn Respond>>,
    ) -> Result<Answers> {
        let mut cases = cases::read(&self.cases.join(set).with_extension("jsonl"))?;
        let mut index = 0..;
        cases.retain(|_| index.next().is_some_and(|i: u32| i.is_multiple_of(self.every)));
        if engine == Engine::LlamaWholeFile {
            let n = cases.len();
            cases.retain(|case| !case.is_infill());
            if cases.len() < n {
                eprintln!("{set}: {} infills have no whole-file baseline", n - cases.len());
            }
        }
        let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
        let model_name: String = model.chars().map(plain).collect();
        let mut name = format!("{}-{model_name}", engine.name());
        if self.candidates > 1 {
            let _ = write!(name, "-of-{}", self.candidates);
        }
        let folder = project::scratch("eval").join(name);
        let mut answers = Answers::open(&folder.join(set).with_extension("jsonl"), self.resume)?;
        let total = cases.len();
        for (i, case) in cases.iter().enumerate() {
            if answers.has(&case.id) {
                continue;
            }
            let responder = match responder {
                Some(responder) => responder,
                None => responder.insert(self.start(model, engine, threads)?),
            };
            let answer = responder.respond(case).with_context(|| format!("case {}", case.id))?;
            let note = answer.note.lines().last().unwrap_or_default();
            eprintln!("{set} {}/{total} {:8.2} s  {}  {note}", i + 1, answer.seconds, case.id);
            answers.push(answer)?;
        }
        answers.keep(&cases);
        Ok(answers)
    }

    fn start(&self, model: &str, engine: Engine, threads: usize) -> Result<Box<dyn Respond>> {
        let timeout = Duration::from_secs(self.timeout);
        Ok(match engine {
            Engine::Cerium | Engine::CeriumSearchReplace => {
                let blocks = engine == Engine::CeriumSearchReplace;
                let format = if blocks { "search-replace" } else { "rewrite" };
                let options = command::Options { threads, candidates: self.candidates, format };
                Box::new(command::Command::new(model, options, timeout)?)
            }
            Engine::LlamaWholeFile => Box::new(rewrite::Rewrite::new(model, threads)?),
        })
    }
}

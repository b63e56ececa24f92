//! A measured run on disk: what ran, its table and its raw rows, for `bench/runs`.

use crate::machine::Machine;
use crate::project;
use anyhow::{Context, Result};
use serde::Serialize;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

/// What becomes of a run, by flags.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Reporting {
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Record the run under bench/runs: figures, no texts
    #[arg(long)]
    save: bool,
}

/// One run of a bench or an evaluation.
#[derive(Debug, Serialize)]
pub(crate) struct Run<T: Serialize> {
    /// What was measured; part of the folder's name.
    pub(crate) what: &'static str,
    pub(crate) date: String,
    /// Of this checkout, with a `+` when files differ from it.
    pub(crate) commit: String,
    pub(crate) machine: Machine,
    pub(crate) threads: usize,
    pub(crate) results: T,
}

impl<T: Serialize> Run<T> {
    pub(crate) fn new(what: &'static str, threads: usize, results: T) -> Self {
        let date = jiff::Zoned::now().date().to_string();
        Self { what, date, commit: commit(), machine: Machine::here(), threads, results }
    }

    /// Prints the table, or all of the run as JSON, once it is saved if it is to be.
    ///
    /// # Errors
    /// When it cannot be saved.
    pub(crate) fn report(&self, table: &str, csv: &str, reporting: Reporting) -> Result<()> {
        if reporting.save {
            eprintln!("saved in {}", self.save(table, csv)?.display());
        }
        if reporting.json {
            println!("{}", serde_json::to_string_pretty(self)?);
        } else {
            print!("{table}");
        }
        Ok(())
    }

    /// Writes `run.json`, `table.md` and `raw.csv` into a folder of `bench/runs`.
    fn save(&self, table: &str, csv: &str) -> Result<PathBuf> {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let cpu: String = self.machine.cpu.chars().map(plain).collect();
        let cpu: Vec<_> = cpu.split('-').filter(|word| !word.is_empty()).collect();
        let folder = format!("{}-{}-{}", self.date, self.what, cpu.join("-"));
        let folder = project::root().join("bench/runs").join(folder);
        fs::create_dir_all(&folder)?;
        for (name, text) in [
            ("run.json", serde_json::to_string_pretty(self)? + "\n"),
            ("table.md", table.to_owned()),
            ("raw.csv", csv.to_owned()),
        ] {
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(folder)
    }
}

fn commit() -> String {
    let git = |args: &[&str]| {
        let output = project::command("git").args(args).stderr(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let head = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_default();
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]);
    let mark = if changed.is_some_and(|files| !files.is_empty()) { "+" } else { "" };
    head + mark
}

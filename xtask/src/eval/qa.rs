//! Questions on public code: how much of a right answer's files and names gets into the prompt, by the search of
//! `cerium ask` and by plain text search, as the `recall` program of this workspace finds it.

use crate::peer::cores;
use crate::project;
use crate::run::{Reporting, Run};
use crate::table::{Table, median};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Options of `cargo xtask eval qa`.
#[derive(clap::Args)]
pub(crate) struct Qa {
    /// Folder with the cases (`SET.jsonl`)
    #[arg(long, value_name = "DIR")]
    cases: PathBuf,
    /// Set of questions
    #[arg(long, default_value = "qa_dev")]
    set: String,
    /// A git clone that has the commits which the cases are about, bare or not
    #[arg(long, value_name = "DIR", required = true)]
    clone: Vec<PathBuf>,
    /// Model whose tokens are counted, by name
    #[arg(long, default_value = "qwen2.5-coder-0.5b")]
    model: String,
    /// Tokens of excerpts; `cerium ask` shows 2,000
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [500, 1_000, 2_000, 4_000])]
    tokens: Vec<usize>,
    #[command(flatten)]
    reporting: Reporting,
}

impl Qa {
    pub(crate) fn run(&self) -> Result<()> {
        let path = self.cases.join(&self.set).with_extension("jsonl");
        let cases =
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let mut trees: BTreeMap<(String, String), String> = BTreeMap::new();
        for line in cases.lines().filter(|line| !line.trim().is_empty()) {
            let case: Value = serde_json::from_str(line)?;
            let field = |key: &str| {
                case[key]
                    .as_str()
                    .map(str::to_owned)
                    .with_context(|| format!("a case without `{key}`"))
            };
            let cases = trees.entry((field("repo")?, field("commit")?)).or_default();
            let _ = writeln!(cases, "{line}");
        }
        let program = project::build("recall")?;
        let tokens: Vec<String> = self.tokens.iter().map(usize::to_string).collect();
        let mut results: Vec<Value> = Vec::new();
        for ((repo, commit), cases) in &trees {
            let folder = project::scratch("eval").join("qa").join(commit);
            let tree = folder.join("tree");
            self.check_out(repo, commit, &tree)?;
            let questions = folder.join("cases.jsonl");
            fs::write(&questions, cases)?;
            let mut command = project::command(&program);
            command.args(["--model", &self.model, "--tokens", &tokens.join(",")]);
            command.arg("--cases").arg(&questions).arg(&tree);
            let report: Value = serde_json::from_str(&project::output(&mut command)?)?;
            results.extend(report["results"].as_array().into_iter().flatten().cloned());
        }
        let (table, csv) = (table(&results), csv(&results));
        Run::new("qa", cores(), results).report(&table, &csv, self.reporting)
    }

    /// Puts the files of a commit into a folder of their own.
    fn check_out(&self, repo: &str, commit: &str, tree: &Path) -> Result<()> {
        let git = |clone: &Path| {
            let mut git = Command::new("git");
            git.arg("-C").arg(clone).stderr(Stdio::null());
            git
        };
        let has = |clone: &&PathBuf| {
            let mut git = git(clone);
            git.args(["cat-file", "-e", &format!("{commit}^{{commit}}")]);
            git.status().is_ok_and(|status| status.success())
        };
        let Some(clone) = self.clone.iter().find(has) else {
            bail!("no clone has commit {commit}: name one of {repo} with --clone");
        };
        let _ = fs::remove_dir_all(tree);
        // A tree of its own, not a part of the checkout that it lies in.
        fs::create_dir_all(tree.join(".git"))?;
        let mut archive = git(clone).args(["archive", commit]).stdout(Stdio::piped()).spawn()?;
        let files = archive.stdout.take().context("git's output")?;
        project::run(Command::new("tar").arg("-x").arg("-C").arg(tree).stdin(files))?;
        if !archive.wait()?.success() {
            bail!("`git archive {commit}` failed in {}", clone.display());
        }
        Ok(())
    }
}

/// The rows of a way and a number of tokens, in order of their first one.
fn groups(results: &[Value]) -> Vec<(String, Vec<&Value>)> {
    let mut groups: Vec<(String, Vec<&Value>)> = Vec::new();
    for row in results {
        let name =
            format!("{}, {} tokens", row["way"].as_str().unwrap_or_default(), row["tokens_max"]);
        match groups.iter_mut().find(|group| group.0 == name) {
            Some(group) => group.1.push(row),
            None => groups.push((name, vec![row])),
        }
    }
    groups
}

fn table(results: &[Value]) -> String {
    let mut table = Table::new([
        "search",
        "cases",
        "any file %",
        "files %",
        "names %",
        "tokens shown",
        "median ms",
    ]);
    for (name, rows) in groups(results) {
        let numbers = |key: &str| -> Vec<f64> {
            let number = |row: &&Value| row[key].as_bool().map(f64::from).or(row[key].as_f64());
            rows.iter().filter_map(number).collect()
        };
        let mean = |key: &str| {
            let numbers = numbers(key);
            numbers.iter().sum::<f64>() / numbers.len() as f64
        };
        let percent = |key: &str| format!("{:.1}", 100.0 * mean(key));
        table.row([
            name,
            rows.len().to_string(),
            percent("file"),
            percent("files"),
            percent("names"),
            format!("{:.0}", mean("tokens")),
            format!("{:.0}", median(&numbers("search_ms"))),
        ]);
    }
    table.to_string()
}

fn csv(results: &[Value]) -> String {
    let mut csv = "way,id,tokens_max,tokens,search_ms,file,files,names\n".to_owned();
    for row in results {
        let text = |key: &str| row[key].as_str().unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(
            csv,
            "{},{},{},{},{:.1},{},{},{}",
            text("way"),
            text("id"),
            row["tokens_max"],
            row["tokens"],
            row["search_ms"].as_f64().unwrap_or(f64::NAN),
            row["file"],
            row["files"],
            row["names"]
        );
    }
    csv
}

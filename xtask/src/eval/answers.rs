//! What engines answered, on disk line by line: a run that was stopped can go on.

use super::Case;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// One answer. `id` and `output` are what the scorer reads.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Answer {
    pub(super) id: String,
    /// The whole file after the edit, or the text that fills the hole.
    pub(super) output: String,
    /// Wall-clock, from the question to the answer.
    pub(super) seconds: f64,
    /// Exit code; none when it was killed, or for an engine that is no command.
    pub(super) exit: Option<i32>,
    /// What the engine says about itself: the command's JSON object, or token counts.
    pub(super) report: Value,
    /// The end of what it complained about.
    pub(super) note: String,
}

/// The answers of one engine to one set.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) path: PathBuf,
    pub(super) all: Vec<Answer>,
    file: File,
}

impl Answers {
    /// Opens the file of answers; what it holds is dropped unless the run is resumed.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub(super) fn open(path: &Path, resume: bool) -> Result<Self> {
        let context = || format!("answers in {}", path.display());
        fs::create_dir_all(path.parent().context("a folder")?).with_context(context)?;
        let text = match fs::read_to_string(path) {
            Ok(text) if resume => text,
            _ => String::new(),
        };
        // A line cut off by a crash is a case to ask again.
        let all: Vec<Answer> =
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(path)?;
        for answer in &all {
            writeln!(file, "{}", serde_json::to_string(answer)?).with_context(context)?;
        }
        Ok(Self { path: path.to_owned(), all, file })
    }

    pub(super) fn has(&self, id: &str) -> bool {
        self.all.iter().any(|answer| answer.id == id)
    }

    /// Adds an answer, on disk first.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn push(&mut self, answer: Answer) -> Result<()> {
        writeln!(self.file, "{}", serde_json::to_string(&answer)?)?;
        self.all.push(answer);
        Ok(())
    }

    /// Forgets, here and not on disk, answers to other cases than these.
    pub(super) fn keep(&mut self, cases: &[Case]) {
        let ids: HashSet<_> = cases.iter().map(|case| case.id.as_str()).collect();
        self.all.retain(|answer| ids.contains(answer.id.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_run_keeps_whole_lines_and_a_fresh_one_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/set.jsonl");
        let answer = |id: &str| Answer {
            id: id.to_owned(),
            output: "x\n".to_owned(),
            seconds: 0.5,
            exit: Some(0),
            report: Value::Null,
            note: String::new(),
        };
        let mut answers = Answers::open(&path, true).unwrap();
        answers.push(answer("a")).unwrap();
        answers.push(answer("b")).unwrap();
        drop(answers);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[..text.len() - 9]).unwrap();
        let answers = Answers::open(&path, true).unwrap();
        assert!(answers.has("a") && !answers.has("b"));
        drop(answers);
        assert_eq!(Answers::open(&path, false).unwrap().all.len(), 0);
    }
}

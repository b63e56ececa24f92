//! A case through the real command: a release build, a process per case, a folder with one file.

use super::cases::Case;
use super::{Answer, Respond};
use crate::project;
use anyhow::{Context, Result};
use serde_json::Value;
use std::fs;
use std::io::{Read, Seek};
use std::path::PathBuf;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

/// How often a running command is looked at; also the error of its measured time.
const POLL: Duration = Duration::from_millis(5);

/// Most bytes of its complaints to keep.
const NOTE_BYTES: usize = 2000;

/// Runs `cerium edit` and `cerium complete`.
pub(super) struct Command {
    binary: PathBuf,
    model: String,
    options: Options,
    timeout: Duration,
}

/// How it is run.
pub(super) struct Options {
    pub(super) threads: usize,
    pub(super) candidates: usize,
    /// How an edit is written, as `--format` has it.
    pub(super) format: &'static str,
}

impl Command {
    pub(super) fn new(model: &str, options: Options, timeout: Duration) -> Result<Self> {
        // A path is given from here; the command runs elsewhere.
        let path = fs::canonicalize(model).ok().filter(|path| path.is_file());
        let model = path.map_or(model.to_owned(), |path| path.to_string_lossy().into_owned());
        Ok(Self { binary: project::build("cerium")?, model, options, timeout })
    }
}

impl Respond for Command {
    fn respond(&mut self, case: &Case) -> Result<Answer> {
        let scratch = tempfile::tempdir()?;
        let (tree, home) = (scratch.path().join("tree"), scratch.path().join("home"));
        let file = tree.join(&case.path);
        fs::create_dir_all(file.parent().context("a folder")?)?;
        fs::create_dir_all(&home)?;
        let hole = case.hole();
        let text =
            hole.as_ref().map_or(case.before.clone(), |hole| [hole.prefix, hole.suffix].concat());
        fs::write(&file, text)?;

        let (mut stdout, mut stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
        let mut command = std::process::Command::new(&self.binary);
        if let Some(hole) = &hole {
            let (line, column) = hole.point();
            command.arg("complete").arg(format!("{}:{line}:{column}", case.path));
        } else {
            command.args(["edit", &case.path, "--yes"]);
            command.arg(format!("--instruction={}", case.instruction));
            command.arg(format!("--candidates={}", self.options.candidates));
            command.arg(format!("--format={}", self.options.format));
        }
        command.args([
            "--json",
            "--no-daemon",
            "--model",
            &self.model,
            "--threads",
            &self.options.threads.to_string(),
        ]);
        // Nobody's settings, and no journal left behind.
        command.env("XDG_CONFIG_HOME", &home).env("XDG_STATE_HOME", &home).current_dir(&tree);
        command.stdin(Stdio::null()).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
        let start = Instant::now();
        let mut child = command.spawn().context("starting cerium")?;
        let mut status = None;
        while status.is_none() && start.elapsed() < self.timeout {
            thread::sleep(POLL);
            status = child.try_wait()?;
        }
        let seconds = start.elapsed().as_secs_f64();
        if status.is_none() {
            child.kill()?;
            child.wait()?;
        }

        let report: Value = serde_json::from_str(&text_of(&mut stdout)?).unwrap_or(Value::Null);
        let output = match hole {
            Some(_) => report["text"].as_str().unwrap_or_default().to_owned(),
            None => String::from_utf8_lossy(&fs::read(&file)?).into_owned(),
        };
        let complaint = text_of(&mut stderr)?;
        let mut note = match status {
            Some(status) if status.success() => String::new(),
            Some(status) => format!("{status}: "),
            None => format!("given up after {seconds:.0} s: "),
        };
        let from = complaint.len().saturating_sub(NOTE_BYTES);
        note.push_str(complaint.trim_end().get(complaint.ceil_char_boundary(from)..).unwrap_or(""));
        let exit = status.and_then(|status| status.code());
        Ok(Answer { id: case.id.clone(), output, seconds, exit, report, note })
    }
}

fn text_of(file: &mut fs::File) -> Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

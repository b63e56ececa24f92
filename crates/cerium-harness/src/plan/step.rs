//! What a plan is: numbered steps, each one edit, with the past versions of the whole.

use crate::edit::Fate;
use crate::journal::EntryId;
use crate::talk::Talk;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// Steps of a plan at most. More is not a plan but a wish.
pub const N_STEPS_MAX: usize = 12;
/// Past versions kept.
pub(super) const N_PAST_MAX: usize = 32;

/// A plan for one tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What was asked for.
    pub goal: String,
    /// Counts up with every change, so that two processes notice each other.
    pub revision: u64,
    /// The steps; step `n` is at `n - 1`.
    pub steps: Vec<Step>,
    /// Past versions, oldest first.
    #[serde(default)]
    pub past: Vec<Past>,
    /// What was said of it, which the next revision goes on from.
    #[serde(default)]
    pub talk: Talk,
}

/// One step: one edit to carry out, or one command to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// 1-based.
    pub number: usize,
    /// What it does, on one line.
    pub title: String,
    /// Files it changes, in order of weight.
    pub files: Vec<StepFile>,
    /// Declaration it changes, when one was named that the first file has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symbol: Option<String>,
    /// What exactly to do; may be empty.
    #[serde(default)]
    pub detail: String,
    /// A command that the step runs instead of an edit, as a line for the shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// How it stands.
    #[serde(default)]
    pub state: StepState,
}

/// A file that a step changes, or does something else with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepFile {
    /// Relative to the root.
    pub path: String,
    /// It did not exist when the step was written: the step creates it.
    #[serde(default)]
    pub new: bool,
    /// The step deletes it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub delete: bool,
    /// The step gives it this path, relative to the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rename: Option<String>,
}

impl StepFile {
    /// A file that is changed.
    pub fn at(path: impl Into<String>) -> Self {
        Self { path: path.into(), ..Self::default() }
    }

    /// What becomes of it. What an earlier step has made is only changed by now.
    ///
    /// * `root`: of the tree
    pub fn fate(&self, root: &Path) -> Fate {
        match &self.rename {
            Some(to) => Fate::Rename(to.clone()),
            None if self.delete => Fate::Delete,
            None if self.new && !root.join(&self.path).exists() => Fate::Make,
            None => Fate::Change,
        }
    }
}

/// As it stands in a step.
impl fmt::Display for StepFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        match &self.rename {
            Some(to) => write!(f, " -> {to}"),
            None if self.delete => f.write_str(" (delete)"),
            None if self.new => f.write_str(" (new)"),
            None => Ok(()),
        }
    }
}

/// How a step stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum StepState {
    /// To be done.
    #[default]
    Open,
    /// Carried out.
    Done {
        /// The edit, or the command, in the tree's journal.
        edit: EntryId,
    },
    /// Carried out in an editor, whose own undo takes it back.
    Edited,
}

/// A version of a plan that was replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// What replaced it: `revise 3: use a set`.
    pub replaced_by: String,
    /// The goal then.
    pub goal: String,
    /// The steps then.
    pub steps: Vec<Step>,
}

impl Plan {
    /// A step by its number.
    pub fn step(&self, number: usize) -> Option<&Step> {
        self.steps.get(number.checked_sub(1)?)
    }

    /// Replaces goal and steps, keeping what they were.
    pub(super) fn replace(&mut self, goal: String, steps: Vec<Step>, replaced_by: String) {
        let goal = std::mem::replace(&mut self.goal, goal);
        let steps = std::mem::replace(&mut self.steps, steps);
        self.past.push(Past { replaced_by, goal, steps });
        let n_over = self.past.len().saturating_sub(N_PAST_MAX);
        self.past.drain(..n_over);
    }

    /// Brings back the version before the last change; `false` when there is none.
    ///
    /// Edits that were carried out stay as they are: only the plan goes back.
    pub fn undo(&mut self) -> bool {
        let Some(past) = self.past.pop() else { return false };
        self.goal = past.goal;
        self.steps = past.steps;
        true
    }
}

/// The step as people read it and as models are shown it: a numbered title, and a `name: value`
/// line for each thing that is known.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}. {}", self.number, self.title)?;
        for file in &self.files {
            writeln!(f, "   file: {file}")?;
        }
        if let Some(symbol) = &self.symbol {
            writeln!(f, "   symbol: {symbol}")?;
        }
        if let Some(run) = &self.run {
            writeln!(f, "   run: {run}")?;
        }
        if !self.detail.is_empty() {
            writeln!(f, "   detail: {}", self.detail)?;
        }
        Ok(())
    }
}

//! What the screen and its worker say to each other: jobs one way, what comes of them the other.

use crate::output::one_line;
use crate::stats::Stats;
use crate::tui::history::Hunks;
use cerium_harness::edit::{Hunk, LineEvent};
use cerium_harness::journal::EntryId;
use cerium_harness::plan::Plan;
use cerium_hub::Entry;
use std::fmt;

/// Something to do, one at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// Answer a question, looking in these files and directories alone, if there are any.
    Ask {
        question: String,
        within: Vec<String>,
    },
    /// Make an edit of some files.
    Edit {
        files: Vec<String>,
        instruction: String,
    },
    /// Write a plan, show the one there is, revise a step of it, make the edit of one.
    Plan {
        goal: String,
    },
    ShowPlan,
    Revise {
        request: String,
    },
    Apply {
        step: usize,
    },
    /// Go on with what was stopped, or make again what was proposed, with this in mind too.
    GoOn {
        text: String,
    },
    /// Apply what was proposed: of each file these hunks.
    Accept {
        chosen: Vec<Vec<Hunk>>,
    },
    /// Forget it.
    Reject,
    /// Offer an edit that came back from elsewhere.
    Offer,
    Undo {
        edit: Option<EntryId>,
    },
    Redo,
    Log,
    /// Answer with another model, or list them.
    Model {
        name: Option<String>,
    },
    /// Fetch the model that is not here.
    Pull,
    /// Begin another conversation.
    Forget,
}

impl Job {
    /// Whether it can be redirected while it is done.
    pub(super) fn can_be_steered(&self) -> bool {
        matches!(
            self,
            Self::Ask { .. }
                | Self::Edit { .. }
                | Self::Plan { .. }
                | Self::Revise { .. }
                | Self::Apply { .. }
                | Self::GoOn { .. }
        )
    }
}

/// What an engine elsewhere is asked for, while others go on here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    /// An answer, looking in these files and directories alone, if there are any.
    Ask { question: String, within: Vec<String> },
    /// The edit of a step of the plan.
    Step { number: usize },
}

impl fmt::Display for Errand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ask { question, .. } => write!(f, "`{}`", one_line(question)),
            Self::Step { number } => write!(f, "step {number}"),
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Back {
    Answer {
        model: String,
        question: String,
        text: String,
        places: Vec<(String, String)>,
    },
    /// The edit waits to be looked at.
    Edit {
        model: String,
        number: usize,
    },
    Stopped {
        errand: Errand,
    },
    Failed {
        errand: Errand,
        what: String,
        hint: Option<String>,
    },
}

/// What comes of a job, and what is to be known beside it.
#[derive(Debug)]
pub(super) enum Told {
    /// The files of the tree.
    Files(Vec<String>),
    /// The model that answers.
    Model(String),
    /// It is not here yet.
    Absent(&'static Entry),
    /// How far something is whose end is known.
    Fetched {
        what: &'static str,
        done: u64,
        total: u64,
    },
    /// What is being done.
    Doing(String),
    /// More of an answer.
    Text(String),
    /// The places that bear an answer out: `path:line`, and what stands there.
    Places(Vec<(String, String)>),
    /// A diff begins; one that is being written is void.
    Diff {
        path: String,
        places: String,
    },
    Line(LineEvent),
    /// The edit is there, a file each, and can be applied.
    Proposed(Vec<(String, Hunks)>),
    /// It was applied, or not.
    Settled(Option<EntryId>),
    /// An edit was taken back, or applied again.
    Undone(EntryId),
    Redone(EntryId),
    Plan(Box<Plan>),
    Note(String),
    Table(Vec<(String, String)>),
    Error {
        what: String,
        hint: Option<String>,
    },
    /// An errand is over.
    Back(Back),
    /// The job was stopped before its end.
    Stopped,
    /// The job is over, and what it took. Always the last word on it.
    Ended(Stats),
    /// The worker is no more; a fault of ours.
    Broke,
}

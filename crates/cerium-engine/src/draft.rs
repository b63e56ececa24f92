//! Drafts: guesses of how a generation goes on, several of which one step can check.
//!
//! A step over k more tokens costs far less than k steps, so a guess that is often right saves time.
//! It never changes what is generated: every token is chosen from the logits as if there had been
//! no draft, and the draft is followed only as far as it says the same.
//!
//! Guesses come from a job's own [`Drafter`], which knows what the text will look like, and from
//! text that stood there before (`repeats`). The `governor` decides which one is checked, and how much
//! of it, from what was right so far (`odds`) and what a step costs (`pace`).

mod governor;
mod odds;
mod pace;
mod repeats;

pub(crate) use governor::{Governor, Room};

use odds::Odds;
use pace::Pace;
use repeats::Repeats;
use std::fmt;
use std::time::Duration;

/// Most tokens of a draft. Beyond some 64 rows a step's time grows as fast as its rows (measured on
/// the 0.5B: 536 tok/s at 64 rows, 565 at 128), and a cancel would have to wait longer.
pub const DRAFT_TOKENS_MAX: usize = 63;

/// Where a draft comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DraftKind {
    /// The predicted text, followed as it stands.
    Copy,
    /// The predicted text with changes that were made in it before.
    Transduced,
    /// What followed when the last tokens stood there before, in the prompt or in an earlier text.
    Repeat,
    /// What a [`Mask`](crate::Mask) leaves no choice about.
    Forced,
}

impl DraftKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Copy, Self::Transduced, Self::Repeat, Self::Forced];
}

/// Tokens that a generation may go on with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The tokens, ids of the model's vocabulary.
    pub ids: Vec<u32>,
    /// Where they come from.
    pub kind: DraftKind,
    /// How much speaks for them: steps of the draft's source, tokens or words, that the text before
    /// took without a gap.
    pub support: usize,
}

/// Guesses from what is known about a job's text.
pub trait Drafter: fmt::Debug + Send {
    /// At most `n_max` tokens that may follow `output`, which is all that was generated and has
    /// grown since the last call. It runs on the engine's thread: a small part of a step's time.
    fn draft(&mut self, output: &[u32], n_max: usize) -> Option<Draft>;
}

/// Where the drafts of a job may come from.
#[derive(Debug)]
pub struct Drafts {
    /// What is known about its text.
    pub drafter: Option<Box<dyn Drafter>>,
    /// Whether what stood there before may be drafted again.
    pub repeats: bool,
}

impl Drafts {
    /// None at all: one token a step.
    pub fn none() -> Self {
        Self { drafter: None, repeats: false }
    }
}

impl Default for Drafts {
    fn default() -> Self {
        Self { drafter: None, repeats: true }
    }
}

/// What became of the drafts of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DraftCounts {
    /// Tokens that were checked.
    pub n_drafted: usize,
    /// Of these, tokens that were right.
    pub n_accepted: usize,
}

/// Steps that checked a draft and computed nothing of the prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DraftedSteps {
    /// How many.
    pub n_steps: usize,
    /// Tokens of their drafts that were right.
    pub n_accepted: usize,
    /// What they took in all, drafting included.
    pub time: Duration,
}

/// What all jobs of an engine learn from each other.
#[derive(Debug)]
pub(crate) struct Experience {
    /// What jobs that are done have read and written.
    earlier: Repeats,
    pace: Pace,
    odds: Odds,
}

impl Experience {
    /// None yet; `n_text_max` tokens of text will be remembered.
    pub(crate) fn new(n_text_max: usize) -> Self {
        Self { earlier: Repeats::new(n_text_max), pace: Pace::default(), odds: Odds::default() }
    }

    /// Learns what a job that is done has read and written.
    pub(crate) fn saw_text(&mut self, text: &[u32]) {
        self.earlier.begin(text);
    }

    /// Learns what became of the drafts of a job that is done.
    pub(crate) fn saw_drafts(&mut self, governor: &Governor) {
        self.odds.saw_job(governor.odds());
    }

    /// Learns how long a step took in which a logit row belongs to each of its rows.
    pub(crate) fn saw_step(&mut self, n_rows: usize, time: Duration) {
        self.pace.saw(n_rows, time);
    }
}

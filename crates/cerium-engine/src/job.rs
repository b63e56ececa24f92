//! What the engine is asked to do and what it reports.

use crate::Parting;
use crate::draft::{DraftCounts, DraftKind, DraftedSteps, Drafts};
use crate::likelihood::Likelihood;
use crate::mask::Mask;
use std::time::Duration;

/// One generation.
#[derive(Debug, Default)]
pub struct Job {
    /// The prompt, at least one token.
    pub prompt: Vec<u32>,
    /// Most tokens to generate. With 0, the prompt is computed for others that will begin with it.
    pub max_tokens: usize,
    /// Who waits for it.
    pub class: Class,
    /// Who asked for it.
    pub owner: Owner,
    /// Candidates of one answer have the same: they run side by side, in the place of one job.
    pub family: Option<u64>,
    /// Tokens that end the generation; they are not reported.
    pub stop_tokens: Vec<u32>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Whether each token comes with its [`Likelihood`], and how many of the likeliest with it.
    pub likelihoods: Option<usize>,
    /// Bounds what may be generated.
    pub mask: Option<Box<dyn Mask>>,
    /// Where drafts may come from. They change speed alone.
    pub drafts: Drafts,
    /// The output's first tokens, whatever the model makes of them: to replay a text, at the price
    /// that generating it has.
    pub forced: Vec<u32>,
}

impl Job {
    /// Whether all logits have to be known; else the id of the greatest one is enough.
    pub(crate) fn wants_logits(&self) -> bool {
        !self.sampling.is_greedy() || self.likelihoods.is_some() || self.mask.is_some()
    }
}

/// How a generation goes on otherwise, without a mask: as a new one whose prompt is what is kept of this one, prompt and
/// output, and then these tokens.
#[derive(Debug)]
pub struct Steer {
    /// Of the sequence's tokens, the first so many stay: no more of the output than was reported.
    pub n_kept: usize,
    /// What follows them.
    pub tokens: Vec<u32>,
    /// Most tokens to generate from there.
    pub max_tokens: usize,
    /// How they are chosen.
    pub sampling: Sampling,
    /// Where drafts may come from.
    pub drafts: Drafts,
}

/// Who waits for a job. Whatever is more urgent goes first, at every step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Somebody does.
    #[default]
    Interactive,
    /// Nobody yet: it is computed while nothing interactive can be.
    Background,
}

/// Who asks for jobs. Among jobs of a class that wait, owners take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Tells owners apart.
    pub id: u64,
    /// How many turns it gets for one of an owner with 1; 0 counts as 1.
    pub weight: u32,
}

impl Default for Owner {
    /// The one of all who are not told apart.
    fn default() -> Self {
        Self { id: 0, weight: 1 }
    }
}

/// How the next token is chosen from the logits.
///
/// In this order: `logit_bias`, repetition penalty, presence and frequency penalties, the job's mask,
/// temperature (at 0 the greatest is taken), `top_k`, `top_p`, `min_p`, then a draw. The random
/// number of a draw is a function of seed and position alone, so neither batches nor caches nor
/// drafts can change what is sampled.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// 0 takes the likeliest token.
    pub temperature: f32,
    /// Keep the k likeliest; 0 keeps all.
    pub top_k: usize,
    /// Keep the likeliest tokens until their probabilities reach this sum; 1 keeps all.
    pub top_p: f32,
    /// Keep tokens at least this fraction as likely as the likeliest; 0 keeps all.
    pub min_p: f32,
    /// Divides positive logits of tokens already in the sequence and multiplies negative ones;
    /// 1 changes nothing. Source: Keskar et al. 2019.
    pub repetition_penalty: f32,
    /// Taken off the logits of tokens that were generated before.
    pub presence_penalty: f32,
    /// The same for every time that they were.
    pub frequency_penalty: f32,
    /// Added to the logits of these tokens; what is no token counts for nothing.
    pub logit_bias: Vec<(u32, f32)>,
    /// Seed of the draws.
    pub seed: u64,
}

impl Sampling {
    /// Whether the greatest logit decides, as the model gives it.
    pub(crate) fn is_greedy(&self) -> bool {
        self.temperature <= 0.0 && !self.changes_logits()
    }

    /// Whether the model's logits are not what is chosen from.
    pub(crate) fn changes_logits(&self) -> bool {
        self.repetition_penalty != 1.0
            || self.presence_penalty != 0.0
            || self.frequency_penalty != 0.0
            || !self.logit_bias.is_empty()
    }
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            logit_bias: Vec::new(),
            seed: 0,
        }
    }
}

/// News of a generation, in order: one `Prefilled`, tokens, one `Done`; `Queued` whenever it has to wait. After a
/// `Steered` they begin anew.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// It has to wait for others to end. How many go first changes; not every change is told.
    Queued {
        /// Jobs that are started before it.
        n_before: usize,
        /// How long that may take, going by how long others ran; unknown before the first has ended.
        wait: Option<Duration>,
    },
    /// The prompt has been computed.
    Prefilled {
        /// Its tokens.
        n_prompt: usize,
        /// Of these, tokens taken from a cache.
        n_cached: usize,
    },
    /// The next token.
    Token {
        /// Its id.
        id: u32,
        /// How likely it was, if that was asked for.
        likelihood: Option<Box<Likelihood>>,
        /// What a draft that said the same came from, if one did.
        drafted: Option<DraftKind>,
    },
    /// It goes on otherwise. Tokens told since the reader asked for that do not count.
    Steered {
        /// What it took until here.
        stats: Box<Stats>,
    },
    /// The end.
    Done(Box<Finish>),
}

/// How a generation ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Finish {
    /// Why.
    pub reason: FinishReason,
    /// What it took.
    pub stats: Stats,
}

/// Why a generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// A stop token came.
    Stop,
    /// `max_tokens` were generated.
    Length,
    /// The context is full.
    Context,
    /// The receiver asked to stop, or went away.
    Cancelled,
}

/// Counts and wall-clock durations of one generation, from its submission on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// Tokens of the prompt.
    pub n_prompt: usize,
    /// Of these, tokens taken from a cache.
    pub n_cached: usize,
    /// Of these, tokens read from disk.
    pub n_restored: usize,
    /// Why the others were not; absent where only the prompt's last token was left, or nothing is kept.
    pub parting: Option<Box<Parting>>,
    /// Tokens reported.
    pub n_output: usize,
    /// Steps that tokens came out of.
    pub n_steps: usize,
    /// What became of drafts, by place in [`DraftKind::ALL`].
    pub drafts: [DraftCounts; DraftKind::ALL.len()],
    /// What checking them took.
    pub drafted: DraftedSteps,
    /// Until it began.
    pub queued: Duration,
    /// Until the prompt was computed.
    pub prefill: Duration,
    /// Until the first token was chosen.
    pub ttft: Duration,
    /// From the first token to the last.
    pub decode: Duration,
    /// Until the end.
    pub total: Duration,
}

impl Stats {
    /// Draft tokens of all kinds.
    pub fn n_drafted(&self) -> usize {
        self.drafts.iter().map(|counts| counts.n_drafted).sum()
    }

    /// Draft tokens of all kinds that were right.
    pub fn n_accepted(&self) -> usize {
        self.drafts.iter().map(|counts| counts.n_accepted).sum()
    }
}

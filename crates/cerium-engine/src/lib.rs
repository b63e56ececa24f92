//! Tokens over time: scheduling, sampling, generation.
//!
//! The engine owns a model on a thread of its own and accepts a closed set of commands; nothing
//! else can disturb a step. It knows neither text nor edits: a [`Job`] is token ids and settings,
//! and what comes back through a bounded channel is [`Step`]s. What a job knows of its text beforehand
//! it says as a [`Drafter`], whose guesses are checked several a step.

mod draft;
mod engine;
mod glance;
mod interrupt;
mod job;
mod likelihood;
mod mask;
mod prefix;
mod running;
mod sample;
mod schedule;
pub mod store;

pub use draft::{DRAFT_TOKENS_MAX, Draft, DraftCounts, DraftKind, DraftedSteps, Drafter, Drafts};
pub use engine::{Engine, EngineOptions, Generation, SubmitError};
pub use glance::{Glance, JobGlance, Pages, TREE_PAGES_MAX, TreePage};
pub use job::{Class, Finish, FinishReason, Job, Owner, Sampling, Stats, Steer, Step};
pub use likelihood::Likelihood;
pub use mask::Mask;
pub use prefix::{Gone, Parting};

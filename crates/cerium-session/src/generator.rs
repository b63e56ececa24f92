//! What the service asks of an engine: the seam at which tests put a script.

use cerium_engine::{Engine, Generation, Glance, Job, Steer, Step, SubmitError};
use std::future::ready;
use std::pin::Pin;

/// Runs jobs. Outside tests this is [`Engine`].
pub trait Generator: Send + Sync {
    /// Hands in a job; its steps come out of the returned source.
    fn submit(&self, job: Job) -> Result<Box<dyn Steps>, SubmitError>;

    /// How many tokens of a prompt would not be computed if it were handed in now.
    fn n_known(&self, _prompt: &[u32]) -> usize {
        0
    }

    /// How it stands, for people who look; `None` where there is nothing to see.
    fn glance(&self) -> Pin<Box<dyn Future<Output = Option<Glance>> + Send + '_>> {
        Box::pin(ready(None))
    }
}

/// The steps of one job, in order. Dropping this cancels the job.
pub trait Steps: Send {
    /// Waits for the next step; `None` when there is none any more.
    fn next(&mut self) -> Option<Step>;

    /// The same without blocking a thread. Dropping the future loses no step.
    fn next_async(&mut self) -> Pin<Box<dyn Future<Output = Option<Step>> + Send + '_>>;

    /// Has the job go on otherwise: a [`Step::Steered`] follows, or the end if that was before.
    fn steer(&self, steer: Steer) -> Result<(), SubmitError>;

    /// Asks the job to stop: its [`Step::Done`] follows soon.
    fn cancel(&self);
}

impl Generator for Engine {
    fn submit(&self, job: Job) -> Result<Box<dyn Steps>, SubmitError> {
        let generation = Engine::submit(self, job)?;
        Ok(Box::new(generation))
    }

    fn n_known(&self, prompt: &[u32]) -> usize {
        Engine::n_known(self, prompt)
    }

    fn glance(&self) -> Pin<Box<dyn Future<Output = Option<Glance>> + Send + '_>> {
        Box::pin(Engine::glance(self))
    }
}

impl Steps for Generation {
    fn next(&mut self) -> Option<Step> {
        Generation::next(self)
    }

    fn next_async(&mut self) -> Pin<Box<dyn Future<Output = Option<Step>> + Send + '_>> {
        Box::pin(Generation::next_async(self))
    }

    fn steer(&self, steer: Steer) -> Result<(), SubmitError> {
        Generation::steer(self, steer)
    }

    fn cancel(&self) {
        Generation::cancel(self);
    }
}

//! Whose turn it is: which jobs run, which wait, and what goes into a step.

use crate::running::{Running, State};

/// Prompt tokens per step while nobody decodes: long enough to fill the cores.
const CHUNK: usize = 256;

/// Prompt tokens per step while others decode, so that their tokens keep coming.
const CHUNK_SHARED: usize = 64;

/// All jobs of an engine.
#[derive(Debug)]
pub(crate) struct Schedule {
    queue: Vec<Running>,
    running: Vec<Running>,
    n_running_max: usize,
}

/// What a step does for a job.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pub(crate) job: &'a mut Running,
    /// Of its tokens, the next so many that are not computed yet.
    pub(crate) n_rows: usize,
}

impl Turn<'_> {
    /// Whether a prompt is computed.
    pub(crate) fn prefills(&self) -> bool {
        self.job.state == State::Prefilling
    }
}

impl Schedule {
    /// Nothing yet; at most so many jobs will share steps.
    pub(crate) fn new(n_running_max: usize) -> Self {
        Self { queue: Vec::new(), running: Vec::new(), n_running_max }
    }

    /// Puts a job behind those that wait.
    pub(crate) fn enqueue(&mut self, job: Running) {
        self.queue.push(job);
    }

    /// The next job to start, if there is one and a place for it: the oldest.
    pub(crate) fn admit(&mut self) -> Option<Running> {
        let free = self.running.len() < self.n_running_max && !self.queue.is_empty();
        free.then(|| self.queue.remove(0))
    }

    /// Takes a started job among those that share steps.
    pub(crate) fn run(&mut self, job: Running) {
        self.running.push(job);
    }

    /// A job, waiting or running.
    pub(crate) fn find(&mut self, id: u64) -> Option<&mut Running> {
        self.running.iter_mut().chain(&mut self.queue).find(|job| job.id == id)
    }

    /// Whether there are no jobs.
    pub(crate) fn is_empty(&self) -> bool {
        self.running.is_empty() && self.queue.is_empty()
    }

    /// Whether a step has something to compute.
    pub(crate) fn is_ready(&self) -> bool {
        self.running.iter().any(Running::is_ready)
    }

    /// Whether all running jobs wait for those who read their steps.
    pub(crate) fn waits_for_readers(&self) -> bool {
        !self.running.is_empty() && !self.is_ready()
    }

    /// What goes into the next step: the last token of every decoding job, and a chunk of one prompt.
    pub(crate) fn step(&mut self) -> Vec<Turn<'_>> {
        let decoding = self.running.iter().any(|r| r.is_ready() && r.state == State::Decoding);
        let chunk = if decoding { CHUNK_SHARED } else { CHUNK };
        let mut prefilling = false;
        let mut turns = Vec::new();
        for job in self.running.iter_mut().filter(|job| job.is_ready()) {
            // One prompt at a time, the oldest first: it is ready sooner, none is later.
            if job.state == State::Decoding || !std::mem::replace(&mut prefilling, true) {
                let n_rows = chunk.min(job.tokens.len() - job.n_computed());
                turns.push(Turn { job, n_rows });
            }
        }
        turns
    }

    /// Sends what waits, and lets go of jobs that are over.
    pub(crate) fn retire(&mut self) -> Vec<Running> {
        for job in &mut self.running {
            job.flush();
        }
        let mut over = Vec::new();
        for list in [&mut self.running, &mut self.queue] {
            over.extend(list.extract_if(.., |job| job.is_over()));
        }
        over
    }
}

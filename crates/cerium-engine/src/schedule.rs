//! Whose turn it is: which jobs run, which wait, and what goes into a step.
//!
//! What is interactive goes before what is not, at every step. Among equals all that generate have a row in
//! every step, and one prompt after the other gets the rest of its time: the one with least left to do, so
//! that the mean wait is shortest. What others are given while a prompt waits is set against what it has left, so
//! a long one gets about every second chunk when short ones keep coming, and none waits for ever.
//!
//! Nothing here changes what a job computes; only when.

mod fair;
mod tempo;

#[cfg(test)]
mod tests;

use crate::running::{Running, State};
use cerium_model::KvCache;
use fair::Turns;
use std::cmp::Reverse;
use std::ops::Range;
use std::time::Duration;
pub(crate) use tempo::{Tempo, Work};

/// What a step may take while somebody else decodes or waits.
const SHARED: Duration = Duration::from_millis(40);

/// What it may take while nobody does: long enough to fill the cores, and so short that a cancel need not look
/// inside the layers' loops: there are some dozens of layers, and it is looked for twice in each.
const ALONE: Duration = Duration::from_millis(500);

/// Most prompt tokens of a step. More are not faster.
const CHUNK_MAX: usize = 256;

/// Prompt tokens come in multiples of this, while there are so many: what a kernel takes at a time.
const CHUNK_UNIT: usize = 16;

/// Draft tokens of a step for all jobs together.
const DRAFT_ROWS: usize = 64;

/// All jobs of an engine.
#[derive(Debug)]
pub(crate) struct Schedule {
    /// Those that wait: interactive ones first, and their owners in turns.
    queue: Vec<Running>,
    turns: Turns,
    running: Vec<Running>,
    n_running_max: usize,
    /// How long a job runs, about: of the last ones.
    usual: Option<Duration>,
}

/// What a step does for a job.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pub(crate) job: &'a mut Running,
    /// Of its tokens, the next so many that are not computed yet.
    pub(crate) n_rows: usize,
    /// Most draft tokens.
    pub(crate) n_draft_max: usize,
}

impl Schedule {
    /// Nothing yet; of each class at most so many jobs will share steps.
    pub(crate) fn new(n_running_max: usize) -> Self {
        let (queue, running, turns) = (Vec::new(), Vec::new(), Turns::default());
        Self { queue, turns, running, n_running_max, usual: None }
    }

    /// Puts a job behind those of its class that go before it, or beside its kin.
    pub(crate) fn enqueue(&mut self, mut job: Running) {
        let kin = self.queue.iter().chain(&self.running).rfind(|other| job.is_kin(other));
        job.turn = match kin {
            Some(kin) => kin.turn,
            None => self.turns.next(job.job.owner),
        };
        let goes_after = |other: &Running| (other.class(), other.turn) > (job.class(), job.turn);
        let at = self.queue.iter().position(goes_after).unwrap_or(self.queue.len());
        self.queue.insert(at, job);
    }

    /// Whether there is a place for a job; those of other classes that it goes before take none.
    fn has_place(&self, job: &Running) -> bool {
        let rivals = self.running.iter().filter(|other| other.class() <= job.class());
        let mut places: Vec<&Running> = Vec::with_capacity(self.n_running_max);
        for rival in rivals {
            if !places.iter().any(|other| rival.is_kin(other)) {
                places.push(rival);
            }
        }
        places.len() < self.n_running_max || places.iter().any(|other| job.is_kin(other))
    }

    /// Starts the next job, if there is a place for it and it gets a cache. A background job takes no place
    /// that an interactive one wants.
    ///
    /// * `open`: a cache for a job beside those that run
    pub(crate) fn admit(
        &mut self,
        open: &mut impl FnMut(&Running, &[Running]) -> Option<KvCache>,
    ) -> bool {
        let Some(next) = self.queue.first().filter(|next| self.has_place(next)) else {
            return false;
        };
        let Some(kv) = open(next, &self.running) else { return false };
        let mut job = self.queue.remove(0);
        self.turns.begin(job.turn);
        job.start(kv);
        self.running.push(job);
        true
    }

    /// A background job that shares steps while the next one, more urgent, has a place and lacks memory.
    pub(crate) fn in_the_way(&self) -> Option<u64> {
        let next = self.queue.first().filter(|next| self.has_place(next))?;
        self.running.iter().rfind(|job| job.class() > next.class()).map(|job| job.id)
    }

    /// Puts a job that shares steps in front of those of its class that wait; returns its cache.
    pub(crate) fn wait_again(&mut self, id: u64) -> Option<(KvCache, &Running)> {
        let at = self.running.iter().position(|job| job.id == id)?;
        let mut job = self.running.remove(at);
        let kv = job.wait()?;
        let at = self.queue.partition_point(|other| other.class() < job.class());
        self.queue.insert(at, job);
        Some((kv, &self.queue[at]))
    }

    /// All jobs that share steps.
    pub(crate) fn running(&self) -> &[Running] {
        &self.running
    }

    /// How many jobs wait for their turn.
    pub(crate) fn n_waiting(&self) -> usize {
        self.queue.len()
    }

    /// One of those that share steps, and the others.
    pub(crate) fn apart(&mut self, i: usize) -> (&mut Running, impl Iterator<Item = &Running>) {
        let (before, rest) = self.running.split_at_mut(i);
        let (job, after) = rest.split_first_mut().expect("one of those that run");
        (job, before.iter().chain(after.iter()))
    }

    /// Tells those that wait how many are before them.
    pub(crate) fn tell_positions(&mut self) {
        let each = self.usual_wait();
        for (n_before, job) in self.queue.iter_mut().enumerate() {
            let n_ends = u32::try_from(n_before + 1).unwrap_or(u32::MAX);
            job.waits_behind(n_before, each.map(|each| each.saturating_mul(n_ends)));
        }
    }

    /// How long it takes until one of the places is free, about; unknown before the first job has ended.
    pub(crate) fn usual_wait(&self) -> Option<Duration> {
        Some(self.usual? / u32::try_from(self.n_running_max).unwrap_or(u32::MAX).max(1))
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
        let restoring = self.running.iter().any(Running::is_restoring);
        !self.running.is_empty() && !restoring && !self.is_ready()
    }

    /// What goes into the next step; of one class alone.
    pub(crate) fn step(&mut self, tempo: &Tempo) -> Vec<Turn<'_>> {
        let ready = self.running.iter_mut().filter(|job| job.is_ready());
        let mut ready: Vec<&mut Running> = ready.collect();
        let Some(class) = ready.iter().map(|job| job.class()).min() else { return Vec::new() };
        ready.retain(|job| job.class() == class);
        let queued = self.queue.iter().any(|job| job.class() == class);
        let limit = if ready.len() == 1 && !queued { ALONE } else { SHARED };
        let n_draft_max = DRAFT_ROWS / ready.len();
        let (decoding, mut prompts): (Vec<_>, Vec<_>) =
            ready.into_iter().partition(|job| job.state == State::Decoding);

        let mut work = Work::default();

        let mut turns = Vec::new();
        for job in decoding {
            work = work + Work::rows(job.n_computed(), 1, 1);
            turns.push(Turn { job, n_rows: 1, n_draft_max });
        }
        // The sort keeps the oldest first among equals.
        prompts.sort_by_key(|job| job.n_left().saturating_sub(job.credit));
        let (mut n_given, mut rows) = (0, Vec::new());
        for (i, job) in prompts.iter().enumerate() {
            let n_min = if n_given == 0 { CHUNK_UNIT } else { 0 };
            let goes_first = |(k, other): (usize, &&mut Running)| {
                let ahead = (Reverse(other.n_computed()), k) < (Reverse(job.n_computed()), i);
                ahead && job.will_share(other)
            };
            let n_rows = if prompts.iter().enumerate().any(goes_first) {
                0
            } else {
                chunk(job, n_min..CHUNK_MAX - n_given, |n| {
                    tempo.time(work + Work::rows(job.n_computed(), n, 0)) <= limit
                })
            };
            work = work + Work::rows(job.n_computed(), n_rows, 0);
            n_given += n_rows;
            rows.push(n_rows);
        }
        for (job, n_rows) in prompts.into_iter().zip(rows) {
            if n_rows > 0 {
                job.credit = job.credit.saturating_sub(n_rows);
                turns.push(Turn { job, n_rows, n_draft_max });
            } else {
                job.credit += n_given;
            }
        }
        turns
    }

    /// Sends what waits, closes jobs that have nothing left to do, and lets go of those that are over.
    pub(crate) fn retire(&mut self, close: impl FnMut(&mut Running)) {
        for job in &mut self.running {
            job.flush();
        }
        for took in self.running.iter().filter(|job| job.is_over()).filter_map(Running::took) {
            // The mean of some ten jobs, the last of which count most.
            self.usual = Some(self.usual.map_or(took, |usual| (usual * 7 + took) / 8));
        }
        self.running.iter_mut().filter(|job| job.is_done()).for_each(close);
        for jobs in [&mut self.running, &mut self.queue] {
            jobs.retain(|job| !job.is_over());
        }
    }
}

/// How many of its tokens a prompt gets computed: as many as fit, but not fewer than the range begins with, as
/// long as there are so many.
fn chunk(job: &Running, range: Range<usize>, fits: impl Fn(usize) -> bool) -> usize {
    let n_left = job.n_left();
    let whole = |n: usize| n / CHUNK_UNIT * CHUNK_UNIT;
    let mut n = if n_left <= range.end { n_left } else { whole(range.end) };
    while n > range.start && !fits(n) {
        n = whole(n - 1);
    }
    n.max(range.start.min(n_left))
}

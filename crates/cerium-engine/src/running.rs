//! A job on its way: its sequence, its cache and what its reader has not taken yet.

use crate::draft::{DRAFT_TOKENS_MAX, Draft, DraftKind, Experience, Governor, Room};
use crate::engine::{Place, offer};
use crate::glance::JobGlance;
use crate::prefix::{PrefixCache, Restoring, but_last, n_promise};
use crate::sample::{self, Before};
use crate::{Class, Finish, FinishReason, Job, Likelihood, Stats, Steer, Step};
use cerium_model::{Cpu, KvCache};
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Sender;

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// In the queue.
    Waiting,
    /// Its prompt is being computed.
    Prefilling,
    /// It generates.
    Decoding,
    /// It has ended; its last steps may still wait to be read.
    Done,
}

/// A job and its progress.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) id: u64,
    pub(crate) job: Job,
    /// Prompt and output.
    pub(crate) tokens: Vec<u32>,
    pub(crate) kv: Option<KvCache>,
    restoring: Restoring,
    /// Whether it was looked where the prompt leaves what is known.
    parted: bool,
    pub(crate) state: State,
    /// Prompt tokens that others were given while it had to wait, less those that it was given since.
    pub(crate) credit: usize,
    /// Its place among those of its class that wait: the smallest is next.
    pub(crate) turn: f64,
    /// How many were before it when it told.
    n_before: Option<usize>,
    governor: Governor,
    /// Until the job has ended.
    place: Option<Place>,
    sender: Sender<Step>,
    /// Steps that did not fit into the channel; while there are any, the job rests.
    unsent: VecDeque<Step>,
    submitted: Instant,
    /// When it left the queue first.
    started: Option<Instant>,
    first_token: Option<Instant>,
    stats: Stats,
}

/// What a step tells of the token after one of its positions.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Told<'a> {
    Logits {
        logits: &'a [f32],
        cpu: Cpu,
    },
    /// Its id: all that a greedy choice needs.
    Likeliest(u32),
}

impl Running {
    pub(crate) fn new(id: u64, mut job: Job, place: Place, sender: Sender<Step>) -> Self {
        let tokens = std::mem::take(&mut job.prompt);
        let governor = Governor::new(std::mem::take(&mut job.drafts));
        let stats = Stats { n_prompt: tokens.len(), ..Stats::default() };
        Self {
            id,
            job,
            tokens,
            kv: None,
            restoring: Restoring::default(),
            parted: false,
            state: State::Waiting,
            credit: 0,
            turn: 0.0,
            n_before: None,
            governor,
            place: Some(place),
            sender,
            unsent: VecDeque::new(),
            submitted: Instant::now(),
            started: None,
            first_token: None,
            stats,
        }
    }

    /// Leaves the queue with a cache that holds what is known of its prompt.
    pub(crate) fn start(&mut self, kv: KvCache) {
        if self.stats.n_output == 0 {
            self.stats.n_cached = kv.n_tokens();
        }
        if self.started.is_none() {
            self.started = Some(Instant::now());
            self.stats.queued = self.submitted.elapsed();
        }
        self.kv = Some(kv);
        self.state = State::Prefilling;
    }

    /// Goes back to the queue, without its cache.
    pub(crate) fn wait(&mut self) -> Option<KvCache> {
        self.state = State::Waiting;
        self.kv.take()
    }

    /// Goes on otherwise, unless it has ended.
    pub(crate) fn steer(&mut self, steer: Steer) {
        if self.state == State::Done {
            return;
        }
        let Steer { n_kept, tokens, max_tokens, sampling, drafts } = steer;
        self.tokens.truncate(n_kept);
        self.tokens.extend(tokens);
        // What is being read belongs to another prompt.
        self.restoring = Restoring::default();
        self.parted = false;
        if let Some(kv) = &mut self.kv {
            // The last token is computed again if it stays: what follows it is wanted.
            kv.truncate(n_kept.min(self.tokens.len() - 1));
            self.state = State::Prefilling;
        }
        self.job = Job {
            max_tokens,
            sampling,
            mask: None,
            forced: Vec::new(),
            ..std::mem::take(&mut self.job)
        };
        self.governor = Governor::new(drafts);
        let (n_prompt, n_cached) = (self.tokens.len(), self.n_computed());
        let began = Stats { n_prompt, n_cached, ..Stats::default() };
        let mut stats = Box::new(std::mem::replace(&mut self.stats, began));
        (stats.total, stats.decode) = self.elapsed();
        (self.submitted, self.first_token, self.n_before) = (Instant::now(), None, None);
        // Nobody wants to hear of it any more.
        self.unsent.clear();
        self.send(Step::Steered { stats });
    }

    /// Since it was handed in, and since its first token.
    fn elapsed(&self) -> (Duration, Duration) {
        (self.submitted.elapsed(), self.first_token.map(|t| t.elapsed()).unwrap_or_default())
    }

    pub(crate) fn class(&self) -> Class {
        self.job.class
    }

    /// Whether both are candidates of one answer.
    pub(crate) fn is_kin(&self, other: &Self) -> bool {
        self.job.family.is_some() && self.job.family == other.job.family
    }

    /// Tells how many are before it in the queue, unless its reader is behind anyway.
    pub(crate) fn waits_behind(&mut self, n_before: usize, wait: Option<Duration>) {
        if self.n_before != Some(n_before) && self.unsent.is_empty() && self.sender.capacity() > 0 {
            self.n_before = Some(n_before);
            self.send(Step::Queued { n_before, wait });
        }
    }

    /// How long it ran, if it has ended and ever did.
    pub(crate) fn took(&self) -> Option<Duration> {
        self.started.filter(|_| self.state == State::Done).map(|started| started.elapsed())
    }

    /// Whether it only has its prompt computed.
    pub(crate) fn only_prefills(&self) -> bool {
        self.job.max_tokens == 0
    }

    /// Tokens that are not computed yet.
    pub(crate) fn n_left(&self) -> usize {
        self.tokens.len() - self.n_computed()
    }

    /// Whether another prompt, still being computed, begins with more of this one than is computed here.
    pub(crate) fn will_share(&self, other: &Self) -> bool {
        let n_computed = self.n_computed().max(other.n_computed());
        self.tokens.get(..=n_computed).is_some_and(|begin| other.tokens.starts_with(begin))
    }

    /// Tokens whose keys and values are there.
    pub(crate) fn n_computed(&self) -> usize {
        self.kv.as_ref().map_or(0, KvCache::n_tokens)
    }

    /// Longest sequence that it may become.
    pub(crate) fn n_tokens_max(&self, n_context: usize) -> usize {
        self.stats.n_prompt.saturating_add(self.job.max_tokens).min(n_context)
    }

    /// Pages of keys and values that it may still take.
    pub(crate) fn n_promised(&self, n_context: usize) -> usize {
        self.kv.as_ref().map_or(0, |kv| n_promise(kv, self.n_tokens_max(n_context)))
    }

    /// Takes over what others have computed of its prompt meanwhile, or before a restart.
    ///
    /// * `waits`: whether there is nothing else to do
    pub(crate) fn catch_up(&mut self, cache: &mut PrefixCache, waits: bool) {
        let Some(kv) = &mut self.kv else { return };
        let n_before = kv.n_tokens();
        cache.catch_up(kv, &self.tokens);
        let n_known = kv.n_tokens();
        if !matches!(self.restoring, Restoring::Over) {
            cache.restore(kv, &self.tokens, &mut self.restoring, waits);
        }
        // What it wrote itself, before it had to wait, is no prompt.
        if self.stats.n_output == 0 {
            self.stats.n_cached += kv.n_tokens() - n_before;
            self.stats.n_restored += kv.n_tokens() - n_known;
            if !std::mem::replace(&mut self.parted, true) || kv.n_tokens() > n_before {
                self.stats.parting = cache.parting(kv.n_tokens(), &self.tokens).map(Box::new);
            }
        }
    }

    /// Takes over what another sequence has of its prompt in a page that is not full: full ones are
    /// in the cache.
    pub(crate) fn join<'a>(
        &mut self,
        cache: &mut PrefixCache,
        others: impl Iterator<Item = &'a Self>,
    ) {
        let Some(kv) = &mut self.kv else { return };
        let (n_before, wanted) = (kv.n_tokens(), but_last(&self.tokens));
        let shared = |other: &'a Self| {
            let of = other.kv.as_ref()?;
            let known = other.tokens[..of.n_tokens()].iter();
            let n = known.zip(wanted).take_while(|(a, b)| a == b).count();
            (n > n_before).then_some((n, of))
        };
        if let Some((n, of)) = others.filter_map(shared).max_by_key(|&(n, _)| n) {
            cache.join(kv, of, n);
        }
        if self.stats.n_output == 0 {
            self.stats.n_cached += kv.n_tokens() - n_before;
        }
    }

    /// Prompt tokens that came from a cache.
    pub(crate) fn n_cached(&self) -> usize {
        self.stats.n_cached
    }

    /// Whether a step may compute for it.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.state, State::Prefilling | State::Decoding)
            && self.unsent.is_empty()
            && !self.is_restoring()
    }

    /// Whether it waits for what comes from disk.
    pub(crate) fn is_restoring(&self) -> bool {
        self.state == State::Prefilling && matches!(self.restoring, Restoring::Reading { .. })
    }

    pub(crate) fn glance(&self) -> JobGlance {
        let Stats { n_prompt, n_output, .. } = self.stats;
        JobGlance {
            is_background: self.class() == Class::Background,
            n_prompt,
            n_computed: self.n_computed(),
            n_output,
        }
    }

    /// Whether nothing is left to do for it.
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done || self.sender.is_closed()
    }

    /// Whether nothing is left to do or to send.
    pub(crate) fn is_over(&self) -> bool {
        self.sender.is_closed() || (self.state == State::Done && self.unsent.is_empty())
    }

    /// The draft that a step checks in which the last token is computed, and which has `n_rows` without it.
    pub(crate) fn draft(
        &mut self,
        experience: &Experience,
        n_context: usize,
        n_draft_max: usize,
        n_rows: usize,
    ) -> Option<Draft> {
        let Stats { n_prompt, n_output, .. } = self.stats;
        // The token after the draft comes for nothing.
        let n_left = self.job.max_tokens.min(n_context - n_prompt) - n_output - 1;
        let n_max = n_left.min(n_draft_max);
        if let Some(mask) = &mut self.job.mask {
            let ids = mask.forced(n_max.min(DRAFT_TOKENS_MAX));
            if !ids.is_empty() {
                return Some(Draft { ids, kind: DraftKind::Forced, support: 0 });
            }
        }
        let room = Room { n_rows, n_max };
        self.governor.choose(&self.tokens, n_output, experience, room)
    }

    /// Takes the tokens that a step gives: after the last token, and after each one of the draft for as
    /// long as it says the same. `told` is in this order; `began` is when the step did.
    pub(crate) fn take(
        &mut self,
        told: &[Told<'_>],
        draft: Option<&Draft>,
        n_context: usize,
        began: Instant,
    ) {
        let drafted = draft.filter(|_| self.state == State::Decoding);
        self.prefilled();
        let guesses = draft.map_or(&[][..], |draft| &draft.ids);
        let (n_before, mut n_right) = (self.tokens.len(), 0);
        // Counted before the tokens are taken: the last one may send the counts off.
        self.stats.n_steps += 1;
        if let Some(draft) = draft {
            self.stats.drafts[draft.kind as usize].n_drafted += draft.ids.len();
        }
        if drafted.is_some() {
            self.stats.drafted.n_steps += 1;
            self.stats.drafted.time += began.elapsed();
        }
        for &told in told {
            let id = match (self.job.forced.get(self.stats.n_output), told) {
                (Some(&id), _) | (None, Told::Likeliest(id)) => id,
                (None, Told::Logits { logits, .. }) => {
                    let allowed = self.job.mask.as_mut().map(|mask| mask.allowed());
                    let before = Before { tokens: &self.tokens, n_prompt: self.stats.n_prompt };
                    sample::choose(&self.job.sampling, logits, before, allowed)
                }
            };
            let likelihood = match (self.job.likelihoods, told) {
                (Some(n_top), Told::Logits { logits, cpu }) => {
                    Some(Box::new(Likelihood::new(cpu, logits, id, n_top)))
                }
                _ => None,
            };
            if let Some(mask) = &mut self.job.mask {
                mask.accept(id);
            }
            let right = guesses.get(n_right) == Some(&id);
            if let Some(draft) = draft.filter(|_| right) {
                self.stats.drafts[draft.kind as usize].n_accepted += 1;
                self.stats.drafted.n_accepted += usize::from(drafted.is_some());
                n_right += 1;
            }
            let drafted = draft.filter(|_| right).map(|draft| draft.kind);
            self.push(id, likelihood, drafted, n_context);
            if !right || self.state == State::Done {
                break;
            }
        }
        if let Some(kv) = &mut self.kv {
            kv.truncate(self.tokens.len().min(n_before + n_right));
        }
        if let Some(draft) = draft {
            self.governor.saw(draft, n_right);
        }
    }

    /// What became of its drafts.
    pub(crate) fn governor(&self) -> &Governor {
        &self.governor
    }

    /// The whole prompt has been computed.
    pub(crate) fn prefilled(&mut self) {
        if self.state == State::Prefilling {
            self.state = State::Decoding;
            if self.stats.n_output > 0 {
                return; // It had to wait in the middle.
            }
            self.stats.prefill = self.submitted.elapsed();
            let (n_prompt, n_cached) = (self.stats.n_prompt, self.stats.n_cached);
            self.send(Step::Prefilled { n_prompt, n_cached });
            if self.only_prefills() {
                self.finish(FinishReason::Length);
            }
        }
    }

    /// Takes the chosen token.
    fn push(
        &mut self,
        id: u32,
        likelihood: Option<Box<Likelihood>>,
        drafted: Option<DraftKind>,
        n_context: usize,
    ) {
        if self.first_token.is_none() {
            self.stats.ttft = self.submitted.elapsed();
            self.first_token = Some(Instant::now());
        }
        if self.job.stop_tokens.contains(&id) {
            return self.finish(FinishReason::Stop);
        }
        self.tokens.push(id);
        self.stats.n_output += 1;
        self.send(Step::Token { id, likelihood, drafted });
        if self.stats.n_output >= self.job.max_tokens {
            self.finish(FinishReason::Length);
        } else if self.tokens.len() >= n_context {
            self.finish(FinishReason::Context);
        }
    }

    /// Ends the job, once.
    pub(crate) fn finish(&mut self, reason: FinishReason) {
        if self.state == State::Done {
            return;
        }
        self.state = State::Done;
        // Before anybody can hear of the end and hand in the next job.
        self.place = None;
        (self.stats.total, self.stats.decode) = self.elapsed();
        let finish = Finish { reason, stats: self.stats.clone() };
        self.send(Step::Done(Box::new(finish)));
    }

    fn send(&mut self, step: Step) {
        self.unsent.push_back(step);
        self.flush();
    }

    /// Sends as much as the channel takes.
    pub(crate) fn flush(&mut self) {
        while let Some(step) = self.unsent.pop_front() {
            if let Err(step) = offer(&self.sender, step) {
                self.unsent.push_front(step);
                return;
            }
        }
    }
}

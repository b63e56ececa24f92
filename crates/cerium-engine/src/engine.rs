//! The thread that owns the model, and the handle others hold.

use crate::draft::{Draft, Experience};
use crate::glance::Glance;
use crate::interrupt::Interrupt;
use crate::prefix::PrefixCache;
use crate::running::{Running, State, Told};
use crate::schedule::{Schedule, Tempo, Turn, Work};
use crate::store::StoreOptions;
use crate::{Class, FinishReason, Job, Steer, Step};
use cerium_model::{KvFormat, Model, Opening, Segment, Wanted};
use flume::{Receiver, RecvTimeoutError, Sender};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{self, error::TrySendError};

/// Steps that wait in a generation's channel before it is parked.
const CHANNEL: usize = 256;

/// How long the engine sleeps when all that there is to do waits for a reader or a writer.
const PARKED: Duration = Duration::from_millis(2);

/// Bounds of an engine.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Longest sequence in tokens; 0 takes the model's native window. What is beyond that, as far as the
    /// model reaches, changes how all sequences are computed.
    pub n_context: usize,
    /// How keys and values are stored.
    pub kv: KvFormat,
    /// Generations of each class that share steps.
    pub n_running_max: usize,
    /// Generations that wait beyond these.
    pub n_queued_max: usize,
    /// Bytes of keys and values, of running sequences and of what is kept for prompts to come. A page is
    /// the least, and no sequence gets longer than they hold.
    pub kv_bytes_max: usize,
    /// Whether prompts find what others have computed.
    pub keeps_prefixes: bool,
    /// Where prefixes outlive the process, if anywhere.
    pub store: Option<StoreOptions>,
    /// Tokens of finished sequences that drafts may repeat.
    pub n_remembered_max: usize,
    /// Whether lengths of drafts follow the time that steps take, and what became of earlier drafts. Else they
    /// follow that of a middling machine, and are the same whenever a job runs.
    pub learns_pace: bool,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            n_context: 0,
            kv: KvFormat::default(),
            n_running_max: 4,
            n_queued_max: 64,
            kv_bytes_max: 1 << 30,
            keeps_prefixes: true,
            store: None,
            n_remembered_max: 1 << 17,
            learns_pace: true,
        }
    }
}

/// A handle to a running engine. The engine ends with its last handle.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    commands: Sender<Command>,
    interrupt: Arc<Interrupt>,
    n_waiting: Arc<AtomicUsize>,
    next_id: AtomicU64,
    n_context: usize,
    n_jobs_max: usize,
    /// How long it takes until a place is free, about, in milliseconds; 0 if that is not known.
    usual_wait: Arc<AtomicU64>,
}

/// Everything that can make the engine do something. There is no other way in.
enum Command {
    Generate(Box<Running>),
    Cancel(u64),
    Steer(u64, Box<Steer>),
    /// How much of a prompt is known.
    Look(Vec<u32>, Sender<usize>),
    /// How it stands.
    Glance(Sender<Glance>),
}

/// Why a job was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// Nothing to go on from.
    #[error("the prompt is empty")]
    EmptyPrompt,
    /// No room for even one token.
    #[error("the prompt has {n_prompt} tokens, the context holds {n_context}")]
    PromptTooLong {
        /// Tokens given.
        n_prompt: usize,
        /// Tokens that fit, prompt and answer together.
        n_context: usize,
    },
    /// Too many jobs wait.
    #[error("{n_waiting} requests are running or waiting already")]
    Busy {
        /// How many.
        n_waiting: usize,
        /// How long until there is room, about, if that is known.
        wait: Option<Duration>,
    },
    /// The engine's thread is gone.
    #[error("the engine has stopped")]
    Stopped,
}

impl Engine {
    /// Starts a thread that owns `model`.
    ///
    /// # Panics
    /// If the system cannot start a thread.
    pub fn start(model: Model, options: EngineOptions) -> Self {
        let config = model.config();
        let n_context = match options.n_context {
            0 => config.n_context,
            n => n.min(config.n_context_max()),
        };
        let reach = config.reach(n_context).expect("no longer than the model reaches");
        let opening = Opening { format: options.kv, reach };
        let EngineOptions { kv_bytes_max, keeps_prefixes, .. } = options;
        let cache = PrefixCache::new(&model, opening, kv_bytes_max, keeps_prefixes);
        let n_context = n_context.min(cache.n_tokens_max());
        let n_jobs_max = options.n_running_max + options.n_queued_max;
        let (commands, inbox) = flume::unbounded(); // Bounded by `n_jobs_max` in `submit`, and by those who wait.
        let interrupt = Arc::new(Interrupt::default());
        let shared = Shared {
            commands,
            interrupt: Arc::clone(&interrupt),
            n_waiting: Arc::default(),
            next_id: AtomicU64::new(0),
            n_context,
            n_jobs_max,
            usual_wait: Arc::default(),
        };
        let usual_wait = Arc::clone(&shared.usual_wait);
        let schedule = Schedule::new(options.n_running_max);
        let worker = Worker {
            n_vocab: model.config().n_vocab,
            experience: Experience::new(options.n_remembered_max),
            model,
            options,
            cache,
            n_context,
            inbox,
            interrupt,
            schedule,
            tempo: Tempo::default(),
            usual_wait,
        };
        let thread = thread::Builder::new().name("cerium-engine".to_owned());
        thread.spawn(move || worker.run()).expect("a thread can be started");
        Self { shared: Arc::new(shared) }
    }

    /// Longest sequence, prompt and answer together, in tokens.
    pub fn n_context(&self) -> usize {
        self.shared.n_context
    }

    /// How many tokens of a prompt would not be computed if it were handed in now; what is on disk alone is not
    /// counted.
    pub fn n_known(&self, prompt: &[u32]) -> usize {
        let (sender, answer) = flume::bounded(1);
        let sent = self.shared.commands.send(Command::Look(prompt.to_vec(), sender));
        sent.ok().and_then(|()| answer.recv().ok()).unwrap_or(0)
    }

    /// How it stands before its next step; `None` once it has stopped.
    pub async fn glance(&self) -> Option<Glance> {
        let (sender, answer) = flume::bounded(1);
        self.shared.commands.send(Command::Glance(sender)).ok()?;
        answer.recv_async().await.ok()
    }

    /// Hands in a job; its steps come out of the returned generation.
    ///
    /// # Errors
    /// [`SubmitError`] when the job cannot run or the engine is full.
    pub fn submit(&self, job: Job) -> Result<Generation, SubmitError> {
        let shared = &self.shared;
        shared.check(job.prompt.len())?;
        // However many wait in the background, there is room for people.
        let n_jobs_max = match job.class {
            Class::Interactive => shared.n_jobs_max,
            Class::Background => shared.n_jobs_max.div_ceil(2),
        };
        let place = Place::take(&shared.n_waiting, n_jobs_max).map_err(|n_waiting| {
            let wait = shared.usual_wait.load(Ordering::Relaxed);
            SubmitError::Busy { n_waiting, wait: (wait > 0).then(|| Duration::from_millis(wait)) }
        })?;
        let id = shared.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, steps) = mpsc::channel(CHANNEL);
        let class = job.class;
        let running = Box::new(Running::new(id, job, place, sender));
        shared.commands.send(Command::Generate(running)).map_err(|_| SubmitError::Stopped)?;
        if class == Class::Interactive {
            shared.interrupt.hurry();
        }
        Ok(Generation { id, steps, engine: self.clone() })
    }
}

impl Shared {
    /// Whether a prompt may have so many tokens.
    fn check(&self, n_prompt: usize) -> Result<(), SubmitError> {
        let n_context = self.n_context;
        match n_prompt {
            0 => Err(SubmitError::EmptyPrompt),
            n if n >= n_context => Err(SubmitError::PromptTooLong { n_prompt, n_context }),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("n_context", &self.shared.n_context).finish_non_exhaustive()
    }
}

/// A job's place among those that the engine has taken; free again when dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicUsize>);

impl Place {
    /// One of `n_max` places, or how many are taken.
    pub(crate) fn take(taken: &Arc<AtomicUsize>, n_max: usize) -> Result<Self, usize> {
        let n_taken = taken.fetch_add(1, Ordering::Relaxed);
        let place = Self(Arc::clone(taken));
        if n_taken < n_max { Ok(place) } else { Err(n_taken) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The receiving end of a job. Dropping it cancels the job.
#[derive(Debug)]
pub struct Generation {
    id: u64,
    steps: mpsc::Receiver<Step>,
    engine: Engine,
}

impl Generation {
    /// Waits for the next step; `None` after [`Step::Done`].
    #[expect(clippy::should_implement_trait, reason = "an iterator would hide that this blocks")]
    pub fn next(&mut self) -> Option<Step> {
        self.steps.blocking_recv()
    }

    /// The same without blocking a thread.
    pub async fn next_async(&mut self) -> Option<Step> {
        self.steps.recv().await
    }

    /// A step that is there already.
    pub fn try_next(&mut self) -> Option<Step> {
        self.steps.try_recv().ok()
    }

    /// Has the generation go on otherwise, in its place among those that run and with everything computed
    /// that stays of it: [`Step::Steered`] follows. One that has ended by itself stays as it is: then its
    /// `Done` comes, and the same as a new job costs as little.
    ///
    /// # Errors
    /// [`SubmitError`] when what it would go on from is empty, or too long.
    pub fn steer(&self, steer: Steer) -> Result<(), SubmitError> {
        let shared = &self.engine.shared;
        shared.check(steer.n_kept + steer.tokens.len())?;
        let command = Command::Steer(self.id, Box::new(steer));
        shared.commands.send(command).map_err(|_| SubmitError::Stopped)?;
        shared.interrupt.leave(self.id);
        Ok(())
    }

    /// Asks the engine to stop; a `Done` with [`FinishReason::Cancelled`] follows soon.
    pub fn cancel(&self) {
        // An engine that is gone has nothing left to cancel.
        let _ = self.engine.shared.commands.send(Command::Cancel(self.id));
        self.engine.shared.interrupt.leave(self.id);
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        if !self.steps.is_closed() {
            self.cancel();
        }
    }
}

/// The engine's thread.
struct Worker {
    model: Model,
    n_vocab: usize,
    options: EngineOptions,
    cache: PrefixCache,
    n_context: usize,
    inbox: Receiver<Command>,
    interrupt: Arc<Interrupt>,
    schedule: Schedule,
    tempo: Tempo,
    experience: Experience,
    usual_wait: Arc<AtomicU64>,
}

/// What a job puts into a step.
struct Part {
    /// A chunk of its prompt or its last token, and the draft.
    tokens: Vec<u32>,
    /// The next token is wanted after the last this many.
    n_wanted: usize,
    draft: Option<Draft>,
}

impl Part {
    fn work(&self, job: &Running) -> Work {
        Work::rows(job.n_computed(), self.tokens.len(), self.n_wanted)
    }
}

impl Worker {
    fn run(mut self) {
        if let Some(store) = self.options.store.take() {
            self.cache.open_store(&mut self.model, store);
        }
        loop {
            if !self.read_inbox() {
                return;
            }
            self.admit();
            self.catch_up();
            if self.schedule.is_ready() {
                self.step();
            }
            self.retire();
        }
    }

    /// Takes all commands; waits for one if there is nothing to compute. False when all handles
    /// are gone.
    fn read_inbox(&mut self) -> bool {
        let (is_empty, is_writing) = (self.schedule.is_empty(), self.cache.write_some());
        let first = if is_empty && !is_writing {
            match self.inbox.recv() {
                Ok(command) => Some(command),
                Err(_) => return false,
            }
        } else if is_empty || self.schedule.waits_for_readers() {
            match self.inbox.recv_timeout(PARKED) {
                Ok(command) => Some(command),
                Err(RecvTimeoutError::Disconnected) if is_empty => return false,
                Err(_) => None,
            }
        } else {
            None
        };
        let commands: Vec<Command> = first.into_iter().chain(self.inbox.try_iter()).collect();
        for command in commands {
            match command {
                Command::Generate(job) => self.schedule.enqueue(*job),
                Command::Cancel(id) => {
                    if let Some(job) = self.schedule.find(id) {
                        job.finish(FinishReason::Cancelled);
                    }
                }
                Command::Steer(id, steer) => {
                    if let Some(job) = self.schedule.find(id) {
                        job.steer(*steer);
                    }
                    self.make_good(id);
                }
                // Who asked may have gone.
                Command::Look(prompt, sender) => drop(sender.send(self.cache.n_known(&prompt))),
                Command::Glance(sender) => drop(sender.send(self.glance())),
            }
        }
        true
    }

    fn glance(&self) -> Glance {
        let (pages, tree) = self.cache.glance();
        let running = self.schedule.running().iter().map(Running::glance).collect();
        Glance { running, n_waiting: self.schedule.n_waiting(), pages, tree }
    }

    /// Has a job wait again if there is no memory for all that it may take now.
    fn make_good(&mut self, id: u64) {
        let n_promised = self.n_promised();
        if !self.cache.has_promised(n_promised) {
            self.wait_again(id);
        }
    }

    /// Pages that jobs which run may still take.
    fn n_promised(&self) -> usize {
        self.schedule.running().iter().map(|job| job.n_promised(self.n_context)).sum()
    }

    /// Starts the jobs whose turn it is, for as long as there is memory for all that they may take. What is in
    /// the background gives its memory to what is not.
    fn admit(&mut self) {
        loop {
            let (cache, n_context) = (&mut self.cache, self.n_context);
            let mut open = |job: &Running, running: &[Running]| {
                let n_promised = running.iter().map(|job| job.n_promised(n_context)).sum();
                cache.open(&job.tokens, job.n_tokens_max(n_context), n_promised)
            };
            while self.schedule.admit(&mut open) {}
            let Some(id) = self.schedule.in_the_way() else { break };
            self.wait_again(id);
        }
        self.schedule.tell_positions();
    }

    /// Has a job that runs wait for memory; what was computed of it stays as long as there is room.
    fn wait_again(&mut self, id: u64) {
        if let Some((kv, job)) = self.schedule.wait_again(id) {
            self.cache.close(kv, &job.tokens);
        }
    }

    /// Skips what others have computed of prompts meanwhile, and what comes from disk.
    fn catch_up(&mut self) {
        let waits = !self.schedule.is_ready();
        for i in 0..self.schedule.running().len() {
            let (job, others) = self.schedule.apart(i);
            if job.state == State::Prefilling {
                job.catch_up(&mut self.cache, waits);
                if !job.is_restoring() {
                    job.join(&mut self.cache, others);
                }
            }
        }
    }

    /// One forward pass over what the schedule says.
    fn step(&mut self) {
        let mut turns = self.schedule.step(&self.tempo);
        let gives_way = turns.iter().all(|turn| turn.job.class() == Class::Background);
        self.interrupt.begin(turns.iter().map(|turn| turn.job.id), gives_way);
        if !self.inbox.is_empty() {
            return;
        }
        let began = Instant::now();
        let prefilling = turns.iter().any(|turn| turn.job.state == State::Prefilling);
        let parts = parts(&mut turns, self.n_context, &self.experience);
        let work: Work = turns.iter().zip(&parts).map(|(turn, part)| part.work(turn.job)).sum();
        let mut segments = Vec::with_capacity(turns.len());
        for (Turn { job, .. }, part) in turns.iter_mut().zip(&parts) {
            let Some(kv) = job.kv.as_mut() else { unreachable!("a started job has a cache") };
            let wanted = if job.job.wants_logits() { Wanted::Logits } else { Wanted::Likeliest };
            let wanted = wanted(part.n_wanted);
            segments.push(Segment { kv, tokens: &part.tokens, wanted });
        }
        let n_pages = segments.iter().map(|s| s.kv.n_wanted(s.tokens.len())).sum();
        let has_room = self.cache.make_room(n_pages);
        debug_assert!(has_room, "sequences were promised their pages");
        let (started, cpu) = (Instant::now(), self.model.cpu());
        let outputs = self.model.forward(&mut segments, self.interrupt.flag());
        self.interrupt.end();
        let Ok(outputs) = outputs else { return };
        let rows = outputs.logits.chunks_exact(self.n_vocab);
        let mut logits = rows.map(|logits| Told::Logits { logits, cpu });
        let mut likeliest = outputs.likeliest.iter().map(|&id| Told::Likeliest(id));
        for (Turn { job, .. }, part) in turns.into_iter().zip(&parts) {
            let (n, draft) = (part.n_wanted, part.draft.as_ref());
            let told: Vec<Told<'_>> = if job.job.wants_logits() {
                logits.by_ref().take(n).collect()
            } else {
                likeliest.by_ref().take(n).collect()
            };
            if !told.is_empty() {
                job.take(&told, draft, self.n_context, began);
            } else if job.n_left() == 0 {
                job.prefilled();
            }
            if let Some(kv) = &mut job.kv {
                self.cache.publish(kv, &job.tokens);
            }
        }
        if self.options.learns_pace {
            let time = started.elapsed();
            self.tempo.saw(work, time);
            if !prefilling {
                self.experience.saw_step(work.n_rows, time);
            }
        }
    }

    /// Sends what waits, and lets go of jobs that are done.
    fn retire(&mut self) {
        let (cache, experience) = (&mut self.cache, &mut self.experience);
        let learns = self.options.learns_pace;
        self.schedule.retire(|job| {
            if let Some(kv) = job.kv.take() {
                if learns {
                    experience.saw_drafts(job.governor());
                }
                experience.saw_text(&job.tokens[job.n_cached()..]);
                cache.close(kv, &job.tokens);
            }
        });
        let wait = self.schedule.usual_wait().map_or(0, |wait| wait.as_millis().max(1));
        self.usual_wait.store(u64::try_from(wait).unwrap_or(u64::MAX), Ordering::Relaxed);
        #[cfg(debug_assertions)]
        self.cache.audit(self.schedule.running().iter().filter_map(|job| job.kv.as_ref()));
    }
}

/// What each job of a step puts into it.
fn parts(turns: &mut [Turn<'_>], n_context: usize, experience: &Experience) -> Vec<Part> {
    let part = |turn: &Turn<'_>| {
        let (tokens, start) = (&turn.job.tokens, turn.job.n_computed());
        let end = start + turn.n_rows;
        let n_wanted = usize::from(end == tokens.len() && !turn.job.only_prefills());
        Part { tokens: tokens[start..end].to_vec(), n_wanted, draft: None }
    };
    let mut parts: Vec<Part> = turns.iter().map(part).collect();
    let mut n_rows: usize = parts.iter().map(|part| part.tokens.len()).sum();
    for (turn, part) in turns.iter_mut().zip(&mut parts).filter(|(_, part)| part.n_wanted > 0) {
        let n_draft_max = turn.n_draft_max;
        part.draft = turn.job.draft(experience, n_context, n_draft_max, n_rows);
        if let Some(draft) = &part.draft {
            part.tokens.extend(&draft.ids);
            part.n_wanted += draft.ids.len();
            n_rows += draft.ids.len();
        }
    }
    parts
}

/// Sends without waiting. `Err` gives the step back when the channel is full; a receiver that is
/// gone swallows it.
pub(crate) fn offer(sender: &mpsc::Sender<Step>, step: Step) -> Result<(), Step> {
    match sender.try_send(step) {
        Ok(()) | Err(TrySendError::Closed(_)) => Ok(()),
        Err(TrySendError::Full(step)) => Err(step),
    }
}

//! An engine without a model: it takes prompts and writes tokens at a steady pace, and notes when.

use cerium_engine::{Finish, FinishReason, Job, Stats, Steer, Step, SubmitError};
use cerium_model::tokenizer::Tokenizer;
use cerium_session::{Generator, Steps};
use std::pin::Pin;
use std::sync::mpsc as std_mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// What is written, again and again.
const TEXT: &str = "The function reads the file, keeps what it needs and returns the rest. ";

/// Steps made and not yet taken; as many as an engine allows.
const N_STEPS: usize = 32;

/// When things happened in the last job.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes(Arc<Mutex<Noted>>);

/// One job, as the script saw it.
#[derive(Clone, Debug, Default)]
pub(super) struct Noted {
    pub(super) n_prompt: usize,
    pub(super) came: Option<Instant>,
    /// When each token left.
    pub(super) tokens: Vec<Instant>,
    pub(super) ended: Option<Instant>,
}

impl Notes {
    /// Those of the last job, which has ended.
    pub(super) fn take(&self) -> Noted {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, change: impl FnOnce(&mut Noted)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Plays one job after the other on a thread of its own, as an engine does.
#[derive(Debug)]
pub(super) struct Scripted {
    jobs: std_mpsc::SyncSender<(Job, mpsc::Sender<Step>)>,
    notes: Notes,
}

impl Scripted {
    /// Writes `n_tokens` to every prompt, one every `pace`.
    pub(super) fn new(tokenizer: &Tokenizer, n_tokens: usize, pace: Duration) -> Self {
        let ids = tokenizer.encode(&TEXT.repeat(1 + n_tokens / 10));
        let ids: Vec<u32> = ids.into_iter().take(n_tokens).collect();
        let (jobs, taken) = std_mpsc::sync_channel::<(Job, mpsc::Sender<Step>)>(N_STEPS);
        let notes = Notes::default();
        let noted = notes.clone();
        thread::spawn(move || {
            for (job, steps) in taken {
                play(&job, &steps, &ids, pace, &noted);
            }
        });
        Self { jobs, notes }
    }

    pub(super) fn notes(&self) -> Notes {
        self.notes.clone()
    }
}

fn play(job: &Job, steps: &mpsc::Sender<Step>, ids: &[u32], pace: Duration, notes: &Notes) {
    let n_prompt = job.prompt.len();
    let _ = steps.blocking_send(Step::Prefilled { n_prompt, n_cached: n_prompt - 1 });
    let begun = Instant::now();
    for (n, &id) in ids.iter().enumerate() {
        let due = begun + pace * (n as u32 + 1);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let now = Instant::now();
        notes.note(|job| job.tokens.push(now));
        if steps.blocking_send(Step::Token { id, likelihood: None, drafted: None }).is_err() {
            return;
        }
    }
    let stats = Stats { n_prompt, n_output: ids.len(), ..Stats::default() };
    notes.note(|job| job.ended = Some(Instant::now()));
    let finish = Finish { reason: FinishReason::Stop, stats };
    let _ = steps.blocking_send(Step::Done(Box::new(finish)));
}

impl Generator for Scripted {
    fn submit(&self, job: Job) -> Result<Box<dyn Steps>, SubmitError> {
        let (came, n_prompt) = (Instant::now(), job.prompt.len());
        self.notes.note(|notes| {
            *notes = Noted { n_prompt, came: Some(came), ..Noted::default() };
        });
        let (sender, steps) = mpsc::channel(N_STEPS);
        self.jobs.send((job, sender)).map_err(|_| SubmitError::Stopped)?;
        Ok(Box::new(Played(steps)))
    }
}

struct Played(mpsc::Receiver<Step>);

impl Steps for Played {
    fn next(&mut self) -> Option<Step> {
        self.0.blocking_recv()
    }

    fn next_async(&mut self) -> Pin<Box<dyn Future<Output = Option<Step>> + Send + '_>> {
        Box::pin(self.0.recv())
    }

    fn steer(&self, _: Steer) -> Result<(), SubmitError> {
        Err(SubmitError::Stopped)
    }

    fn cancel(&self) {}
}

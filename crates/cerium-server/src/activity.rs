//! What a server is doing: requests in progress, by the names of their answers, and what earlier
//! ones came to.

use crate::guests::Guest;
use crate::live::{Live, Reader};
use crate::metrics::Metrics;
use crate::router::now;
use crate::traces::{Parent, Traces};
use cerium_protocol::wire::engine::{Activity, Explained};
use cerium_protocol::{Response, Timings, Usage, Why};
use cerium_session::{Owner, Unexplained};
use prometheus_client::metrics::histogram::Histogram;
use serde::Serialize;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Answers that are remembered.
const EXPLAINED_MAX: usize = 32;

/// Counts of all doors together.
#[derive(Debug)]
pub(crate) struct Ledger {
    counts: Mutex<Counts>,
    pub(crate) metrics: Metrics,
    /// Those who look on.
    pub(crate) live: Live,
    traces: Option<Traces>,
    /// The last request in progress ended.
    rests: Notify,
}

#[derive(Debug)]
struct Counts {
    running: usize,
    /// Since when none is running.
    idle_since: Instant,
    /// How answers in progress are told to end.
    cancels: HashMap<String, Arc<Notify>>,
    totals: Activity,
    /// The last answers.
    answered: VecDeque<Arc<Answered>>,
}

/// An answer that was given.
#[derive(Debug)]
struct Answered {
    id: String,
    ended: u64,
    usage: Usage,
    timings: Timings,
    prompt: Prompt,
}

/// What was known of its prompt.
#[derive(Debug)]
enum Prompt {
    Explained(Box<Why>),
    /// It is long, and gone through when somebody asks.
    Unexplained(Box<Unexplained>),
}

/// What an answer took.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Recent {
    id: String,
    ended: u64,
    usage: Usage,
    timings: Timings,
}

impl Answered {
    fn recent(&self) -> Recent {
        let Self { id, ended, usage, timings, .. } = self;
        Recent { id: id.clone(), ended: *ended, usage: *usage, timings: *timings }
    }

    fn explain(&self) -> Explained {
        let why = match &self.prompt {
            Prompt::Explained(why) => (**why).clone(),
            Prompt::Unexplained(prompt) => prompt.why(),
        };
        let Self { id, ended, usage, timings, .. } = self;
        Explained { id: id.clone(), ended: *ended, usage: *usage, timings: *timings, why }
    }
}

impl Ledger {
    /// * `collector`: where traces are sent to
    pub(crate) fn new(collector: Option<&str>) -> Self {
        let counts = Counts {
            running: 0,
            idle_since: Instant::now(),
            cancels: HashMap::new(),
            totals: Activity::default(),
            answered: VecDeque::new(),
        };
        Self {
            counts: Mutex::new(counts),
            metrics: Metrics::new(),
            live: Live::new(),
            traces: collector.map(Traces::to),
            rests: Notify::new(),
        }
    }

    /// Sends what is left to be sent. Blocks for a moment.
    pub(crate) fn close(&self) {
        if let Some(traces) = &self.traces {
            traces.close();
        }
    }

    /// A request begins.
    pub(crate) fn begin(self: &Arc<Self>) -> Busy {
        self.begin_for(None, None)
    }

    /// A request begins, of somebody who has entered.
    pub(crate) fn begin_for(
        self: &Arc<Self>,
        guest: Option<Arc<Guest>>,
        parent: Option<Parent>,
    ) -> Busy {
        self.lock().running += 1;
        let (ledger, cancel) = (Arc::clone(self), Arc::default());
        Busy { ledger, cancel, id: String::new(), gaps: None, guest, parent, waits: false }
    }

    /// Tells an answer to end; false when there is none of that name.
    pub(crate) fn cancel(&self, id: &str) -> bool {
        self.lock().cancels.get(id).map(|cancel| cancel.notify_one()).is_some()
    }

    pub(crate) fn activity(&self) -> Activity {
        let counts = self.lock();
        let idle = if counts.running > 0 { Duration::ZERO } else { counts.idle_since.elapsed() };
        let idle_ms = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
        Activity { running: counts.running, idle_ms, ..counts.totals }
    }

    /// Names of the answers in progress.
    pub(crate) fn names(&self) -> Vec<String> {
        self.lock().cancels.keys().cloned().collect()
    }

    /// What the last answers took, oldest first.
    pub(crate) fn recent(&self) -> Vec<Recent> {
        self.lock().answered.iter().map(|answered| answered.recent()).collect()
    }

    /// The last answers, oldest first. Going through long prompts takes a while, so async callers want a thread
    /// for it.
    pub(crate) fn explained(&self) -> Vec<Explained> {
        let answered: Vec<Arc<Answered>> = self.lock().answered.iter().cloned().collect();
        answered.iter().map(|answered| answered.explain()).collect()
    }

    /// Waits until there was no request for so long. One caller at a time.
    pub(crate) async fn idle_for(&self, idle: Duration) {
        loop {
            let left = {
                let counts = self.lock();
                let since = counts.idle_since.elapsed();
                (counts.running == 0).then(|| idle.saturating_sub(since))
            };
            match left {
                Some(Duration::ZERO) => return,
                Some(left) => tokio::time::sleep(left).await,
                None => self.rests.notified().await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request in progress, until dropped.
#[derive(Debug)]
pub(crate) struct Busy {
    ledger: Arc<Ledger>,
    cancel: Arc<Notify>,
    id: String,
    /// Times between pieces of its model's answers, once it is known which answers.
    gaps: Option<Histogram>,
    /// Whose it is, where keys are asked for.
    guest: Option<Arc<Guest>>,
    /// The client's span that it belongs to.
    parent: Option<Parent>,
    waits: bool,
}

impl Busy {
    /// Its answer, of a model, has a name by which it can be cancelled.
    pub(crate) fn name(&mut self, id: &str, model: &str) {
        self.gaps = Some(self.ledger.metrics.gaps(model));
        id.clone_into(&mut self.id);
        self.ledger.lock().cancels.insert(id.to_owned(), Arc::clone(&self.cancel));
    }

    /// By whose turn it waits, when it must.
    pub(crate) fn owner(&self) -> Owner {
        self.guest.as_ref().map_or_else(Owner::default, |guest| guest.owner())
    }

    /// It waits in the engine's queue, or does so no longer.
    pub(crate) fn waits(&mut self, waits: bool) {
        if waits != std::mem::replace(&mut self.waits, waits) {
            self.ledger.metrics.waiting(if waits { 1 } else { -1 });
        }
    }

    /// So long after the last piece of the answer came another one.
    pub(crate) fn wrote(&self, gap: Duration) {
        if let Some(gaps) = &self.gaps {
            gaps.observe(gap.as_secs_f64());
        }
    }

    /// Nobody waits for what is left of it, which has come to this: it counts all the same.
    pub(crate) fn left(&self, spent: Usage) {
        let guest = self.guest.as_ref();
        if let Some(guest) = guest {
            guest.charge(spent.prompt_tokens + spent.output_tokens);
        }
        self.ledger.metrics.left(spent, guest.map(|guest| guest.name()));
    }

    /// Waits until it is to end.
    pub(crate) async fn cancelled(&self) {
        self.cancel.notified().await;
    }

    pub(crate) fn live(&self) -> &Live {
        &self.ledger.live
    }

    /// Who holds the key that it was asked for with.
    pub(crate) fn reader(&self) -> Option<Reader> {
        self.guest.as_ref().map(|guest| Reader::Key(guest.name().to_owned()))
    }

    /// It came to this.
    pub(crate) fn answered(&self, response: &Response, unexplained: Option<Unexplained>) {
        if let Some(guest) = &self.guest {
            guest.charge(response.usage.prompt_tokens + response.usage.output_tokens);
        }
        let key = self.guest.as_ref().map(|guest| guest.name());
        self.ledger.metrics.answered(response, key);
        if let Some(traces) = &self.ledger.traces {
            traces.answered(response, self.parent, key);
        }
        let mut counts = self.ledger.lock();
        let totals = &mut counts.totals;
        totals.answers += 1;
        totals.prompt_tokens += response.usage.prompt_tokens;
        totals.cached_tokens += response.usage.cached_tokens;
        totals.output_tokens += response.usage.output_tokens;
        totals.drafted_tokens += response.usage.drafted_tokens;
        totals.output_steps += response.usage.output_steps;
        totals.accepted_tokens += response.usage.accepted_tokens;
        totals.drafts += response.usage.drafts;
        let Response { id, usage, timings, why, .. } = response;
        let unexplained = || Some(Prompt::Unexplained(Box::new(unexplained?)));
        if let Some(prompt) = why.clone().map(Prompt::Explained).or_else(unexplained) {
            if counts.answered.len() == EXPLAINED_MAX {
                counts.answered.pop_front();
            }
            let (id, ended, usage, timings) = (id.clone(), now(), *usage, *timings);
            counts.answered.push_back(Arc::new(Answered { id, ended, usage, timings, prompt }));
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.waits(false);
        if let Some(guest) = &self.guest {
            guest.leave();
        }
        let mut counts = self.ledger.lock();
        counts.cancels.remove(&self.id);
        counts.running -= 1;
        if counts.running == 0 {
            counts.idle_since = Instant::now();
            self.ledger.rests.notify_one();
        }
    }
}

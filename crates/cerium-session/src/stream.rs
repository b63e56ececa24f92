//! Steps to events: the way up, from token ids to text, counts and an end.

use crate::calls::{Piece, Reader};
use crate::constraint::Lost;
use crate::generator::Steps;
use crate::history::Past;
use crate::likely::Likely;
use crate::service::{Limit, Service, refused};
use crate::steer::{Origin, Successor, Written};
use crate::text::{Flow, TextOut};
use crate::why::{self, Unexplained};
use cerium_engine::{DraftKind, Finish, FinishReason, Stats, Steer, Step};
use cerium_protocol::{
    DraftCounts, DraftUsage, DraftedFrom, ErrorBody, ErrorKind, Event, Item, Response, Role,
    Status, SteerResponse, Steered, TextDelta, Timings, TokenLogprob, Tool, ToolKind, Usage,
};
use std::collections::VecDeque;
use std::fmt;
use std::mem::discriminant;
use std::time::Duration;

/// Events of one answer: `Created`, `Queued` whenever it has to wait, any number of `TextDelta`, then `Done` or
/// `Failed`; after a `Steered` those of the answer that follows it.
///
/// Nothing is computed ahead of a reader that does not read, beyond a bounded number of tokens.
/// Dropping the stream cancels the work behind it.
pub struct Stream {
    service: Service,
    steps: Box<dyn Steps>,
    origin: Origin,
    limit: Limit,
    lost: Lost,
    /// Whether it is in the queue, as far as is known.
    waits: bool,
    text: TextOut,
    /// Finds calls and thoughts in the text, where there may be any.
    reader: Option<Reader>,
    written: Written,
    likely: Likely,
    /// Log-probabilities of tokens whose text is shown, but not told yet.
    logprobs: Vec<TokenLogprob>,
    /// What the last token's draft came from, if it had one.
    drafted: Option<DraftedFrom>,
    /// Bytes of the text that were shown.
    n_shown: usize,
    response: Response,
    /// What the engine has been told to go on with, until it does.
    next: Option<(Successor, Limit)>,
    /// Events made and not yet taken: at most the last text and the end.
    ready: VecDeque<Event>,
    phase: Phase,
    /// The prompt, if the answer has ended and does not explain it.
    unexplained: Option<Unexplained>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Writing,
    /// A stop text came; the engine was told, and only its counts are still of interest.
    Stopped,
    /// The reader wants no more; likewise.
    Cancelled,
    Over,
}

/// What a stream is made of.
pub(crate) struct StreamParts {
    pub(crate) service: Service,
    pub(crate) steps: Box<dyn Steps>,
    pub(crate) origin: Origin,
    pub(crate) limit: Limit,
    /// Whether it had to end before its shape was whole.
    pub(crate) lost: Lost,
    /// The response as it is created.
    pub(crate) response: Response,
}

impl Stream {
    pub(crate) fn new(parts: StreamParts) -> Self {
        let StreamParts { service, steps, origin, limit, lost, response } = parts;
        let ready = VecDeque::from([Event::Created(response.clone())]);
        Self {
            text: TextOut::new(origin.stops.clone()),
            reader: service.reader(&origin),
            logprobs: Vec::new(),
            drafted: None,
            written: Written::default(),
            likely: Likely::default(),
            n_shown: 0,
            next: None,
            phase: Phase::Writing,
            waits: false,
            unexplained: None,
            service,
            steps,
            origin,
            limit,
            lost,
            response,
            ready,
        }
    }

    /// Id of the response that is being written.
    pub fn id(&self) -> &str {
        &self.response.id
    }

    /// Waits for the next event; `None` after the last one.
    #[expect(clippy::should_implement_trait, reason = "an iterator would hide that this blocks")]
    pub fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.phase == Phase::Over {
                return None;
            }
            let step = self.steps.next();
            self.advance(step);
        }
    }

    /// The same without blocking a thread. Dropping the future loses no event.
    pub async fn next_async(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.phase == Phase::Over {
                return None;
            }
            let step = self.steps.next_async().await;
            self.advance(step);
        }
    }

    /// Has the answer go on otherwise: [`Event::Steered`] follows and says what was kept of it. Of what was
    /// not read yet nothing counts.
    ///
    /// # Errors
    /// `response_already_completed` when there is nothing to redirect any more, `too_many_pending_steers`
    /// before the last redirection has come, `invalid_input`, `steering_not_supported` when the model's
    /// template cannot have it, and as [`Service::respond`].
    pub fn steer(&mut self, request: &SteerResponse) -> Result<(), ErrorBody> {
        if self.phase != Phase::Writing || self.origin.warms {
            let what = "the response has ended";
            return Err(ErrorBody::invalid("previous_response_id", what)
                .with_code("response_already_completed"));
        }
        if self.next.is_some() {
            let what = "the response is being redirected already";
            return Err(ErrorBody::invalid("previous_response_id", what)
                .with_code("too_many_pending_steers"));
        }
        if self.reader.is_some() {
            let what = "an answer that may call tools, or think, cannot be redirected";
            return Err(ErrorBody::not_served("input", what).with_code("steering_not_supported"));
        }
        let shown = self.response.text();
        let next = self.origin.successor(&self.service, &self.written, &shown, request)?;
        let limit = self.service.limit(&next.origin, next.n_kept + next.tail.len())?;
        let steer = Steer {
            n_kept: next.n_kept,
            tokens: next.tail.clone(),
            max_tokens: limit.max_tokens,
            sampling: next.origin.sampling.clone(),
            drafts: next.drafts(&self.service),
        };
        self.steps.steer(steer).map_err(|error| refused(&error, "input"))?;
        self.next = Some((next, limit));
        Ok(())
    }

    /// What it took until here, as far as it is known before its end: tokens of the prompt, unless it waits still,
    /// and of the answer.
    pub fn spent(&self) -> Usage {
        let usage = self.response.usage;
        let has_begun = !self.waits && !self.origin.warms;
        let prompt_tokens = if has_begun { usage.prompt_tokens } else { 0 };
        Usage { prompt_tokens, output_tokens: self.written.ids.len() as u64, ..usage }
    }

    /// Whether nothing comes any more.
    pub(crate) fn is_over(&self) -> bool {
        self.phase == Phase::Over && self.ready.is_empty()
    }

    /// The conversation with as much of the answer as there is: what a request goes on from. None of raw text, and
    /// where there is no memory to remember it.
    pub fn past(&self) -> Option<Past> {
        let past = self.origin.past.as_ref().filter(|_| self.service.has_room())?;
        let said = past.said.iter().chain(&self.response.output).cloned().collect();
        Some(Past { history: past.history.clone(), said })
    }

    /// The prompt of an answer that has ended without explaining it; once.
    pub fn unexplained(&mut self) -> Option<Unexplained> {
        self.unexplained.take()
    }

    /// Asks for an early end: `Done` with status `Cancelled` follows soon, unless the answer had
    /// ended by itself.
    pub fn cancel(&mut self) {
        if self.phase == Phase::Writing {
            self.phase = Phase::Cancelled;
            self.steps.cancel();
        }
    }

    fn advance(&mut self, step: Option<Step>) {
        match step {
            Some(Step::Prefilled { n_cached, .. }) => {
                self.response.usage.cached_tokens = n_cached as u64;
                self.waits = false;
            }
            Some(Step::Token { id, likelihood, drafted })
                if self.phase == Phase::Writing && self.next.is_none() =>
            {
                self.drafted = drafted.map(drafted_from);
                let mut shown = String::new();
                let tokenizer = self.service.tokenizer();
                let bytes = tokenizer.token_bytes(id);
                if let Some(likelihood) = likelihood {
                    self.likely.push(self.written.n_bytes(), tokenizer, id, &likelihood);
                }
                self.written.push(id, bytes);
                // Control tokens stand for no text, but to whoever looks for calls.
                let bytes =
                    self.service.mark(id).filter(|_| self.reader.is_some()).unwrap_or(bytes);
                let flow = self.text.push(bytes, &mut shown);
                self.show(shown, false);
                self.heed(flow);
            }
            Some(Step::Queued { n_before, wait }) => {
                self.waits = true;
                let wait_ms = wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
                self.ready.push_back(Event::Queued { n_before, wait_ms });
            }
            Some(Step::Token { .. }) => {}
            Some(Step::Steered { stats }) => self.turn(&stats),
            Some(Step::Done(finish)) if self.phase == Phase::Writing && self.next.is_some() => {
                self.begin_again(&finish);
            }
            Some(Step::Done(finish)) => self.end(&finish),
            None => {
                self.phase = Phase::Over;
                self.ready.push_back(Event::Failed(broken()));
            }
        }
    }

    /// The answer had ended by itself when the engine was told to go on otherwise: the rest is a job of
    /// its own.
    fn begin_again(&mut self, finish: &Finish) {
        let Some((next, limit)) = &self.next else { return };
        let mut sequence = [&self.origin.prompt[..], &self.written.ids].concat();
        sequence.truncate(next.n_kept);
        sequence.extend(&next.tail);
        let job =
            self.service.job(&next.origin, sequence, limit.max_tokens, next.drafts(&self.service));
        match self.service.submit(job, "input") {
            Ok(steps) => {
                self.steps = steps;
                self.turn(&finish.stats);
            }
            Err(error) => {
                self.phase = Phase::Over;
                self.ready.push_back(Event::Failed(error));
            }
        }
    }

    /// The next answer begins.
    fn turn(&mut self, stats: &Stats) {
        let Some((next, limit)) = self.next.take() else { return };
        let mut successor = self.service.response(next.n_kept + next.tail.len());
        let begun = next.written.text();
        self.n_shown = begun.len();
        if !begun.is_empty() {
            successor.output = vec![Item::message(Role::Assistant, begun)];
        }
        let mut ended = std::mem::replace(&mut self.response, successor.clone());
        ended.status = Status::Incomplete;
        ended.incomplete_reason = Some("steered".to_owned());
        ended.output = vec![Item::message(Role::Assistant, next.kept)];
        (ended.usage, ended.timings) = (usage(stats), timings(stats));
        if why::is_told(&self.origin) {
            ended.why = Some(Box::new(why::explain(&self.service, &self.origin, stats)));
        }
        (self.origin, self.written, self.limit) = (next.origin, next.written, limit);
        (self.text, self.likely) = (TextOut::new(self.origin.stops.clone()), Likely::default());
        self.ready.push_back(Event::Steered(Box::new(Steered { ended, successor })));
    }

    /// * `is_all`: whether it is the rest of the text
    fn show(&mut self, text: String, is_all: bool) {
        self.n_shown += text.len();
        let n_shown = if is_all { usize::MAX } else { self.n_shown };
        self.logprobs.extend(self.likely.up_to(n_shown));
        match &mut self.reader {
            None if text.is_empty() && self.logprobs.is_empty() => {}
            None => self.tell(Piece::Text(text)),
            Some(reader) => reader.push(&text).into_iter().for_each(|piece| self.tell(piece)),
        }
    }

    /// Tells what was read; nothing of a second call where one is all that is wanted.
    fn tell(&mut self, piece: Piece) {
        if self.phase == Phase::Stopped {
            return;
        }
        // Those of tokens that say something are what was asked for.
        let logprobs = std::mem::take(&mut self.logprobs);
        match piece {
            Piece::Text(text) => {
                self.write(Item::message(Role::Assistant, ""), &text);
                self.response.logprobs.extend_from_slice(&logprobs);
                let drafted = self.drafted;
                self.ready.push_back(Event::TextDelta(TextDelta { text, logprobs, drafted }));
            }
            Piece::Thought(text) => {
                self.write(Item::Reasoning { text: String::new() }, &text);
                self.ready.push_back(Event::ReasoningDelta(text));
            }
            Piece::Call(_)
                if !self.origin.parallel && self.response.output.iter().any(Item::is_call) =>
            {
                self.phase = Phase::Stopped;
                self.steps.cancel();
            }
            Piece::Call(tool) => {
                let item = self.call(tool);
                self.add(item);
            }
            Piece::Given(text) => {
                if let Some(call) = self.response.output.last_mut() {
                    call.text_mut().push_str(&text);
                }
                self.ready.push_back(Event::CallDelta(text));
            }
        }
    }

    /// Writes on in the last item, if it is of this kind, or else in a new one.
    fn write(&mut self, item: Item, text: &str) {
        let last = self.response.output.last();
        if last.is_none_or(|last| discriminant(last) != discriminant(&item)) {
            self.add(item);
        }
        if let Some(last) = self.response.output.last_mut() {
            last.text_mut().push_str(text);
        }
    }

    /// Begins an item.
    fn add(&mut self, item: Item) {
        let index = self.response.output.len();
        self.response.output.push(item.clone());
        self.ready.push_back(Event::Added { index, item });
    }

    /// A call of one of the tools, whose arguments come.
    fn call(&self, tool: usize) -> Item {
        let Response { id, output, .. } = &self.response;
        let stem = id.strip_prefix("resp_").unwrap_or(id);
        let call_id = format!("call_{stem}_{}", output.len());
        let Tool { namespace, name, kind, .. } = &self.origin.tools[tool];
        let (name, namespace) = (name.clone(), namespace.clone());
        match kind {
            ToolKind::Function { .. } => {
                Item::FunctionCall { call_id, name, namespace, arguments: String::new() }
            }
            ToolKind::Custom { .. } => {
                Item::CustomToolCall { call_id, name, namespace, input: String::new() }
            }
        }
    }

    fn heed(&mut self, flow: Flow) {
        if flow == Flow::Stopped {
            self.phase = Phase::Stopped;
            self.steps.cancel();
        }
    }

    fn end(&mut self, finish: &Finish) {
        if self.phase == Phase::Writing && self.lost.is() {
            self.phase = Phase::Over;
            let what = "the answer's shape became too costly to follow; a simpler schema or grammar may do";
            let error = ErrorBody::new(ErrorKind::InvalidRequestError, what)
                .with_code("shape_not_followed");
            self.ready.push_back(Event::Failed(error));
            return;
        }
        if self.phase == Phase::Writing {
            let mut shown = String::new();
            let flow = self.text.finish(&mut shown);
            self.show(shown, flow == Flow::Open);
            self.heed(flow);
        }
        if self.phase != Phase::Cancelled
            && let Some(reader) = &mut self.reader
        {
            let phase = std::mem::replace(&mut self.phase, Phase::Writing);
            for piece in reader.finish() {
                self.tell(piece);
            }
            self.phase = phase;
        }
        let (status, reason) = match (self.phase, finish.reason) {
            (Phase::Stopped, _) | (_, FinishReason::Stop) => (Status::Completed, None),
            (Phase::Cancelled, _) | (_, FinishReason::Cancelled) => (Status::Cancelled, None),
            (_, FinishReason::Length) if self.origin.warms => (Status::Completed, None),
            (_, FinishReason::Length) if !self.limit.is_context => {
                (Status::Incomplete, Some("max_output_tokens"))
            }
            (_, FinishReason::Length | FinishReason::Context) => {
                (Status::Incomplete, Some("context"))
            }
        };
        self.phase = Phase::Over;
        if !self.origin.warms && self.response.output.is_empty() {
            self.add(Item::message(Role::Assistant, "")); // An empty answer has one, too.
        }
        let response = &mut self.response;
        response.status = status;
        response.incomplete_reason = reason.map(str::to_owned);
        response.usage = usage(&finish.stats);
        response.timings = timings(&finish.stats);
        if !self.origin.warms && why::is_told(&self.origin) {
            let why = why::explain(&self.service, &self.origin, &finish.stats);
            response.why = Some(Box::new(why));
        } else if !self.origin.warms {
            let prompt = std::mem::take(&mut self.origin.prompt);
            let (service, origin) = (self.service.clone(), self.origin.clone());
            let (origin, stats) = (Origin { prompt, ..origin }, finish.stats.clone());
            self.unexplained = Some(Unexplained::new(service, origin, stats));
        }
        self.ready.push_back(Event::Done(response.clone()));
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("id", &self.response.id)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

fn broken() -> ErrorBody {
    ErrorBody::new(ErrorKind::ServerError, "the engine stopped before the answer was complete")
        .with_code("server_error")
}

/// The counts of a generation, as responses tell them.
pub fn usage(stats: &Stats) -> Usage {
    let drafts = |kind: DraftKind| {
        let counts = stats.drafts[kind as usize];
        DraftCounts {
            drafted_tokens: counts.n_drafted as u64,
            accepted_tokens: counts.n_accepted as u64,
        }
    };
    Usage {
        prompt_tokens: stats.n_prompt as u64,
        cached_tokens: stats.n_cached as u64,
        output_tokens: stats.n_output as u64,
        output_steps: stats.n_steps as u64,
        drafted_tokens: stats.n_drafted() as u64,
        accepted_tokens: stats.n_accepted() as u64,
        drafts: DraftUsage {
            copied: drafts(DraftKind::Copy),
            changed: drafts(DraftKind::Transduced),
            repeated: drafts(DraftKind::Repeat),
            forced: drafts(DraftKind::Forced),
        },
    }
}

fn drafted_from(kind: DraftKind) -> DraftedFrom {
    match kind {
        DraftKind::Copy => DraftedFrom::Copied,
        DraftKind::Transduced => DraftedFrom::Changed,
        DraftKind::Repeat => DraftedFrom::Repeated,
        DraftKind::Forced => DraftedFrom::Forced,
    }
}

fn timings(stats: &Stats) -> Timings {
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    Timings {
        queue_ms: ms(stats.queued),
        prefill_ms: ms(stats.prefill),
        ttft_ms: ms(stats.ttft),
        decode_ms: ms(stats.decode),
        total_ms: ms(stats.total),
    }
}

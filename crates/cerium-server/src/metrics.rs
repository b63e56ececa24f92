//! What an operator sees: counts and times in Prometheus' text form, under the names that servers of
//! models have for them.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response as HttpResponse};
use cerium_protocol::{Response, Status, Usage};
use cerium_upstream::Health;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::Ordering::Relaxed;

/// Whose it is: the name of a key, or nothing where none is asked for.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Whose {
    key: String,
}

/// Whose it is and how it ended.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Ended {
    key: String,
    status: How,
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "spelled as in the protocol")]
enum How {
    completed,
    incomplete,
    cancelled,
    failed,
}

/// An engine elsewhere, by the name that the person gave it.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct There {
    upstream: String,
}

/// The model that answered, as clients call it: one here answers in other times than one elsewhere.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct By {
    model_name: String,
}

/// Status of answers over HTTP.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Code {
    code: u16,
}

type NewHistogram = fn() -> Histogram;

/// From so many seconds on, each bucket twice as wide as the one before.
fn histogram(first: f64, n: u16) -> Histogram {
    Histogram::new(exponential_buckets(first, 2.0, n))
}

/// All that is counted.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    answers: Family<Ended, Counter>,
    prompt: Family<Whose, Counter>,
    cached: Family<Whose, Counter>,
    generated: Family<Whose, Counter>,
    drafted: Counter,
    accepted: Counter,
    queued: Family<By, Histogram>,
    first: Family<By, Histogram>,
    gaps: Family<By, Histogram>,
    each: Family<By, Histogram>,
    whole: Family<By, Histogram>,
    running: Gauge,
    waiting: Gauge,
    codes: Family<Code, Counter>,
    up: Family<There, Gauge>,
    asked: Family<There, Counter>,
    failed: Family<There, Counter>,
    busy: Family<There, Gauge>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        // 10 ms to 11 minutes.
        let seconds = || Family::new_with_constructor((|| histogram(0.01, 17)) as NewHistogram);
        // 1 ms to 4 s.
        let short = || Family::new_with_constructor((|| histogram(0.001, 13)) as NewHistogram);
        let metrics = Self {
            registry: Registry::with_prefix("cerium"),
            answers: Family::default(),
            prompt: Family::default(),
            cached: Family::default(),
            generated: Family::default(),
            drafted: Counter::default(),
            accepted: Counter::default(),
            queued: seconds(),
            first: seconds(),
            gaps: short(),
            each: short(),
            whole: seconds(),
            running: Gauge::default(),
            waiting: Gauge::default(),
            codes: Family::default(),
            up: Family::default(),
            asked: Family::default(),
            failed: Family::default(),
            busy: Family::default(),
        };
        metrics.named()
    }

    fn named(mut self) -> Self {
        let to = &mut self.registry;
        to.register("answers", "Answers that ended", self.answers.clone());
        to.register("prompt_tokens", "Tokens of prompts", self.prompt.clone());
        to.register(
            "prompt_tokens_cached",
            "Tokens of prompts whose keys and values were there already",
            self.cached.clone(),
        );
        to.register("generation_tokens", "Tokens generated", self.generated.clone());
        to.register("spec_decode_num_draft_tokens", "Tokens drafted", self.drafted.clone());
        to.register(
            "spec_decode_num_accepted_tokens",
            "Drafted tokens that the model agreed to",
            self.accepted.clone(),
        );
        to.register_with_unit(
            "request_queue_time",
            "From the request to where its computation began",
            Unit::Seconds,
            self.queued.clone(),
        );
        to.register_with_unit(
            "inter_token_latency",
            "From one piece of an answer to the next, each",
            Unit::Seconds,
            self.gaps.clone(),
        );
        to.register_with_unit(
            "time_to_first_token",
            "From the request to its first token",
            Unit::Seconds,
            self.first.clone(),
        );
        to.register_with_unit(
            "time_per_output_token",
            "From one token to the next, the mean of an answer",
            Unit::Seconds,
            self.each.clone(),
        );
        to.register_with_unit(
            "e2e_request_latency",
            "From the request to the end of its answer",
            Unit::Seconds,
            self.whole.clone(),
        );
        to.register("num_requests_running", "Requests in progress", self.running.clone());
        to.register("num_requests_waiting", "Of these, those in the queue", self.waiting.clone());
        to.register("http_responses", "Answers over HTTP", self.codes.clone());
        to.register("upstream_up", "Whether an upstream is asked", self.up.clone());
        let asked = "Requests that an upstream was sent, those that were sent again included";
        to.register("upstream_requests", asked, self.asked.clone());
        let failed = "Requests and checks that an upstream failed";
        to.register("upstream_failures", failed, self.failed.clone());
        to.register("upstream_requests_running", "Requests in progress there", self.busy.clone());
        self
    }

    /// An answer ended so, which `key` had asked for.
    pub(crate) fn answered(&self, response: &Response, key: Option<&str>) {
        let key = key.unwrap_or_default().to_owned();
        let Response { status, usage, timings, model, .. } = response;
        let by = By { model_name: model.clone() };
        let status = match status {
            Status::Completed | Status::InProgress => How::completed,
            Status::Incomplete => How::incomplete,
            Status::Cancelled => How::cancelled,
            Status::Failed => How::failed,
        };
        self.ended(status, usage, key);
        self.queued.get_or_create(&by).observe(timings.queue_ms / 1e3);
        self.drafted.inc_by(usage.drafted_tokens);
        self.accepted.inc_by(usage.accepted_tokens);
        self.whole.get_or_create(&by).observe(timings.total_ms / 1e3);
        if usage.output_tokens > 0 {
            self.first.get_or_create(&by).observe(timings.ttft_ms / 1e3);
        }
        if usage.output_tokens > 1 {
            let n_gaps = (usage.output_tokens - 1) as f64;
            self.each.get_or_create(&by).observe(timings.decode_ms / 1e3 / n_gaps);
        }
    }

    /// Whoever had asked for an answer did not wait for its end; it had come to this.
    pub(crate) fn left(&self, spent: Usage, key: Option<&str>) {
        self.ended(How::cancelled, &spent, key.unwrap_or_default().to_owned());
    }

    fn ended(&self, status: How, usage: &Usage, key: String) {
        self.answers.get_or_create(&Ended { key: key.clone(), status }).inc();
        let whose = Whose { key };
        self.prompt.get_or_create(&whose).inc_by(usage.prompt_tokens);
        self.cached.get_or_create(&whose).inc_by(usage.cached_tokens);
        self.generated.get_or_create(&whose).inc_by(usage.output_tokens);
    }

    /// So many more requests wait.
    pub(crate) fn waiting(&self, n: i64) {
        self.waiting.inc_by(n);
    }

    /// Times between pieces of a model's answers.
    pub(crate) fn gaps(&self, model: &str) -> Histogram {
        self.gaps.get_or_create(&By { model_name: model.to_owned() }).clone()
    }

    /// An answer over HTTP had this status.
    pub(crate) fn told(&self, code: u16) {
        self.codes.get_or_create(&Code { code }).inc();
    }

    /// All of it, with so many requests in progress, and engines elsewhere that are as they are.
    pub(crate) fn page(&self, n_running: usize, upstreams: &[Health]) -> HttpResponse {
        let gauge = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        // Those that were there before may be gone.
        self.up.clear();
        self.busy.clear();
        self.asked.clear();
        self.failed.clear();
        for it in upstreams {
            let there = There { upstream: it.name.clone() };
            self.up.get_or_create(&there).set(i64::from(it.up));
            self.busy.get_or_create(&there).set(gauge(it.running));
            self.asked.get_or_create(&there).inner().store(it.requests, Relaxed);
            self.failed.get_or_create(&there).inner().store(it.failures, Relaxed);
        }
        self.running.set(gauge(n_running));
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a string takes all that is written");
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        ([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], text).into_response()
    }
}

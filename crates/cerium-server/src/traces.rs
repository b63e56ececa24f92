//! Spans of answers for a collector of traces: OTLP over HTTP, as JSON. They hold counts and times, and no text.
//!
//! An answer is one span, with its time in the queue, over its prompt and over its tokens as spans of their own
//! below it; it hangs below the client's span if the request has a `traceparent`. Source: OpenTelemetry's
//! specification of OTLP 1.3 and its names for generative models; W3C Trace Context.

use axum::http::HeaderMap;
use cerium_protocol::{Response, Status};
use serde_json::{Value, json};
use std::hash::{BuildHasher, RandomState};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Answers that wait to be sent; what comes beyond that is lost, and costs nobody time.
const N_WAITING_MAX: usize = 1024;

/// Answers in one message.
const N_BATCH: usize = 64;

/// How long an answer waits for company, and how long a collector may take.
const BATCH: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(5);

/// What sends spans, on a thread of its own.
#[derive(Debug)]
pub(crate) struct Traces(Mutex<Option<(SyncSender<Value>, JoinHandle<()>)>>);

impl Traces {
    /// Sends to a collector's address, as `OTEL_EXPORTER_OTLP_ENDPOINT` has it: `http://localhost:4318`.
    pub(crate) fn to(collector: &str) -> Self {
        let (sender, spans) = sync_channel(N_WAITING_MAX);
        let url = format!("{}/v1/traces", collector.trim_end_matches('/'));
        let thread = thread::Builder::new().name("cerium-traces".to_owned());
        let thread = thread.spawn(move || send(&url, &spans)).expect("a thread can be started");
        Self(Mutex::new(Some((sender, thread))))
    }

    /// An answer has ended, just now.
    pub(crate) fn answered(&self, response: &Response, parent: Option<Parent>, key: Option<&str>) {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((sender, _)) = &*open
            && sender.try_send(Value::Array(spans(response, parent, key))).is_err()
        {
            tracing::debug!("a span is lost: the collector is too slow");
        }
    }

    /// Sends what is left, if that can be done soon.
    pub(crate) fn close(&self) {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((sender, thread)) = open {
            drop(sender);
            // It takes as long as the collector may.
            let _ = thread.join();
        }
    }
}

/// The client's span that an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parent {
    trace: u128,
    span: u64,
}

impl Parent {
    /// What a `traceparent` header says, if it says anything.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut parts = headers.get("traceparent")?.to_str().ok()?.split('-');
        let (version, trace, span) = (parts.next()?, parts.next()?, parts.next()?);
        let is_hex = |text: &str, n| text.len() == n && text.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_hex(version, 2) || version == "ff" || !is_hex(trace, 32) || !is_hex(span, 16) {
            return None;
        }
        let trace = u128::from_str_radix(trace, 16).ok().filter(|&trace| trace > 0)?;
        let span = u64::from_str_radix(span, 16).ok().filter(|&span| span > 0)?;
        Some(Self { trace, span })
    }
}

/// The spans of an answer that ends now.
fn spans(response: &Response, parent: Option<Parent>, key: Option<&str>) -> Vec<Value> {
    let Response { id, model, status, usage, timings, .. } = response;
    let trace = parent.map_or_else(|| u128::from(fresh()) << 64 | u128::from(fresh()), |p| p.trace);
    let whole = fresh();
    let end = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let begin = end.saturating_sub(ms(timings.total_ms));
    let text = |name: &str, text: &str| json!({"key": name, "value": {"stringValue": text}});
    let number = |name: &str, n: u64| json!({"key": name, "value": {"intValue": n.to_string()}});
    let mut told = vec![
        text("gen_ai.operation.name", "chat"),
        text("gen_ai.provider.name", "cerium"),
        text("gen_ai.request.model", model),
        text("gen_ai.response.id", id),
        number("gen_ai.usage.input_tokens", usage.prompt_tokens),
        number("gen_ai.usage.output_tokens", usage.output_tokens),
        number("gen_ai.usage.cache_read.input_tokens", usage.cached_tokens),
        number("cerium.usage.drafted_tokens", usage.drafted_tokens),
        number("cerium.usage.accepted_tokens", usage.accepted_tokens),
    ];
    told.extend(key.map(|key| text("cerium.key", key)));
    let span = |id: u64, parent: u64, name: &str, from: Duration, to: Duration| {
        json!({
            "traceId": format!("{trace:032x}"), "spanId": format!("{id:016x}"),
            "parentSpanId": if parent == 0 { String::new() } else { format!("{parent:016x}") },
            "name": name, "kind": if id == whole { 2 } else { 1 },
            "startTimeUnixNano": from.as_nanos().to_string(),
            "endTimeUnixNano": to.as_nanos().to_string(),
        })
    };
    let mut answer =
        span(whole, parent.map_or(0, |p| p.span), &format!("chat {model}"), begin, end);
    answer["attributes"] = told.into();
    answer["status"] = json!({"code": if *status == Status::Failed { 2 } else { 1 }});
    let (queued, read) = (begin + ms(timings.queue_ms), begin + ms(timings.prefill_ms));
    let first = begin + ms(timings.ttft_ms);
    let mut all = vec![answer];
    for (name, from, to) in [
        ("queue", begin, queued),
        ("prefill", queued, read.max(queued)),
        ("decode", first, first + ms(timings.decode_ms)),
    ] {
        if to > from {
            all.push(span(fresh(), whole, name, from, to));
        }
    }
    all
}

fn ms(ms: f64) -> Duration {
    Duration::try_from_secs_f64(ms / 1e3).unwrap_or_default()
}

/// A number that nobody has seen before, and not 0.
fn fresh() -> u64 {
    RandomState::new().hash_one(()).max(1)
}

/// Sends what comes, some at a time, until nothing can come any more.
fn send(url: &str, spans: &Receiver<Value>) {
    let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE));
    let agent = ureq::Agent::new_with_config(config.build());
    while let Ok(first) = spans.recv() {
        let mut batch = vec![first];
        while batch.len() < N_BATCH
            && let Ok(next) = spans.recv_timeout(BATCH)
        {
            batch.push(next);
        }
        let spans: Vec<&Value> = batch.iter().filter_map(Value::as_array).flatten().collect();
        let service = json!({"key": "service.name", "value": {"stringValue": "cerium"}});
        let body = json!({"resourceSpans": [{
            "resource": {"attributes": [service]},
            "scopeSpans": [{"scope": {"name": "cerium"}, "spans": spans}],
        }]});
        let sent = agent.post(url).content_type("application/json").send(body.to_string());
        if let Err(error) = sent {
            tracing::warn!(%error, n = batch.len(), "traces could not be sent");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_s_span_is_read_from_its_header() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", text.parse().unwrap());
            Parent::of(&headers)
        };
        let told = of("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
        assert_eq!(told.trace, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!(told.span, 0xb7ad_6b71_6920_3331);
        for none in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(of(none), None, "{none}");
        }
    }
}

//! One engine: a connection to it, what is known of it, and one attempt at an answer.

use crate::asking::{Reader, Wire};
use crate::breaker::Breaker;
use crate::error::{Failure, bad_gateway, chain, late, unreachable};
use crate::listing;
use crate::options::{Secret, UpstreamError, UpstreamOptions};
use cerium_protocol::wire::refusal;
use cerium_protocol::wire::sse::EventReader;
use cerium_protocol::{ErrorBody, Event};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Longest body of an error, and of a list of models.
const SHORT_BYTES_MAX: usize = 1 << 20;

/// Longest stream: all that an answer may hold, wrapped in events, and its request once or twice.
const STREAM_BYTES_MAX: usize = 512 << 20;

/// How long a check of an engine may take.
const CHECK_MAX: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) options: UpstreamOptions,
    base: Url,
    client: Client,
    breaker: Mutex<Breaker>,
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) counts: Counts,
    contexts: Mutex<HashMap<String, usize>>,
    heard: Mutex<Option<Instant>>,
}

/// What it was asked, since the start.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) requests: AtomicU64,
    pub(crate) failures: AtomicU64,
}

impl Upstream {
    pub(crate) fn new(options: UpstreamOptions) -> Result<Self, UpstreamError> {
        let base = options.base()?;
        let mut headers = HeaderMap::new();
        if let Some(key) = options.key.as_ref().and_then(Secret::header) {
            headers.insert(AUTHORIZATION, key);
        }
        // Somebody else in this process may have chosen already; it is the same then.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .default_headers(headers)
            .redirect(Policy::none())
            .connect_timeout(options.connect_max)
            .tcp_nodelay(true)
            .build()
            .map_err(|error| UpstreamError::Client(chain(error)))?;
        Ok(Self {
            permits: Arc::new(Semaphore::new(options.concurrency)),
            options,
            base,
            client,
            breaker: Mutex::default(),
            counts: Counts::default(),
            contexts: Mutex::default(),
            heard: Mutex::default(),
        })
    }

    /// Whether a request may be sent to it now.
    pub(crate) fn admits(&self) -> bool {
        self.breaker().admits(Instant::now())
    }

    /// How long none may, if that is so.
    pub(crate) fn closed_for(&self) -> Option<Duration> {
        self.breaker().closed_for(Instant::now())
    }

    /// The longest sequence of a model that it serves, by its own name for it, if it said so.
    pub(crate) fn context(&self, model: &str) -> Option<usize> {
        lock(&self.contexts).get(model).copied()
    }

    /// One attempt at an answer, up to its head.
    pub(crate) async fn ask(&self, wire: Wire) -> Result<Telegraph<'_>, Failure> {
        self.counts.requests.fetch_add(1, Relaxed);
        let asked = Instant::now();
        let sent = self.send(wire.path, wire.body);
        let response = match timeout(self.options.first_max, sent).await {
            Ok(Ok(response)) => response,
            Ok(Err(failure)) => return Err(self.judge(failure)),
            Err(_) => return Err(self.judge(Failure::better(self.too_late()))),
        };
        Ok(Telegraph {
            upstream: self,
            response,
            sse: EventReader::default(),
            reader: wire.reader,
            ready: VecDeque::new(),
            n_bytes: 0,
            // Before its first word an engine may have to read a long prompt.
            patience: self.options.first_max.saturating_sub(asked.elapsed()),
            ended: false,
        })
    }

    async fn send(&self, path: &str, body: Vec<u8>) -> Result<Response, Failure> {
        let request = self.client.post(self.at(path)).body(body);
        let request = request.header(CONTENT_TYPE, "application/json");
        let response = request.header(ACCEPT, "text/event-stream").send().await;
        let response = response.map_err(|error| {
            Failure::better(unreachable(self.say(&format!("cannot be reached: {}", chain(error)))))
        })?;
        let status = response.status();
        if status.is_redirection() {
            let what = "answers with a redirect, which is not followed: name its own address";
            return Err(Failure::elsewhere(bad_gateway(self.say(what))));
        }
        if !status.is_success() {
            return Err(self.refused(response).await);
        }
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if kind.is_none_or(|kind| !kind.starts_with("text/event-stream")) {
            return Err(Failure::elsewhere(bad_gateway(self.say("does not answer with a stream"))));
        }
        Ok(response)
    }

    /// A refusal, in the engine's own words: unless it refuses us, which is no affair of the client's.
    async fn refused(&self, response: Response) -> Failure {
        let status = response.status();
        let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let after = after.and_then(|text| text.parse().ok()).map(Duration::from_secs);
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            let what = format!("refuses this server's key ({})", status.as_u16());
            return Failure::elsewhere(bad_gateway(self.say(&what)));
        }
        let body = self.short(response).await.unwrap_or_default();
        let error = self.conceal(refusal::read(status.as_u16(), &body));
        let error = match after {
            Some(after) => error.retry_after(after),
            None => error,
        };
        match status.as_u16() {
            408 | 425 | 429 | 500 | 502..=504 | 529 => Failure { after, ..Failure::better(error) },
            // Another engine may have the model.
            404 => Failure::elsewhere(error),
            _ => Failure::same(error),
        }
    }

    /// All of a short body.
    async fn short(&self, mut response: Response) -> Option<Vec<u8>> {
        let read = async {
            let mut body = Vec::new();
            while let Some(bytes) = response.chunk().await.ok()? {
                if body.len() + bytes.len() > SHORT_BYTES_MAX {
                    return None;
                }
                body.extend_from_slice(&bytes);
            }
            Some(body)
        };
        timeout(CHECK_MAX, read).await.ok().flatten()
    }

    /// Looks whether it lives, and how long its models' conversations may be.
    pub(crate) async fn check(&self) {
        let look = async {
            let response = self.client.get(self.at("models")).send().await.ok()?;
            // Not every engine lists its models; one that answers lives.
            if response.status().is_server_error() {
                return None;
            }
            let listed = response.status().is_success();
            let body = self.short(response).await.unwrap_or_default();
            Some(if listed { listing::contexts(&body) } else { HashMap::new() })
        };
        match timeout(CHECK_MAX, look).await {
            Ok(Some(contexts)) => {
                lock(&self.contexts).extend(contexts);
                self.heard();
            }
            Ok(None) | Err(_) => self.failed("does not answer a check"),
        }
    }

    /// When it was last heard of.
    pub(crate) fn last_heard(&self) -> Option<Instant> {
        *lock(&self.heard)
    }

    /// It works.
    fn heard(&self) {
        *lock(&self.heard) = Some(Instant::now());
        let mut breaker = self.breaker();
        if breaker.closed_for(Instant::now()).is_some() {
            tracing::info!(upstream = self.options.name, "answers again");
        }
        breaker.succeeded();
    }

    fn failed(&self, what: &str) {
        self.counts.failures.fetch_add(1, Relaxed);
        self.breaker().failed(Instant::now());
        tracing::warn!(upstream = self.options.name, what, "upstream failed");
    }

    /// Notes a failure, if it is the engine's.
    fn judge(&self, failure: Failure) -> Failure {
        match failure.error.status {
            // It is there, and has its reasons.
            Some(400..=499) => {}
            _ => self.failed(&failure.error.message),
        }
        failure
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path.split('/'));
        }
        url
    }

    fn say(&self, what: &str) -> String {
        let name = &self.options.name;
        let said = format!("upstream `{name}` {what}");
        self.options.key.as_ref().map_or_else(|| said.clone(), |key| key.conceal(&said))
    }

    /// An error without the key, which some services repeat.
    fn conceal(&self, error: ErrorBody) -> ErrorBody {
        match &self.options.key {
            Some(key) => ErrorBody { message: key.conceal(&error.message), ..error },
            None => error,
        }
    }

    fn too_late(&self) -> ErrorBody {
        let patience = self.options.first_max;
        late(self.say(&format!("did not begin its answer within {patience:?}")))
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        lock(&self.breaker)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An answer as it comes in. Dropping it closes the connection.
pub(crate) struct Telegraph<'a> {
    upstream: &'a Upstream,
    response: Response,
    sse: EventReader,
    reader: Reader,
    ready: VecDeque<Event>,
    n_bytes: usize,
    /// How long the next event may take. Comments that say that a stream lives do not prolong it.
    patience: Duration,
    ended: bool,
}

impl Telegraph<'_> {
    /// The next event; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>, Failure> {
        if self.ready.is_empty() && !self.ended {
            let (patience, upstream) = (self.patience, self.upstream);
            match timeout(patience, self.read_on()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(upstream.judge(Failure::better(error))),
                Err(_) if patience == upstream.options.silence_max => {
                    let what = upstream.say(&format!("said nothing for {patience:?}"));
                    return Err(upstream.judge(Failure::better(late(what))));
                }
                Err(_) => return Err(upstream.judge(Failure::better(upstream.too_late()))),
            }
        }
        let Some(event) = self.ready.pop_front() else { return Ok(None) };
        self.patience = self.upstream.options.silence_max;
        if let Event::Failed(error) = event {
            let error = self.upstream.conceal(error);
            let status = Some(error.status.unwrap_or(502));
            return Err(self.upstream.judge(Failure::better(ErrorBody { status, ..error })));
        }
        self.upstream.heard();
        Ok(Some(event))
    }

    /// Reads until there is an event, or the end.
    async fn read_on(&mut self) -> Result<(), ErrorBody> {
        while self.ready.is_empty() && !self.ended {
            let upstream = self.upstream;
            let broken = |what: &str| bad_gateway(upstream.say(what));
            let chunk = self.response.chunk().await;
            let chunk = chunk.map_err(|error| {
                unreachable(upstream.say(&format!("broke its answer off: {}", chain(error))))
            })?;
            let Some(bytes) = chunk else {
                self.ended = true;
                self.ready.extend(self.reader.end());
                return Ok(());
            };
            self.n_bytes += bytes.len();
            if self.n_bytes > STREAM_BYTES_MAX {
                return Err(broken("sends more than any answer has"));
            }
            let (ready, reader) = (&mut self.ready, &mut self.reader);
            let mut unread = None;
            let pushed = self.sse.push(&bytes, |data| match reader.read(&data) {
                Ok(events) if unread.is_none() => ready.extend(events),
                Ok(_) => {}
                Err(error) => unread = unread.take().or(Some(error)),
            });
            if let Some(error) = unread {
                return Err(broken(&format!("cannot be understood: {}", error.message)));
            }
            pushed.map_err(|error| broken(&error.to_string()))?;
        }
        Ok(())
    }
}

//! The model hub: one file over HTTP, continued where an earlier run stopped.
//!
//! `hf-hub` knows the hub's address and the URL of a file; the transfer is done here, because its
//! own has no time limits, does not hash while writing, and keeps files in its own cache.
//! The socket is read on a thread of its own, so that a silent server delays neither the
//! five-second limit nor a cancel.

use super::sink::Sink;
use super::{Job, Sources, Stop, check_space};
use crate::{Attempt, HubError, PullEvent};
use hf_hub::api::sync::ApiBuilder;
use hf_hub::{Cache, Repo};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};
use ureq::http::{StatusCode, header};
use ureq::tls::{RootCerts, TlsConfig};

/// A transfer that breaks off is taken up again this often.
const RETRIES: u32 = 4;

/// What the reading thread reports.
enum Received {
    /// The answer begins, at this byte of the file.
    From(u64),
    Bytes(Vec<u8>),
    End,
    Failed(String),
}

/// Fetches `entry.file` of a repository; returns the verified file.
pub(super) fn fetch(job: &mut Job<'_>, repo: &str) -> Result<PathBuf, Stop> {
    let url = file_url(job, repo)?;
    let path = job.dir.join("hub.part");
    let entry = job.entry;
    let mut retries = 0;
    loop {
        let sink = Sink::resume(job, entry, &path)?;
        let before = sink.done();
        check_space(job, entry.bytes - before)?;
        match transfer(job, &url, sink, &path) {
            Ok(sink) => return sink.finish(),
            Err(Broken::Stop(stop)) => return Err(stop),
            Err(Broken::Midway { why, done }) => {
                // Only a transfer that got somewhere is worth taking up again at once.
                if retries == RETRIES || done <= before {
                    return Err(Attempt::Network(why).into());
                }
                retries += 1;
            }
        }
    }
}

fn file_url(job: &Job<'_>, repo: &str) -> Result<String, Stop> {
    // The cache is never written to; naming one keeps `hf-hub` from looking for a home directory.
    let mut builder = ApiBuilder::from_cache(Cache::new(job.dir.to_owned())).with_token(None);
    if let Some(endpoint) = &job.sources.hub_endpoint {
        builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
    }
    let api = builder.build().map_err(|error| Attempt::Network(error.to_string()))?;
    Ok(api.repo(Repo::model(repo.to_owned())).url(job.entry.file))
}

enum Broken {
    Stop(Stop),
    Midway { why: String, done: u64 },
}

impl<E: Into<Stop>> From<E> for Broken {
    fn from(stop: E) -> Self {
        Self::Stop(stop.into())
    }
}

/// One request for the bytes that `sink` lacks.
fn transfer<'a>(
    job: &mut Job<'a>,
    url: &str,
    mut sink: Sink<'a>,
    path: &Path,
) -> Result<Sink<'a>, Broken> {
    let total = job.entry.bytes;
    if sink.done() == total {
        return Ok(sink);
    }
    let pieces = request(job.sources, url, sink.done(), total);
    let (patience, stall) = (job.sources.hub_patience, job.sources.stall);
    match receive(job, &pieces, patience)? {
        Received::From(at) if at == sink.done() => {}
        // The server does not continue files: from the start, then.
        Received::From(_) => sink = Sink::create(job.entry, path)?,
        Received::Failed(why) => return Err(Attempt::Network(why).into()),
        Received::Bytes(_) | Received::End => {
            return Err(Attempt::Network("an answer without a head".into()).into());
        }
    }
    loop {
        match receive(job, &pieces, stall) {
            Ok(Received::Bytes(bytes)) => sink.write(&bytes)?,
            Ok(Received::End) if sink.done() == total => return Ok(sink),
            Ok(Received::Failed(why)) => return Err(Broken::Midway { why, done: sink.done() }),
            Ok(Received::End | Received::From(_)) => {
                let why = format!("broke off at {} of {total} bytes", sink.done());
                return Err(Broken::Midway { why, done: sink.done() });
            }
            Err(Stop::Next(why)) => {
                return Err(Broken::Midway { why: why.to_string(), done: sink.done() });
            }
            Err(stop) => return Err(Broken::Stop(stop)),
        }
        job.tell(PullEvent::Bytes { done: sink.done(), total })?;
    }
}

/// The next report, or an error when none comes within `limit`.
fn receive(
    job: &mut Job<'_>,
    pieces: &Receiver<Received>,
    limit: Duration,
) -> Result<Received, Stop> {
    let start = Instant::now();
    loop {
        match pieces.recv_timeout(Duration::from_millis(100).min(limit)) {
            Ok(received) => return Ok(received),
            Err(RecvTimeoutError::Disconnected) => return Ok(Received::End),
            Err(RecvTimeoutError::Timeout) if start.elapsed() >= limit => {
                let why = format!("no answer within {:.0} s", limit.as_secs_f64());
                return Err(Attempt::Network(why).into());
            }
            // An empty event: the caller may want to cancel while nothing moves.
            Err(RecvTimeoutError::Timeout) => {
                if job.progress.event(PullEvent::Idle).is_break() {
                    return Err(HubError::Cancelled.into());
                }
            }
        }
    }
}

/// Starts a thread that requests the file from byte `from` on and reports what comes. It ends when
/// the receiver is gone, at the latest when the server has sent nothing for the stall limit.
fn request(sources: &Sources, url: &str, from: u64, total: u64) -> Receiver<Received> {
    // Four pieces of 256 KiB: enough to read ahead of the hashing, and a bound.
    let (sender, receiver) = sync_channel(4);
    let (url, patience, stall) = (url.to_owned(), sources.hub_patience, sources.stall);
    thread::spawn(move || {
        if let Err(why) = read(&url, from, total, (patience, stall), &sender) {
            let _ = sender.send(Received::Failed(why));
        }
    });
    receiver
}

fn read(
    url: &str,
    from: u64,
    total: u64,
    (patience, stall): (Duration, Duration),
    sender: &SyncSender<Received>,
) -> Result<(), String> {
    let agent = ureq::Agent::config_builder()
        .timeout_resolve(Some(patience))
        .timeout_connect(Some(patience))
        .timeout_recv_response(Some(patience))
        .timeout_per_read(Some(stall))
        .http_status_as_error(false)
        .user_agent(concat!("cerium/", env!("CARGO_PKG_VERSION")))
        // The system's certificates, so that a company's own authority is known.
        .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
        .build()
        .new_agent();
    let response = agent
        .get(url)
        .header(header::RANGE, format!("bytes={from}-"))
        .header(header::ACCEPT_ENCODING, "identity")
        .call()
        .map_err(|error| error.to_string())?;
    let at = match response.status() {
        StatusCode::OK => 0,
        StatusCode::PARTIAL_CONTENT => {
            let range = response.headers().get(header::CONTENT_RANGE);
            let range = range.and_then(|value| value.to_str().ok()).unwrap_or_default();
            let (start, length) = parse_range(range).ok_or("an answer with a strange range")?;
            if length != total {
                return Err(format!("the file has {length} bytes there, wanted {total}"));
            }
            start
        }
        status => return Err(format!("answered {status}")),
    };
    // An error means that nobody listens any more.
    if sender.send(Received::From(at)).is_err() {
        return Ok(());
    }
    let mut body = response.into_body().into_reader();
    loop {
        let mut piece = vec![0; 256 << 10];
        let n = body.read(&mut piece).map_err(|error| error.to_string())?;
        piece.truncate(n);
        let report = if n == 0 { Received::End } else { Received::Bytes(piece) };
        if sender.send(report).is_err() || n == 0 {
            return Ok(());
        }
    }
}

/// First byte and whole length of `bytes 5-9/10`.
fn parse_range(value: &str) -> Option<(u64, u64)> {
    let (range, length) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.parse().ok()?, length.parse().ok()?))
}

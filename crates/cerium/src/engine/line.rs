//! A line to an engine: HTTP/1.1 over its socket, of which both ends are the same person.

use bytes::Bytes;
use cerium_protocol::wire::ErrorEnvelope;
use cerium_protocol::wire::engine::{Explained, HELLO, Hello, STOP, Stop, Stopping, WHY};
use cerium_protocol::{ErrorBody, ErrorKind};
use http_body_util::{BodyExt as _, Collected, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use rustix::process::geteuid;
use serde::de::DeserializeOwned;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

/// Longest answer to a short question.
const SHORT_BYTES_MAX: usize = 1 << 20;

/// How long an engine may take to say what it is. It has little to do for that, but the machine may
/// be busy.
const HELLO_MAX: Duration = Duration::from_secs(10);

/// Why a line was of no use.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Nobody is at the other end any more.
    Gone(String),
    /// What was asked is refused.
    Refused(ErrorBody),
}

impl Trouble {
    pub(super) fn gone(error: impl std::error::Error) -> Self {
        let causes = std::iter::successors(error.source(), |&cause| cause.source());
        Self::Gone(causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}")))
    }
}

/// What moves bytes while somebody waits for them.
type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection. Nothing of it runs by itself, so that dropping it closes it at once.
pub(super) struct Line {
    sender: SendRequest<Full<Bytes>>,
    driver: Option<Driver>,
}

/// An answer that is being told on a line.
pub(super) struct Told {
    line: Line,
    body: Incoming,
}

/// What lines run on: one thread, the caller's.
pub(super) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

impl Line {
    pub(super) async fn open(socket: &Path) -> Result<Self, Trouble> {
        let stream = UnixStream::connect(socket).await.map_err(Trouble::gone)?;
        let peer = stream.peer_cred().map_err(Trouble::gone)?;
        if peer.uid() != geteuid().as_raw() {
            let what = format!("`{}` is answered by somebody else", socket.display());
            return Err(Trouble::Gone(what));
        }
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(Trouble::gone)?;
        // What breaks the connection is told to whoever waits for an answer.
        let driver: Driver = Box::pin(async move { drop(connection.await) });
        Ok(Self { sender, driver: Some(driver) })
    }

    /// Sends a request; the head of the answer is there, and it is no refusal.
    pub(super) async fn post(mut self, path: &str, body: Vec<u8>) -> Result<Told, Trouble> {
        let answer = self.send(Method::POST, path, body).await?;
        let (head, body) = answer.into_parts();
        let mut told = Told { line: self, body };
        if head.status == StatusCode::OK {
            return Ok(told);
        }
        let body = told.short().await?;
        Err(Trouble::Refused(refusal(head.status, &body)))
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Response<Incoming>, Trouble> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(body))
            .map_err(Trouble::gone)?;
        let Self { sender, driver } = self;
        drive(driver, sender.send_request(request)).await.map_err(Trouble::gone)
    }

    /// Asks a short question; the line is free again afterwards.
    pub(super) async fn ask<T: DeserializeOwned>(
        self,
        path: &str,
        question: &impl serde::Serialize,
    ) -> Result<(T, Self), Trouble> {
        let body = serde_json::to_vec(question).map_err(Trouble::gone)?;
        self.post(path, body).await?.read().await
    }

    /// What an engine says of itself.
    pub(super) async fn hello(socket: &Path) -> Result<Hello, Trouble> {
        Self::look(socket, HELLO).await
    }

    /// What an engine tells of its last answers, if it is there and of this build.
    pub(super) fn explained(socket: &Path) -> Option<Vec<Explained>> {
        runtime().ok()?.block_on(Self::look(socket, WHY)).ok()
    }

    /// What an engine has to say at a path.
    async fn look<T: DeserializeOwned>(socket: &Path, path: &str) -> Result<T, Trouble> {
        let look = async {
            let mut line = Self::open(socket).await?;
            let body = line.send(Method::GET, path, Vec::new()).await?.into_body();
            let body = Told { line, body }.short().await?;
            serde_json::from_slice(&body).map_err(Trouble::gone)
        };
        timeout(HELLO_MAX, look).await.unwrap_or_else(|late| Err(Trouble::gone(late)))
    }

    /// Asks an engine to leave; whether it does, if it is there.
    pub(super) fn stop(socket: &Path, if_idle: bool) -> Option<bool> {
        let stop = async {
            let line = Self::open(socket).await?;
            let (Stopping { stopping }, _) = line.ask(STOP, &Stop { if_idle }).await?;
            Ok::<_, Trouble>(stopping)
        };
        let stop = async { timeout(HELLO_MAX, stop).await.ok()?.ok() };
        runtime().ok()?.block_on(stop)
    }
}

impl Told {
    /// The next bytes; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Trouble> {
        loop {
            let frame = drive(&mut self.line.driver, self.body.frame()).await;
            match frame {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
                Some(Err(error)) => return Err(Trouble::gone(error)),
            }
        }
    }

    /// The line, free again if all was told.
    pub(super) async fn end(mut self) -> Option<Line> {
        self.next().await.ok()?.is_none().then_some(self.line)
    }

    /// What a short answer says; the line is free again afterwards.
    pub(super) async fn read<T: DeserializeOwned>(mut self) -> Result<(T, Line), Trouble> {
        let body = self.short().await?;
        Ok((serde_json::from_slice(&body).map_err(Trouble::gone)?, self.line))
    }

    /// All of a short answer.
    async fn short(&mut self) -> Result<Bytes, Trouble> {
        let body = Limited::new(&mut self.body, SHORT_BYTES_MAX);
        let whole = drive(&mut self.line.driver, body.collect()).await;
        whole.map(Collected::to_bytes).map_err(|error| Trouble::Gone(error.to_string()))
    }
}

/// Waits for something on a line while its bytes move.
async fn drive<T>(driver: &mut Option<Driver>, work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    if let Some(moving) = driver {
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = moving => {}
        }
        // The connection is over; what came through it is still to be had.
        *driver = None;
    }
    work.await
}

/// What a refusal says. Two kinds of error have one name on the wire and differ by status.
fn refusal(status: StatusCode, body: &[u8]) -> ErrorBody {
    match serde_json::from_slice::<ErrorEnvelope>(body) {
        Ok(ErrorEnvelope { error }) => match status {
            StatusCode::NOT_FOUND => ErrorBody { kind: ErrorKind::NotFoundError, ..error },
            StatusCode::FORBIDDEN => ErrorBody { kind: ErrorKind::PermissionError, ..error },
            _ => error,
        },
        Err(_) => {
            ErrorBody::new(ErrorKind::ServerError, format!("the engine answered with {status}"))
        }
    }
}

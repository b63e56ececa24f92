//! A server on a port of its own, and a client that writes its requests byte by byte.

use crate::script::{self, Act, Seen};
use cerium_server::{Doors, ServerOptions, serve};
use cerium_session::Service;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How long a test waits for what must happen, on a machine that may be busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// A running server; stopped when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves on a free port of this machine.
    pub(crate) fn start(service: Service, options: ServerOptions) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (tell, address) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                let stopped = async { drop(stopped.await) };
                let doors = Doors { public: Some(listener.into()), private: None };
                serve(doors, service, options, stopped).await.unwrap();
            });
        });
        let address = address.recv().unwrap();
        Self { address, stop: Some(stop), thread: Some(thread) }
    }

    /// Asks the server to shut down.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits until it has.
    pub(crate) fn join(&mut self) {
        self.thread.take().unwrap().join().unwrap();
    }

    /// Opens a connection.
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends a request as it is and reads the answer.
    pub(crate) fn send(&self, request: &[u8]) -> Answer {
        let mut stream = self.connect();
        // A server that refuses early may close before it has read all.
        let _ = stream.write_all(request);
        Answer::read(&mut BufReader::new(stream))
    }

    /// `GET path`.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())
    }

    /// `DELETE path`.
    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.send(format!("DELETE {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())
    }

    /// `POST path` with a JSON body.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(&post(path, body))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A server over a scripted engine, with little patience for shutdowns.
pub(crate) fn scripted(act: Act) -> (Server, Arc<Seen>) {
    scripted_with(act, ServerOptions { grace: Duration::from_millis(50), ..Default::default() })
}

pub(crate) fn scripted_with(act: Act, options: ServerOptions) -> (Server, Arc<Seen>) {
    let (service, seen) = script::service(act);
    (Server::start(service, options), seen)
}

/// The bytes of a POST.
pub(crate) fn post(path: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:8383\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Waits until `done`, which another thread brings about.
pub(crate) fn wait_until(what: &str, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        thread::yield_now();
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
    /// Whether the body ended as announced.
    pub(crate) whole: bool,
}

impl Answer {
    pub(crate) fn read(stream: &mut impl BufRead) -> Self {
        let mut answer = Self::head(stream);
        let mut body = Vec::new();
        if answer.header("transfer-encoding") == Some("chunked") {
            while let Some(chunk) = chunk(stream) {
                if chunk.is_empty() {
                    answer.whole = true;
                    break;
                }
                body.extend(chunk);
            }
        } else {
            let n: usize = answer.header("content-length").map_or(0, |n| n.parse().unwrap());
            body.resize(n, 0);
            answer.whole = stream.read_exact(&mut body).is_ok();
        }
        answer.body = String::from_utf8(body).unwrap();
        answer
    }

    /// Only the head: the body is left to be read.
    pub(crate) fn head(stream: &mut impl BufRead) -> Self {
        let mut lines = stream.lines().map(Result::unwrap);
        let status = lines.next().expect("an answer").split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .take_while(|line| !line.is_empty())
            .map(|line| {
                let (name, value) = line.split_once(": ").unwrap();
                (name.to_ascii_lowercase(), value.to_owned())
            })
            .collect();
        Self { status, headers, body: String::new(), whole: false }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    /// `status code` of an error, after a look at its shape.
    pub(crate) fn error(&self) -> String {
        let json = self.json();
        let error = json["error"].as_object().expect("an error object");
        for key in ["message", "type", "param", "code"] {
            assert!(error.contains_key(key), "`{key}` is missing: {json}");
        }
        assert_eq!(self.header("content-type"), Some("application/json"));
        format!("{} {}", self.status, error["code"].as_str().unwrap_or("-"))
    }

    /// The `data` of an event stream's events.
    pub(crate) fn data(&self) -> Vec<&str> {
        self.body.lines().filter_map(|line| line.strip_prefix("data: ")).collect()
    }
}

/// One chunk of a chunked body: empty at the end, `None` when the connection is gone.
pub(crate) fn chunk(stream: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut size = String::new();
    stream.read_line(&mut size).ok().filter(|&n| n > 0)?;
    let n = usize::from_str_radix(size.trim(), 16).unwrap();
    let mut chunk = vec![0; n + 2];
    stream.read_exact(&mut chunk).ok()?;
    chunk.truncate(n);
    Some(chunk)
}

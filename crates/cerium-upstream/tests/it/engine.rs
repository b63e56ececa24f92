//! An engine that plays a script: HTTP/1.1 on a port of its own.
//!
//! The tests of `cerium-server` use this file too.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for what must happen, on a machine that may be busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// What the engine does with one request.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Answers with these lines as events and ends the stream.
    Tell(Vec<String>),
    /// The same, and breaks the connection off.
    TellAndBreak(Vec<String>),
    /// The same, and says nothing more until it is left.
    TellAndHang(Vec<String>),
    /// The same, and then a comment again and again until it is left.
    TellAndBabble(Vec<String>),
    /// Refuses with a status and a body.
    Refuse(u16, String),
    /// Sends this as it is and closes.
    Raw(Vec<u8>),
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    /// Lines of its head.
    pub(crate) head: Vec<String>,
    pub(crate) body: Value,
}

/// The engine; it ends with the test.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) address: SocketAddr,
    pub(crate) asked: Arc<Mutex<Vec<Asked>>>,
    /// Times that somebody left in the middle of an answer.
    pub(crate) left: Arc<AtomicUsize>,
}

impl Engine {
    /// Plays one act for each request for an answer, and the last one for all that follow.
    pub(crate) fn play(acts: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, left) = (Arc::<Mutex<Vec<Asked>>>::default(), Arc::<AtomicUsize>::default());
        let (log, leaves) = (Arc::clone(&asked), Arc::clone(&left));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (acts, log, leaves) = (acts.clone(), Arc::clone(&log), Arc::clone(&leaves));
                thread::spawn(
                    move || while play(stream.as_ref().unwrap(), &acts, &log, &leaves) {},
                );
            }
        });
        Self { address, asked, left }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Requests for answers so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Waits until somebody has left in the middle of an answer.
    pub(crate) fn wait_until_left(&self) {
        let begun = Instant::now();
        while self.left.load(SeqCst) == 0 {
            assert!(begun.elapsed() < PATIENCE, "nobody left");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// One request; whether another one may follow on the connection.
fn play(mut stream: &TcpStream, acts: &[Act], log: &Mutex<Vec<Asked>>, left: &AtomicUsize) -> bool {
    let Some(asked) = read(stream) else { return false };
    if asked.path.ends_with("/models") {
        let body = r#"{"object":"list","data":[{"id":"theirs","max_model_len":4096}]}"#;
        return answer(stream, 200, "application/json", body);
    }
    let act = {
        let mut log = log.lock().unwrap();
        log.push(asked);
        acts[(log.len() - 1).min(acts.len() - 1)].clone()
    };
    let tell = |lines: &[String]| {
        lines.iter().flat_map(|line| ["data: ", line.as_str(), "\n\n"]).collect::<String>()
    };
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
    match act {
        Act::Tell(lines) => {
            let _ = write!(stream, "{head}{}", tell(&lines));
        }
        Act::TellAndBreak(lines) => {
            let head = head.replace("Connection: close", "Content-Length: 1000000");
            let _ = write!(stream, "{head}{}", tell(&lines));
        }
        Act::TellAndHang(lines) => {
            let _ = write!(stream, "{head}{}", tell(&lines));
            // Nothing comes any more but the end.
            let _ = stream.read(&mut [0]);
            left.fetch_add(1, SeqCst);
        }
        Act::TellAndBabble(lines) => {
            let _ = write!(stream, "{head}{}", tell(&lines));
            while stream.write_all(b": still here\n\n").is_ok() {
                thread::sleep(Duration::from_millis(1));
            }
            left.fetch_add(1, SeqCst);
        }
        Act::Refuse(status, body) => return answer(stream, status, "application/json", &body),
        Act::Raw(bytes) => {
            let _ = stream.write_all(&bytes);
        }
    }
    let _ = stream.shutdown(std::net::Shutdown::Write);
    false
}

fn answer(mut stream: &TcpStream, status: u16, kind: &str, body: &str) -> bool {
    let n = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {n}\r\n\r\n{body}"
    )
    .is_ok()
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|&n| n > 0)?;
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let path = head.first()?.split(' ').nth(1)?.to_owned();
    let length = head.iter().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(Asked { path, head, body: serde_json::from_slice(&body).unwrap_or_default() })
}

/// The chunks of a chat that says these texts and ends by itself.
pub(crate) fn chat(texts: &[&str]) -> Vec<String> {
    let mut lines: Vec<String> = texts.iter().map(|text| chunk(text)).collect();
    lines.push(
        r#"{"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#.to_owned(),
    );
    let usage = r#"{"id":"c1","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2,
                    "prompt_tokens_details":{"cached_tokens":3}}}"#;
    lines.push(usage.replace('\n', " "));
    lines.push("[DONE]".to_owned());
    lines
}

/// A chunk that says something more.
pub(crate) fn chunk(text: &str) -> String {
    let choice = serde_json::json!({"index": 0, "delta": {"content": text}});
    serde_json::json!({"id": "c1", "model": "theirs", "choices": [choice]}).to_string()
}

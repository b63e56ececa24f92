//! The page at `/`: in a real browser, and what its files say of themselves.

use crate::serve::{Server, start, start_of};
use crate::world::World;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// A browser's driver, and a judge of what those can use who do not see or point.
const PACKAGES: [&str; 2] = ["playwright-core@1.65.1", "axe-core@4.14.1"];

#[test]
fn a_browser_uses_the_page() {
    let world = World::new();
    browse(&start_of(&world, "qwen2.5-coder-0.5b", &[]), &[]);
}

#[test]
fn a_browser_asks_for_the_key() {
    let world = World::new();
    let made = world.run(&["keys", "create", "browser", "--json"]).exits(0).json();
    browse(&start_of(&world, "smollm2-135m", &["--keys"]), &[made["key"].as_str().unwrap()]);
}

/// Uses the page of a server.
fn browse(server: &Server, more: &[&str]) {
    let Some(packages) = packages() else { return };
    // Modules are looked for beside the program, of which each test has its own.
    let program = packages.join(format!("page-{}.mjs", more.len()));
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/page.mjs"), &program).unwrap();
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page-pictures");
    fs::create_dir_all(&pictures).unwrap();
    let output = Command::new("node")
        .arg(program)
        .arg(&server.address)
        .arg(&pictures)
        .args(more)
        .env("CHROMIUM", chromium().unwrap())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    eprintln!("{told}");
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn files_of_the_page_are_bound_to_it() {
    let world = World::new();
    let server = start(&world);
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/assets/page.js", "text/javascript; charset=utf-8"),
        ("/assets/page.css", "text/css; charset=utf-8"),
        ("/assets/icon.svg", "image/svg+xml"),
    ] {
        let head = server.head(path, "");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        for line in [
            &format!("content-type: {kind}"),
            "x-content-type-options: nosniff",
            "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self';",
            "frame-ancestors 'none'",
        ] {
            assert!(head.contains(line), "{path} says no `{line}`: {head}");
        }
        let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
        let again = server.head(path, &format!("If-None-Match: {tag}\r\n"));
        assert!(again.starts_with("HTTP/1.1 304"), "{again}");
    }
    // Nothing of the page is in a line of its own.
    let page = fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/page/assets/index.html"),
    );
    let page = page.unwrap();
    assert!(!page.contains("<style") && !page.contains("style=") && !page.contains("<script>"));
}

#[test]
fn other_origins_and_bad_calls_are_refused() {
    let world = World::new();
    let server = start(&world);
    let call = json!({"name": "a.py", "text": "a = 1\n", "instruction": "rename a to b"});
    let (status, told) = server.request("POST", "/page/edit", &call.to_string());
    assert_eq!((status, told), (200, serde_json::Value::Null), "a stream of events");
    let foreign = "Origin: http://evil.example\r\n";
    for path in ["/", "/page/edit", "/page/live"] {
        assert!(server.head(path, foreign).starts_with("HTTP/1.1 403"), "{path}");
    }
    let (status, told) = server.request("POST", "/page/edit", r#"{"text": 3}"#);
    assert_eq!((status, told["error"]["type"].as_str()), (400, Some("invalid_request_error")));
}

#[test]
fn a_call_is_redirected_and_stopped_by_the_tab_that_it_came_from() {
    let world = World::new();
    let server = start(&world);
    let (mine, theirs) = ("a".repeat(32), "b".repeat(32));
    let call = json!({"name": "a.py", "text": "def f():\n    return 1\n", "question": "Tell me all about f."});
    let mut stream = TcpStream::connect(&server.address).unwrap();
    stream.write_all(server.post("/page/ask", &mine, &call).as_bytes()).unwrap();
    let mut events = BufReader::new(stream).lines().map(Result::unwrap);
    let mut next = |event: &str| {
        events.find(|line| *line == format!("event: {event}")).unwrap();
        let line = events.next().unwrap();
        serde_json::from_str::<Value>(line.strip_prefix("data: ").unwrap()).unwrap()
    };
    let number = next("begun");
    let steer = |tab: &str, call: &Value| {
        let answer = server.exchange(&server.post("/page/steer", tab, call));
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    let otherwise = json!({"call": number, "text": "in one word"});
    assert_eq!(steer(&theirs, &otherwise), "404", "it is not theirs");
    assert_eq!(steer("", &otherwise), "404");
    assert_eq!(steer(&mine, &json!({"call": 99, "text": "no"})), "404");
    assert_eq!(steer(&mine, &otherwise), "204");
    assert!(next("redirect").as_str().unwrap().ends_with("in one word"));
    next("text");
    assert_eq!(steer(&mine, &json!({"call": number})), "204");
    let done = next("done");
    assert_eq!(done["result"]["cut"], "stopped", "{done}");
    assert_eq!(steer(&mine, &otherwise), "404", "it is over");

    // What was said is gone on from, unless it was never said here.
    let mut talk = done["result"]["talk"].clone();
    for (made_up, event) in [(false, "done"), (true, "failed")] {
        if made_up {
            talk["shown"] = json!([{"path": "a.py", "start_line": 0, "end_line": 900}]);
        }
        let mut call = call.clone();
        (call["question"], call["talk"]) = ("Sure?".into(), talk.clone());
        let told = server.exchange(&server.post("/page/ask", &mine, &call));
        assert!(told.contains(&format!("event: {event}\n")), "{told}");
    }
}

impl Server {
    /// A call of a browser's tab.
    fn post(&self, path: &str, tab: &str, body: &Value) -> String {
        let body = body.to_string();
        format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nX-Cerium-Tab: {tab}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        )
    }

    /// The head of the answer to a GET.
    fn head(&self, path: &str, lines: &str) -> String {
        let answer = self.exchange(&format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{lines}\r\n",
            self.address
        ));
        answer.split("\r\n\r\n").next().unwrap().to_owned()
    }
}

fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir| dir.join("chromium")).find(|path| path.exists())
}

/// Installs what drives a browser once, below the target directory. Without it, an index or a browser there is nothing to
/// test with, which a test run may not hide on the machine that decides.
fn packages() -> Option<PathBuf> {
    // Tests run side by side.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let packages = Path::new(env!("CARGO_TARGET_TMPDIR")).join(PACKAGES.join("-"));
    let done = packages.join("installed");
    let trouble = if chromium().is_none() {
        "there is no `chromium`".to_owned()
    } else if done.exists() {
        return Some(packages);
    } else {
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]);
        match npm.arg(&packages).args(PACKAGES).output() {
            Ok(output) if output.status.success() => {
                fs::write(done, "").unwrap();
                return Some(packages);
            }
            Ok(output) => format!("npm failed: {}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => format!("cannot run npm: {error}"),
        }
    };
    assert!(std::env::var_os("CI").is_none(), "{trouble}");
    eprintln!("SKIPPED: the page was not tried in a browser: {trouble}");
    None
}

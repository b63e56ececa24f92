//! The hub: a server on this machine that continues files, or does not, or breaks off, or is mute.

use crate::world::{HUB, PACKAGES, Watch, World, model};
use cerium_hub::{Attempt, HubError, Source};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

#[derive(Clone, Copy)]
enum Manner {
    /// Serves ranges.
    Well,
    /// Always serves the whole file.
    NoRanges,
    /// Sends at most this many bytes per answer.
    Breaks(usize),
    /// Accepts and never answers.
    Mute,
    /// Sends this many bytes and then nothing, without hanging up.
    Stalls(usize),
    /// Serves another file of the same length.
    Lies,
    /// Serves a file of another length.
    Longer,
    Missing,
}

struct Hub {
    endpoint: String,
    /// First line and range of every request.
    requests: Arc<Mutex<Vec<String>>>,
}

fn serve(manner: Manner) -> Hub {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&requests);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let log = Arc::clone(&log);
            thread::spawn(move || answer(stream.unwrap(), manner, &log));
        }
    });
    Hub { endpoint, requests }
}

fn answer(mut stream: TcpStream, manner: Manner, log: &Mutex<Vec<String>>) {
    let (mut line, mut from) = (String::new(), 0);
    for header in BufReader::new(stream.try_clone().unwrap()).lines() {
        let header = header.unwrap();
        if header.is_empty() {
            break;
        } else if line.is_empty() {
            line = header;
        } else if let Some(range) = header.to_lowercase().strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse().unwrap();
        }
    }
    log.lock().unwrap().push(format!("{line} from {from}"));
    let mut file = model();
    match manner {
        Manner::Lies => file[200] ^= 1,
        Manner::Longer => file.push(0),
        Manner::NoRanges => from = 0,
        Manner::Missing => {
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
            return;
        }
        Manner::Mute => return thread::sleep(Duration::from_secs(20)),
        Manner::Well | Manner::Breaks(_) | Manner::Stalls(_) => {}
    }
    let body = &file[from..];
    let status = if let Manner::NoRanges = manner { "200 OK" } else { "206 Partial Content" };
    let length = body.len();
    let range = format!("bytes {from}-{}/{}", file.len() - 1, file.len());
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nContent-Range: {range}\r\n\r\n");
    let n = match manner {
        Manner::Breaks(n) | Manner::Stalls(n) => n.min(length),
        _ => length,
    };
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body[..n]));
    if let Manner::Stalls(_) = manner {
        thread::sleep(Duration::from_secs(20));
    }
}

fn world(hub: &Hub) -> World {
    let mut world = World::new(&[HUB]);
    world.sources.hub_endpoint = Some(hub.endpoint.clone());
    world
}

#[test]
fn a_file_is_fetched_and_checked() {
    let hub = serve(Manner::Well);
    let world = world(&hub);
    world.pull().unwrap();
    world.assert_whole();
    let requests = hub.requests.lock().unwrap();
    assert_eq!(*requests, ["GET /owner/tiny/resolve/main/tiny.gguf HTTP/1.1 from 0"]);
}

#[test]
fn a_left_over_beginning_is_continued() {
    let hub = serve(Manner::Well);
    let world = world(&hub);
    fs::create_dir_all(world.partial("")).unwrap();
    fs::write(world.partial("hub.part"), &model()[..123_456]).unwrap();
    world.pull().unwrap();
    world.assert_whole();
    assert!(hub.requests.lock().unwrap()[0].ends_with(" from 123456"));
}

#[test]
fn a_left_over_whole_or_too_long_file_needs_no_special_care() {
    let hub = serve(Manner::Well);
    let world = world(&hub);
    for left in [model(), [model(), vec![0]].concat()] {
        fs::create_dir_all(world.partial("")).unwrap();
        fs::write(world.partial("hub.part"), left).unwrap();
        world.pull().unwrap();
        world.assert_whole();
        fs::remove_file(world.place()).unwrap();
    }
    assert_eq!(hub.requests.lock().unwrap().len(), 1, "only the file that was too long");
}

#[test]
fn a_server_without_ranges_starts_the_file_anew() {
    let hub = serve(Manner::NoRanges);
    let world = world(&hub);
    fs::create_dir_all(world.partial("")).unwrap();
    fs::write(world.partial("hub.part"), b"something else").unwrap();
    world.pull().unwrap();
    world.assert_whole();
}

#[test]
fn a_transfer_that_breaks_off_is_taken_up_again() {
    let hub = serve(Manner::Breaks(70_000));
    let world = world(&hub);
    world.pull().unwrap();
    world.assert_whole();
    assert_eq!(hub.requests.lock().unwrap().len(), 5);
}

#[test]
fn a_transfer_that_keeps_breaking_off_is_given_up_and_kept() {
    let hub = serve(Manner::Breaks(10_000));
    let world = world(&hub);
    let why = world.attempt();
    assert!(matches!(why, Attempt::Network(_)), "{why}");
    world.assert_absent();
    assert_eq!(fs::read(world.partial("hub.part")).unwrap(), model()[..50_000]);
}

#[test]
fn a_mute_hub_is_given_up_and_the_next_source_is_asked() {
    static BOTH: [Source; 2] = [HUB, PACKAGES];
    let hub = serve(Manner::Mute);
    let mut world = World::new(&BOTH);
    world.sources.hub_endpoint = Some(hub.endpoint.clone());
    let start = Instant::now();
    let mut watch = Watch::default();
    world.pull_with(&mut watch).unwrap();
    world.assert_whole();
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert!(watch.seen.iter().any(|event| event.starts_with("Failed")), "{:?}", watch.seen);
}

#[test]
fn a_stalled_transfer_ends_and_is_kept() {
    let hub = serve(Manner::Stalls(40_000));
    let world = world(&hub);
    let why = world.attempt();
    assert!(matches!(why, Attempt::Network(_)), "{why}");
    assert!(fs::metadata(world.partial("hub.part")).unwrap().len() >= 40_000);
}

#[test]
fn a_wrong_file_is_refused_and_deleted() {
    let world = world(&serve(Manner::Lies));
    let why = world.attempt();
    assert!(
        matches!(&why, Attempt::Mismatch { found, .. } if found.starts_with("SHA-256")),
        "{why}"
    );
    assert!(!world.partial("hub.part").exists());
    world.assert_absent();
}

#[test]
fn a_file_of_another_length_is_not_even_fetched() {
    let world = world(&serve(Manner::Longer));
    let why = world.attempt().to_string();
    assert_eq!(why, "the file has 300001 bytes there, wanted 300000");
}

#[test]
fn a_refusal_is_reported() {
    let world = world(&serve(Manner::Missing));
    assert_eq!(world.attempt().to_string(), "answered 404 Not Found");
}

#[test]
fn cancelling_keeps_what_came() {
    let hub = serve(Manner::Stalls(100_000));
    let mut world = world(&hub);
    world.sources.stall = Duration::from_secs(10);
    let mut watch = Watch { until: Some("Idle"), ..Watch::default() };
    // The first silence may come before the first byte; the one after a byte is what is wanted.
    let error = loop {
        match world.pull_with(&mut watch).unwrap_err() {
            HubError::Cancelled if !world.partial("hub.part").exists() => {}
            error => break error,
        }
    };
    assert!(matches!(error, HubError::Cancelled), "{error}");
    world.assert_absent();
}

//! A server that is known by a certificate.

use crate::client::{Answer, Server, post, scripted_with, wait_until};
use crate::script::Act;
use cerium_engine::FinishReason;
use cerium_server::{Reload, ServerOptions, Tls};
use rustix::process::{Signal, getpid, kill_process};
use serde_json::json;
use std::io::{self, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// A certificate of `localhost` that vouches for itself.
fn tls() -> Tls {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls");
    Tls { cert: dir.join("cert.pem"), key: dir.join("key.pem") }
}

fn start() -> Server {
    let options = ServerOptions {
        tls: Some(tls()),
        idle_max: Duration::from_secs(1),
        grace: Duration::from_millis(50),
        ..Default::default()
    };
    scripted_with(Act::Say("Hi", FinishReason::Stop), options).0
}

/// Another one of the same name.
fn renewed() -> Tls {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls");
    Tls { cert: dir.join("renewed-cert.pem"), key: dir.join("renewed-key.pem") }
}

/// A connection to a server that goes by this name.
fn connect(server: &Server, name: &'static str) -> StreamOwned<ClientConnection, TcpStream> {
    connect_to(server, name, &tls())
}

fn connect_to(
    server: &Server,
    name: &'static str,
    tls: &Tls,
) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&tls.cert).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = ClientConnection::new(Arc::new(config), name.try_into().unwrap()).unwrap();
    StreamOwned::new(client, server.connect())
}

#[test]
fn who_knows_the_certificate_is_answered_and_nobody_reads_along() {
    let server = start();
    let mut stream = connect(&server, "localhost");
    stream.write_all(&post("/v1/responses", &json!({"model": "scripted", "input": "a"}))).unwrap();
    let answer = Answer::read(&mut BufReader::new(&mut stream));
    assert_eq!((answer.status, answer.whole), (200, true), "{}", answer.body);
    let error = connect(&server, "elsewhere").write_all(b"GET").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData, "the certificate is of another name");
}

#[test]
fn who_speaks_plainly_or_not_at_all_is_let_go_of_and_holds_up_nobody() {
    let server = start();
    let silent: Vec<_> = (0..20).map(|_| server.connect()).collect();
    let mut plain = server.connect();
    plain.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut stream = connect(&server, "localhost");
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    assert_eq!(Answer::read(&mut BufReader::new(&mut stream)).status, 200);
    for mut stream in silent.into_iter().chain([plain]) {
        let mut all = Vec::new();
        let _ = io::Read::read_to_end(&mut stream, &mut all);
        assert!(!all.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&all));
    }
    wait_until("it is there still", || {
        let mut stream = connect(&server, "localhost");
        let asked = b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n";
        stream.write_all(asked).is_ok()
            && Answer::read(&mut BufReader::new(&mut stream)).status == 200
    });
}

/// Whoever renews a certificate says so by SIGHUP.
#[test]
fn a_certificate_is_renewed_while_the_server_runs() {
    let reload = Reload::new(|| {
        let cors = vec!["https://app.example".parse().unwrap()];
        Ok(ServerOptions { tls: Some(renewed()), cors, ..Default::default() })
    });
    let options = ServerOptions {
        tls: Some(tls()),
        reload: Some(reload),
        grace: Duration::from_millis(50),
        ..Default::default()
    };
    let (server, _) = scripted_with(Act::Say("Hi", FinishReason::Stop), options);
    let answers = |tls: &Tls, site: &str| {
        let mut stream = connect_to(&server, "localhost", tls);
        let asked = format!("GET /health HTTP/1.1\r\nHost: localhost\r\nOrigin: {site}\r\n\r\n");
        let sent = stream.write_all(asked.as_bytes());
        sent.ok().map(|()| Answer::read(&mut BufReader::new(&mut stream)).status)
    };
    assert_eq!(answers(&renewed(), "https://app.example"), None);
    assert_eq!(answers(&tls(), "https://app.example"), Some(403));
    kill_process(getpid(), Signal::HUP).unwrap();
    wait_until("it is renewed", || answers(&renewed(), "https://app.example") == Some(200));
    assert_eq!(answers(&tls(), "https://app.example"), None);
    assert_eq!(answers(&renewed(), "https://evil.example"), Some(403));
}

#[test]
fn files_that_are_no_certificate_are_named() {
    let missing = Tls { cert: "nowhere.pem".into(), ..tls() };
    let error = missing.check().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert!(error.to_string().contains("`nowhere.pem`"), "{error}");
    assert!(Tls { key: tls().cert, ..tls() }.check().is_err(), "a certificate is no key");
    assert!(Tls { cert: tls().key, ..tls() }.check().is_err(), "a key is no certificate");
    tls().check().unwrap();
}

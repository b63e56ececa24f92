//! The document of what is served, held against a server by a program that makes requests of it.

use crate::client::{Server, scripted};
use crate::packages::packages;
use crate::real::real;
use crate::script::Act;
use crate::stored::keeping;
use cerium_engine::FinishReason;
use cerium_server::Place;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

const FUZZER: &str = "schemathesis==4.32.5";

/// Methods that HTTP has names for.
const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];

#[test]
fn every_method_is_told_of_and_no_other() {
    let (server, _) = scripted(Act::Say("Hi", FinishReason::Stop));
    let told = server.get("/openapi.json").json();
    for (path, methods) in told["paths"].as_object().unwrap() {
        for method in METHODS {
            let asked = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            let is_served = server.send(asked.as_bytes()).status != 405;
            // A plain GET is no WebSocket.
            let is_told = methods.get(method.to_lowercase()).is_some();
            let plain = (path.as_str(), method) == ("/v1/responses", "GET");
            assert_eq!(is_served, is_told && !plain, "{method} {path}");
        }
    }
}

/// With a model, a store and a few hundred requests: none is the server's fault, and all answers are as told.
#[test]
fn answers_are_as_the_document_has_them() {
    let Some(packages) = packages("pip", &[FUZZER]) else { return };
    let dir = tempfile::tempdir().unwrap();
    let place = Place::File(dir.path().join("store.sqlite"));
    let server = Server::start(real(), keeping(place));
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let output = Command::new("python3")
        .args(["-m", "schemathesis.cli", "run", "--max-examples=8", "--seed=1"])
        .args(["--generation-deterministic", "--workers=2"])
        .args(["--request-timeout=60", "--phases=coverage,fuzzing", "--no-color"])
        .arg(
            "--checks=not_a_server_error,status_code_conformance,content_type_conformance,\
              response_schema_conformance",
        )
        .arg(format!("http://{}/openapi.json", server.address))
        .env("PYTHONPATH", packages)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SCHEMATHESIS_HOOKS", data.join("schemathesis_hooks.py"))
        .current_dir(dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    eprintln!("{said}");
    assert_eq!(server.get("/health").json()["status"], Value::from("ok"));
}

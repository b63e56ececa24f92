//! The official Python client against this server.

use crate::client::{Server, scripted};
use crate::packages::packages;
use crate::script::Act;
use crate::stored::remembering;
use cerium_engine::FinishReason;
use std::path::Path;
use std::process::Command;

/// The release whose traffic `crates/cerium-protocol` was written after.
const CLIENT: &str = "openai==3.54.0";

#[test]
fn the_official_client_is_content() {
    let (server, _) = scripted(Act::Say("Hi there 🦀", FinishReason::Stop));
    run("openai_client.py", &server);
}

#[test]
fn the_official_client_finds_what_is_kept() {
    let (server, _, _dir) = remembering(Act::Say("Hi there 🦀", FinishReason::Stop));
    run("openai_stored.py", &server);
    let (server, _, _dir) = remembering(Act::Hang("Hi"));
    run("openai_cancelled.py", &server);
}

/// Runs one of the client's programs against a server.
fn run(program: &str, server: &Server) {
    let Some(packages) = packages("pip", &[CLIENT]) else { return };
    let output = Command::new("python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(program))
        .arg(format!("http://{}/v1", server.address))
        .env("PYTHONPATH", packages)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

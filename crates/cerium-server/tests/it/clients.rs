//! Clients that others wrote, on the WebSocket: the official SDKs.

use crate::client::scripted;
use crate::packages::packages;
use crate::script::Act;
use cerium_engine::FinishReason;
use std::path::Path;
use std::process::Command;

#[test]
fn the_official_python_client_talks_on_a_socket() {
    let Some(python) = packages("pip", &["openai[realtime]==3.54.0"]) else { return };
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", python).env("PYTHONDONTWRITEBYTECODE", "1");
    is_content(command, "openai_socket.py");
}

#[test]
fn the_official_node_client_talks_on_a_socket() {
    // The newest line that runs on Debian's Node.
    let Some(node) = packages("npm", &["openai@6.49.0", "ws@8"]) else { return };
    // Modules are looked for beside the program.
    let program = node.join("openai_socket.mjs");
    std::fs::copy(data("openai_socket.mjs"), &program).unwrap();
    is_content(Command::new("node"), program.to_str().unwrap());
}

fn data(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// Runs a program against a server whose model says hello.
fn is_content(mut command: Command, program: &str) {
    let (server, _) = scripted(Act::Say("Hi there 🦀", FinishReason::Stop));
    let url = format!("http://{}/v1", server.address);
    let output = command.arg(data(program)).arg(url).output().unwrap();
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

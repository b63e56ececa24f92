//! The official Python client against this server.

use crate::client::{Server, scripted};
use crate::script::Act;
use crate::stored::remembering;
use cerium_engine::FinishReason;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

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
    static INSTALLED: LazyLock<Option<PathBuf>> = LazyLock::new(install);
    let Some(packages) = &*INSTALLED else { return };
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

/// Installs the client once, below the target directory. Without Python or an index there is
/// nothing to test with, which a test run may not hide on the machine that decides.
fn install() -> Option<PathBuf> {
    let packages = Path::new(env!("CARGO_TARGET_TMPDIR")).join(CLIENT.replace("==", "-"));
    let done = packages.join("installed");
    if done.exists() {
        return Some(packages);
    }
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"];
    let output = Command::new("python3").args(pip).arg(&packages).arg(CLIENT).output();
    match output {
        Ok(output) if output.status.success() => {
            std::fs::write(done, "").unwrap();
            return Some(packages);
        }
        Ok(output) => eprintln!("pip failed: {}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => eprintln!("cannot run python3: {error}"),
    }
    assert!(std::env::var_os("CI").is_none(), "the official client cannot be installed");
    eprintln!("SKIPPED: the official client was not tried");
    None
}

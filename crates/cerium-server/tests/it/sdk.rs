//! The official Python client against this server.

use crate::client::{Server, scripted};
use crate::script::Act;
use crate::stored::remembering;
use cerium_engine::FinishReason;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

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

/// Installs packages of `pip` or `npm` once, below the target directory. Without them or an index there is
/// nothing to test with, which a test run may not hide on the machine that decides.
pub(crate) fn packages(tool: &str, names: &[&str]) -> Option<PathBuf> {
    // Tests run side by side.
    static ONE: Mutex<()> = Mutex::new(());
    let name = names.join("-").replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-");
    let packages = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name.replace("--", "-"));
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let done = packages.join("installed");
    if done.exists() {
        return Some(packages);
    }
    let mut install = if tool == "pip" {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]);
        pip
    } else {
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]);
        npm
    };
    match install.arg(&packages).args(names).output() {
        Ok(output) if output.status.success() => {
            std::fs::write(done, "").unwrap();
            return Some(packages);
        }
        Ok(output) => eprintln!("{tool} failed: {}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => eprintln!("cannot run {tool}: {error}"),
    }
    assert!(std::env::var_os("CI").is_none(), "{names:?} cannot be installed");
    eprintln!("SKIPPED: {names:?} were not tried");
    None
}

//! Where things are in this checkout, and commands run in it.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The root of the checkout.
pub(crate) fn root() -> PathBuf {
    let here =
        env::var_os("CARGO_MANIFEST_DIR").map_or(env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    here.parent().map_or(here.clone(), Path::to_path_buf)
}

/// A folder for what can be thrown away, under cargo's target folder.
pub(crate) fn scratch(name: &str) -> PathBuf {
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    root().join(target).join(name)
}

/// A command that runs in the root of the checkout.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

/// The cargo that runs this.
pub(crate) fn cargo() -> Command {
    command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs a command to its end, its output shown.
///
/// # Errors
/// When it cannot start or fails; the error shows the command.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    eprintln!("$ {}", shown(command));
    let status = command.status().with_context(|| format!("cannot start `{}`", shown(command)))?;
    if !status.success() {
        bail!("`{}` failed: {status}", shown(command));
    }
    Ok(())
}

/// Runs a command to its end and gives what it printed.
///
/// # Errors
/// When it cannot start or fails; the error shows the command.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    command.stderr(Stdio::inherit());
    let output = command.output().with_context(|| format!("cannot start `{}`", shown(command)))?;
    if !output.status.success() {
        bail!("`{}` failed: {}", shown(command), output.status);
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("reading what `{}` says", shown(command)))
}

/// Builds a binary of this workspace in release mode and says where it is.
///
/// # Errors
/// When it does not build.
pub(crate) fn build(package: &str) -> Result<PathBuf> {
    let mut build = cargo();
    build.args(["build", "--release", "--message-format", "json-render-diagnostics"]);
    build.args(["--package", package]).stdout(Stdio::piped());
    eprintln!("$ {}", shown(&build));
    let output = build.spawn()?.wait_with_output()?;
    if !output.status.success() {
        bail!("`{package}` does not build");
    }
    let executable = |line: &[u8]| {
        let message: Value = serde_json::from_slice(line).ok()?;
        let ours = message["target"]["name"] == package;
        message["executable"].as_str().filter(|_| ours).map(PathBuf::from)
    };
    let mut lines = output.stdout.split(|byte| *byte == b'\n');
    lines.find_map(executable).with_context(|| format!("`{package}` has no binary of that name"))
}

fn shown(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

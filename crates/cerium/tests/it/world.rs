//! A person's machine in a directory: a tree to work in, settings, state and models of its own.

use serde_json::Value;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

pub(crate) struct World {
    dir: TempDir,
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) const CALC: &str = "\
import os


def area(width, height):
    return width * height


def main():
    print(area(2, 3))
";

impl World {
    /// A machine with no model and a tree that holds `calc.py`.
    pub(crate) fn new() -> Self {
        let world = Self { dir: tempfile::tempdir().unwrap() };
        fs::create_dir_all(world.tree().join(".git")).unwrap();
        DirBuilder::new().mode(0o700).create(world.path("run")).unwrap();
        world.write("calc.py", CALC);
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn tree(&self) -> PathBuf {
        // Canonical, as messages show it.
        self.dir.path().canonicalize().unwrap().join("tree")
    }

    /// Writes a file of the tree.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.tree().join(name), text).unwrap();
    }

    /// Reads a file of the tree.
    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.tree().join(name)).unwrap()
    }

    /// The command, in the tree, with nothing of the real person's environment.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cerium"));
        self.environment(&mut command);
        command.args(args);
        command
    }

    /// Gives any command this machine's environment.
    pub(crate) fn environment(&self, command: &mut Command) {
        command
            .current_dir(self.tree())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path("person"))
            .env("CERIUM_HOME", self.path("home"))
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("XDG_STATE_HOME", self.path("state"))
            .env("XDG_RUNTIME_DIR", self.path("run"))
            // A port that nobody listens on: no test talks to the real hub.
            .env("HF_ENDPOINT", "http://127.0.0.1:1")
            .stdin(Stdio::null());
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::of(&mut self.command(args))
    }

    /// Number of edits that the journal knows.
    pub(crate) fn n_edits(&self) -> usize {
        self.run(&["log", "--json"]).ok().json()["entries"].as_array().unwrap().len()
    }

    /// Puts a stand-in for Python in front of the PATH that hands out this wheel.
    pub(crate) fn fake_python(&self, wheel: &Path, behaviour: &str) -> PathBuf {
        let bin = self.path("bin");
        if !bin.exists() {
            fs::create_dir(&bin).unwrap();
            // A link: a script just written might still be open in a concurrent fork.
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/python3");
            std::os::unix::fs::symlink(script, bin.join("python3")).unwrap();
            std::os::unix::fs::symlink(wheel, bin.join("wheel")).unwrap();
        }
        fs::write(bin.join("behaviour"), behaviour).unwrap();
        bin
    }

    /// PATH with this directory first.
    pub(crate) fn path_with(bin: &Path) -> String {
        format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default())
    }
}

/// An engine that a test started is not left behind.
impl Drop for World {
    fn drop(&mut self) {
        if self.path("run/cerium").exists() {
            let _ = self.command(&["stop"]).output();
        }
    }
}

impl Ran {
    pub(crate) fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// It ended well.
    pub(crate) fn ok(self) -> Self {
        self.exits(0)
    }

    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// It said this on standard error.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "wanted {text:?} in {self:#?}");
        self
    }

    /// Its result says this.
    #[track_caller]
    pub(crate) fn shows(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "wanted {text:?} in {self:#?}");
        self
    }

    /// Its standard output, which must be one JSON value.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

//! A PostgreSQL server for one test, on a socket in a directory of its own.
//!
//! The tests of `cerium-server` use this file too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a server may take to start, on a machine that may be busy with other tests.
const PATIENCE: Duration = Duration::from_mins(2);

/// A running server; gone when dropped.
pub(crate) struct Postgres {
    programs: PathBuf,
    dir: TempDir,
    child: Option<Child>,
}

impl Postgres {
    /// Makes a cluster and starts its server.
    pub(crate) fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("pg").tempdir_in("/tmp").unwrap();
        if rustix::process::geteuid().is_root() {
            // The server refuses to be root, so it gets the directory and an identity of its own.
            let chown = Command::new("chown").arg("postgres").arg(dir.path()).status().unwrap();
            assert!(chown.success(), "no user `postgres`: {INSTALL}");
        }
        let mut server = Self { programs: programs(), dir, child: None };
        let mut initdb = server.command("initdb");
        initdb.args([
            "-U",
            "cerium",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-locale",
            "--no-sync",
            "-D",
        ]);
        done(initdb.arg(server.dir.path().join("data")));
        server.resume();
        server
    }

    /// The URL of a new database.
    pub(crate) fn database(&self, name: &str) -> String {
        let mut createdb = self.command("createdb");
        done(createdb.args(["-U", "cerium", "-h"]).arg(self.dir.path()).arg(name));
        format!("postgres://cerium@localhost/{name}?host={}", self.dir.path().display())
    }

    /// Ends the server as a crash does.
    pub(crate) fn kill(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        // Its first line names the process, behind whatever started it. Immediate shutdown: no
        // checkpoint, no goodbye, and no process left behind.
        let file = fs::read_to_string(self.dir.path().join("data/postmaster.pid")).unwrap();
        let id: i32 = file.lines().next().unwrap().parse().unwrap();
        let id = rustix::process::Pid::from_raw(id).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::QUIT).unwrap();
        child.wait().unwrap();
    }

    /// Starts it again, and waits until it answers.
    pub(crate) fn resume(&mut self) {
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.dir.path().join("data")).arg("-k").arg(self.dir.path());
        command.args(["-c", "listen_addresses=", "-c", "fsync=off"]);
        self.child = Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let begun = Instant::now();
        let mut ready = self.command("pg_isready");
        ready.arg("-q").arg("-h").arg(self.dir.path());
        while !ready.status().unwrap().success() {
            assert!(begun.elapsed() < PATIENCE, "the server does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// One of the server's programs, run by a user that it accepts.
    fn command(&self, program: &str) -> Command {
        let path = self.programs.join(program);
        let mut command = if rustix::process::geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"])
                .arg(path);
            command
        } else {
            Command::new(path)
        };
        command.current_dir(self.dir.path()).env("LC_ALL", "C");
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}

const INSTALL: &str = "install PostgreSQL's server (Debian: apt-get install postgresql)";

/// Where the newest installed server's programs are.
fn programs() -> PathBuf {
    let mut found: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .map(|version| version.unwrap().path().join("bin"))
        .filter(|bin| bin.join("initdb").exists())
        .collect();
    found.sort_by_key(|bin| {
        let version = bin.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        version.and_then(|version| version.parse::<u32>().ok())
    });
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).find(|dir| dir.join("initdb").exists());
    found.pop().or(on_path).unwrap_or_else(|| panic!("{INSTALL}"))
}

fn done(command: &mut Command) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?} failed\n{stdout}\n{stderr}");
}

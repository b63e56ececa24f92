//! The servers: started on ports of their own, and ended with what holds them.

use crate::peer::Kind;
use crate::project;
use anyhow::{Context, Result, bail};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long one may take to load.
const PATIENCE: Duration = Duration::from_mins(2);

/// Room of every sequence, in tokens.
const CONTEXT: usize = 4096;

/// A server that answers.
pub(super) struct Server {
    pub(super) name: String,
    /// What it calls the model.
    pub(super) model: String,
    pub(super) address: SocketAddr,
    child: Child,
    _home: TempDir,
}

impl Server {
    /// `cerium serve`, which keeps nothing from or for other runs.
    pub(super) fn ours(binary: Option<&PathBuf>, model: &Path, threads: usize) -> Result<Self> {
        let binary = binary.map_or_else(|| project::build("cerium"), |path| Ok(path.clone()))?;
        let name = model.file_stem().context("a file")?.to_string_lossy().into_owned();
        let (address, home) = (free()?, tempfile::tempdir()?);
        let mut command = project::command(binary);
        command.args(["serve", "--no-store", "--quiet", "--no-persist"]);
        command.args(["--listen", &address.to_string(), "--threads", &threads.to_string()]);
        command.args(["--context", &CONTEXT.to_string(), "--model"]).arg(model);
        for name in ["XDG_STATE_HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"] {
            command.env(name, home.path());
        }
        Self::start("cerium".to_owned(), name, address, home, &mut command)
    }

    /// The server of `llama-cpp-python`: it has one sequence, so its agents come one after another.
    pub(super) fn llama(model: &Path, threads: usize) -> Result<Self> {
        let python = Kind::LlamaCpp.python()?;
        let mut install = project::command(&python);
        project::run(install.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "llama-cpp-python[server]",
        ]))?;
        let (address, home) = (free()?, tempfile::tempdir()?);
        let mut command = project::command(&python);
        command.args(["-m", "llama_cpp.server", "--host", "127.0.0.1"]);
        command.args(["--port", &address.port().to_string(), "--n_ctx", &CONTEXT.to_string()]);
        let threads = threads.to_string();
        command.args(["--n_threads", &threads, "--n_threads_batch", &threads]);
        command.args(["--flash_attn", "True", "--interrupt_requests", "False"]);
        command.arg("--model").arg(model).args(["--model_alias", "model"]);
        Self::start("llama-cpp-python".to_owned(), "model".to_owned(), address, home, &mut command)
    }

    fn start(
        name: String,
        model: String,
        address: SocketAddr,
        home: TempDir,
        command: &mut Command,
    ) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let mut server = Self { name, model, address, child, _home: home };
        let begun = Instant::now();
        while !server.is_there() {
            if let Some(status) = server.child.try_wait()? {
                bail!("{} ended: {status}", server.name);
            }
            if begun.elapsed() > PATIENCE {
                bail!("{} did not answer within {PATIENCE:?}", server.name);
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(server)
    }

    /// Whether it says which models it has.
    fn is_there(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(self.address) else { return false };
        let asked = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let mut status = [0; 12];
        stream.write_all(asked).and_then(|()| stream.read_exact(&mut status)).is_ok()
            && status.ends_with(b"200")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone afterwards.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody has.
fn free() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

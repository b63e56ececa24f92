//! opencode against this server, in its three dialects, with a script for a model.

use crate::agents::{OpenCode, Speaks};
use crate::client::Server;
use crate::script::{Act, service_within, spell, words};
use cerium_server::ServerOptions;
use std::fs;

/// Looks at a file, changes it, says so.
const EDIT: Act = Act::Turns(&[
    "<tool_call>\n{\"name\": \"read\", \"arguments\": {\"filePath\": \"greet.py\"}}\n</tool_call>",
    "<tool_call>\n{\"name\": \"edit\", \"arguments\": {\"filePath\": \"greet.py\", \
     \"oldString\": \"Hello\", \"newString\": \"Hi\"}}\n</tool_call>",
    "greet.py says Hi now. 🦀",
]);

#[test]
fn opencode_edits_a_file_in_every_dialect() {
    for speaks in [Speaks::Chat, Speaks::Responses, Speaks::Socket] {
        let (service, seen) = service_within(EDIT, &words(false), 1 << 20);
        let server = Server::start(service, ServerOptions::default());
        let Some(opencode) = OpenCode::new(&server.address.to_string(), "scripted") else { return };
        let greet = opencode.tree().join("greet.py");
        fs::write(&greet, "def greet(name):\n    return \"Hello, \" + name\n").unwrap();
        let ran = opencode.run(speaks, "scripted", "Say Hi instead of Hello.").ok();
        assert!(ran.said.contains("greet.py says Hi now. 🦀"), "{speaks:?} {}", ran.said);
        assert!(
            fs::read_to_string(&greet).unwrap().contains("\"Hi, \""),
            "{speaks:?} {}",
            ran.said
        );

        let jobs = seen.jobs.lock().unwrap();
        let turns = jobs.iter().filter(|job| spell(&job.prompt).contains("Say Hi instead"));
        // A title is asked for, too.
        assert!(turns.count() >= 3);
        let metrics = server.get("/metrics").body;
        let over_http = metrics
            .lines()
            .filter(|line| line.starts_with("cerium_http_responses_total") && line.contains("200"))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u32>().ok())
            .sum::<u32>();
        assert_eq!(over_http >= 3, speaks != Speaks::Socket, "{metrics}");
    }
}

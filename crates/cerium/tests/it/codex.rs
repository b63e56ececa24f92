//! Codex CLI in conversation with `cerium serve` and a real model. Whether a model of this size calls the right tools is
//! not what is asked here: the server's tests have a script for that.

use crate::agents::{Codex, Ran};
use crate::serve::start;
use crate::world::World;

#[test]
fn codex_talks_over_a_socket_over_http_and_after_a_restart() {
    let world = World::new();
    let server = start(&world);
    let model = "SmolLM2-135M-Instruct.Q4_1";
    let Some(mut codex) = Codex::new(&server.address, model, false) else { return };
    let talk = codex.exec(&["What is the capital of France?"]).ok();
    assert!(!talk.answer().is_empty());

    // The same question over HTTP: the same words, and little of the prompt is new.
    codex.set("model_providers.cerium.supports_websockets=false");
    let again = codex.exec(&["What is the capital of France?"]).ok();
    assert_eq!(again.answer(), talk.answer());
    let (n_prompt, n_cached) = tokens(&again);
    assert!(n_cached > n_prompt * 9 / 10, "{n_cached} of {n_prompt}");

    // Another server, which knows what was computed from the disk alone.
    server.stop();
    let server = start(&world);
    codex.set(&format!("model_providers.cerium.base_url=\"http://{}/v1\"", server.address));
    codex.set("model_providers.cerium.supports_websockets=true");
    let more = codex.exec(&["resume", "--last", "And of Spain?"]).ok();
    assert!(!more.answer().is_empty());
    let (_, n_more) = tokens(&more);
    assert!(n_more > n_cached, "{n_more} after {n_cached}");
    server.stop();
}

/// Tokens of prompts so far, and how many of them were known.
fn tokens(ran: &Ran) -> (u64, u64) {
    let done = ran.events.iter().rfind(|event| event["type"] == "turn.completed").unwrap();
    let usage = |name: &str| done["usage"][name].as_u64().unwrap();
    (usage("input_tokens"), usage("cached_input_tokens"))
}

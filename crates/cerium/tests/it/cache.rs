//! What is kept of prompts on disk, from one command to the next.

use crate::world::{CALC, World};
use cerium_hub::test_model;
use serde_json::Value;
use std::fs;

fn ask(world: &World, more: &[&str]) -> Value {
    let model = test_model("smollm2-135m");
    let args = ["ask", "how is the area computed?", "--json", "--no-daemon", "--model"];
    let model = model.to_str().unwrap();
    world.run(&[&args[..], &[model], more].concat()).ok().json()
}

/// A world whose question has a prompt of more than 256 tokens.
fn world() -> World {
    let world = World::new();
    world.write("calc.py", CALC.repeat(6));
    world
}

fn n_entries(world: &World) -> u64 {
    let report = world.run(&["cache", "--json"]).ok().json();
    let models = report["models"].as_array().unwrap();
    let n_bytes: u64 = models.iter().map(|model| model["bytes"].as_u64().unwrap()).sum();
    assert_eq!(report["bytes"], n_bytes);
    models.iter().map(|model| model["entries"].as_u64().unwrap()).sum()
}

#[test]
fn the_next_command_goes_on_from_what_is_kept() {
    let world = world();
    assert_eq!(n_entries(&world), 0);
    let first = ask(&world, &[]);
    let n_prompt = first["prompt_tokens"].as_u64().unwrap();
    assert!(n_prompt > 300, "{n_prompt}");
    assert!(n_entries(&world) >= n_prompt / 64, "{} of {n_prompt}", n_entries(&world));
    let second = ask(&world, &[]);
    assert_eq!(second["answer"], first["answer"]);
    assert_eq!(second["cached_tokens"].as_u64().unwrap() / 64, (n_prompt - 1) / 64);
    let shown = world.run(&["cache"]).ok().stdout;
    assert!(shown.contains("pages of 64 tokens"), "{shown}");
    world.run(&["cache", "clear"]).ok().says("freed");
    assert_eq!(n_entries(&world), 0);
    assert_eq!(ask(&world, &[])["answer"], first["answer"]);
}

#[test]
fn nothing_is_kept_for_who_does_not_want_it() {
    let world = world();
    ask(&world, &["--no-persist"]);
    fs::create_dir_all(world.path("config/cerium")).unwrap();
    fs::write(world.path("config/cerium/config.toml"), "[cache]\npersist = false\n").unwrap();
    ask(&world, &[]);
    assert_eq!(n_entries(&world), 0);
    assert!(!world.path("home/kv").exists());
    assert_eq!(world.run(&["cache", "--json"]).ok().json()["persist"], false);
}

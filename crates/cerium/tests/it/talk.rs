//! Questions that go on from others.

use crate::world::{CALC, World};
use cerium_hub::test_model;
use serde_json::Value;
use std::thread;
use std::time::{Duration, Instant};

fn ask(world: &World, question: &[&str]) -> Value {
    let model = test_model("smollm2-135m").to_str().unwrap().to_owned();
    let args = [&["ask"], question, &["--json", "--model", &model]].concat();
    world.run(&args).ok().json()
}

/// Tokens of a prompt, and those that were computed.
fn tokens(told: &Value) -> (u64, u64) {
    let tokens = |field: &str| told[field].as_u64().unwrap();
    (tokens("prompt_tokens"), tokens("prompt_tokens") - tokens("cached_tokens"))
}

fn parts(told: &Value) -> Vec<&str> {
    told["why"][0]["parts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["name"].as_str().unwrap())
        .collect()
}

#[test]
fn a_question_that_goes_on_is_read_alone() {
    let world = World::new();
    let none = world.run(&["ask", "--continue", "and why?"]).exits(2);
    none.says("no question in this tree to go on from");
    let (n_first, computed) = tokens(&ask(&world, &["how is the area computed?"]));
    assert_eq!(computed, n_first);
    let second = ask(&world, &["--continue", "and where is it printed?"]);
    let (n_second, computed) = tokens(&second);
    assert!(n_second > n_first && computed < 100, "{second:#}");

    // What changed is told, and little besides.
    world.write("calc.py", CALC.replace("width * height", "width * height / 2"));
    let third = ask(&world, &["--continue", "and what does it return now?"]);
    assert!(parts(&third).contains(&"change of calc.py"), "{third:#}");
    assert!(tokens(&third).1 < 200, "{third:#}");

    // Meanwhile it is written anew, with the file as it is, and read.
    let begun = Instant::now();
    let running = || {
        world.run(&["doctor", "--json"]).ok().json()["engines"][0]["activity"]["running"].clone()
    };
    while running() != 0 {
        assert!(begun.elapsed() < Duration::from_mins(2));
        thread::sleep(Duration::from_millis(20));
    }
    let fourth = ask(&world, &["-c", "is that right?"]);
    assert!(!parts(&fourth).contains(&"change of calc.py"), "{fourth:#}");
    assert!(tokens(&fourth).1 < 100, "{fourth:#}");
    assert!(fourth["excerpts"][0]["path"] == "calc.py", "{fourth:#}");
}

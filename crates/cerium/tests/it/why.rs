//! What commands and the engine tell of prompts: what of them was known, and why the rest was not.

use crate::world::World;
use cerium_hub::test_model;
use serde_json::{Value, json};

fn edit(world: &World, instruction: &str, more: &[&str]) -> Value {
    let model = test_model("smollm2-135m").to_str().unwrap().to_owned();
    let args = ["edit", "calc.py", "--symbol", "main", "--dry-run", "--json", "--model", &model];
    let mut told = world.run(&[&args[..], &["-i", instruction], more].concat()).json();
    told["why"][0].take()
}

/// Names of the parts of which something was computed.
fn computed(why: &Value) -> Vec<&str> {
    let parts = why["parts"].as_array().unwrap().iter();
    let computed = parts.filter(|part| part["tokens"] != part["known_tokens"]);
    computed.map(|part| part["name"].as_str().unwrap()).collect()
}

#[test]
fn what_was_known_is_told_by_the_parts_of_a_prompt() {
    let world = World::new();
    let first = edit(&world, "print the area of a 4 by 5 rectangle", &[]);
    assert_eq!(first["cause"], "new", "{first:#}");
    let all = [
        "system text",
        "file",
        "code around the scope",
        "scope",
        "instruction",
        "beginning of the answer",
    ];
    assert_eq!(computed(&first), all);
    assert_eq!((&first["place"]["part"], &first["place"]["byte"]), (&json!(0), &json!(0)));

    let second = edit(&world, "print the area of a 6 by 7 rectangle", &[]);
    assert_eq!(second["cause"], "differs", "{second:#}");
    assert_eq!(computed(&second), all[4..]);
    let place = &second["place"];
    assert_eq!((&place["part"], &place["byte"]), (&json!(4), &json!(34)), "{place:#}");
    assert!(place["before"].as_str().unwrap().ends_with("print the area of a "), "{place:#}");
    assert!(place["here"].as_str().unwrap().starts_with("6 by 7"), "{place:#}");
    assert!(place["known"].as_str().unwrap().starts_with("4 by 5"), "{place:#}");

    // The engine remembers it.
    let told = world.run(&["why", "--last", "9", "--json"]).ok().json();
    let answers = told["answers"].as_array().unwrap();
    assert_eq!(answers.iter().map(|answer| &answer["why"]).collect::<Vec<_>>(), [&first, &second]);
    let text = world.run(&["why"]).ok().stdout;
    assert!(text.contains("a known prompt goes on otherwise: in the instruction"), "{text}");
    assert!(text.contains("\"4 by 5"), "{text}");
    let totals = world.run(&["why", "--totals"]).ok().stdout;
    assert!(totals.contains(": 2 answers"), "{totals}");

    // A change in the file is found where it is.
    world.write("calc.py", crate::world::CALC.replace("print(area", "return print(area"));
    let third = edit(&world, "print the area of a 6 by 7 rectangle", &[]);
    assert_eq!(computed(&third), all[3..], "{third:#}");
    assert!(third["place"]["here"].as_str().unwrap().contains("return"), "{third:#}");
}

#[test]
fn what_was_computed_by_others_is_told_apart_from_what_is_new() {
    let world = World::new();
    let instruction = "print the area of a 4 by 5 rectangle";
    edit(&world, instruction, &[]);
    world.run(&["stop"]).ok();
    // Too short for the disk.
    let lost = edit(&world, instruction, &[]);
    assert_eq!(lost["cause"], "lost", "{lost:#}");
    let n_gone = lost["gone_tokens"].as_u64().unwrap();
    assert!(n_gone >= 64 && n_gone.is_multiple_of(64), "{lost:#}");
    let other = edit(&world, instruction, &["--kv", "q8"]);
    assert_eq!((&other["cause"], &other["gone_tokens"]), (&json!("elsewhere"), &json!(n_gone)));

    world.run(&["stop"]).ok().says("has left");
    world.run(&["why"]).ok().says("no engine runs");
    world.run(&["cache", "clear"]).ok();
    assert_eq!(edit(&world, instruction, &["--no-persist"])["cause"], "new");
}

//! A real model behind the real command. The smallest one writes poor code: what is held is the
//! contract, not the quality.

use crate::edit::assert_promised;
use crate::world::{CALC, World};
use cerium_hub::test_model;
use serde_json::Value;
use std::fs;

fn model() -> String {
    test_model("smollm2-135m").to_str().unwrap().to_owned()
}

#[test]
fn an_edit_keeps_to_its_scope_and_can_be_undone() {
    let world = World::new();
    let model = model();
    let instruction = "print the area of a 4 by 5 rectangle";
    let args = ["edit", "calc.py", "-i", instruction, "--lines", "8:9", "--yes", "--json"];
    let ran = world.run(&[&args[..], &["--model", &model]].concat());
    assert!(matches!(ran.code, Some(0 | 3)), "{ran:#?}");
    let report = ran.json();
    assert_promised(&report);
    assert_eq!(report["model"], "SmolLM2-135M-Instruct.Q4_1");
    assert!(report["prompt_tokens"].as_u64().unwrap() > 0);
    assert!(report["output_tokens"].as_u64().unwrap() > 0);
    assert!(report["ttft_ms"].as_f64().unwrap() <= report["total_ms"].as_f64().unwrap());
    assert_eq!(report["applied"], ran.code == Some(0));
    let after = String::from_utf8(world.read("calc.py")).unwrap();
    let fixed: Vec<_> = CALC.lines().take(7).collect();
    assert_eq!(after.lines().take(7).collect::<Vec<_>>(), fixed, "lines outside the scope");
    if ran.code == Some(0) {
        assert_ne!(after, CALC);
        world.run(&["undo"]).ok();
    } else {
        assert!(report["error"].is_string(), "{report:#}");
        assert_eq!(world.n_edits(), 0);
    }
    assert_eq!(world.read("calc.py"), CALC.as_bytes());
}

#[test]
fn a_block_finds_its_place() {
    let world = World::new();
    let file = include_str!("../../../../examples/inventory.py");
    world.write("inventory.py", file);
    let model = test_model("qwen2.5-coder-0.5b");
    let instruction = "use sum() in total instead of the loop";
    let edit = ["edit", "inventory.py", "-i", instruction, "--format", "search-replace", "--yes"];
    let ran = world.run(&[&edit[..], &["--model", model.to_str().unwrap()]].concat()).ok();
    assert!(ran.stdout.contains("+        return sum(self.counts.values())"), "{ran:#?}");
    assert!(!ran.stdout.contains("<<<<<<<"), "{ran:#?}");
    world.run(&["undo"]).ok();
    assert_eq!(world.read("inventory.py"), file.as_bytes());
}

#[test]
fn the_same_question_gets_the_same_answer_and_places_that_exist() {
    let world = World::new();
    let model = model();
    let ask = |threads: &str| {
        let args = ["ask", "how is the area computed?", "--json", "--model", &model];
        world.run(&[&args[..], &["--threads", threads]].concat()).ok().json()
    };
    let answer = ask("1");
    assert_eq!(answer["answer"], ask("2")["answer"], "threads only change the speed");
    assert!(!answer["answer"].as_str().unwrap().trim().is_empty());
    for citation in answer["citations"].as_array().unwrap() {
        assert_eq!(citation["path"], "calc.py");
        let line = usize::try_from(citation["start_line"].as_u64().unwrap()).unwrap();
        assert_eq!(citation["quote"], CALC.lines().nth(line - 1).unwrap());
    }
}

#[test]
fn a_bench_of_edits_compares_drafts_of_each_kind() {
    let world = World::new();
    let before = CALC.repeat(3);
    let after = before.replace("width", "breadth");
    let case = serde_json::json!({
        "path": "calc.py", "before": before, "after": after,
        "instruction": "rename the parameter of every area function to breadth and explain it",
    });
    world.write("some.jsonl", format!("{case}\n{{not a case: only every second one is read\n"));
    let model = model();
    let bench = ["bench", "edit", "--cases", ".", "--set", "some", "--every", "2", "--json"];
    let report = world.run(&[&bench[..], &["--model", &model]].concat()).ok().json();
    let rows = report["rows"].as_array().unwrap();
    let row = |view: &str, drafts: &str| {
        let row = rows.iter().find(|row| row["view"] == view && row["drafted_from"] == drafts);
        row.unwrap_or_else(|| panic!("no {view}, {drafts}: {report:#}"))
    };
    for row in rows {
        assert_eq!(row["same"], row["edits"], "{report:#}");
    }
    let plain = row("end-to-end", "none");
    assert_eq!(
        (&plain["output_steps"], &plain["drafted_tokens"]),
        (&plain["output_tokens"], &0.into())
    );
    let steps = |drafts: &str| row("replay", drafts)["output_steps"].as_u64().unwrap();
    assert!(steps("changes") < steps("copy"), "{report:#}");
    assert!(row("replay", "changes")["drafts"]["changed"]["accepted_tokens"].as_u64() > Some(0));
    assert!(steps("itself") < steps("copy"), "{report:#}");
    let plain = row("unlike", "none");
    assert_eq!(plain["output_steps"], plain["output_tokens"]);
}

#[test]
fn a_bench_sets_work_beside_the_limits_of_its_own_run() {
    let world = World::new();
    let model = model();
    let bench = |args: &[&str]| world.run(&[&["bench"], args, &["--model", &model]].concat());
    let verify = ["verify", "--k", "1,4", "--after", "8", "--rounds", "2", "--profile", "--json"];
    let report = bench(&verify).ok().json();
    assert_eq!(report["rounds"], 2);
    for limit in ["read_bytes_per_s", "int8_macs_per_s", "float_macs_per_s"] {
        assert!(report["limits"][limit].is_number(), "{report:#}");
    }
    let [one, four] = &report["cases"].as_array().unwrap()[..] else { panic!("{report:#}") };
    assert_eq!((&one["bound"], &four["bound"]), (&"read".into(), &"int8".into()));
    for (case, tokens) in [(one, 1.0), (four, 4.0)] {
        let number = |field: &str| case[field].as_f64().unwrap();
        let rate = tokens / number("ms") * 1e3;
        assert!((number("tokens_per_s") / rate - 1.0).abs() < 1e-9, "{case:#}");
        // Most of a step is accounted for.
        let profile = case["profile_ms"].as_object().unwrap();
        let sum: f64 = profile.values().map(|ms| ms.as_f64().unwrap()).sum();
        assert!(sum > 0.0 && sum < 2.0 * number("ms"), "{case:#}");
    }
    bench(&["prefill", "--tokens", "9000"])
        .exits(2)
        .says("a context of 9000 tokens was asked for, the model reaches 8192");
    let ran = bench(&["decode", "--tokens", "2", "--after", "4", "--rounds", "1"]).ok();
    assert!(ran.stdout.contains("decode 2 after 4") && ran.stdout.contains("tok/s"), "{ran:#?}");
}

#[test]
fn a_plan_is_kept_shown_and_refused_where_it_has_no_step() {
    let world = World::new();
    let model = model();
    let goal = "add a perimeter function to calc.py";
    let ran = world.run(&["plan", goal, "--json", "--model", &model]);
    if ran.code == Some(3) {
        // The model wrote nothing that reads as a plan, and none was kept.
        world.run(&["plan"]).exits(2).says("there is no plan");
        return;
    }
    let made = ran.ok().json();
    assert_eq!(made["goal"], goal);
    let kept = world.run(&["plan", "--json"]).ok().json();
    assert_eq!(kept["steps"], made["steps"]);
    assert_eq!(kept.get("model").unwrap_or(&Value::Null), &Value::Null, "no model was asked");
    world.run(&["plan", "--apply", "99"]).exits(2).says("there is no step 99");
}

#[test]
fn more_than_the_context_holds_is_refused() {
    let world = World::new();
    let model = model();
    let long: String = (0..6000).map(|i| format!("value_{i} = {i} * {i}\n")).collect();
    world.write("long.py", &long);
    let edit = ["edit", "long.py", "-i", "make it faster", "--lines", "1:6000", "--yes"];
    let ran = world.run(&[&edit[..], &["--model", &model]].concat()).exits(2);
    ran.says("tokens of context, the model has").says("hint: name a smaller part with --lines");
    assert_eq!(world.read("long.py"), long.as_bytes());
    let question = "why? ".repeat(5000);
    world.run(&["ask", &question, "--model", &model]).exits(2).says("the question has");
}

#[test]
fn a_model_that_memory_does_not_hold_is_refused_before_it_is_loaded() {
    let world = World::new();
    let model = model();
    let ask = |memory: &str| {
        fs::create_dir_all(world.path("config/cerium")).unwrap();
        let text = format!("memory = \"{memory}\"\n");
        fs::write(world.path("config/cerium/config.toml"), text).unwrap();
        world.run(&["ask", "what is this?", "--model", &model])
    };
    let ran = ask("150 MB")
        .exits(2)
        .says("loading `")
        .says("the model needs")
        .says("150 MB were allowed");
    ran.says("hint: raise `memory` in your config.toml");
    assert!(!world.path("home/packed").exists(), "nothing was packed");
    // Room for a part of the context.
    ask("300 MB").ok().says("there is memory for").says("of 8192 tokens of context");
    assert!(!ask("4 GB").ok().stderr.contains("there is memory for"));
}

#[test]
fn a_model_without_infill_says_so() {
    let world = World::new();
    let ran = world.run(&["complete", "calc.py:5:12", "--model", &model()]).exits(2);
    ran.says("cannot fill in the middle");
    world.run(&["complete", "calc.py:50:1", "--model", &model()]).exits(2).says("no line 50");
}

#[test]
fn answers_are_the_same_however_they_come_about() {
    let world = World::new();
    let cases = [
        serde_json::json!({ "path": "calc.py", "before": CALC, "instruction": "explain area" }),
        // Long enough to be kept on disk.
        serde_json::json!({ "question": format!("{CALC}What does main print? ").repeat(8) }),
        serde_json::json!({ "prefix": "def double(x):\n", "suffix": "\n    return y\n" }),
    ];
    world.write("some.jsonl", cases.map(|case| format!("{case}\n")).concat());
    let model = model();
    let bench = ["bench", "same", "--cases", ".", "--set", "some", "--ways", "24", "--json"];
    let bench = [&bench[..], &["--tokens", "12", "--model", &model]].concat();
    let report = world.run(&bench).ok().json();
    let rows = report["rows"].as_array().unwrap();
    let count = |what: &str, count: &str| {
        let row = rows.iter().find(|row| row["what"] == what);
        row.unwrap_or_else(|| panic!("no {what}: {report:#}"))[count].as_u64().unwrap()
    };
    assert_eq!((report["prompts"].as_u64(), count("all", "answers")), (Some(3), 144));
    assert_eq!(count("all", "same"), 144, "{report:#}");
    // All 72 ways were tried, and what they are about took place.
    for what in ["drafts: none", "drafts: copy", "drafts: changes", "drafts: repeats"] {
        assert_eq!(count(what, "answers"), 24, "{report:#}");
    }
    assert!(count("drafts: all", "accepted_tokens") > 0, "{report:#}");
    assert!(count("cache: warm", "cached_tokens") > 0, "{report:#}");
    assert!(count("cache: disk", "cached_tokens") > 0, "{report:#}");
    assert_eq!(count("cache: cold", "cached_tokens"), 0, "{report:#}");
}

#[test]
fn a_bench_of_a_session_touches_no_file() {
    let world = World::new();
    let volume = "def volume(width, height, depth):\n    return width * height * depth\n";
    let shapes = format!("{CALC}\n\n{volume}");
    world.write("shapes.py", &shapes);
    let model = model();
    let bench = ["bench", "session", "--edits", "3", "--json", "--model", &model];
    let report = world.run(&bench).ok().json();
    let turns = report["turns"].as_array().unwrap();
    assert_eq!(turns.len(), 3);
    // What all edits begin with is computed once.
    let tokens = |i: usize, field: &str| turns[i][field].as_u64().unwrap();
    assert!(tokens(1, "uncached_tokens") < tokens(1, "prompt_tokens"), "{report:#}");
    assert_eq!(world.read("shapes.py"), shapes.as_bytes());
}

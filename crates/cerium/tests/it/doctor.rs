//! `cerium doctor`: what it sees, and what it says of a machine that something is wrong with.

use crate::world::{Ran, World};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::Command;

#[test]
fn it_tells_what_it_sees() {
    let world = World::new();
    let report = world.run(&["doctor", "--json"]).ok().json();
    let paths = report["paths"].as_array().unwrap();
    assert_eq!(paths[0], "scalar");
    assert_eq!(&report["path"], paths.last().unwrap());
    assert!(report["processors"].as_u64().unwrap() >= 1);
    assert_eq!(report["model"], "qwen2.5-coder-0.5b");
    let ran = world.run(&["doctor"]).ok().shows("the model qwen2.5-coder-0.5b is not here yet");
    assert!(ran.stdout.lines().any(|line| line.starts_with("path ")), "{ran:#?}");
    ran.shows("to do     nothing; or `cerium pull qwen2.5-coder-0.5b` now");
}

/// The doctor exits with this code and finds this, whose texts say these words.
#[track_caller]
fn finds(mut command: Command, code: i32, name: &str, words: &[&str]) {
    let ran = Ran::of(&mut command).exits(code);
    let report = ran.json();
    let findings = report["findings"].as_array().unwrap();
    let Some(found) = findings.iter().find(|finding| finding["name"] == name) else {
        panic!("no {name} in {findings:#?}");
    };
    assert_eq!(found["blocks"], code == 2, "{found}");
    for word in words {
        assert!(found.to_string().contains(word), "{word} in {found}");
    }
}

#[test]
fn settings_that_cannot_be_read_do_not_hide_the_rest() {
    let world = World::new();
    world.write("cerium.toml", "modle = \"x\"");
    let wrong = ["unknown key `modle`", "did you mean `model`?", "cerium.toml"];
    finds(world.command(&["doctor", "--json"]), 2, "settings", &wrong);
    finds(world.command(&["doctor", "--json", "--model", "x"]), 2, "model", &["`x`"]);
}

#[test]
fn models_that_are_none_or_damaged_are_found() {
    let world = World::new();
    let doctor = |model| world.command(&["doctor", "--json", "--model", model]);
    finds(doctor("qwen2.5-coder-0.5"), 2, "model", &["did you mean `qwen2.5-coder-0.5b`?"]);
    finds(doctor("."), 2, "model", &["is a directory"]);
    let dir = world.path("home/models/smollm2-135m");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("SmolLM2-135M-Instruct.Q4_1.gguf"), "GGUF, almost").unwrap();
    finds(doctor("smollm2-135m"), 2, "model", &["`cerium rm smollm2-135m`", "cerium pull"]);
    finds(world.command(&["doctor", "--json"]), 0, "model_unchecked", &["smollm2-135m"]);
}

#[test]
fn directories_that_are_none_are_found() {
    let world = World::new();
    let with = |name: &str| {
        let mut command = world.command(&["doctor", "--json"]);
        command.env(name, world.tree().join("calc.py/x"));
        command
    };
    finds(with("CERIUM_HOME"), 2, "home_not_writable", &["calc.py/x", "CERIUM_HOME"]);
    finds(with("XDG_STATE_HOME"), 2, "state_not_writable", &["calc.py/x", "XDG_STATE_HOME"]);
}

#[test]
fn a_store_that_is_none_is_found() {
    let world = World::new();
    fs::create_dir_all(world.path("state/cerium")).unwrap();
    let doctor = || world.command(&["doctor", "--json"]);
    fs::write(world.path("state/cerium/store.sqlite"), "something else").unwrap();
    finds(doctor(), 2, "store_unreadable", &["it is no SQLite file", "--no-store"]);
    fs::remove_file(world.path("state/cerium/store.sqlite")).unwrap();
    world.run(&["keys", "create", "a"]).ok();
    let report = world.run(&["doctor", "--json"]).ok();
    assert!(!report.stdout.contains("store_unreadable"), "a real one is read: {report:#?}");
}

#[test]
fn sockets_without_an_engine_are_found() {
    let world = World::new();
    let doctor = || world.command(&["doctor", "--json"]);
    world.run(&["doctor"]).ok();
    drop(UnixListener::bind(world.path("run/cerium/stale.sock")).unwrap());
    finds(doctor(), 0, "stale_sockets", &["that are gone: 1"]);
    let _silent = UnixListener::bind(world.path("run/cerium/silent.sock")).unwrap();
    finds(doctor(), 0, "engine_does_not_answer", &["does not answer: 1"]);
    fs::set_permissions(world.path("run/cerium"), Permissions::from_mode(0o755)).unwrap();
    finds(doctor(), 0, "no_place_for_engines", &["others may enter it", "XDG_RUNTIME_DIR"]);
}

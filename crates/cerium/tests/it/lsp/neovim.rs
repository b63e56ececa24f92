//! A real editor, without a window: Neovim with the client of `editors/neovim`.

use super::{SHAPES, model};
use crate::world::World;
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

#[test]
fn neovim_shows_accepts_edits_and_takes_back() {
    let world = World::new();
    world.write("shapes.py", format!("{SHAPES}# TODO: rename rectangle to oblong\n"));
    let here = env!("CARGO_MANIFEST_DIR");
    let server = world.command(&["lsp", "--model", &model()]);
    let words = [server.get_program()].into_iter().chain(server.get_args());
    let words: Vec<_> = words.map(|word| word.to_str().unwrap()).collect();
    let mut nvim = Command::new("nvim");
    world.environment(&mut nvim);
    let path = format!("set runtimepath^={here}/../../editors/neovim");
    let drive = format!("luafile {here}/tests/data/neovim.lua");
    nvim.args(["--headless", "-u", "NONE", "-i", "NONE", "-n", "-c", &path, "-c", &drive])
        .env("CERIUM_CMD", json!(words).to_string())
        .env("CERIUM_SAW", world.path("saw"));
    let output = nvim.output().expect("nvim is installed (Debian: apt-get install neovim)");
    let saw = fs::read_to_string(world.path("saw"));
    let saw: Value = serde_json::from_str(&saw.unwrap_or_else(|_| panic!("{output:#?}"))).unwrap();
    assert!(saw["failed"].is_null(), "{saw:#}");

    let suggestion = saw["suggestion"].as_str().unwrap();
    assert_eq!(saw["ghost"], suggestion, "what is shown is what was suggested");
    assert_eq!(saw["before_accepting"], "    return ", "it is only shown");
    let line = format!("    return {suggestion}");
    assert_eq!(saw["after_accepting"], *line);
    assert_eq!(saw["cursor"], json!([7, line.len()]));
    assert!(saw["stale"].is_null(), "shown for a text that is gone: {saw:#}");

    assert_eq!(saw["action"], "cerium: do: rename rectangle to oblong");
    assert_eq!((&saw["error"], &saw["applied"]), (&Value::Null, &json!(true)));
    let edited = saw["edited"].as_str().unwrap();
    assert!(edited.contains("def oblong(width, height):") && edited.contains(&line), "{edited}");
    assert_eq!(saw["undone"], true, "{saw:#}");
}

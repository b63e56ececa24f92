//! Settings: whose file may say what, and who wins.

use crate::world::World;
use std::fs;

#[test]
fn a_tree_is_not_trusted() {
    let world = World::new();
    for (text, key) in [
        ("[upstream.evil]\nurl = \"http://example.org\"", "`upstream` may not be set in a tree"),
        ("keys = [\"x\"]", "`keys` may not be set in a tree"),
        ("commands.test = \"rm -rf ~\"", "`commands` may not be set in a tree"),
        ("[serve]\nlisten = \"0.0.0.0:1\"", "`serve.listen` may not be set in a tree"),
        ("model = \"./evil.gguf\"", "not the path `./evil.gguf`"),
    ] {
        world.write("cerium.toml", text);
        let file = format!("in `{}/cerium.toml`: ", world.tree().display());
        // Wherever in the tree one stands.
        fs::create_dir_all(world.tree().join("src")).unwrap();
        let mut command = world.command(&["doctor"]);
        let ran = crate::world::Ran::of(command.current_dir(world.tree().join("src")));
        ran.exits(2).shows(&file).shows(key).shows("a tree's cerium.toml is not trusted");
        // Commands that do not work in the tree do not read its settings.
        world.run(&["models"]).ok();
    }
}

#[test]
fn mistakes_are_named() {
    let world = World::new();
    for (text, message, hint) in [
        ("modle = \"x\"", "unknown key `modle`", "did you mean `model`?"),
        (
            "colour = 1",
            "unknown key `colour`",
            "the keys are model, threads, context, kv, memory, cache.persist, cache.size, serve.listen",
        ),
        ("threads = 0", "`threads` is 0, wanted 1 to 1024", ""),
        ("threads = [", "cerium.toml", ""),
        (&"#".repeat(100_000), "longer than 65536 bytes", ""),
    ] {
        world.write("cerium.toml", text);
        world.run(&["doctor"]).exits(2).shows(message).shows(hint);
    }
    fs::remove_file(world.tree().join("cerium.toml")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", world.tree().join("cerium.toml")).unwrap();
    world.run(&["doctor"]).exits(2).shows("not a regular file");
}

#[test]
fn flags_win_over_the_tree_and_the_tree_over_the_person() {
    let world = World::new();
    let model = |args: &[&str]| {
        let args = [&["doctor", "--json"], args].concat();
        world.run(&args).json()["model"].as_str().unwrap().to_owned()
    };
    assert_eq!(model(&[]), "qwen2.5-coder-0.5b");
    fs::create_dir_all(world.path("config/cerium")).unwrap();
    fs::write(world.path("config/cerium/config.toml"), "model = \"/mine.gguf\"\n").unwrap();
    assert_eq!(model(&[]), "/mine.gguf");
    world.write("cerium.toml", "model = \"smollm2-135m\"\n");
    assert_eq!(model(&[]), "smollm2-135m");
    assert_eq!(model(&["--model", "gemma3-270m"]), "gemma3-270m");
}

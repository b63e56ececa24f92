//! Edits that need no model, because the instruction is fully understood: everything around the
//! model is tested here.

use crate::world::{CALC, World};
use serde_json::Value;

const RENAME: &str = "rename area to surface";
const BUT_RENAMED: &str = "\
import os


def surface(width, height):
    return width * height


def main():
    print(surface(2, 3))
";

#[test]
fn an_edit_is_applied_undone_and_redone() {
    let world = World::new();
    let ran = world.run(&["edit", "calc.py", "-i", RENAME, "--yes"]).ok();
    assert_eq!(world.read("calc.py"), BUT_RENAMED.as_bytes());
    insta::assert_snapshot!(ran.stdout, @r"
    --- a/calc.py
    +++ b/calc.py
    @@ -1,9 +1,9 @@
     import os
     
     
    -def area(width, height):
    +def surface(width, height):
         return width * height
     
     
     def main():
    -    print(area(2, 3))
    +    print(surface(2, 3))
    ");
    insta::assert_snapshot!(ran.stderr, @"calc.py +2 -2 applied as edit 1, `cerium undo` takes it back");

    world.run(&["undo"]).ok().says("undid edit 1 of calc.py: rename area to surface");
    assert_eq!(world.read("calc.py"), CALC.as_bytes());
    world.run(&["undo"]).exits(2).says("there is no edit to undo in this tree");
    world.run(&["redo"]).ok().says("applied again edit 1 of calc.py");
    assert_eq!(world.read("calc.py"), BUT_RENAMED.as_bytes());
    world.run(&["redo"]).exits(2).says("there is no undone edit to redo in this tree");
    let ran = world.run(&["log"]).ok();
    assert_eq!(ran.stdout, "   1    just now  applied      calc.py  rename area to surface\n");
    // The journal is not in the tree.
    assert_eq!(std::fs::read_dir(world.tree()).unwrap().count(), 2);
}

#[test]
fn json_is_one_object_with_the_promised_fields() {
    let world = World::new();
    let report = world.run(&["edit", "calc.py", "-i", RENAME, "--yes", "--json"]).ok().json();
    assert_promised(&report);
    assert_eq!(report["file"], "calc.py");
    assert_eq!(report["applied"], true);
    assert_eq!(
        (&report["scope"]["start_line"], &report["scope"]["end_line"]),
        (&4.into(), &9.into())
    );
    assert_eq!(report["receipt"]["undo"], 1);
    let log = world.run(&["log", "--json"]).ok().json();
    assert_eq!(
        log["entries"][0]["note"]["receipts"][0], report["receipt"],
        "the journal has it too"
    );
    assert!(report["diff"].as_str().unwrap().starts_with("--- a/calc.py\n+++ b/calc.py\n"));
    let undone = world.run(&["undo", "--json"]).ok().json();
    assert_eq!((&undone["id"], &undone["state"]), (&1.into(), &"undone".into()));
}

pub(crate) fn assert_promised(report: &Value) {
    let counts =
        ["prompt_tokens", "cached_tokens", "output_tokens", "drafted_tokens", "accepted_tokens"];
    let times = ["prefill_ms", "ttft_ms", "decode_ms", "total_ms"];
    for field in counts.iter().chain(&times) {
        assert!(report[field].is_number(), "{field}: {report:#}");
    }
    for field in ["model", "file", "scope", "diff", "applied", "receipt"] {
        assert!(report.get(field).is_some(), "{field}: {report:#}");
    }
}

#[test]
fn a_dry_run_shows_and_changes_nothing() {
    let world = World::new();
    let ran = world.run(&["edit", "calc.py", "-i", RENAME, "--dry-run"]).ok();
    assert!(ran.stdout.contains("+def surface"), "{ran:#?}");
    let report = world.run(&["edit", "calc.py", "-i", RENAME, "--dry-run", "--json"]).ok().json();
    assert_eq!(report["applied"], false);
    assert_eq!(report["receipt"]["undo"], Value::Null);
    assert_eq!(world.read("calc.py"), CALC.as_bytes());
    assert_eq!(world.n_edits(), 0);
}

#[test]
fn without_a_terminal_nothing_is_applied_unasked() {
    let world = World::new();
    let ran = world.run(&["edit", "calc.py", "-i", RENAME]).exits(1);
    assert!(ran.stdout.contains("+def surface"), "{ran:#?}");
    ran.says("there is no terminal to ask on").says("hint: --yes applies without asking");
    assert_eq!(world.read("calc.py"), CALC.as_bytes());
    assert_eq!(world.n_edits(), 0);
}

#[test]
fn quiet_leaves_only_the_result() {
    let world = World::new();
    let ran = world.run(&["edit", "calc.py", "-i", RENAME, "--yes", "--quiet"]).ok();
    assert_eq!(ran.stderr, "");
    assert!(ran.stdout.starts_with("--- a/calc.py"), "{ran:#?}");
}

#[test]
fn several_files_are_one_edit() {
    let world = World::new();
    world.write("other.py", CALC);
    let files = ["edit", "calc.py", "./other.py", "calc.py", "-i", RENAME, "--yes", "--json"];
    let report = world.run(&files).ok().json();
    let files = report["files"].as_array().unwrap();
    assert_eq!(files.len(), 2, "a file named twice is edited once");
    files.iter().for_each(assert_promised);
    assert_eq!(report["prompt_tokens"], 0);
    for file in ["calc.py", "other.py"] {
        assert_eq!(world.read(file), BUT_RENAMED.as_bytes());
    }
    assert_eq!(report["files"][0]["receipt"]["undo"], report["files"][1]["receipt"]["undo"]);
    world.run(&["undo"]).ok().says("undid edit 1 of calc.py other.py");
    for file in ["calc.py", "other.py"] {
        assert_eq!(world.read(file), CALC.as_bytes());
    }
    world.run(&["redo"]).ok();
    // One bad file, and none is touched.
    world.run(&["edit", "calc.py", "gone.py", "-i", "rename surface to area", "--yes"]).exits(2);
    assert_eq!(world.read("calc.py"), BUT_RENAMED.as_bytes());
}

#[test]
fn an_edit_is_taken_back_by_its_number() {
    let world = World::new();
    world.write("other.py", CALC);
    let [first, last] = ["calc.py", "other.py"].map(|file| {
        let report = world.run(&["edit", file, "-i", RENAME, "--yes", "--json"]).ok().json();
        report["receipt"]["undo"].to_string()
    });
    world.write("other.py", "changed since\n");
    let message = format!("`other.py` is not as edit {last} left it");
    world.run(&["undo"]).exits(2).says(&message).says("hint: ");
    world.run(&["undo", &first]).ok().says(&format!("undid edit {first} of calc.py"));
    assert_eq!(world.read("calc.py"), CALC.as_bytes());
    world.run(&["undo", &first]).exits(2).says("is not applied");
    let ran = world.run(&["undo", "70", "--json"]).exits(2);
    assert_eq!(ran.json()["error"], "edit 70 is not in the journal");
}

#[test]
fn taking_back_needs_no_settings() {
    let world = World::new();
    world.run(&["edit", "calc.py", "-i", RENAME, "--yes"]).ok();
    world.write("cerium.toml", "model = [");
    world.run(&["log"]).ok();
    world.run(&["undo"]).ok();
    assert_eq!(world.read("calc.py"), CALC.as_bytes());
}

#[test]
fn trees_do_not_share_a_journal() {
    let (world, other) = (World::new(), World::new());
    world.run(&["edit", "calc.py", "-i", RENAME, "--yes"]).ok();
    let mut undo = world.command(&["undo"]);
    crate::world::Ran::of(undo.current_dir(other.tree())).exits(2);
    assert_eq!(world.n_edits(), 1);
}

#[test]
fn a_rename_without_a_file_goes_to_all_that_hold_the_name() {
    let world = World::new();
    world.write("other.py", CALC);
    world.write("third.py", "x = 1\n");
    let ran = world.run(&["edit", "-i", RENAME, "--yes"]).ok();
    for text in ["editing calc.py: it holds `area`", "editing other.py"] {
        assert!(ran.stderr.contains(text), "{ran:#?}");
    }
    for file in ["calc.py", "other.py"] {
        assert_eq!(world.read(file), BUT_RENAMED.as_bytes());
    }
    world.run(&["undo"]).ok().says("of calc.py other.py");
}

#[test]
fn a_file_is_renamed_and_deleted_when_it_is_said_and_comes_back() {
    let world = World::new();
    let ran = world.run(&["edit", "calc.py", "-i", "move this file to lib/", "--yes"]).ok();
    insta::assert_snapshot!(ran.stdout, @r"
    rename from calc.py
    rename to lib/calc.py
    ");
    ran.says("calc.py -> lib/calc.py +0 -0 applied as edit 1");
    assert_eq!(world.read("lib/calc.py"), CALC.as_bytes());
    let ran = world.run(&["edit", "lib/calc.py", "-i", "delete this file", "--yes"]).ok();
    assert!(ran.stdout.starts_with("--- a/lib/calc.py\n+++ /dev/null\n"), "{ran:#?}");
    assert!(!world.tree().join("lib").exists());
    world.run(&["undo"]).ok();
    world.run(&["undo"]).ok();
    assert_eq!(world.read("calc.py"), CALC.as_bytes());
    assert_eq!(std::fs::read_dir(world.tree()).unwrap().count(), 2);
}

#[test]
fn a_new_file_has_to_be_asked_for_and_must_not_be_there() {
    let world = World::new();
    let ran = world.run(&["edit", "none.py", "-i", "x"]).exits(2);
    ran.says("cannot find `none.py`").says("hint: --new has a file written that is not there yet");
    let ran = world.run(&["edit", "calc.py", "-i", "x", "--new"]).exits(2);
    ran.says("`calc.py` exists already").says("hint: without --new it is changed");
    world.run(&["edit", "../x.py", "-i", "x", "--new"]).exits(2).says("outside the tree");
    assert_eq!(world.n_edits(), 0);
}

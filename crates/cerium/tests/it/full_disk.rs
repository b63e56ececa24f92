//! A disk that is really full: a small file system of its own, mounted in a namespace of the
//! command, where the system lets an ordinary user do that.

use crate::world::{Ran, World};
use cerium_hub::test_model;
use std::process::Command;

/// Runs a script in which `$TREE` is a file system of 256 KiB and `$CERIUM` the command.
fn on_a_small_disk(world: &World, script: &str) -> Option<Ran> {
    let possible = Command::new("unshare").args(["-Urm", "true"]).status();
    if !possible.is_ok_and(|status| status.success()) {
        eprintln!("skipped: this system lets no user mount a file system of their own");
        return None;
    }
    let mount = "mount -t tmpfs -o size=256k tmpfs \"$TREE\" && cd \"$TREE\" && mkdir .git\n";
    let mut command = Command::new("unshare");
    world.environment(&mut command);
    command
        .args(["-Urm", "sh", "-ec", &format!("{mount}{script}")])
        .env("TREE", world.tree())
        .env("CERIUM", env!("CARGO_BIN_EXE_cerium"));
    Some(Ran::of(&mut command))
}

#[test]
fn an_edit_that_does_not_fit_changes_nothing() {
    let world = World::new();
    let Some(ran) = on_a_small_disk(
        &world,
        r#"
        { echo 'def area(): pass'; yes '# filler' | head -c 150000; } > calc.py
        sum=$(sha256sum calc.py)
        code=0; "$CERIUM" edit calc.py -i 'rename area to surface' --yes --quiet > /dev/null || code=$?
        [ "$sum" = "$(sha256sum calc.py)" ] || echo changed
        ls -A
        exit $code
        "#,
    ) else {
        return;
    };
    let ran =
        ran.exits(2).says("cannot write").says("it is unchanged").says("No space left on device");
    let ran = ran.says("hint: the disk is full");
    assert_eq!(ran.stdout, ".git\ncalc.py\n", "nothing else is left");
    let log = world.run(&["log", "--json"]).ok().json();
    assert!(
        log["entries"].as_array().unwrap().iter().all(|entry| entry["state"] != "applied"),
        "{log}"
    );
}

#[test]
fn an_edit_that_cannot_be_journalled_is_not_made() {
    let world = World::new();
    let Some(ran) = on_a_small_disk(
        &world,
        r#"
        echo 'def area(): pass' > calc.py
        export XDG_STATE_HOME="$TREE/state"
        mkdir state; head -c 300000 /dev/zero > filler 2> /dev/null || true
        code=0; "$CERIUM" edit calc.py -i 'rename area to surface' --yes --quiet > /dev/null || code=$?
        cat calc.py
        exit $code
        "#,
    ) else {
        return;
    };
    let ran = ran.exits(2).says("the edit journal").says("No space left on device");
    assert_eq!(ran.stdout, "def area(): pass\n");
}

#[test]
fn a_model_answers_without_room_for_its_packed_weights_and_prompts() {
    let world = World::new();
    let model = test_model("smollm2-135m");
    let script = r#"
        yes 'def area(width, height): return width * height' | head -40 > calc.py
        export CERIUM_HOME="$TREE/home"
        "$CERIUM" ask 'what is this?' --json --no-daemon --model MODEL > /dev/null
        ls home/packed
        find home -name '*.page' -o -name '*.partial'
        "#;
    let script = script.replace("MODEL", model.to_str().unwrap());
    let Some(ran) = on_a_small_disk(&world, &script) else { return };
    let ran = ran.ok().says("packed weights cannot be kept in").says("No space left on device");
    let ran = ran.says("computed prompts cannot be kept in");
    assert_eq!(ran.stderr.matches("computed prompts").count(), 1, "{ran:#?}");
    assert_eq!(ran.stdout, "", "nothing is left behind");
}

//! Ctrl-C at every point: nothing is written, exit code 130.

use crate::terminal::OnTerminal;
use crate::world::{CALC, World};
use cerium_hub::test_model;
use rustix::process::{Pid, Signal, kill_process};
use std::process::Child;

fn interrupt(child: &Child) {
    let id = i32::try_from(child.id()).unwrap();
    kill_process(Pid::from_raw(id).unwrap(), Signal::INT).unwrap();
}

/// Waits for `moment` on the screen, interrupts, and expects an untouched tree.
#[track_caller]
fn at(world: &World, args: &[&str], moment: &str) -> OnTerminal {
    let mut terminal = OnTerminal::start(world.command(args));
    terminal.wait_for(moment);
    interrupt(&terminal.child);
    assert_eq!(terminal.end(), Some(130), "{}", terminal.screen);
    assert_eq!(world.read("calc.py"), CALC.as_bytes());
    assert_eq!(world.n_edits(), 0);
    terminal
}

#[test]
fn while_the_question_is_asked() {
    let world = World::new();
    at(&world, &["edit", "calc.py", "-i", "rename area to surface"], "apply?");
}

#[test]
fn while_the_model_is_loaded_or_works() {
    let world = World::new();
    let model = test_model("smollm2-135m");
    let model = model.to_str().unwrap();
    let edit = ["edit", "calc.py", "-i", "make it faster", "--yes", "--model", model];
    at(&world, &edit, "loading");
    let terminal = at(&world, &edit, "reading");
    assert!(terminal.screen.contains("cancelled; nothing was written"), "{}", terminal.screen);
    at(&world, &["ask", "what is computed?", "--model", model], "reading");
    at(&world, &["plan", "make it faster", "--model", model], "planning");
    world.run(&["plan"]).exits(2).says("there is no plan");
}

#[test]
fn while_a_model_is_fetched() {
    let world = World::new();
    let bin = world.fake_python(&world.path("none"), "hang");
    let mut command = world.command(&["pull", "smollm2-135m"]);
    command.env("PATH", World::path_with(&bin));
    let mut terminal = OnTerminal::start(command);
    terminal.wait_for("fetching");
    interrupt(&terminal.child);
    assert_eq!(terminal.end(), Some(130), "{}", terminal.screen);
    assert!(terminal.screen.contains("the next pull goes on from there"), "{}", terminal.screen);
}

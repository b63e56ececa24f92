//! Several processes at once, and processes that die. A test asks this same test binary to run
//! `child` alone in another process.

use crate::world::{PACKAGES, Watch, World};
use std::env;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const WORLD: &str = "CERIUM_HUB_TEST_WORLD";

/// Not a test of its own: what the other process does.
#[test]
fn child() {
    let Some(dir) = env::var_os(WORLD) else { return };
    World::open(dir.as_ref(), &[PACKAGES]).pull().unwrap();
}

fn spawn(world: &World) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "processes::child"])
        .env(WORLD, &world.dir)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn two_processes_download_once() {
    let world = World::new(&[PACKAGES]);
    world.behave("slow");
    let mut children = [spawn(&world), spawn(&world), spawn(&world)];
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    world.assert_whole();
    assert_eq!(world.calls().len(), 3, "{:?}", world.calls());
}

#[test]
fn the_second_says_that_it_waits_and_can_be_cancelled() {
    let world = World::new(&[PACKAGES]);
    world.behave("hang-at-part2");
    let mut first = spawn(&world);
    wait_for(&world.dir.join("hanging"));
    let mut watch = Watch { until: Some("Waiting"), ..Watch::default() };
    let error = world.pull_with(&mut watch).unwrap_err();
    assert!(matches!(error, cerium_hub::HubError::Cancelled), "{error}");
    assert_eq!(watch.seen, ["Waiting"]);
    first.kill().unwrap();
    first.wait().unwrap();
}

#[test]
fn a_killed_pull_is_resumed() {
    let world = World::new(&[PACKAGES]);
    world.behave("hang-at-part2");
    let mut child = spawn(&world);
    wait_for(&world.dir.join("hanging"));
    child.kill().unwrap();
    child.wait().unwrap();
    world.assert_absent();
    world.behave("well");
    world.pull().unwrap();
    world.assert_whole();
    let calls = world.calls().join(" ").replace("tiny-model-", "").replace("==1.0", "");
    assert_eq!(calls, "part1 part2 part2 part3");
}

fn wait_for(path: &std::path::Path) {
    let start = Instant::now();
    while !path.exists() {
        assert!(start.elapsed() < Duration::from_secs(30), "`{}` never came", path.display());
        thread::sleep(Duration::from_millis(10));
    }
    let _ = fs::remove_file(path);
}

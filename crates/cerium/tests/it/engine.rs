//! The engine that commands share: started by the first, warm for the second, gone when it should
//! be, and never more than one where one will do.

use crate::terminal::OnTerminal;
use crate::world::{Ran, World};
use cerium_hub::test_model;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs::{self, DirBuilder, Permissions};
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long what must happen may take, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_mins(2);

const ASK: [&str; 2] = ["ask", "how is the area computed?"];

fn model() -> String {
    test_model("smollm2-135m").to_str().unwrap().to_owned()
}

/// The command that asks, with more arguments.
fn ask(world: &World, more: &[&str]) -> Command {
    world.command(&[&ASK, &["--model", &model()], more].concat())
}

/// The report of the question.
#[track_caller]
fn report(world: &World, more: &[&str]) -> Value {
    Ran::of(&mut ask(world, &[&["--json"], more].concat())).ok().json()
}

fn engines(world: &World) -> Vec<Value> {
    world.run(&["doctor", "--json"]).ok().json()["engines"].as_array().unwrap().clone()
}

/// The one engine that runs.
#[track_caller]
fn engine(world: &World) -> Value {
    let mut engines = engines(world);
    assert_eq!(engines.len(), 1, "{engines:#?}");
    engines.remove(0)
}

fn pid(engine: &Value) -> Pid {
    Pid::from_raw(engine["pid"].as_i64().unwrap().try_into().unwrap()).unwrap()
}

#[track_caller]
fn wait_until(what: &str, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A question whose answer has begun to come.
fn begun(world: &World, more: &[&str]) -> (Child, Vec<u8>) {
    let mut child = ask(world, more).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    (child, first.to_vec())
}

#[test]
fn the_second_command_is_warm_and_says_the_same() {
    let world = World::new();
    assert!(engines(&world).is_empty());
    let alone = report(&world, &["--no-daemon"]);
    assert!(engines(&world).is_empty(), "it ran alone");
    let (first, second) = (report(&world, &[]), report(&world, &[]));
    for told in ["answer", "citations", "excerpts", "status", "prompt_tokens", "output_tokens"] {
        assert_eq!(first[told], alone[told], "{told}");
        assert_eq!(second[told], alone[told], "{told}");
    }
    assert_eq!(first["cached_tokens"], 0);
    assert!(second["cached_tokens"].as_u64() > Some(0), "{second:#}");
    let engine = engine(&world);
    assert_eq!(engine["activity"]["answers"], 2);
    assert_eq!(engine["activity"]["cached_tokens"], second["cached_tokens"]);
    assert_eq!(engine["model"]["name"], "SmolLM2-135M-Instruct.Q4_1");

    world.run(&["stop"]).ok().says("has left");
    assert!(engines(&world).is_empty());
    world.run(&["stop"]).ok().says("no engine runs");
    assert!(world.path("state/cerium/engine.log").is_file());
}

#[test]
fn what_an_edit_leaves_is_read_before_the_next_one_is_asked_for() {
    let model = model();
    let args = ["edit", "calc.py", "--symbol", "main", "--model", &model, "-i"];
    // After it was applied, and while the question whether it shall be is open.
    for asks in [false, true] {
        let world = World::new();
        let rests = || wait_until("it has read on", || engine(&world)["activity"]["running"] == 0);
        let instruction = ["print the area of a 4 by 5 rectangle"];
        if asks {
            let mut terminal =
                OnTerminal::start(world.command(&[&args[..], &instruction].concat()));
            terminal.wait_for("apply?");
            rests();
            terminal.type_in("y\n");
            assert_eq!(terminal.end(), Some(0), "{}", terminal.screen);
        } else {
            world.run(&[&args[..], &instruction, &["--yes"]].concat()).ok();
            // The engine is at rest once it has read on.
            rests();
        }
        let next =
            [&args[..], &["print the area of a 6 by 7 rectangle", "--yes", "--json"]].concat();
        let next = world.run(&next).json();
        // Of its first question; small models may have to be asked again.
        let parts = next["why"][0]["parts"].as_array().unwrap();
        let sum = |field: &str| parts.iter().map(|part| part[field].as_u64().unwrap()).sum::<u64>();
        let left = sum("tokens") - sum("known_tokens");
        // The instruction, the end of the turn and the beginning of the answer.
        assert!((10..60).contains(&left), "asks: {asks}, {next:#}");
    }
}

#[test]
fn a_completion_crosses_the_socket_as_it_is() {
    let world = World::new();
    let model = test_model("qwen2.5-coder-0.5b").to_str().unwrap().to_owned();
    // At a point with code after it, and at the end of the file.
    for place in ["calc.py:5:12", "calc.py:9:22"] {
        let complete = |more: &[&str]| {
            let args = [&["complete", place, "--json", "--model", &model], more].concat();
            world.run(&args).ok().json()
        };
        let (alone, shared) = (complete(&["--no-daemon"]), complete(&[]));
        for told in ["text", "status", "prompt_tokens", "model"] {
            assert_eq!(shared[told], alone[told], "{told} at {place}");
        }
        // Broken off or not, the answer says what it took.
        assert!(shared["output_tokens"].as_u64() > Some(0), "{shared:#}");
        assert!(shared["total_ms"].as_f64() > Some(0.0), "{shared:#}");
    }
}

#[test]
fn many_first_commands_start_one_engine() {
    let world = World::new();
    let all: Vec<Child> = (0..8)
        .map(|_| {
            let mut command = ask(&world, &["--json"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let answers: Vec<Value> = all
        .into_iter()
        .map(|child| {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{output:?}");
            serde_json::from_slice::<Value>(&output.stdout).unwrap()["answer"].clone()
        })
        .collect();
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    assert_eq!(engine(&world)["activity"]["answers"], 8);
}

#[test]
fn an_engine_that_was_killed_is_started_again() {
    let world = World::new();
    let answer = report(&world, &[])["answer"].clone();
    let first = pid(&engine(&world));
    kill_process(first, Signal::KILL).unwrap();
    assert_eq!(report(&world, &[])["answer"], answer);
    let second = pid(&engine(&world));
    assert_ne!(second, first);
    let sockets = fs::read_dir(world.path("run/cerium")).unwrap();
    let sockets = sockets.filter(|file| {
        file.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "sock")
    });
    assert_eq!(sockets.count(), 1, "the socket of the dead one is cleared away");
}

#[test]
fn an_engine_that_is_killed_in_the_middle_of_an_answer_is_not_missed() {
    let world = World::new();
    let whole = Ran::of(&mut ask(&world, &[])).ok().stdout;
    // On a busy machine an answer may be over before its engine is killed.
    for _ in 0..20 {
        let (mut child, mut shown) = begun(&world, &["--threads", "1"]);
        let served = pid(&engine(&world));
        kill_process(served, Signal::KILL).unwrap();
        child.stdout.as_mut().unwrap().read_to_end(&mut shown).unwrap();
        assert!(child.wait().unwrap().success());
        // The same bytes came again, and only the rest of them was shown.
        assert_eq!(String::from_utf8(shown).unwrap(), whole);
        if !engines(&world).is_empty() {
            assert_ne!(pid(&engine(&world)), served);
            return;
        }
    }
    panic!("no answer was interrupted");
}

#[test]
fn a_command_that_dies_takes_its_answer_along() {
    let world = World::new();
    let (mut child, _) = begun(&world, &[]);
    let running = || engine(&world)["activity"]["running"] == 1;
    let served = pid(&engine(&world));
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("its answer is let go of", || !running());
    assert_eq!(pid(&engine(&world)), served);
    report(&world, &[]);
}

#[test]
fn another_model_setting_or_build_takes_the_place_of_the_old_engine() {
    let world = World::new();
    report(&world, &[]);
    let first = engine(&world);
    report(&world, &["--context", "2048"]);
    let second = engine(&world);
    assert_ne!(pid(&second), pid(&first));
    assert_eq!(second["model"]["context_tokens"], 2048);

    // Another build, as after an upgrade.
    let upgraded = world.path("cerium");
    fs::copy(env!("CARGO_BIN_EXE_cerium"), &upgraded).unwrap();
    let mut command = Command::new(&upgraded);
    world.environment(&mut command);
    command.args(ASK).args(["--json", "--context", "2048", "--model", &model()]);
    Ran::of(&mut command).ok();
    let third = engine(&world);
    assert_ne!(pid(&third), pid(&second));
    assert_ne!(third["build"], second["build"]);
}

#[test]
fn a_tree_has_no_word_in_how_the_engine_runs() {
    let world = World::new();
    world.write("cerium.toml", "threads = 1\n");
    report(&world, &[]);
    assert_eq!(engine(&world)["holds"]["threads"], Value::Null);
    // Whoever runs the command has, and gets an engine of that kind.
    report(&world, &["--threads", "1"]);
    assert_eq!(engine(&world)["holds"]["threads"], 1);
    // No number was asked for: any will do.
    report(&world, &[]);
    assert_eq!(engine(&world)["activity"]["answers"], 2);
}

#[test]
fn an_engine_without_work_leaves() {
    let world = World::new();
    fs::create_dir_all(world.path("config/cerium")).unwrap();
    fs::write(world.path("config/cerium/config.toml"), "[engine]\nidle = '1s'\n").unwrap();
    report(&world, &[]);
    wait_until("the engine is idle for a second", || engines(&world).is_empty());
    report(&world, &[]);
    fs::write(world.path("config/cerium/config.toml"), "[engine]\nshared = false\n").unwrap();
    wait_until("the engine is idle for a second", || engines(&world).is_empty());
    report(&world, &[]);
    assert!(engines(&world).is_empty(), "it was not wanted");
}

#[test]
fn sockets_that_nobody_listens_on_are_cleared_away() {
    let world = World::new();
    DirBuilder::new().mode(0o700).create(world.path("run/cerium")).unwrap();
    let stale = world.path("run/cerium/0.sock");
    drop(UnixListener::bind(&stale).unwrap());
    assert!(stale.exists());
    report(&world, &[]);
    engine(&world);
    assert!(!stale.exists());
}

#[test]
fn a_directory_that_others_may_enter_is_not_used() {
    let world = World::new();
    let dir = world.path("run/cerium");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, Permissions::from_mode(0o777)).unwrap();
    let ran = Ran::of(&mut ask(&world, &["--json"])).ok();
    ran.says("running without an engine").says("others may enter it");
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
    world.run(&["stop"]).exits(2).says("others may enter it");
}

#[test]
fn an_engine_keeps_nothing_open_that_its_starter_was_given() {
    let world = World::new();
    let given = world.path("given");
    let mut command = Command::new("sh");
    world.environment(&mut command);
    let script = "exec 7> \"$0\"; \"$@\"";
    command.args(["-c", script]).arg(&given).arg(env!("CARGO_BIN_EXE_cerium")).args(ASK);
    command.args(["--json", "--model", &model()]);
    Ran::of(&mut command).ok();
    assert!(given.exists());
    let open = fs::read_dir(format!("/proc/{}/fd", engine(&world)["pid"])).unwrap();
    let open: Vec<_> = open.filter_map(|fd| fs::read_link(fd.unwrap().path()).ok()).collect();
    assert!(open.len() > 3 && !open.contains(&given.canonicalize().unwrap()), "{open:?}");
}

#[test]
fn what_cannot_be_loaded_is_said_as_without_an_engine() {
    let world = World::new();
    let broken = world.path("broken.gguf");
    fs::write(&broken, &fs::read(model()).unwrap()[..1 << 20]).unwrap();
    let ask = |more: &[&str]| {
        let args = [&ASK[..], &["--model", broken.to_str().unwrap()], more].concat();
        world.run(&args).exits(2).stderr
    };
    assert_eq!(ask(&[]), ask(&["--no-daemon"]));
    assert!(engines(&world).is_empty());
    // Nor is an engine that cannot be started kept waiting for.
    assert_eq!(ask(&[]), ask(&["--no-daemon"]));
}

#[test]
fn commands_use_the_server_that_runs() {
    let world = World::new();
    report(&world, &[]);
    let first = pid(&engine(&world));
    let mut server = world
        .command(&["serve", "--listen", "127.0.0.1:0", "--json", "--model", &model()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stdout = server.stdout.as_mut().unwrap();
    let hello = serde_json::Deserializer::from_reader(stdout).into_iter::<Value>().next();
    let address = hello.unwrap().unwrap()["address"].as_str().unwrap().to_owned();
    let engine = engine(&world);
    assert_ne!(pid(&engine), first, "the one before it has left");
    assert_eq!(engine["serves"], address);
    report(&world, &[]);
    assert_eq!(self::engine(&world)["activity"]["answers"], 1);
    // It is the person's to end.
    world.run(&["stop"]).ok().says("stays");
    kill_process(pid(&engine), Signal::INT).unwrap();
    assert!(server.wait().unwrap().success());
    assert!(engines(&world).is_empty());
}

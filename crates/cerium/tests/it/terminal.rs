//! On a terminal: the question, its answers, colours, and a file that changes before the answer.

use crate::world::{CALC, World};
use cerium_hub::test_model;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Both ends of a pseudo-terminal: the person's, and the program's.
pub(crate) fn pseudo_terminal() -> (File, OwnedFd) {
    let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&person).unwrap();
    unlockpt(&person).unwrap();
    let name = ptsname(&person, Vec::new()).unwrap().into_string().unwrap();
    let program = File::options().read(true).write(true).open(name).unwrap();
    (person.into(), program.into())
}

/// What is shown on a pseudo-terminal, as it comes, until no program has it open any more.
pub(crate) fn listen(person: &File) -> Receiver<Vec<u8>> {
    let mut screen = person.try_clone().unwrap();
    let (sender, shown) = channel();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        // An error is how a terminal says that nobody has it open any more.
        while let Ok(n @ 1..) = screen.read(&mut buffer) {
            if sender.send(buffer[..n].to_vec()).is_err() {
                return;
            }
        }
    });
    shown
}

/// A command whose standard input and error are a terminal.
pub(crate) struct OnTerminal {
    pub(crate) child: Child,
    keys: File,
    shown: Receiver<Vec<u8>>,
    /// Everything shown so far.
    pub(crate) screen: String,
}

impl OnTerminal {
    pub(crate) fn start(command: Command) -> Self {
        Self::with(command, false)
    }

    /// * `whole`: whether standard output is the terminal, too
    pub(crate) fn with(mut command: Command, whole: bool) -> Self {
        let (keys, terminal) = pseudo_terminal();
        let stdout = if whole { terminal.try_clone().unwrap().into() } else { Stdio::piped() };
        let child = command
            .env("TERM", "xterm-256color")
            .stdin(terminal.try_clone().unwrap())
            .stderr(terminal)
            .stdout(stdout)
            .spawn()
            .unwrap();
        drop(command);
        let shown = listen(&keys);
        Self { child, keys, shown, screen: String::new() }
    }

    /// Waits until the screen shows a text that it did not show before this call.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) -> &mut Self {
        let start = Instant::now();
        let from = self.screen.len();
        while !self.screen[from..].contains(text) {
            assert!(start.elapsed() < Duration::from_mins(5), "no {text:?} in {}", self.screen);
            match self.shown.recv_timeout(Duration::from_secs(1)) {
                Ok(bytes) => self.screen += &String::from_utf8_lossy(&bytes),
                Err(_) if self.child.try_wait().unwrap().is_some() => {
                    self.drain();
                    let shown = self.screen[from..].contains(text);
                    assert!(shown, "ended without {text:?}: {}", self.screen);
                }
                Err(_) => {}
            }
        }
        self
    }

    pub(crate) fn type_in(&mut self, keys: &str) -> &mut Self {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self
    }

    /// Waits for its end; returns the exit code.
    pub(crate) fn end(&mut self) -> Option<i32> {
        let code = self.child.wait().unwrap().code();
        self.drain();
        code
    }

    fn drain(&mut self) {
        while let Ok(bytes) = self.shown.recv_timeout(Duration::from_millis(200)) {
            self.screen += &String::from_utf8_lossy(&bytes);
        }
    }
}

const EDIT: [&str; 4] = ["edit", "calc.py", "-i", "rename area to surface"];

#[test]
fn yes_applies_and_no_declines() {
    for (keys, code, n_edits) in
        [("y\n", 0, 1), ("n\n", 1, 0), ("what?\nYES\n", 0, 1), ("\u{4}", 1, 0)]
    {
        let world = World::new();
        let mut terminal = OnTerminal::start(world.command(&EDIT));
        terminal.wait_for("apply?").type_in(keys);
        assert_eq!(terminal.end(), Some(code), "{keys:?}: {}", terminal.screen);
        assert_eq!(world.n_edits(), n_edits, "{keys:?}");
        assert_eq!(world.read("calc.py") == CALC.as_bytes(), n_edits == 0);
    }
}

#[test]
fn the_diff_is_coloured_unless_that_is_not_wanted() {
    let world = World::new();
    let mut terminal = OnTerminal::start(world.command(&[&EDIT[..], &["--dry-run"]].concat()));
    terminal.end();
    assert!(terminal.screen.contains("\u{1b}[32m+def surface"), "{}", terminal.screen);
    let mut command = world.command(&[&EDIT[..], &["--dry-run"]].concat());
    command.env("NO_COLOR", "1");
    let mut terminal = OnTerminal::start(command);
    terminal.end();
    assert!(terminal.screen.contains("+def surface"), "{}", terminal.screen);
    assert!(!terminal.screen.contains('\u{1b}'), "{}", terminal.screen);
}

#[test]
fn hunks_are_taken_left_and_split() {
    // The two changes of `calc.py` are near each other: one hunk of two parts.
    for (keys, code, from, to) in [
        (&["s", "n"][..], 1, "", ""),
        (&["s", "y"], 0, "area", "surface"),
        (&["s", "s", "y", "n"], 0, "def area", "def surface"),
        (&["s", "?", "s", "n", "y"], 0, "print(area", "print(surface"),
        (&["s", "s", "d"], 1, "", ""),
        (&["some", "split", "all"], 0, "area", "surface"),
        (&["s", "s", "y", "\u{4}"], 0, "def area", "def surface"),
    ] {
        let world = World::new();
        let mut terminal = OnTerminal::start(world.command(&EDIT));
        terminal.wait_for("[y/n/s]");
        for (n, key) in keys.iter().enumerate() {
            let end = if key.starts_with('\u{4}') { "" } else { "\n" };
            terminal.type_in(&format!("{key}{end}"));
            if n + 1 < keys.len() {
                terminal.wait_for("take this hunk?");
            }
        }
        assert_eq!(terminal.end(), Some(code), "{keys:?}: {}", terminal.screen);
        let wanted = CALC.replace(from, to);
        let wanted = if from.is_empty() { CALC.to_owned() } else { wanted };
        assert_eq!(String::from_utf8(world.read("calc.py")).unwrap(), wanted, "{keys:?}");
    }
}

#[test]
fn hunks_of_several_files_are_one_edit() {
    let world = World::new();
    world.write("other.py", CALC);
    let args = ["edit", "calc.py", "other.py", "-i", "rename area to surface"];
    let mut terminal = OnTerminal::start(world.command(&args));
    terminal.wait_for("apply to 2 files?").type_in("s\n");
    terminal.wait_for("take this hunk?").type_in("n\n");
    terminal.wait_for("take this hunk?").type_in("s\n");
    terminal.wait_for("take this hunk?").type_in("y\n");
    terminal.wait_for("take this hunk?").type_in("n\n");
    assert_eq!(terminal.end(), Some(0), "{}", terminal.screen);
    assert_eq!(world.read("calc.py"), CALC.as_bytes());
    assert_eq!(world.read("other.py"), CALC.replace("def area", "def surface").as_bytes());
    let log = world.run(&["log", "--json"]).ok().json();
    assert_eq!(log["entries"][0]["files"].as_array().unwrap().len(), 1);
    assert_eq!(log["entries"][0]["note"]["receipts"][0]["left_out"], 1);
}

#[test]
fn a_file_that_changed_before_the_answer_is_not_overwritten() {
    let world = World::new();
    let mut terminal = OnTerminal::start(world.command(&EDIT));
    terminal.wait_for("apply?");
    let theirs = CALC.replace("def area(width", "def area(w");
    world.write("calc.py", &theirs);
    terminal.type_in("y\n");
    assert_eq!(terminal.end(), Some(2));
    assert!(terminal.screen.contains("changed while the edit was made"), "{}", terminal.screen);
    assert!(terminal.screen.contains("<<<<<<< now"), "{}", terminal.screen);
    assert_eq!(world.read("calc.py"), theirs.as_bytes());
}

#[test]
fn a_file_that_changed_elsewhere_takes_the_edit() {
    let world = World::new();
    let mut terminal = OnTerminal::start(world.command(&EDIT));
    terminal.wait_for("apply?");
    world.write("calc.py", CALC.replace("import os", "import os\nimport sys"));
    terminal.type_in("y\n");
    assert_eq!(terminal.end(), Some(0), "{}", terminal.screen);
    let wanted = CALC.replace("import os", "import os\nimport sys").replace("area", "surface");
    assert_eq!(world.read("calc.py"), wanted.as_bytes());
}

#[test]
fn a_model_is_fetched_only_if_that_is_wanted() {
    let world = World::new();
    let mut terminal = OnTerminal::start(world.command(&["ask", "what is this?"]));
    terminal.wait_for("qwen2.5-coder-0.5b (491 MB) is not here yet. Fetch it now?").type_in("n\n");
    assert_eq!(terminal.end(), Some(1), "{}", terminal.screen);
    assert!(!world.path("home").exists());
}

#[test]
fn what_is_typed_while_it_writes_redirects_it() {
    let model = test_model("qwen2.5-coder-0.5b").to_str().unwrap().to_owned();
    let edit = |instruction: &'static str| {
        let args = ["edit", "calc.py", "-i", instruction, "--lines", "4:5", "--yes", "--model"];
        [&args[..], &[&model]].concat()
    };
    let (first, more) = ("return the area as a float", "give it a docstring");
    let at_once = World::new();
    at_once.run(&edit("return the area as a float. give it a docstring")).ok();

    let world = World::new();
    let mut terminal = OnTerminal::start(world.command(&edit(first)));
    // Before there is anything to see: then it is asked about at the first sight.
    terminal.type_in(&format!("{more}\n")).wait_for("redirect");
    assert_eq!(terminal.end(), Some(0), "{}", terminal.screen);
    let seen = |world: &World| String::from_utf8(world.read("calc.py")).unwrap();
    assert!(seen(&world).contains("\"\"\"") && seen(&world).contains("float"), "{}", seen(&world));
    assert_eq!(seen(&world), seen(&at_once));

    // An empty line changes nothing.
    let (plain, world) = (World::new(), World::new());
    plain.run(&edit(first)).ok();
    let mut terminal = OnTerminal::start(world.command(&edit(first)));
    terminal.type_in("\n").wait_for("redirect");
    assert_eq!(terminal.end(), Some(0), "{}", terminal.screen);
    assert_eq!(seen(&world), seen(&plain));

    // A question goes on from what was said.
    let ask = ["ask", "which functions are here?", "--model", &model];
    let mut terminal = OnTerminal::with(world.command(&ask), true);
    terminal.wait_for("area").type_in("where is the area printed?\n").wait_for("redirect");
    terminal.wait_for("calc.py:");
    assert_eq!(terminal.end(), Some(0), "{}", terminal.screen);
    assert!(terminal.screen.contains("where is the area printed?"), "{}", terminal.screen);
}

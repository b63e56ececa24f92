//! A person's terminal: a shell on a screen, keys that go in, and what is to be seen.

use crate::terminal::{listen, pseudo_terminal};
use crate::world::World;
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::File;
use std::io::Write;
use std::num::NonZeroU16;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

pub(crate) const ENTER: &str = "\r";
pub(crate) const ESC: &str = "\u{1b}";
pub(crate) const DOWN: &str = "\u{1b}[B";
pub(crate) const RIGHT: &str = "\u{1b}[C";

/// What the shell says when it waits for a command.
const PROMPT: &str = "shell$";

/// Longer than anything here takes, on a busy machine.
const WAIT_MAX: Duration = Duration::from_mins(2);

/// See the module.
pub(crate) struct Screen {
    shell: Child,
    keys: File,
    shown: Receiver<Vec<u8>>,
    parser: vt100::Parser,
    /// Bytes that came so far.
    pub(crate) n_bytes: usize,
}

impl Screen {
    /// A shell of 24 rows and 80 columns in a directory of a machine, which knows `cerium`.
    pub(crate) fn open(world: &World, dir: &Path) -> Self {
        let (keys, terminal) = pseudo_terminal();
        let binary = Path::new(env!("CARGO_BIN_EXE_cerium"));
        // In a session of its own: this is its terminal, not the one that tests were started from.
        let mut command = Command::new("setsid");
        world.environment(&mut command);
        let shell = command
            .args(["--ctty", "--wait", "sh", "-i"])
            .env("PATH", World::path_with(binary.parent().unwrap()))
            .current_dir(dir)
            .env("HOME", dir.parent().unwrap())
            .env("PS1", format!("{PROMPT} "))
            .env("TERM", "xterm-256color")
            .stdin(terminal.try_clone().unwrap())
            .stdout(terminal.try_clone().unwrap())
            .stderr(terminal)
            .spawn()
            .unwrap();
        drop(command);
        let shown = listen(&keys);
        let [rows, columns] = [24, 80].map(|n| NonZeroU16::new(n).unwrap());
        let parser = vt100::Parser::new(rows, columns, 0);
        let mut screen = Self { shell, keys, shown, parser, n_bytes: 0 };
        screen.resize(24, 80).sees(PROMPT);
        screen
    }

    pub(crate) fn types(&mut self, keys: &str) -> &mut Self {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self
    }

    /// Types a line and sends it; waits until it was taken.
    #[track_caller]
    pub(crate) fn says(&mut self, line: &str) -> &mut Self {
        self.types(line).until(line, |screen| typed(screen).ends_with(line));
        self.types(ENTER).until("another line to type", |screen| typed(screen).is_empty())
    }

    pub(crate) fn resize(&mut self, rows: u16, columns: u16) -> &mut Self {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.keys, size).unwrap();
        let [rows, columns] = [rows, columns].map(|n| NonZeroU16::new(n).unwrap());
        self.parser.screen_mut().set_size(rows, columns);
        self
    }

    pub(crate) fn screen(&self) -> &vt100::Screen {
        self.parser.screen()
    }

    pub(crate) fn text(&self) -> String {
        let (_, columns) = self.screen().size();
        let rows = self.screen().rows(0, columns.get());
        rows.map(|row| format!("{}\n", row.trim_end())).collect()
    }

    /// Takes in what comes within some time; false when nothing does.
    pub(crate) fn hears(&mut self, within: Duration) -> bool {
        let bytes = self.shown.recv_timeout(within).unwrap_or_default();
        self.parser.process(&bytes);
        self.n_bytes += bytes.len();
        !bytes.is_empty()
    }

    /// Waits until the screen is as wanted.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> &mut Self {
        let start = Instant::now();
        while !wanted(&self.text()) {
            assert!(start.elapsed() < WAIT_MAX, "no {what:?} in\n{}", self.text());
            if !self.hears(Duration::from_secs(1)) {
                let ended = self.shell.try_wait().unwrap();
                assert!(ended.is_none(), "ended without {what:?}:\n{}", self.text());
            }
        }
        self
    }

    #[track_caller]
    pub(crate) fn sees(&mut self, text: &str) -> &mut Self {
        self.until(text, |screen| screen.contains(text))
    }

    /// Waits until what was begun is over.
    #[track_caller]
    pub(crate) fn rests(&mut self) -> &mut Self {
        self.until("end of it", |screen| !screen.contains("Esc stops"))
    }

    /// Takes in the rest of what is being drawn, until nothing comes any more.
    pub(crate) fn settles(&mut self) -> &mut Self {
        while self.hears(Duration::from_millis(300)) {}
        self
    }

    /// Waits until the shell asks for a command.
    #[track_caller]
    pub(crate) fn is_back(&mut self) -> &mut Self {
        self.until(PROMPT, |screen| screen.trim_end().ends_with(PROMPT))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

/// What stands behind the sign of the line that is typed.
fn typed(screen: &str) -> &str {
    let line = screen.lines().rev().find_map(|line| line.split_once(" \u{203a} "));
    line.map_or("", |(_, typed)| typed.trim())
}

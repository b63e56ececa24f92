//! Redirecting: whoever types while the model writes is asked what it should do otherwise, and it goes on with that.
//!
//! The model is not stopped for the question. Whoever says nothing loses nothing.

use crate::interrupt;
use crate::output::{self, BOLD, Output};
use console::Term;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::stdio::stdin;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

/// What the terminal was like.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// While this lives, the terminal hands over single keys and does not show them.
pub(crate) struct Keys {
    /// Where somebody watches and can type.
    terminal: Option<Term>,
    /// What is wanted instead.
    redirect: Option<String>,
}

impl Keys {
    /// Listens where somebody watches and can type; elsewhere nothing is ever heard.
    pub(crate) fn listen(output: Output) -> Self {
        let heard = output.is_watched() && output::can_ask() && take_over();
        Self { terminal: heard.then(Term::stderr), redirect: None }
    }

    /// Whether work goes on. If a key was pressed it is asked what is wanted instead, which is nothing when the line
    /// stays empty.
    ///
    /// * `clear`: makes room for the question
    pub(crate) fn going_on(&mut self, clear: impl FnOnce()) -> ControlFlow<()> {
        if self.terminal.is_some() && is_pressed() {
            clear();
            self.ask();
        }
        if self.redirect.is_some() { ControlFlow::Break(()) } else { interrupt::going_on() }
    }

    /// What the person wants instead, if that is why work did not go on.
    pub(crate) fn take_redirect(&mut self) -> Option<String> {
        self.redirect.take()
    }

    fn ask(&mut self) {
        let Some(terminal) = &self.terminal else { return };
        output::ask(&format!("{BOLD}redirect{BOLD:#} \u{203a} "));
        // The pressed key is still there to be read, and is the first of the line.
        let line = terminal.read_line().unwrap_or_default();
        let line = output::printable(line.trim()).into_owned();
        self.redirect = (!line.is_empty() && !interrupt::requested()).then_some(line);
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        give_back();
    }
}

/// Whether the terminal could be set up. It is set back however the program ends.
fn take_over() -> bool {
    let Ok(before) = tcgetattr(stdin()) else { return false };
    let mut keys = before.clone();
    keys.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
    *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
    interrupt::before_exit(give_back);
    tcsetattr(stdin(), OptionalActions::Now, &keys).is_ok()
}

fn give_back() {
    if let Some(before) = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take() {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &before);
    }
}

fn is_pressed() -> bool {
    let stdin = stdin();
    let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&at_once)).is_ok() && fds[0].revents().contains(PollFlags::IN)
}

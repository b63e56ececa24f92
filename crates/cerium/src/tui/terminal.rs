//! Taking the terminal over, and giving it back whatever happens.

use crate::interrupt;
use crossterm::{cursor, event, execute, terminal};
use ratatui::backend::CrosstermBackend;
use ratatui::layout::{Position, Rect};
use ratatui::{Frame, Terminal};
use rustix::process::{Signal, getpid, kill_process};
use std::io::{self, BufWriter, Stdout, Write};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// A screen's worth of changes goes out in one piece.
const BUFFER_BYTES: usize = 64 << 10;

/// Reports of the wheel and of buttons, with coordinates of any size. Those of mere movements, which
/// `EnableMouseCapture` asks for too, would keep a slow line busy.
const MOUSE_ON: &str = "\x1b[?1000h\x1b[?1006h";
const MOUSE_OFF: &str = "\x1b[?1006l\x1b[?1000l";

static TAKEN: AtomicBool = AtomicBool::new(false);

/// The terminal, taken over for as long as this lives.
pub(super) struct Screen(Terminal<CrosstermBackend<BufWriter<Stdout>>>);

impl Screen {
    pub(super) fn open() -> io::Result<Self> {
        let ui = thread::current().id();
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // What breaks elsewhere is told on the screen, which stays.
            if thread::current().id() == ui {
                give_back();
                before(info);
            }
        }));
        interrupt::before_exit(give_back);
        take()?;
        let backend = CrosstermBackend::new(BufWriter::with_capacity(BUFFER_BYTES, io::stdout()));
        Ok(Self(Terminal::new(backend)?))
    }

    /// Brings the screen up to date; only what changed is sent.
    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.0.draw(draw).map(drop)
    }

    /// Draws everything anew the next time.
    pub(super) fn forget(&mut self) -> io::Result<()> {
        // `Terminal::clear` would ask where the cursor is, and fail on terminals that do not tell in time.
        let size = self.0.size()?;
        self.0.resize(Rect::from((Position::ORIGIN, size)))
    }

    /// Gives the terminal back and stops the process, until the shell lets it go on.
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        give_back();
        kill_process(getpid(), Signal::TSTP)?;
        take()?;
        self.forget()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn take() -> io::Result<()> {
    TAKEN.store(true, Ordering::SeqCst);
    terminal::enable_raw_mode()?;
    execute!(io::stdout(), terminal::EnterAlternateScreen, event::EnableBracketedPaste)?;
    io::stdout().write_all(MOUSE_ON.as_bytes())?;
    io::stdout().flush()
}

/// Puts the terminal back as it was; once, and from whatever thread ends the program.
fn give_back() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    // There is nobody left to tell that it cannot be done.
    let _ = io::stdout().write_all(MOUSE_OFF.as_bytes());
    let _ = execute!(
        io::stdout(),
        event::DisableBracketedPaste,
        terminal::LeaveAlternateScreen,
        cursor::Show
    );
    let _ = terminal::disable_raw_mode();
}

//! The terminal interface: a conversation with the code of a tree, on one screen.
//!
//! Two threads: this one draws and reads keys and never waits for anything else; the worker
//! ([`worker`]) does what is asked for, and has one of its own for what an upstream does meanwhile. Another
//! only waits for the terminal. All that happens comes through one queue, goes into the [`state`], and is
//! drawn by the [`view`] at a bounded rate.

mod command;
mod complete;
mod history;
mod input;
mod message;
mod state;
mod terminal;
mod theme;
mod view;
mod worker;

#[cfg(test)]
mod tests;

use crate::commands::{Context, Exit, Tree};
use crate::interrupt;
use anyhow::{Context as _, Result};
use crossterm::event::{self, Event, KeyEventKind};
use message::Told;
use state::{Action, State};
use std::env;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};
use terminal::Screen;
use theme::Theme;
use view::Drawn;
use worker::Worker;

/// What happened and was not yet looked at; whoever has more to tell waits.
const N_MESSAGES: usize = 1024;
/// Time between two frames at least. Over a slow line frames take longer, and so does this.
const FRAME: Duration = Duration::from_millis(33);
/// How often something that moves is drawn.
const TURN: Duration = Duration::from_millis(250);

/// Anything that happens.
enum Message {
    Terminal(Event),
    Told(Told),
    /// The terminal is gone.
    Gone,
}

/// Whether there is a terminal that can show it.
pub(crate) fn is_possible() -> bool {
    let dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
    io::stdin().is_terminal() && io::stdout().is_terminal() && !dumb
}

/// Runs until the person leaves.
///
/// # Errors
/// When the working directory or the terminal is of no use.
pub(crate) fn run(context: Context) -> Result<Exit> {
    let tree = Tree::here()?;
    let name = shown_path(tree.workspace.root());
    // A signal must not end the process before the terminal is given back.
    let _deferred = interrupt::defer();
    let (sender, messages) = sync_channel(N_MESSAGES);
    let mut screen = Screen::open().context("taking over the terminal")?;
    let tell = sender.clone();
    let tell = Arc::new(move |told| drop(tell.send(Message::Told(told))));
    let mut worker = Worker::start(context, tree, tell);
    listen(sender);

    let colour = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let (theme, mut drawn) = (Theme::new(colour), Drawn::default());
    let mut state = State::new(name, Instant::now());
    let mut changed = true;
    let mut next_frame = Instant::now();
    // On this thread only a signal asks for that.
    while !interrupt::requested() {
        let now = Instant::now();
        state.now = now;
        if changed && now >= next_frame {
            screen.draw(|frame| view::draw(frame, &mut state, &mut drawn, &theme))?;
            changed = false;
            next_frame = Instant::now() + FRAME.max(2 * now.elapsed());
        }
        let wait = if changed { next_frame.saturating_duration_since(now) } else { TURN };
        let first = match messages.recv_timeout(wait) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => {
                changed |= state.is_moving();
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => break,
        };
        for message in std::iter::once(first).chain(messages.try_iter().take(N_MESSAGES)) {
            changed = true;
            let action = match message {
                Message::Told(told) => state.told(told),
                Message::Terminal(event) => heard(&mut state, event),
                Message::Gone => Some(Action::Leave),
            };
            match action {
                None => {}
                Some(Action::Do(job)) => worker.give(job),
                Some(Action::SendAway(errand)) => worker.send_away(errand),
                Some(Action::CallBack) => worker.call_back(),
                Some(Action::Stop) => worker.stop(),
                Some(Action::Suspend) => screen.suspend()?,
                Some(Action::Redraw) => screen.forget()?,
                Some(Action::Leave) => return Ok(leave(screen, worker, &messages)),
            }
        }
    }
    Ok(leave(screen, worker, &messages))
}

/// Gives the terminal back, and lets what is being done come to an orderly end.
fn leave(screen: Screen, worker: Worker, messages: &std::sync::mpsc::Receiver<Message>) -> Exit {
    drop(screen);
    worker.leave(|| while messages.try_recv().is_ok() {});
    if interrupt::requested() { Exit::Interrupted } else { Exit::Done }
}

fn heard(state: &mut State, event: Event) -> Option<Action> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => return state.key(key),
        Event::Paste(text) => state.paste(&text),
        Event::Mouse(mouse) => state.mouse(mouse),
        _ => {}
    }
    None
}

/// Passes on what the terminal says.
fn listen(sender: SyncSender<Message>) {
    thread::spawn(move || {
        while let Ok(event) = event::read() {
            if sender.send(Message::Terminal(event)).is_err() {
                return;
            }
        }
        // Nobody is there any more, or nobody listens.
        let _ = sender.send(Message::Gone);
    });
}

/// A path as people write it.
fn shown_path(path: &Path) -> String {
    let home = env::var_os("HOME").filter(|home| !home.is_empty());
    match home.and_then(|home| path.strip_prefix(home).ok().map(Path::to_owned)) {
        Some(rest) if rest.as_os_str().is_empty() => "~".to_owned(),
        Some(rest) => format!("~/{}", rest.display()),
        None => path.display().to_string(),
    }
}

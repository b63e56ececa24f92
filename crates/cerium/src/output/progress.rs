//! What moves while people wait, on standard error: the bar of a download, a spinner.

use super::{Output, bytes};
use crate::interrupt;
use cerium_hub::{Progress, PullEvent};
use indicatif::{ProgressBar, ProgressStyle};
use std::ops::ControlFlow;
use std::time::Duration;

/// Shows what a pull does: a bar with rate and time left on a terminal, a line per step elsewhere.
pub(crate) struct PullBar {
    output: Output,
    name: &'static str,
    bar: ProgressBar,
    stage: Stage,
    /// Whether a source was tried in vain.
    failed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Start,
    Waiting,
    Fetching,
    Checking,
}

impl PullBar {
    pub(crate) fn new(output: Output, name: &'static str) -> Self {
        Self { output, name, bar: ProgressBar::hidden(), stage: Stage::Start, failed: false }
    }

    /// Starts the next stage, if it is another one.
    fn enter(&mut self, stage: Stage, what: &str, total: Option<u64>) {
        if self.stage == stage {
            return;
        }
        self.stage = stage;
        self.bar.finish_and_clear();
        if !self.output.is_watched() {
            return self.output.note(format!("{what} {}", self.name));
        }
        let template = match total {
            Some(_) if stage == Stage::Checking => "{msg} {wide_bar:.cyan/dim} {percent}%",
            Some(_) => {
                "{msg} {wide_bar:.cyan/dim} {decimal_bytes}/{decimal_total_bytes} \
                 {decimal_bytes_per_sec}, {eta} left"
            }
            None => "{msg} {spinner:.cyan} {elapsed}",
        };
        let style = ProgressStyle::with_template(template);
        self.bar = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::new_spinner(),
        };
        self.bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        self.bar.set_message(format!("{what} {}", self.name));
        self.bar.enable_steady_tick(Duration::from_millis(100));
    }

    fn line(&self, text: &str) {
        self.bar.suspend(|| self.output.note(text));
    }
}

impl Progress for PullBar {
    fn event(&mut self, event: PullEvent<'_>) -> ControlFlow<()> {
        match event {
            PullEvent::Waiting => {
                self.enter(Stage::Waiting, "waiting for another process to fetch", None);
            }
            PullEvent::Trying { source } => {
                self.stage = Stage::Start;
                if self.failed {
                    self.line(&format!("trying {source} instead"));
                }
            }
            PullEvent::Failed { source, why } => {
                self.failed = true;
                self.line(&format!("{source} failed: {why}"));
            }
            PullEvent::Bytes { done, total } => {
                self.enter(Stage::Fetching, "fetching", Some(total));
                self.bar.set_position(done);
            }
            PullEvent::Checking { done, total } => {
                self.enter(Stage::Checking, "checking", Some(total));
                self.bar.set_position(done);
            }
            PullEvent::Idle => {}
        }
        interrupt::going_on()
    }
}

impl Drop for PullBar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Turns while something short is done; gone afterwards.
pub(crate) struct Spinner(ProgressBar);

impl Spinner {
    pub(crate) fn start(output: Output, what: String) -> Self {
        let bar =
            if output.is_watched() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(bar)
    }

    /// Says something else from now on.
    pub(crate) fn show(&self, what: String) {
        self.0.set_message(what);
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// What was pulled, for people.
pub(crate) fn pulled(name: &str, length: u64, path: &std::path::Path) -> String {
    format!("{name} ({}) is at {}", bytes(length), path.display())
}

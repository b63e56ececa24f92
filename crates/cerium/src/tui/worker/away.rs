//! What an engine elsewhere works at meanwhile, one errand after the other, on a thread of its own. What
//! comes of it is told; an edit waits until somebody looks at it.

use super::edit::Wanted;
use super::{Tell, places_of, stopped};
use crate::commands::{Context, Tree, needed};
use crate::config;
use crate::delegate::DelegateBackend;
use crate::failure;
use crate::interrupt::{self, Stop};
use crate::output;
use crate::tui::message::{Back, Errand, Told};
use anyhow::Result;
use cerium_harness::Backend;
use cerium_harness::ask::{AskTask, ask};
use cerium_harness::plan::PlanStore;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// The thread, as the screen has it.
pub(super) struct Away {
    errands: Sender<(Errand, Stop)>,
    /// Stops all that were sent since the last time.
    stop: Stop,
}

impl Away {
    /// * `done`: gets the edits that are made
    pub(super) fn start(context: Context, tree: Tree, tell: Tell, done: Sender<Wanted>) -> Self {
        let (errands, given) = channel();
        thread::spawn(move || Desk { context, tree, tell, done, backend: None }.work(&given));
        Self { errands, stop: Stop::default() }
    }

    /// Gives another errand. How many wait is bounded by who asks.
    pub(super) fn send(&self, errand: Errand) {
        // Without a thread it broke, which the person was told.
        let _ = self.errands.send((errand, self.stop.clone()));
    }

    /// Calls all errands back.
    pub(super) fn stop(&mut self) {
        self.stop.request();
        self.stop = Stop::default();
    }
}

/// What the thread works with.
struct Desk {
    context: Context,
    tree: Tree,
    tell: Tell,
    done: Sender<Wanted>,
    backend: Option<DelegateBackend>,
}

impl Desk {
    fn work(&mut self, errands: &Receiver<(Errand, Stop)>) {
        while let Ok((errand, stop)) = errands.recv() {
            let back = stop.during(|| self.run(&errand)).unwrap_or_else(|error| {
                if stopped(&error) {
                    return Back::Stopped { errand };
                }
                let (what, hint) = (output::chain(&error), failure::hint(&error));
                Back::Failed { errand, what, hint }
            });
            (self.tell)(Told::Back(back));
        }
    }

    fn run(&mut self, errand: &Errand) -> Result<Back> {
        let backend = if let Some(backend) = self.backend.take() {
            backend
        } else {
            let root = self.tree.workspace.root();
            DelegateBackend::open(&config::load(Some(root), &self.context.flags)?, "")?
        };
        let back = self.ask(&backend, errand);
        self.backend = Some(backend);
        back
    }

    fn ask(&self, backend: &DelegateBackend, errand: &Errand) -> Result<Back> {
        let model = backend.model().name;
        match errand {
            Errand::Ask { question, within } => {
                let root = self.tree.workspace.root();
                let task = AskTask {
                    question: question.clone(),
                    within: within.iter().map(|path| root.join(path)).collect(),
                    ..AskTask::default()
                };
                let answer =
                    ask(backend, &self.tree.workspace, &task, &mut |_| interrupt::going_on())?;
                if interrupt::requested() {
                    return Ok(Back::Stopped { errand: errand.clone() });
                }
                let places = places_of(&answer.citations);
                Ok(Back::Answer { model, question: question.clone(), text: answer.text, places })
            }
            Errand::Step { number } => {
                let store = PlanStore::of(&self.tree.state, &self.tree.workspace);
                let step = needed(self.tree.plan(&store)?)?.edit(*number)?;
                let wanted = Wanted::of_step(step).made(&self.tree, backend)?;
                // Nobody looks at it any more where the other end is gone.
                let _ = self.done.send(wanted);
                Ok(Back::Edit { model, number: *number })
            }
        }
    }
}

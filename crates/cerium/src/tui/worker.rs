//! The thread that does what is asked for, so that the screen never waits for an engine: one job at a
//! time, the backend and the conversation between them.

mod away;
mod edit;
mod models;
mod tree;

use super::message::{Errand, Job, Told};
use crate::backend::Counted;
use crate::commands::{Context, Exit, Tree};
use crate::failure;
use crate::interrupt::{self, Stop};
use crate::output::{self, one_line};
use crate::stats::Stats;
use anyhow::{Result, bail};
use away::Away;
use cerium_harness::Backend;
use cerium_harness::ask::{AskError, AskEvent, AskTask, Citation, Kept, TalkStore, ask, warming};
use cerium_harness::edit::EditError;
use cerium_harness::plan::{self, PlanError, PlanStore, Planned};
use cerium_harness::redirect::joined;
use cerium_hub::HubError;
use cerium_protocol::Status;
use edit::Wanted;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a job that was stopped may take to leave things in order.
const LEAVE_MAX: Duration = Duration::from_secs(5);

/// How the worker is heard. Waits where what it said last was not yet read.
pub(super) type Tell = Arc<dyn Fn(Told) + Send + Sync>;

/// The thread, as the screen has it.
pub(super) struct Worker {
    /// Holds one job at most: the next is only given when the last is over.
    jobs: Sender<(Job, Stop)>,
    /// Stops the job at hand.
    stop: Stop,
    thread: JoinHandle<()>,
    away: Away,
}

impl Worker {
    pub(super) fn start(context: Context, tree: Tree, tell: Tell) -> Self {
        let (jobs, given) = channel();
        let (done, back) = channel();
        let away = Away::start(context.clone(), tree.clone(), Arc::clone(&tell), done);
        let thread = thread::spawn(move || {
            let broken = Broken(Arc::clone(&tell));
            let (talk, last) = (None, Last::Nothing);
            Session { context, tree, tell, backend: None, talk, last, back }.work(&given);
            drop(broken);
        });
        Self { jobs, stop: Stop::default(), thread, away }
    }

    /// Has an engine elsewhere work at something meanwhile.
    pub(super) fn send_away(&self, errand: Errand) {
        self.away.send(errand);
    }

    /// Calls back whatever was sent away.
    pub(super) fn call_back(&mut self) {
        self.away.stop();
    }

    pub(super) fn give(&mut self, job: Job) {
        self.stop = Stop::default();
        // Without a thread there was a `Broke`.
        let _ = self.jobs.send((job, self.stop.clone()));
    }

    /// Asks the job at hand to stop.
    pub(super) fn stop(&self) {
        self.stop.request();
    }

    /// Stops the job at hand and waits until it has left things in order.
    ///
    /// * `listen`: hears what it still has to say
    pub(super) fn leave(mut self, mut listen: impl FnMut()) {
        self.stop();
        self.away.stop();
        drop(self.jobs);
        let begun = Instant::now();
        while !self.thread.is_finished() && begun.elapsed() < LEAVE_MAX {
            listen();
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Tells when the thread ends by a fault.
struct Broken(Tell);

impl Drop for Broken {
    fn drop(&mut self) {
        if thread::panicking() {
            (self.0)(Told::Broke);
        }
    }
}

/// What the thread works with.
struct Session {
    context: Context,
    tree: Tree,
    tell: Tell,
    backend: Option<Arc<Counted>>,
    /// What was asked and answered so far.
    talk: Option<Kept>,
    last: Last,
    /// Edits that were made elsewhere.
    back: Receiver<Wanted>,
}

/// What was done last, to be gone on with.
enum Last {
    Nothing,
    Question { text: String, within: Vec<String> },
    Edit(Wanted),
    Plan { goal: String },
    Revision { request: String },
}

impl Session {
    fn work(&mut self, jobs: &Receiver<(Job, Stop)>) {
        self.list_files();
        let opened = self.open();
        self.report(opened);
        while let Ok((job, stop)) = jobs.recv() {
            let done = stop.during(|| self.run(job));
            self.report(done);
            let stats = self.backend.as_ref().map_or_else(Stats::default, |b| b.take_stats());
            self.tell(Told::Ended(stats));
        }
    }

    fn tell(&self, told: Told) {
        (self.tell)(told);
    }

    fn note(&self, text: impl Into<String>) {
        self.tell(Told::Note(text.into()));
    }

    fn report(&self, done: Result<()>) {
        let Err(error) = done else { return };
        if stopped(&error) {
            return self.tell(Told::Stopped);
        }
        if error.is::<models::NotHere>() {
            // That was told.
            return;
        }
        let hint = match failure::exit(&error) {
            Exit::NoEdit => Some("say it in other words, or try a larger model: /model".to_owned()),
            _ => failure::hint(&error),
        };
        self.tell(Told::Error { what: output::chain(&error), hint });
    }

    fn run(&mut self, job: Job) -> Result<()> {
        match job {
            Job::Ask { question, within } => self.ask(&question, &within),
            Job::Edit { files, instruction } => self.edit(Wanted::new(files, instruction)),
            Job::Plan { goal } => self.plan(&goal),
            Job::ShowPlan => self.show_plan(),
            Job::Revise { request } => self.revise(&request),
            Job::Apply { step } => self.apply_step(step),
            Job::GoOn { text } => self.go_on(&text),
            Job::Accept { chosen } => self.accept(&chosen),
            Job::Reject => {
                self.reject();
                Ok(())
            }
            Job::Offer => self.offer_next(),
            Job::Undo { edit } => self.undo(edit),
            Job::Redo => self.redo(),
            Job::Log => self.log(),
            Job::Model { name: None } => self.list_models(),
            Job::Model { name: Some(name) } => self.choose_model(name),
            Job::Pull => self.pull(),
            Job::Forget => {
                (self.talk, self.last) = (None, Last::Nothing);
                Ok(())
            }
        }
    }

    /// Goes on with what was stopped, or was not what was wanted.
    fn go_on(&mut self, more: &str) -> Result<()> {
        match std::mem::replace(&mut self.last, Last::Nothing) {
            Last::Nothing => bail!("there is nothing to go on with"),
            Last::Question { text, within } if self.talk.is_none() => {
                self.ask(&joined(&text, more), &within)
            }
            Last::Question { within, .. } => self.ask(more, &within),
            Last::Edit(wanted) => self.edit(wanted.but(more)),
            Last::Plan { goal } => self.plan(&joined(&goal, more)),
            Last::Revision { request } => self.revise(&joined(&request, more)),
        }
    }

    /// Answers a question. One that was stopped while it was answered is gone on from as it stands.
    fn ask(&mut self, question: &str, within: &[String]) -> Result<()> {
        self.last = Last::Question { text: question.to_owned(), within: within.to_owned() };
        let backend = self.backend()?;
        let root = self.tree.workspace.root();
        let task = AskTask {
            question: question.to_owned(),
            within: within.iter().map(|path| root.join(path)).collect::<Vec<PathBuf>>(),
            before: self.talk.clone().map(|kept| kept.current(&*backend)),
            ..AskTask::default()
        };
        let answer = ask(&*backend, &self.tree.workspace, &task, &mut |event| {
            match event {
                AskEvent::Reading(excerpts) => {
                    let n_lines: usize = excerpts.iter().map(|e| e.lines.count()).sum();
                    self.tell(Told::Doing(format!(
                        "reading {n_lines} lines of {} places",
                        excerpts.len()
                    )));
                }
                AskEvent::Text(text) => self.tell(Told::Text(text.to_owned())),
            }
            interrupt::going_on()
        })?;
        self.tell(Told::Places(places_of(&answer.citations)));
        match answer.response.status {
            Status::Incomplete => {
                self.note("the answer was cut: it reached the limit of its length");
            }
            _ if answer.looped => {
                self.note("the answer was stopped: the model began to repeat itself");
            }
            Status::Cancelled => self.tell(Told::Stopped),
            _ => {}
        }
        let fresh = answer.talk.fresh(&*backend);
        if let Some(fresh) = &fresh {
            backend.warm(&[warming(&backend.model().name, fresh)]);
        }
        let kept = Kept { talk: answer.talk, fresh };
        // `cerium ask --continue` goes on from it; that it cannot is told there.
        let _ = TalkStore::of(&self.tree.state, &self.tree.workspace).save(&kept);
        self.talk = Some(kept);
        Ok(())
    }

    fn plan(&mut self, goal: &str) -> Result<()> {
        self.last = Last::Plan { goal: goal.to_owned() };
        let backend = self.backend()?;
        let store = self.plans();
        let old = match self.tree.plan(&store) {
            Err(PlanError::Damaged { .. }) => None,
            loaded => loaded?,
        };
        let made = self.written("planning", |on_text| {
            plan::write(&*backend, &self.tree.workspace, goal, old, on_text)
        })?;
        self.keep_plan(&store, &made)
    }

    fn revise(&mut self, request: &str) -> Result<()> {
        self.last = Last::Revision { request: request.to_owned() };
        let backend = self.backend()?;
        let store = self.plans();
        let old = self.needed_plan(&store)?;
        let made = self.written("revising", |on_text| {
            plan::revise(&*backend, &self.tree.workspace, &old, request, on_text)
        })?;
        self.keep_plan(&store, &made)
    }

    /// Shows the line of a plan that is being written.
    fn written(
        &self,
        what: &str,
        write: impl FnOnce(&mut cerium_harness::OnText<'_>) -> Result<Planned, PlanError>,
    ) -> Result<Planned, PlanError> {
        let mut line = String::new();
        write(&mut |text| {
            line.push_str(text);
            if let Some(end) = line.rfind('\n') {
                line.drain(..=end);
            }
            let line = one_line(&line);
            let colon = if line.is_empty() { "" } else { ": " };
            self.tell(Told::Doing(format!("{what}{colon}{line}")));
            interrupt::going_on()
        })
    }

    fn keep_plan(&self, store: &PlanStore, made: &Planned) -> Result<()> {
        let plan = store.save(&self.tree.workspace, &made.plan)?;
        let n_steps = match plan.steps.len() {
            1 => "one step".to_owned(),
            n => format!("{n} steps"),
        };
        self.tell(Told::Plan(Box::new(plan)));
        self.note(match made.revised {
            Some(step) => format!("step {step} is revised; /apply {step} carries it out"),
            None => format!("a plan of {n_steps}; /revise changes one, /apply carries one out"),
        });
        Ok(())
    }
}

/// The places that bear an answer out: `path:line`, and what stands there.
fn places_of(citations: &[Citation]) -> Vec<(String, String)> {
    let place = |citation: &Citation| {
        let place = format!("{}:{}", citation.path, citation.lines.start);
        (place, citation.quote.trim().to_owned())
    };
    citations.iter().map(place).collect()
}

/// Whether work ended because somebody did not want it any more.
fn stopped(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(EditError::Cancelled))
        || matches!(error.downcast_ref(), Some(AskError::Cancelled))
        || matches!(error.downcast_ref(), Some(PlanError::Cancelled))
        || matches!(error.downcast_ref(), Some(HubError::Cancelled))
}

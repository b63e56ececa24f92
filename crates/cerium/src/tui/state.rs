//! What the terminal shows and what a key means: a state machine that knows of no terminal.

use super::command::{self, Asked, COMMANDS, Mode};
use super::complete::{Completion, complete};
use super::history::{History, What};
use super::input::Input;
use super::message::{Back, Errand, Job, Told};
use crate::output::bytes;
use crate::stats::Stats;
use cerium_harness::plan::Plan;
use cerium_hub::{Entry, catalogue};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseEvent, MouseEventKind};
use std::time::Instant;

/// Errands at once: each may cost money.
const N_AWAY_MAX: usize = 4;

/// Lines that a turn of the mouse's wheel moves.
const WHEEL_LINES: isize = 3;

/// Everything that is shown.
#[derive(Debug)]
pub(super) struct State {
    pub(super) tree: String,
    pub(super) history: History,
    pub(super) input: Input,
    pub(super) completion: Option<Completion>,
    pub(super) mode: Mode,
    /// The files that plain text edits, and `/edit` without a name.
    pub(super) chosen: Vec<String>,
    /// All files of the tree, in order.
    pub(super) files: Vec<String>,
    /// Files that edits changed, last first.
    pub(super) changed: Vec<String>,
    pub(super) plan: Option<Plan>,
    pub(super) pane: Option<Pane>,
    pub(super) phase: Phase,
    pub(super) model: Option<String>,
    /// What the last answer took.
    pub(super) stats: Stats,
    pub(super) scroll: Scroll,
    /// Errands that are worked at elsewhere, and edits that came back and were not looked at.
    pub(super) n_away: usize,
    pub(super) n_back: usize,
    /// What came meanwhile, told once what is being done is over.
    news: Vec<What>,
    /// A word beside the input, gone with the next key.
    pub(super) remark: Option<String>,
    pub(super) now: Instant,
}

/// What is beside the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pane {
    Plan,
    Files,
}

#[derive(Debug)]
pub(super) enum Phase {
    Idle,
    Working(Work),
    /// An edit is offered; one of its hunks is looked at, counted over all files.
    Deciding {
        hunk: usize,
    },
    /// A model could be fetched.
    Offering(&'static Entry),
}

/// A job that is being done.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) doing: String,
    pub(super) since: Instant,
    can_be_steered: bool,
    /// What was said meanwhile: it goes on with that in mind.
    redirect: Option<String>,
    /// It was asked to stop.
    stopping: bool,
    /// An edit came of it.
    proposed: bool,
    /// Or nothing, for want of a model.
    absent: Option<&'static Entry>,
}

/// Which part of the conversation is on the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Scroll {
    /// First line shown; `None` follows the end.
    pub(super) top: Option<usize>,
    /// Lines in all and on the screen, as they were drawn.
    pub(super) n_lines: usize,
    pub(super) height: usize,
    /// What must be seen.
    pub(super) reveal: Option<Reveal>,
}

/// A part of the conversation to be brought on the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reveal {
    /// The hunk that is looked at.
    Hunk,
    /// The last entry, from its beginning on.
    Last,
}

impl Scroll {
    /// Moves the screen over the lines; at the end it follows again.
    fn by(&mut self, n: isize) {
        let last = self.n_lines.saturating_sub(self.height);
        let top = self.top.unwrap_or(last).saturating_add_signed(n).min(last);
        self.top = (top < last).then_some(top);
    }
}

/// What the loop has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Do(Job),
    /// Have an engine elsewhere do it meanwhile, or stop what it does.
    SendAway(Errand),
    CallBack,
    /// The job at hand is to stop.
    Stop,
    Leave,
    /// Back to the shell for a while.
    Suspend,
    /// Draw everything anew.
    Redraw,
}

impl State {
    pub(super) fn new(tree: String, now: Instant) -> Self {
        Self {
            tree,
            history: History::default(),
            input: Input::default(),
            completion: None,
            mode: Mode::Ask,
            chosen: Vec::new(),
            files: Vec::new(),
            changed: Vec::new(),
            plan: None,
            pane: None,
            phase: Phase::Idle,
            model: None,
            stats: Stats::default(),
            scroll: Scroll::default(),
            n_away: 0,
            n_back: 0,
            news: Vec::new(),
            remark: None,
            now,
        }
    }

    /// Whether something on the screen moves by itself.
    pub(super) fn is_moving(&self) -> bool {
        matches!(self.phase, Phase::Working(_))
    }

    /// Whether what is being done was told to change course, and has yet to stop.
    fn is_redirected(&self) -> bool {
        matches!(&self.phase, Phase::Working(work) if work.redirect.is_some())
    }

    pub(super) fn paste(&mut self, text: &str) {
        self.completion = None;
        if !self.input.insert(text) {
            self.remark = Some("too long to be typed in; name a file".to_owned());
        }
    }

    pub(super) fn mouse(&mut self, event: MouseEvent) {
        match event.kind {
            MouseEventKind::ScrollUp => self.scroll.by(-WHEEL_LINES),
            MouseEventKind::ScrollDown => self.scroll.by(WHEEL_LINES),
            _ => {}
        }
    }

    /// What a key does.
    pub(super) fn key(&mut self, key: KeyEvent) -> Option<Action> {
        self.remark = None;
        if matches!(key.code, KeyCode::Tab) && self.tab() {
            return None;
        }
        self.completion = None;
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let alt = key.modifiers.contains(KeyModifiers::ALT);
        let page = self.scroll.height.saturating_sub(2).max(1).cast_signed();
        match key.code {
            KeyCode::Char(c) if control => return self.control(c),
            KeyCode::Enter if alt || key.modifiers.contains(KeyModifiers::SHIFT) => {
                self.paste("\n");
            }
            KeyCode::Enter => return self.enter(),
            KeyCode::Esc => return self.escape(),
            KeyCode::Char('b') if alt => self.input.word_left(),
            KeyCode::Char('f') if alt => self.input.word_right(),
            KeyCode::Char(' ') if self.is_choosing() => self.toggle(),
            KeyCode::Up if self.is_choosing() => self.look_at(-1),
            KeyCode::Down if self.is_choosing() => self.look_at(1),
            KeyCode::Right if self.is_choosing() => self.split(),
            KeyCode::Char(c) => self.paste(c.encode_utf8(&mut [0; 4])),
            KeyCode::Backspace if alt => self.input.erase_word(),
            KeyCode::Backspace => self.input.backspace(),
            KeyCode::Delete => self.input.delete(),
            KeyCode::Left => self.input.left(),
            KeyCode::Right => self.input.right(),
            KeyCode::Up => self.input.up(),
            KeyCode::Down => self.input.down(),
            KeyCode::Home => self.input.line_begin(),
            KeyCode::End => self.input.line_finish(),
            KeyCode::PageUp => self.scroll.by(-page),
            KeyCode::PageDown => self.scroll.by(page),
            KeyCode::BackTab => self.switch_mode(),
            KeyCode::F(1) => self.help(),
            KeyCode::F(2) => self.show_pane(Pane::Plan),
            KeyCode::F(3) => self.show_pane(Pane::Files),
            _ => {}
        }
        None
    }

    fn control(&mut self, c: char) -> Option<Action> {
        match c {
            'a' => self.input.line_begin(),
            'e' => self.input.line_finish(),
            'b' => self.input.left(),
            'f' => self.input.right(),
            'h' => self.input.backspace(),
            'j' => self.paste("\n"),
            'k' => self.input.erase_to_line_end(),
            'n' => self.input.down(),
            'p' => self.input.up(),
            'u' => self.input.erase_to_line_start(),
            'w' => self.input.erase_word(),
            'l' => return Some(Action::Redraw),
            'z' => return Some(Action::Suspend),
            'd' if self.input.is_empty() => return Some(Action::Leave),
            'd' => self.input.delete(),
            'c' if !self.input.is_empty() => self.input.clear(),
            'c' if self.is_moving() => return self.escape(),
            'c' => self.remark = Some("Ctrl-D leaves".to_owned()),
            _ => {}
        }
        None
    }

    /// Completes the word before the cursor, or takes the next way to do so.
    fn tab(&mut self) -> bool {
        let completion = self.completion.take().or_else(|| {
            let before = &self.input.text()[..self.input.cursor()];
            let models: Vec<&str> = catalogue().iter().map(|entry| entry.name).collect();
            complete(before, &self.files, &models, self.mode == Mode::Edit)
        });
        let Some(mut completion) = completion else { return false };
        let next = completion.chosen.map_or(0, |n| (n + 1) % completion.candidates.len());
        completion.chosen = Some(next);
        self.input.replace(completion.start, &completion.candidates[next]);
        // With one way there is nothing to look at.
        self.completion = (completion.candidates.len() > 1).then_some(completion);
        true
    }

    fn enter(&mut self) -> Option<Action> {
        match self.phase {
            Phase::Offering(_) if self.input.is_empty() => Some(self.start(Job::Pull)),
            Phase::Deciding { .. } if let Some(apply) = self.consent() => {
                self.input.clear();
                Some(self.decide(apply))
            }
            _ if self.input.text().trim().is_empty() => None,
            Phase::Working(_) => self.steer(),
            _ => self.submit(),
        }
    }

    /// Has done what was typed.
    fn submit(&mut self) -> Option<Action> {
        let text = self.input.text().trim().to_owned();
        let deciding = matches!(self.phase, Phase::Deciding { .. });
        let asked = command::read(&text, self.mode, &self.chosen, &self.files);
        // Whoever answers an offer with words wants it otherwise.
        let asked = if deciding && !text.starts_with('/') {
            Ok(Asked::Job(Job::GoOn { text: text.clone() }))
        } else {
            asked
        };
        self.scroll.top = None;
        match asked {
            // The line stays to be mended.
            Err(what) => self.remark = Some(what),
            Ok(Asked::Job(_)) if deciding && text.starts_with('/') => {
                self.remark = Some("Enter applies the edit, Esc rejects it; that first".to_owned());
            }
            Ok(Asked::Job(job)) => {
                self.input.take();
                self.history.push(What::Said(text));
                self.history.withdraw();
                return Some(self.start(job));
            }
            Ok(Asked::Errand(_)) if self.n_away >= N_AWAY_MAX => {
                self.remark = Some(format!("{N_AWAY_MAX} are worked at already"));
            }
            Ok(Asked::Errand(errand)) => {
                self.input.take();
                self.n_away += 1;
                self.news(What::Note(format!("{errand} is worked at elsewhere meanwhile")));
                return Some(Action::SendAway(errand));
            }
            Ok(Asked::CallBack) => {
                self.input.take();
                return Some(Action::CallBack);
            }
            Ok(Asked::Mode(mode, chosen)) => {
                self.input.take();
                (self.mode, self.chosen) = (mode, chosen);
            }
            Ok(Asked::Files) => {
                self.input.take();
                self.show_pane(Pane::Files);
            }
            Ok(Asked::Help) => {
                self.input.take();
                self.help();
            }
            Ok(Asked::Quit) => return Some(Action::Leave),
        }
        None
    }

    /// Redirects what is being done, which is stopped for that.
    fn steer(&mut self) -> Option<Action> {
        let text = self.input.text().trim().to_owned();
        if text.starts_with('/') {
            let asked = command::read(&text, self.mode, &self.chosen, &self.files);
            match asked {
                Ok(Asked::Job(_)) => {
                    self.remark = Some("Esc stops what is being done; that first".to_owned());
                }
                Err(what) => self.remark = Some(what),
                Ok(_) => return self.submit(),
            }
            return None;
        }
        let Phase::Working(work) = &mut self.phase else { return None };
        if !work.can_be_steered {
            self.remark = Some("this cannot be redirected; Esc stops it".to_owned());
            return None;
        }
        work.redirect = Some(match work.redirect.take() {
            Some(before) => format!("{before}\n{text}"),
            None => text.clone(),
        });
        "changing course".clone_into(&mut work.doing);
        self.scroll.top = None;
        self.input.take();
        self.history.push(What::Said(text));
        Some(Action::Stop)
    }

    fn escape(&mut self) -> Option<Action> {
        match &mut self.phase {
            Phase::Working(work) => {
                work.redirect = None;
                work.stopping = true;
                "stopping".clone_into(&mut work.doing);
                Some(Action::Stop)
            }
            Phase::Deciding { .. } if self.input.is_empty() => Some(self.decide(false)),
            Phase::Offering(_) => {
                self.phase = Phase::Idle;
                self.history.note("not fetched; /model lists what there is");
                None
            }
            _ => {
                self.input.clear();
                None
            }
        }
    }

    /// What is typed says to an offer: yes, no, or something else. No word is a yes.
    pub(super) fn consent(&self) -> Option<bool> {
        let text = self.input.text().trim();
        let is = |words: [&str; 2]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
        match text {
            "" => Some(true),
            _ if is(["y", "yes"]) => Some(true),
            _ if is(["n", "no"]) => Some(false),
            _ => None,
        }
    }

    fn decide(&mut self, apply: bool) -> Action {
        self.scroll.top = None;
        let chosen = self.history.chosen();
        let any = chosen.iter().any(|hunks| !hunks.is_empty());
        let job = if apply && any { Job::Accept { chosen } } else { Job::Reject };
        self.start(job)
    }

    /// Whether keys choose among hunks: an edit is offered, and nothing is being typed.
    fn is_choosing(&self) -> bool {
        matches!(self.phase, Phase::Deciding { .. }) && self.input.is_empty()
    }

    fn toggle(&mut self) {
        if let Phase::Deciding { hunk } = self.phase {
            self.history.toggle(hunk);
            self.scroll.reveal = Some(Reveal::Hunk);
        }
    }

    fn split(&mut self) {
        if let Phase::Deciding { hunk } = self.phase {
            self.history.split(hunk);
            self.scroll.reveal = Some(Reveal::Hunk);
        }
    }

    fn look_at(&mut self, n: isize) {
        let n_hunks = self.history.offered().iter().flatten().count();
        if let Phase::Deciding { hunk } = &mut self.phase {
            *hunk = hunk.saturating_add_signed(n).min(n_hunks.saturating_sub(1));
            self.scroll.reveal = Some(Reveal::Hunk);
        }
    }

    fn start(&mut self, job: Job) -> Action {
        let doing = match &job {
            Job::Ask { .. } => "searching",
            Job::Edit { .. } | Job::Apply { .. } => "reading",
            Job::Plan { .. } => "planning",
            Job::Revise { .. } => "revising",
            Job::GoOn { .. } => "changing course",
            Job::Accept { .. } => "applying",
            Job::Pull => "fetching",
            Job::Model { name: Some(_) } => "loading",
            _ => "looking",
        };
        if matches!(job, Job::Offer) {
            self.n_back = self.n_back.saturating_sub(1);
        }
        if matches!(job, Job::Forget) {
            self.history.clear();
        }
        if matches!(job, Job::Plan { .. } | Job::ShowPlan | Job::Revise { .. }) {
            self.pane = Some(Pane::Plan);
        }
        self.phase = Phase::Working(Work {
            doing: doing.to_owned(),
            since: self.now,
            can_be_steered: job.can_be_steered(),
            redirect: None,
            stopping: false,
            proposed: false,
            absent: None,
        });
        Action::Do(job)
    }

    /// What the worker tells.
    pub(super) fn told(&mut self, told: Told) -> Option<Action> {
        match told {
            Told::Files(files) => self.files = files,
            Told::Model(name) => self.model = Some(name),
            Told::Absent(entry) => self.offer(entry),
            Told::Fetched { what, done, total } => {
                let part = done * 100 / total.max(1);
                self.doing(format!("{what} {part}% of {}", bytes(total)));
            }
            Told::Doing(what) => self.doing(what),
            Told::Text(text) => {
                self.history.text(&text, self.is_redirected());
                self.doing("writing".to_owned());
            }
            Told::Places(places) => self.history.places(places, self.is_redirected()),
            Told::Diff { path, places } => {
                self.history.diff(path, places);
                self.doing("reading".to_owned());
            }
            Told::Line(event) => self.history.line(&event),
            Told::Proposed(files) => {
                for (path, hunks) in files {
                    self.history.propose(&path, hunks);
                }
                if let Phase::Working(work) = &mut self.phase {
                    work.proposed = true;
                }
            }
            Told::Settled(applied) => {
                self.history.settle(applied);
                self.history.note(match applied {
                    Some(edit) => format!("applied as edit {edit}; /undo takes it back"),
                    None => "not applied; no file was changed".to_owned(),
                });
                self.note_changed();
            }
            Told::Undone(edit) => {
                self.history.undone(edit);
                self.note_changed();
            }
            Told::Redone(edit) => {
                self.history.redone(edit);
                self.note_changed();
            }
            Told::Plan(plan) => self.plan = Some(*plan),
            Told::Note(text) => self.history.note(text),
            Told::Table(rows) => self.history.push(What::Table(rows)),
            Told::Error { what, hint } => {
                self.history.void_written();
                self.history.push(What::Error { what, hint });
            }
            Told::Back(back) => self.back(back),
            Told::Stopped => {
                self.history.void_written();
                if !self.is_redirected() {
                    self.history.note("stopped");
                }
            }
            Told::Ended(stats) => return self.ended(stats),
            Told::Broke => {
                let hint = Some("Ctrl-D leaves; nothing of the tree is half written".to_owned());
                let what = "a part of cerium broke, which is its own fault".to_owned();
                self.history.void_written();
                self.history.push(What::Error { what, hint });
                self.phase = Phase::Idle;
            }
        }
        None
    }

    fn ended(&mut self, stats: Stats) -> Option<Action> {
        if stats.line().is_some() {
            self.stats = stats;
        }
        let Phase::Working(work) = &mut self.phase else { return None };
        let (redirect, proposed) = (work.redirect.take(), work.proposed);
        if let Some(entry) = work.absent {
            self.phase = Phase::Offering(entry);
            return None;
        }
        if let Some(text) = redirect {
            self.history.withdraw();
            return Some(self.start(Job::GoOn { text }));
        }
        for what in std::mem::take(&mut self.news) {
            self.history.push(what);
        }
        self.phase = if proposed { Phase::Deciding { hunk: 0 } } else { Phase::Idle };
        self.scroll.reveal = proposed.then_some(Reveal::Hunk);
        None
    }

    /// Tells something that what is being done has no part in.
    fn news(&mut self, what: What) {
        if self.is_moving() {
            self.news.push(what);
        } else {
            self.history.push(what);
        }
    }

    /// What came of an errand.
    fn back(&mut self, back: Back) {
        self.n_away = self.n_away.saturating_sub(1);
        match back {
            Back::Answer { model, question, text, places } => {
                self.news(What::Note(format!("{model} on `{question}`:")));
                self.news(What::Answer { text, places });
            }
            Back::Edit { model, number } => {
                self.n_back += 1;
                let what = format!("step {number} is back from {model}: /delegate shows it");
                self.news(What::Note(what));
            }
            Back::Stopped { errand } => self.news(What::Note(format!("{errand}: stopped"))),
            Back::Failed { errand, what, hint } => {
                self.news(What::Error { what: format!("{errand}: {what}"), hint });
            }
        }
    }

    fn doing(&mut self, what: String) {
        if let Phase::Working(work) = &mut self.phase
            && !work.stopping
            && work.redirect.is_none()
        {
            work.doing = what;
        }
    }

    fn offer(&mut self, entry: &'static Entry) {
        match &mut self.phase {
            // Its end is still to come.
            Phase::Working(work) => work.absent = Some(entry),
            phase => *phase = Phase::Offering(entry),
        }
    }

    /// Keeps the files that edits changed, the last one first.
    fn note_changed(&mut self) {
        let applied = self.history.entries().iter().filter_map(|entry| match &entry.what {
            What::Diff(diff) if diff.is_applied() => Some(diff.path.clone()),
            _ => None,
        });
        let mut changed: Vec<String> = Vec::new();
        for path in applied {
            changed.retain(|other| *other != path);
            changed.insert(0, path);
        }
        self.changed = changed;
    }

    fn switch_mode(&mut self) {
        match self.mode {
            Mode::Edit => self.mode = Mode::Ask,
            Mode::Ask if self.chosen.is_empty() => {
                self.remark = Some("/edit FILE says what to edit".to_owned());
            }
            Mode::Ask => self.mode = Mode::Edit,
        }
    }

    fn show_pane(&mut self, pane: Pane) {
        self.pane = if self.pane == Some(pane) { None } else { Some(pane) };
    }

    fn help(&mut self) {
        let commands = COMMANDS
            .iter()
            .map(|(name, args, about)| (format!("/{name} {args}"), (*about).to_owned()));
        let keys = [
            ("Enter", "send; on an offered edit: apply the chosen hunks"),
            ("Esc", "stop; on an offered edit: reject it"),
            ("Enter while it writes", "redirect it: it goes on with that in mind"),
            ("Up Down Space Right", "on an offered edit: choose hunks, split one"),
            ("Tab", "complete a command or a path"),
            ("Shift-Tab", "plain text asks, or edits the chosen files"),
            ("Alt-Enter, Ctrl-J", "another line"),
            ("PgUp PgDn, wheel", "scroll"),
            ("F1 F2 F3", "help, plan, files"),
            ("Ctrl-Z, Ctrl-D", "to the shell for a while, leave"),
        ];
        let keys = keys.map(|(key, does)| (key.to_owned(), does.to_owned()));
        self.history.push(What::Table(commands.chain(keys).collect()));
        self.scroll.reveal = Some(Reveal::Last);
    }
}

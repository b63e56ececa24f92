//! Screens without a terminal: keys and what the worker tells go in, what is shown and done comes out.

use super::history::Choice;
use super::message::{Back, Errand, Job, Told};
use super::state::{Action, State};
use super::theme::Theme;
use super::view::{self, Drawn};
use crate::stats::Stats;
use cerium_harness::edit::{EditRequest, LineEvent, plan_edit};
use cerium_harness::plan::{Plan, Step, StepFile, StepState};
use cerium_harness::workspace::Workspace;
use cerium_hub::default_entry;
use cerium_protocol::{Item, Response, Role, Status, Timings, Usage};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};
use std::fs;
use std::time::{Duration, Instant};

/// Somebody at a terminal, with a script for a worker.
struct Person {
    state: State,
    drawn: Drawn,
    colour: bool,
}

impl Person {
    fn new() -> Self {
        let mut state = State::new("~/shop".to_owned(), Instant::now());
        let files = ["README.md", "src/app.py", "src/calc.py"].map(str::to_owned);
        assert_eq!(state.told(Told::Files(files.to_vec())), None);
        assert_eq!(state.told(Told::Model("qwen2.5-coder-0.5b".to_owned())), None);
        Self { state, drawn: Drawn::default(), colour: false }
    }

    fn types(&mut self, text: &str) -> &mut Self {
        for c in text.chars() {
            assert_eq!(self.press(KeyCode::Char(c)), None);
        }
        self
    }

    fn press(&mut self, code: KeyCode) -> Option<Action> {
        self.state.key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    fn control(&mut self, c: char) -> Option<Action> {
        self.state.key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL))
    }

    fn sends(&mut self, text: &str) -> Option<Action> {
        self.types(text).press(KeyCode::Enter)
    }

    fn hears(&mut self, told: impl IntoIterator<Item = Told>) -> &mut Self {
        for told in told {
            assert_eq!(self.state.told(told), None);
        }
        self
    }

    fn buffer(&mut self, width: u16, height: u16) -> Buffer {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let theme = Theme::new(self.colour);
        let draw = |frame: &mut ratatui::Frame<'_>| {
            view::draw(frame, &mut self.state, &mut self.drawn, &theme);
        };
        terminal.draw(draw).unwrap();
        terminal.backend().buffer().clone()
    }

    /// The screen as text.
    fn sees(&mut self, width: u16, height: u16) -> String {
        rows(&self.buffer(width, height), |cell| cell.symbol().to_owned())
    }

    /// The screen with a letter in the place of each cell that says how it looks: green, red, cyan, bold, dim,
    /// reversed.
    fn sees_styles(&mut self, width: u16, height: u16) -> String {
        rows(&self.buffer(width, height), |cell| {
            let letter = match (cell.fg, cell.modifier) {
                (Color::Green, _) => 'g',
                (Color::Red, _) => 'r',
                (Color::Cyan, _) => 'c',
                (_, modifier) if modifier.contains(Modifier::REVERSED) => 'R',
                (_, modifier) if modifier.contains(Modifier::BOLD) => 'b',
                (_, modifier) if modifier.contains(Modifier::DIM) => 'd',
                _ if cell.symbol() == " " => ' ',
                _ => '.',
            };
            letter.to_string()
        })
    }
}

fn rows(buffer: &Buffer, show: impl Fn(&Cell) -> String) -> String {
    let width = usize::from(buffer.area.width);
    let rows = buffer.content().chunks(width).map(|row| {
        let row: String = row.iter().map(&show).collect();
        format!("{}\n", row.trim_end())
    });
    rows.collect()
}

fn starts(action: Option<Action>) -> Job {
    match action {
        Some(Action::Do(job)) => job,
        other => panic!("wanted a job, got {other:?}"),
    }
}

/// A rename in two places that are far from each other, as the harness makes it.
fn hunks() -> Vec<Choice> {
    let dir = tempfile::tempdir().unwrap();
    let between = "X = 1\n".repeat(12);
    let text = format!("def area(a, b):\n    return a * b\n\n{between}\nprint(area(2, 3))\n");
    fs::write(dir.path().join("calc.py"), text).unwrap();
    let workspace = Workspace::discover(dir.path()).unwrap();
    let request = EditRequest::new(dir.path().join("calc.py"), "rename area to surface");
    Choice::all(plan_edit(&workspace, request).unwrap().direct().unwrap())
}

fn stats() -> Stats {
    let usage = Usage {
        prompt_tokens: 1310,
        cached_tokens: 1204,
        output_tokens: 101,
        drafted_tokens: 80,
        accepted_tokens: 70,
        ..Usage::default()
    };
    let timings = Timings { ttft_ms: 310.0, decode_ms: 1000.0, ..Timings::default() };
    Stats::of(&Response {
        id: String::new(),
        model: "qwen2.5-coder-0.5b".to_owned(),
        status: Status::Completed,
        incomplete_reason: None,
        output: vec![Item::message(Role::Assistant, "")],
        logprobs: Vec::new(),
        usage,
        timings,
        why: None,
    })
}

fn offered() -> Person {
    let mut person = Person::new();
    starts(person.sends("/edit calc.py rename area to surface"));
    let places = "lines 1, 17".to_owned();
    person.hears([
        Told::Diff { path: "src/calc.py".to_owned(), places },
        Told::Proposed(vec![("src/calc.py".to_owned(), hunks())]),
        Told::Ended(stats()),
    ]);
    person
}

fn plan() -> Plan {
    let step = |number, title: &str, path: &str, state| Step {
        number,
        title: title.to_owned(),
        files: vec![StepFile::at(path)],
        symbol: None,
        detail: "Keep the old name as an alias.".to_owned(),
        run: None,
        state,
    };
    Plan {
        goal: "move the settings into one struct".to_owned(),
        revision: 1,
        steps: vec![
            step(1, "Add a Settings class", "src/app.py", StepState::Done { edit: 4 }),
            step(2, "Read the port from Settings", "src/calc.py", StepState::Open),
        ],
        past: Vec::new(),
        talk: cerium_harness::talk::Talk::default(),
    }
}

#[test]
fn the_first_screen_says_what_can_be_done() {
    let mut person = Person::new();
    insta::assert_snapshot!("first screen, 80x24", person.sees(80, 24));
    insta::assert_snapshot!("first screen, 40x12", person.sees(40, 12));
    insta::assert_snapshot!("first screen, 120x30", person.sees(120, 30));
}

#[test]
fn an_answer_streams_and_shows_its_places() {
    let mut person = Person::new();
    let job = starts(person.sends("how is `area` computed in @calc.py?"));
    let question = "how is `area` computed in src/calc.py?".to_owned();
    assert_eq!(job, Job::Ask { question, within: vec!["src/calc.py".to_owned()] });
    let text = "`area` multiplies **width** and `height`.\n\n1. It is called once, by the `main` \
                function of the same file, with small numbers.\n\n```python\nreturn width * height\n```\n";
    person.hears(text.split_inclusive(' ').map(|piece| Told::Text(piece.to_owned())));
    insta::assert_snapshot!("answer while it is written, 80x24", person.sees(80, 24));
    let place = ("src/calc.py:4".to_owned(), "def area(width, height):".to_owned());
    person.hears([Told::Places(vec![place]), Told::Ended(stats())]);
    insta::assert_snapshot!("answer, 40x20", person.sees(40, 20));
    let shown = person.sees(80, 24);
    assert!(shown.contains("TTFT 0.31 s · 100 tok/s · 87% drafts · 1204/1310 cached"), "{shown}");
}

#[test]
fn hunks_are_chosen_and_the_chosen_ones_applied() {
    let mut person = offered();
    insta::assert_snapshot!("offered edit, 80x24", person.sees(80, 24));
    person.press(KeyCode::Down);
    person.types(" ");
    insta::assert_snapshot!("offered edit, a hunk left out, 80x24", person.sees(80, 24));
    person.colour = true;
    insta::assert_snapshot!("offered edit, in colour", person.sees_styles(80, 24));
    person.colour = false;
    insta::assert_snapshot!("offered edit, without colour", person.sees_styles(80, 24));
    let job = starts(person.press(KeyCode::Enter));
    assert_eq!(job, Job::Accept { chosen: vec![vec![hunks().remove(0).hunk]] });
    person.hears([Told::Settled(Some(7)), Told::Ended(Stats::default())]);
    let shown = person.sees(80, 24);
    assert!(shown.contains("+1 -1 applied as edit 7"), "{shown}");
    assert!(
        shown.contains("line 17, left out") && shown.contains("/undo takes it back"),
        "{shown}"
    );
    assert_eq!(person.state.changed, ["src/calc.py"]);
    person.hears([Told::Undone(7)]);
    assert!(person.sees(80, 24).contains("edit 7, undone"));
    assert!(person.state.changed.is_empty());
    person.hears([Told::Redone(7)]);
    assert_eq!(person.state.changed, ["src/calc.py"]);
}

#[test]
fn a_hunk_is_split_into_its_parts() {
    let mut person = offered();
    // As the harness would, had there been less between them.
    let whole = hunks().remove(0).hunk;
    let parts: Vec<_> = hunks().into_iter().map(|choice| choice.hunk).collect();
    let choice = Choice { hunk: whole, parts: parts.clone() };
    let path = "src/calc.py".to_owned();
    person.hears([
        Told::Settled(None),
        Told::Diff { path: path.clone(), places: String::new() },
        Told::Proposed(vec![(path, vec![choice])]),
    ]);
    assert!(person.sees(80, 24).contains("\u{2192} splits"));
    person.press(KeyCode::Right);
    person.press(KeyCode::Down);
    person.types(" ");
    let shown = person.sees(80, 24);
    assert!(
        shown.contains("Enter applies 1 of 2") && !shown.contains("\u{2192} splits"),
        "{shown}"
    );
    let job = starts(person.press(KeyCode::Enter));
    assert_eq!(job, Job::Accept { chosen: vec![vec![parts[0].clone()]] });
}

#[test]
fn an_offer_is_answered_in_words_too() {
    assert!(matches!(starts(offered().sends("y")), Job::Accept { .. }));
    assert_eq!(starts(offered().sends("No")), Job::Reject);
    assert_eq!(starts(offered().press(KeyCode::Esc)), Job::Reject);
    let text = "now keep an alias".to_owned();
    assert_eq!(starts(offered().sends(&text)), Job::GoOn { text });
    // Without a hunk there is nothing to apply.
    let mut person = offered();
    person.types(" ");
    person.press(KeyCode::Down);
    person.types(" ");
    assert_eq!(starts(person.press(KeyCode::Enter)), Job::Reject);
    // Another job would leave the offer hanging.
    assert_eq!(offered().sends("/undo"), None);
    // What Enter would do is said while one types.
    for (typed, says) in [("no", "Enter rejects it"), ("now keep", "Enter makes it again")] {
        let shown = offered().types(typed).sees(80, 24);
        assert!(shown.contains(says), "{shown}");
    }
    for width in [40, 80] {
        let shown = offered().sees(width, 24);
        let keys = shown.lines().find(|line| line.contains("Enter applies it")).unwrap();
        assert!(keys.contains("\u{2191}\u{2193} Space") && !keys.contains('\u{2026}'), "{keys}");
    }
}

#[test]
fn what_is_typed_meanwhile_redirects() {
    let mut person = Person::new();
    starts(person.sends("/edit calc.py use floats"));
    let add = |text: &str| Told::Line(LineEvent::Add { text: text.to_owned() });
    let places = "lines 1-4".to_owned();
    person.hears([
        Told::Diff { path: "src/calc.py".to_owned(), places },
        Told::Line(LineEvent::Remove { line: 1, text: "def area(a, b):".to_owned() }),
        add("def area(a: float, b: float):"),
    ]);
    person.state.now += Duration::from_secs(3);
    insta::assert_snapshot!("edit while it is written, 80x24", person.sees(80, 24));
    assert_eq!(person.sends("and return a float"), Some(Action::Stop));
    assert_eq!(person.sends("rounded"), Some(Action::Stop));
    person.hears([Told::Stopped]);
    let next = person.state.told(Told::Ended(stats()));
    assert_eq!(starts(next), Job::GoOn { text: "and return a float\nrounded".to_owned() });
    insta::assert_snapshot!("redirected edit, 80x24", person.sees(80, 24));
    // Esc ends it, whatever was said before.
    assert_eq!(person.sends("or not"), Some(Action::Stop));
    assert_eq!(person.press(KeyCode::Esc), Some(Action::Stop));
    person.hears([Told::Stopped, Told::Ended(stats())]);
    assert!(!person.state.is_moving());
    assert!(person.sees(80, 24).contains("stopped"));
}

#[test]
fn what_was_still_said_stands_before_what_redirected_it() {
    let mut person = Person::new();
    starts(person.sends("where is the area?"));
    person.hears([Told::Text("It is".to_owned())]);
    assert_eq!(person.sends("in one word"), Some(Action::Stop));
    let place = ("src/calc.py:1".to_owned(), "def area".to_owned());
    person.hears([Told::Text(" in calc".to_owned()), Told::Places(vec![place]), Told::Stopped]);
    starts(person.state.told(Told::Ended(stats())));
    person.hears([Told::Text("calc.py".to_owned()), Told::Ended(stats())]);
    let shown = person.sees(80, 24);
    let lines: Vec<&str> = shown.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let said = ["\u{203a} where is the area?", "It is in calc", "src/calc.py:1  def area"];
    assert_eq!((&lines[1..4], &lines[4..6]), (&said[..], &["\u{203a} in one word", "calc.py"][..]));
}

#[test]
fn what_is_being_done_is_not_interrupted_by_commands() {
    let mut person = Person::new();
    starts(person.sends("/undo"));
    assert_eq!(person.sends("faster"), None);
    assert!(person.sees(80, 24).contains("this cannot be redirected"));
    person.control('u');
    assert_eq!(person.sends("/redo"), None);
    assert!(person.sees(80, 24).contains("Esc stops what is being done"));
    person.control('u');
    assert_eq!(person.sends("/quit"), Some(Action::Leave));
}

#[test]
fn the_plan_stands_beside_or_above() {
    let mut person = Person::new();
    let job = starts(person.sends("/plan move the settings into one struct"));
    assert_eq!(job, Job::Plan { goal: "move the settings into one struct".to_owned() });
    person.hears([Told::Plan(Box::new(plan())), Told::Ended(stats())]);
    insta::assert_snapshot!("plan, 80x24", person.sees(80, 24));
    insta::assert_snapshot!("plan, 50x20", person.sees(50, 20));
    assert_eq!(person.press(KeyCode::F(2)), None);
    assert!(!person.sees(80, 24).contains("Keep the old name"));
    assert_eq!(starts(person.sends("/apply 2")), Job::Apply { step: 2 });
}

#[test]
fn a_plan_shows_of_its_details_what_fits() {
    let mut person = Person::new();
    let mut plan = plan();
    let next = Step { number: 3, title: "Read the host, too".to_owned(), ..plan.steps[1].clone() };
    plan.steps.push(next);
    starts(person.sends("/plan"));
    person.hears([Told::Plan(Box::new(plan)), Told::Ended(Stats::default())]);
    let mut n_details = |height| person.sees(80, height).matches("Keep the old name").count();
    assert_eq!([n_details(24), n_details(15), n_details(13)], [2, 1, 0]);
    let shown = person.sees(80, 13);
    assert!(shown.contains("Read the host, too"), "{shown}");
    let shown = person.sees(80, 10);
    assert!(shown.contains('\u{22ee}') && !shown.contains("Read the host, too"), "{shown}");
}

#[test]
fn every_file_of_an_edit_is_offered() {
    let mut person = Person::new();
    starts(person.sends("/edit app.py calc.py rename area to surface"));
    for path in ["src/app.py", "src/calc.py"] {
        person.hears([Told::Diff { path: path.to_owned(), places: String::new() }]);
    }
    let files = ["src/app.py", "src/calc.py"].map(|path| (path.to_owned(), hunks()));
    person.hears([Told::Proposed(files.into()), Told::Ended(stats())]);
    let all: Vec<_> = hunks().into_iter().map(|choice| choice.hunk).collect();
    let job = starts(person.press(KeyCode::Enter));
    assert_eq!(job, Job::Accept { chosen: vec![all.clone(), all] });
}

#[test]
fn what_is_done_elsewhere_waits_for_its_turn() {
    let mut person = Person::new();
    let step = Errand::Step { number: 2 };
    let sent = person.sends("/delegate 2");
    assert_eq!(sent, Some(Action::SendAway(step.clone())));
    starts(person.sends("where is the area?"));
    person.hears([Told::Text("It is ".to_owned())]);
    let question = "why?".to_owned();
    let asked = Errand::Ask { question: question.clone(), within: Vec::new() };
    assert_eq!(person.sends("/delegate ask why?"), Some(Action::SendAway(asked)));
    assert!(person.sees(80, 24).contains("2 away"));
    let model = "large".to_owned();
    let text = "Because.".to_owned();
    person.hears([
        Told::Back(Back::Edit { model: model.clone(), number: 2 }),
        Told::Back(Back::Answer { model, question, text, places: Vec::new() }),
        Told::Text("in calc.py.".to_owned()),
    ]);
    let shown = person.sees(80, 24);
    assert!(shown.contains("It is in calc.py.") && !shown.contains("Because"), "{shown}");
    person.hears([Told::Ended(stats())]);
    let shown = person.sees(80, 24);
    let told = shown.find("step 2 is back from large").zip(shown.find("Because."));
    assert!(
        told.is_some_and(|(edit, answer)| edit < answer) && shown.contains("1 back"),
        "{shown}"
    );
    assert_eq!(starts(person.sends("/delegate")), Job::Offer);
    assert!(!person.sees(80, 24).contains("1 back"));
    person.hears([Told::Ended(Stats::default())]);
    // Nobody sends without end.
    for _ in 0..4 {
        assert_eq!(person.sends("/delegate 2"), Some(Action::SendAway(step.clone())));
    }
    assert_eq!(person.sends("/delegate 2"), None);
    assert!(person.sees(80, 24).contains("4 are worked at already"));
    person.control('u');
    assert_eq!(person.sends("/delegate stop"), Some(Action::CallBack));
}

#[test]
fn a_model_that_is_not_here_is_offered() {
    let mut person = Person::new();
    person.hears([Told::Absent(default_entry())]);
    insta::assert_snapshot!("no model yet, 80x10", person.sees(80, 10));
    assert_eq!(starts(person.press(KeyCode::Enter)), Job::Pull);
    let total = default_entry().bytes;
    person.hears([Told::Fetched { what: "fetching", done: total / 4, total }]);
    let shown = person.sees(80, 10);
    assert!(shown.contains("fetching 25% of 491 MB"), "{shown}");
    person.hears([Told::Ended(Stats::default())]);
    // A question that finds none ends, and is followed by the offer.
    starts(person.sends("what is this?"));
    person.hears([Told::Absent(default_entry()), Told::Ended(Stats::default())]);
    assert_eq!(starts(person.press(KeyCode::Enter)), Job::Pull);
}

#[test]
fn paths_and_commands_are_completed() {
    let mut person = Person::new();
    person.types("/ed");
    insta::assert_snapshot!("a command being typed, 80x10", person.sees(80, 10));
    person.press(KeyCode::Tab);
    person.types("s");
    person.press(KeyCode::Tab);
    assert_eq!(person.state.input.text(), "/edit src/app.py ");
    insta::assert_snapshot!("a path being completed, 80x10", person.sees(80, 10));
    person.press(KeyCode::Tab);
    assert_eq!(person.state.input.text(), "/edit src/calc.py ");
    assert_eq!(person.press(KeyCode::Enter), None);
    assert!(person.sees(80, 24).contains("edit src/calc.py ›"));
    person.press(KeyCode::BackTab);
    assert!(person.sees(80, 24).contains("ask ›"));
}

#[test]
fn a_line_that_cannot_be_read_stays_to_be_mended() {
    let mut person = Person::new();
    assert_eq!(person.sends("/edit clac.py use floats"), None);
    let shown = person.sees(80, 24);
    assert!(shown.contains("`clac.py` is no file of this tree"), "{shown}");
    assert!(shown.contains("ask › /edit clac.py use floats"), "{shown}");
}

#[test]
fn leaving_takes_more_than_a_slip() {
    let mut person = Person::new();
    assert_eq!(person.control('c'), None);
    assert!(person.sees(80, 24).contains("Ctrl-D leaves"));
    person.types("something");
    assert_eq!(person.control('d'), None);
    assert_eq!(person.control('c'), None);
    assert!(person.state.input.is_empty());
    assert_eq!(person.control('d'), Some(Action::Leave));
}

#[test]
fn the_end_is_followed_until_somebody_scrolls() {
    let mut person = Person::new();
    for n in 0..40 {
        person.hears([Told::Note(format!("note {n}"))]);
    }
    assert!(person.sees(80, 24).contains("note 39"));
    person.press(KeyCode::PageUp);
    let before = person.sees(80, 24);
    assert!(!before.contains("note 39"));
    person.hears([Told::Note("another".to_owned())]);
    assert_eq!(person.sees(80, 24), before);
    person.press(KeyCode::PageDown);
    person.press(KeyCode::PageDown);
    assert!(person.sees(80, 24).contains("another"));
}

#[test]
fn help_is_read_from_its_beginning_on() {
    let mut person = Person::new();
    person.hears((0..40).map(|n| Told::Note(format!("note {n}"))));
    person.press(KeyCode::F(1));
    for (width, height) in [(80, 24), (40, 12)] {
        let shown = person.sees(width, height);
        assert!(shown.lines().take(3).any(|line| line.contains("/ask [TEXT]")), "{shown}");
        person.press(KeyCode::F(1));
    }
    // A line that is too long is one line.
    starts(person.sends("where are the words of this question, which is longer than a line?"));
    assert_eq!(person.sees(40, 12).matches("\u{203a} ").count(), 1);
}

#[test]
fn nothing_that_is_shown_steers_the_terminal() {
    let mut person = offered();
    let evil = "a\u{1b}]0;x\u{7}\u{9b}2J\u{202e}b";
    person.hears([
        Told::Text(evil.to_owned()),
        Told::Places(vec![(evil.to_owned(), evil.to_owned())]),
        Told::Note(evil.to_owned()),
        Told::Table(vec![(evil.to_owned(), evil.to_owned())]),
        Told::Error { what: evil.to_owned(), hint: Some(evil.to_owned()) },
        Told::Doing(evil.to_owned()),
    ]);
    person.state.paste(evil);
    let shown = person.sees(80, 40).replace('\n', "");
    assert!(!shown.contains(|c: char| c.is_control() || c == '\u{202e}'), "{shown:?}");
}

#[test]
fn every_size_will_do() {
    for (width, height) in (1..=30).flat_map(|w| (1..=12).map(move |h| (w, h))) {
        let mut person = offered();
        person.hears([Told::Text("漢字 and words".to_owned()), Told::Plan(Box::new(plan()))]);
        person.buffer(width, height);
        person.press(KeyCode::F(2));
        person.types("several words, 漢字 as well");
        person.buffer(width, height);
        person.press(KeyCode::F(3));
        person.control('u');
        person.types("/");
        person.buffer(width, height);
    }
}

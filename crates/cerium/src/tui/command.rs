//! What can be typed after a `/`, as a table, and what a typed line asks for.

use super::message::{Errand, Job};
use cerium_harness::workspace::sole_match;

/// A command: its name, what follows it, what it does.
pub(super) type Command = (&'static str, &'static str, &'static str);

pub(super) const COMMANDS: &[Command] = &[
    ("ask", "[TEXT]", "ask about the tree, or about @PATH; alone: plain text asks"),
    ("edit", "[FILE..] [TEXT]", "edit files; without text: plain text edits them"),
    ("plan", "[GOAL]", "write a plan; alone: show it"),
    ("revise", "TEXT", "change one step of the plan as this says"),
    ("apply", "STEP", "carry a step of the plan out as an edit"),
    ("delegate", "ask TEXT | STEP", "to an upstream, meanwhile; alone: what came back; stop"),
    ("undo", "[EDIT]", "take an edit back, the last one by default"),
    ("redo", "", "apply the last undone edit again"),
    ("log", "", "list the edits made in this tree"),
    ("files", "", "show or hide the files: edited, read, chosen"),
    ("model", "[NAME]", "list the models, or answer with another one"),
    ("new", "", "begin another conversation"),
    ("help", "", "this"),
    ("quit", "", "leave"),
];

/// What a plain line is taken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    #[default]
    Ask,
    /// An instruction for the chosen files.
    Edit,
}

/// What a line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Job(Job),
    /// Something for an engine elsewhere.
    Errand(Errand),
    /// All of that is no longer wanted.
    CallBack,
    /// Plain lines are taken for this from now on, about these files.
    Mode(Mode, Vec<String>),
    Files,
    Help,
    Quit,
}

/// Reads a line.
///
/// * `mode`, `chosen`: what plain text means, and the files an edit is about
/// * `files`: those of the tree, in order
///
/// # Errors
/// What is wrong with it, for the person.
pub(super) fn read(
    line: &str,
    mode: Mode,
    chosen: &[String],
    files: &[String],
) -> Result<Asked, String> {
    let line = line.trim();
    let Some((name, rest)) = slashed(line) else {
        return match mode {
            Mode::Ask => ask(line, files),
            Mode::Edit => edit(line, chosen, files),
        };
    };
    let bare = |asked: Asked| {
        if rest.is_empty() { Ok(asked) } else { Err(format!("/{name} takes nothing more")) }
    };
    match name {
        "ask" if rest.is_empty() => Ok(Asked::Mode(Mode::Ask, chosen.to_vec())),
        "ask" => ask(rest, files),
        "edit" => edit(rest, chosen, files),
        "plan" if rest.is_empty() => Ok(Asked::Job(Job::ShowPlan)),
        "plan" => Ok(Asked::Job(Job::Plan { goal: rest.to_owned() })),
        "revise" if rest.is_empty() => {
            Err("say what to change, as in: /revise step 2: keep the old name".to_owned())
        }
        "revise" => Ok(Asked::Job(Job::Revise { request: rest.to_owned() })),
        "apply" => match rest.parse() {
            Ok(step @ 1..) => Ok(Asked::Job(Job::Apply { step })),
            _ => Err("say which step, as in: /apply 1".to_owned()),
        },
        "delegate" => delegate(rest, files),
        "undo" if rest.is_empty() => Ok(Asked::Job(Job::Undo { edit: None })),
        "undo" => match rest.parse() {
            Ok(edit) => Ok(Asked::Job(Job::Undo { edit: Some(edit) })),
            Err(_) => Err("say which edit of /log, as in: /undo 3".to_owned()),
        },
        "model" => {
            let name = (!rest.is_empty()).then(|| rest.to_owned());
            Ok(Asked::Job(Job::Model { name }))
        }
        "redo" => bare(Asked::Job(Job::Redo)),
        "log" => bare(Asked::Job(Job::Log)),
        "new" => bare(Asked::Job(Job::Forget)),
        "files" => bare(Asked::Files),
        "help" => bare(Asked::Help),
        "quit" => bare(Asked::Quit),
        _ => Err(format!("there is no /{name}; /help lists what there is")),
    }
}

/// The command of a line and what follows it. A path is none.
fn slashed(line: &str) -> Option<(&str, &str)> {
    let line = line.strip_prefix('/')?;
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphabetic());
    is_name.then(|| (name, rest.trim()))
}

/// A question; `@PATH` in it says where to look.
fn ask(text: &str, files: &[String]) -> Result<Asked, String> {
    let (question, within) = question_of(text, files)?;
    Ok(Asked::Job(Job::Ask { question, within }))
}

/// Its words, and where to look.
fn question_of(text: &str, files: &[String]) -> Result<(String, Vec<String>), String> {
    let mut within = Vec::new();
    let mut words = Vec::new();
    for word in text.split(' ') {
        match word.strip_prefix('@').filter(|path| !path.is_empty()) {
            Some(path) => {
                // A sentence may end with it.
                let end = path.trim_end_matches(['?', '!', '.', ',', ';', ':', ')']).len();
                let (path, after) = path.split_at(end);
                let path = place(path, files)?;
                words.push(format!("{path}{after}"));
                within.push(path);
            }
            None => words.push(word.to_owned()),
        }
    }
    Ok((words.join(" "), within))
}

/// A question or a step for an engine elsewhere, or what it sent back.
fn delegate(text: &str, files: &[String]) -> Result<Asked, String> {
    let (first, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    match (first, rest.trim()) {
        ("", _) => Ok(Asked::Job(Job::Offer)),
        ("stop", "") => Ok(Asked::CallBack),
        ("ask", question) if !question.is_empty() => {
            let (question, within) = question_of(question, files)?;
            Ok(Asked::Errand(Errand::Ask { question, within }))
        }
        (step, "") if let Ok(number @ 1..) = step.parse() => {
            Ok(Asked::Errand(Errand::Step { number }))
        }
        _ => Err("say what, as in: /delegate ask TEXT, or /delegate 1 for a step".to_owned()),
    }
}

/// Files, then what to change in them; the chosen ones where none are named.
fn edit(text: &str, chosen: &[String], files: &[String]) -> Result<Asked, String> {
    let mut named = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let path = word.strip_prefix('@').unwrap_or(word);
        match sole_match(files, path) {
            Some(file) => named.push(file),
            None if path.len() < word.len() => return Err(no_file(path)),
            None => break,
        }
        rest = after.trim_start();
    }
    let first = rest.split_whitespace().next().unwrap_or_default();
    if named.is_empty() && looks_like_a_path(first, files) {
        return Err(no_file(first));
    }
    let files = if named.is_empty() { chosen.to_vec() } else { named };
    match (files.is_empty(), rest.is_empty()) {
        (true, _) => Err("say which file, as in: /edit FILE what to change".to_owned()),
        (false, true) => Ok(Asked::Mode(Mode::Edit, files)),
        (false, false) => Ok(Asked::Job(Job::Edit { files, instruction: rest.to_owned() })),
    }
}

/// A file or a directory of the tree.
fn place(path: &str, files: &[String]) -> Result<String, String> {
    let dir = path.trim_end_matches('/');
    let is_dir =
        || files.iter().any(|f| f.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/')));
    match sole_match(files, path) {
        Some(file) => Ok(file),
        None if is_dir() => Ok(dir.to_owned()),
        None => Err(no_file(path)),
    }
}

fn no_file(path: &str) -> String {
    format!("`{path}` is no file of this tree, or several end in it")
}

/// Whether a word ends as files of the tree do: `clac.py`, not `self.items`.
fn looks_like_a_path(word: &str, files: &[String]) -> bool {
    let ending = |path: &str| path.rfind('.').map(|at| path[at..].to_owned());
    ending(word)
        .is_some_and(|of_word| files.iter().any(|file| ending(file) == Some(of_word.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Result<Asked, String> {
        let files = ["README.md", "src/app.py", "src/calc.py"].map(str::to_owned);
        read(line, Mode::Ask, &["src/app.py".to_owned()], &files)
    }

    fn edits(files: &[&str], instruction: &str) -> Asked {
        let files = files.iter().map(|file| (*file).to_owned()).collect();
        Asked::Job(Job::Edit { files, instruction: instruction.to_owned() })
    }

    #[test]
    fn an_edit_names_files_and_then_says_what() {
        assert_eq!(asked("/edit calc.py rename area"), Ok(edits(&["src/calc.py"], "rename area")));
        assert_eq!(
            asked("/edit @app.py src/calc.py use floats"),
            Ok(edits(&["src/app.py", "src/calc.py"], "use floats"))
        );
        assert_eq!(asked("/edit use floats"), Ok(edits(&["src/app.py"], "use floats")));
        assert_eq!(asked("/edit a.items is a set"), Ok(edits(&["src/app.py"], "a.items is a set")));
        let chosen = Asked::Mode(Mode::Edit, vec!["src/calc.py".to_owned()]);
        assert_eq!(asked("/edit calc.py"), Ok(chosen));
        assert!(asked("/edit clac.py rename area").unwrap_err().contains("`clac.py` is no file"));
    }

    #[test]
    fn plain_text_is_taken_for_what_the_mode_says() {
        let question = |question: &str, within: &[&str]| {
            let within = within.iter().map(|path| (*path).to_owned()).collect();
            Ok(Asked::Job(Job::Ask { question: question.to_owned(), within }))
        };
        assert_eq!(asked("what is this?"), question("what is this?", &[]));
        assert_eq!(
            asked("what does @calc.py do"),
            question("what does src/calc.py do", &["src/calc.py"])
        );
        assert_eq!(asked("what is in @src/"), question("what is in src", &["src"]));
        assert_eq!(asked("/usr/bin/env is what?"), question("/usr/bin/env is what?", &[]));
        let files = ["a.py".to_owned()];
        assert_eq!(
            read("use floats", Mode::Edit, &files, &files),
            Ok(edits(&["a.py"], "use floats"))
        );
    }

    #[test]
    fn commands_say_what_they_want() {
        assert_eq!(asked("/apply 2"), Ok(Asked::Job(Job::Apply { step: 2 })));
        for (line, says) in [
            ("/apply", "/apply 1"),
            ("/apply x", "/apply 1"),
            ("/apply 0", "/apply 1"),
            ("/undo last", "/undo 3"),
            ("/revise", "/revise step 2"),
            ("/redo now", "takes nothing more"),
            ("/bogus", "there is no /bogus"),
        ] {
            let error = asked(line).unwrap_err();
            assert!(error.contains(says), "{line}: {error}");
        }
    }
}

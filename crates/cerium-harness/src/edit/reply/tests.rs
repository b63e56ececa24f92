//! Reading of answers piece by piece; whole answers are cases in `tests/data/edits`.

use super::*;
use proptest::prelude::*;

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

fn part(old: &str) -> Part {
    Part { old: lines(old), ..Part::default() }
}

fn read_parts(olds: &[&str], reply: &str) -> Result<Vec<String>, ReplyError> {
    let parts = olds.iter().map(|old| part(old)).collect();
    let expected = Expected { format: Format::Rewrite, parts, cut: false, comments_may_go: false };
    Ok(read(reply, &expected)?.into_iter().map(|lines| lines.join("\n")).collect())
}

fn read_one(old: &str, reply: &str) -> Result<String, ReplyError> {
    Ok(read_parts(&[old], reply)?.remove(0))
}

#[test]
fn fences_of_any_kind_are_opened() {
    let old = "let a = 1;\nlet b = 2;";
    let new = "let a = 1;\nlet b = 3;";
    for reply in [
        format!("```\n{new}\n```"),
        format!("```rust\n{new}\n```"),
        format!("~~~rust\n{new}\n~~~\nDone."),
        format!("````md\n{new}\n````"),
        format!("  ```rust\n{new}\n  ```"),
        format!("```rust\n{new}"),
        format!("{new}\n```"),
        new.to_owned(),
        format!("Here is the changed code for you:\n{new}\nI hope that this is what you want."),
    ] {
        assert_eq!(read_one(old, &reply).unwrap(), new, "{reply}");
    }
}

#[test]
fn a_fence_cannot_be_closed_by_what_it_shows() {
    assert_eq!(fence_for(&["a", "b"]), "```");
    assert_eq!(fence_for(&["```sh", "x", "```"]), "````");
    assert_eq!(fence_for(&["  `````"]), "``````");
}

#[test]
fn answers_without_code_are_refused() {
    assert_eq!(read_one("a = 1", ""), Err(ReplyError::Empty));
    assert_eq!(read_one("a = 1", "```\n```\n"), Err(ReplyError::NoCode));
    let talk = "I cannot do that because the value is not known here.";
    assert_eq!(read_one("a = 1", talk), Err(ReplyError::NoCode));
}

#[test]
fn what_is_around_the_code_is_no_answer() {
    let shown = format!("# {PLACE}\n\n\ndef other():\n    return 2");
    let old = "def one():\n    return 1";
    assert_eq!(read_one(old, &shown), Err(ReplyError::Surroundings));
    let quoted = format!("show(\"{PLACE}\")\nreturn 1");
    assert!(read_one(&quoted, &quoted.replace('1', "2")).is_ok());
}

#[test]
fn dots_that_are_code_stay() {
    let stub = "class A(Protocol):\n    def f(self): ...\n    def g(self):\n        ...";
    assert_eq!(read_one(stub, &stub.replace('f', "h")).unwrap(), stub.replace('f', "h"));
    let rust = "match x {\n    1..=2 => a,\n    _ => b,\n}";
    let new = "match x {\n    1..=3 => a,\n    _ => b,\n}";
    assert_eq!(read_one(rust, new).unwrap(), new);
}

#[test]
fn elisions_are_filled_from_their_neighbours() {
    let old = "one()\ntwo()\nthree()\nfour()\nfive()";
    assert_eq!(
        read_one(old, "first()\n# ... existing code ...\nfive()").unwrap_err(),
        ReplyError::Elided { line: "# ... existing code ...".to_owned() }
    );
    assert_eq!(
        read_one(old, "one()\n// rest of the code unchanged\nfour()\nlast()").unwrap(),
        "one()\ntwo()\nthree()\nfour()\nlast()"
    );
    assert_eq!(read_one(old, "zero()\none()\n...").unwrap(), format!("zero()\n{old}"));
}

#[test]
fn white_space_at_line_ends_is_no_change() {
    let old = "a = 1  \n\n\nb = 2\t\nc = 3";
    assert_eq!(read_one(old, "a = 1\nb = 2\nc = 4\n").unwrap(), "a = 1  \n\n\nb = 2\t\nc = 4");
}

#[test]
fn blank_lines_that_were_asked_for_are_kept() {
    let old = "import a\ndef f(): pass";
    assert_eq!(
        read_one(old, "import a\nimport b\n\ndef f(): pass").unwrap(),
        "import a\nimport b\n\ndef f(): pass"
    );
}

#[test]
fn an_indentation_that_changes_on_purpose_is_kept() {
    let old = "    out = decode(x)";
    let new = "    try:\n        out = decode(x)\n    except E:\n        out = None";
    assert_eq!(read_one(old, new).unwrap(), new);
    let old = "    if a:\n        b()\n        c()";
    let new = "    if not a:\n        return\n    b()\n    c()";
    assert_eq!(read_one(old, new).unwrap(), new);
}

#[test]
fn parts_are_told_apart_by_their_markers() {
    let olds = ["a = 1", "def f():\n    return 1", "z = 26"];
    let reply = "# --- part 1 ---\na = 2\n# --- part 3 ---\nz = 27\n";
    assert_eq!(read_parts(&olds, reply).unwrap(), ["a = 2", olds[1], "z = 27"]);
    let mangled = "a = 2\n// --- Part 2 ---\ndef f():\n    return 2\n";
    assert_eq!(read_parts(&olds, mangled).unwrap(), ["a = 2", "def f():\n    return 2", olds[2]]);
    let twice = "# --- part 2 ---\nx\n# --- part 1 ---\ny\n";
    assert_eq!(read_parts(&olds, twice), Err(ReplyError::Parts));
}

#[test]
fn parts_without_markers_are_told_apart_by_what_stayed() {
    let olds = ["import json", "def f():\n    return 1"];
    let reply = "import json\nimport os\n\n\ndef f():\n    return os.getpid()\n";
    let read = read_parts(&olds, reply).unwrap();
    assert_eq!(read, ["import json\nimport os", "def f():\n    return os.getpid()"]);
    let unclear = "import json\nlimit = 3\ndef f():\n    return 1\n";
    assert_eq!(read_parts(&olds, unclear), Err(ReplyError::Parts));
}

proptest! {
    #[test]
    fn any_answer_is_read_or_refused(
        olds in prop::collection::vec("([ab(){} ]{0,4}\n){0,4}", 1..4),
        reply in "((```|~~~|# --- part [0-4] ---|\\.\\.\\.|[ab(){}+@ -]{0,5}|<<<<<<<|=======|>>>>>>>)\n?){0,12}",
        cut in any::<bool>(),
        blocks in any::<bool>(),
    ) {
        let format = if blocks { Format::SearchReplace } else { Format::Rewrite };
        let parts: Vec<Part> = olds.iter().map(|old| part(old)).collect();
        let n_parts = parts.len();
        let expected = Expected { format, parts, cut, comments_may_go: true };
        if let Ok(read) = read(&reply, &expected) {
            prop_assert_eq!(read.len(), n_parts);
        }
    }

    /// The old code, said again in any usual wrapping, is no change.
    #[test]
    fn the_same_code_is_unchanged(
        old in prop::collection::vec("( {0,8}[a-d]{1,6}\\(\\);)?", 1..12),
        shift in 0usize..5,
        fence in prop::sample::select(vec!["", "```\n", "```rust\n"]),
    ) {
        let text: Vec<String> = old.iter().map(|line| if line.is_empty() { String::new() } else { format!("{}{line}", " ".repeat(shift)) }).collect();
        prop_assume!(old.iter().any(|line| !line.is_empty()));
        let reply = format!("{fence}{}\n```\n", text.join("\n"));
        let part = Part { old: old.clone(), ..Part::default() };
        let expected = Expected {
            format: Format::Rewrite,
            parts: vec![part],
            cut: false,
            comments_may_go: false,
        };
        prop_assert_eq!(read(&reply, &expected).unwrap(), [old]);
    }
}

//! Fill-in-the-middle: points, what the model sees, and where a completion ends.

use crate::support::{Reply, Scripted, refusal, tree, workspace};
use cerium_harness::complete::{
    CompleteError, CompleteOptions, Completion, Point, complete, complete_file, ending,
    parse_place, window,
};
use cerium_protocol::Status;
use proptest::prelude::*;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

#[test]
fn places_are_read_from_the_right() {
    let good = |text: &str| parse_place(text).map(|(file, p)| (file, p.line, p.column)).unwrap();
    assert_eq!(good("src/a.rs:10:5"), (PathBuf::from("src/a.rs"), 10, 5));
    assert_eq!(good("odd:name.rs:1:1"), (PathBuf::from("odd:name.rs"), 1, 1));
    for text in
        ["", "a.rs", "a.rs:1", "a.rs:1:", "a.rs:0:1", "a.rs:1:0", "a.rs:x:1", ":1:1", "a.rs:-1:1"]
    {
        assert!(matches!(parse_place(text), Err(CompleteError::BadPlace { .. })), "{text}");
    }
}

#[test]
fn columns_count_characters() {
    let text = "añb\r\n\tx\n";
    let offset = |line, column| Point { line, column }.offset(text);
    assert_eq!(offset(1, 1).unwrap(), 0);
    assert_eq!(offset(1, 3).unwrap(), 3);
    assert_eq!(offset(1, 4).unwrap(), 4, "before the line ending");
    assert_eq!(offset(2, 2).unwrap(), 7, "a tab is one character");
    assert_eq!(offset(3, 1).unwrap(), 9, "one may write after the last line");
    let error = offset(1, 5).unwrap_err().to_string();
    assert_eq!(error, "there is no column 5 on line 1; the last is 4, its end");
    assert_eq!(offset(4, 1).unwrap_err().to_string(), "there is no line 4; the text has 3");
    assert!(Point { line: 0, column: 0 }.offset(text).is_err());
    assert_eq!(Point { line: 1, column: 1 }.offset("").unwrap(), 0);
}

#[test]
fn the_model_sees_the_lines_nearest_to_the_point() {
    let lines =
        |range: std::ops::Range<usize>| -> String { range.map(|i| format!("l{i:02}\n")).collect() };
    let (before, after) = (lines(0..50), lines(50..99));
    let seen = |before: &str, after: &str, n| {
        let (before, after) = window(before, after, n, usize::MAX, &|text| text.len());
        (before.len(), after.len())
    };
    assert_eq!(seen(&before, &after, 80), (60, 20));
    assert_eq!(seen("ab\n", &after, 80), (3, 76), "what one side leaves, the other gets");
    assert_eq!(seen(&before, "", 80), (80, 0));
    assert_eq!(seen(&before, &after, 3), (0, 0));
    assert_eq!(seen(&before, &after, 10_000), (200, 196));
    assert!(before.ends_with(window(&before, &after, 80, usize::MAX, &|text| text.len()).0));
    assert_eq!(window(&before, &after, 80, 9, &|text| text.len()).1, "l50\nl51\n");

    // Who types on, line after line, has the same beginning before the point for a while.
    let text = lines(0..99);
    let firsts: Vec<&str> = (60..76)
        .map(|n| window(&text[..4 * n], "", 160, usize::MAX, &|text| text.len()).0)
        .inspect(|before| assert!(before.len() > 140))
        .map(|before| &before[..3])
        .collect();
    assert_eq!(firsts.chunk_by(|a, b| a == b).count(), 5, "{firsts:?}");

    let minified = "é".repeat(100_000);
    let (before, after) = window(&minified, &minified, 100_000, usize::MAX, &|text| text.len());
    assert!(before.len() <= 4_000 && after.len() <= 4_001, "{} {}", before.len(), after.len());
}

/// What is kept of a generated text, in which `<>` marks the point of the file.
fn kept(file: &str, generated: &str) -> String {
    let (before, after) = file.split_once("<>").unwrap();
    let text = format!("{before}{after}");
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let point = Point { line, column };
    let mut results = Vec::new();
    for stride in [1, 7, 1_000] {
        let backend = Scripted::new([generated]).stride(stride);
        let mut streamed = String::new();
        let options = CompleteOptions::default();
        let completion = complete(&backend, &text, point, &options, &mut |delta| {
            streamed.push_str(delta);
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!(completion.range, before.len()..before.len());
        assert_eq!(completion.response.status, Status::Completed);
        assert_eq!(streamed, completion.text, "what streamed is the result");
        results.push(completion.text);
    }
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{results:?}");
    results.remove(0)
}

#[test]
fn a_completion_ends_where_the_file_goes_on() {
    let cases = [
        // The next line again, word for word or nearly.
        ("def f(a):\n    <>\n    return b\n", "b = a\n    return b\n\nprint(f(1))", "b = a"),
        (
            "def f(a):\n<>        s += -num\n    return s\n",
            "    for num in a:\n        s += num\n    return s\n",
            "    for num in a:\n",
        ),
        // It leads into the next line by its indentation.
        (
            "def f(a):\n    r = []\n<>        n = 0\n    return r\n",
            "    for w in a:\n        if w:\n            r.append(w)\n",
            "    for w in a:\n",
        ),
        // It leaves the block.
        ("def f():\n    <>\n    y = 2\n", "x = 1\n# Test\nf()\n", "x = 1"),
        ("def f():\n    <>", "return 1\n\n# Test cases\nprint(f())\n```", "return 1"),
        (
            "fn f() {\n    <>\n}\n",
            "let x = 1;\n    g(x);\n}\n\nfn main() {\n",
            "let x = 1;\n    g(x);",
        ),
        // The closing brace is missing and belongs to the completion.
        ("fn f() {\n    <>", "g();\n}\n\nfn main() {\n", "g();\n}"),
        // A paragraph at the level of what follows.
        ("def f():\n    <>\n    z = 3\n", "x = 1\n    y = 2\n\n    w = 4\n", "x = 1\n    y = 2"),
        // Nothing could follow a return.
        ("def f():\n<>    z = 3\n", "    x = 1\n    return x\n", "    x = 1\n"),
        // The rest of the line comes again.
        ("x = f(<>)\ny = 1\n", "a, b)\ny = 1\n", "a, b"),
        ("x = f(<>)\ny = 1\n", "g(a)", "g(a)"),
        (
            "if n < 2:\n    r<>n range(2, n - 1):\n",
            "eturn 0\nfor k in range(2, n):\n    pass\n",
            "eturn 0\nfor k i",
        ),
        ("a = <>  # note\nb = 2\n", "1\nb = 2\n", "1"),
        // Chatter.
        ("def f():\n    <>", "pass\n```\n\nThis code passes.", "pass"),
        // By itself.
        ("x = <>", "1", "1"),
        ("x = <>\n", "1\n", "1"),
        ("<>x = 1\n", "import os\n", "import os\n"),
        ("x = <>\n", "", ""),
    ];
    for (file, generated, expect) in cases {
        assert_eq!(kept(file, generated), expect, "{file:?} + {generated:?}");
    }
}

proptest! {
    /// Generated text is untrusted: an end, if there is one, is a place in the text.
    #[test]
    fn an_end_lies_in_the_text(
        before in "[ a-z(){}:\n\té]{0,40}",
        after in "[ a-z(){}:\n\té]{0,40}",
        text in "[ a-z(){}:`\n\té]{0,80}",
        finished in any::<bool>(),
    ) {
        if let Some(end) = ending(&before, &after, &text, finished) {
            prop_assert!(text.get(..end).is_some());
        }
    }
}

#[test]
fn files_keep_their_line_endings() {
    let text = "fn f() {\r\n    \r\n}\r\n";
    let backend = Scripted::new(["a();\n    b();\n}\n"]);
    let point = Point { line: 2, column: 5 };
    let options = CompleteOptions::default();
    let done =
        complete(&backend, text, point, &options, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(done.text, "a();\r\n    b();");
    let request = backend.completed().remove(0);
    assert_eq!(request.prompt, "fn f() {\n    ");
    assert_eq!(request.suffix.as_deref(), Some("\n}\n"));
}

#[test]
fn an_empty_file_is_known_by_its_name() {
    for (name, text, lead) in [
        ("fib.py", "", "# fib.py\n"),
        ("fib.rs", "\n", "// fib.rs\n"),
        ("fib", "", ""),
        ("fib.py", "x = 1\n", ""),
    ] {
        let dir = tree(&[(name, text)]);
        let backend = Scripted::new(["a = 1\n"]);
        let (file, point) = (dir.path().join(name), Point { line: 1, column: 1 });
        let go = &mut |_: &str| ControlFlow::Continue(());
        let options = CompleteOptions::default();
        complete_file(&backend, &workspace(dir.path()), &file, point, &options, go).unwrap();
        assert_eq!(backend.completed()[0].prompt, lead, "{name}");
    }
}

#[test]
fn a_completion_cut_by_the_token_limit_says_so() {
    let backend = Scripted::new([Reply::Cut("a = 1\n    b =".into())]);
    let point = Point { line: 2, column: 5 };
    let options = CompleteOptions { tokens_max: Some(8), ..CompleteOptions::default() };
    let text = "def f():\n    ";
    let done =
        complete(&backend, text, point, &options, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(done.text, "a = 1\n    b =");
    assert_eq!(done.response.status, Status::Incomplete);
    assert_eq!(backend.completed()[0].max_tokens, Some(8));
}

#[test]
fn breaking_off_keeps_what_was_shown() {
    let backend = Scripted::new(["a = 1\n    b = 2\n    c = 3\n"]);
    let mut shown = String::new();
    let text = "def f():\n    ";
    let point = Point { line: 2, column: 5 };
    let done = complete(&backend, text, point, &CompleteOptions::default(), &mut |delta| {
        shown.push_str(delta);
        ControlFlow::Break(())
    })
    .unwrap();
    assert_eq!(done.text, shown);
    assert_eq!(done.response.status, Status::Cancelled);
}

fn file_error(name: &str, bytes: &[u8], point: Point) -> String {
    let dir = tree(&[]);
    std::fs::write(dir.path().join(name), bytes).unwrap();
    let backend = Scripted::new(Vec::<Reply>::new());
    let options = CompleteOptions::default();
    let file = dir.path().join(name);
    complete_file(&backend, &workspace(dir.path()), &file, point, &options, &mut |_| {
        ControlFlow::Continue(())
    })
    .map(|completion: Completion| completion.text)
    .unwrap_err()
    .to_string()
}

#[test]
fn what_cannot_be_completed_says_so() {
    let point = Point { line: 1, column: 1 };
    let far = file_error("a.py", b"x\n", Point { line: 9, column: 1 });
    assert_eq!(far, "there is no line 9; the text has 2");
    assert!(file_error("latin1.py", b"caf\xe9\n", point).contains("UTF-8"));
    assert!(file_error("data.py", b"a\0b", point).contains("data.py"));

    let dir = tree(&[("a.py", "x\n")]);
    let tree_of = workspace(dir.path());
    let run = |backend: &Scripted, file: &Path| {
        let go = &mut |_: &str| ControlFlow::Continue(());
        complete_file(backend, &tree_of, file, point, &CompleteOptions::default(), go).map(|_| ())
    };
    let silent = Scripted::new(Vec::<Reply>::new()).without_infill();
    let error = run(&silent, &dir.path().join("a.py")).unwrap_err();
    assert!(matches!(error, CompleteError::NoInfill { .. }), "{error}");
    let silent = Scripted::new(Vec::<Reply>::new());
    assert!(matches!(run(&silent, dir.path()), Err(CompleteError::File(_))));
    assert!(matches!(run(&silent, &dir.path().join("none.py")), Err(CompleteError::File(_))));
    let failing = Scripted::new([Reply::Error(refusal("the server is full"))]);
    let error = run(&failing, &dir.path().join("a.py")).unwrap_err();
    assert_eq!(error.to_string(), "the server is full");
}

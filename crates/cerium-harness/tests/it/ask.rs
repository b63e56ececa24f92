//! Questions: what the model is shown, what becomes of the places it names, what cannot be asked.

use crate::support::{Reply, Scripted, prompt, refusal, tree, workspace};
use cerium_harness::Backend as _;
use cerium_harness::ask::{
    Answer, AskError, AskEvent, AskTask, Kept, Origin, TalkStore, ask, compact, in_words, warming,
};
use cerium_harness::talk::Talk;
use cerium_harness::workspace::StateHome;
use cerium_protocol::{CreateResponse, Input, Item, Status};
use proptest::prelude::*;
use std::ops::ControlFlow;
use std::path::PathBuf;
use tempfile::TempDir;

fn project() -> TempDir {
    tree(&[
        (
            "src/requests/utils.py",
            "import os\n\n\ndef should_bypass_proxies(url, no_proxy):\n    value = no_proxy or os.environ.get('no_proxy')\n    return url in value\n",
        ),
        (
            "src/requests/models.py",
            "class Response:\n    def links(self):\n        return self.headers.get('link')\n",
        ),
        ("README.md", "# Requests\n\nA library.\n"),
        ("docs/index.md", "Notes on proxies.\n"),
    ])
}

/// Asks the project; the streamed text must be the answer's.
fn answer(question: &str, reply: impl Into<Reply>, stride: usize) -> Answer {
    let dir = project();
    let backend = Scripted::new([reply.into()]).stride(stride);
    let mut streamed = String::new();
    let task = AskTask { question: question.into(), ..AskTask::default() };
    let answer = ask(&backend, &workspace(dir.path()), &task, &mut |event| {
        match event {
            AskEvent::Reading(excerpts) => assert!(streamed.is_empty() && !excerpts.is_empty()),
            AskEvent::Text(text) => streamed.push_str(text),
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(streamed, answer.text);
    answer
}

/// Citations as text, with where they came from.
fn cited(answer: &Answer) -> Vec<String> {
    let cite = |c: &cerium_harness::ask::Citation| {
        let origin = match c.origin {
            Origin::Model => "model",
            Origin::Name => "name",
            Origin::Words => "words",
        };
        let shown = if c.shown { "" } else { ", not shown" };
        format!("{}:{}-{} ({origin}{shown}) {}", c.path, c.lines.start, c.lines.end, c.quote.trim())
    };
    answer.citations.iter().map(cite).collect()
}

const QUESTION: &str = "What does should_bypass_proxies do with no_proxy?";

#[test]
fn the_prompt_goes_from_what_never_changes_to_the_question() {
    let dir = project();
    let backend = Scripted::new(["It tells."]);
    let task = AskTask { question: QUESTION.into(), ..AskTask::default() };
    ask(&backend, &workspace(dir.path()), &task, &mut |_| ControlFlow::Continue(())).unwrap();
    let request = backend.asked().remove(0);
    let text = prompt(&request);
    assert!(text.starts_with("=== src/requests/utils.py:1-6\nimport os\n"), "{text}");
    assert!(text.ends_with(&format!("\nQuestion: {QUESTION}")), "{text}");
    assert!(request.instructions.unwrap().contains("path:line"));
    assert_eq!(request.temperature, None, "greedy");
}

/// In the first question, in one that goes on from it, and in what is read ahead for the next.
#[test]
fn agents_md_is_heard_where_there_is_room_for_it() {
    let dir = project();
    let workspace = workspace(dir.path());
    let guide = dir.path().join("AGENTS.md");
    let asked = |n_context: usize, before: Option<Talk>| {
        let backend = Scripted::new(["It tells."]).context(n_context);
        let task = AskTask { question: QUESTION.into(), before, ..AskTask::default() };
        let task = AskTask { answer_tokens_max: Some(64), ..task };
        let answer = ask(&backend, &workspace, &task, &mut |_| ControlFlow::Continue(())).unwrap();
        (backend.asked().remove(0).instructions.unwrap(), answer.talk)
    };
    let (without, _) = asked(8192, None);
    std::fs::write(&guide, "Answer in verse.\n").unwrap();
    let with = format!("{without}\n\nConventions of this project:\nAnswer in verse.");
    let (first, talk) = asked(8192, None);
    assert_eq!(first, with);
    assert_eq!(warming("scripted", &talk).instructions.as_ref(), Some(&with));
    assert_eq!(asked(8192, Some(talk.clone())).0, with);
    std::fs::write(&guide, "Answer in prose.\n").unwrap();
    assert_eq!(asked(8192, Some(talk)).0, with.replace("verse", "prose"), "as it is now");
    std::fs::write(&guide, "Answer at great length.\n".repeat(40)).unwrap();
    assert_ne!(asked(8192, None).0, without);
    assert_eq!(asked(1024, None).0, without, "there is no room for it");
}

#[test]
fn a_place_that_exists_is_cited() {
    let answer = answer(QUESTION, "See src/requests/utils.py:5-6, it reads the variable.", 3);
    assert_eq!(answer.text, "See src/requests/utils.py:5-6, it reads the variable.");
    let expect =
        ["src/requests/utils.py:5-6 (model) value = no_proxy or os.environ.get('no_proxy')"];
    assert_eq!(cited(&answer), expect);
}

#[test]
fn places_are_put_right_whatever_pieces_the_answer_comes_in() {
    let reply = "It is in `utils.py:4` (not utils.py:400, nor lib/none.py:7; \
                 see ./src/requests/models.py:2, README.md:99 and http://localhost:8383/v1).";
    let expect = "It is in `src/requests/utils.py:4` (not src/requests/utils.py, nor lib/none.py; \
                  see src/requests/models.py:2, README.md and http://localhost:8383/v1).";
    for stride in 1..40 {
        let answer = answer(QUESTION, reply, stride);
        assert_eq!(answer.text, expect, "in pieces of {stride}");
        assert_eq!(answer.unfounded, ["utils.py:400", "lib/none.py:7", "README.md:99"]);
        assert_eq!(answer.citations.len(), 2);
    }
}

#[test]
fn hidden_files_and_files_elsewhere_are_no_places() {
    let dir = project();
    std::fs::write(dir.path().join(".env.py"), "SECRET = 1\n").unwrap();
    let backend = Scripted::new(["See .env.py:1 and /etc/hosts.txt:1 and ../x.py:1."]);
    let task = AskTask { question: QUESTION.into(), ..AskTask::default() };
    let answer =
        ask(&backend, &workspace(dir.path()), &task, &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(answer.citations.iter().all(|c| c.origin != Origin::Model), "{:?}", answer.citations);
    assert_eq!(answer.text, "See .env.py and /etc/hosts.txt and ../x.py.");
}

#[test]
fn an_answer_without_places_gets_those_of_the_names_it_uses() {
    let answer = answer(QUESTION, "`should_bypass_proxies` looks at `no_proxy` first.", 3);
    let expect = [
        "src/requests/utils.py:4-4 (name) def should_bypass_proxies(url, no_proxy):",
        "src/requests/utils.py:4-4 (name) def should_bypass_proxies(url, no_proxy):",
    ];
    assert_eq!(cited(&answer), expect[..1], "one place is cited once");
}

#[test]
fn a_guessed_place_does_not_stand_alone() {
    let answer = answer(QUESTION, "`should_bypass_proxies` is in README.md:1.", 3);
    let expect = [
        "README.md:1-1 (model, not shown) # Requests",
        "src/requests/utils.py:4-4 (name) def should_bypass_proxies(url, no_proxy):",
    ];
    assert_eq!(cited(&answer), expect);
}

#[test]
fn an_answer_in_plain_words_gets_the_excerpt_it_shares_most_with() {
    let reply =
        "The value of the environment is read and the url is looked up in it: bypass proxies.";
    let answer = answer(QUESTION, reply, 3);
    assert_eq!(cited(&answer), ["src/requests/utils.py:1-6 (words) import os"]);
    assert!(cited(&self::answer(QUESTION, "I cannot tell.", 3)).is_empty());
}

#[test]
fn places_in_words_are_cited_when_they_exist() {
    let answer =
        answer(QUESTION, "In `utils.py` on line 6 it returns; models.py, line 77 does not.", 3);
    assert_eq!(cited(&answer), ["src/requests/utils.py:6-6 (model) return url in value"]);
    assert_eq!(answer.unfounded, ["models.py, line 77"]);
}

#[test]
fn mentions_are_found_in_text() {
    let places = |mentions: Vec<cerium_harness::ask::Mention>| -> Vec<String> {
        let text = |m: &cerium_harness::ask::Mention| {
            format!("{} {}-{}", m.path, m.lines.start, m.lines.end)
        };
        mentions.iter().map(text).collect()
    };
    let cases: &[(&str, &[&str])] = &[
        ("a.py:3", &["a.py 3-3"]),
        ("(`src/a.py:3-7`)", &["src/a.py 3-7"]),
        ("**a.py:7-3**.", &["a.py 3-7"]),
        ("a.py:3:14: error", &["a.py 3-3"]),
        ("a.py#L3 and b.py#L4-L5", &["a.py 3-3", "b.py 4-5"]),
        ("Makefile:3", &["Makefile 3-3"]),
        ("at 10:30, ratio 3:4, key: 5, x::y, std::io:5", &[]),
        ("https://a.org:80/x.py:3", &[]),
        ("a.py:123456789", &[]),
        ("a.py:", &[]),
        (":3", &[]),
        ("", &[]),
    ];
    for (text, expect) in cases {
        assert_eq!(places(compact(text)), *expect, "{text}");
    }
    let cases: &[(&str, &[&str])] = &[
        ("a.py, line 3", &["a.py 3-3"]),
        ("`src/a.py` (lines 3-7)", &["src/a.py 3-7"]),
        ("in a.py at line 3.", &["a.py 3-3"]),
        ("a.py on lines 3 to 7", &["a.py 3-7"]),
        ("line 12 of `a.py`.", &["a.py 12-12"]),
        ("lines 12-14 in the a.py file", &["a.py 12-14"]),
        ("the pipeline 3 of a.py; a new line; line 3", &[]),
    ];
    for (text, expect) in cases {
        assert_eq!(places(in_words(text)), *expect, "{text}");
    }
}

proptest! {
    /// Answers are untrusted: any text in any pieces must pass, and mentions lie within it.
    #[test]
    fn no_answer_breaks_the_reader(text in "[a-z:#L0-9 ./`(,\u{e9}-]{0,60}(lines? ?[0-9-]{0,4})?[^\u{0}]{0,20}") {
        for mention in compact(&text).into_iter().chain(in_words(&text)) {
            prop_assert!(text.get(mention.bytes.clone()).is_some());
        }
    }
}

#[test]
fn parts_restrict_what_is_shown() {
    let dir = project();
    let workspace = workspace(&dir.path().join("src"));
    let backend = Scripted::new(["Hm.", "Hm."]);
    let ask_in = |parts: &[&str]| {
        let within = parts.iter().map(PathBuf::from).collect();
        let task = AskTask { question: QUESTION.into(), within, ..AskTask::default() };
        ask(&backend, &workspace, &task, &mut |_| ControlFlow::Continue(()))
    };
    let shown = ask_in(&["requests/models.py"]).unwrap().excerpts;
    assert!(shown.iter().all(|excerpt| excerpt.path == "src/requests/models.py"), "{shown:?}");
    assert!(matches!(ask_in(&["/etc"]), Err(AskError::Place(_))));
    assert!(matches!(ask_in(&["none.py"]), Err(AskError::Place(_))));
}

#[test]
fn a_question_without_telling_words_gets_the_beginnings() {
    let answer = answer("What is this?", "A library.", 3);
    assert_eq!(answer.excerpts[0].path, "README.md");
}

#[test]
fn excerpts_stay_within_the_context() {
    let long: String = (0..4_000).map(|i| format!("def proxy_{i}(url): pass\n")).collect();
    let dir = tree(&[("a.py", &long), ("b.py", &long)]);
    for (context, excerpt_tokens_max) in [(1_000, None), (1_000, Some(100)), (200_000, Some(3_000))]
    {
        let backend = Scripted::new(["Hm."]).context(context);
        let task = AskTask {
            question: "proxy url?".into(),
            excerpt_tokens_max,
            answer_tokens_max: Some(200),
            ..AskTask::default()
        };
        let answer =
            ask(&backend, &workspace(dir.path()), &task, &mut |_| ControlFlow::Continue(()))
                .unwrap();
        let request = backend.asked().remove(0);
        let n_tokens = (prompt(&request).len() + request.instructions.unwrap().len()) / 4 + 200;
        assert!(n_tokens <= context, "{n_tokens} of {context}");
        let n_shown: usize = answer.excerpts.iter().map(|e| e.write().len() / 4).sum();
        assert!(n_shown <= excerpt_tokens_max.unwrap_or(context), "{n_shown}");
        assert!(n_shown > 50, "{n_shown}");
    }
}

#[test]
fn what_cannot_be_asked_says_so() {
    let dir = project();
    let tree_of = workspace(dir.path());
    let run = |backend: &Scripted, question: &str| {
        let task = AskTask { question: question.into(), ..AskTask::default() };
        ask(backend, &tree_of, &task, &mut |_| ControlFlow::Continue(())).map(|_| ())
    };
    let silent = Scripted::new(Vec::<Reply>::new());
    assert!(matches!(run(&silent, " \n"), Err(AskError::EmptyQuestion)));
    let error = run(&silent, &"why ".repeat(10_000)).unwrap_err();
    let expect = "the question has 10000 tokens; with 8192 of context at most";
    assert!(error.to_string().starts_with(expect), "{error}");
    let tiny = Scripted::new(Vec::<Reply>::new()).context(100);
    assert!(matches!(run(&tiny, "why?"), Err(AskError::QuestionTooLong { .. })));
    let failing = Scripted::new([Reply::Error(refusal("the server is full"))]);
    assert_eq!(run(&failing, "why?").unwrap_err().to_string(), "the server is full");

    let empty = tree(&[(".hidden", "x"), ("empty.txt", "")]);
    let task = AskTask { question: "why?".into(), ..AskTask::default() };
    let result = ask(&silent, &workspace(empty.path()), &task, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(result, Err(AskError::NoFiles { .. })), "{result:?}");
}

#[test]
fn breaking_off_keeps_what_was_shown() {
    let dir = project();
    let backend = Scripted::new(["One two three four five six."]);
    let task = AskTask { question: QUESTION.into(), ..AskTask::default() };
    let mut n_texts = 0;
    let answer = ask(&backend, &workspace(dir.path()), &task, &mut |event| {
        n_texts += usize::from(matches!(event, AskEvent::Text(_)));
        if n_texts == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .unwrap();
    assert_eq!(answer.response.status, Status::Cancelled);
    assert!(answer.text.starts_with("One") && answer.text.len() < 20, "{}", answer.text);

    let silent = Scripted::new(Vec::<Reply>::new());
    let stop = &mut |_: AskEvent<'_>| ControlFlow::Break(());
    let result = ask(&silent, &workspace(dir.path()), &task, stop);
    assert!(matches!(result, Err(AskError::Cancelled)), "the model was never asked");
}

#[test]
fn a_model_that_repeats_itself_is_stopped() {
    let reply = format!("It is so. {}", "The proxy is used by the session. ".repeat(50));
    let answer = answer(QUESTION, reply.as_str(), 3);
    assert!(answer.looped);
    assert!(answer.text.len() < 200, "{}", answer.text);
}

/// Goes on from a conversation.
fn go_on(dir: &TempDir, backend: &Scripted, before: Option<Talk>, question: &str) -> Answer {
    let task = AskTask { question: question.into(), before, ..AskTask::default() };
    ask(backend, &workspace(dir.path()), &task, &mut |_| ControlFlow::Continue(())).unwrap()
}

fn items(request: &CreateResponse) -> &[Item] {
    let Input::Items(items) = &request.input else { panic!("items") };
    items
}

#[test]
fn a_question_that_goes_on_is_put_behind_all_that_was_said() {
    let dir = project();
    let backend = Scripted::new(["It tells: `localhost:99`.", "It is used nowhere.", "Gone."]);
    let first = go_on(&dir, &backend, None, QUESTION);
    let second = go_on(&dir, &backend, Some(first.talk), "And who reads the links of a Response?");
    let asked = backend.asked();
    let (before, now) = (items(&asked[0]), items(&asked[1]));
    assert_eq!(now[..1], *before);
    // Word for word, as the model wrote it.
    assert_eq!((now.len(), now[1].text()), (3, "It tells: `localhost:99`."));
    let told = now[2].text();
    assert!(told.starts_with("=== src/requests/models.py:1-3\nclass Response:"), "{told}");
    assert!(!told.contains("should_bypass_proxies"), "shown already: {told}");
    assert!(told.ends_with("\nQuestion: And who reads the links of a Response?"), "{told}");
    let shown: Vec<&str> = second.excerpts.iter().map(|e| e.path.as_str()).collect();
    assert_eq!(shown, ["src/requests/utils.py", "src/requests/models.py"], "places of both count");

    // Changes are told, once, and nothing else of the files.
    let path = dir.path().join("src/requests/utils.py");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("return url in value", "return url in value.split()"))
        .unwrap();
    std::fs::remove_file(dir.path().join("src/requests/models.py")).unwrap();
    let backend = Scripted::new(["So it splits.", "Yes."]);
    let third = go_on(&dir, &backend, Some(second.talk), "What changed?");
    let told = prompt(&backend.asked()[0]);
    let expect = "=== src/requests/models.py is gone or empty now\n\n\
        === src/requests/utils.py has changed\n@@ -4,3 +4,3 @@\n \
        def should_bypass_proxies(url, no_proxy):\n     value = no_proxy or os.environ.get('no_proxy')\n\
        -    return url in value\n+    return url in value.split()\n\nQuestion: What changed?";
    assert_eq!(told, expect);
    assert_eq!(backend.asked()[0].cerium.parts[1].name, "change of src/requests/utils.py");
    let fourth = go_on(&dir, &backend, Some(third.talk), "Sure?");
    assert_eq!(prompt(&backend.asked()[1]), "Question: Sure?");
    assert_eq!(fourth.excerpts[0].text.lines().last(), Some("    return url in value.split()"));
}

#[test]
fn a_conversation_that_went_stale_is_written_anew_and_taken_once_it_was_read() {
    let dir = project();
    let backend = Scripted::new(["It tells.", "It splits.", "Yes."]);
    let first = go_on(&dir, &backend, None, QUESTION);
    assert_eq!(first.talk.fresh(&backend), None, "nothing has changed");
    let path = dir.path().join("src/requests/utils.py");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("import os\n", "import os\nimport sys\n")).unwrap();
    std::fs::write(&path, std::fs::read_to_string(&path).unwrap().replace("value\n", "value[0]\n"))
        .unwrap();
    let second = go_on(&dir, &backend, Some(first.talk), "And now?");
    assert!(prompt(&backend.asked()[1]).starts_with("=== src/requests/utils.py has changed\n"));
    let fresh = second.talk.fresh(&backend).unwrap();
    let store = TalkStore::of(&StateHome::at(dir.path().join("state")), &workspace(dir.path()));
    assert_eq!(store.load(), None);
    store.save(&Kept { talk: second.talk.clone(), fresh: Some(fresh.clone()) }).unwrap();
    let kept = || store.load().unwrap();
    assert_eq!(kept().current(&backend), second.talk, "nobody has read the other one");
    backend.warm(&[warming("scripted", &fresh)]);
    let talk = kept().current(&backend);
    assert_eq!(talk, fresh);
    go_on(&dir, &backend, Some(talk), "Sure?");
    let asked = backend.asked();
    let items = items(&asked[2]);
    assert!(items[0].text().starts_with("=== src/requests/utils.py:1-7\nimport os\nimport sys\n"));
    assert!(items[0].text().contains("return url in value[0]\n\nQuestion: What does"));
    let rest: Vec<&str> = items[1..].iter().map(Item::text).collect();
    assert_eq!(rest, ["It tells.", "Question: And now?", "It splits.", "Question: Sure?"]);
    // What cannot be read is none.
    std::fs::write(
        dir.path().join("state/trees").join(workspace(dir.path()).key()).join("ask.json"),
        "{",
    )
    .unwrap();
    assert_eq!(store.load(), None);
}

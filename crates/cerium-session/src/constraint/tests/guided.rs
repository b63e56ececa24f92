//! What is left of it to a model that is guided.

use super::*;
use crate::guide::{Guide, Look, Owed};
use cerium_model::file::ModelFile;
use serde_json::json;
use std::sync::atomic::Ordering;

fn request() -> CreateResponse {
    let schema = r#"{"type":"object","properties":{"cmd":{"type":"string"},"why":{"type":"string"}},
                     "required":["cmd"]}"#;
    let patch = custom("apply_patch", GrammarSyntax::Lark, PATCH);
    CreateResponse { tools: vec![function("run", schema), patch], ..super::request() }
}

fn check(guide: &Guide, style: Style, cases: &[(&str, &str)]) {
    check_of(&request(), guide, style, cases);
}

fn check_of(request: &CreateResponse, guide: &Guide, style: Style, cases: &[(&str, &str)]) {
    let asked = Asked::of(request, style, Thinks::No, Some(guide.clone()));
    for (text, want) in cases {
        let mut follower = follow_asked(&asked).unwrap().unwrap();
        assert_eq!(leads(&mut follower, text), *want, "{text:?}");
    }
}

fn follower(guide: &Guide) -> Follower {
    let request = request();
    let asked = Asked::of(&request, Style::Hermes, Thinks::No, Some(guide.clone()));
    follow_asked(&asked).unwrap().unwrap()
}

const RUN: &str =
    "<tool_call>\n{\"name\": \"run\", \"arguments\": {\"cmd\": \"ls\"}}\n</tool_call>";
const OPEN: &str = "<custom_tool_call name=\"";

#[test]
fn an_answer_is_a_call_or_something_said() {
    let up_to = |text: &str, part: &str| format!("up to {}", text.find(part).unwrap());
    let said = format!("I look. {RUN}");
    let why = RUN.replace("\"}}", "\", \"why\": \"\"}}");
    let long = "a".repeat(2002);
    let cases = [
        (RUN, "whole"),
        ("Done {it}: 1 << 2, a <b> and [0] of 💥.", "whole"),
        ("Now <custom", "up to 5"),
        ("", "open"),
        ("{\"name\"", "up to 0"),
        ("```json", "up to 0"),
        (&said, &up_to(&said, "tool_call")),
        (&why, &up_to(&why, ", \"why")),
        // Nor two at once.
        (&format!("{RUN}\n{RUN}"), &format!("up to {}", RUN.len())),
        (&long, "up to 2001"),
        // Nothing was looked at.
        (OPEN, "up to 1"),
    ];
    check(&Guide::default(), Style::Hermes, &cases);
    let bare = ("{\"name\": \"run\", \"parameters\": {\"cmd\": \"ls\"}}", "whole");
    check(&Guide::default(), Style::Llama, &[bare, ("Done.", "whole"), ("{\"a\"", "up to 2")]);

    let again = Guide { again: Some("run".into()), looks: Some(Vec::new()), ..Guide::default() };
    check(&again, Style::Hermes, &[(RUN, "up to 1"), (OPEN, "open"), ("No.", "whole")]);
    let nothing = Guide { again: Some("run".into()), ..Guide::default() };
    check(&nothing, Style::Hermes, &[("<", "whole"), ("No.", "whole"), (RUN, "up to 10")]);
}

#[test]
fn a_patch_fits_what_was_shown() {
    let lines = ["def a():", "    \"x\"", "", "a()"].map(str::to_owned).to_vec();
    let looks = vec![
        Look { names: vec!["a.py".into(), "src/a.py".into()], lines },
        Look { names: vec!["b.py".into()], lines: vec!["b".into()] },
    ];
    let guide = Guide { looks: Some(looks), ..Guide::default() };
    let begin = format!("{OPEN}apply_patch\">\n*** Begin Patch\n");
    let patch = |name: &str, hunks: &str| {
        format!("{begin}*** Update File: {name}\n{hunks}*** End Patch\n</custom_tool_call>")
    };
    let up_to = |text: &str, part: &str| format!("up to {}", text.find(part).unwrap());
    let changed = patch("src/a.py", "@@\n def a():\n-    \"x\"\n+    \"y\"\n+\n@@\n-a()\n+** a\n");
    let other = patch("b.py", "@@\n-b\n+c\n");
    let [nowhere, back, across, first, head, file, new] = [
        patch("a.py", "@@\n-    'y'\n"),
        patch("a.py", "@@\n-a()\n+b()\n@@\n-def a():\n"),
        patch("b.py", "@@\n-a()\n"),
        patch("a.py", "@@\n+a\n"),
        patch("a.py", "@@\n-a()\n+*** End of File\n"),
        patch("c.py", "@@\n"),
        format!("{begin}*** Add File: c.py\n+a\n"),
    ];
    check(
        &guide,
        Style::Hermes,
        &[
            (&changed, "whole"),
            (&other, "whole"),
            (&nowhere, &up_to(&nowhere, "'y'")),
            (&back, &up_to(&back, "@@\n-def")),
            (&across, &up_to(&across, "a()")),
            (&first, &up_to(&first, "+a")),
            (&head, &up_to(&head, "* End of")),
            (&file, &up_to(&file, "c.py")),
            (&new, &up_to(&new, "Add")),
        ],
    );

    // What nobody has seen may be made.
    let guide = Guide { looks: Some(Vec::new()), ..Guide::default() };
    let new = format!("{new}*** End Patch\n</custom_tool_call>");
    let root = new.replace("c.py", "/c.py");
    let changes = patch("a.py", "");
    check(
        &guide,
        Style::Hermes,
        &[(&new, "whole"), (&root, &up_to(&root, "/c.py")), (&changes, &up_to(&changes, "Update"))],
    );
}

#[test]
fn a_call_that_is_asked_for_comes_before_anything_is_said() {
    let owed = |is_late, looks| Guide {
        owed: Some(Owed { name: "apply_patch".into(), is_late }),
        looks,
        ..Guide::default()
    };
    // Nothing was looked at.
    check(&owed(true, None), Style::Hermes, &[("", "open"), ("D", "up to 0"), (RUN, "whole")]);
    let shown = Look { names: vec!["a.py".into()], lines: vec!["a".into()] };
    let looks = Some(vec![shown]);
    check(
        &owed(false, looks.clone()),
        Style::Hermes,
        &[("D", "up to 0"), (RUN, "whole"), (OPEN, "open")],
    );
    check(&owed(true, looks), Style::Hermes, &[("D", "up to 0"), (RUN, "up to 1"), (OPEN, "open")]);
}

#[test]
fn commands_write_no_files_where_patches_do() {
    let call = |cmd: &str| {
        let arguments = json!({ "cmd": cmd }).to_string().replace("\":", "\": ");
        format!("<tool_call>\n{{\"name\": \"run\", \"arguments\": {arguments}}}\n</tool_call>")
    };
    let reads = ["cat 'a.py' | grep -i \"b\\n\"", "./sed; ls  -a", "used | head", "é"];
    for cmd in reads {
        check(&Guide::default(), Style::Hermes, &[(&call(cmd), "whole")]);
    }
    let writes = [
        "sed -i s/a/b/ a",
        "cd x && sed x",
        "bash -c \"x",
        "(perl -i x",
        "cat a\ntee b",
        "python3 -c 'x'",
        "a;apply_patch x",
    ];
    for cmd in writes {
        let text = call(cmd);
        let mut follower = follower(&Guide::default());
        let far = leads(&mut follower, &text);
        assert!(far.starts_with("up to"), "{cmd}: {far}");
    }
    let into = call("echo a > b");
    let at = format!("up to {}", into.find("> b").unwrap());
    check(&Guide::default(), Style::Hermes, &[(&into, &at)]);

    // Where nothing else changes files, commands may.
    let mut alone = request();
    alone.tools.pop();
    check_of(&alone, &Guide::default(), Style::Hermes, &[(&into, "whole")]);
}

/// A mask that takes too much is given up, and the answer with it: so nothing may take it with the words of real
/// models, of which there are many more than bytes.
#[test]
fn a_large_vocabulary_can_be_followed() {
    let file = ModelFile::open(&cerium_hub::test_model("qwen2.5-coder-0.5b")).unwrap();
    let tokenizer = Arc::new(Tokenizer::from_gguf(&file.gguf).unwrap());
    let end = tokenizer.special("<|im_end|>").unwrap();
    let constraints = Constraints::new(Arc::clone(&tokenizer), vec![end]);
    let n_allowed = |follower: &mut Follower| -> u32 {
        follower.allowed().iter().map(|word| word.count_ones()).sum()
    };
    let lead = |asked: &Asked<'_>, text: &str| {
        let mut follower = constraints.follow(asked, &[]).unwrap().unwrap();
        for id in tokenizer.encode_special(text) {
            assert!(allows(&mut follower, id), "{text}: {:?}", tokenizer.decode(&[id]));
            follower.accept(id);
        }
        follower
    };
    let tools = request();
    let asked = Asked::of(&tools, Style::Hermes, Thinks::No, Some(Guide::default()));
    let mut follower = lead(&asked, "The greeting in `greet.py` is now \"Good morning\".");
    assert!(allows(&mut follower, end) && n_allowed(&mut follower) > 100_000);
    // A command, word by word, also where a word is one that may not come.
    let grep = r#"grep -rn \"def greet\" src tests | sort -k 2 | head -n 20 && git status; "#;
    for cmd in [grep.repeat(3).as_str(), "sed", "cat a | tee", "x; apply_patch", "python3 -c"] {
        let call = format!("<tool_call>\n{{\"name\": \"run\", \"arguments\": {{\"cmd\": \"{cmd}");
        let n = n_allowed(&mut lead(&asked, &call));
        assert!(n > 10_000, "{cmd}: {n}");
    }
}

#[test]
fn a_grammar_that_failed_is_read_anew() {
    let constraints = Constraints::new(tokenizer(), vec![END]);
    let request = request();
    let asked = Asked::of(&request, Style::Hermes, Thinks::No, None);
    let follow = || constraints.follow(&asked, &[]).unwrap().unwrap();
    let (first, second) = (follow(), follow());
    assert!(Arc::ptr_eq(&first.failed, &second.failed), "what is learned of it is shared");
    first.failed.store(true, Ordering::Relaxed);
    let mut third = follow();
    assert!(!Arc::ptr_eq(&first.failed, &third.failed));
    assert_eq!(leads(&mut third, "Hello"), "whole");
}

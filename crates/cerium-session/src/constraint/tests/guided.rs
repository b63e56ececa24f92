//! What is left of it to a model that is guided.

use super::*;
use crate::guide::{Guide, Look};

fn request() -> CreateResponse {
    let schema = r#"{"type":"object","properties":{"cmd":{"type":"string"},"why":{"type":"string"}},
                     "required":["cmd"]}"#;
    let patch = custom("apply_patch", GrammarSyntax::Lark, PATCH);
    CreateResponse { tools: vec![function("run", schema), patch], ..super::request() }
}

fn check(guide: &Guide, style: Style, cases: &[(&str, &str)]) {
    let request = request();
    let asked = Asked::of(&request, style, Thinks::No, Some(guide.clone()));
    for (text, want) in cases {
        let mut follower = follow_asked(&asked).unwrap().unwrap();
        assert_eq!(leads(&mut follower, text), *want, "{text:?}");
    }
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
        ("Done {it}.", "whole"),
        ("", "open"),
        ("{\"name\"", "up to 0"),
        ("```json", "up to 0"),
        (&said, &up_to(&said, ">")),
        (&why, &up_to(&why, ", \"why")),
        (&long, "up to 2001"),
        // Nothing was looked at.
        (OPEN, "up to 1"),
    ];
    check(&Guide::default(), Style::Hermes, &cases);
    let bare = ("{\"name\": \"run\", \"parameters\": {\"cmd\": \"ls\"}}", "whole");
    check(&Guide::default(), Style::Llama, &[bare, ("Done.", "whole"), ("{\"a\"", "up to 2")]);

    let again = Guide { again: Some("run".into()), looks: Some(Vec::new()) };
    check(&again, Style::Hermes, &[(RUN, "up to 1"), (OPEN, "open"), ("No.", "whole")]);
    let nothing = Guide { again: Some("run".into()), looks: None };
    check(&nothing, Style::Hermes, &[("<", "whole"), ("No.", "whole"), (RUN, "up to 10")]);
}

#[test]
fn a_patch_fits_what_was_shown() {
    let lines = ["def a():", "    \"x\"", "", "a()"].map(str::to_owned).to_vec();
    let looks = vec![
        Look { names: vec!["a.py".into(), "src/a.py".into()], lines },
        Look { names: vec!["b.py".into()], lines: vec!["b".into()] },
    ];
    let guide = Guide { again: None, looks: Some(looks) };
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
    let guide = Guide { again: None, looks: Some(Vec::new()) };
    let new = format!("{new}*** End Patch\n</custom_tool_call>");
    let root = new.replace("c.py", "/c.py");
    let changes = patch("a.py", "");
    check(
        &guide,
        Style::Hermes,
        &[(&new, "whole"), (&root, &up_to(&root, "/c.py")), (&changes, &up_to(&changes, "Update"))],
    );
}

//! The language server, as an editor meets it.

mod editor;
mod neovim;
mod wishes;

use crate::world::World;
use cerium_hub::test_model;
use editor::{Editor, suggested};
use serde_json::json;
use std::time::{Duration, Instant};

/// The answer came too late: the text is another one by now.
const CONTENT_MODIFIED: i64 = -32801;
const CANCELLED: i64 = -32800;

const SHAPES: &str = "\
def rectangle(width, height):
    \"\"\"😀 The area of a rectangle.\"\"\"
    return width * height


def square(side):
    return 


print(square(3))
";
/// Where the return of `square` ends.
const PLACE: [u64; 2] = [6, 11];

fn model() -> String {
    test_model("qwen2.5-coder-0.5b").to_str().unwrap().to_owned()
}

fn uri(world: &World, name: &str) -> String {
    format!("file://{}/{name}", world.tree().display())
}

#[test]
fn a_suggestion_is_what_complete_says_and_typing_it_keeps_the_rest() {
    let world = World::new();
    let (model, shapes) = (model(), uri(&world, "shapes.py"));
    let (mut editor, able) = Editor::greeted(&world, &["--model", &model], &json!({}));
    assert_eq!(able["positionEncoding"], "utf-16");
    editor.open(&shapes, SHAPES);
    let whole = editor.suggestion(&shapes, PLACE);
    assert!(!whole.contains('\n') && whole.chars().count() > 3, "{whole:?}");
    world.write("shapes.py", SHAPES);
    let said = world.run(&["complete", "shapes.py:7:12", "--model", &model]).ok().stdout;
    assert_eq!(Some(whole.as_str()), said.lines().next());

    // The rest comes at once, and says what the beginning promised.
    let typed: String = whole.chars().take(2).collect();
    editor.r#type(&shapes, 2, PLACE, &typed);
    let place = [PLACE[0], PLACE[1] + 2];
    assert_eq!(editor.suggestion(&shapes, place), whole[2..]);
    // Something else typed: what was promised is void.
    editor.r#type(&shapes, 3, place, "#");
    let id = editor.begin_suggestion(&shapes, [place[0], place[1] + 1]);
    let other = suggested(&editor.answer(id).unwrap());
    assert!(other.is_none_or(|text| text != whole[2..]));
    assert_eq!(editor.leave(), Some(0));

    // The same place counted in bytes, behind a character of four of them.
    let emoji = "x = '😀' + ";
    let utf8 = json!({ "capabilities": { "general": { "positionEncodings": ["utf-8"] } } });
    let suggest = |says, column| {
        let (mut editor, able) = Editor::greeted(&world, &["--model", &model], says);
        editor.open(&shapes, emoji);
        let suggestion = editor.suggestion(&shapes, [0, column]);
        (able["positionEncoding"].clone(), suggestion)
    };
    let by_bytes = suggest(&utf8, emoji.len() as u64);
    let by_units = suggest(&json!({}), emoji.encode_utf16().count() as u64);
    assert_eq!(by_bytes.0, "utf-8");
    assert_eq!(by_bytes.1, by_units.1);
}

#[test]
fn no_key_gets_the_suggestion_of_another() {
    let world = World::new();
    let (model, shapes) = (model(), uri(&world, "shapes.py"));
    let (mut editor, _) = Editor::greeted(&world, &["--model", &model], &json!({}));
    editor.open(&shapes, SHAPES);
    editor.suggestion(&shapes, PLACE);
    // Typed faster than anybody can answer; each key asks.
    let typed = "math.pow(side";
    let mut asked = Vec::new();
    for (i, key) in typed.char_indices() {
        let column = PLACE[1] + i as u64;
        editor.r#type(&shapes, 2 + i as i64, [PLACE[0], column], &key.to_string());
        asked.push(editor.begin_suggestion(&shapes, [PLACE[0], column + 1]));
    }
    let last = asked.pop().unwrap();
    for id in asked {
        // Early ones may be what was suggested before, and so still right.
        match editor.answer(id) {
            Ok(result) => panic!("an answer for a text that is gone: {result}"),
            Err(code) => assert_eq!(code, CONTENT_MODIFIED),
        }
    }
    let quick = suggested(&editor.answer(last).unwrap());

    // The same text opened at leisure.
    let calm = uri(&world, "calm.py");
    let whole = SHAPES.replace("    return \n", &format!("    return {typed}\n"));
    editor.open(&calm, &whole);
    let id = editor.begin_suggestion(&calm, [PLACE[0], PLACE[1] + typed.len() as u64]);
    assert_eq!(quick, suggested(&editor.answer(id).unwrap()));

    // An answer that nobody wants any more is given up at once, in the engine too.
    editor.r#type(&calm, 2, [0, 0], "#");
    let id = editor.begin_suggestion(&calm, [0, 1]);
    editor.notify("$/cancelRequest", &json!({ "id": id }));
    assert_eq!(editor.answer(id), Err(CANCELLED));
    let begun = Instant::now();
    while world.run(&["doctor", "--json"]).ok().json()["engines"][0]["activity"]["running"] != 0 {
        assert!(begun.elapsed() < Duration::from_mins(1), "it goes on");
    }
}

#[test]
fn what_is_said_wrongly_is_answered_and_does_no_harm() {
    let world = World::new();
    let mut editor = Editor::start(&world, &["--model", "missing.gguf"]);
    assert_eq!(editor.ask("textDocument/inlineCompletion", &json!({})), Err(-32002));
    editor.write(b"Content-Length: 5\r\n\r\n{\"a\":");
    editor.wait(|message| message["id"].is_null() && message["error"]["code"] == -32700);
    assert!(editor.ask("initialize", &json!({ "capabilities": 1 })).is_err());
    editor.ask("initialize", &json!({ "capabilities": {} })).unwrap();
    assert_eq!(editor.ask("nothing/known", &json!(null)), Err(-32601));
    assert_eq!(editor.ask("textDocument/inlineCompletion", &json!([1])), Err(-32602));

    // Changes of what is not open, places that are nowhere, versions that go back.
    let file = uri(&world, "a.py");
    editor.r#type(&file, 9, [0, 0], "x");
    let id = editor.begin_suggestion(&file, [0, 0]);
    assert_eq!(editor.answer(id), Err(-32602), "it is not open");
    for odd in
        ["", "untitled:Untitled-1", "file:///", "file:///no/such/dir/a.py", "http://[", "x:y"]
    {
        editor.open(odd, "x = ");
        editor.r#type(odd, -5, [u64::from(u32::MAX), u64::from(u32::MAX)], "1");
    }
    editor.open(&file, &"x".repeat(9 << 20));
    editor.wait(|message| message["method"] == "window/logMessage");

    // A model that is not there is told of, once, and everything goes on.
    editor.open(&file, "x = ");
    for _ in 0..2 {
        let id = editor.begin_suggestion(&file, [0, 4]);
        assert_eq!(editor.answer(id), Err(-32803));
    }
    let told = editor.wait(|message| message["method"] == "window/showMessage");
    assert!(told["params"]["message"].as_str().unwrap().contains("missing.gguf"), "{told}");
    assert_eq!(editor.leave(), Some(0));

    assert_eq!(Editor::greeted(&world, &[], &json!({})).0.hang_up(), Some(1));
    let mut editor = Editor::start(&world, &[]);
    editor.write(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(editor.hang_up(), Some(2));
}

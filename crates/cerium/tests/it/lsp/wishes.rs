//! Edits, explanations and plans, as an editor asks for them.

use super::editor::Editor;
use super::{CANCELLED, CONTENT_MODIFIED, model, uri};
use crate::world::{CALC, World};
use serde_json::{Value, json};

/// A text with the edits of a `workspace/applyEdit`, made in lines of ASCII of one document.
fn edited(text: &str, edit: &Value) -> String {
    let changes = edit["documentChanges"].as_array().unwrap();
    assert_eq!(changes.len(), 1, "{edit:#}");
    let mut edited = text.to_owned();
    for edit in changes[0]["edits"].as_array().unwrap().iter().rev() {
        let number = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
        let at = |place: &Value| {
            let lines = text.split_inclusive('\n').take(number(&place["line"]));
            lines.map(str::len).sum::<usize>() + number(&place["character"])
        };
        let (start, end) = (at(&edit["range"]["start"]), at(&edit["range"]["end"]));
        edited.replace_range(start..end, edit["newText"].as_str().unwrap());
    }
    edited
}

fn version(edit: &Value) -> &Value {
    &edit["documentChanges"][0]["textDocument"]["version"]
}

/// Begins an edit of some lines, counted from 0, the last one not included.
fn begin(editor: &mut Editor, uri: &str, lines: [u64; 2], instruction: &str, how: &Value) -> i64 {
    let place = |line: u64| json!({ "line": line, "character": 0 });
    let range = json!({ "start": place(lines[0]), "end": place(lines[1]) });
    let mut argument = json!({ "uri": uri, "range": range, "instruction": instruction });
    for (key, value) in how.as_object().unwrap() {
        argument[key] = value.clone();
    }
    let params =
        json!({ "command": "cerium.edit", "arguments": [argument], "workDoneToken": "work" });
    editor.begin("workspace/executeCommand", &params)
}

/// Takes the edit that the server wants made, and makes it.
#[track_caller]
fn make(editor: &mut Editor) -> Value {
    let asked = editor.wait(|message| message["method"] == "workspace/applyEdit");
    editor.say(&json!({ "jsonrpc": "2.0", "id": asked["id"], "result": { "applied": true } }));
    asked["params"]["edit"].clone()
}

#[test]
fn edits_are_made_on_what_is_open_whatever_is_on_disk() {
    let world = World::new();
    let calc = uri(&world, "calc.py");
    let (mut editor, able) = Editor::greeted(&world, &["--model", &model()], &json!({}));
    assert!(able["executeCommandProvider"]["commands"].as_array().unwrap().len() > 3);
    // Not saved yet.
    let text = CALC.replace("import os\n", "import os\n# 😀\n");
    editor.open(&calc, &text);

    let id = begin(&mut editor, &calc, [0, 11], "rename area to surface", &json!({}));
    let edit = make(&mut editor);
    assert_eq!(version(&edit), 1);
    assert_eq!(edited(&text, &edit), text.replace("area", "surface"));
    let told = editor.answer(id).unwrap();
    assert_eq!(told["applied"], true);
    assert!(told["diff"].as_str().unwrap().contains("+def surface(width, height):"), "{told:#}");
    for kind in ["begin", "end"] {
        editor.wait(|it| it["params"]["token"] == "work" && it["params"]["value"]["kind"] == kind);
    }

    // By the model, while somebody types above.
    let wish = "print the area of a 4 by 5 rectangle instead";
    let id = begin(&mut editor, &calc, [9, 11], wish, &json!({ "stream": "lines" }));
    editor.r#type(&calc, 2, [0, 0], "#\n");
    let edit = make(&mut editor);
    assert_eq!(version(&edit), 2);
    let after = edited(&format!("#\n{text}"), &edit);
    assert_eq!(
        after.lines().take(10).collect::<Vec<_>>(),
        format!("#\n{text}").lines().take(10).collect::<Vec<_>>()
    );
    assert!(after.contains("4, 5"), "{after}");
    assert_eq!(editor.answer(id).unwrap()["applied"], true);
    let lines = |kind| {
        move |it: &Value| it["params"]["token"] == "lines" && it["params"]["value"]["kind"] == kind
    };
    for kind in ["scope", "remove", "add"] {
        editor.wait(lines(kind));
    }

    // Where somebody types, the edit gives way; and it stops when nobody wants it any more.
    let id = begin(&mut editor, &calc, [10, 12], wish, &json!({ "preview": true }));
    editor.r#type(&calc, 3, [10, 4], "x = ");
    assert_eq!(editor.answer(id), Err(CONTENT_MODIFIED));
    let id = begin(&mut editor, &calc, [10, 12], "print 17 areas, each in a line", &json!({}));
    editor.notify("$/cancelRequest", &json!({ "id": id }));
    assert_eq!(editor.answer(id), Err(CANCELLED));

    // What the editor does not make is not made.
    let id = begin(&mut editor, &calc, [0, 12], "rename area to surface", &json!({}));
    let asked = editor.wait(|message| message["method"] == "workspace/applyEdit");
    let result = json!({ "applied": false, "failureReason": "read-only" });
    editor.say(&json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result }));
    let told = editor.answer(id).unwrap();
    assert_eq!((&told["applied"], &told["reason"]), (&json!(false), &json!("read-only")));
    assert_eq!(world.read("calc.py"), CALC.as_bytes(), "nothing was written");
    assert_eq!(world.n_edits(), 0);
}

#[test]
fn what_can_be_done_is_offered_and_the_plan_goes_on_in_the_editor() {
    let world = World::new();
    let calc = uri(&world, "calc.py");
    let says = json!({ "initializationOptions": { "stats": true } });
    let (mut editor, _) = Editor::greeted(&world, &["--model", &model()], &says);
    let text = CALC.replace("    print", "    # TODO(me): say what it is\n    print");
    editor.open(&calc, &text);
    let place = |line: u64| json!({ "line": line, "character": 0 });
    let mut offer = |lines: [u64; 2], context: Value| {
        let range = json!({ "start": place(lines[0]), "end": place(lines[1]) });
        let document = json!({ "uri": calc });
        let params = json!({ "textDocument": document, "range": range, "context": context });
        let offered = editor.ask("textDocument/codeAction", &params).unwrap();
        let titles = offered.as_array().unwrap().iter();
        (titles.map(|it| it["title"].as_str().unwrap().to_owned()).collect::<Vec<_>>(), offered)
    };
    assert!(offer([0, 0], json!({ "diagnostics": [] })).0.is_empty());
    let range = json!({ "start": place(0), "end": place(1) });
    let problem = json!({ "range": range, "message": "`os` is imported\n but not used" });
    let (titles, offered) = offer([0, 9], json!({ "diagnostics": [problem.clone()] }));
    assert_eq!(
        titles,
        [
            "cerium: fix: `os` is imported but not used",
            "cerium: do: say what it is",
            "cerium: explain",
        ]
    );
    let wish = &offered[0]["command"]["arguments"][0]["instruction"];
    assert_eq!(*wish, "Fix this problem in the line `import os`: `os` is imported but not used");
    let only = json!({ "diagnostics": [problem], "only": ["refactor.rewrite"] });
    assert_eq!(offer([0, 9], only).0, ["cerium: do: say what it is"]);

    // A plan of the shell's goes on in the editor, and back there it is known.
    let command = |editor: &mut Editor, name: &str, argument: Value| {
        let params = json!({ "command": name, "arguments": [argument] });
        editor.ask("workspace/executeCommand", &params)
    };
    assert_eq!(command(&mut editor, "cerium.plan", Value::Null), Ok(Value::Null));
    let wish = json!({ "uri": calc, "text": "rename area to surface in calc.py" });
    let plan = command(&mut editor, "cerium.plan.write", wish).unwrap();
    assert_eq!(plan["steps"][0]["state"]["is"], "open", "{plan:#}");
    let shown = world.run(&["plan", "--json"]).ok().json();
    assert_eq!(shown["steps"], plan["steps"]);
    let plan = command(&mut editor, "cerium.plan.done", json!({ "uri": calc, "step": 1 })).unwrap();
    assert_eq!(plan["steps"][0]["state"]["is"], "edited");
    assert!(world.run(&["plan"]).ok().stdout.starts_with("rename area"));

    // What a selection does is said to the person.
    let range = json!({ "start": place(3), "end": place(5) });
    let told = command(&mut editor, "cerium.explain", json!({ "uri": calc, "range": range }));
    let told = told.unwrap();
    let text = told["text"].clone();
    assert!(!text.as_str().unwrap().trim().is_empty());
    let stats = editor.wait(|it| it["method"] == "cerium/stats");
    assert_eq!(stats["params"], told["stats"]);
    editor.wait(|it| it["method"] == "window/showMessage" && it["params"]["message"] == text);
    assert_eq!(command(&mut editor, "cerium.nothing", json!({})), Err(-32602));
    assert_eq!(command(&mut editor, "cerium.edit", json!({})), Err(-32602));
}

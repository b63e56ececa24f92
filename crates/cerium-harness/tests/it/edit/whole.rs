//! Files as a whole: made by a model, deleted, renamed.

use super::Desk;
use crate::support::{Scripted, prompt};
use cerium_harness::edit::{EditError, EditRequest, Fate, Proposal, apply, apply_all, plan_edit};
use cerium_harness::files::FileError;
use cerium_harness::workspace::WorkspaceError;
use std::fs;

const AREA: &str = "def area(w, h):\n    return w * h\n";

fn new(path: &str, instruction: &str) -> EditRequest {
    EditRequest { fate: Fate::Make, ..EditRequest::new(path, instruction) }
}

#[test]
fn a_new_file_is_written_with_what_it_has_to_do_with_in_sight() {
    let desk = Desk::new("calc.py", AREA);
    fs::write(desk.path().with_file_name("AGENTS.md"), "No classes.\n").unwrap();
    let written = "from calc import area\n\n\ndef test_area():\n    assert area(2, 3) == 6";
    let model = Scripted::new([written]);
    let request = new("tests/test_calc.py", "a test of area");
    let proposal = desk.propose(request, &model).unwrap();
    let asked = prompt(&model.asked()[0]);
    assert!(asked.starts_with("Conventions of this project:\nNo classes.\n\nExcerpts"), "{asked}");
    assert!(asked.contains("=== calc.py:1-2\ndef area(w, h):"), "{asked}");
    assert!(
        asked.contains("Write the new file `tests/test_calc.py`.\n\na test of area\n"),
        "{asked}"
    );
    assert_eq!(proposal.after, format!("{written}\n"));
    assert!(
        proposal.diff().starts_with("--- /dev/null\n+++ b/tests/test_calc.py\n@@ -0,0 +1,5 @@\n")
    );
    assert_eq!((proposal.counts(), proposal.hunks().len()), ((5, 0), 1));

    let made = desk.path().with_file_name("tests");
    let receipt = apply(&proposal, &desk.journal()).unwrap();
    assert_eq!(receipt.fate, Fate::Make);
    assert_eq!(fs::read_to_string(made.join("test_calc.py")).unwrap(), proposal.after);
    desk.journal().undo(None).unwrap();
    assert!(!made.exists(), "the folder was made for it");
    assert_eq!(desk.text(), AREA);
}

#[test]
fn a_new_file_takes_the_place_of_nothing() {
    let desk = Desk::new("calc.py", AREA);
    let plan = |path: &str| plan_edit(&desk.workspace(), new(path, "x")).map(|p| p.file.path);
    assert_eq!(plan("a/../b.py").unwrap_err().to_string().split(' ').next(), Some("`a/../b.py`"));
    let taken = plan("calc.py").unwrap_err();
    let EditError::File(FileError::Place(WorkspaceError::Exists { .. })) = taken else {
        panic!("{taken}")
    };
    assert!(plan("../x.py").unwrap_err().to_string().contains("outside the tree"));
    let proposal = desk.propose(new("b.py", "x"), &Scripted::new(["b = 1"])).unwrap();
    fs::write(desk.path().with_file_name("b.py"), "mine\n").unwrap();
    assert_eq!(apply(&proposal, &desk.journal()).unwrap_err().to_string(), "`b.py` exists already");
    assert_eq!(fs::read_to_string(desk.path().with_file_name("b.py")).unwrap(), "mine\n");
}

#[test]
fn a_new_file_that_does_not_parse_is_asked_for_again() {
    let desk = Desk::new("calc.py", AREA);
    let model = Scripted::new(["def b(:\n    pass\n", "def b():\n    pass\n"]);
    let proposal = desk.propose(new("b.py", "b"), &model).unwrap();
    assert_eq!(proposal.after, "def b():\n    pass\n");
    assert_eq!(model.asked().len(), 2);
}

/// A change, a new file, a renamed one and a deleted one are one edit.
#[test]
fn files_that_come_go_and_change_are_applied_together_and_taken_back_together() {
    let desk = Desk::new("calc.py", AREA);
    let at = |name: &str| desk.path().with_file_name(name);
    fs::write(at("old.py"), "x = 1\n").unwrap();
    fs::write(at("util.py"), "y = 2\n").unwrap();
    let none = Scripted::new::<&str>([]);
    let all = [
        desk.propose(EditRequest::new("calc.py", "rename area to surface"), &none).unwrap(),
        desk.propose(new("b.py", "b"), &Scripted::new(["b = 1\n"])).unwrap(),
        desk.propose(EditRequest::new("util.py", "rename this file to lib/u.py"), &none).unwrap(),
        desk.propose(EditRequest::new("old.py", "delete this file"), &none).unwrap(),
    ];
    let titles: Vec<String> = all.iter().map(Proposal::title).collect();
    assert_eq!(titles, ["calc.py", "b.py (new)", "util.py -> lib/u.py", "old.py (deleted)"]);
    assert_eq!(all[2].diff(), "rename from util.py\nrename to lib/u.py\n");
    for whole in &all[2..] {
        let hunks = whole.hunks();
        assert_eq!(hunks.len(), 1);
        assert!(whole.take(&[]).is_none());
        assert_eq!(whole.take(&hunks).unwrap().diff(), whole.diff());
    }
    let texts = || {
        ["calc.py", "b.py", "util.py", "lib/u.py", "old.py"]
            .map(|name| fs::read_to_string(at(name)).ok())
    };
    let before = texts();
    let undo = apply_all(&all, &desk.journal()).unwrap()[0].undo;
    let some = |text: &str| Some(text.to_owned());
    let renamed = AREA.replace("area", "surface");
    assert_eq!(texts(), [some(&renamed), some("b = 1\n"), None, some("y = 2\n"), None]);
    desk.journal().undo(undo).unwrap();
    assert_eq!(texts(), before);
    assert!(!at("lib").exists());
}

#[test]
fn a_file_that_somebody_works_on_is_not_deleted_but_moves_with_what_was_written() {
    let desk = Desk::new("calc.py", AREA);
    let none = Scripted::new::<&str>([]);
    let gone = desk.propose(desk.request("delete this file"), &none).unwrap();
    let moved = desk.propose(desk.request("move this file to b.py"), &none).unwrap();
    fs::write(desk.path(), format!("{AREA}# mine\n")).unwrap();
    assert!(matches!(apply(&gone, &desk.journal()), Err(EditError::Conflict { .. })));
    assert!(apply(&moved, &desk.journal()).unwrap().merged);
    assert!(!desk.path().exists());
    let text = fs::read_to_string(desk.path().with_file_name("b.py")).unwrap();
    assert_eq!(text, format!("{AREA}# mine\n"));
}

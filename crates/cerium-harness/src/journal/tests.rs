//! The journal at its door: undo, redo, conflicts, and a process that dies between any two steps.

use super::*;
use std::fs;

struct Tree {
    root: tempfile::TempDir,
    state: tempfile::TempDir,
}

impl Tree {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join(".git")).unwrap();
        fs::write(root.path().join("f"), "one").unwrap();
        Self { root, state: tempfile::tempdir().unwrap() }
    }

    fn journal(&self) -> Journal {
        Journal::of(&StateHome::at(self.state.path()), &self.root.path().canonicalize().unwrap())
    }

    fn text(&self) -> String {
        fs::read_to_string(self.root.path().join("f")).unwrap()
    }

    fn edit(&self, before: &str, after: &str) -> Result<EntryId, JournalError> {
        let note = |_| Note { instruction: format!("{before} -> {after}"), ..Note::default() };
        let files = [("f", before.as_bytes(), after.as_bytes())];
        self.journal().lock()?.edit(note, &files)
    }

    fn states(&self) -> Vec<EntryState> {
        self.journal().log().unwrap().iter().map(|e| e.state).collect()
    }
}

#[test]
fn edits_are_undone_and_redone_in_order() {
    let tree = Tree::new();
    tree.edit("one", "two").unwrap();
    tree.edit("two", "three").unwrap();
    let journal = tree.journal();
    assert_eq!(journal.undo(None).unwrap().note.instruction, "two -> three");
    assert_eq!(tree.text(), "two");
    assert_eq!(journal.undo(None).unwrap().note.instruction, "one -> two");
    assert_eq!(tree.text(), "one");
    assert!(matches!(journal.undo(None), Err(JournalError::NothingToUndo)));
    journal.redo().unwrap();
    journal.redo().unwrap();
    assert_eq!(tree.text(), "three");
    assert!(matches!(journal.redo(), Err(JournalError::NothingToRedo)));
    assert_eq!(tree.states(), [EntryState::Applied; 2]);
}

#[test]
fn a_new_edit_ends_the_line_of_redo() {
    let tree = Tree::new();
    tree.edit("one", "two").unwrap();
    tree.journal().undo(None).unwrap();
    tree.edit("one", "other").unwrap();
    assert!(matches!(tree.journal().redo(), Err(JournalError::NothingToRedo)));
    assert_eq!(tree.states(), [EntryState::Undone, EntryState::Applied]);
}

#[test]
fn a_file_changed_since_is_not_undone_and_the_way_on_is_said() {
    let tree = Tree::new();
    let id = tree.edit("one", "two").unwrap();
    fs::write(tree.root.path().join("f"), "mine").unwrap();
    let error = tree.journal().undo(None).unwrap_err();
    assert_eq!(error.to_string(), format!("`f` is not as edit {id} left it; nothing was changed"));
    assert!(error.hint().unwrap().contains("undo what came later in it first"));
    let JournalError::Changed { kept, .. } = error else { panic!() };
    assert_eq!(fs::read_to_string(kept).unwrap(), "one");
    assert_eq!(tree.text(), "mine");
}

#[test]
fn one_edit_is_undone_by_number_only_while_its_text_stands() {
    let tree = Tree::new();
    let first = tree.edit("one", "two").unwrap();
    let second = tree.edit("two", "three").unwrap();
    let journal = tree.journal();
    assert!(matches!(journal.undo(Some(first)), Err(JournalError::Changed { .. })));
    journal.undo(Some(second)).unwrap();
    journal.undo(Some(first)).unwrap();
    assert_eq!(tree.text(), "one");
    assert!(matches!(journal.undo(Some(first)), Err(JournalError::NotPossible { .. })));
    assert!(matches!(journal.undo(Some(99)), Err(JournalError::NotPossible { .. })));
}

#[test]
fn an_edit_of_other_bytes_is_refused() {
    let tree = Tree::new();
    assert!(matches!(tree.edit("else", "two"), Err(JournalError::Changed { .. })));
    assert_eq!(tree.text(), "one");
    assert!(tree.states().is_empty());
}

/// A journal as a process leaves it that died after `n` of the steps of an edit.
fn dies_after(n: usize) -> Tree {
    let tree = Tree::new();
    tree.edit("one", "two").unwrap();
    let journal = tree.journal();
    let store = &journal.store;
    let change = FileChange { path: "f".to_owned(), before: hash(b"two"), after: hash(b"three") };
    let steps: [&dyn Fn(); 4] = [
        &|| drop(store.put_blob(b"three").unwrap()),
        &|| {
            let op = Op::Edit { note: Note::default() };
            store.append(store.next_id().unwrap(), op, vec![change.clone()]).unwrap();
        },
        &|| fs::write(tree.root.path().join("f"), "three").unwrap(),
        &|| store.settle(store.next_id().unwrap() - 1, true).unwrap(),
    ];
    steps.iter().take(n).for_each(|step| step());
    tree
}

#[test]
fn a_crash_between_any_two_steps_loses_nothing() {
    use EntryState::{Applied, NotApplied};
    let wanted: [(&str, &[EntryState]); 5] = [
        ("two", &[Applied]),
        ("two", &[Applied]),
        ("two", &[Applied, NotApplied]),
        ("three", &[Applied, Applied]),
        ("three", &[Applied, Applied]),
    ];
    for (n, (text, states)) in wanted.into_iter().enumerate() {
        let tree = dies_after(n);
        drop(tree.journal().lock().unwrap());
        assert_eq!(tree.text(), text, "after {n} steps");
        assert_eq!(tree.states(), states, "after {n} steps");
        // And whatever is applied can be taken back to the beginning.
        for _ in states.iter().filter(|&&s| s == Applied) {
            tree.journal().undo(None).unwrap();
        }
        assert_eq!(tree.text(), "one", "after {n} steps");
    }
}

#[test]
fn a_crash_between_two_files_goes_back_to_none() {
    let tree = Tree::new();
    let g = tree.root.path().join("g");
    fs::write(&g, "g1").unwrap();
    let journal = tree.journal();
    {
        let writer = journal.lock().unwrap();
        let files: [(&str, &[u8], &[u8]); 2] = [("f", b"one", b"two"), ("g", b"g1", b"g2")];
        let changes = writer.keep_texts(&files).unwrap();
        journal.store.append(1, Op::Edit { note: Note::default() }, changes).unwrap();
        fs::write(tree.root.path().join("f"), "two").unwrap();
    }
    drop(journal.lock().unwrap());
    assert_eq!((tree.text().as_str(), fs::read_to_string(&g).unwrap().as_str()), ("one", "g1"));
    assert_eq!(tree.states(), [EntryState::NotApplied]);
}

#[test]
fn half_written_and_foreign_files_are_passed_over() {
    let tree = Tree::new();
    tree.edit("one", "two").unwrap();
    let records = tree.journal().store.record_path(1).parent().unwrap().to_owned();
    fs::write(records.join("000000000077.json"), "{\"id\": 77, \"op\":").unwrap();
    fs::write(records.join("notes.txt"), "hello").unwrap();
    assert_eq!(tree.states(), [EntryState::Applied]);
    // Numbers go on after the damaged one.
    assert_eq!(tree.edit("two", "three").unwrap(), 78);
}

#[test]
fn a_damaged_text_is_noticed_before_anything_is_written() {
    let tree = Tree::new();
    tree.edit("one", "two").unwrap();
    fs::write(tree.journal().text_path(&hash(b"one")), "evil").unwrap();
    assert!(matches!(tree.journal().undo(None), Err(JournalError::Damaged { .. })));
    assert_eq!(tree.text(), "two");
}

#[test]
fn kept_edits_are_shown_and_never_undone() {
    let tree = Tree::new();
    let journal = tree.journal();
    let note = Note { reason: "the file changed".to_owned(), ..Note::default() };
    journal.lock().unwrap().keep(note, &[("f", b"old", b"new")]).unwrap();
    assert_eq!(tree.states(), [EntryState::NotApplied]);
    assert!(matches!(journal.undo(None), Err(JournalError::NothingToUndo)));
    assert_eq!(fs::read_to_string(journal.text_path(&hash(b"new"))).unwrap(), "new");
}

#[test]
fn the_oldest_edits_are_forgotten() {
    let tree = Tree::new();
    let mut before = "one".to_owned();
    for i in 0..6 {
        let after = format!("text {i}");
        tree.edit(&before, &after).unwrap();
        before = after;
    }
    tree.journal().store.prune(3, u64::MAX).unwrap();
    let log = tree.journal().log().unwrap();
    assert_eq!(log.len(), 3);
    assert_eq!(log[2].note.instruction, "text 4 -> text 5");
    tree.journal().store.prune(3, 1).unwrap();
    assert_eq!(tree.journal().log().unwrap().len(), 1);
    tree.journal().undo(None).unwrap();
    assert_eq!(tree.text(), "text 4");
}

#[cfg(unix)]
#[test]
fn only_the_user_can_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let tree = Tree::new();
    tree.edit("one", "two").unwrap();
    let journal = tree.journal();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&journal.store.record_path(1)), 0o600);
    assert_eq!(mode(&journal.text_path(&hash(b"one"))), 0o600);
    assert_eq!(mode(journal.store.record_path(1).parent().unwrap()), 0o700);
}

#[cfg(unix)]
#[test]
fn a_file_that_became_a_link_out_of_the_tree_is_not_written() {
    let tree = Tree::new();
    tree.edit("one", "two").unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("target");
    fs::write(&target, "two").unwrap();
    fs::remove_file(tree.root.path().join("f")).unwrap();
    std::os::unix::fs::symlink(&target, tree.root.path().join("f")).unwrap();
    tree.journal().undo(None).unwrap_err();
    assert_eq!(fs::read_to_string(&target).unwrap(), "two");
}

#[test]
fn commands_and_plans_stand_between_the_edits_and_are_quoted_from_the_end() {
    use crate::run::{Ended, Ran, Reach};
    let tree = Tree::new();
    let journal = tree.journal();
    let first = tree.edit("one", "two").unwrap();
    let ran = Ran {
        command: "make".to_owned(),
        reach: Reach::Tree,
        ended: Ended::Exit(2),
        output: (0..50).map(|n| format!("line {n}\n")).collect::<Vec<_>>().concat(),
        output_bytes: 390,
        ms: 5,
    };
    let id = journal.note_run(&ran).unwrap();
    journal.note_plan("all of it (3 steps)").unwrap();
    journal.undo(Some(first)).unwrap();
    let deeds = journal.deeds().unwrap();
    let ids: Vec<EntryId> = deeds.iter().map(Deed::id).collect();
    assert_eq!(ids, [first, id, id + 1]);
    assert_eq!(tree.states(), [EntryState::Undone], "the log of edits has no commands");
    let whole = tail(&deeds, 2_000);
    assert!(
        whole
            .starts_with("edit of f, undone: one -> two\ncommand `make`, exit code 2\n  line 30\n")
    );
    assert!(whole.ends_with("  line 49\nplan: all of it (3 steps)\n"));
    assert_eq!(tail(&deeds, 40), "plan: all of it (3 steps)\n");
    assert_eq!(tail(&deeds, 0), "");
}

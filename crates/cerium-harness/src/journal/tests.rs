//! The journal at its door: undo, redo, conflicts, and a process that dies between any two steps.

use super::*;
use std::fs;

fn write<'w>(path: &'w str, before: Option<&'w str>, after: Option<&'w str>) -> Write<'w> {
    let bytes = |text: Option<&'w str>| text.map(str::as_bytes);
    Write { path, before: bytes(before), after: bytes(after), mode: None }
}

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
        let files = [write("f", Some(before), Some(after))];
        self.journal().lock()?.edit(note, &files)
    }

    /// One transaction of several files.
    fn change(&self, files: &[Write<'_>]) -> Result<EntryId, JournalError> {
        self.journal().lock()?.edit(|_| Note::default(), files)
    }

    /// Every file and directory of the tree but git's, in order, with texts.
    fn files(&self) -> Vec<String> {
        fn visit(dir: &Path, root: &Path, found: &mut Vec<String>) {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(root).unwrap().display().to_string();
                match fs::read_to_string(&path) {
                    Ok(text) => found.push(format!("{name}: {text}")),
                    Err(_) if name == ".git" => {}
                    Err(_) => {
                        found.push(format!("{name}/"));
                        visit(&path, root, found);
                    }
                }
            }
        }
        let mut found = Vec::new();
        visit(self.root.path(), self.root.path(), &mut found);
        found.sort();
        found
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
    let (before, after) = (Some(hash(b"two")), Some(hash(b"three")));
    let change = FileChange { path: "f".to_owned(), before, after, mode: None };
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
        let files = [write("f", Some("one"), Some("two")), write("g", Some("g1"), Some("g2"))];
        let changes = writer.keep_texts(&files).unwrap();
        journal.store.append(1, Op::Edit { note: Note::default() }, changes).unwrap();
        fs::write(tree.root.path().join("f"), "two").unwrap();
    }
    drop(journal.lock().unwrap());
    assert_eq!((tree.text().as_str(), fs::read_to_string(&g).unwrap().as_str()), ("one", "g1"));
    assert_eq!(tree.states(), [EntryState::NotApplied]);
}

/// Makes a file in folders that are not there, changes one, renames one out of a folder of its own.
const MOVES: [(&str, Option<&str>, Option<&str>); 4] = [
    ("new/deep/a", None, Some("made")),
    ("f", Some("one"), Some("two")),
    ("g", None, Some("moved")),
    ("old/g", Some("moved"), None),
];

fn moves() -> (Tree, Vec<String>, Vec<String>) {
    let tree = Tree::new();
    fs::create_dir(tree.root.path().join("old")).unwrap();
    fs::write(tree.root.path().join("old/g"), "moved").unwrap();
    let before = ["f: one", "old/", "old/g: moved"].map(str::to_owned).to_vec();
    let after = ["f: two", "g: moved", "new/", "new/deep/", "new/deep/a: made"];
    assert_eq!(tree.files(), before);
    (tree, before, after.map(str::to_owned).to_vec())
}

#[test]
fn files_are_made_renamed_and_deleted_in_one_step_and_back() {
    let (tree, before, after) = moves();
    tree.change(&MOVES.map(|(path, old, new)| write(path, old, new))).unwrap();
    assert_eq!(tree.files(), after);
    let journal = tree.journal();
    let diffs = journal.diffs(&journal.log().unwrap()[0]).unwrap();
    assert_eq!(
        diffs[0],
        "--- /dev/null\n+++ b/new/deep/a\n@@ -0,0 +1 @@\n+made\n\\ No newline at end of file\n"
    );
    assert!(diffs[3].starts_with("--- a/old/g\n+++ /dev/null\n"), "{}", diffs[3]);
    for _ in 0..2 {
        journal.undo(None).unwrap();
        assert_eq!(tree.files(), before);
        journal.redo().unwrap();
        assert_eq!(tree.files(), after);
    }
    fs::write(tree.root.path().join("new/deep/a"), "mine").unwrap();
    assert!(matches!(journal.undo(None), Err(JournalError::Changed { .. })));
    assert!(tree.files().contains(&"new/deep/a: mine".to_owned()), "what I wrote is not deleted");
}

#[test]
fn a_crash_at_any_file_of_a_transaction_goes_back_to_none() {
    for n in 0..=MOVES.len() {
        let (tree, before, after) = moves();
        let journal = tree.journal();
        let writer = journal.lock().unwrap();
        let changes =
            writer.keep_texts(&MOVES.map(|(path, old, new)| write(path, old, new))).unwrap();
        journal.store.append(1, Op::Edit { note: Note::default() }, changes).unwrap();
        // Directories and a temporary file are there before any file is.
        let root = tree.root.path();
        fs::create_dir_all(root.join("new/deep")).unwrap();
        fs::write(root.join("new/deep").join(format!("{}x", temporary(1))), "ma").unwrap();
        for (path, _, new) in MOVES.iter().take(n) {
            match new {
                Some(text) => fs::write(root.join(path), text).unwrap(),
                None => fs::remove_file(root.join(path)).unwrap(),
            }
        }
        drop(writer);
        drop(journal.lock().unwrap());
        let want = if n == MOVES.len() { after } else { before };
        assert_eq!(tree.files(), want, "after {n} files");
    }
}

#[cfg(unix)]
#[test]
fn files_come_back_with_their_permissions() {
    use std::os::unix::fs::PermissionsExt;
    let tree = Tree::new();
    let path = tree.root.path().join("f");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
    tree.change(&[Write { mode: Some(0o750), ..write("f", Some("one"), None) }]).unwrap();
    assert!(!path.exists());
    tree.journal().undo(None).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o750);
}

#[cfg(unix)]
#[test]
fn what_leads_elsewhere_or_is_taken_stays_as_it_is_and_so_does_all_else() {
    let tree = Tree::new();
    let root = tree.root.path();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(root.join("taken"), "mine").unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), root.join("door")).unwrap();
    std::os::unix::fs::symlink(root.join("nowhere"), root.join("dangling")).unwrap();
    for path in ["taken", "../x", "a/../../x", "door/x", "dangling", "dangling/x", "f/x", ".git/x"]
    {
        let files = [write("f", Some("one"), Some("two")), write(path, None, Some("new"))];
        tree.change(&files).unwrap_err();
        assert_eq!(
            (tree.text().as_str(), fs::read_to_string(root.join("taken")).unwrap().as_str()),
            ("one", "mine"),
            "{path}"
        );
    }
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    assert_eq!(fs::read_dir(root.join(".git")).unwrap().count(), 0);
    assert!(!root.join("nowhere").exists());
    assert!(tree.states().is_empty(), "nothing was begun");
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
    journal.lock().unwrap().keep(note, &[write("f", Some("old"), Some("new"))]).unwrap();
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

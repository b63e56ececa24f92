//! Hunks: shown, split, taken and left; and several files as one edit.

use super::Desk;
use crate::support::Scripted;
use cerium_harness::edit::{EditError, Hunk, Proposal, apply, apply_all, draft_receipt};
use cerium_harness::journal::EntryState;
use proptest::prelude::*;
use std::fs;

/// Twelve numbered lines.
fn numbered() -> String {
    (1..=12).map(|n| format!("line {n}\n")).collect()
}

/// The proposal that makes of a file what `after` says.
fn rewritten(desk: &Desk, after: &str) -> Proposal {
    let n_lines = desk.text().lines().count();
    let mut request = desk.request("change it somehow");
    request.lines = Some(cerium_harness::lines::LineSpan::new(1, n_lines));
    request.strategy.retries = 0;
    request.strategy.stop_after_matching_lines = 0;
    desk.propose(request, &Scripted::new([after])).unwrap()
}

fn shown(hunks: &[Hunk]) -> String {
    hunks.iter().map(Hunk::to_string).collect()
}

#[test]
fn changes_far_apart_are_hunks_and_near_ones_are_parts_of_one() {
    let desk = Desk::new("f.txt", numbered());
    let after =
        numbered().replace("line 1\n", "").replace("line 4\n", "four\n").replace("12", "12b");
    let proposal = rewritten(&desk, &after);
    let hunks = proposal.hunks();
    insta::assert_snapshot!(shown(&hunks), @r"
    @@ -1,7 +1,6 @@
    -line 1
     line 2
     line 3
    -line 4
    +four
     line 5
     line 6
     line 7
    @@ -9,4 +8,4 @@
     line 9
     line 10
     line 11
    -line 12
    +line 12b
    ");
    assert_eq!(hunks.iter().map(Hunk::can_split).collect::<Vec<_>>(), [true, false]);
    insta::assert_snapshot!(shown(&proposal.split(&hunks[0])), @r"
    @@ -1,4 +1,3 @@
    -line 1
     line 2
     line 3
     line 4
    @@ -1,7 +1,7 @@
     line 1
     line 2
     line 3
    -line 4
    +four
     line 5
     line 6
     line 7
    ");
}

#[test]
fn what_is_left_out_is_not_written_and_the_receipt_says_so() {
    let desk = Desk::new("f.txt", numbered());
    let after =
        numbered().replace("line 1\n", "one\n").replace("line 4\n", "").replace("12", "12b");
    let proposal = rewritten(&desk, &after);
    let hunks = proposal.hunks();
    let second = proposal.split(&hunks[0]).pop().unwrap();
    let taken = proposal.take(&[second]).unwrap();
    let receipt = apply(&taken, &desk.journal()).unwrap();
    assert_eq!(desk.text(), numbered().replace("line 4\n", ""));
    assert_eq!(receipt.left_out, 2);
    desk.journal().undo(None).unwrap();
    assert_eq!(desk.text(), numbered());
    assert!(proposal.take(&[]).is_none());
    assert_eq!(proposal.take(&hunks).unwrap().after, after);
}

/// A tree of two files, and what makes both shout.
fn two() -> (Desk, [Proposal; 2]) {
    let desk = Desk::new("a.txt", numbered());
    fs::write(desk.path().with_file_name("b.txt"), "x\r\ny\r\n").unwrap();
    let a = rewritten(&desk, &numbered().replace("line 6", "LINE 6"));
    let mut request = desk.request("shout");
    request.path = "b.txt".into();
    let b = desk.propose(request, &Scripted::new(["X\ny\n"])).unwrap();
    (desk, [a, b])
}

fn b_text(desk: &Desk) -> String {
    fs::read_to_string(desk.path().with_file_name("b.txt")).unwrap()
}

#[test]
fn several_files_are_one_step_of_undo_and_redo() {
    let (desk, proposals) = two();
    let receipts = apply_all(&proposals, &desk.journal()).unwrap();
    assert_eq!(receipts.iter().map(|r| r.undo).collect::<Vec<_>>(), [Some(1), Some(1)]);
    let journal = desk.journal();
    for _ in 0..2 {
        assert_eq!(desk.text(), numbered().replace("line 6", "LINE 6"));
        assert_eq!(b_text(&desk), "X\r\ny\r\n");
        journal.undo(None).unwrap();
        assert_eq!((desk.text(), b_text(&desk).as_str()), (numbered(), "x\r\ny\r\n"));
        journal.redo().unwrap();
    }
    let log = journal.log().unwrap();
    assert_eq!((log.len(), log[0].files.len(), log[0].note.receipts.len()), (1, 2, 2));
}

#[test]
fn one_file_in_the_way_keeps_all_of_them_as_they_are() {
    let (desk, proposals) = two();
    fs::write(desk.path().with_file_name("b.txt"), "mine\r\ny\r\n").unwrap();
    let error = apply_all(&proposals, &desk.journal()).unwrap_err();
    let EditError::Conflict { paths, clashes, .. } = &error else { panic!("{error:?}") };
    assert_eq!((paths.as_slice(), clashes.len()), (&["b.txt".to_owned()][..], 1));
    assert_eq!((desk.text(), b_text(&desk).as_str()), (numbered(), "mine\r\ny\r\n"));
    let log = desk.journal().log().unwrap();
    assert_eq!((log[0].state, log[0].files.len()), (EntryState::NotApplied, 2));
}

#[test]
fn one_file_that_went_away_keeps_the_others_as_they_are() {
    let (desk, proposals) = two();
    fs::remove_file(desk.path().with_file_name("b.txt")).unwrap();
    apply_all(&proposals, &desk.journal()).unwrap_err();
    assert_eq!(desk.text(), numbered());
}

#[test]
fn files_of_two_trees_are_not_one_edit() {
    let (desk, [a, _]) = two();
    let (_other, [b, _]) = two();
    let error = apply_all(&[a, b], &desk.journal()).unwrap_err();
    assert!(matches!(error, EditError::SeveralTrees { .. }), "{error}");
    assert_eq!(desk.text(), numbered());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is taken: the rest of the text stays, and all of it together is the edit. What is
    /// taken can also be put into a text that grew elsewhere.
    #[test]
    fn any_choice_of_parts_changes_just_those(
        old in prop::collection::vec("[a-c]{1,2}", 1..14),
        new in prop::collection::vec("[a-c]{1,2}", 1..14),
        end in prop::sample::select(vec!["\n", "\r\n"]),
        unfinished in any::<bool>(),
        choice in any::<u16>(),
    ) {
        prop_assume!(old != new);
        let mut text = old.join(end) + end;
        if unfinished {
            text.truncate(text.len() - end.len());
        }
        let desk = Desk::new("f.txt", &text);
        let proposal = rewritten(&desk, &(new.join("\n") + "\n"));
        let parts: Vec<Hunk> = proposal.hunks().iter().flat_map(|h| proposal.split(h)).collect();
        prop_assert_eq!(&proposal.take(&parts).unwrap().after, &proposal.after);
        let chosen: Vec<Hunk> = parts.iter().enumerate()
            .filter(|(n, _)| choice >> (n % 16) & 1 == 1).map(|(_, h)| h.clone()).collect();
        let Some(taken) = proposal.take(&chosen) else { return Ok(()) };
        // Taking the others out of the edit one by one gives the same.
        prop_assert_eq!(taken.left_out, parts.len() - chosen.len());
        let receipt = draft_receipt(&taken);
        prop_assert!(receipt.is_some(), "{:?}", taken);
        let left: Vec<Hunk> = taken.hunks().iter().flat_map(|h| taken.split(h)).collect();
        prop_assert_eq!(left.len(), chosen.len());
        for (a, b) in left.iter().zip(&chosen) {
            prop_assert_eq!(&a.lines, &b.lines);
        }
        let grown = format!("x{end}y{end}{text}");
        fs::write(desk.path(), &grown).unwrap();
        if let Ok(receipt) = apply(&taken, &desk.journal()) {
            prop_assert!(receipt.merged);
            prop_assert_eq!(desk.text(), format!("x{end}y{end}{}", taken.after));
        } else {
            prop_assert_eq!(desk.text(), grown);
        }
    }
}

//! Applying: nothing is lost when the file changes, the person stops it, or writing fails.

use super::Desk;
use crate::support::{Reply, Scripted};
use cerium_harness::edit::{
    EditError, EditRequest, Failure, Format, LineEvent, Progress, Proposal, Route, apply,
    draft_receipt, plan_edit, run_edit,
};
use cerium_harness::journal::EntryState;
use cerium_harness::lines::LineSpan;
use cerium_protocol::CreateResponse;
use proptest::prelude::*;
use std::fs;
use std::ops::ControlFlow;

const TEXT: &str = "\
def first(x):
    return x + 1


def second(x):
    return x + 2


def third(x):
    return x + 3
";

const SECOND: &str = "def second(x, y):\n    return x + y\n";

/// The second function of `TEXT`, rewritten but not applied.
fn proposal(desk: &Desk) -> Proposal {
    let mut request = desk.request("add y to second");
    request.symbol = Some("second".to_owned());
    desk.propose(request, &Scripted::new([SECOND])).unwrap()
}

fn desk() -> Desk {
    Desk::new("f.py", TEXT)
}

#[test]
fn an_applied_edit_has_a_receipt_and_can_be_undone() {
    let desk = desk();
    let proposal = proposal(&desk);
    assert_eq!(desk.text(), TEXT, "nothing is written before it is applied");
    let receipt = apply(&proposal, &desk.journal()).unwrap();
    assert_eq!(desk.text(), TEXT.replace("def second(x):\n    return x + 2\n", SECOND));
    assert_eq!((receipt.route, receipt.model.as_str()), (Route::Model, "scripted"));
    assert_eq!(receipt.scope.hull(), LineSpan::new(5, 6));
    assert_eq!(receipt.untouched.len(), 2);
    let id = receipt.undo.unwrap();
    let entry = desk.journal().undo(Some(id)).unwrap();
    assert_eq!(entry.note.instruction, "add y to second");
    assert_eq!(desk.text(), TEXT);
}

#[test]
fn the_receipt_says_what_was_not_touched() {
    let proposal = proposal(&desk());
    let receipt = draft_receipt(&proposal).unwrap();
    let hash = |text: &str| cerium_harness::files::hash(text.as_bytes());
    let (prefix, suffix) = (&receipt.untouched[0], &receipt.untouched[1]);
    assert_eq!(prefix.sha256, hash(&TEXT[..prefix.end]));
    assert_eq!(suffix.sha256, hash(&TEXT[suffix.start..]));
    assert_eq!(suffix.end, TEXT.len());
    assert_eq!(receipt.sha256_before, hash(TEXT));
    assert_eq!(receipt.sha256_after, hash(&proposal.after));
    assert_eq!((receipt.parse_errors_before, receipt.parse_errors_after), (0, 0));
}

#[test]
fn a_change_elsewhere_is_kept_and_the_edit_finds_its_place() {
    let desk = desk();
    let proposal = proposal(&desk);
    let theirs = format!("# theirs\n\n{}", TEXT.replace("x + 3", "x + 33"));
    fs::write(desk.path(), &theirs).unwrap();
    let receipt = apply(&proposal, &desk.journal()).unwrap();
    assert!(receipt.merged);
    assert_eq!(receipt.scope.hull(), LineSpan::new(7, 8));
    assert_eq!(desk.text(), theirs.replace("def second(x):\n    return x + 2\n", SECOND));
    desk.journal().undo(None).unwrap();
    assert_eq!(desk.text(), theirs);
}

#[test]
fn a_change_in_the_scope_is_refused_and_the_proposal_is_kept() {
    let desk = desk();
    let proposal = proposal(&desk);
    let theirs = TEXT.replace("x + 2", "x + 22");
    fs::write(desk.path(), &theirs).unwrap();
    let error = apply(&proposal, &desk.journal()).unwrap_err();
    assert_eq!(error.to_string(), "`f.py` changed while the edit was made; nothing was written");
    let EditError::Conflict { clashes, .. } = &error else { panic!("{error:?}") };
    insta::assert_snapshot!(clashes[0], @r"
    f.py:5
    <<<<<<< now
    def second(x):
        return x + 22
    ||||||| before
    def second(x):
        return x + 2
    =======
    def second(x, y):
        return x + y
    >>>>>>> edit
    ");
    assert_eq!(error.failure(), Failure::BadInput);
    assert_eq!(desk.text(), theirs);
    let log = desk.journal().log().unwrap();
    assert_eq!(log[0].state, EntryState::NotApplied);
    let kept =
        fs::read_to_string(desk.journal().text_path(log[0].files[0].after.as_ref().unwrap()))
            .unwrap();
    assert_eq!(kept, proposal.after);
    assert!(error.hint().unwrap().contains("kept as edit 1"));
}

#[test]
fn a_second_copy_of_the_place_makes_it_unclear() {
    let desk = desk();
    let proposal = proposal(&desk);
    fs::write(desk.path(), format!("{TEXT}\n\n{TEXT}")).unwrap();
    let error = apply(&proposal, &desk.journal()).unwrap_err();
    assert!(matches!(error, EditError::Conflict { .. }), "{error}");
    // A copy with other neighbours does not.
    let copy = "def second(x):\n    return x + 2\n";
    fs::write(desk.path(), format!("{copy}\n\n{TEXT}")).unwrap();
    apply(&proposal, &desk.journal()).unwrap();
    assert_eq!(
        desk.text(),
        format!("{copy}\n\n{TEXT}").replace(&format!("1\n\n\n{copy}"), &format!("1\n\n\n{SECOND}"))
    );
}

#[test]
fn a_file_of_another_tree_goes_to_the_journal_there() {
    let (here, there) = (desk(), desk());
    let mut request = here.request("add y to second");
    request.path = there.path();
    request.symbol = Some("second".to_owned());
    let proposal = here.propose(request, &Scripted::new([SECOND])).unwrap();
    apply(&proposal, &here.journal()).unwrap();
    assert!(there.text().contains(SECOND));
    assert_eq!(here.text(), TEXT);
    assert!(here.journal().log().unwrap().is_empty());
    let journal = here.journal().beside(there.workspace().root());
    journal.undo(None).unwrap();
    assert_eq!(there.text(), TEXT);
}

#[test]
fn a_file_that_went_away_is_no_reason_to_lose_the_edit() {
    let desk = desk();
    let proposal = proposal(&desk);
    fs::remove_file(desk.path()).unwrap();
    let error = apply(&proposal, &desk.journal()).unwrap_err();
    assert_eq!(error.failure(), Failure::BadInput);
    assert!(!desk.path().exists());
    assert_eq!(desk.journal().log().unwrap().len(), 1);
}

#[test]
fn a_break_at_any_moment_cancels_and_writes_nothing() {
    for n in 0..40 {
        let desk = desk();
        let mut request = desk.request("add y to second");
        request.symbol = Some("second".to_owned());
        request.strategy.retries = 0;
        let prepared = plan_edit(&desk.workspace(), request).unwrap();
        let mut n_told = 0;
        let result = run_edit(&Scripted::new([SECOND]), &prepared, &mut |_: Progress<'_>| {
            n_told += 1;
            if n_told > n { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        match result {
            Err(error) => {
                assert!(matches!(error, EditError::Cancelled), "after {n}: {error}");
                assert_eq!(error.failure().exit_code(), 1);
            }
            Ok(_) => assert!(n >= 15, "after {n} it should have been stopped"),
        }
        assert_eq!(desk.text(), TEXT);
        assert!(desk.journal().log().unwrap().is_empty());
    }
}

#[test]
fn an_unchanged_answer_and_a_useless_one_have_their_exit_code() {
    let desk = desk();
    let mut request = desk.request("add y to second");
    request.symbol = Some("second".to_owned());
    request.strategy.retries = 0;
    let same = Scripted::new(["def second(x):\n    return x + 2\n"]);
    let error = desk.propose(request.clone(), &same).unwrap_err();
    assert_eq!(
        (error.failure().exit_code(), error.to_string().as_str()),
        (3, "the model left the code unchanged")
    );
    let cut = Scripted::new([Reply::Cut("def second(x, ".to_owned())]);
    let error = desk.propose(request, &cut).unwrap_err();
    assert_eq!(error.failure().exit_code(), 3);
}

#[test]
fn bad_requests_are_refused_before_the_model_is_asked() {
    let desk = desk();
    let nobody = Scripted::new(Vec::<&str>::new());
    let mut beyond = desk.request("x");
    beyond.lines = Some(LineSpan::new(9, 99));
    let mut mistyped = desk.request("x");
    mistyped.symbol = Some("secnd".to_owned());
    let mut nameless = desk.request("x");
    nameless.symbol = Some("quicksort".to_owned());
    let mut similar = desk.request("x");
    similar.symbol = Some("second_one".to_owned());
    for (request, message, hint) in [
        (desk.request("  \n"), "the instruction is empty", None),
        (beyond, "lines 9:99 are not in `f.py`, which has 10", None),
        (mistyped, "`secnd` is not declared in `f.py`", Some("it declares second")),
        (nameless, "`quicksort` is not declared in `f.py`", None),
        (similar, "`second_one` is not declared in `f.py`", Some("it declares second")),
    ] {
        let error = desk.propose(request, &nobody).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert_eq!(error.hint().as_deref(), hint);
        assert_eq!(error.failure().exit_code(), 2);
    }
}

#[test]
fn code_beyond_the_context_is_refused_with_the_numbers() {
    let long: String = (0..400).map(|n| format!("    x{n} = {n}\n")).collect();
    let desk = Desk::new("f.py", format!("def f():\n{long}"));
    let mut request = desk.request("do something with f");
    request.lines = Some(LineSpan::new(1, 401));
    let model = Scripted::new(Vec::<&str>::new()).context(1024);
    let error = desk.propose(request, &model).unwrap_err();
    assert!(matches!(error, EditError::TooLong { available: 1024, .. }), "{error}");
    assert_eq!(error.failure().exit_code(), 2);
}

#[test]
fn the_diff_is_told_while_the_answer_is_written() {
    let desk = desk();
    let mut request = desk.request("add y to second");
    request.symbol = Some("second".to_owned());
    let prepared = plan_edit(&desk.workspace(), request).unwrap();
    let mut told = Vec::new();
    run_edit(&Scripted::new([SECOND]), &prepared, &mut |progress: Progress<'_>| {
        match progress {
            Progress::Line(LineEvent::Keep { line, text }) => told.push(format!("{line} {text}")),
            Progress::Line(LineEvent::Remove { line, text }) => told.push(format!("{line}-{text}")),
            Progress::Line(LineEvent::Add { text }) => told.push(format!("+{text}")),
            Progress::Scope(scope) => told.push(format!("scope {:?}", scope.hull())),
            _ => {}
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    insta::assert_snapshot!(told.join("\n"), @r"
    scope LineSpan { start: 5, end: 6 }
    5-def second(x):
    +def second(x, y):
    6-    return x + 2
    +    return x + y
    ");
}

#[test]
fn generation_ends_when_the_rest_is_known() {
    let body: String = (0..20).map(|n| format!("    step_{n}()\n")).collect();
    let text = format!("def f():\n{body}");
    let desk = Desk::new("f.py", &text);
    let mut request = desk.request("start with a call of prepare()");
    request.lines = Some(LineSpan::new(1, 21));
    // What would come after is not what the file holds; it is never read.
    let reply = format!("def f():\n    prepare()\n{}    nonsense(\n", &body[..body.len() / 2]);
    let model = Scripted::new([reply.as_str()]);
    let proposal = desk.propose(request.clone(), &model).unwrap();
    assert_eq!(proposal.after, format!("def f():\n    prepare()\n{body}"));
    assert!(proposal.stats.usage.output_tokens < 40, "{:?}", proposal.stats);
    // Unless that is switched off.
    request.strategy.stop_after_matching_lines = 0;
    request.strategy.retries = 0;
    desk.propose(request, &Scripted::new([reply.as_str()])).unwrap_err();
}

#[test]
fn search_and_replace_blocks_are_placed_by_their_text() {
    let desk = desk();
    let mut request = desk.request("make second and third subtract");
    request.lines = Some(LineSpan::new(1, 10));
    request.strategy.format = Format::SearchReplace;
    let reply = "<<<<<<< SEARCH\n    return x + 2\n=======\n    return x - 2\n>>>>>>> REPLACE\n\n\
                 <<<<<<< SEARCH\ndef third(x):\nreturn x + 3\n=======\ndef third(x):\nreturn x - 3\n";
    let proposal = desk.propose(request.clone(), &Scripted::new([reply])).unwrap();
    assert_eq!(proposal.after, TEXT.replace("+ 2", "- 2").replace("+ 3", "- 3"));

    request.strategy.retries = 0;
    let twice = "<<<<<<< SEARCH\n(x):\n=======\n(y):\n>>>>>>> REPLACE\n";
    let error = desk.propose(request, &Scripted::new([twice])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the model gave no usable edit: the text to replace occurs 0 times in the code (`(x):`)"
    );
}

#[test]
fn each_region_can_be_asked_for_alone() {
    let desk = desk();
    let mut request = desk.request("give first() and third() a parameter y");
    request.strategy.format = Format::EachRegion;
    request.strategy.whole_lines_max = 0;
    let model = Scripted::new([
        "def first(x, y):\n    return x + 1\n",
        "def third(x, y):\n    return x + 3\n",
    ]);
    let proposal = desk.propose(request, &model).unwrap();
    assert_eq!(
        proposal.after,
        TEXT.replace("first(x)", "first(x, y)").replace("third(x)", "third(x, y)")
    );
    assert_eq!(proposal.stats.n_requests, 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the model says and the file holds: bytes outside the scope stay.
    #[test]
    fn bytes_outside_the_scope_never_change(
        lines in prop::collection::vec(("[a-c(){}= ]{0,6}", prop::sample::select(vec!["\n", "\r\n"])), 3..14),
        end in prop::sample::select(vec!["", "x"]),
        bom in any::<bool>(),
        reply in "(```(py)?\n)?([a-c(){}= .#]{0,6}\n){0,8}(```\n)?",
        (a, b) in (0usize..14, 0usize..14),
    ) {
        let pieces = lines.iter().flat_map(|(line, end)| [line.as_str(), end]);
        let text: String = pieces.chain([end]).collect();
        let desk = Desk::new("f.txt", [if bom { "\u{feff}" } else { "" }, &text].concat());
        let n_lines = text.lines().count();
        let mut request = desk.request("change a to b, somehow");
        request.strategy.retries = 0;
        request.lines = Some(LineSpan::new(a % n_lines + 1, b % n_lines + 1));
        let Ok(proposal) = desk.propose(request, &Scripted::new([reply.as_str()])) else {
            return Ok(());
        };
        let receipt = draft_receipt(&proposal);
        prop_assert!(receipt.is_some(), "{:?} {:?}", proposal.scope, proposal.changes);
        let old = desk.bytes();
        let receipt = apply(&proposal, &desk.journal()).unwrap();
        let new = desk.bytes();
        let n_bom = if bom { 3 } else { 0 };
        let (prefix, suffix) = (&receipt.untouched[0], &receipt.untouched[1]);
        prop_assert_eq!(&new[..n_bom + prefix.end], &old[..n_bom + prefix.end]);
        prop_assert!(new.ends_with(&old[n_bom + suffix.start..]));
        desk.journal().undo(None).unwrap();
        prop_assert_eq!(desk.bytes(), old);
    }
}

#[test]
fn an_edit_is_drafted_from_one_that_was_broken_off() {
    let desk = desk();
    let edit = |instruction: &str, written: Vec<LineEvent>| {
        let model = Scripted::new([SECOND]);
        let request =
            EditRequest { symbol: Some("second".to_owned()), written, ..desk.request(instruction) };
        let prepared = plan_edit(&desk.workspace(), request).unwrap();
        let mut told = Vec::new();
        run_edit(&model, &prepared, &mut |progress: Progress<'_>| {
            if let Progress::Line(event) = progress {
                told.push(event);
            }
            ControlFlow::Continue(())
        })
        .unwrap();
        let request = model.asked().remove(0);
        (told, request)
    };
    let (told, alone) = edit("add y to second", Vec::new());
    let new = told.iter().find_map(|event| match event {
        LineEvent::Add { text } => Some(text.trim().to_owned()),
        _ => None,
    });
    let new = new.unwrap();
    let (_, next) = edit("add y to second. and z", told);
    let prediction = |request: &CreateResponse| request.cerium.prediction.clone().unwrap();
    assert!(!prediction(&alone).contains(&new), "{}", prediction(&alone));
    assert!(prediction(&next).contains(&new), "{}", prediction(&next));
    // A draft is all that it is: the model is asked as if nothing had been before.
    let (_, at_once) = edit("add y to second. and z", Vec::new());
    assert_eq!((&next.input, &next.cerium.prefix), (&at_once.input, &at_once.cerium.prefix));
}

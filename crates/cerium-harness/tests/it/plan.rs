//! Plans: read out of whatever a model writes, kept, revised step by step, carried out.

use crate::support::{Reply, Scripted, prompt, tree, workspace};
use cerium_harness::edit::Fate;
use cerium_harness::plan::{
    Pick, Plan, PlanError, PlanStore, Planned, Step, StepFile, StepState, drafts, mark_done, pick,
    revise, write,
};
use cerium_harness::workspace::{StateHome, Workspace};
use proptest::prelude::*;
use std::ops::ControlFlow;
use tempfile::TempDir;

fn project() -> TempDir {
    tree(&[
        (
            "src/cli.py",
            "import sys\n\n\ndef parse_args(argv):\n    return argv\n\n\ndef main():\n    parse_args(sys.argv)\n",
        ),
        ("src/report.py", "class Report:\n    def render(self):\n        return ''\n"),
        ("tests/test_cli.py", "def test_args():\n    pass\n"),
        ("a/util.py", "x = 1\n"),
        ("b/util.py", "x = 2\n"),
    ])
}

const REPLY: &str = " Add a --json flag
   file: src/cli.py
   symbol: parse_args
   detail: Accept --json and pass it on.
2. Write the report as JSON
   file: report.py
   symbol: Report.render
   detail: Return json.dumps of the rows when asked to.
3. Document the flag
   file: docs/json.md (new)
   detail: Describe --json.
";

fn made(replies: &[&str]) -> Result<Planned, PlanError> {
    let dir = project();
    let backend = Scripted::new(replies.iter().copied());
    let goal = "let the cli report as json";
    write(&backend, &workspace(dir.path()), goal, None, &mut |_| ControlFlow::Continue(()))
}

fn shown(plan: &Plan) -> String {
    plan.steps.iter().map(Step::to_string).collect()
}

#[test]
fn a_plan_is_written_for_the_tree() {
    let plan = made(&[REPLY]).unwrap().plan;
    insta::assert_snapshot!(shown(&plan), @r"
    1. Add a --json flag
       file: src/cli.py
       symbol: parse_args
       detail: Accept --json and pass it on.
    2. Write the report as JSON
       file: src/report.py
       symbol: Report.render
       detail: Return json.dumps of the rows when asked to.
    3. Document the flag
       file: docs/json.md (new)
       detail: Describe --json.
    ");
    assert_eq!(plan.goal, "let the cli report as json");
}

#[test]
fn agents_md_is_heard_when_a_plan_is_written_and_when_a_step_is_revised() {
    let dir = project();
    let workspace = workspace(dir.path());
    let asked = || {
        let go_on = &mut |_: &str| ControlFlow::Continue(());
        let backend = Scripted::new([REPLY, " Other\n   file: src/cli.py\n"]);
        let plan = write(&backend, &workspace, "report as json", None, go_on).unwrap().plan;
        revise(&backend, &workspace, &plan, "step 1: otherwise", go_on).unwrap();
        let asked = backend.asked();
        let heard = asked.iter().map(|request| request.instructions.clone().unwrap());
        heard.collect::<Vec<_>>()
    };
    let without = asked();
    std::fs::write(dir.path().join("AGENTS.md"), "One file a step.\n").unwrap();
    let more = "\n\nConventions of this project:\nOne file a step.";
    let with: Vec<String> = without.iter().map(|text| format!("{text}{more}")).collect();
    assert_eq!((with.len(), asked()), (2, with));
}

#[test]
fn the_prompt_shows_the_tree_before_the_goal() {
    let dir = project();
    let backend = Scripted::new([REPLY]);
    let goal = "let the cli parse --json";
    write(&backend, &workspace(dir.path()), goal, None, &mut |_| ControlFlow::Continue(()))
        .unwrap();
    let request = backend.asked().remove(0);
    let text = prompt(&request);
    let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("no {part:?} in {text}"));
    assert!(at("Files:\nsrc/cli.py\n") < at("=== src/cli.py:1-9"));
    assert!(at("=== src/cli.py") < at("Goal: let the cli parse --json"));
    assert_eq!(request.cerium.prefix, "1.", "the list is begun for the model");
}

/// The drafts of a reply, one per line: number, title, files, symbol, detail.
fn read(reply: &str) -> String {
    let line = |d: &cerium_harness::plan::Draft| {
        let number = d.number.map_or("-".into(), |n| n.to_string());
        let symbol = d.symbol.as_deref().unwrap_or("-");
        let files: Vec<String> = d.files.iter().map(ToString::to_string).collect();
        format!("{number} | {} | {} | {symbol} | {}\n", d.title, files.join(" "), d.detail)
    };
    drafts(reply).iter().map(line).collect()
}

#[test]
fn steps_are_read_out_of_many_shapes() {
    let cases = [
        // As asked for.
        (
            "1. Add a flag\n   file: a.py\n   symbol: f\n   detail: Do it.\n",
            "1 | Add a flag | a.py | f | Do it.\n",
        ),
        // Chatter around it, and a fence.
        (
            "Sure! Here is the plan:\n\n```\n1. Add a flag\n   file: `a.py`\n2. Test it\n   file: t.py\n```\n\nLet me know: should I go on?\n",
            "1 | Add a flag | a.py | - | \n2 | Test it | t.py | - | \n",
        ),
        // Bold titles with the detail behind them.
        (
            "1. **Add a flag**: extend `parse`.\n2. **Test it** - run.\n",
            "1 | Add a flag |  | - | extend `parse`.\n2 | Test it |  | - | run.\n",
        ),
        // Headings and bullets.
        (
            "### Step 1: Add a flag\n- **File:** `src/a.py`\n- **Function:** `parse()`\n- **Change**: accept it\n### Step 2: Test\n- Files: t.py, u.py\n",
            "1 | Add a flag | src/a.py | parse | accept it\n2 | Test | t.py u.py | - | \n",
        ),
        // Numbers in brackets, prose below, sub-steps.
        (
            "1) Add a flag\nOpen a.py and go.\n   1. first this\n   2. then that\n2) Test\n",
            "1 | Add a flag |  | - | Open a.py and go.\n",
        ),
        // No numbers at all.
        (
            "- Add a flag\n  file: a.py\n- Test it\n",
            "- | Add a flag | a.py | - | \n- | Test it |  | - | \n",
        ),
        // Steps said twice.
        ("1. Add\n2. Add\n3. Test\n", "1 | Add |  | - | \n3 | Test |  | - | \n"),
        // The form's own words.
        (
            "1. Title of the step\n   file: a.py\n   detail: Print it, in one or two sentences. Then test.\n2. Title of the step: Test it\n",
            "1 | Print it | a.py | - | Print it. Then test.\n2 | Test it |  | - | \n",
        ),
        // Nothing to read.
        ("I would first look at the code.\n", ""),
        ("", ""),
        ("1.\n2.\n", ""),
        ("3.14 is pi\n2026-01-01 is a day\n", ""),
    ];
    for (reply, expect) in cases {
        let got = read(reply);
        assert!(
            got.starts_with(expect) && (!expect.is_empty() || got.is_empty()),
            "{reply}\n{got}"
        );
    }
}

#[test]
fn a_plan_is_bounded() {
    let endless: String = (1..100).map(|i| format!("{i}. Step for part {i}\n")).collect();
    assert_eq!(drafts(&endless).len(), 12);
    let wordy = format!("1. {}\n   detail: {}\n", "word ".repeat(100), "word ".repeat(10_000));
    let draft = drafts(&wordy).remove(0);
    assert!(draft.title.chars().count() <= 100 && draft.detail.len() <= 2_000);
}

proptest! {
    /// Replies are untrusted: whatever is written, steps are bounded and have titles.
    #[test]
    fn any_reply_can_be_read(reply in "([0-9#*. )-]{0,4}(Step |file: |detail: )?[a-zé`*:. ]{0,30}\n?){0,40}") {
        let drafts = drafts(&reply);
        prop_assert!(drafts.len() <= 12);
        for draft in drafts {
            prop_assert!(!draft.title.is_empty() && !draft.title.contains('\n'));
        }
    }
}

#[test]
fn files_and_symbols_are_held_against_the_tree() {
    let reply = " Edit cli.py to accept it
2. Escape
   file: ../../etc/passwd, /etc/hosts.txt, .git/config.py
3. Which util?
   file: util.py
4. Invent
   file: src/cli.py
   symbol: no_such_function
5. Render the report
";
    let plan = made(&[reply]).unwrap().plan;
    insta::assert_snapshot!(shown(&plan), @r"
    1. Edit cli.py to accept it
       file: src/cli.py
    2. Escape
    3. Which util?
       file: util.py (new)
    4. Invent
       file: src/cli.py
    5. Render the report
       file: src/report.py
    ");
}

#[test]
fn a_reply_without_steps_is_an_error() {
    assert!(matches!(made(&[""]), Err(PlanError::NoSteps { .. })));
    assert!(matches!(made(&["\n\n"]), Err(PlanError::NoSteps { .. })));
}

/// Revises the plan of `REPLY`; gives the result and how many requests it took.
fn revised(request: &str, replies: &[&str]) -> (Plan, Result<Planned, PlanError>, usize) {
    let dir = project();
    let plan = made(&[REPLY]).unwrap().plan;
    let backend = Scripted::new(replies.iter().copied());
    let tree = workspace(dir.path());
    let result = revise(&backend, &tree, &plan, request, &mut |_| ControlFlow::Continue(()));
    (plan, result, backend.asked().len())
}

#[test]
fn a_revision_touches_one_step_and_no_byte_of_the_others() {
    let reply = " Write the report as YAML\n   file: src/report.py\n   detail: Use yaml.\n3. Something else\n";
    let (old, new, n_requests) = revised("make step 2 use yaml instead", &[reply]);
    let new = new.unwrap();
    assert_eq!((new.revised, n_requests), (Some(2), 1));
    let json = |step: &Step| serde_json::to_string(step).unwrap();
    for number in [1, 3] {
        assert_eq!(json(new.plan.step(number).unwrap()), json(old.step(number).unwrap()));
    }
    assert_eq!(new.plan.steps.len(), 3);
    assert_eq!(new.plan.step(2).unwrap().title, "Write the report as YAML");
    let mut back = new.plan;
    assert!(back.undo());
    assert_eq!(back.steps, old.steps);
    assert!(!back.undo(), "there was nothing before it");
}

#[test]
fn a_revision_that_names_no_file_keeps_the_steps_own() {
    let (old, new, _) = revised("step 2: call it yaml", &[" Call it yaml\n"]);
    let (old, new) = (old.step(2).unwrap().clone(), new.unwrap().plan.step(2).unwrap().clone());
    assert_eq!(new.title, "Call it yaml");
    assert_eq!(serde_json::json!(new.files), serde_json::json!(old.files));
    assert!(!new.files.is_empty());
}

#[test]
fn a_revision_finds_its_step_by_number_by_words_or_by_asking() {
    let reply = " Changed\n   file: src/cli.py\n";
    for request in ["the second step should use yaml", "render the report as yaml, not json"] {
        let (_, new, n_requests) = revised(request, &[reply]);
        assert_eq!((new.unwrap().revised, n_requests), (Some(2), 1), "{request}");
    }
    let (_, new, n_requests) = revised("make it nicer", &["3", reply]);
    assert_eq!((new.unwrap().revised, n_requests), (Some(3), 2));
    let (_, error, _) = revised("make it nicer", &["I do not know"]);
    assert!(matches!(error, Err(PlanError::UnclearStep { n_steps: 3 })));
    let (_, error, _) = revised("make it nicer", &["17"]);
    assert!(matches!(error, Err(PlanError::UnclearStep { n_steps: 3 })));
}

#[test]
fn what_cannot_be_revised_says_so() {
    let error =
        |request: &str, replies: &[&str]| revised(request, replies).1.unwrap_err().to_string();
    assert_eq!(error(" ", &[]), "the request is empty");
    assert_eq!(error("step 9: shorter", &[]), "there is no step 9; the plan has 3");
    let several = error("swap step 1 and step 2", &[]);
    assert_eq!(several, "the request names steps [1, 2]; one is revised at a time");
    let same = " Document the flag\n   file: docs/json.md (new)\n   detail: Describe --json.\n";
    assert_eq!(error("step 3: shorter", &[same]), "the model left step 3 as it was");
    assert_eq!(error("step 3: shorter", &[""]), "the model wrote no step that could be read");
}

#[test]
fn requests_name_steps_in_many_ways() {
    let step = |number: usize, title: &str| Step {
        number,
        title: title.into(),
        files: Vec::new(),
        symbol: None,
        detail: String::new(),
        run: None,
        state: StepState::Open,
    };
    let steps = [step(1, "Parse the flag"), step(2, "Write a parser test"), step(3, "Release")];
    let cases = [
        ("step 2: shorter", Pick::Step(2)),
        ("Step two should be shorter", Pick::Step(2)),
        ("shorten step #3", Pick::Step(3)),
        ("#1 is too long", Pick::Step(1)),
        ("the 3rd step is wrong", Pick::Step(3)),
        ("drop the last step's detail", Pick::Unclear),
        ("change the last step", Pick::Step(3)),
        ("2) use pytest", Pick::Step(2)),
        ("in step 3, retry 5 times", Pick::Step(3)),
        ("steps 1 and 2 are one", Pick::Several(vec![1, 2])),
        ("step 4 is missing", Pick::Beyond(4)),
        ("step 0", Pick::Beyond(0)),
        ("the release should be tagged", Pick::Step(3)),
        ("make it better", Pick::Unclear),
        ("", Pick::Unclear),
    ];
    for (request, expect) in cases {
        assert_eq!(pick(request, &steps), expect, "{request}");
    }
    assert_eq!(pick("anything", &[]), Pick::Unclear);
}

#[test]
fn a_step_may_make_delete_and_rename_files() {
    let reply = " Move things\n   file: src/new.py (new)\n   file: `src/report.py` (delete)\n\
                 2. Rename\n   file: cli.py -> main.py\n   file: a/util.py (renamed to lib/util.py)\n\
                 3. Nowhere to go\n   file: src/none.py (delete)\n   file: b/util.py -> ../x.py\n\
                 4. Taken\n   files: a/util.py => b/util.py, src/report.py\n\
                 5. Delete `report.py`\n   file: src/report.py\n6. Rename cli.py to app.py.\n   file: cli.py\n";
    let dir = project();
    let backend = Scripted::new([reply]);
    let planned =
        write(
            &backend,
            &workspace(dir.path()),
            "tidy up",
            None,
            &mut |_| ControlFlow::Continue(()),
        );
    let plan = planned.unwrap().plan;
    insta::assert_snapshot!(shown(&plan), @r"
    1. Move things
       file: src/new.py (new)
       file: src/report.py (delete)
    2. Rename
       file: src/cli.py -> src/main.py
       file: a/util.py -> lib/util.py
    3. Nowhere to go
       file: b/util.py
    4. Taken
       file: a/util.py
       file: src/report.py
    5. Delete `report.py`
       file: src/report.py (delete)
    6. Rename cli.py to app.py.
       file: src/cli.py -> src/app.py
    ");
    let fates = |n: usize| -> Vec<Fate> {
        plan.edit(n).unwrap().files.iter().map(|file| file.fate(dir.path())).collect()
    };
    assert_eq!(fates(1), [Fate::Make, Fate::Delete]);
    assert_eq!(fates(2)[0], Fate::Rename("src/main.py".to_owned()));
    std::fs::write(dir.path().join("src/new.py"), "").unwrap();
    assert_eq!(fates(1)[0], Fate::Change, "it is there by now");
}

#[test]
fn a_step_stands_for_an_edit() {
    let mut plan = made(&[REPLY]).unwrap().plan;
    let edit = plan.edit(1).unwrap();
    assert_eq!(edit.files, [StepFile::at("src/cli.py")]);
    assert_eq!(edit.symbol.as_deref(), Some("parse_args"));
    assert_eq!(edit.instruction, "Add a --json flag. Accept --json and pass it on.");
    assert_eq!(plan.edit(3).unwrap().files[0].to_string(), "docs/json.md (new)");
    plan.steps[2].files.clear();
    assert_eq!(plan.edit(3).unwrap_err().to_string(), "step 3 names no file to edit");
    plan.steps[1].files = vec![StepFile::at("x.py")];
    plan.steps[1].state = StepState::Done { edit: 7 };
    assert_eq!(plan.edit(2).unwrap_err().to_string(), "step 2 was carried out by edit 7");
    assert!(plan.reopen(|edit| edit == 7), "the edit was undone");
    assert!(plan.edit(2).is_ok());
    for number in [0, 4, usize::MAX] {
        assert!(matches!(plan.edit(number), Err(PlanError::NoSuchStep { n_steps: 3, .. })));
    }
}

fn stored() -> (TempDir, TempDir, Workspace, PlanStore) {
    let (dir, state) = (project(), tempfile::tempdir().unwrap());
    let workspace = workspace(dir.path());
    let store = PlanStore::of(&StateHome::at(state.path()), &workspace);
    (dir, state, workspace, store)
}

#[test]
fn plans_are_kept_outside_the_tree() {
    let (dir, state, workspace, store) = stored();
    assert!(store.load().unwrap().is_none());
    let plan = store.save(&workspace, &made(&[REPLY]).unwrap().plan).unwrap();
    assert_eq!(store.load().unwrap(), Some(plan.clone()));
    assert!(store.path().starts_with(state.path()) && !store.path().starts_with(dir.path()));
    let plan = mark_done(&store, &workspace, &plan, 1, 12).unwrap();
    assert_eq!(plan.step(1).unwrap().state, StepState::Done { edit: 12 });
    assert_eq!(store.load().unwrap(), Some(plan));
    let left: Vec<String> = std::fs::read_dir(store.path().parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "plan.json" && name != "plan.lock")
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn two_processes_do_not_overwrite_each_other() {
    let (_dir, _state, workspace, store) = stored();
    let first = made(&[REPLY]).unwrap().plan;
    let saved = store.save(&workspace, &first).unwrap();
    assert!(matches!(store.save(&workspace, &first), Err(PlanError::Changed { .. })));
    store.save(&workspace, &saved).unwrap();
}

#[test]
fn a_new_plan_keeps_the_old_one_as_its_past() {
    let dir = project();
    let workspace = workspace(dir.path());
    let old = made(&[REPLY]).unwrap().plan;
    let backend = Scripted::new([" Other\n"]);
    let go = &mut |_: &str| ControlFlow::Continue(());
    let mut plan = write(&backend, &workspace, "other", Some(old.clone()), go).unwrap().plan;
    assert_eq!((plan.steps.len(), plan.past.len()), (1, 1));
    assert!(plan.undo());
    assert_eq!((plan.goal, plan.steps), (old.goal, old.steps));
}

#[test]
fn a_plan_that_cannot_be_read_is_never_lost() {
    let (_dir, _state, workspace, store) = stored();
    let plan = made(&[REPLY]).unwrap().plan;
    store.save(&workspace, &plan).unwrap();
    std::fs::write(store.path(), "{\"version\": 1, \"plan\": [").unwrap();
    assert!(matches!(store.load(), Err(PlanError::Damaged { .. })));
    store.save(&workspace, &plan).unwrap();
    assert!(store.path().with_extension("damaged.json").exists());

    std::fs::write(store.path(), "{\"version\": 9, \"shape\": \"unknown\"}").unwrap();
    assert!(matches!(store.load(), Err(PlanError::Newer { found: 9, known: 1, .. })));
    assert!(store.save(&workspace, &plan).is_err(), "a later version's plan is left alone");
}

#[test]
fn what_cannot_be_planned_says_so() {
    let dir = project();
    let tree_of = workspace(dir.path());
    let run = |backend: &Scripted, goal: &str| {
        write(backend, &tree_of, goal, None, &mut |_| ControlFlow::Continue(())).map(|_| ())
    };
    let silent = || Scripted::new(Vec::<Reply>::new());
    assert_eq!(run(&silent(), "\n").unwrap_err().to_string(), "the goal is empty");
    let error = run(&silent(), &"long ".repeat(10_000)).unwrap_err();
    assert!(matches!(error, PlanError::TooLong { what: "goal", .. }), "{error}");
    let empty = tree(&[]);
    let result =
        write(&silent(), &workspace(empty.path()), "x", None, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(result, Err(PlanError::NoFiles { .. })));
    let result =
        write(&Scripted::new([REPLY]), &tree_of, "x", None, &mut |_| ControlFlow::Break(()));
    assert!(matches!(result, Err(PlanError::Cancelled)));
}

//! An instruction without a file: which files it is about, and why.

use crate::support::Scripted;
use cerium_harness::edit::{EditError, FileChoice, Picked, Why, find_files, pick_file};
use cerium_harness::workspace::Workspace;
use std::fs;
use std::ops::ControlFlow;
use tempfile::TempDir;

fn tree() -> (TempDir, Workspace) {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in [
        (".git/HEAD", ""),
        (
            "src/retry.py",
            "def backoff_seconds(n):\n    \"\"\"How long to wait.\"\"\"\n    return 2 ** n\n",
        ),
        (
            "src/fetch.py",
            "from retry import backoff_seconds\n\n\ndef fetch(url):\n    wait(backoff_seconds(1))\n",
        ),
        ("src/settings.py", "TIMEOUT = 5\n\n\ndef load_settings(path):\n    return path\n"),
        ("README.md", "Retries wait for backoff_seconds. There is a timeout in the settings.\n"),
    ] {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let workspace = Workspace::discover(dir.path()).unwrap();
    (dir, workspace)
}

fn sure(instruction: &str) -> Vec<(String, Why)> {
    match find_files(&tree().1, instruction).unwrap() {
        FileChoice::Sure(picked) => picked.into_iter().map(|p| (p.path, p.why)).collect(),
        unsure @ FileChoice::Unsure(_) => panic!("{unsure:?}"),
    }
}

#[test]
fn paths_and_names_tell() {
    let one = |path: &str, why: Why| vec![(path.to_owned(), why)];
    assert_eq!(sure("add a comment to `settings.py`."), one("src/settings.py", Why::Named));
    assert_eq!(sure("say more in README.md"), one("README.md", Why::Named));
    let declares = Why::Declares("load_settings".to_owned());
    assert_eq!(sure("make load_settings() strict"), one("src/settings.py", declares));
    let holds = || Why::Holds("backoff_seconds".to_owned());
    assert_eq!(
        sure("rename the function backoff_seconds to pause"),
        [("src/fetch.py".to_owned(), holds()), ("src/retry.py".to_owned(), holds())]
    );
}

#[test]
fn else_the_model_picks_from_an_outline() {
    let (_dir, workspace) = tree();
    let instruction = "wait longer before a retry";
    let FileChoice::Unsure(files) = find_files(&workspace, instruction).unwrap() else { panic!() };
    let at = files.iter().position(|path| path == "src/retry.py").unwrap();
    let mut go_on = || ControlFlow::Continue(());
    let model = Scripted::new([format!("{}", at + 1).as_str()]);
    let picked = pick_file(&model, &workspace, instruction, &files, &mut go_on).unwrap();
    let why = Why::Chosen(files.len());
    assert_eq!(picked, Picked { path: "src/retry.py".to_owned(), why });
    for nonsense in ["99", "none of them", ""] {
        let model = Scripted::new([nonsense]);
        let picked = pick_file(&model, &workspace, instruction, &files, &mut go_on);
        assert!(matches!(picked, Err(EditError::NoFile)), "{nonsense}");
    }
}

#[test]
fn nothing_that_matches_is_an_error_with_a_hint() {
    let error = find_files(&tree().1, "zzz qqq").unwrap_err();
    assert_eq!(error.to_string(), "nothing in this tree matches the instruction");
    assert_eq!(error.hint().unwrap(), "name the file: cerium edit FILE -i TEXT");
    assert!(matches!(find_files(&tree().1, " "), Err(EditError::EmptyInstruction)));
}

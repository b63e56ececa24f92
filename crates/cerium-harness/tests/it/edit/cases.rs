//! Answers of every sloppiness: each folder of `tests/data/edits` is a case.
//!
//! `before.EXT`, the `instruction` and the `reply` of the model (`reply-2` to its second request)
//! must give `after.EXT`, byte for byte, or the message in `error`. `lines` binds the edit to lines
//! (`3:9`); a file named `cut` or `cut-2` says that the answer was cut by a limit, one
//! named `talks` that the answer is not made to begin inside a fence.
//! `UPDATE=1` writes what came out.

use super::Desk;
use crate::support::{Reply, Scripted};
use cerium_harness::edit::{apply, draft_receipt};
use cerium_harness::lines::LineSpan;
use std::fs;
use std::path::{Path, PathBuf};

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/edits");
    let mut cases: Vec<PathBuf> = fs::read_dir(root).unwrap().map(|e| e.unwrap().path()).collect();
    cases.sort();
    cases
}

fn before(case: &Path) -> PathBuf {
    let mut files = fs::read_dir(case).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| path.file_stem().is_some_and(|stem| stem == "before")).unwrap()
}

/// The bytes after the edit, or the message.
fn outcome(case: &Path) -> Result<Vec<u8>, String> {
    let before = before(case);
    let extension = before.extension().unwrap().to_str().unwrap();
    let desk = Desk::new(&format!("file.{extension}"), fs::read(&before).unwrap());
    let replies = ["", "-2"].iter().filter_map(|n| {
        let text = fs::read_to_string(case.join(format!("reply{n}"))).ok()?;
        let cut = case.join(format!("cut{n}")).exists();
        Some(if cut { Reply::Cut(text) } else { Reply::Whole(text) })
    });
    let replies: Vec<Reply> = replies.collect();
    let n_replies = replies.len();
    let model = Scripted::new(replies);
    let mut request = desk.request(&fs::read_to_string(case.join("instruction")).unwrap());
    request.strategy.retries = n_replies - 1;
    request.direct = false;
    request.strategy.start_in_fence = !case.join("talks").exists();
    if let Ok(lines) = fs::read_to_string(case.join("lines")) {
        let (start, end) = lines.trim().split_once(':').unwrap();
        request.lines = Some(LineSpan::new(start.parse().unwrap(), end.parse().unwrap()));
    }
    let proposal = desk.propose(request, &model).map_err(|error| error.to_string())?;
    assert!(draft_receipt(&proposal).is_some(), "{}: bytes outside changed", case.display());
    if model.asked().len() != n_replies {
        return Err(format!("asked {} times instead of {n_replies}", model.asked().len()));
    }
    let old = desk.bytes();
    let receipt = apply(&proposal, &desk.journal()).unwrap();
    assert!(receipt.parse_errors_after <= receipt.parse_errors_before);
    let new = desk.bytes();
    desk.journal().undo(receipt.undo).unwrap();
    assert_eq!(desk.bytes(), old, "{}: undo", case.display());
    Ok(new)
}

#[test]
fn replies_become_edits_or_refusals() {
    let cases = cases();
    assert!(cases.len() >= 30, "cases are missing: {}", cases.len());
    for case in cases {
        let got = outcome(&case);
        let after = before(&case).to_str().unwrap().replace("before.", "after.");
        let (after, error) = (PathBuf::from(after), case.join("error"));
        if std::env::var_os("UPDATE").is_some() {
            let _ = (fs::remove_file(&after), fs::remove_file(&error));
            match &got {
                Ok(bytes) => fs::write(&after, bytes).unwrap(),
                Err(message) => fs::write(&error, format!("{message}\n")).unwrap(),
            }
        }
        match got {
            Ok(bytes) => {
                let wanted = fs::read(&after).unwrap_or_default();
                let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                assert_eq!(show(&bytes), show(&wanted), "{}", case.display());
            }
            Err(message) => {
                let wanted = fs::read_to_string(&error).unwrap_or_default();
                assert_eq!(message, wanted.trim_end(), "{}", case.display());
            }
        }
    }
}

//! Instructions that need no model: carried out exactly, or left to the model.

use super::Desk;
use crate::support::Scripted;
use cerium_harness::edit::{Route, apply, plan_edit};

/// The file after the edit, or nothing when a model would have been asked.
fn direct(name: &str, text: &str, instruction: &str) -> Option<String> {
    let desk = Desk::new(name, text);
    let prepared = plan_edit(&desk.workspace(), desk.request(instruction)).unwrap();
    let proposal = prepared.direct()?;
    assert_eq!(proposal.route, Route::Direct);
    assert_eq!(proposal.stats.usage.output_tokens, 0);
    apply(proposal, &desk.journal()).unwrap();
    Some(desk.text())
}

const PY: &str = r#"import os

__all__ = ["load_all", "Reader"]


def load_all(path, limit=10):
    """Load everything.

    :param limit: how much, not the limit of the disk
    """
    count = 0
    for name in os.listdir(path):
        count = count + 1
        open_one(name, limit=limit)
    return f"{count} of {limit}"


class Reader:
    total: int

    def __init__(self, path):
        self.path = path
        self.total = 0

    def read_all(self):
        # read_all is slow
        self.total += len(load_all(self.path))
        return self.total

    def __repr__(self):
        return "Reader"


def total_of(reader):
    return reader.read_all()
"#;

fn py(instruction: &str) -> Option<String> {
    direct("f.py", PY, instruction)
}

#[test]
fn a_local_is_renamed_in_its_function_only() {
    let after = py("rename count to n_files in load_all").unwrap();
    assert_eq!(after, PY.replace("count", "n_files"));
}

#[test]
fn a_parameter_keeps_the_keywords_of_others() {
    let after = py("in load_all rename the limit parameter to n_max").unwrap();
    let wanted = PY
        .replace("limit=10", "n_max=10")
        .replace(":param limit:", ":param n_max:")
        .replace("limit=limit", "limit=n_max")
        .replace("of {limit}", "of {n_max}");
    assert_eq!(after, wanted);
}

#[test]
fn a_function_is_renamed_with_its_uses_and_exports() {
    let after = py("rename load_all to load_every").unwrap();
    assert_eq!(after, PY.replace("load_all", "load_every"));
}

#[test]
fn a_method_is_renamed_with_its_callers() {
    let after = py("Rename Reader.read_all to read, including callers.").unwrap();
    assert_eq!(after, PY.replace("read_all", "read"));
}

#[test]
fn an_attribute_is_told_from_other_names() {
    let after = py("total -> n_bytes in Reader, all uses").unwrap();
    assert_eq!(after, PY.replace("total:", "n_bytes:").replace(".total", ".n_bytes"));
}

#[test]
fn a_method_nobody_calls_is_deleted_with_its_blank_lines() {
    let after = py("delete Reader.__repr__, the default will do").unwrap();
    assert_eq!(after, PY.replace("\n    def __repr__(self):\n        return \"Reader\"\n", ""));
}

#[test]
fn what_is_not_clear_is_left_to_the_model() {
    for instruction in [
        "rename path to dir",                // a parameter of two functions
        "rename os to system",               // imported
        "rename count to limit in load_all", // taken
        "rename count to class in load_all", // a keyword
        "rename nothing to something",       // not there
        "rename count to n in total_of",     // not there
        "remove load_all",                   // used
        "remove Reader.read_all",            // used
        "rename count to n_files in load_all and log it",
        "delete Reader.nothing",
    ] {
        assert_eq!(py(instruction), None, "{instruction}");
    }
}

#[test]
fn it_can_be_switched_off() {
    let desk = Desk::new("f.py", PY);
    let mut request = desk.request("rename count to n_files in load_all");
    request.direct = false;
    let prepared = plan_edit(&desk.workspace(), request).unwrap();
    assert!(prepared.needs_model());
}

#[test]
fn it_stays_within_the_lines_given() {
    let desk = Desk::new("f.py", PY);
    let mut request = desk.request("rename load_all to load_every");
    request.lines = Some(cerium_harness::lines::LineSpan::new(6, 15));
    let prepared = plan_edit(&desk.workspace(), request).unwrap();
    assert!(prepared.needs_model());
    let mut request = desk.request("rename total to n_bytes everywhere");
    request.symbol = Some("load_all".to_owned());
    let prepared = plan_edit(&desk.workspace(), request).unwrap();
    assert!(prepared.needs_model());
}

#[test]
fn no_model_is_asked() {
    let desk = Desk::new("f.py", PY);
    let model = Scripted::new(Vec::<&str>::new());
    let proposal = desk.propose(desk.request("rename load_all to load_every"), &model).unwrap();
    assert_eq!(proposal.scope.n_lines(), 3);
}

#[test]
fn rust_shorthands_and_format_strings_follow() {
    let text = "\
struct Point { left: i32, top: i32 }

impl Point {
    fn new(left: i32, top: i32) -> Self {
        println!(\"{left} {top:>3} {{left}}\");
        Self { left, top }
    }

    fn area(&self) -> i32 {
        self.left * self.top
    }
}
";
    assert_eq!(
        direct("f.rs", text, "rename the left field of Point to x").unwrap(),
        text.replace("Point { left: i32", "Point { x: i32")
            .replace("Self { left, top }", "Self { x: left, top }")
            .replace("self.left", "self.x")
    );
    assert_eq!(
        direct("f.rs", text, "in Point.new rename left to x").unwrap(),
        text.replace("new(left", "new(x")
            .replace("\"{left}", "\"{x}")
            .replace("Self { left, top }", "Self { left: x, top }")
    );
    assert_eq!(
        direct("f.rs", text, "rename top to y everywhere").unwrap(),
        text.replace("top", "y")
    );
    assert_eq!(direct("f.rs", text, "rename top to y"), None, "a field and a parameter");
}

#[test]
fn javascript_members_and_jsdoc_follow() {
    let text = "\
/**
 * @param {number} freq how often, a freq of 0 is never
 */
function throttle(freq) {
  return 1000 / freq;
}

class Bus {
  constructor() { this._subs = []; }
  on(f) { this._subs.push(f); }
  off(f) { const subs = this._subs; }
}
";
    assert_eq!(
        direct("f.js", text, "rename the freq parameter to perSecond").unwrap(),
        text.replace("} freq how", "} perSecond how")
            .replace("(freq)", "(perSecond)")
            .replace("/ freq", "/ perSecond")
    );
    assert_eq!(
        direct("f.js", text, "_subs -> _listeners").unwrap(),
        text.replace("_subs", "_listeners")
    );
    assert_eq!(
        direct("f.js", text, "remove off").unwrap(),
        text.replace("  off(f) { const subs = this._subs; }\n", "")
    );
}

#[test]
fn line_endings_are_left_alone() {
    let text = PY.replace('\n', "\r\n");
    let after = direct("f.py", &text, "rename count to n_files in load_all").unwrap();
    assert_eq!(after, text.replace("count", "n_files"));
}

//! What a project asks of changes: `AGENTS.md` in the prompt, `.editorconfig` in the new lines.

use super::Desk;
use crate::support::{Scripted, prompt as prompt_of};
use cerium_harness::lines::LineSpan;
use std::fs;

#[test]
fn agents_md_comes_first_and_without_it_the_prompt_says_nothing_of_it() {
    let prompt = |guide: Option<&str>, n_lines: usize| {
        let text: String =
            (0..n_lines).map(|n| format!("def f{n}():\n    return {n}\n\n\n")).collect();
        let desk = Desk::new("f.py", text);
        if let Some(guide) = guide {
            fs::write(desk.path().with_file_name("AGENTS.md"), guide).unwrap();
        }
        let model = Scripted::new(["def f0():\n    return 7\n"]);
        let mut request = desk.request("return 7");
        request.lines = Some(LineSpan::new(1, 2));
        desk.propose(request, &model).unwrap();
        prompt_of(&model.asked()[0])
    };
    for n_lines in [1, 60] {
        let (without, with) = (prompt(None, n_lines), prompt(Some("Be brief.\n"), n_lines));
        assert_eq!(with, format!("Conventions of this project:\nBe brief.\n\n{without}"));
    }
}

#[test]
fn new_lines_look_as_editorconfig_asks_where_the_file_does_not_tell() {
    let desk = Desk::new("f.py", "def f():");
    let config = "root = true\n[*.py]\nindent_style = tab\nend_of_line = crlf\n\
                  insert_final_newline = true\ntrim_trailing_whitespace = true\n";
    fs::write(desk.path().with_file_name(".editorconfig"), config).unwrap();
    let mut request = desk.request("add a body");
    request.lines = Some(LineSpan::line(1));
    let model = Scripted::new(["def f():\n    if x:  \n        return 1\n"]);
    let proposal = desk.propose(request, &model).unwrap();
    assert_eq!(proposal.after, "def f():\r\n\tif x:\r\n\t\treturn 1\r\n");
}

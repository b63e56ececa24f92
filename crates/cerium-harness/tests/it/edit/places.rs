//! Where an instruction leads: the scope it gets, and the prompt that shows it.

use super::Desk;
use crate::support::{Scripted, prompt};
use cerium_harness::edit::{
    Choice, EditRequest, Strategy, View, plan_text, run_edit, scope_of, warm,
};
use cerium_harness::files::SourceFile;
use cerium_harness::lines::LineSpan;
use std::fmt::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// A file of some length with a bit of everything.
fn shop() -> String {
    let mut text = String::from(
        "\"\"\"A shop.\"\"\"\n\nimport json\nimport os\n\nCURRENCY = \"EUR\"\nTAX = 0.2\n\n\n\
         class Item:\n    name: str\n    price: float\n\n    def __init__(self, name, price):\n        \
         self.name = name\n        self.price = price\n\n\n",
    );
    for n in 0..12 {
        let _ = write!(
            text,
            "def helper_{n}(value):\n    # step {n}\n    result = value * {n}\n    return result\n\n\n"
        );
    }
    text.push_str(
        "def checkout(cart, retries=3):\n    \"\"\"Pay for a cart.\n\n    More text.\n    \"\"\"\n",
    );
    for n in 0..20 {
        let _ = writeln!(text, "    part_{n} = cart.lines[{n}]");
    }
    text.push_str(
        "    if not cart.lines:\n        raise ValueError(\"empty\")\n    \
         print(\"listening on port 3000\")\n    try:\n        pay(cart)\n    except OSError:\n        \
         return False\n    return json.dumps(cart, indent=2)\n\n\n\
         def pay(cart):\n    return sum(item.price for item in cart.lines)\n",
    );
    text
}

/// The lines of the scope, regions apart.
fn place(instruction: &str) -> String {
    let text = shop();
    let view = View::new(Path::new("shop.py"), &text);
    let (scope, mark) = match scope_of(&view, instruction, &Strategy::default()) {
        Choice::Scope(scope) => (scope, ""),
        Choice::Unsure(scope) => (scope, " ?"),
    };
    let lines: Vec<&str> = text.lines().collect();
    let mut out = format!("{:?}{mark}\n", scope.source);
    for region in &scope.regions {
        let _ = writeln!(out, "-- {}", region.declaration.as_deref().unwrap_or("file"));
        for line in &lines[region.lines.start - 1..region.lines.end] {
            let _ = writeln!(out, "{line}");
        }
    }
    out
}

#[test]
fn a_short_function_that_is_named_is_taken_whole() {
    insta::assert_snapshot!(place("let helper_3 return None for negative values"));
}

#[test]
fn of_a_long_function_only_what_is_spoken_of() {
    insta::assert_snapshot!(place("catch ValueError too where checkout catches OSError"));
    insta::assert_snapshot!(place("add a docstring line about taxes to checkout"));
    insta::assert_snapshot!(place("give checkout an `indent` parameter and pass it to json.dumps"));
}

#[test]
fn a_constant_comes_with_its_place() {
    insta::assert_snapshot!(place("make the 3000 a constant PORT and use it in checkout"));
}

#[test]
fn an_import_comes_with_its_place() {
    insta::assert_snapshot!(place("decorate helper_7 with @functools.cache"));
}

#[test]
fn words_lead_to_the_lines_that_share_them() {
    insta::assert_snapshot!(place("listen on port 8080"));
    insta::assert_snapshot!(place("indent the json by 4"));
}

#[test]
fn nothing_to_go_by_is_admitted() {
    insta::assert_snapshot!(place("greet the world nicely").lines().next().unwrap());
}

#[test]
fn the_prompt_shows_the_place_and_ends_with_the_instruction() {
    let desk = Desk::new("shop.py", shop());
    let mut request = desk.request("catch ValueError too where checkout catches OSError");
    request.strategy.retries = 0;
    let model = Scripted::new([""]);
    desk.propose(request, &model).unwrap_err();
    let asked = &model.asked()[0];
    let cerium = &asked.cerium;
    insta::assert_snapshot!(format!(
        "{}\n----\n{}\n----\n{}\n----\n{:?} {:?}",
        asked.instructions.as_deref().unwrap(),
        prompt(asked),
        cerium.prefix,
        cerium.stop,
        asked.max_output_tokens
    ));
}

#[test]
fn several_regions_are_numbered() {
    let desk = Desk::new("shop.py", shop());
    let mut request = desk.request("make the 3000 a constant PORT and use it in checkout");
    request.strategy.retries = 0;
    let model = Scripted::new([""]);
    desk.propose(request, &model).unwrap_err();
    insta::assert_snapshot!(prompt(&model.asked()[0]));
}

#[test]
fn a_place_is_asked_for_when_nothing_speaks_for_one() {
    let desk = Desk::new("shop.py", shop());
    let text = shop();
    let line = text.lines().position(|l| l.starts_with("def pay")).unwrap() + 1;
    let model = Scripted::new([
        line.to_string(),
        "def pay(cart):\n    print(\"hello world\")\n    return sum(item.price for item in cart.lines)\n".to_owned(),
    ].iter().map(String::as_str));
    let proposal = desk.propose(desk.request("greet the world nicely"), &model).unwrap();
    assert!(proposal.after.contains("def pay(cart):\n    print(\"hello world\")\n"));
    insta::assert_snapshot!(prompt(&model.asked()[0]));
}

#[test]
fn an_unchanged_answer_is_asked_for_again_with_more_to_see() {
    let desk = Desk::new("shop.py", shop());
    let mut request = desk.request("never give up where OSError is caught in Item");
    request.strategy.unit_lines_max = 4;
    request.symbol = Some("Item.__init__".to_owned());
    let same = "    def __init__(self, name, price):\n        self.name = name\n        self.price = price\n";
    let wider = "class Item:\n    name: str\n    price: float\n    tax = 1\n\n";
    let model =
        Scripted::new([same.to_owned(), format!("{wider}{same}")].iter().map(String::as_str));
    let proposal = desk.propose(request, &model).unwrap();
    assert!(proposal.after.contains("    tax = 1\n"));
    assert_eq!(proposal.scope.regions[0].declaration.as_deref(), Some("Item"));
    assert_eq!(proposal.stats.retries, 1);
}

#[test]
fn an_answer_about_the_code_around_is_asked_for_again_without_it() {
    let total = "def total(prices):\n    return sum(prices)\n";
    let other = "def names(items):\n    return [item.name for item in items]\n";
    let desk = Desk::new("shop.py", format!("{total}\n\n{other}"));
    let right = total.replace("sum(prices)", "round(sum(prices), 2)");
    let again = other.replace("items]", "items if item.name]");
    let marked = format!("# (the code to edit is here)\n\n\n{other}");
    for wrong in [again, marked] {
        let mut request = desk.request("round to two digits");
        request.symbol = Some("total".to_owned());
        let model = Scripted::new([&*wrong, &*right]);
        let proposal = desk.propose(request, &model).unwrap();
        assert_eq!(proposal.after, format!("{right}\n\n{other}"));
        assert_eq!(proposal.stats.retries, 1);
        let [first, second] = &model.asked()[..] else { panic!("two questions") };
        assert!(prompt(first).contains("def names"));
        assert!(prompt(second).contains(total) && !prompt(second).contains("def names"));
    }
    // Who speaks of it may want it there.
    let mut request = desk.request("put a copy of names before it that skips empty ones");
    request.symbol = Some("total".to_owned());
    let both = format!("{other}\n\n{total}");
    let proposal = desk.propose(request, &Scripted::new([&*both])).unwrap();
    assert_eq!(proposal.after, format!("{both}\n\n{other}"));
}

#[test]
fn a_whole_file_is_asked_for_plainly_with_its_head_given() {
    let desk = Desk::new("f.py", "\ndef f(x):\n    \"\"\"One less.\"\"\"\n    return x\n");
    let model = Scripted::new(["    return x - 1\n"]);
    let proposal = desk.propose(desk.request("Fix the bugs"), &model).unwrap();
    assert_eq!(proposal.after, "\ndef f(x):\n    \"\"\"One less.\"\"\"\n    return x - 1\n");
    let request = &model.asked()[0];
    assert_eq!(request.instructions, None);
    assert_eq!(request.cerium.prefix, "```python\n\ndef f(x):\n    \"\"\"One less.\"\"\"\n");
}

/// What is read ahead of a line of the shop, and what an instruction about the place asks.
fn ahead(line: usize, instruction: &str) -> (Scripted, String) {
    let backend = Scripted::new(["nothing\n"; 2]);
    let file = SourceFile::from_text(PathBuf::new(), "shop.py".into(), shop(), false);
    warm(&backend, &file, LineSpan::line(line), &Strategy::default());
    let request = EditRequest { direct: false, ..EditRequest::new("shop.py", instruction) };
    let prepared = plan_text(file, request).unwrap();
    // What comes of it does not matter.
    let _ = run_edit(&backend, &prepared, &mut |_| ControlFlow::Continue(()));
    let asked = prompt(&backend.asked()[0]);
    (backend, asked)
}

#[test]
fn what_is_read_ahead_is_all_but_the_instruction() {
    let line = 1 + shop().lines().position(|line| line.contains("step 3")).unwrap();
    let (backend, asked) = ahead(line, "let helper_3 return None for negative values");
    let warmed = &backend.warmed()[0];
    assert!(!warmed.generate);
    assert_eq!(warmed.instructions, backend.asked()[0].instructions);
    let left = asked.strip_prefix(&prompt(warmed)).expect("the same beginning");
    assert_eq!(left, "\nInstruction: let helper_3 return None for negative values\n");
}

#[test]
fn comments_are_read_ahead_for_who_speaks_of_them_and_very_long_code_is_not() {
    let text = "import os\n\n# What it costs.\ndef price(n):\n    return 2 * n\n\n\ndef other():\n    pass\n";
    let file = SourceFile::from_text(PathBuf::new(), "shop.py".into(), text.into(), false);
    let ahead = |line, strategy: &Strategy| {
        let backend = Scripted::new([""; 0]);
        warm(&backend, &file, LineSpan::line(line), strategy);
        backend.warmed().iter().map(prompt).collect::<Vec<_>>()
    };
    let all = ahead(5, &Strategy::default());
    let edits = |prompt: &str, code: &str| prompt.contains(&format!("to edit:\n```python\n{code}"));
    assert!(edits(&all[0], "def price(n):\n    return 2 * n\n```"), "{all:#?}");
    assert!(edits(&all[1], "# What it costs.\ndef price(n):"), "{all:#?}");
    // For who is asked again there is what is around it.
    assert!(all[2].starts_with("This is the file `shop.py`"), "{all:#?}");
    let all = ahead(8, &Strategy::default());
    assert!(edits(&all[0], "def other():\n    pass\n```"), "{all:#?}");
    assert!(all[1].starts_with("This is the file `shop.py`"), "{all:#?}");
    // A line of no declaration means all of a small file.
    assert_eq!(ahead(1, &Strategy::default()), all[1..]);
    let short = Strategy { vague_whole_lines_max: 1, ..Strategy::default() };
    assert_eq!((ahead(5, &short), ahead(1, &short)), (Vec::new(), Vec::new()));
}

//! A conversation at a terminal, with a real model, from the first question to the last edit taken back.

use crate::picture;
use crate::screen::{DOWN, ENTER, ESC, RIGHT, Screen};
use crate::world::{Ran, World};
use cerium_hub::{Home, test_model};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

/// A small program, and a machine with the model that is used unless another one is named.
fn shop() -> (World, PathBuf) {
    let world = World::new();
    let shop = world.tree().parent().unwrap().join("shop");
    fs::create_dir_all(shop.join(".git")).unwrap();
    for file in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/shop")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), shop.join(file.file_name())).unwrap();
    }
    let inventory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/inventory.py");
    fs::copy(inventory, shop.join("inventory.py")).unwrap();
    test_model("qwen2.5-coder-0.5b");
    let models = Home::from_env().unwrap().models_dir();
    fs::create_dir(world.path("home")).unwrap();
    symlink(models.canonicalize().unwrap(), world.path("home/models")).unwrap();
    (world, shop)
}

/// The screen without what depends on the clock and the machine: times, speeds, what drafts came to.
fn recorded(screen: &mut Screen) -> String {
    masked(&screen.settles().text())
}

fn masked(text: &str) -> String {
    let line = |line: &str| match line.split_once("TTFT") {
        Some((model, _)) => format!("{} (figures)\n", model.trim_end()),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// The picture of the guide is this screen. `INSTA_UPDATE=always` draws it anew.
fn assert_picture(screen: &Screen) {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/pictures/terminal.svg");
    let drawn = picture::svg(screen.screen());
    if std::env::var_os("INSTA_UPDATE").is_some_and(|update| update == "always") {
        fs::write(file, &drawn).unwrap();
    }
    let kept = fs::read_to_string(file).unwrap_or_default();
    assert!(masked(&kept) == masked(&drawn), "docs/pictures/terminal.svg shows another screen");
}

#[test]
fn from_a_question_to_an_edit_taken_back() {
    let (world, shop) = shop();
    let read = |file: &str| fs::read_to_string(shop.join(file)).unwrap();
    let mut screen = Screen::open(&world, &shop);
    screen.types("cerium\r").sees("Ask about this tree").sees("qwen2.5-coder-0.5b");

    screen.says("where is the tax added?").rests();
    insta::assert_snapshot!("session 1, ask", recorded(&mut screen));

    screen.says("/plan remove raises ValueError in inventory.py").sees("a plan of").rests();
    insta::assert_snapshot!("session 2, plan", recorded(&mut screen));
    screen.says("/revise step 1: raise LookupError instead").sees("is revised").rests();
    insta::assert_snapshot!("session 3, revise", recorded(&mut screen));

    let before = read("inventory.py");
    screen.says("/apply 1").sees("Enter applies it");
    insta::assert_snapshot!("session 4, apply", recorded(&mut screen));
    assert_eq!(read("inventory.py"), before, "nothing is written before a word");
    screen.types(ENTER).sees("applied as edit 1").sees("plan 1/1").rests();
    let applied = read("inventory.py");
    assert_eq!(applied, before.replace("KeyError", "LookupError"));

    // Redirected in the middle, it is what both instructions would have given at once.
    screen.types("\u{1b}OQ").says("/edit prices.py add type hints to all functions");
    screen.sees("writing prices.py").says("use int for cents").sees("Enter applies it");
    insta::assert_snapshot!("session 5, redirected", recorded(&mut screen));
    let both = "add type hints to all functions. use int for cents";
    let mut at_once = world.command(&["edit", "prices.py", "-i", both, "--dry-run"]);
    let at_once = Ran::of(at_once.current_dir(&shop)).ok().stdout;
    let added: Vec<&str> = at_once.lines().filter_map(|line| line.strip_prefix("+def")).collect();
    let text = screen.text();
    // The third one is below.
    assert_eq!(added.len(), 3, "{at_once}");
    assert!(added[..2].iter().all(|line| text.contains(line)), "{text}\nis not\n{at_once}");

    // One of its three places is rejected.
    let before = read("prices.py");
    screen.types(RIGHT).types(DOWN).types(" ").sees("Enter applies 2 of 3");
    insta::assert_snapshot!("session 6, a hunk rejected", recorded(&mut screen));
    assert_picture(&screen);
    screen.types(ENTER).sees("applied as edit 3").rests();
    let hinted = before.replace("def price(name):", &format!("def{}", added[0]));
    let hinted = hinted.replace("def discount(cents, percent):", &format!("def{}", added[2]));
    assert_eq!(read("prices.py"), hinted);

    screen.says("/undo").sees("undid edit 3").rests();
    insta::assert_snapshot!("session 7, undo", recorded(&mut screen));
    assert_eq!((read("prices.py"), read("inventory.py")), (before, applied));

    let before = read("report.py");
    screen.says("/edit report.py rename value to worth").sees("Enter applies it");
    screen.types(ESC).sees("not applied").rests();
    assert_eq!(read("report.py"), before);
    screen.types("\u{4}").is_back();
}

#[test]
fn the_terminal_is_the_persons_before_and_after() {
    let world = World::new();
    let mut screen = Screen::open(&world, &world.tree());
    let model = test_model("smollm2-135m").display().to_string();
    let modes = |screen: &Screen| {
        let screen = screen.screen();
        (screen.alternate_screen(), screen.bracketed_paste(), screen.mouse_protocol_mode())
    };
    let before = modes(&screen);
    let run = format!("sh -c 'echo $$ > ../pid; exec cerium --model {model}'\r");
    screen.types(&run).sees("Ask about this tree").sees("\n SmolLM2");
    assert_eq!(modes(&screen), (true, true, vt100::MouseProtocolMode::PressRelease));

    // Nothing is sent while nothing happens, and little where little does.
    screen.settles();
    let n_bytes = screen.n_bytes;
    assert!(!screen.hears(Duration::from_secs(1)));
    screen.types("abc").sees("\u{203a} abc");
    assert!(screen.n_bytes - n_bytes < 300, "{} bytes", screen.n_bytes - n_bytes);

    // Two pasted lines are one text, at any size.
    screen.types("\u{15}\u{1b}[200~first line\nsecond line\u{1b}[201~").sees("second line");
    screen.resize(12, 40).until("a narrow screen", |screen| {
        screen.lines().last().is_some_and(|line| line.contains("SmolLM2"))
            && screen.lines().any(|line| line == "ask \u{203a} first line")
    });
    // The reader of events may keep a key that comes with a new size back until the next one: crossterm 0.29.
    screen.resize(24, 80).until("a wide screen", |screen| {
        screen.lines().nth(23).is_some_and(|line| line.contains("SmolLM2"))
    });

    // To the shell for a while.
    screen.types("\u{1a}").is_back();
    assert_eq!(modes(&screen), before);
    screen.types("stty -a | tr ' ' '\\n' | grep icanon; fg\r").sees("second line");
    assert_eq!(modes(&screen), (true, true, vt100::MouseProtocolMode::PressRelease));

    // A signal ends it in order.
    let pid = fs::read_to_string(world.path("pid")).unwrap().trim().parse().unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    screen.is_back();
    assert_eq!(modes(&screen), before);
    assert!(!screen.screen().hide_cursor());
    screen.types("echo code $?\r").sees("code 130");
}

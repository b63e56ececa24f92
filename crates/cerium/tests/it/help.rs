//! Help, completions, and what is typed wrongly.

use crate::world::{Ran, World};
use std::process::Command;

#[test]
fn help_is_a_contract() {
    let world = World::new();
    for command in [
        "", "edit", "ask", "plan", "run", "log", "complete", "serve", "lsp", "keys", "pull",
        "cache", "bench", "why",
    ] {
        let args: Vec<_> = [command, "--help"].into_iter().filter(|arg| !arg.is_empty()).collect();
        let ran = world.run(&args).ok();
        assert_eq!(ran.stderr, "");
        insta::assert_snapshot!(format!("help {command}").trim(), ran.stdout);
    }
}

#[test]
fn the_bare_command_shows_what_there_is() {
    let world = World::new();
    let ran = world.run(&[]).ok();
    assert!(ran.stdout.starts_with("Real-time coding on the machine you have"), "{ran:#?}");
    assert!(!ran.stdout.contains('\u{1b}'), "colours in a pipe: {ran:#?}");
}

#[test]
fn what_cannot_be_read_exits_with_2() {
    let world = World::new();
    for args in [
        &["--bogus"][..],
        &["bogus"],
        &["edit"],
        &["edit", "calc.py"],
        &["edit", "-i", "zzz"],
        &["edit", "-i", "x", "--lines", "1:2"],
        &["edit", "calc.py", "-i", "x", "--lines", "9:3"],
        &["edit", "calc.py", "-i", "x", "--lines", "0:3"],
        &["edit", "calc.py", "-i", "x", "--lines", "1:2", "--symbol", "main"],
        &["edit", "calc.py", "-i", "x", "--yes", "--dry-run"],
        &["edit", "calc.py", "calc.py", "-i", "x", "--lines", "1:2"],
        &["plan", "x", "--apply", "1"],
        &["plan", "--apply", "0"],
        &["plan", "--yes"],
        &["complete", "calc.py"],
        &["complete", "calc.py:0:1"],
        &["serve", "--listen", "nowhere"],
        &["log", "--threads", "0"],
        &["log", "--threads", "many"],
        &["completions", "cmd.exe"],
        &["undo", "last"],
        &["run"],
        &["run", "--network", "--no-sandbox", "true"],
        &["run", " "],
        &["log", "7"],
        &["bench", "verify", "--k", "0"],
        &["bench", "prefill", "--rounds", "0"],
        &["rm"],
        &["keys", "create"],
        &["keys", "create", "a\nb"],
        &["keys", "revoke", "cer-0"],
    ] {
        let ran = world.run(args).exits(2).says("error:");
        assert_eq!(ran.stdout, "", "{args:?}");
    }
}

#[test]
fn every_shell_gets_completions() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish"] {
        let ran = world.run(&["completions", shell]).ok();
        for word in ["edit", "undo", "dry-run", "listen"] {
            assert!(ran.stdout.contains(word), "{shell}: no {word}");
        }
    }
}

#[test]
fn a_real_shell_completes() {
    let world = World::new();
    let complete = |words: &str| {
        let script = format!(
            "source <({} completions bash); COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
             _cerium cerium \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD - 1]}}\"
             echo \"${{COMPREPLY[*]}}\"",
            env!("CARGO_BIN_EXE_cerium"),
        );
        let mut shell = Command::new("bash");
        world.environment(&mut shell);
        Ran::of(shell.args(["--norc", "-c", &script])).ok().stdout
    };
    assert_eq!(complete("cerium ed"), "edit\n");
    assert_eq!(complete("cerium edit --dry"), "--dry-run\n");
    assert_eq!(complete("cerium keys cr"), "create\n");
    assert_eq!(complete("cerium --kv ''"), "f16 q8\n");
}

#[test]
fn every_command_that_is_listed_has_a_manual_page() {
    let world = World::new();
    let dir = world.path("share/man1");
    world.run(&["man", dir.to_str().unwrap()]).ok();
    let page = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap();
    let help = world.run(&["--help"]).ok().stdout;
    let listed = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    for line in listed.lines() {
        let (name, about) = line.trim().split_once(' ').unwrap();
        let page = page(&format!("cerium-{name}.1"));
        assert!(page.contains(".SH SYNOPSIS"), "{page}");
        assert!(page.contains(&about.trim().replace('-', "\\-")), "{page}");
    }
    assert!(page("cerium.1").contains("cerium\\-edit(1)"));
    assert!(page("cerium-keys-create.1").contains("tier"));
    assert!(
        page("cerium-edit.1").contains("cerium undo"),
        "what stands below the flags is told, too"
    );
    assert!(!dir.join("cerium-engine.1").exists(), "hidden");
    world.run(&["man", "calc.py/x"]).exits(2).says("writing manual pages into `calc.py/x`");
}

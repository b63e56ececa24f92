//! Input that cannot be worked with: a clear error, exit code 2, nothing changed, and no model
//! asked (there is none on this machine).

use crate::world::{CALC, World};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

/// Editing this path says this; nothing in the journal.
#[track_caller]
fn refuses(world: &World, path: &str, message: &str) {
    let ran = world.run(&["edit", path, "-i", "make it faster", "--yes", "--json"]).exits(2);
    assert!(ran.json()["error"].as_str().unwrap().contains(message), "{ran:#?}");
    ran.says("error: ").says(message);
    assert_eq!(world.n_edits(), 0);
}

#[test]
fn files_that_cannot_be_edited_are_refused() {
    let world = World::new();
    world.write("latin1.py", b"name = 'caf\xe9'\n");
    refuses(&world, "latin1.py", "`latin1.py` is not UTF-8: byte 0xe9 on line 1");
    world.write("utf16.py", b"\xff\xfea\0b\0");
    refuses(&world, "utf16.py", "is UTF-16 by its byte order mark");
    world.write("binary.py", b"a\0b");
    refuses(&world, "binary.py", "looks binary");
    refuses(&world, ".", "is a directory, not a regular file");
    refuses(&world, "gone.py", "cannot find `gone.py`");
    refuses(&world, "/dev/null", "is a device or a pipe, not a regular file");
    let ran = world.run(&["edit", "calc.py", "-i", "  "]).exits(2);
    ran.says("the instruction is empty");
}

#[test]
fn a_huge_file_is_refused_unread() {
    let world = World::new();
    world.write("huge.py", vec![b'#'; 50 << 20]);
    refuses(&world, "huge.py", "`huge.py` has 52428800 bytes");
}

#[test]
fn a_read_only_file_is_refused() {
    let world = World::new();
    fs::set_permissions(world.tree().join("calc.py"), Permissions::from_mode(0o444)).unwrap();
    refuses(&world, "calc.py", "`calc.py` is read-only");
    assert_eq!(world.read("calc.py"), CALC.as_bytes());
}

#[test]
fn links_out_of_the_tree_are_refused() {
    let world = World::new();
    fs::write(world.path("secret.py"), "x = 1\n").unwrap();
    symlink(world.path("secret.py"), world.tree().join("link.py")).unwrap();
    symlink(world.path(""), world.tree().join("up")).unwrap();
    for path in ["link.py", "up/secret.py", "../secret.py"] {
        refuses(&world, path, "outside the tree");
    }
    assert_eq!(fs::read_to_string(world.path("secret.py")).unwrap(), "x = 1\n");
}

#[test]
fn flags_that_name_nothing_are_refused() {
    let world = World::new();
    let edit = |flag: &str, value: &str| {
        world.run(&["edit", "calc.py", "-i", "make it faster", flag, value]).exits(2)
    };
    edit("--lines", "4:40").says("lines 4:40 are not in `calc.py`, which has 9");
    edit("--symbol", "aera")
        .says("`aera` is not declared in `calc.py`")
        .says("hint: it declares area");
    world.run(&["plan"]).exits(2).says("there is no plan for this tree yet");
    world.run(&["plan", "--apply", "1"]).exits(2).says("there is no plan for this tree yet");
    world.run(&["plan", "--revise", "x"]).exits(2).says("there is no plan for this tree yet");
}

#[test]
fn a_working_directory_that_is_gone_is_an_error() {
    let world = World::new();
    let dir = world.tree().join("gone");
    fs::create_dir(&dir).unwrap();
    let binary = env!("CARGO_BIN_EXE_cerium");
    let mut shell = std::process::Command::new("sh");
    world.environment(&mut shell);
    shell.args(["-c", &format!("rmdir {} && {binary} log", dir.display())]).current_dir(&dir);
    crate::world::Ran::of(&mut shell).exits(2).says("finding the working directory");
}

#[test]
fn an_output_nobody_reads_is_not_a_crash() {
    let world = World::new();
    let mut child = world
        .command(&["completions", "bash"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert_eq!(output.status.code(), Some(0));
    // A full disk behind standard output is one, though.
    let full = File::options().write(true).open("/dev/full").unwrap();
    let status = world.command(&["models"]).stdout(full).status().unwrap();
    assert_eq!(status.code(), Some(2));
}

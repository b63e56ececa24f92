//! Where a tree begins, what belongs to it, and that nothing leads out of it.

use crate::support::{tree, workspace};
use cerium_harness::workspace::{
    ReadError, StateHome, WalkLimits, Workspace, WorkspaceError, sole_match, tree_key,
};
use std::fs;
use std::path::Path;

#[test]
fn a_tree_begins_at_the_nearest_git() {
    let dir = tree(&[("a/b/c.txt", ""), ("sub/.git", "gitdir: elsewhere"), ("sub/d/e.txt", "")]);
    let root = dir.path().canonicalize().unwrap();
    let root_of = |path: &str| workspace(&dir.path().join(path)).root().to_owned();
    assert_eq!(root_of("a/b"), root);
    assert_eq!(root_of(""), root);
    assert_eq!(root_of("sub/d"), root.join("sub"), "worktrees have a file named .git");
}

#[test]
fn without_git_the_directory_itself_is_the_tree() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("a/b")).unwrap();
    let inner = dir.path().join("a/b");
    assert_eq!(workspace(&inner).root(), inner.canonicalize().unwrap());
}

#[test]
fn a_file_is_no_working_directory() {
    let dir = tree(&[("a.txt", "")]);
    let error = Workspace::discover(&dir.path().join("a.txt")).unwrap_err();
    assert!(matches!(error, WorkspaceError::NotADirectory { .. }), "{error}");
    let error = Workspace::discover(&dir.path().join("none")).unwrap_err();
    assert!(matches!(error, WorkspaceError::Missing { .. }), "{error}");
}

/// Lists a small tree with some of everything.
fn list(within: &[&str], limits: &WalkLimits) -> (Vec<String>, usize, bool) {
    let dir = tree(&[
        (".gitignore", "*.log\nbuild/\n"),
        (".hidden/secret.py", "x"),
        (".env", "KEY=1"),
        ("build/out.py", "x"),
        ("b.py", "x"),
        ("a.py", "x"),
        ("run.log", "x"),
        ("sub/c.py", "x"),
        ("sub/large.txt", &"x".repeat(2_000)),
    ]);
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("stolen.py"), "x").unwrap();
    std::os::unix::fs::symlink(outside.path(), dir.path().join("link")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("a.py"), dir.path().join("again.py")).unwrap();
    let within: Vec<String> = within.iter().map(|path| (*path).to_owned()).collect();
    let listing = workspace(dir.path()).list(&within, limits);
    (listing.files, listing.n_too_large, listing.cut)
}

#[test]
fn a_listing_leaves_out_what_is_ignored_hidden_linked_or_large() {
    let limits = WalkLimits { file_bytes_max: 1_000, ..WalkLimits::default() };
    let (files, n_too_large, cut) = list(&[], &limits);
    assert_eq!(files, ["a.py", "b.py", "sub/c.py"]);
    assert_eq!((n_too_large, cut), (1, false));
}

#[test]
fn a_listing_ends_at_its_bound() {
    let limits = WalkLimits { n_files_max: 2, ..WalkLimits::default() };
    let (files, _, cut) = list(&[], &limits);
    assert_eq!((files.len(), cut), (2, true));
}

#[test]
fn parts_are_listed_once_and_ignored_files_when_they_are_named() {
    let limits = WalkLimits::default();
    assert_eq!(list(&["sub", "sub/c.py"], &limits).0, ["sub/c.py", "sub/large.txt"]);
    assert_eq!(list(&["run.log"], &limits).0, ["run.log"]);
}

#[test]
fn paths_are_resolved_from_the_working_directory_and_stay_inside() {
    let dir = tree(&[("a.txt", ""), ("sub/b.txt", "")]);
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("o.txt"), "").unwrap();
    std::os::unix::fs::symlink(outside.path(), dir.path().join("sub/out")).unwrap();
    std::os::unix::fs::symlink("../a.txt", dir.path().join("sub/in.txt")).unwrap();
    let workspace = workspace(&dir.path().join("sub"));
    let resolve = |path: &str| match workspace.resolve(Path::new(path)) {
        Ok(path) => path,
        Err(WorkspaceError::Outside { .. }) => "outside".into(),
        Err(WorkspaceError::Missing { .. }) => "missing".into(),
        Err(error) => panic!("{error}"),
    };
    assert_eq!(resolve("b.txt"), "sub/b.txt");
    assert_eq!(resolve("../a.txt"), "a.txt");
    assert_eq!(resolve(".."), "");
    assert_eq!(resolve(dir.path().join("a.txt").to_str().unwrap()), "a.txt");
    assert_eq!(resolve("in.txt"), "a.txt", "a link inside the tree is what it leads to");
    assert_eq!(resolve("out/o.txt"), "outside");
    assert_eq!(resolve("../.."), "outside");
    assert_eq!(resolve("/etc"), "outside");
    assert_eq!(resolve("none.txt"), "missing");
    assert_eq!(resolve("nul\0.txt"), "missing");
    let error = workspace.resolve_in_tree("../../etc").unwrap_err();
    assert!(error.to_string().contains("../../etc"), "{error}");
}

#[test]
fn new_files_are_plain_paths_inside_the_tree() {
    let dir = tree(&[("a.txt", "")]);
    let outside = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(outside.path(), dir.path().join("out")).unwrap();
    std::os::unix::fs::symlink("/none/at/all", dir.path().join("dangling.py")).unwrap();
    let workspace = workspace(dir.path());
    let cases = [
        ("new.py", true),
        ("some/dir/new.py", true),
        ("a.txt", false),
        ("a.txt/new.py", false),
        ("../new.py", false),
        ("sub/../../new.py", false),
        ("/tmp/new.py", false),
        (".git/hooks/pre-commit", false),
        ("out/new.py", false),
        ("dangling.py", false),
        ("dir/", false),
        ("", false),
    ];
    for (path, could) in cases {
        assert_eq!(workspace.could_create(path), could, "{path}");
    }
}

#[test]
fn reading_says_why_it_cannot() {
    let dir = tree(&[("ok.txt", "héllo"), ("large.txt", &"x".repeat(101)), ("sub/a", "")]);
    fs::write(dir.path().join("data"), b"a\0b").unwrap();
    fs::write(dir.path().join("latin1.txt"), b"h\xe9llo").unwrap();
    let workspace = workspace(dir.path());
    let read = |path| workspace.read_text(path, 100);
    assert_eq!(read("ok.txt").unwrap().text, "héllo");
    assert!(matches!(
        read("large.txt"),
        Err(ReadError::TooLarge { bytes: 101, bytes_max: 100, .. })
    ));
    assert!(matches!(read("data"), Err(ReadError::Binary { .. })));
    assert_eq!(read("latin1.txt").unwrap().text, "h\u{fffd}llo", "older encodings can be shown");
    assert!(matches!(read("sub"), Err(ReadError::NotAFile { .. })));
    assert!(matches!(read("none"), Err(ReadError::Place(WorkspaceError::Missing { .. }))));
    assert!(matches!(read("/etc/passwd"), Err(ReadError::Place(WorkspaceError::Outside { .. }))));
}

#[test]
fn trees_of_one_name_keep_their_state_apart() {
    let home = StateHome::at("/state");
    let (a, b) = (home.tree(Path::new("/x/app")), home.tree(Path::new("/y/app")));
    assert_ne!(a, b);
    assert_eq!(a, home.tree(Path::new("/x/app")));
    assert!(a.starts_with("/state"));
    let key = tree_key(Path::new("/x/my app!"));
    assert!(key.starts_with("myapp-"), "{key}: people should recognise it");
    assert!(tree_key(Path::new("/")).len() > 16, "even the root has a name");
}

#[test]
fn a_path_may_be_given_by_its_last_parts() {
    let paths = ["a/util.py", "b/util.py", "src/requests/utils.py"].map(str::to_owned);
    let find = |written| sole_match(&paths, written);
    assert_eq!(find("a/util.py").as_deref(), Some("a/util.py"));
    assert_eq!(find("utils.py").as_deref(), Some("src/requests/utils.py"));
    assert_eq!(find("requests/utils.py").as_deref(), Some("src/requests/utils.py"));
    assert_eq!(find("util.py"), None, "two files end so");
    assert_eq!(find("tils.py"), None, "half a name is none");
    assert_eq!(find(""), None);
}

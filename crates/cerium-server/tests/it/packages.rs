//! Programs and libraries of others, installed for the tests.
//!
//! The tests of `cerium` use this file too.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Installs packages of `pip` or `npm` once, below the target directory. Without them or an index there is
/// nothing to test with, which a test run may not hide on the machine that decides.
pub(crate) fn packages(tool: &str, names: &[&str]) -> Option<PathBuf> {
    let name = names.join("-").replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-");
    let packages = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name.replace("--", "-"));
    std::fs::create_dir_all(&packages).unwrap();
    // Tests run side by side, those of other crates too.
    let one = File::create(packages.join("lock")).unwrap();
    one.lock().unwrap();
    let done = packages.join("installed");
    if done.exists() {
        return Some(packages);
    }
    let mut install = if tool == "pip" {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]);
        pip
    } else {
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]);
        npm
    };
    match install.arg(&packages).args(names).output() {
        Ok(output) if output.status.success() => {
            std::fs::write(done, "").unwrap();
            return Some(packages);
        }
        Ok(output) => eprintln!("{tool} failed: {}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => eprintln!("cannot run {tool}: {error}"),
    }
    assert!(std::env::var_os("CI").is_none(), "{names:?} cannot be installed");
    eprintln!("SKIPPED: {names:?} were not tried");
    None
}

//! Whether the files of the page in the crate are what `web/` builds.

use crate::project::{command, root, run, scratch};
use anyhow::{Result, ensure};
use std::fs;

/// Where the crate has them.
const FILES: &str = "crates/cerium/src/page/assets";

/// Checks types, builds the page and compares.
///
/// # Errors
/// When it does not build, or is another one.
pub(crate) fn check() -> Result<()> {
    let web = root().join("web");
    let npm = || {
        let mut npm = command("npm");
        npm.current_dir(&web);
        npm
    };
    run(npm().args(["ci", "--silent", "--no-audit", "--no-fund"]))?;
    run(npm().args(["run", "--silent", "check"]))?;
    let built = scratch("page");
    run(npm().args(["run", "--silent", "build", "--"]).arg(&built))?;
    for file in fs::read_dir(root().join(FILES))? {
        let file = file?.path();
        let name = file.file_name().unwrap_or_default();
        let same = fs::read(&file)? == fs::read(built.join(name)).unwrap_or_default();
        ensure!(same, "`{}` is not what web/ builds: `npm run build` there", file.display());
    }
    Ok(())
}

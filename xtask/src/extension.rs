//! Whether the extension for VS Code passes its own checks and can be packaged.

use crate::project::{command, root, run};
use anyhow::Result;

/// Checks types, lints, and makes the package.
///
/// # Errors
/// When one of them fails.
pub(crate) fn check() -> Result<()> {
    for args in [
        &["ci", "--silent", "--no-audit", "--no-fund"][..],
        &["run", "--silent", "check"],
        &["run", "--silent", "package"],
    ] {
        run(command("npm").current_dir(root().join("editors/vscode")).args(args))?;
    }
    Ok(())
}

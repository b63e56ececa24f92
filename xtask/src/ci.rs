//! What a change must pass, the cheap checks first; the tests' own summary comes last.

use crate::project::{cargo, run};
use crate::{extension, page};
use anyhow::Result;
use std::process::Stdio;

/// Options of `cargo xtask ci`.
#[derive(clap::Args)]
pub(crate) struct Ci {
    /// Leave the check of dependencies out: installing its tool takes minutes
    #[arg(long)]
    no_deny: bool,
}

impl Ci {
    pub(crate) fn run(&self) -> Result<()> {
        run(cargo().args(["fmt", "--all", "--check"]))?;
        run(cargo().args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ]))?;
        if !self.no_deny {
            deny()?;
        }
        page::check()?;
        extension::check()?;
        run(cargo().args(["test", "--workspace"]))
    }
}

/// Licences, duplicates and sources of the dependencies. Advisories are left out: they change
/// without a change of ours.
fn deny() -> Result<()> {
    let found =
        cargo().args(["deny", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        // A checker that runs once needs no optimised build; this halves the wait.
        run(cargo().args(["install", "cargo-deny", "--locked"]).envs([
            ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
            ("CARGO_PROFILE_RELEASE_LTO", "off"),
        ]))?;
    }
    run(cargo().args(["deny", "--log-level", "error", "check", "bans", "licenses", "sources"]))
}

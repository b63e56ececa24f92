//! `cargo xtask package`: a Debian package and a tarball of the release, for this kind of machine.
//!
//! Both hold the same program. It brings its C library along, so it runs on every Linux of this kind of
//! processor. The same sources give the same bytes: paths of the machine that builds are taken out of
//! the binary, files carry the time of the commit, archives are sorted. `program` builds it, `tree`
//! says what goes where, `licenses` what others want told of their code, `archive` packs it.

mod archive;
mod licenses;
mod program;
mod tree;

use crate::project::{command, output, scratch};
use anyhow::{Context, Result, ensure};
use std::env;
use std::path::PathBuf;

/// Options of `cargo xtask package`.
#[derive(clap::Args)]
pub(crate) struct Package {
    /// Pack this binary instead of building one; it must be static
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Where the packages go [default: target/package]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Package {
    pub(crate) fn run(self) -> Result<()> {
        let binary = match self.binary {
            Some(binary) => binary.canonicalize().context("finding the binary")?,
            None => program::build()?,
        };
        ensure!(
            program::is_static(&binary)?,
            "`{}` needs libraries that a machine may not have: packages hold a static program",
            binary.display()
        );
        let release =
            archive::Release { version: env!("CARGO_PKG_VERSION").to_owned(), time: time()? };
        let licenses = licenses::of_dependencies()?;
        let out = self.out.unwrap_or_else(|| scratch("package"));
        for path in archive::pack(&binary, &licenses, &release, &out)? {
            let bytes = path.metadata()?.len();
            println!("{} ({:.1} MB)", path.display(), bytes as f64 / 1e6);
        }
        Ok(())
    }
}

/// Seconds since 1970 that all files get: the time of the commit, unless `SOURCE_DATE_EPOCH` says
/// another.
fn time() -> Result<u64> {
    let text = match env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text,
        Err(_) => output(command("git").args(["log", "-1", "--format=%ct"]))?,
    };
    text.trim().parse().with_context(|| format!("`{}` is no time in seconds", text.trim()))
}

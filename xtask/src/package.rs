//! `cargo xtask package`: a Debian package and a tarball of the release, for this kind of machine.
//!
//! The same sources give the same bytes: paths of the machine that builds are taken out of the binary,
//! files carry the time of the commit, archives are sorted. `tree` says what goes where, `licenses`
//! what others want told of their code, `archive` packs it.

mod archive;
mod licenses;
mod tree;

use crate::project::{cargo, command, output, root, run, scratch};
use anyhow::{Context, Result};
use std::env;
use std::path::PathBuf;

/// Options of `cargo xtask package`.
#[derive(clap::Args)]
pub(crate) struct Package {
    /// Pack this binary instead of building one
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
            None => build()?,
        };
        let release = archive::Release {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            time: time()?,
            glibc: archive::glibc(&binary)?,
        };
        let licenses = licenses::of_dependencies()?;
        let out = self.out.unwrap_or_else(|| scratch("package"));
        for path in archive::pack(&binary, &licenses, &release, &out)? {
            let bytes = path.metadata()?.len();
            println!("{} ({:.1} MB)", path.display(), bytes as f64 / 1e6);
        }
        println!("they run where glibc is {} or newer", release.glibc);
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

/// Builds the binary as it is given away, and says where it is.
fn build() -> Result<PathBuf> {
    let home = env::var("CARGO_HOME")
        .or_else(|_| Ok::<_, env::VarError>(env::var("HOME")? + "/.cargo"))?;
    let here = root().display().to_string();
    let renamed = [(here.as_str(), "cerium"), (home.as_str(), "cargo")];
    let rust =
        renamed.map(|(path, name)| format!("--remap-path-prefix={path}=/{name}")).join("\x1f");
    let c = renamed.map(|(path, name)| format!("-ffile-prefix-map={path}=/{name}")).join(" ");
    run(cargo()
        .args(["build", "--profile", "dist", "--package", "cerium", "--locked"])
        .env("CARGO_ENCODED_RUSTFLAGS", rust)
        .env("CFLAGS", &c)
        .env("CXXFLAGS", &c))?;
    Ok(scratch("dist/cerium"))
}

//! The program as it is given away: static, and the same bytes wherever it is built.

use crate::project::{cargo, command, output, root, run, scratch};
use anyhow::{Result, ensure};
use std::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Builds it, and says where it is.
///
/// # Errors
/// When it does not build; when a part of the toolchain is missing, with how to get it.
pub(super) fn build() -> Result<PathBuf> {
    let target = format!("{}-unknown-linux-musl", env::consts::ARCH);
    let library = output(command("rustc").args(["--print", "target-libdir", "--target", &target]))?;
    ensure!(
        Path::new(library.trim()).is_dir(),
        "Rust has no library for static programs here: `rustup target add {target}`"
    );
    let compiler = format!("{}-linux-musl-gcc", env::consts::ARCH);
    let found = command(&compiler).arg("--version").stdout(Stdio::null()).status();
    ensure!(
        found.is_ok_and(|status| status.success()),
        "`{compiler}` is not here, which compiles SQLite and the grammars: `apt-get install musl-tools`"
    );
    let home = env::var("CARGO_HOME")
        .or_else(|_| Ok::<_, env::VarError>(env::var("HOME")? + "/.cargo"))?;
    let (here, made) = (root().display().to_string(), scratch("").display().to_string());
    let made = made.trim_end_matches('/');
    // Of two that match, compilers take the later one.
    let renamed = [(here.as_str(), "cerium"), (&home, "cargo"), (made, "cerium/target")];
    let rust =
        renamed.map(|(path, name)| format!("--remap-path-prefix={path}=/{name}")).join("\x1f");
    let c = renamed.map(|(path, name)| format!("-ffile-prefix-map={path}=/{name}")).join(" ");
    run(cargo()
        .args(["build", "--profile", "dist", "--package", "cerium", "--locked"])
        .args(["--target", &target])
        .env("CARGO_ENCODED_RUSTFLAGS", rust)
        .env("CFLAGS", c))?;
    Ok(scratch(&target).join("dist/cerium"))
}

/// Whether a program asks for nothing that loads libraries.
///
/// # Errors
/// When it is no program.
pub(super) fn is_static(binary: &Path) -> Result<bool> {
    let headers = output(command("readelf").args(["--program-headers", "--wide"]).arg(binary))?;
    Ok(!headers.contains("INTERP"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_needs_libraries_is_not_static() {
        assert!(!is_static(&env::current_exe().unwrap()).unwrap());
        assert!(is_static(&root().join("xtask/src/package/stand-in")).is_err());
    }
}

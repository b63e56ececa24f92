//! The licences of the crates that are in the binary, as their authors ask to be told.

use crate::project::{cargo, output};
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// A text that names every crate in the binary with its licence, and gives each licence's words once.
///
/// # Errors
/// When cargo does not tell what the crates are.
pub(super) fn of_dependencies() -> Result<String> {
    let tree = output(cargo().args([
        "tree",
        "--package",
        "cerium",
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
        "--locked",
    ]))?;
    let used: BTreeSet<(&str, &str)> = tree
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            Some((words.next()?, words.next()?.strip_prefix('v')?))
        })
        .collect();
    let metadata = output(cargo().args(["metadata", "--format-version", "1", "--locked"]))?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"].as_array().context("cargo tells of packages")?;
    let mut list = String::from("These crates are in it:\n\n");
    // By text, because most share theirs with many.
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages {
        let field = |name: &str| package[name].as_str().unwrap_or_default();
        // Ours come from no registry.
        if package["source"].is_null() || !used.contains(&(field("name"), field("version"))) {
            continue;
        }
        let name = format!("{} {}", field("name"), field("version"));
        writeln!(list, "  {name}: {}", field("license"))?;
        let dir =
            Path::new(field("manifest_path")).parent().context("a manifest is in a directory")?;
        for text in texts_in(dir)? {
            texts.entry(text).or_default().push(name.clone());
        }
    }
    for (text, names) in texts {
        write!(list, "\n{}\n{}:\n\n{text}\n", "-".repeat(78), names.join(", "))?;
    }
    Ok(list)
}

/// What a crate brings along under the usual names.
fn texts_in(dir: &Path) -> Result<BTreeSet<String>> {
    let mut texts = BTreeSet::new();
    for entry in fs::read_dir(dir).with_context(|| format!("reading `{}`", dir.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        let usual = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];
        if usual.iter().any(|usual| name.starts_with(usual)) && path.is_file() {
            let text = fs::read(&path)?;
            texts.insert(String::from_utf8_lossy(&text).replace('\r', "").trim().to_owned());
        }
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use crate::project::root;
    use serde_json::Value;
    use std::fs;

    #[test]
    fn what_the_page_is_built_with_is_told_of() {
        let read = |name: &str| fs::read_to_string(root().join(name)).unwrap();
        let page: Value = serde_json::from_str(&read("web/package.json")).unwrap();
        let others = read("packaging/others.txt");
        for (name, version) in page["dependencies"].as_object().unwrap() {
            let line = format!("  {name} {}: ", version.as_str().unwrap());
            assert!(others.contains(&line), "`{line}` is not in packaging/others.txt");
        }
    }
}

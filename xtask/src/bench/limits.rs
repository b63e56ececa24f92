//! What the machine can do at most, as `cerium bench roofline` measures it.

use crate::project;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::process::Stdio;

/// The command that measures.
pub(super) struct Roofline {
    cerium: PathBuf,
    threads: usize,
}

/// Limits of a number of threads, measured once.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Limits {
    pub(super) read_bytes_per_s: f64,
    pub(super) int8: Vec<Peak>,
}

/// What 8-bit integers reach on a path of the kernels.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Peak {
    pub(super) path: String,
    pub(super) macs_per_s: f64,
}

/// What the command prints.
#[derive(Deserialize)]
struct Printed {
    limits: Vec<Roof>,
}

#[derive(Deserialize)]
struct Roof {
    path: String,
    threads: usize,
    read_bytes_per_s: f64,
    int8_macs_per_s: f64,
}

impl Roofline {
    pub(super) fn new(threads: usize) -> Result<Self> {
        Ok(Self { cerium: project::build("cerium")?, threads })
    }

    /// Measures once; in a process of its own, so that nobody's peak of memory knows of it.
    pub(super) fn measure(&self) -> Result<Limits> {
        let threads = self.threads.to_string();
        let output = project::command(&self.cerium)
            .args(["bench", "roofline", "--json", "--rounds", "1", "--threads", &threads])
            .stderr(Stdio::inherit())
            .output()?;
        if !output.status.success() {
            bail!("`cerium bench roofline` failed: {}", output.status);
        }
        limits(&String::from_utf8_lossy(&output.stdout), self.threads)
    }
}

/// The paths are printed from the plainest to the widest. The widest is the limit, and below tiles
/// the vectors too: they are that of engines without tiles.
fn limits(json: &str, threads: usize) -> Result<Limits> {
    let printed: Printed = serde_json::from_str(json).context("limits of the machine")?;
    let mut roofs = printed.limits.into_iter().filter(|roof| roof.threads == threads).rev();
    let widest = roofs.next().with_context(|| format!("no limits of {threads} threads"))?;
    let vectors = roofs.next().filter(|_| widest.path.starts_with("amx"));
    let read_bytes_per_s = widest.read_bytes_per_s;
    let peak = |roof: Roof| Peak { path: roof.path, macs_per_s: roof.int8_macs_per_s };
    let int8 = vectors.into_iter().chain([widest]).map(peak).collect();
    Ok(Limits { read_bytes_per_s, int8 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(paths: &[&str]) -> String {
        let roof = |(i, path): (usize, &&str)| {
            let at = |threads: usize| {
                serde_json::json!({
                    "path": path, "threads": threads, "float_macs_per_s": 1.0,
                    "read_bytes_per_s": 10 * threads, "int8_macs_per_s": 100 * i * threads,
                })
            };
            [at(1), at(2)]
        };
        let roofs: Vec<_> = paths.iter().enumerate().flat_map(roof).collect();
        serde_json::json!({ "limits": roofs }).to_string()
    }

    fn peaks(paths: &[&str]) -> Vec<(String, f64)> {
        let limits = limits(&printed(paths), 2).expect("they are there");
        assert_eq!(limits.read_bytes_per_s, 20.0);
        limits.int8.into_iter().map(|peak| (peak.path, peak.macs_per_s)).collect()
    }

    #[test]
    fn tiles_come_with_the_vectors_below_them() {
        let vnni = ("avx512-vnni".to_owned(), 400.0);
        let all = ["scalar", "avx2", "avx512-vnni", "amx-int8"];
        assert_eq!(peaks(&all), [vnni.clone(), ("amx-int8".to_owned(), 600.0)]);
        assert_eq!(peaks(&all[..3]), [vnni]);
    }

    #[test]
    fn threads_that_were_not_measured_are_an_error() {
        assert!(limits(&printed(&["scalar"]), 3).is_err());
    }
}

//! Cases of a set, and the part of each that its reference changes.

use anyhow::{Context as _, Result};
use serde::Deserialize;
use std::fs;
use std::path::Path;

/// Lines before and after what changes.
const MARGIN: usize = 10;

/// Longer changes than this, in lines, take too long to replay.
const LINES_MAX: usize = 150;

/// One edit that is asked for.
#[derive(Debug, Deserialize)]
pub(super) struct Case {
    pub(super) path: String,
    pub(super) before: String,
    #[serde(default)]
    pub(super) instruction: String,
    #[serde(default)]
    pub(super) after: String,
}

/// A text and what becomes of it.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) old: String,
    pub(super) new: String,
}

/// Every `every`-th case of a file.
pub(super) fn read(path: &Path, every: usize) -> Result<Vec<Case>> {
    let text = fs::read_to_string(path).with_context(|| format!("reading `{}`", path.display()))?;
    let lines = text.lines().enumerate().step_by(every);
    let case = |(i, line): (usize, &str)| {
        serde_json::from_str(line).with_context(|| format!("line {} of the cases", i + 1))
    };
    lines.map(case).collect()
}

/// The lines that a case's reference changes, and some around them.
pub(super) fn window(case: &Case) -> Option<Change> {
    if case.before.is_empty() || case.after == case.before {
        return None;
    }
    let old: Vec<&str> = case.before.split_inclusive('\n').collect();
    let new: Vec<&str> = case.after.split_inclusive('\n').collect();
    let same =
        |pairs: &mut dyn Iterator<Item = (&&str, &&str)>| pairs.take_while(|(a, b)| a == b).count();
    let n_start = same(&mut old.iter().zip(&new));
    let n_end = same(&mut old[n_start..].iter().rev().zip(new[n_start..].iter().rev()));
    let (before, after) = (n_start.saturating_sub(MARGIN), n_end.saturating_sub(MARGIN));
    let cut = |lines: &[&str]| lines[before..lines.len() - after].concat();
    let fits = old.len().max(new.len()) - before - after <= LINES_MAX;
    fits.then(|| Change { old: cut(&old), new: cut(&new) })
}

/// What a case changes, its words in disorder: a text in which nothing is foreseen.
pub(super) fn disorder(case: &Case) -> Option<Change> {
    let change = window(case)?;
    let mut words: Vec<&str> = change.new.split_inclusive(char::is_whitespace).collect();
    // A fixed shuffle: each run writes the same.
    let mut state = 1_u64;
    for i in (1..words.len()).rev() {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        words.swap(i, (state >> 33) as usize % (i + 1));
    }
    Some(Change { new: words.concat(), old: change.old })
}

/// What a case changes, and in the place of what stood there what another one is about.
pub(super) fn unlike(cases: &[Case]) -> impl Iterator<Item = Change> {
    let changes: Vec<Change> = cases.iter().filter_map(window).collect();
    let olds: Vec<String> = changes.iter().map(|change| change.old.clone()).collect();
    let others = olds.into_iter().cycle().skip(1);
    changes.into_iter().zip(others).map(|(change, old)| Change { old, ..change })
}

//! The scorer's verdicts, and the figures made of them.

use super::answers::{Answer, Answers};
use crate::project;
use crate::table::{Table, median, percentile};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use similar::{DiffOp, TextDiff};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

/// One engine on one set.
#[derive(Serialize)]
pub(crate) struct Scored {
    pub(super) engine: &'static str,
    pub(super) model: String,
    set: String,
    pub(super) cases: Vec<ScoredCase>,
}

/// One case: its verdict, its price and the size of the change.
#[derive(Serialize)]
pub(super) struct ScoredCase {
    pub(super) id: String,
    /// None when the scorer lacks a tool for it (node, rustc).
    pub(super) passed: Option<bool>,
    pub(super) seconds: f64,
    exit: Option<i32>,
    /// Lines changed, and those of the reference.
    changed: Option<u32>,
    changed_reference: Option<u32>,
    /// Lines changed outside the regions that the reference changes.
    outside: Option<u32>,
    /// Whether the file came back as it was.
    unchanged: bool,
    /// Whether no place, or several, were found for what the answer was to replace.
    missed: bool,
}

/// A line of the scorer's report.
#[derive(Deserialize)]
struct Verdict {
    id: String,
    passed: Option<bool>,
    changed: Option<u32>,
    changed_ref: Option<u32>,
    #[serde(default)]
    unchanged_output: bool,
    /// The scorer's own count of lines outside, where it has one.
    collateral: Option<u32>,
}

/// Runs the scorer on answers.
///
/// # Errors
/// When it cannot run, or its report cannot be read.
pub(super) fn score(
    cases: &Path,
    set: &str,
    answers: &Answers,
    engine: &'static str,
    model: &str,
) -> Result<Scored> {
    let data = cases.join(set).with_extension("jsonl");
    let report = answers.path.with_extension("report.json");
    let scorer = cases.join("score.py");
    let mut command = project::command("python3");
    command.arg(scorer).arg("run").arg(&data).arg("--outputs").arg(&answers.path);
    command.arg("--report").arg(&report).args(["--only-present", "--jobs", "2"]);
    let output = command.output().context("the scorer needs python3")?;
    anyhow::ensure!(
        output.status.success(),
        "the scorer failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let report: Value = serde_json::from_str(&fs::read_to_string(&report)?)?;
    let verdicts: Vec<Verdict> = serde_json::from_value(report["cases"].clone())?;
    let mut by_id: HashMap<_, _> = verdicts.into_iter().map(|v| (v.id.clone(), v)).collect();
    let texts = references(&data)?;
    let join = |answer: &Answer| {
        let verdict = by_id.remove(&answer.id);
        let Verdict { passed, changed, changed_ref, unchanged_output, collateral, .. } =
            verdict.with_context(|| format!("no verdict on {}", answer.id))?;
        let measured = texts.get(&answer.id).filter(|_| changed.is_some());
        let outside = || measured.map(|(before, after)| outside(before, after, &answer.output));
        Ok(ScoredCase {
            id: answer.id.clone(),
            passed,
            seconds: answer.seconds,
            exit: answer.exit,
            changed,
            changed_reference: changed_ref,
            outside: collateral.or_else(outside),
            unchanged: unchanged_output,
            missed: answer.note.contains("the text to replace occurs"),
        })
    };
    let cases = answers.all.iter().map(join).collect::<Result<_>>()?;
    Ok(Scored { engine, model: model.to_owned(), set: set.to_owned(), cases })
}

/// Input and reference of each case that has both.
fn references(data: &Path) -> Result<HashMap<String, (String, String)>> {
    let text = fs::read_to_string(data)?;
    let pair = |line: &str| {
        let case: Value = serde_json::from_str(line).ok()?;
        let field = |name: &str| case[name].as_str().map(str::to_owned);
        Some((field("id")?, (field("before")?, field("after").filter(|after| !after.is_empty())?)))
    };
    Ok(text.lines().filter_map(pair).collect())
}

/// Lines that `output` changes outside the regions of `before` that `after` changes: lines taken
/// away and lines put in, each counted. Lines put in at the edge of a region are inside.
fn outside(before: &str, after: &str, output: &str) -> u32 {
    let hunks = |text: &str| {
        let ops = TextDiff::from_lines(before, text).ops().to_vec();
        ops.into_iter().filter(|op| !matches!(op, DiffOp::Equal { .. })).collect::<Vec<_>>()
    };
    let regions: Vec<RangeInclusive<usize>> =
        hunks(after).iter().map(|op| op.old_range().start..=op.old_range().end).collect();
    let count = |op: DiffOp| {
        let old = op.old_range();
        let taken = old.clone().filter(|line| {
            !regions.iter().any(|region| region.contains(line) && region.contains(&(line + 1)))
        });
        let touches = |region: &RangeInclusive<usize>| {
            *region.start() <= old.end && old.start <= *region.end()
        };
        let put = if regions.iter().any(touches) { 0 } else { op.new_range().len() };
        (taken.count() + put) as u32
    };
    hunks(output).into_iter().map(count).sum()
}

/// The table people read.
pub(super) fn table(results: &[Scored]) -> String {
    let mut table = Table::new([
        "set",
        "engine",
        "model",
        "passed",
        "s median",
        "s p95",
        "s total",
        "change/ref",
        "outside",
        "untouched",
        "missed",
    ]);
    for scored in results {
        let cases = &scored.cases;
        let seconds: Vec<f64> = cases.iter().map(|case| case.seconds).collect();
        let ran = cases.iter().filter(|case| case.passed.is_some()).count();
        let passed = cases.iter().filter(|case| case.passed == Some(true));
        let ratio = |case: &ScoredCase| {
            let (changed, reference) = case.changed.zip(case.changed_reference)?;
            (reference > 0).then(|| f64::from(changed) / f64::from(reference))
        };
        let ratios: Vec<f64> = passed.clone().filter_map(ratio).collect();
        let outside: Vec<u32> = cases.iter().filter_map(|case| case.outside).collect();
        let touching = outside.iter().filter(|&&n| n > 0).count();
        let or_dash = |any: bool, text: String| if any { text } else { "-".to_owned() };
        table.row([
            scored.set.clone(),
            scored.engine.to_owned(),
            scored.model.clone(),
            format!("{}/{ran}", passed.count()),
            format!("{:.2}", median(&seconds)),
            format!("{:.2}", percentile(&seconds, 0.95)),
            format!("{:.0}", seconds.iter().sum::<f64>()),
            or_dash(!ratios.is_empty(), format!("{:.2}", median(&ratios))),
            or_dash(!outside.is_empty(), format!("{touching}/{}", outside.iter().sum::<u32>())),
            cases.iter().filter(|case| case.unchanged).count().to_string(),
            cases.iter().filter(|case| case.missed).count().to_string(),
        ]);
    }
    format!(
        "{table}\n\
         s: wall-clock seconds per case; change/ref: changed lines over the reference's, median \
         of passing edits;\noutside: answers that touch lines outside the reference's regions / \
         such lines in all; untouched: answers equal to the input; \
         missed: what was to be replaced\nis not in the code, or not in one place only.\n"
    )
}

/// A line per case.
pub(super) fn csv(results: &[Scored]) -> String {
    let mut csv =
        "set,engine,model,id,passed,seconds,exit,changed,changed_reference,outside\n".to_owned();
    for Scored { engine, model, set, cases } in results {
        for case in cases {
            let ScoredCase {
                id, passed, seconds, exit, changed, changed_reference, outside, ..
            } = case;
            let cell = |value: Option<String>| value.unwrap_or_default();
            let passed = cell(passed.map(|passed| u8::from(passed).to_string()));
            let exit = cell(exit.map(|code| code.to_string()));
            let [changed, reference, outside] =
                [changed, changed_reference, outside].map(|n| cell(n.map(|n| n.to_string())));
            // Writing to a string cannot fail.
            let _ = writeln!(
                csv,
                "{set},{engine},{model},{id},{passed},{seconds:.3},{exit},{changed},{reference},{outside}"
            );
        }
    }
    csv
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_outside_the_reference_are_counted() {
        let before = "a\nb\nc\nd\ne\nf\n";
        let after = "a\nB\nc\nd\ne\nf\n";
        for (output, want) in [
            (before, 0),
            (after, 0),
            ("a\nB1\nB2\nc\nd\ne\nf\n", 0), // In place of b, and beside it.
            ("a\nB\nc\nd\nE\nf\n", 2),      // e taken away, E put in.
            ("a\nB\nc\nd\ne\nf\ng\n", 1),
            ("B\n", 5),
        ] {
            assert_eq!(outside(before, after, output), want, "{output:?}");
        }
        let inserted = "a\nb\nc\nnew\nd\ne\nf\n";
        assert_eq!(outside(before, inserted, "a\nb\nc\nother\nd\ne\nf\n"), 0);
        assert_eq!(outside(before, inserted, "a\nb\nc\nd\nother\ne\nf\n"), 1);
    }
}

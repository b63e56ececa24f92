//! From measurements to figures, for people and programs.

use super::case::{Bound, Case, Time};
use crate::output::{BOLD, DIM};
use cerium_model::profile::Work;
use cerium_model::{Costs, Model, Opening, Reach};
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt::Write;

/// What the machine did at most, per second.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Limits {
    /// Bytes of memory.
    #[serde(rename = "read_bytes_per_s")]
    pub(super) read: f64,
    /// Multiply-accumulates of 8-bit integers.
    #[serde(rename = "int8_macs_per_s")]
    pub(super) int8: f64,
    /// Multiply-accumulates of f32.
    #[serde(rename = "float_macs_per_s")]
    pub(super) float: f64,
}

impl Limits {
    /// Each by itself.
    pub(super) fn median<'a>(all: &(impl Iterator<Item = &'a Self> + Clone)) -> Self {
        let of = |pick: fn(&Self) -> f64| median(all.clone().map(pick));
        Self { read: of(|l| l.read), int8: of(|l| l.int8), float: of(|l| l.float) }
    }
}

/// The limits of a path and a number of threads.
#[derive(Debug, Serialize)]
pub(super) struct Roof {
    pub(super) path: &'static str,
    pub(super) threads: usize,
    #[serde(flatten)]
    pub(super) limits: Limits,
}

/// All that a run saw.
pub(super) struct Report {
    model: String,
    path: &'static str,
    threads: usize,
    opening: Opening,
    costs: Costs,
    pub(super) cases: Vec<Case>,
    /// By round, the times by case.
    rounds: Vec<(Limits, Vec<Time>)>,
}

/// The figures of one case.
#[derive(Debug, Serialize)]
struct Figures {
    case: String,
    tokens: usize,
    /// Median, milliseconds.
    ms: f64,
    tokens_per_s: f64,
    /// `int8` or `read`: which limit it is compared with.
    bound: &'static str,
    /// Multiply-accumulates or bytes per second.
    rate: f64,
    /// Of the limit measured in the same round; absent where there is none.
    fraction: Option<f64>,
    /// Time over that of the first case.
    over_first: f64,
}

impl Report {
    pub(super) fn new(name: String, model: &Model, opening: Opening, cases: Vec<Case>) -> Self {
        let (path, threads) = (model.cpu().name(), model.n_threads());
        let (costs, rounds) = (model.costs(), Vec::new());
        Self { model: name, path, threads, opening, costs, cases, rounds }
    }

    pub(super) fn add(&mut self, limits: Limits, times: Vec<Time>) {
        self.rounds.push((limits, times));
    }

    fn limits(&self) -> Limits {
        Limits::median(&self.rounds.iter().map(|(limits, _)| limits))
    }

    fn figures(&self) -> Vec<Figures> {
        let seconds = |i: usize| self.rounds.iter().map(move |(_, t)| t[i].wall.as_secs_f64());
        let figures = |(i, case): (usize, &Case)| {
            let s = median(seconds(i));
            let (bound, work, pick): (_, _, fn(&Limits) -> f64) = match case.bound(self.costs) {
                Bound::Int8(macs) => ("int8", macs, |l| l.int8),
                Bound::Read(bytes) => ("read", bytes, |l| l.read),
            };
            let limits = self.rounds.iter().map(|(limits, _)| pick(limits));
            let fraction = median(limits.zip(seconds(i)).map(|(limit, s)| work / s / limit));
            let tokens = case.n_tokens();
            Figures {
                case: case.name(),
                tokens,
                ms: s * 1e3,
                tokens_per_s: tokens as f64 / s,
                bound,
                rate: work / s,
                fraction: fraction.is_finite().then_some(fraction),
                over_first: s / median(seconds(0)),
            }
        };
        self.cases.iter().enumerate().map(figures).collect()
    }

    /// Milliseconds by kind of work, medians.
    fn profile(&self, i: usize) -> Vec<(&'static str, f64)> {
        let ms = |work: Work| {
            median(self.rounds.iter().map(|(_, t)| t[i].profile.of(work).as_secs_f64() * 1e3))
        };
        Work::ALL.iter().map(|&work| (work.name(), ms(work))).collect()
    }

    pub(super) fn json(&self, profile: bool) -> Value {
        let mut cases: Vec<Value> = self.figures().iter().map(|case| json!(case)).collect();
        if profile {
            for (i, case) in cases.iter_mut().enumerate() {
                let by_work = self.profile(i).into_iter().map(|(work, ms)| (work, json!(ms)));
                case["profile_ms"] = by_work.collect();
            }
        }
        json!({
            "model": self.model,
            "path": self.path,
            "threads": self.threads,
            "kv": self.opening.format.name(),
            "extended": self.opening.reach == Reach::Extended,
            "rounds": self.rounds.len(),
            "limits": self.limits(),
            "cases": cases,
        })
    }

    pub(super) fn text(&self, profile: bool) -> String {
        let Self { model, path, threads, opening, rounds, .. } = self;
        let kv = opening.format.name();
        let reach = if opening.reach == Reach::Extended { ", extended" } else { "" };
        let limits = self.limits();
        let mut text = format!(
            "{BOLD}{model}{BOLD:#} on {path}, {threads} threads, {kv} keys and values{reach}, medians of {} \
             rounds\n\
             {DIM}limits: {}{DIM:#}\n",
            rounds.len(),
            describe(&limits)
        );
        for (i, figures) in self.figures().iter().enumerate() {
            let Figures { case, ms, tokens_per_s, bound, rate, fraction, over_first, .. } = figures;
            let unit = if *bound == "read" { "GB/s" } else { "GMAC/s" };
            let rate = rate / 1e9;
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "{case:<22} {ms:>9.1} ms  {BOLD}{tokens_per_s:>8.1} tok/s{BOLD:#}  {rate:>8.1} {unit:<6}"
            );
            let _ = match fraction {
                Some(fraction) => write!(text, "  {:>5.1}% of the limit", fraction * 100.0),
                None => Ok(()),
            };
            let _ = match i {
                0 => writeln!(text),
                _ => writeln!(text, "  {over_first:>6.2}x the first's time"),
            };
            if profile {
                let all: f64 = self.profile(i).iter().map(|(_, ms)| ms).sum();
                for (work, ms) in self.profile(i) {
                    let share = ms / all * 100.0;
                    let _ = writeln!(text, "{DIM}  {work:<20} {ms:>9.2} ms  {share:>5.1}%{DIM:#}");
                }
            }
        }
        text
    }
}

fn describe(limits: &Limits) -> String {
    format!(
        "reads {:.1} GB/s, int8 {:.0} GMAC/s, f32 {:.0} GMAC/s",
        limits.read / 1e9,
        limits.int8 / 1e9,
        limits.float / 1e9
    )
}

pub(super) fn roofs_json(roofs: &[Roof]) -> Value {
    json!({ "limits": roofs })
}

pub(super) fn roofs_text(roofs: &[Roof]) -> String {
    let line = |roof: &Roof| {
        let Roof { path, threads, limits } = roof;
        format!("{path:<12} {threads:>3} threads  {}\n", describe(limits))
    };
    roofs.iter().map(line).collect()
}

/// The middle value, or the mean of the two middle ones.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_in_the_middle() {
        assert!((median([3.0, 1.0, 2.0].into_iter()) - 2.0).abs() < 1e-12);
        assert!((median([4.0, 1.0, 2.0, 3.0].into_iter()) - 2.5).abs() < 1e-12);
    }
}

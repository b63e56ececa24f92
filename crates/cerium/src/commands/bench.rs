//! `cerium bench`: what this machine can do, and how much of it cerium uses, measured in turns in one
//! run. Figures are medians over the rounds; a fraction compares with the limit of its own round.

mod cache;
mod case;
mod edit;
mod kept;
mod report;
mod same;
mod schedule;
mod serve;
mod session;

use super::{Context, Exit};
use crate::cli::{Bench, Measure, Rounds};
use crate::config;
use crate::model;
use crate::output::progress::Spinner;
use crate::output::{self, Output};
use anyhow::Result;
use case::Case;
use cerium_harness::workspace::Workspace;
use cerium_kernels::{Cpu, Memory, Team, float_products, int8_products, read_bandwidth};
use cerium_model::{KvCache, Opening};
use report::{Limits, Report, Roof};
use std::env;

/// Bytes that are read to measure the memory: more than caches hold.
const MEMORY_BYTES: usize = 256 << 20;

/// Positions that a step of a prompt takes at most.
const CHUNK: usize = 512;

pub(crate) fn run(context: &Context, args: &Bench) -> Result<Exit> {
    let tree = Workspace::discover(&env::current_dir()?).ok();
    let settings = config::load(tree.as_ref().map(Workspace::root), &context.flags)?;
    let output = context.output;
    let (rounds, cases) = match &args.measure {
        Measure::Roofline(rounds) => {
            let mut notes = Vec::new();
            let threads = model::n_threads(settings.threads, &mut notes);
            output.notes(&notes);
            return roofline(output, rounds, threads);
        }
        Measure::Edit(args) => return edit::run(output, &settings, args),
        Measure::Schedule(args) => return schedule::run(output, &settings, args),
        Measure::Cache(args) => return cache::run(output, &settings, args),
        Measure::Same(args) => return same::run(output, &settings, args),
        Measure::Serve(args) => return serve::run(output, &settings, args),
        Measure::Session(args) => return session::run(output, &settings, args),
        Measure::Prefill { tokens, rounds } => {
            (rounds, tokens.iter().map(|&n| Case::Prefill { n }).collect::<Vec<_>>())
        }
        Measure::Decode { tokens, after, rounds } => {
            (rounds, after.iter().map(|&after| Case::Decode { after, n: *tokens }).collect())
        }
        Measure::Verify { k, after, rounds } => {
            (rounds, k.iter().map(|&k| Case::Verify { after: *after, k }).collect())
        }
    };
    let (name, mut model) = model::open_bare(output, &settings)?;
    let longest = cases.iter().map(|case| case.n_positions()).max().unwrap_or_default();
    let (format, reach) = (model::format(&settings), model.config().reach(longest)?);
    let mut prefix = KvCache::open(model.config(), Opening { format, reach });
    let mut report = Report::new(name, &model, prefix.opening(), cases);
    let (team, memory) = (Team::new(model.n_threads()), Memory::new(MEMORY_BYTES));
    for round in 0..=rounds.rounds {
        let _spinner = spinner(output, round, rounds);
        let limits = limits(model.cpu(), &team, &memory);
        let times = report.cases.iter().map(|case| case.run(&mut model, &mut prefix)).collect();
        // The first round only warms up.
        if round > 0 {
            report.add(limits, times);
        }
    }
    if output.json {
        output::object(&report.json(rounds.profile))?;
    } else {
        output::data(&report.text(rounds.profile))?;
    }
    Ok(Exit::Done)
}

fn spinner(output: Output, round: u16, rounds: &Rounds) -> Spinner {
    let text = match round {
        0 => "warming up".into(),
        n => format!("round {n} of {}", rounds.rounds),
    };
    Spinner::start(output, text)
}

fn limits(cpu: Cpu, team: &Team, memory: &Memory) -> Limits {
    Limits {
        read: read_bandwidth(cpu, team, memory),
        int8: int8_products(cpu, team),
        float: float_products(cpu, team),
    }
}

/// The limits alone, of every path and number of threads.
fn roofline(output: Output, rounds: &Rounds, n_threads: usize) -> Result<Exit> {
    let memory = Memory::new(MEMORY_BYTES);
    let teams: Vec<Team> = (1..=n_threads).map(Team::new).collect();
    let mut seen: Vec<(Cpu, usize, Vec<Limits>)> = Vec::new();
    for round in 0..=rounds.rounds {
        let _spinner = spinner(output, round, rounds);
        for cpu in Cpu::available() {
            for team in &teams {
                let limits = limits(cpu, team, &memory);
                let here = (cpu, team.n_threads());
                match seen.iter_mut().find(|(cpu, n, _)| (*cpu, *n) == here) {
                    Some((.., all)) => all.push(limits),
                    // The first round only warms up.
                    None => seen.push((cpu, team.n_threads(), Vec::new())),
                }
            }
        }
    }
    let roofs = seen.into_iter().map(|(cpu, threads, all)| Roof {
        path: cpu.name(),
        threads,
        limits: Limits::median(&all.iter()),
    });
    let roofs: Vec<Roof> = roofs.collect();
    if output.json {
        output::object(&report::roofs_json(&roofs))?;
    } else {
        output::data(&report::roofs_text(&roofs))?;
    }
    Ok(Exit::Done)
}

/// Of sorted values, the least that so many are not above.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let n = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(n.max(1) - 1).copied().unwrap_or(f64::NAN)
}

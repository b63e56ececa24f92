//! A short measurement of the served model beside the limits of the machine, one at a time.
//!
//! It goes through the engine that serves, behind whatever people ask for, so its figures are what requests get.
//! Limits are measured in the same run: memory that is read, and multiply-accumulates of 8-bit integers.

use super::work::{Call, Failed, Places};
use crate::model::Loaded;
use axum::extract::{Request, State};
use axum::response::Response;
use cerium_engine::{Class, Drafter, Drafts, Engine, Job, Stats, Step};
use cerium_kernels::{Cpu, Memory, Team, int8_products, read_bandwidth};
use cerium_model::Costs;
use cerium_model::tokenizer::Tokenizer;
use cerium_server::{Caller, Refusal};
use cerium_session::Prediction;
use serde::Serialize;
use std::fmt::Write as _;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// More than caches hold.
const MEMORY_BYTES: usize = 128 << 20;

/// Prompts that are read, in tokens.
const PROMPTS: [usize; 4] = [8, 32, 128, 512];

/// Tokens that are written one by one.
const N_WRITTEN: usize = 24;

/// Times everything is measured, beside once to warm up.
const N_ROUNDS: usize = 3;

/// No round is begun after so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is measured.
#[derive(Clone)]
pub(crate) struct Bench {
    places: Places,
    engine: Engine,
    tokenizer: Arc<Tokenizer>,
    costs: Costs,
    cpu: Cpu,
    n_threads: usize,
}

#[derive(Serialize)]
struct Report {
    model: String,
    path: &'static str,
    threads: usize,
    limits: Limits,
    costs: CostsTold,
    figures: Vec<Figure>,
    rounds: usize,
}

/// What the machine did at most, per second.
#[derive(Clone, Copy, Serialize)]
struct Limits {
    read_bytes_per_s: f64,
    int8_macs_per_s: f64,
}

#[derive(Clone, Copy, Serialize)]
struct CostsTold {
    layer_macs: usize,
    head_macs: usize,
    bytes: usize,
}

/// What is measured, by its tokens.
#[derive(Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// A prompt is read.
    Prefill,
    /// Tokens are written one by one.
    Decode,
    /// A text that is known beforehand is written, drafts and all.
    Copy,
}

#[derive(Clone, Copy, Serialize)]
struct Figure {
    kind: Kind,
    /// Tokens of a pass over the weights.
    tokens: f64,
    tokens_per_s: f64,
    /// What the machine could do, by the limits of the same round.
    limit: f64,
}

/// What one round saw.
type Round = (Limits, Vec<Figure>);

impl Bench {
    /// * `places`: has room for one
    pub(super) fn new(loaded: &Loaded, places: Places) -> Self {
        Self {
            places,
            engine: loaded.engine.clone(),
            tokenizer: Arc::clone(&loaded.tokenizer),
            costs: loaded.costs,
            cpu: loaded.cpu,
            n_threads: loaded.n_threads,
        }
    }

    fn limits(&self, team: &Team, memory: &Memory) -> Limits {
        Limits {
            read_bytes_per_s: read_bandwidth(self.cpu, team, memory),
            int8_macs_per_s: int8_products(self.cpu, team),
        }
    }

    /// The least time of a pass, in seconds, that reads all weights and asks for `n_heads` next tokens.
    fn least(&self, n_tokens: f64, n_heads: f64, limits: Limits) -> f64 {
        let Costs { layer_macs, head_macs, layer_bytes, head_bytes, .. } = self.costs;
        let macs = n_tokens * layer_macs as f64 + n_heads * head_macs as f64;
        let read = (layer_bytes + head_bytes) as f64 / limits.read_bytes_per_s;
        read.max(macs / limits.int8_macs_per_s)
    }

    fn prefill(&self, n: usize, limits: Limits) -> Result<Figure, Failed> {
        let stats = self.job(Job { prompt: self.tokens(n), max_tokens: 1, ..Job::default() })?;
        let n_read = (n - stats.n_cached) as f64;
        let tokens_per_s = n_read / stats.prefill.as_secs_f64();
        let limit = n_read / self.least(n_read, 1.0, limits);
        Ok(Figure { kind: Kind::Prefill, tokens: n as f64, tokens_per_s, limit })
    }

    fn decode(&self, limits: Limits) -> Result<Figure, Failed> {
        let (prompt, drafts) = (self.tokens(32), Drafts::none());
        let job = Job { prompt, max_tokens: N_WRITTEN, drafts, ..Job::default() };
        let stats = self.job(job)?;
        let tokens_per_s = (stats.n_output - 1) as f64 / stats.decode.as_secs_f64();
        let limit = 1.0 / self.least(1.0, 1.0, limits);
        Ok(Figure { kind: Kind::Decode, tokens: 1.0, tokens_per_s, limit })
    }

    fn copy(&self, limits: Limits) -> Result<Figure, Failed> {
        let text = (0..16).fold(String::new(), |mut text, i| {
            // Writing to a string cannot fail.
            let _ =
                writeln!(text, "fn step_{i}(x: u32) -> u32 {{\n    x.rotate_left({i}) ^ {i}\n}}\n");
            text
        });
        let forced = self.tokenizer.encode(&text);
        let prediction = Prediction::new(Arc::clone(&self.tokenizer), "", &text, false);
        let job = Job {
            prompt: self.tokens(32),
            max_tokens: forced.len(),
            drafts: Drafts {
                drafter: Some(Box::new(prediction) as Box<dyn Drafter>),
                repeats: false,
            },
            forced,
            ..Job::default()
        };
        let stats = self.job(job)?;
        let tokens = stats.n_output as f64 / stats.n_steps.max(1) as f64;
        let tokens_per_s = (stats.n_output - 1) as f64 / stats.decode.as_secs_f64();
        let limit = tokens / self.least(tokens, tokens, limits);
        Ok(Figure { kind: Kind::Copy, tokens, tokens_per_s, limit })
    }

    /// Tokens of any kind that no prompt began with before.
    fn tokens(&self, n: usize) -> Vec<u32> {
        let (seed, n_vocab) = (RandomState::new(), self.tokenizer.n_vocab() as u64);
        (0..n).map(|i| (seed.hash_one(i) % n_vocab) as u32).collect()
    }

    fn job(&self, job: Job) -> Result<Stats, Failed> {
        let job = Job { class: Class::Background, ..job };
        let mut generation = self.engine.submit(job).map_err(|error| Failed::new(&error))?;
        loop {
            match generation.next() {
                Some(Step::Done(finish)) => return Ok(finish.stats),
                Some(_) => {}
                None => return Err(Failed::said("the engine stopped")),
            }
        }
    }

    fn run(&self, call: &Call, model: String) -> Result<Report, Failed> {
        let began = Instant::now();
        let (team, memory) = (Team::new(self.n_threads), Memory::new(MEMORY_BYTES));
        let mut rounds: Vec<Round> = Vec::new();
        for round in 0..=N_ROUNDS {
            if began.elapsed() > PATIENCE && !rounds.is_empty() {
                break;
            }
            let limits = self.limits(&team, &memory);
            let mut figures = Vec::new();
            let mut told = |figure: Figure| {
                figures.push(figure);
                let heard = call.tell("figure", &(round, figure));
                if heard.is_break() { Err(Failed::said("nobody listens")) } else { Ok(()) }
            };
            told(self.decode(limits)?)?;
            told(self.copy(limits)?)?;
            for n in PROMPTS.into_iter().filter(|&n| n < self.engine.n_context()) {
                told(self.prefill(n, limits)?)?;
            }
            // The first round only warms up.
            if round > 0 || began.elapsed() > PATIENCE {
                rounds.push((limits, figures));
            }
        }
        Ok(self.report(model, &rounds))
    }

    /// Medians of all rounds.
    fn report(&self, model: String, rounds: &[Round]) -> Report {
        let of = |pick: &dyn Fn(&Round) -> f64| {
            let mut all: Vec<f64> = rounds.iter().map(pick).collect();
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        };
        let limits = Limits {
            read_bytes_per_s: of(&|(limits, _)| limits.read_bytes_per_s),
            int8_macs_per_s: of(&|(limits, _)| limits.int8_macs_per_s),
        };
        let figures = rounds[0].1.iter().enumerate().map(|(i, figure)| Figure {
            kind: figure.kind,
            tokens: of(&|(_, figures)| figures[i].tokens),
            tokens_per_s: of(&|(_, figures)| figures[i].tokens_per_s),
            limit: of(&|(_, figures)| figures[i].limit),
        });
        let Costs { layer_macs, head_macs, layer_bytes, head_bytes, .. } = self.costs;
        Report {
            model,
            path: self.cpu.name(),
            threads: self.n_threads,
            limits,
            costs: CostsTold { layer_macs, head_macs, bytes: layer_bytes + head_bytes },
            figures: figures.collect(),
            rounds: rounds.len(),
        }
    }
}

pub(super) async fn bench(
    State(bench): State<Bench>,
    caller: Caller,
    request: Request,
) -> Result<Response, Refusal> {
    // It says nothing, but no other site can have a body sent without naming itself.
    let _: serde_json::Map<String, serde_json::Value> = caller.read(request).await?;
    let model = caller.service().model().name.clone();
    bench.places.clone().run(&caller, move |call| bench.run(call, model))
}

//! `cerium bench same`: the promise that nothing but speed depends on drafts, on what shares a batch, on
//! the number of threads or on what was kept. Every prompt is answered plainly by an engine that remembers
//! nothing, then in other ways, and every answer is compared with the first, byte by byte.

mod prompts;

use super::edit::{SOURCES, Source};
use super::kept::Dir;
use crate::cli::BenchSame;
use crate::commands::Exit;
use crate::config::Settings;
use crate::local::LocalBackend;
use crate::model::{self, Loaded};
use crate::output::progress::Spinner;
use crate::output::{self, Output};
use anyhow::{Result, bail};
use cerium_engine::store::PAGES_MIN;
use cerium_model::kv::PAGE;
use cerium_protocol::{ErrorBody, Event, Usage};
use cerium_session::{Service, Stream};
use prompts::Prompt;
use serde::Serialize;
use std::fmt::Write;

/// Numbers of threads that are compared.
const THREADS: [u16; 2] = [1, 2];

/// Prompts that share a batch with the one that is looked at.
const NEIGHBOURS: usize = 2;

/// How tokens are chosen: greedily, or at a temperature with a seed.
const TEMPERATURES: [f32; 2] = [0.0, 0.8];

/// One way to come to an answer.
#[derive(Clone, Copy)]
struct Way {
    drafts: Source,
    neighbours: bool,
    threads: usize,
    cache: Cache,
}

/// Where the prompt's keys and values come from.
#[derive(Clone, Copy, PartialEq)]
enum Cache {
    /// They are computed.
    Cold,
    /// The same was asked before.
    Warm,
    /// The same was asked before by an engine that is gone: they come from its disk.
    Disk,
}

impl Way {
    fn all() -> Vec<Self> {
        let mut ways = Vec::new();
        for threads in 0..THREADS.len() {
            for cache in [Cache::Cold, Cache::Warm, Cache::Disk] {
                for neighbours in [false, true] {
                    for drafts in SOURCES {
                        ways.push(Self { drafts, neighbours, threads, cache });
                    }
                }
            }
        }
        ways
    }

    /// What it is, by each of the things that may not matter.
    fn names(self) -> [String; 4] {
        let neighbours = if self.neighbours { NEIGHBOURS } else { 0 };
        let cache = match self.cache {
            Cache::Cold => "cold",
            Cache::Warm => "warm",
            Cache::Disk => "disk",
        };
        [
            format!("drafts: {}", self.drafts.0),
            format!("neighbours: {neighbours}"),
            format!("threads: {}", THREADS[self.threads]),
            format!("cache: {cache}"),
        ]
    }
}

/// Answers that were compared.
#[derive(Clone, Debug, Default, Serialize)]
struct Row {
    what: String,
    answers: usize,
    same: usize,
    #[serde(flatten)]
    usage: Usage,
}

/// Two engines for each number of threads: one that remembers nothing and one that does.
struct Engines {
    forgetful: Vec<Loaded>,
    remembering: Vec<Loaded>,
    /// What others are started with, for each number of threads.
    settings: Vec<Settings>,
    /// Where they keep what they compute.
    dir: Dir,
}

pub(super) fn run(output: Output, settings: &Settings, args: &BenchSame) -> Result<Exit> {
    let mut engines = Engines {
        forgetful: Vec::new(),
        remembering: Vec::new(),
        settings: Vec::new(),
        dir: Dir::new()?,
    };
    for threads in THREADS {
        let settings = Settings { threads: Some(threads), ..settings.clone() };
        engines.forgetful.push(model::open_forgetful(output, &settings)?);
        engines.remembering.push(model::open_remembering(output, &settings)?);
        engines.settings.push(settings);
    }
    let backend = LocalBackend::new(engines.forgetful[0].service())?;
    let mut all = Vec::new();
    for set in &args.set {
        all.extend(prompts::read(&backend, &args.cases, set, args.every)?);
    }
    let ways = Way::all();
    let mut rows: Vec<Row> = Vec::new();
    let mut different = Vec::new();
    let n_ways = if args.ways == 0 { ways.len() } else { args.ways.min(ways.len()) };
    // So that a few ways for every prompt come to all ways over all prompts.
    let mut turns = TEMPERATURES.map(|_| ways.iter().copied().cycle());
    for (i, prompt) in all.iter().enumerate() {
        let _spinner =
            Spinner::start(output, format!("{}, {} of {}", prompt.name, i + 1, all.len()));
        let others: Vec<&Prompt> = all.iter().cycle().skip(i + 1).take(NEIGHBOURS).collect();
        for (temperature, turn) in TEMPERATURES.into_iter().zip(&mut turns) {
            let ask = Ask { output, prompt, others: &others, temperature, n_tokens: args.tokens };
            let plain =
                Way { drafts: ("none", &[]), neighbours: false, threads: 0, cache: Cache::Cold };
            let (expected, _) = ask.answer(&engines, plain)?;
            for way in turn.by_ref().take(n_ways) {
                let (answer, usage) = ask.answer(&engines, way)?;
                let same = answer == expected;
                if !same {
                    let way = way.names().join(", ");
                    different.push(format!("{}, temperature {temperature}, {way}", prompt.name));
                }
                let sampling = format!("temperature: {temperature}");
                for what in ["all".to_owned(), sampling].into_iter().chain(way.names()) {
                    count(&mut rows, what, same, usage);
                }
            }
        }
    }
    rows.sort_by(|a, b| a.what.cmp(&b.what));
    if output.json {
        let model = &engines.forgetful[0].name;
        output::object(&serde_json::json!({
            "model": model, "prompts": all.len(), "rows": rows, "different": different,
        }))?;
    } else {
        output::data(&text(all.len(), &rows))?;
    }
    if let Some(first) = different.first() {
        bail!("{} answers are not those of plain decoding, the first of {first}", different.len());
    }
    Ok(Exit::Done)
}

/// One prompt and how it is answered each time.
struct Ask<'a> {
    output: Output,
    prompt: &'a Prompt,
    others: &'a [&'a Prompt],
    temperature: f32,
    n_tokens: u32,
}

impl Ask<'_> {
    /// The answer that comes in some way, and what it took.
    fn answer(&self, engines: &Engines, way: Way) -> Result<(String, Usage)> {
        match way.cache {
            Cache::Cold => self.ask_beside(&engines.forgetful[way.threads].service(), way),
            Cache::Warm => {
                let service = engines.remembering[way.threads].service();
                self.ask(&service, way)?;
                self.ask_beside(&service, way)
            }
            Cache::Disk => {
                // Each has a directory of its own, so that all of it is known to be there.
                let answer = self.ask_restarted(engines, way);
                engines.dir.remove()?;
                answer
            }
        }
    }

    /// The answer of an engine that finds on disk what another one computed.
    fn ask_restarted(&self, engines: &Engines, way: Way) -> Result<(String, Usage)> {
        let output = Output { quiet: true, ..self.output };
        let start = || {
            model::open_keeping(
                output,
                &engines.settings[way.threads],
                engines.dir.path().to_owned(),
            )
        };
        let first = start()?;
        let (_, usage) = self.ask(&first.service(), way)?;
        let n_pages = usage.prompt_tokens as usize / PAGE;
        // Short prompts are not worth a file.
        if n_pages >= PAGES_MIN {
            engines.dir.wait_for(n_pages)?;
        }
        drop(first);
        self.ask_beside(&start()?.service(), way)
    }

    fn ask(&self, service: &Service, way: Way) -> Result<(String, Usage), ErrorBody> {
        read(self.prompt.ask(service, self.n_tokens, &|temperature, extensions| {
            *temperature = Some(self.temperature);
            extensions.seed = Some(7);
            extensions.drafts = Some(way.drafts.1.to_vec());
        })?)
    }

    /// The same while others are answered, if the way has some.
    fn ask_beside(&self, service: &Service, way: Way) -> Result<(String, Usage)> {
        let neighbours = self.neighbours(service, way)?;
        let answer = self.ask(service, way);
        drop(neighbours);
        Ok(answer?)
    }

    /// Answers to other prompts, which are under way for as long as they are held.
    fn neighbours(&self, service: &Service, way: Way) -> Result<Vec<Stream>, ErrorBody> {
        let others = self.others.iter().filter(|_| way.neighbours);
        others.map(|other| other.ask(service, 4 * self.n_tokens, &|_, _| {})).collect()
    }
}

/// Reads a stream to its end.
fn read(mut stream: Stream) -> Result<(String, Usage), ErrorBody> {
    loop {
        match stream.next() {
            Some(Event::Done(response)) => return Ok((response.text(), response.usage)),
            Some(Event::Failed(error)) => return Err(error),
            Some(_) => {}
            None => unreachable!("a stream ends with its last event"),
        }
    }
}

fn count(rows: &mut Vec<Row>, what: String, same: bool, usage: Usage) {
    let known = rows.iter().position(|row| row.what == what);
    let i = known.unwrap_or_else(|| {
        rows.push(Row { what, ..Row::default() });
        rows.len() - 1
    });
    rows[i].answers += 1;
    rows[i].same += usize::from(same);
    rows[i].usage += usage;
}

fn text(n_prompts: usize, rows: &[Row]) -> String {
    let mut text = format!("{n_prompts} prompts\n");
    for Row { what, answers, same, usage } in rows {
        let Usage { prompt_tokens, cached_tokens, output_tokens, accepted_tokens, .. } = usage;
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{what:<24} {answers:>6} answers, {same:>6} the same  {output_tokens:>7} tokens, \
             {accepted_tokens:>7} of them drafted  {cached_tokens:>8} of {prompt_tokens:>8} of the prompt kept",
        );
    }
    text
}

//! Facts planted at several depths of a long prompt, and what a model answers when it is asked for them.
//!
//! The prompt is computed once; every question is asked on a fork of its cache. On the way the program
//! says how fast the prompt went up to each power of two and how fast tokens come one at a time there. One JSON
//! object on standard output, `cargo xtask eval needle` makes a table of it.

use anyhow::{Context, Result, ensure};
use cerium_hub::{Home, Located, Sources};
use cerium_model::file::ModelFile;
use cerium_model::memory::resident;
use cerium_model::tokenizer::Tokenizer;
use cerium_model::{Cpu, KvCache, KvFormat, Model, Opening, Segment, Wanted};
use clap::Parser;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// Prompt tokens per step.
const CHUNK: usize = 256;

/// Tokens left for a question and its answer.
const ROOM: usize = 96;

/// Tokens decoded after each power of two, to see how fast that goes.
const TIMED: usize = 15;

/// Longest answer.
const ANSWER: usize = 32;

/// What is planted: who, and the number that nothing else gives away.
const FACTS: [(&str, &str); 5] = [
    ("Oslo", "48213"),
    ("Lima", "90657"),
    ("Cairo", "31942"),
    ("Perth", "75806"),
    ("Quito", "26479"),
];

/// Facts planted in a long prompt, asked for on forks of its cache.
#[derive(Parser)]
struct Needle {
    /// Model, by name
    #[arg(long, default_value = "qwen2.5-coder-0.5b")]
    model: String,
    /// Tokens of the context
    #[arg(long, default_value_t = 32_768)]
    context: usize,
    /// Keys and values of 8 bits
    #[arg(long)]
    q8: bool,
    /// Threads
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Files that the prompt is made of, over and over
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

fn main() -> Result<()> {
    let args = Needle::parse();
    let home = Home::from_env()?;
    let path = match cerium_hub::resolve(&home, &args.model)? {
        Located::Ready(path) => path,
        Located::Absent(entry) => cerium_hub::pull(&home, entry, &Sources::from_env(), &mut ())?,
    };
    let file = ModelFile::open(&path)?;
    let tokenizer = Tokenizer::from_gguf(&file.gguf)?;
    let mut model = Model::load(file, Cpu::best(), args.threads)?;
    let format = if args.q8 { KvFormat::Q8 } else { KvFormat::F16 };
    let opening = Opening { format, reach: model.config().reach(args.context)? };
    let prompt = prompt(&tokenizer, &args.files, args.context - ROOM)?;

    let mut kv = KvCache::open(model.config(), opening);
    let (mut seconds, mut curve) = (0.0, Vec::new());
    for chunk in prompt.chunks(CHUNK) {
        let start = Instant::now();
        step(&mut model, &mut kv, chunk, false);
        seconds += start.elapsed().as_secs_f64();
        let n = kv.n_tokens();
        if (n >= 512 && n.is_power_of_two()) || n == prompt.len() {
            let decoded = decode(&mut model, kv.clone(), chunk[chunk.len() - 1]);
            eprintln!("{n} tokens in {seconds:.1} s, then {decoded:.1} tok/s");
            curve.push(json!({ "tokens": n, "seconds": seconds, "decode_tok_s": decoded }));
        }
    }
    let mut answers = Vec::new();
    for (i, (city, number)) in FACTS.iter().enumerate() {
        answers.push(ask(&mut model, &tokenizer, kv.clone(), (i, city, number)));
    }
    let kv_bytes = KvCache::n_bytes(model.config(), format, prompt.len());
    let report = json!({
        "model": args.model,
        "kv": format.name(),
        "path": model.cpu().name(),
        "threads": model.n_threads(),
        "prompt_tokens": prompt.len(),
        "kv_bytes": kv_bytes,
        "peak_bytes": resident().n_bytes_max,
        "prefill": curve,
        "answers": answers,
    });
    #[expect(clippy::print_stdout, reason = "the report is what the program is for")]
    {
        println!("{report}");
    }
    Ok(())
}

/// Tokens per second after what `kv` holds, one at a time: the median of `TIMED` steps.
fn decode(model: &mut Model, mut kv: KvCache, mut token: u32) -> f64 {
    let mut times: Vec<f64> = (0..TIMED)
        .map(|_| {
            let start = Instant::now();
            token = step(model, &mut kv, &[token], true);
            start.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    1.0 / times[times.len() / 2]
}

/// A user's turn of so many tokens that is not over yet: text with the facts at even distances in it.
fn prompt(tokenizer: &Tokenizer, files: &[PathBuf], n_tokens: usize) -> Result<Vec<u32>> {
    let mut text = Vec::new();
    for file in files {
        let what = fs::read_to_string(file).with_context(|| format!("{}", file.display()))?;
        text.extend(tokenizer.encode(&what));
    }
    ensure!(!text.is_empty(), "nothing to make a prompt of");
    let mut ids = tokenizer.encode_special("<|im_start|>user\n");
    let mut text = text.iter().copied().cycle();
    for (i, (city, number)) in FACTS.iter().enumerate() {
        let at = n_tokens * (2 * i + 1) / (2 * FACTS.len());
        ids.extend(text.by_ref().take(at.saturating_sub(ids.len())));
        ids.extend(tokenizer.encode(&format!("\n// The secret number of {city} is {number}.\n")));
    }
    ids.extend(text.take(n_tokens.saturating_sub(ids.len())));
    Ok(ids)
}

/// One question, on a fork of the prompt's cache.
fn ask(
    model: &mut Model,
    tokenizer: &Tokenizer,
    mut kv: KvCache,
    (i, city, number): (usize, &str, &str),
) -> Value {
    let question = format!(
        "\n\nWhat is the secret number of {city}? It is in one of the comments above. \
         Answer with the number alone."
    );
    let mut ids = tokenizer.encode(&question);
    ids.extend(tokenizer.encode_special("<|im_end|>\n<|im_start|>assistant\n"));
    let start = Instant::now();
    let mut next = step(model, &mut kv, &ids, true);
    let first = start.elapsed().as_secs_f64();
    let mut answer = Vec::new();
    while !tokenizer.is_end(next) && answer.len() < ANSWER {
        answer.push(next);
        next = step(model, &mut kv, &[next], true);
    }
    let text = String::from_utf8_lossy(&tokenizer.decode(&answer)).into_owned();
    eprintln!("{city}: {text:?}");
    json!({
        "depth": (2 * i + 1) as f64 / (2 * FACTS.len()) as f64,
        "wanted": number,
        "answer": text,
        "found": text.contains(number),
        "first_token_s": first,
    })
}

/// One pass; the likeliest token after it, if it is asked for.
fn step(model: &mut Model, kv: &mut KvCache, tokens: &[u32], wanted: bool) -> u32 {
    let segment = Segment { kv, tokens, wanted: Wanted::Likeliest(usize::from(wanted)) };
    let abort = AtomicBool::new(false);
    let outputs = model.forward(&mut [segment], &abort).expect("nothing aborts it");
    outputs.likeliest.first().copied().unwrap_or_default()
}

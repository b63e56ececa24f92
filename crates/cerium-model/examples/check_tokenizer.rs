//! Compares a model's tokenizer with its committed golden, for models that tests do not download:
//!
//! ```text
//! cargo run --release -p cerium-model --example check_tokenizer -- GOLDEN MODEL.gguf
//! ```
//!
//! where `GOLDEN` names a file of `tests/data/tokenizer`: `qwen2.5-coder`, `gemma3-270m`. Then says
//! how fast loading and encoding are.
#![allow(
    clippy::unwrap_used,
    clippy::format_collect,
    reason = "shares its checks with the tests, which fail loudly"
)]

#[path = "../tests/it/tokenizer_golden.rs"]
mod tokenizer_golden;

use std::{env, hint::black_box, process::ExitCode, time::Instant};

use cerium_model::{file::ModelFile, tokenizer::Tokenizer};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let [golden, path] = args.as_slice() else {
        eprintln!("usage: check_tokenizer GOLDEN MODEL.gguf");
        return ExitCode::from(2);
    };
    let file = ModelFile::open(path.as_ref()).expect("a readable model");
    eprint!("{}", tokenizer_golden::check(golden, &file.gguf));

    let best_ms = |work: &dyn Fn()| {
        let once = |()| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64() * 1e3
        };
        [(); 7].map(once).into_iter().fold(f64::INFINITY, f64::min)
    };
    let tokenizer = Tokenizer::from_gguf(&file.gguf).expect("a vocabulary");
    let text: String =
        tokenizer_golden::corpus().iter().map(|source| source.text.as_str()).collect();
    let open_ms = best_ms(&|| drop(black_box(ModelFile::open(path.as_ref()))));
    let load_ms = best_ms(&|| drop(black_box(Tokenizer::from_gguf(&file.gguf))));
    let encode_ms = best_ms(&|| drop(black_box(tokenizer.encode(&text))));
    let mb_s = text.len() as f64 / encode_ms / 1e3;
    eprintln!("best of 7: header {open_ms:.1} ms, vocabulary {load_ms:.1} ms, {mb_s:.1} MB/s");
    for (name, unit) in [("spaces", " "), ("one letter", "a"), ("newlines", "\n"), ("dashes", "-")]
    {
        let text = unit.repeat(1 << 20);
        let ms = best_ms(&|| drop(black_box(tokenizer.encode(&text))));
        eprintln!("1 MiB of {name}: {ms:.0} ms");
    }
    ExitCode::SUCCESS
}

//! What of a tree a question brings into a prompt: the search of `cerium ask` beside plain text
//! search, within the same number of tokens.
//!
//! No model runs; its tokenizer counts. Questions come with the files and names of a right answer, and a
//! search is as good as what of these it shows. One JSON object on standard output, `cargo xtask eval qa`
//! makes a table of it.

mod plain;
mod score;

use anyhow::{Context, Result};
use cerium_harness::context::{Excerpt, select};
use cerium_harness::search::{Piece, SearchOptions, query, search};
use cerium_harness::workspace::Workspace;
use cerium_hub::{Home, Located, Sources};
use cerium_model::file::ModelFile;
use cerium_model::tokenizer::Tokenizer;
use clap::Parser;
use score::{Case, score};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

/// What of a tree a question brings into a prompt, beside plain text search.
#[derive(Parser)]
struct Recall {
    /// Model whose tokens are counted, by name
    #[arg(long, default_value = "qwen2.5-coder-0.5b")]
    model: String,
    /// Tokens of excerpts
    #[arg(long, value_name = "N", value_delimiter = ',', required = true)]
    tokens: Vec<usize>,
    /// The questions, one JSON object a line
    #[arg(long, value_name = "FILE")]
    cases: PathBuf,
    /// Folder with the tree that they are about
    tree: PathBuf,
}

/// Pieces of a tree for a question, best first.
type Find = fn(&Workspace, &str) -> Vec<Piece>;

fn main() -> Result<()> {
    let args = Recall::parse();
    let home = Home::from_env()?;
    let path = match cerium_hub::resolve(&home, &args.model)? {
        Located::Ready(path) => path,
        Located::Absent(entry) => cerium_hub::pull(&home, entry, &Sources::from_env(), &mut ())?,
    };
    let tokenizer = Tokenizer::from_gguf(&ModelFile::open(&path)?.gguf)?;
    let count_tokens = |text: &str| tokenizer.encode(text).len();
    let workspace = Workspace::discover(&args.tree)?;
    let cases = fs::read_to_string(&args.cases)
        .with_context(|| format!("reading {}", args.cases.display()))?;
    let cases: Vec<Case> =
        cases.lines().map(serde_json::from_str).collect::<Result<_, _>>().context("the cases")?;

    let mut results: Vec<Value> = Vec::new();
    let ways: [(&str, Find); 2] = [("cerium ask", found), ("plain text", plain::search)];
    for (way, find) in ways {
        for case in &cases {
            let start = Instant::now();
            let pieces = find(&workspace, &case.question);
            let search_ms = start.elapsed().as_secs_f64() * 1e3;
            for &tokens_max in &args.tokens {
                let excerpts = select(&pieces, tokens_max, &count_tokens);
                let shown: String = excerpts.iter().map(Excerpt::write).collect();
                let recall = score(case, &excerpts, &shown);
                results.push(json!({
                    "way": way,
                    "id": case.id,
                    "tokens_max": tokens_max,
                    "tokens": count_tokens(&shown),
                    "search_ms": search_ms,
                    "file": recall.file,
                    "files": recall.files,
                    "names": recall.names,
                }));
            }
        }
    }
    #[expect(clippy::print_stdout, reason = "the report is what the program is for")]
    {
        println!("{}", json!({ "model": args.model, "results": results }));
    }
    Ok(())
}

/// As `cerium ask` finds it.
fn found(workspace: &Workspace, question: &str) -> Vec<Piece> {
    search(workspace, &query(question), &SearchOptions::default()).pieces
}

//! The project's own automation: CI, benches against other engines, evaluations on real cases.
//!
//! Everything with an `if` in it that is not the product lives here: `ci` is what a change must
//! pass, `bench` compares speed with peers on the same files, `eval` runs cases written by others
//! through the real command, `package` makes what people install. Measured runs can be saved
//! under `bench/runs`.
#![expect(clippy::print_stdout, reason = "a tool for people and scripts, which read stdout")]

mod bench;
mod ci;
mod eval;
mod extension;
mod machine;
mod package;
mod page;
mod peer;
mod project;
mod run;
mod server;
mod table;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// The project's own automation.
#[derive(Parser)]
#[command(name = "cargo xtask")]
enum Task {
    /// Everything a change must pass: format, lints, dependencies, tests
    Ci(ci::Ci),
    /// A Debian package and a tarball, the same bytes from the same sources
    Package(package::Package),
    /// Speed, beside other engines
    #[command(subcommand)]
    Bench(Bench),
    /// Quality, on cases written by others
    #[command(subcommand)]
    Eval(Eval),
}

#[derive(Subcommand)]
enum Bench {
    /// Prefill, decode, first token and memory beside llama.cpp, its fork ik and mistral.rs, taking
    /// turns, and beside the limits of the machine
    Peers(bench::Peers),
    /// The model's own edits beside llama.cpp on the same prompts, plain and with its n-gram drafts
    Edits(bench::Edits),
    /// Suggestions of the language server while somebody types in a long file
    Typing(bench::Typing),
    /// `cerium serve` beside llama.cpp's servers, with agents that ask at the same time
    Load(bench::Load),
}

#[derive(Subcommand)]
enum Eval {
    /// Edits, completions and infills through the real command, scored by the cases' own scorer
    Edits(eval::Edits),
    /// Infills of `cerium serve` beside those of llama.cpp's server, scored by the cases' own scorer
    Fim(eval::Fim),
    /// Facts planted in a long prompt, asked for on forks of its cache; the speed along the way
    Needle(eval::Needle),
    /// Files and names of right answers that a question brings into the prompt, beside plain text search
    Qa(eval::Qa),
    /// Answers that must keep to a JSON schema or to the grammar of patches: how many do, and how fast they
    /// are written beside answers of any shape
    Shapes(eval::Shapes),
}

fn main() -> Result<()> {
    match Task::parse() {
        Task::Ci(ci) => ci.run(),
        Task::Package(package) => package.run(),
        Task::Bench(Bench::Peers(peers)) => peers.run(),
        Task::Bench(Bench::Edits(edits)) => edits.run(),
        Task::Bench(Bench::Typing(typing)) => typing.run(),
        Task::Bench(Bench::Load(load)) => load.run(),
        Task::Eval(Eval::Edits(edits)) => edits.run(),
        Task::Eval(Eval::Fim(fim)) => fim.run(),
        Task::Eval(Eval::Needle(needle)) => needle.run(),
        Task::Eval(Eval::Qa(qa)) => qa.run(),
        Task::Eval(Eval::Shapes(shapes)) => shapes.run(),
    }
}

//! What can be typed: commands, flags and their help, as a table. What they mean is in `commands`.

mod listen;

use crate::config::Size;
use cerium_harness::complete::{CompleteError, Point, parse_place};
use cerium_harness::edit::CANDIDATES_MAX;
use cerium_harness::journal::EntryId;
use cerium_harness::lines::LineSpan;
use cerium_server::KeyOptions;
use clap::builder::{Styles, styling::AnsiColor};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
pub(crate) use listen::Listen;
use serde::Deserialize;
use std::path::PathBuf;
use std::str::FromStr;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(AnsiColor::Cyan.on_default().dimmed());

const EXAMPLES: &str = "\
Examples:
  cerium edit src/app.py -i 'read the port from the environment'
  cerium undo
  cerium ask 'where are retries configured?'
  cerium serve

Exit codes: 0 done, 1 declined, 2 bad input, 3 no usable edit, 130 interrupted.
Settings: config.toml in $XDG_CONFIG_HOME/cerium, then cerium.toml in the tree, then flags.";

/// Real-time coding on the machine you have.
#[derive(Debug, Parser)]
#[command(name = "cerium", version, styles = STYLES, after_help = EXAMPLES)]
#[command(disable_help_subcommand = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Flags that every command takes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Everywhere")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag that people type")]
pub(crate) struct Global {
    /// Model: a name (see `cerium models`) or the path of a GGUF file
    #[arg(long, global = true, value_name = "NAME|PATH")]
    pub(crate) model: Option<String>,
    /// Threads that compute; as many as there are cores by default
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Tokens that prompt and answer may have together; what the model was trained for by default
    #[arg(long, global = true, value_name = "N", value_parser = count)]
    pub(crate) context: Option<usize>,
    /// How keys and values are stored: q8 takes half the memory of f16, at some cost in quality
    #[arg(long, global = true, value_name = "FORMAT")]
    pub(crate) kv: Option<Kv>,
    /// Load the model in this process, not in the engine that commands share
    #[arg(long, global = true)]
    pub(crate) no_daemon: bool,
    /// Keep nothing of prompts on disk (see `cerium cache --help`)
    #[arg(long, global = true)]
    pub(crate) no_persist: bool,
    /// Say nothing but errors and the result
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Print the result as one JSON object
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// Formats of keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kv {
    F16,
    Q8,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Change files by an instruction
    Edit(Edit),
    /// Take an edit back, the last one by default
    Undo(Undo),
    /// Apply the last undone edit again
    Redo,
    /// List what happened in this tree: edits, commands, plans
    Log(Log),
    /// Answer a question about the code in this tree
    Ask(Ask),
    /// Write, revise and carry out a plan for this tree
    Plan(Plan),
    /// Run a command in a sandbox: it writes in this tree only, and reaches no network
    Run(Run),
    /// What becomes the command of `cerium run`
    #[command(hide = true)]
    Inside {
        /// What `cerium run` says
        entry: String,
    },
    /// Fill in the code at a point
    Complete(Complete),
    /// Serve the OpenAI protocol to editors and agents
    Serve(Serve),
    /// Be a language server on standard input and output: editors start it
    Lsp(Lsp),
    /// Offer edits, answers and completions to other agents, as tools of theirs
    Mcp,
    /// Make, list and revoke keys of a server that others may use
    Keys(Keys),
    /// Stop the engine that commands share; it leaves by itself when it is idle
    Stop,
    /// The engine itself: commands start it
    #[command(hide = true)]
    Engine(EngineArgs),
    /// Download a model
    Pull(Pull),
    /// List the models
    Models,
    /// Remove a model
    Rm(Rm),
    /// Show or clear what is kept of prompts on disk
    Cache(Cache),
    /// Measure this machine, and how much of it cerium uses
    Bench(Bench),
    /// Show what this machine can do, what is wrong with it and what would help
    Doctor,
    /// Tell what of the last prompts was known, and why the rest was computed
    Why(Why),
    /// Print the completions of a shell
    Completions(Completions),
    /// Write the manual pages into a directory
    Man(Man),
}

/// `cerium edit`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cerium edit src/app.py -i 'add a timeout of 5 seconds to fetch'
  cerium edit lib.rs -i 'rename the parameter to bytes' --symbol parse
  cerium edit a.ts b.ts -i 'use const' --yes --json
  cerium edit -i 'rename fetch_all to fetch_pages'
  cerium edit --new src/cache.py -i 'a cache of the last 100 answers'
  cerium edit src/old.py -i 'rename this file to pages.py'
  cerium edit src/old.py -i 'delete this file'

The diff is shown while it is written. Whoever types meanwhile is asked what it should do otherwise, and
it goes on with both in mind; an empty line changes nothing. Then the diff is asked about: y applies it, n
does not, s goes through its hunks. Several files are changed as one: all or none, taken back together. Without a terminal to ask
on, nothing is applied (exit code 1) unless --yes is given. Standard output, when it is not a
terminal, gets the plain diff. `cerium undo` takes an applied edit back.")]
pub(crate) struct Edit {
    /// Files to change; without one, those that the instruction is about are looked for
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// What to change, in words
    #[arg(long, short, value_name = "TEXT")]
    pub(crate) instruction: String,
    /// Have the files written: there are none yet
    #[arg(long, requires = "files", conflicts_with_all = ["lines", "symbol"])]
    pub(crate) new: bool,
    /// Only these lines may change, counted from 1, both included
    #[arg(long, value_name = "A:B", conflicts_with = "symbol")]
    pub(crate) lines: Option<Lines>,
    /// Only the declaration of this name may change
    #[arg(long, value_name = "NAME")]
    pub(crate) symbol: Option<String>,
    /// Apply without asking
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Show the edit, change nothing
    #[arg(long, conflicts_with = "yes")]
    pub(crate) dry_run: bool,
    /// Have N answers written at the same time and take the best: of those that parse the one that most agree on
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = candidates)]
    pub(crate) candidates: usize,
    /// How the model writes its answer: the code in scope anew, each place of it by an answer of its own, or blocks
    /// that search for lines and replace them, bound to lines that stand in one place
    #[arg(long, value_enum, default_value_t = EditFormat::Rewrite)]
    pub(crate) format: EditFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EditFormat {
    Rewrite,
    EachRegion,
    SearchReplace,
}

fn candidates(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n @ 1..=CANDIDATES_MAX) => Ok(n),
        _ => Err(format!("a number from 1 to {CANDIDATES_MAX}")),
    }
}

/// `cerium undo`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cerium undo
  cerium undo 7                        edit 7 of `cerium log`, whatever came later in other files

A file that is not as the edit left it stays as it is, and so does the edit.")]
pub(crate) struct Undo {
    /// Number of the edit
    #[arg(value_name = "EDIT")]
    pub(crate) edit: Option<EntryId>,
}

/// `cerium log`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cerium log
  cerium log 7                         edit or command 7 in full

Numbers jump: taking back and applying again count too.")]
pub(crate) struct Log {
    /// Only this one, in full: the diff of an edit, the output of a command
    #[arg(value_name = "NUMBER")]
    pub(crate) number: Option<EntryId>,
}

/// `cerium run`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cerium run cargo test
  cerium run 'make 2>&1 | tail'
  cerium run --network npm install

Several words are a program and its arguments, one is a line for the shell. The command may read
whatever you may, and writes in this tree and in a temporary directory of its own, which goes with
it. Nothing that it starts outlives it. What it printed is kept in `cerium log`. The exit code is
the command's own: 128 and the number of the signal when one ended it, 124 when a limit did.")]
pub(crate) struct Run {
    /// Let it reach the network
    #[arg(long)]
    pub(crate) network: bool,
    /// Give it all rights that you have; limits are kept
    #[arg(long, conflicts_with = "network")]
    pub(crate) no_sandbox: bool,
    /// Seconds that it may take
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) time: u64,
    /// Memory that it may take, all of its processes together
    #[arg(long, value_name = "SIZE", default_value = "4 GB")]
    pub(crate) memory: Size,
    /// Processes and threads that it may have at the same time
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) processes: u16,
    /// The command
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    pub(crate) words: Vec<String>,
}

/// `cerium ask`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cerium ask 'how does a request reach the engine?' src docs/design.md
  cerium ask --continue 'and who wakes it up?'
  cerium run cargo test; cerium ask --log 'why does that fail?'

A question that goes on from the last one is put behind all that was said before, with what
changed in the files since, so that only what is new is read. Whoever types while it answers is asked
what it should say instead; an empty line changes nothing.")]
pub(crate) struct Ask {
    /// The question
    pub(crate) text: String,
    /// Go on from the last question in this tree
    #[arg(long = "continue", short = 'c')]
    pub(crate) go_on: bool,
    /// Show the model what happened last in this tree: edits, commands and the end of what they printed
    #[arg(long)]
    pub(crate) log: bool,
    #[command(flatten)]
    pub(crate) delegate: Delegate,
    /// Files and directories to look in; the whole tree by default
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
}

/// Who is asked.
#[derive(Debug, Args)]
pub(crate) struct Delegate {
    /// Ask a model of an upstream (docs/upstream.md): this one, or the first
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "")]
    pub(crate) delegate: Option<String>,
}

impl Delegate {
    /// What programs are told of who answered.
    pub(crate) fn tier(&self) -> &'static str {
        if self.delegate.is_some() { "upstream" } else { "local" }
    }
}

/// `cerium plan`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cerium plan 'move the settings into one struct'
  cerium plan                          show the plan
  cerium plan --revise 'step 2: keep the old name as an alias'
  cerium plan --run 3 'cargo test'     make step 3 run a command, or add one at the end that does
  cerium plan --apply 1                carry step 1 out: as an edit, or in the sandbox of `cerium run`")]
pub(crate) struct Plan {
    /// What is to be reached; without it the plan is shown
    #[arg(conflicts_with_all = ["revise", "apply"])]
    pub(crate) text: Option<String>,
    /// Change one step of the plan as this says
    #[arg(long, value_name = "TEXT", conflicts_with = "apply")]
    pub(crate) revise: Option<String>,
    /// Make step N run COMMAND, a line for the shell; nothing is run before the step is carried out
    #[arg(long, num_args = 2, value_names = ["N", "COMMAND"], conflicts_with_all = ["text", "revise", "apply"])]
    pub(crate) run: Option<Vec<String>>,
    /// Carry out step N as an edit, or run its command
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) apply: Option<u16>,
    #[command(flatten)]
    pub(crate) delegate: Delegate,
    /// With --apply: apply without asking
    #[arg(long, short, requires = "apply")]
    pub(crate) yes: bool,
    /// With --apply: show the edit, change nothing
    #[arg(long, requires = "apply", conflicts_with = "yes")]
    pub(crate) dry_run: bool,
}

/// `cerium complete`
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  cerium complete src/app.py:12:5

The file is not changed; the text that belongs at the point is printed.")]
pub(crate) struct Complete {
    /// Where: line and column counted from 1, the column in characters
    #[arg(value_name = "FILE:LINE:COL")]
    pub(crate) place: Place,
}

/// `cerium serve`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Example:
  cerium serve --listen 127.0.0.1:9000 --model qwen2.5-coder-1.5b")]
pub(crate) struct Serve {
    /// Address and port to listen on, a port of this machine alone, or unix:PATH [default: 127.0.0.1:8383]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<Listen>,
    /// Where responses are kept: a PostgreSQL database, or an SQLite file [default: under the state directory]
    #[arg(long, value_name = "URL|PATH")]
    pub(crate) store: Option<String>,
    /// Keep no responses
    #[arg(long, conflicts_with = "store")]
    pub(crate) no_store: bool,
    /// Ask for keys (see `cerium keys`); always done where other machines can reach the address
    #[arg(long)]
    pub(crate) keys: bool,
    /// How the log on standard error is written; it never holds text of prompts or answers
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
}

/// Formats of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// `cerium lsp`
#[derive(Debug, Args)]
#[command(after_help = "\
It suggests what comes at the cursor (textDocument/inlineCompletion). docs/editors.md has the set-up for each editor.")]
pub(crate) struct Lsp {
    /// Standard input and output; editors say it, and there is nothing else
    #[arg(long)]
    pub(crate) stdio: bool,
}

/// `cerium keys`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cerium keys create ci --tier partner
  cerium keys list
  cerium keys revoke cer-0123456789ab

A key is shown once, when it is made; only a digest of it is kept, where `cerium serve` keeps
responses. What the holder of a key may ask for is said by its tier, in config.toml:

  [tiers.partner]
  requests_per_minute = 60             what is not said is not limited
  tokens_per_minute = 20000
  concurrency = 2")]
pub(crate) struct Keys {
    #[command(subcommand)]
    pub(crate) action: KeysAction,
    /// Where keys are kept, as with `cerium serve --store`
    #[arg(long, value_name = "URL|PATH", global = true)]
    pub(crate) store: Option<String>,
}

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysAction {
    /// Make a key and show it, this once
    Create {
        /// Whose or what for: up to 64 characters
        #[arg(value_parser = label)]
        name: String,
        /// What its holder may ask for
        #[arg(long, default_value = KeyOptions::TIER)]
        tier: String,
    },
    /// List the keys, those that were revoked too
    List,
    /// Have a key open nothing any more
    Revoke {
        /// The beginning of the key, as listed
        id: String,
    },
}

fn label(text: &str) -> Result<String, String> {
    let n_chars = text.chars().count();
    if (1..=64).contains(&n_chars) && !text.chars().any(char::is_control) {
        Ok(text.to_owned())
    } else {
        Err("1 to 64 characters on one line".to_owned())
    }
}

/// `cerium engine`: what the commands that start it say.
#[derive(Debug, Args)]
pub(crate) struct EngineArgs {
    /// Seconds without work after which it leaves
    #[arg(long, value_name = "SECONDS")]
    pub(crate) idle: u64,
    /// Bytes of memory that its model may take
    #[arg(long, value_name = "BYTES")]
    pub(crate) memory: Option<u64>,
    /// Bytes of disk for computed prompts; 0 keeps none
    #[arg(long, value_name = "BYTES")]
    pub(crate) kept: u64,
}

/// `cerium pull`
#[derive(Debug, Args)]
pub(crate) struct Pull {
    /// Which model [default: qwen2.5-coder-0.5b]
    pub(crate) name: Option<String>,
}

/// `cerium rm`
#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// Which model
    pub(crate) name: String,
}

/// `cerium cache`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cerium cache                         what is kept, model by model
  cerium cache clear

What a model has computed of long prompts is kept in CERIUM_HOME/kv, so that it need not be computed
again after a restart. It is derived from your code and questions, and whoever can read it can find
out much of them: only you may read the files. `--no-persist`, or in config.toml

  [cache]
  persist = false                      keeps nothing on disk
  size = \"10 GB\"                       keeps more than 4 GB of it")]
pub(crate) struct Cache {
    #[command(subcommand)]
    pub(crate) action: Option<CacheAction>,
}

/// What to do with it.
#[derive(Debug, Subcommand)]
pub(crate) enum CacheAction {
    /// Remove all of it
    Clear,
}

/// `cerium why`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cerium why                           of the last answer
  cerium why --last 5 --json
  cerium why --totals                  how drafts did, and what was known of all prompts

The engine remembers its last answers, without their text but for a few words around the place from
which a prompt had to be computed.")]
pub(crate) struct Why {
    /// Answers to tell of
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) last: u16,
    /// Tell what all answers came to, instead
    #[arg(long)]
    pub(crate) totals: bool,
}

/// `cerium bench`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cerium bench roofline
  cerium bench prefill --profile
  cerium bench decode --after 512,4096
  cerium bench verify --k 1,4,16,64 --json

Limits and work take turns, so that a busy machine slows both; each fraction compares with the limit
that was measured in its own round. Medians of all rounds are printed.")]
pub(crate) struct Bench {
    #[command(subcommand)]
    pub(crate) measure: Measure,
}

/// What to measure.
#[derive(Debug, Subcommand)]
pub(crate) enum Measure {
    /// What memory and arithmetic can do at most, for each path and number of threads
    Roofline(Rounds),
    /// Reading a prompt, against the arithmetic of the machine
    Prefill {
        /// Tokens of the prompt
        #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [512], value_parser = count)]
        tokens: Vec<usize>,
        #[command(flatten)]
        rounds: Rounds,
    },
    /// Writing one token after the other, against the bandwidth of the memory
    Decode {
        /// Tokens written
        #[arg(long, value_name = "N", default_value_t = 64, value_parser = count)]
        tokens: usize,
        /// Tokens before them
        #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [512], value_parser = count)]
        after: Vec<usize>,
        #[command(flatten)]
        rounds: Rounds,
    },
    /// Checking k tokens at once, as drafts are checked
    Verify {
        /// Tokens at once
        #[arg(long, value_name = "K", value_delimiter = ',', default_values_t = [1, 2, 4, 8, 16, 32, 64, 128], value_parser = count)]
        k: Vec<usize>,
        /// Tokens before them
        #[arg(long, value_name = "N", default_value_t = 512, value_parser = count)]
        after: usize,
        #[command(flatten)]
        rounds: Rounds,
    },
    /// Edits with drafts of each kind: steps, tokens, the same output
    Edit(BenchEdit),
    /// Waits that others cause: cancels, steering, requests beside others
    Schedule(BenchSchedule),
    /// Answers with every draft, neighbour, number of threads and cache: the same bytes as plain ones
    Same(BenchSame),
    /// Turns over HTTP and over a WebSocket: what the server takes of each, beside the engine
    Serve(BenchServe),
    /// Many edits in a row over a tree: what each reads anew, its time, and whether memory stays flat
    Session(BenchSession),
    /// The first token of a short instruction after a long context that is known, and after a restart
    Cache(BenchCache),
}

/// Which conversations to have.
#[derive(Debug, Args)]
pub(crate) struct BenchServe {
    /// Tokens of history, about
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1000, 10_000, 50_000, 100_000], value_parser = count)]
    pub(crate) history: Vec<usize>,
    /// Turns over each transport
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = count)]
    pub(crate) turns: usize,
    /// Tokens of each answer
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = count)]
    pub(crate) tokens: usize,
    /// Time between tokens
    #[arg(long, value_name = "MICROSECONDS", default_value_t = 1000)]
    pub(crate) pace: u64,
}

/// Which tree to edit (in memory), and how often.
#[derive(Debug, Args)]
pub(crate) struct BenchSession {
    /// Directory in the tree; no file of it is changed
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) tree: PathBuf,
    /// Edits
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = count)]
    pub(crate) edits: usize,
    /// How long a person takes to type each instruction, in which the function is read ahead; 0: nothing is
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 1000)]
    pub(crate) typing: u64,
}

/// How long the known context is.
#[derive(Debug, Args)]
pub(crate) struct BenchCache {
    /// Tokens of the known context
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [8192, 32640], value_parser = count)]
    pub(crate) after: Vec<usize>,
    /// Tokens of the instruction
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = count)]
    pub(crate) tokens: usize,
    /// Instructions for each
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) rounds: u16,
}

/// Which prompts to answer, and in how many ways.
#[derive(Debug, Args)]
pub(crate) struct BenchSame {
    /// Folder with the cases (`SET.jsonl`): edits (`path`, `before`, `instruction`), questions
    /// (`question`) or infills (`prefix`, `suffix`)
    #[arg(long, value_name = "DIR")]
    pub(crate) cases: PathBuf,
    /// Sets of cases
    #[arg(long, value_name = "SET", value_delimiter = ',', default_values = ["micro_dev", "edit_dev", "qa_dev", "fim_dev"])]
    pub(crate) set: Vec<String>,
    /// Only every N-th case of each set
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = count)]
    pub(crate) every: usize,
    /// Ways to answer each prompt, beside the plain one; they take turns. 0: all of them
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(crate) ways: usize,
    /// Tokens of an answer at most
    #[arg(long, value_name = "N", default_value_t = 48, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) tokens: u32,
}

/// What is waited for.
#[derive(Debug, Args)]
pub(crate) struct BenchSchedule {
    /// Cancels of each kind; at most 20 of everything else
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = count)]
    pub(crate) times: usize,
    /// Tokens of a long prompt; steering comes after half of them
    #[arg(long, value_name = "N", default_value_t = 16384, value_parser = count)]
    pub(crate) long: usize,
    /// Tokens of each stream
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = count)]
    pub(crate) tokens: usize,
}

/// Which edits to draft, and how.
#[derive(Debug, Args)]
pub(crate) struct BenchEdit {
    /// Folder with the cases (`SET.jsonl`, each line with `id`, `path`, `before`, `instruction`, `after`)
    #[arg(long, value_name = "DIR")]
    pub(crate) cases: PathBuf,
    /// Sets of cases
    #[arg(long, value_name = "SET", value_delimiter = ',', default_values = ["micro_dev"])]
    pub(crate) set: Vec<String>,
    /// Only every N-th case of each set
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = count)]
    pub(crate) every: usize,
    /// What is written
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["end-to-end", "replay", "sites", "unlike", "disorder"])]
    pub(crate) view: Vec<EditView>,
}

/// What is written in a bench of edits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EditView {
    /// The model's own edits, compared byte by byte with those without drafts
    EndToEnd,
    /// The changed lines of each case as its reference has them, drafted from the old ones
    Replay,
    /// Changes in several places made from the cases' files: a name, an argument, a type, a call
    Sites,
    /// The changed lines of each case, drafted from those of another one: little to win
    Unlike,
    /// The words of the changed lines in disorder, drafted from the old lines: nothing to win, little to lose
    Disorder,
}

/// How long to measure, and what to show of it.
#[derive(Debug, Args)]
pub(crate) struct Rounds {
    /// Rounds, after one that warms up
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) rounds: u16,
    /// Show where the time goes
    #[arg(long)]
    pub(crate) profile: bool,
}

/// A number, as of tokens.
fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if (1..=1 << 20).contains(&n) => Ok(n),
        _ => Err("wanted a number of tokens, 1 to 1048576".into()),
    }
}

/// `cerium completions`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cerium completions bash > ~/.local/share/bash-completion/completions/cerium
  cerium completions fish > ~/.config/fish/completions/cerium.fish
  cerium completions zsh > ~/.zfunc/_cerium

For zsh, ~/.zshrc says `fpath+=~/.zfunc` before `compinit`. The Debian package brings all of them.")]
pub(crate) struct Completions {
    /// Which shell
    pub(crate) shell: Shell,
}

/// `cerium man`
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  cerium man ~/.local/share/man/man1   `man cerium` and `man cerium-edit` find them there

The Debian package brings them.")]
pub(crate) struct Man {
    /// The directory; it is made if need be
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

/// `A:B`, or `A` for a single line; counted from 1, both included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lines(pub(crate) LineSpan);

impl FromStr for Lines {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<usize>().ok().filter(|line| *line > 0);
        let (first, last) = text.split_once(':').unwrap_or((text, text));
        match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Self(LineSpan::new(first, last))),
            (Some(first), Some(last)) => Err(format!("line {first} comes after line {last}")),
            _ => Err("wanted A:B, two line numbers counted from 1".into()),
        }
    }
}

/// `FILE:LINE:COL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: PathBuf,
    pub(crate) point: Point,
}

impl FromStr for Place {
    type Err = CompleteError;

    fn from_str(text: &str) -> Result<Self, CompleteError> {
        let (file, point) = parse_place(text)?;
        Ok(Self { file, point })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_table_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn lines_are_read_or_refused() {
        assert_eq!("3:5".parse(), Ok(Lines(LineSpan::new(3, 5))));
        assert_eq!("7".parse(), Ok(Lines(LineSpan::line(7))));
        for bad in ["", ":", "0:2", "5:3", "a:b", "1:2:3", "-1:2", "1:99999999999999999999"] {
            assert!(bad.parse::<Lines>().is_err(), "{bad}");
        }
    }
}

//! Answers that must keep to a shape: requests for JSON of fifty schemas, as text and as a tool's arguments, and for
//! patches in a grammar. A validator that shares nothing with the engine says which ones do; the same
//! questions without a shape say how fast tokens come otherwise.

use crate::peer::{Peer, cores};
use crate::run::{Reporting, Run};
use crate::table::Table;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Options of `cargo xtask eval shapes`.
#[derive(clap::Args)]
pub(crate) struct Shapes {
    /// Model, by name or path
    #[arg(long, default_value = "qwen2.5-coder-0.5b", value_name = "NAME|PATH")]
    model: String,
    /// Only every N-th schema and patch
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    every: u32,
    /// Threads [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
    #[command(flatten)]
    reporting: Reporting,
}

/// Room for a prompt and its answer, in tokens.
const CONTEXT: usize = 4096;

/// Tokens of an answer at most: several times what the longest of the schemas needs.
const TOKENS_MAX: u32 = 1024;

/// Seeds of answers that are drawn, at a temperature of 0.8. `None` is the greedy one.
const DRAWS: [Option<u64>; 3] = [None, Some(1), Some(2)];

/// What is asked for as a patch.
const PATCHES: [&str; 10] = [
    "Rename the function load to read_config in config.py.",
    "Add a file notes.md with two lines about the parser.",
    "Delete the file old.py.",
    "In server.rs change the port from 8080 to 9090.",
    "Move util.py to helpers.py and add a docstring at its top.",
    "In index.html replace the title Home by Start.",
    "Remove the unused import os from app.py.",
    "Add a parameter timeout=5 to fetch in client.py.",
    "Fix the off-by-one in `for i in range(1, n)` in loop.py.",
    "Add a file .gitignore that leaves out target and node_modules.",
];

/// How patches are written, in Lark's notation. Bounded, so that an answer ends whatever the model wants: one
/// that draws among its tokens may never choose to.
const PATCH: &str = r#"start: "*** Begin Patch\n" file{1,2} "*** End Patch\n"
file: add | delete | update
add: "*** Add File: " name "\n" ("+" rest "\n"){1,12}
delete: "*** Delete File: " name "\n"
update: "*** Update File: " name "\n" ("*** Move to: " name "\n")? change{1,2}
change: "@@" (" " rest)? "\n" line{1,8}
line: ("+" | "-" | " ") rest "\n"
name: /[A-Za-z0-9_.\/-]{1,60}/
rest: /[^\n]{0,80}/
"#;

/// A schema and what to fill it with.
#[derive(Deserialize)]
struct Schema {
    name: String,
    ask: String,
    #[serde(rename = "schema")]
    shape: Value,
}

/// How an answer's shape is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Form {
    /// None: what the others are compared with.
    Any,
    Text,
    Arguments,
    Patch,
}

/// One answer.
#[derive(Debug, Serialize)]
struct Answered {
    name: String,
    form: Form,
    seed: Option<u64>,
    /// `None` where no shape was asked for.
    valid: Option<bool>,
    /// Whether it came to an end by itself.
    ended: bool,
    tokens: u64,
    steps: u64,
    decode_ms: f64,
}

/// What is asked for: the request, and what its answer is checked with.
struct Asked<'a> {
    name: &'a str,
    form: Form,
    body: Value,
    check: &'a dyn Fn(&str) -> bool,
}

impl Shapes {
    pub(crate) fn run(&self) -> Result<()> {
        let threads = self.threads.unwrap_or_else(cores);
        let schemas: Vec<Schema> = serde_json::from_str(include_str!("shapes.json"))?;
        let mut peer = Peer::start_ours(&self.model, threads, CONTEXT)?;
        let mut answers = Vec::new();
        for Schema { name, ask, shape } in schemas.iter().step_by(self.every as usize) {
            let validator = jsonschema::validator_for(shape).context("a schema of ours")?;
            let check = |text: &str| {
                serde_json::from_str(text).is_ok_and(|value: Value| validator.is_valid(&value))
            };
            let input = format!("{ask} Answer in JSON of this schema: {shape}");
            let bodies = [
                (Form::Any, json!({})),
                (
                    Form::Text,
                    json!({ "text": { "format": {
                    "type": "json_schema", "name": name, "schema": shape, "strict": true } } }),
                ),
                // Arguments are objects: a list goes in as one of their fields would.
                (
                    Form::Arguments,
                    tool(&json!({
                    "type": "function", "name": name, "strict": true, "parameters": shape })),
                ),
            ];
            for (form, body) in bodies {
                if form == Form::Arguments && shape["type"] == "array" {
                    continue;
                }
                let body = with_input(body, &self.model, &input);
                peer_answers(&mut peer, &Asked { name, form, body, check: &check }, &mut answers)?;
            }
        }
        for input in PATCHES.iter().step_by(self.every as usize) {
            let grammar = json!({ "type": "grammar", "syntax": "lark", "definition": PATCH });
            let body = tool(&json!({ "type": "custom", "name": "apply_patch", "format": grammar }));
            let body = with_input(body, &self.model, input);
            let asked = Asked { name: input, form: Form::Patch, body, check: &is_patch };
            peer_answers(&mut peer, &asked, &mut answers)?;
        }
        let (table, csv) = (table(&answers), csv(&answers));
        let invalid = answers.iter().filter(|answer| answer.valid == Some(false));
        for Answered { name, form, seed, ended, .. } in invalid {
            eprintln!("not of its shape: {name}, {form:?}, seed {seed:?}, ended: {ended}");
        }
        Run::new("shapes", threads, answers).report(&table, &csv, self.reporting)
    }
}

/// A request that must call a tool.
fn tool(tool: &Value) -> Value {
    let choice = json!({ "type": tool["type"], "name": tool["name"] });
    json!({ "tools": [tool], "tool_choice": choice, "parallel_tool_calls": false })
}

fn with_input(mut body: Value, model: &str, input: &str) -> Value {
    body["model"] = model.into();
    body["input"] = input.into();
    body["max_output_tokens"] = TOKENS_MAX.into();
    body
}

/// Asks greedily and by draws.
fn peer_answers(peer: &mut Peer, asked: &Asked<'_>, answers: &mut Vec<Answered>) -> Result<()> {
    for seed in DRAWS {
        let mut body = asked.body.clone();
        body["temperature"] = if seed.is_some() { 0.8 } else { 0.0 }.into();
        let said = peer.ask(&json!({ "op": "respond", "body": body, "seed": seed }))?;
        let count = |key: &str| said["usage"][key].as_u64().with_context(|| format!("no `{key}`"));
        let text = shaped(&said["output"]);
        let answer = Answered {
            name: asked.name.to_owned(),
            form: asked.form,
            seed,
            valid: (asked.form != Form::Any).then(|| (asked.check)(&text)),
            ended: said["status"] == "completed",
            tokens: count("output_tokens")?,
            steps: count("output_steps")?,
            decode_ms: said["timings"]["decode_ms"].as_f64().context("no `decode_ms`")?,
        };
        ensure!(answer.tokens > 0, "an empty answer to {}", asked.name);
        answers.push(answer);
    }
    Ok(())
}

/// The text of an answer that must have a shape: what is said, or what a tool is called with.
fn shaped(output: &Value) -> String {
    let items = output.as_array().into_iter().flatten();
    items
        .filter_map(|item| {
            ["content", "arguments", "input"].iter().find_map(|key| item[key].as_str())
        })
        .collect()
}

/// Where in a patch a line stands, by the one before it; whether there was a line of its kind already.
#[derive(Clone, Copy, PartialEq)]
enum At {
    File,
    Adds(bool),
    Update,
    Moved,
    Lines(bool),
}

/// Whether a text is a patch as the grammar has them, read line by line.
fn is_patch(text: &str) -> bool {
    let Some(body) = text
        .trim_end_matches('\n')
        .strip_prefix("*** Begin Patch\n")
        .and_then(|text| text.strip_suffix("\n*** End Patch"))
    else {
        return false;
    };
    let mut at = At::File;
    for line in body.split('\n') {
        let between = matches!(at, At::File | At::Adds(true) | At::Lines(true));
        at = if let (true, Some(rest)) = (between, line.strip_prefix("*** ")) {
            match rest.split_once(": ") {
                Some(("Add File", name)) if !name.is_empty() => At::Adds(false),
                Some(("Delete File", name)) if !name.is_empty() => At::File,
                Some(("Update File", name)) if !name.is_empty() => At::Update,
                _ => return false,
            }
        } else {
            match (at, line.chars().next()) {
                (At::Adds(_), Some('+')) => At::Adds(true),
                (At::Update, Some('*')) if line.starts_with("*** Move to: ") => At::Moved,
                (At::Update | At::Moved | At::Lines(true), Some('@')) if line.starts_with("@@") => {
                    At::Lines(false)
                }
                (At::Lines(_), Some('+' | '-' | ' ')) => At::Lines(true),
                _ => return false,
            }
        };
    }
    matches!(at, At::File | At::Adds(true) | At::Lines(true))
}

fn table(answers: &[Answered]) -> String {
    let head = ["answers", "of them valid", "ended", "tokens", "a step", "tok/s", "steps/s"];
    let mut table = Table::new(["shape"].into_iter().chain(head));
    for form in [Form::Any, Form::Text, Form::Arguments, Form::Patch] {
        let these: Vec<&Answered> = answers.iter().filter(|answer| answer.form == form).collect();
        let count = |of: &dyn Fn(&Answered) -> bool| these.iter().filter(|a| of(a)).count();
        let sum = |of: &dyn Fn(&Answered) -> f64| these.iter().map(|a| of(a)).sum::<f64>();
        let (tokens, steps) = (sum(&|a| a.tokens as f64), sum(&|a| a.steps as f64));
        // The first token is not in the time.
        let (n, seconds) = (these.len() as f64, sum(&|a| a.decode_ms) / 1e3);
        let valid = match form {
            Form::Any => "-".to_owned(),
            _ => count(&|a| a.valid == Some(true)).to_string(),
        };
        table.row([
            match form {
                Form::Any => "any",
                Form::Text => "JSON of a schema",
                Form::Arguments => "arguments of a schema",
                Form::Patch => "a patch",
            }
            .to_owned(),
            these.len().to_string(),
            valid,
            count(&|a| a.ended).to_string(),
            format!("{tokens}"),
            format!("{:.2}", tokens / steps),
            format!("{:.1}", (tokens - n) / seconds),
            format!("{:.1}", (steps - n) / seconds),
        ]);
    }
    table.to_string()
}

fn csv(answers: &[Answered]) -> String {
    let mut csv = "name,form,seed,valid,ended,tokens,steps,decode_ms\n".to_owned();
    for Answered { name, form, seed, valid, ended, tokens, steps, decode_ms } in answers {
        let seed = seed.map_or_else(String::new, |seed| seed.to_string());
        let valid = valid.map_or_else(String::new, |valid| valid.to_string());
        // Writing to a string cannot fail.
        let _ = writeln!(
            csv,
            "\"{name}\",{form:?},{seed},{valid},{ended},{tokens},{steps},{decode_ms:.1}"
        );
    }
    csv
}

#[cfg(test)]
mod tests {
    use super::is_patch;

    #[test]
    fn patches_are_told_from_what_is_none() {
        let begin = "*** Begin Patch\n";
        for good in [
            "*** Delete File: a\n",
            "*** Add File: a\n+b\n+\n*** Delete File: c\n",
            "*** Update File: a\n*** Move to: b\n@@ f\n x\n-y\n+z\n@@\n+*** End Patch\n",
        ] {
            assert!(is_patch(&format!("{begin}{good}*** End Patch\n")), "{good}");
        }
        for bad in [
            "",
            "*** Add File: a\n",
            "*** Update File: a\n",
            "*** Update File: a\n+b\n",
            "*** Update File: a\n@@\n*** Delete File: b\n",
            "*** Add File: a\n+b\nc\n",
            "*** Rename File: a\n",
        ] {
            assert!(!is_patch(&format!("{begin}{bad}*** End Patch\n")), "{bad}");
        }
        assert!(!is_patch("*** Begin Patch\n*** Delete File: a\n"));
    }
}

//! `cerium why`: what of the last prompts was known, and why the rest was computed.

use super::{Context, Exit};
use crate::cli::Why as Args;
use crate::engine::{self, Hello};
use crate::output::{self, BOLD, DIM, printable};
use anyhow::Result;
use cerium_protocol::wire::engine::{Activity, Explained};
use cerium_protocol::{Cause, DraftCounts, PartRead, Place, Why};
use serde::Serialize;
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// An answer, and who gave it.
#[derive(Serialize)]
struct Answer {
    model: String,
    #[serde(flatten)]
    explained: Explained,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Exit> {
    let engines = engine::explained()?;
    if engines.is_empty() {
        context.output.note("no engine runs, and with it goes what it remembers of its answers");
        context.output.note("hint: a command says the same of its own answers with --json");
    }
    if args.totals {
        let engines: Vec<Hello> = engines.into_iter().map(|(hello, _)| hello).collect();
        if context.output.json {
            output::object(&serde_json::json!({ "engines": engines }))?;
        } else {
            output::data(&engines.iter().map(totals).collect::<String>())?;
        }
        return Ok(Exit::Done);
    }
    let answers = engines.into_iter().flat_map(|(hello, answers)| {
        let answer = move |explained| Answer { model: hello.model.name.clone(), explained };
        answers.into_iter().map(answer)
    });
    let mut answers: Vec<Answer> = answers.collect();
    answers.sort_by_key(|answer| answer.explained.ended);
    let answers = &answers[answers.len().saturating_sub(usize::from(args.last))..];
    if context.output.json {
        output::object(&serde_json::json!({ "answers": answers }))?;
    } else {
        output::data(&answers.iter().map(text).collect::<Vec<_>>().join("\n"))?;
    }
    Ok(Exit::Done)
}

fn text(Answer { model, explained }: &Answer) -> String {
    let Explained { ended, usage, timings, why, .. } = explained;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let disk = match why.restored_tokens {
        0 => String::new(),
        n => format!(" ({n} from disk)"),
    };
    let mut text = format!(
        "{BOLD}{model}{BOLD:#}, {} s ago: {} of {} prompt tokens known{disk}, {} computed, first token after \
         {:.0} ms\n",
        now.saturating_sub(*ended),
        usage.cached_tokens,
        usage.prompt_tokens,
        usage.prompt_tokens.saturating_sub(usage.cached_tokens),
        timings.ttft_ms,
    );
    let width = why.parts.iter().map(|part| part.name.chars().count()).max().unwrap_or(0);
    for PartRead { name, tokens, known_tokens } in why.parts.iter().filter(|part| part.tokens > 0) {
        let state = match tokens - known_tokens.min(tokens) {
            0 => "known".to_owned(),
            n if n == *tokens => "computed".to_owned(),
            n => format!("{known_tokens} known, {n} computed"),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {:<width$} {tokens:>6}  {DIM}{state}{DIM:#}", printable(name));
    }
    text + &reason(why)
}

/// Why what was computed was computed, in a sentence.
fn reason(why: &Why) -> String {
    let gone = why.gone_tokens;
    let cause = match why.cause {
        Cause::Known => "all of it was known; the last token is always computed".to_owned(),
        Cause::New if why.parts.iter().all(|part| part.known_tokens == 0) => {
            return "no known prompt begins like it\n".to_owned();
        }
        Cause::New => "known prompts go no further".to_owned(),
        Cause::Differs => "a known prompt goes on otherwise".to_owned(),
        Cause::Evicted => {
            format!("{gone} tokens more were known once, and went because their memory was needed")
        }
        Cause::Lost => format!(
            "{gone} tokens more were computed by an engine that has ended, and are not on disk"
        ),
        Cause::Elsewhere => {
            format!("{gone} tokens more were computed by another model, or in another format")
        }
    };
    let Some(Place { part, before, here, known, .. }) = &why.place else {
        return format!("{cause}\n");
    };
    let name = why.parts.get(*part).map_or("", |part| &part.name);
    let mut text = format!("{cause}: in the {}, after {before:?}\n", printable(name));
    let _ = writeln!(text, "  here   {here:?}");
    if let Some(known) = known {
        let _ = writeln!(text, "  known  {known:?}");
    }
    text
}

fn totals(Hello { model, activity, .. }: &Hello) -> String {
    let Activity { answers, prompt_tokens, cached_tokens, output_tokens, output_steps, .. } =
        *activity;
    let percent = |part: u64, whole: u64| 100 * part / whole.max(1);
    let mut text = format!(
        "{BOLD}{}{BOLD:#}: {answers} answers\n  prompts   {prompt_tokens} tokens, {}% of them known\n  \
         answers   {output_tokens} tokens in {output_steps} steps, {:.1} a step\n",
        model.name,
        percent(cached_tokens, prompt_tokens),
        output_tokens as f64 / output_steps.max(1) as f64,
    );
    let drafts = activity.drafts;
    let kinds =
        [("copied", drafts.copied), ("changed", drafts.changed), ("repeated", drafts.repeated)];
    for (kind, DraftCounts { drafted_tokens, accepted_tokens }) in kinds {
        let share = percent(accepted_tokens, drafted_tokens);
        let _ = writeln!(
            text,
            "  {kind:<9} {drafted_tokens} tokens drafted, {accepted_tokens} right ({share}%)"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_prompts_moves_no_cursor() {
        let place = Place {
            part: 0,
            byte: 0,
            before: "a\u{1b}[2J".into(),
            here: "\u{202e}b".into(),
            known: Some("\u{7}".into()),
        };
        let part = PartRead { name: "\u{1b}c".into(), tokens: 2, known_tokens: 1 };
        let why = Why {
            cause: Cause::Differs,
            restored_tokens: 0,
            gone_tokens: 0,
            parts: vec![part],
            place: Some(place),
        };
        let text = reason(&why);
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        assert!(!text.contains('\u{202e}'), "{text:?}");
    }
}

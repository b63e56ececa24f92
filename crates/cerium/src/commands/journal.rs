//! `cerium undo`, `cerium redo`, `cerium log`.

use super::{Context, Exit, Tree};
use crate::cli::{Log, Undo};
use crate::failure::advice;
use crate::output::{self, BOLD, CYAN, DIM, GREEN, RED, diff, one_line};
use anstyle::Style;
use anyhow::Result;
use cerium_harness::journal::{Deed, Entry, EntryState, Journal};
use cerium_harness::run::Ended;
use serde_json::json;
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) fn undo(context: &Context, args: &Undo) -> Result<Exit> {
    let entry = Tree::here()?.journal().undo(args.edit)?;
    report(context, "undid", &entry)
}

pub(crate) fn redo(context: &Context) -> Result<Exit> {
    let entry = Tree::here()?.journal().redo()?;
    report(context, "applied again", &entry)
}

fn report(context: &Context, what: &str, entry: &Entry) -> Result<Exit> {
    if context.output.json {
        output::object(entry)?;
    } else {
        let Entry { id, note, .. } = entry;
        context.output.note(format!(
            "{what} edit {id} of {}: {}",
            files(entry),
            one_line(&note.instruction)
        ));
    }
    Ok(Exit::Done)
}

pub(crate) fn log(context: &Context, args: &Log) -> Result<Exit> {
    let journal = Tree::here()?.journal();
    journal.recover()?;
    let mut deeds = journal.deeds()?;
    if let Some(number) = args.number {
        deeds.retain(|deed| deed.id() == number);
        if deeds.is_empty() {
            return Err(advice(
                format!("nothing in the journal has the number {number}"),
                "`cerium log` lists what there is",
            ));
        }
    }
    if context.output.json {
        return json(&deeds);
    }
    match deeds.as_slice() {
        [] => context.output.note("nothing happened in this tree yet"),
        [deed] if args.number.is_some() => return whole(&journal, deed),
        _ => {}
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    for deed in deeds.iter().rev() {
        let (at, style, state, what) = line(deed);
        let age = age(now.saturating_sub(at));
        let id = deed.id();
        output::data(&format!(
            "{BOLD}{id:>4}{BOLD:#}  {age:>10}  {style}{state:<11}{style:#}  {what}\n"
        ))?;
    }
    Ok(Exit::Done)
}

/// Edits as they stand under `entries`, the rest by its kind.
fn json(deeds: &[Deed]) -> Result<Exit> {
    let (mut entries, mut runs, mut plans) = (Vec::new(), Vec::new(), Vec::new());
    for deed in deeds {
        match deed {
            Deed::Edit(entry) => entries.push(entry),
            Deed::Run { .. } => runs.push(deed),
            Deed::Plan { .. } => plans.push(deed),
        }
    }
    output::object(&json!({ "entries": entries, "runs": runs, "plans": plans }))?;
    Ok(Exit::Done)
}

/// A deed on one line: when, how it stands, what it was.
fn line(deed: &Deed) -> (u64, Style, String, String) {
    match deed {
        Deed::Edit(entry) => {
            let (style, state) = match entry.state {
                EntryState::Applied => (GREEN, "applied"),
                EntryState::Undone => (DIM, "undone"),
                EntryState::NotApplied => (RED, "not applied"),
            };
            let what = format!("{}  {}", files(entry), one_line(&entry.note.instruction));
            (entry.at, style, state.to_owned(), what)
        }
        Deed::Run { at, ran, .. } => {
            let style = if ran.ended.is_success() { GREEN } else { RED };
            let state = match ran.ended {
                Ended::Exit(code) => format!("exit {code}"),
                Ended::Signal(number) => format!("signal {number}"),
                Ended::Stopped(_) => "stopped".to_owned(),
            };
            (*at, style, state, format!("$ {}", one_line(&ran.command)))
        }
        Deed::Plan { at, what, .. } => (*at, CYAN, "plan".to_owned(), one_line(what)),
    }
}

/// An edit's diff, a command's output.
fn whole(journal: &Journal, deed: &Deed) -> Result<Exit> {
    match deed {
        Deed::Edit(entry) => {
            for diff in journal.diffs(entry)? {
                output::data(&diff::colour(&diff))?;
            }
        }
        Deed::Run { ran, .. } => {
            let command = output::printable(&ran.command);
            let text = output::printable(&ran.output);
            output::data(&format!("$ {command}\n{text}\n{}\n", ran.ended))?;
        }
        Deed::Plan { what, .. } => output::data(&format!("{}\n", output::printable(what)))?,
    }
    Ok(Exit::Done)
}

fn files(entry: &Entry) -> String {
    entry.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>().join(" ")
}

/// How long ago, for people.
pub(crate) fn age(seconds: u64) -> String {
    match seconds {
        0..60 => "just now".into(),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86_400 => format!("{} h ago", seconds / 3600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

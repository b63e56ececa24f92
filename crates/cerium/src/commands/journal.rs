//! `cerium undo`, `cerium redo`, `cerium log`.

use super::{Context, Exit, Tree};
use crate::cli::Undo;
use crate::output::{self, BOLD, DIM, GREEN, RED, one_line};
use anyhow::Result;
use cerium_harness::journal::{Entry, EntryState};
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

pub(crate) fn log(context: &Context) -> Result<Exit> {
    let journal = Tree::here()?.journal();
    journal.recover()?;
    let entries = journal.log()?;
    if context.output.json {
        output::object(&json!({ "entries": entries }))?;
        return Ok(Exit::Done);
    }
    if entries.is_empty() {
        context.output.note("no edits were made in this tree yet");
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    for entry in entries.iter().rev() {
        let (style, state) = match entry.state {
            EntryState::Applied => (GREEN, "applied"),
            EntryState::Undone => (DIM, "undone"),
            EntryState::NotApplied => (RED, "not applied"),
        };
        let age = age(now.saturating_sub(entry.at));
        let instruction = one_line(&entry.note.instruction);
        output::data(&format!(
            "{BOLD}{:>4}{BOLD:#}  {age:>10}  {style}{state:<11}{style:#}  {}  {instruction}\n",
            entry.id,
            files(entry),
        ))?;
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

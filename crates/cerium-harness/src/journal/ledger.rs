//! What happened in a tree, in order: edits, commands, plans. For people, and for prompts that quote
//! it.

use super::record::{EntryId, Op, Record};
use super::replay::{Entry, EntryState, replay};
use crate::run::Ran;
use serde::Serialize;
use std::fmt;

/// Lines of a command's output that are quoted.
const OUTPUT_LINES_QUOTED: usize = 20;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Deed {
    /// An edit, as it stands now.
    Edit(Entry),
    /// A command was run.
    Run {
        /// Its number.
        id: EntryId,
        /// When, in seconds since 1970, UTC.
        at: u64,
        /// What became of it.
        #[serde(flatten)]
        ran: Ran,
    },
    /// A plan was written or revised.
    Plan {
        /// Its number.
        id: EntryId,
        /// When, in seconds since 1970, UTC.
        at: u64,
        /// What it is to reach, or how it was revised.
        what: String,
    },
}

impl Deed {
    /// Its number in the journal.
    pub fn id(&self) -> EntryId {
        match self {
            Self::Edit(entry) => entry.id,
            Self::Run { id, .. } | Self::Plan { id, .. } => *id,
        }
    }
}

/// As it is quoted to a model: without times, so that the same history is the same text.
impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Edit(entry) => {
                let state = match entry.state {
                    EntryState::Applied => "applied",
                    EntryState::Undone => "undone",
                    EntryState::NotApplied => "not applied",
                };
                let files: Vec<&str> = entry.files.iter().map(|file| file.path.as_str()).collect();
                writeln!(f, "edit of {}, {state}: {}", files.join(", "), entry.note.instruction)
            }
            Self::Run { ran, .. } => {
                writeln!(f, "command `{}`, {}", ran.command, ran.ended)?;
                let lines: Vec<&str> = ran.output.lines().collect();
                let last = &lines[lines.len().saturating_sub(OUTPUT_LINES_QUOTED)..];
                last.iter().try_for_each(|line| writeln!(f, "  {line}"))
            }
            Self::Plan { what, .. } => writeln!(f, "plan: {what}"),
        }
    }
}

/// All of it, oldest first.
pub(super) fn deeds(records: &[Record]) -> Vec<Deed> {
    let mut edits = replay(records).into_iter().peekable();
    let deed = |record: &Record| {
        let Record { id, at, .. } = *record;
        match &record.op {
            Op::Ran { ran } => Some(Deed::Run { id, at, ran: ran.clone() }),
            Op::Planned { what } => Some(Deed::Plan { id, at, what: what.clone() }),
            _ => edits.next_if(|entry| entry.id == id).map(Deed::Edit),
        }
    };
    records.iter().filter_map(deed).collect()
}

/// The last deeds that fit into so many bytes, oldest first, as text.
pub fn tail(deeds: &[Deed], n_bytes_max: usize) -> String {
    let mut room = n_bytes_max;
    let texts = deeds.iter().rev().map(Deed::to_string);
    let mut last: Vec<String> = texts
        .take_while(|text| {
            let fits = text.len() <= room;
            room = room.saturating_sub(text.len());
            fits
        })
        .collect();
    last.reverse();
    last.concat()
}

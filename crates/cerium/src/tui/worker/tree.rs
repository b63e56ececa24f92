//! What the tree knows: its files, its plan, its journal.

use super::Session;
use crate::commands::{age, needed};
use crate::output::one_line;
use crate::tui::message::Told;
use anyhow::Result;
use cerium_harness::journal::{Entry, EntryId, EntryState};
use cerium_harness::plan::{Plan, PlanError, PlanStore};
use cerium_harness::workspace::WalkLimits;
use std::time::{SystemTime, UNIX_EPOCH};

/// Edits listed: more than a screen is looked for elsewhere.
const LOG_MAX: usize = 15;

impl Session {
    pub(super) fn list_files(&self) {
        let listing = self.tree.workspace.list(&[], &WalkLimits::default());
        self.tell(Told::Files(listing.files));
    }

    pub(super) fn plans(&self) -> PlanStore {
        PlanStore::of(&self.tree.state, &self.tree.workspace)
    }

    pub(super) fn needed_plan(&self, store: &PlanStore) -> Result<Plan> {
        needed(self.tree.plan(store)?)
    }

    pub(super) fn show_plan(&self) -> Result<()> {
        let plan = self.needed_plan(&self.plans())?;
        self.tell(Told::Plan(Box::new(plan)));
        Ok(())
    }

    /// Shows the plan anew, if there is one: an edit may have opened or closed a step.
    pub(super) fn refresh_plan(&self) -> Result<(), PlanError> {
        if let Some(plan) = self.tree.plan(&self.plans())? {
            self.tell(Told::Plan(Box::new(plan)));
        }
        Ok(())
    }

    pub(super) fn undo(&self, edit: Option<EntryId>) -> Result<()> {
        let entry = self.tree.journal().undo(edit)?;
        self.tell(Told::Undone(entry.id));
        self.tell_entry("undid", &entry)
    }

    pub(super) fn redo(&self) -> Result<()> {
        let entry = self.tree.journal().redo()?;
        self.tell(Told::Redone(entry.id));
        self.tell_entry("applied again:", &entry)
    }

    fn tell_entry(&self, what: &str, entry: &Entry) -> Result<()> {
        let instruction = one_line(&entry.note.instruction);
        self.note(format!("{what} edit {} of {}: {instruction}", entry.id, paths(entry)));
        Ok(self.refresh_plan()?)
    }

    pub(super) fn log(&self) -> Result<()> {
        let entries = self.tree.journal().log()?;
        if entries.is_empty() {
            self.note("no edits were made in this tree yet");
            return Ok(());
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let row = |entry: &Entry| {
            let state = match entry.state {
                EntryState::Applied => "applied",
                EntryState::Undone => "undone",
                EntryState::NotApplied => "not applied",
            };
            let Entry { id, at, note, .. } = entry;
            let age = age(now.saturating_sub(*at));
            let about = format!("{} ({age})", one_line(&note.instruction));
            (format!("{id} {state} {}", paths(entry)), about)
        };
        self.tell(Told::Table(entries.iter().rev().take(LOG_MAX).map(row).collect()));
        Ok(())
    }
}

fn paths(entry: &Entry) -> String {
    entry.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>().join(" ")
}

//! Edits at the door: a file, an instruction, a scripted model; out comes a file or a refusal.

mod apply;
mod candidates;
mod cases;
mod conventions;
mod direct;
mod files;
mod hunks;
mod places;
mod whole;

use crate::support::Scripted;
use cerium_harness::edit::{EditError, EditRequest, Progress, Proposal, plan_edit, run_edit};
use cerium_harness::journal::Journal;
use cerium_harness::workspace::{StateHome, Workspace};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::{fs, path::Path};
use tempfile::TempDir;

/// A tree with one file to edit, and a place for its journal.
pub(crate) struct Desk {
    dir: TempDir,
    state: TempDir,
    name: String,
}

impl Desk {
    pub(crate) fn new(name: &str, bytes: impl AsRef<[u8]>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(".git")).unwrap();
        fs::write(dir.path().join(name), bytes).unwrap();
        Self { dir, state: tempfile::tempdir().unwrap(), name: name.to_owned() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(&self.name)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.bytes()).unwrap()
    }

    pub(crate) fn workspace(&self) -> Workspace {
        Workspace::discover(self.dir.path()).unwrap()
    }

    pub(crate) fn journal(&self) -> Journal {
        Journal::of(&StateHome::at(self.state.path()), self.workspace().root())
    }

    pub(crate) fn request(&self, instruction: &str) -> EditRequest {
        EditRequest::new(Path::new(&self.name), instruction)
    }

    pub(crate) fn propose(
        &self,
        request: EditRequest,
        model: &Scripted,
    ) -> Result<Proposal, EditError> {
        let prepared = plan_edit(&self.workspace(), request)?;
        run_edit(model, &prepared, &mut |_: Progress<'_>| ControlFlow::Continue(()))
    }
}

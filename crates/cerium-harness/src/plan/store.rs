//! Where a tree's plan is kept: one JSON file in the tree's state folder, replaced in one step.

use super::PlanError;
use super::step::Plan;
use crate::workspace::{StateHome, Workspace, private_dir, write_private};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Version of the file that this code writes, and the newest it reads.
const VERSION: u32 = 1;
/// A plan file above this size was not written by us, in bytes.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// The plan of one tree on disk.
#[derive(Clone, Debug)]
pub struct PlanStore {
    path: PathBuf,
}

/// The file: the plan with what tells its format.
#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    /// Root of the tree, for people who look at the file.
    tree: String,
    plan: Plan,
}

/// Read before the rest, which another version may shape differently.
#[derive(Deserialize)]
struct Head {
    version: u32,
}

impl PlanStore {
    /// Names the plan of a tree; nothing is created before something is saved.
    pub fn of(home: &StateHome, workspace: &Workspace) -> Self {
        Self { path: home.tree(workspace.root()).join("plan.json") }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the plan; nothing when none was made yet.
    ///
    /// # Errors
    /// `Io`, `Newer` when a later version wrote it, `Damaged` when it is not a plan.
    pub fn load(&self) -> Result<Option<Plan>, PlanError> {
        let io = |source| PlanError::Io { what: "read", path: self.path.clone(), source };
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(io)?,
        };
        let mut text = String::new();
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(io)?;
        let damaged = |source| PlanError::Damaged { path: self.path.clone(), source };
        let head: Head = serde_json::from_str(&text).map_err(damaged)?;
        if head.version > VERSION {
            let path = self.path.clone();
            return Err(PlanError::Newer { path, found: head.version, known: VERSION });
        }
        let kept: Kept = serde_json::from_str(&text).map_err(damaged)?;
        Ok(Some(kept.plan))
    }

    /// Writes the plan if the one on disk is still the one it was made from: `plan.revision` must
    /// be the revision that was loaded (0 for a first plan). Returns the plan as written.
    ///
    /// # Errors
    /// `Changed` when another process was faster, `Io`.
    pub fn save(&self, workspace: &Workspace, plan: &Plan) -> Result<Plan, PlanError> {
        let io = |source| PlanError::Io { what: "write", path: self.path.clone(), source };
        let _lock = self.lock().map_err(io)?;
        let on_disk = match self.load() {
            // A damaged file is put aside, not lost: someone may want to look at it.
            Err(PlanError::Damaged { .. }) => {
                std::fs::rename(&self.path, self.path.with_extension("damaged.json"))
                    .map_err(io)?;
                plan.revision
            }
            loaded => loaded?.map_or(0, |plan| plan.revision),
        };
        if on_disk != plan.revision {
            return Err(PlanError::Changed { path: self.path.clone() });
        }
        let plan = Plan { revision: plan.revision + 1, ..plan.clone() };
        let tree = workspace.root().display().to_string();
        let kept = Kept { version: VERSION, tree, plan };
        let json = serde_json::to_string_pretty(&kept).map_err(|error| io(error.into()))?;
        write_private(&self.path, json.as_bytes()).map_err(io)?;
        Ok(kept.plan)
    }

    fn dir(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    /// Holds off other processes for the time of one save.
    fn lock(&self) -> io::Result<File> {
        let dir = self.dir();
        private_dir(dir)?;
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        let lock = options.open(dir.join("plan.lock"))?;
        lock.lock()?;
        Ok(lock)
    }
}

//! Where a tree's last conversation is kept: one file in the tree's state folder, replaced in one step.

use super::warming;
use crate::Backend;
use crate::talk::Talk;
use crate::workspace::{StateHome, Workspace, write_private};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

/// Version of the file that this code writes, and the only one it reads.
const VERSION: u32 = 1;
/// A file above this size was not written by us, in bytes.
const FILE_BYTES_MAX: u64 = 32 << 20;

/// The last conversation of one tree, on disk.
#[derive(Clone, Debug)]
pub struct TalkStore {
    path: PathBuf,
}

/// A conversation, and the same one written anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// As it was said.
    pub talk: Talk,
    /// As it is to go on, once somebody has read it.
    pub fresh: Option<Talk>,
}

#[derive(Serialize, Deserialize)]
struct Contents<T> {
    version: u32,
    #[serde(flatten)]
    kept: T,
}

impl Kept {
    /// The one to go on with: the one of which less is left to be read.
    pub fn current(self, backend: &dyn Backend) -> Talk {
        let model = backend.model().name;
        let missing = |talk: &Talk| backend.missing_tokens(&warming(&model, talk));
        match self.fresh {
            Some(fresh) if missing(&fresh) <= missing(&self.talk) => fresh,
            _ => self.talk,
        }
    }
}

impl TalkStore {
    /// Names the conversation of a tree; nothing is created before something is saved.
    pub fn of(home: &StateHome, workspace: &Workspace) -> Self {
        Self { path: home.tree(workspace.root()).join("ask.json") }
    }

    /// Reads the conversation; nothing when there is none that can be read.
    pub fn load(&self) -> Option<Kept> {
        let mut text = String::new();
        File::open(&self.path).ok()?.take(FILE_BYTES_MAX).read_to_string(&mut text).ok()?;
        let contents: Contents<Kept> = serde_json::from_str(&text).ok()?;
        (contents.version == VERSION).then_some(contents.kept)
    }

    /// Puts a conversation in the place of the last one.
    ///
    /// # Errors
    /// What the system says.
    pub fn save(&self, kept: &Kept) -> io::Result<()> {
        let contents = Contents { version: VERSION, kept };
        write_private(&self.path, &serde_json::to_vec(&contents)?)
    }
}

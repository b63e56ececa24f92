//! Model names to verified files: catalogue, download, checks.
//!
//! A name stands for one exact file, given by its SHA-256. [`resolve`] says where it is, or that it
//! is absent; [`pull`] fetches it from the first source that works; nothing is handed out before
//! its hash matched once, and the match is written down so that later starts only compare size,
//! time and inode. Any path of a GGUF file may stand where a name does.
//!
//! ```no_run
//! use cerium_hub::{Home, Located, Sources, pull, resolve};
//! # fn main() -> Result<(), cerium_hub::HubError> {
//! let home = Home::from_env()?;
//! let path = match resolve(&home, "qwen2.5-coder-0.5b")? {
//!     Located::Ready(path) => path,
//!     Located::Absent(entry) => pull(&home, entry, &Sources::from_env(), &mut ())?,
//! };
//! # Ok(())
//! # }
//! ```
//!
//! Invariant: a file under its final name is whole. Everything half-done lives in `models/.partial`
//! under a lock, and is moved into place by one rename.

mod catalogue;
mod error;
mod home;
mod locate;
mod lock;
mod progress;
mod pull;
mod record;
mod testing;

pub use catalogue::{Entry, Source, catalogue, default_entry, find};
pub use error::{Attempt, HubError};
pub use home::Home;
pub use locate::{Installed, Located, installed, remove, resolve, size_of_dir};
pub use progress::{Progress, PullEvent};
pub use pull::{Sources, pull};
pub use testing::test_model;

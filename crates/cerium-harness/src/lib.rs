//! Intent to items: edits, questions, plans, completions and commands over a working tree.

pub mod ask;
mod backend;
pub mod complete;
pub mod context;
pub mod edit;
pub mod files;
mod guide;
pub mod journal;
pub mod lines;
pub mod plan;
pub mod redirect;
mod repetition;
pub mod run;
pub mod search;
pub mod syntax;
pub mod talk;
pub mod workspace;

pub use backend::{Backend, OnText};

//! Real models for tests of every crate.

use crate::{Home, Located, Sources, pull, resolve};
use std::path::PathBuf;

/// The verified file of a model, pulled first if it is absent. For tests: many processes may ask at
/// once, one of them downloads.
///
/// # Panics
/// If the model cannot be had, with the reason.
pub fn test_model(name: &str) -> PathBuf {
    let get = || {
        let home = Home::from_env()?;
        match resolve(&home, name)? {
            Located::Ready(path) => Ok(path),
            Located::Absent(entry) => pull(&home, entry, &Sources::from_env(), &mut ()),
        }
    };
    get().unwrap_or_else(|error| panic!("this test needs the model `{name}`: {error}"))
}

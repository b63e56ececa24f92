//! What a connection remembers: per lane, the conversation up to its last response.
//!
//! That is what lets a request name a response which is stored nowhere. It is gone with the connection.

use super::lanes::Lane;
use crate::responses::Parent;
use cerium_session::Past;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::task::AbortHandle;

/// The last response of each lane.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<HashMap<Lane, State>>);

#[derive(Debug)]
struct State {
    id: String,
    parent: Parent,
    /// What reads the conversation ahead.
    reading: Option<Reading>,
}

/// How a conversation is kept beside the connection.
#[derive(Debug, Default)]
pub(super) struct How {
    /// The store has it.
    pub(super) is_stored: bool,
    pub(super) reading: Option<Reading>,
}

/// Reads ahead until it is dropped.
#[derive(Debug)]
pub(super) struct Reading(pub(super) AbortHandle);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Kept {
    /// The conversation up to a response. Whoever goes on from it reads it now, so nobody reads it ahead.
    pub(super) fn find(&self, id: &str) -> Option<Parent> {
        let mut lanes = self.lock();
        let state = lanes.values_mut().find(|state| state.id == id)?;
        state.reading = None;
        Some(state.parent.clone())
    }

    /// A lane has come to a response, after which nothing can go on without a `past`.
    pub(super) fn put(&self, lane: &Lane, id: &str, past: Option<Past>, how: How) {
        let How { is_stored, reading } = how;
        let state = past.map(|past| {
            let parent = Parent { past: Arc::new(past), is_stored };
            State { id: id.to_owned(), parent, reading }
        });
        let mut lanes = self.lock();
        match state {
            Some(state) => drop(lanes.insert(lane.clone(), state)),
            None => drop(lanes.remove(lane)),
        }
    }

    /// Going on from a response failed: its lane forgets it. Other lanes that went on from it do not matter.
    pub(super) fn evict(&self, lane: &Lane, id: &str) {
        let mut lanes = self.lock();
        if lanes.get(lane).is_some_and(|state| state.id == id) {
            lanes.remove(lane);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Lane, State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

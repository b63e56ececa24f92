//! What a connection remembers: per lane, the conversation up to its last response.
//!
//! That is what lets a request name a response which is stored nowhere. It is gone with the connection.

use super::lanes::Lane;
use cerium_protocol::Item;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::task::AbortHandle;

/// The last response of each lane.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<HashMap<Lane, State>>);

#[derive(Debug)]
struct State {
    id: String,
    items: Arc<Vec<Item>>,
    /// What reads the conversation ahead.
    reading: Option<Reading>,
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
    pub(super) fn find(&self, id: &str) -> Option<Arc<Vec<Item>>> {
        let mut lanes = self.lock();
        let state = lanes.values_mut().find(|state| state.id == id)?;
        state.reading = None;
        Some(Arc::clone(&state.items))
    }

    /// A lane has come to a response.
    pub(super) fn put(&self, lane: &Lane, id: &str, items: Vec<Item>, reading: Option<Reading>) {
        let state = State { id: id.to_owned(), items: Arc::new(items), reading };
        self.lock().insert(lane.clone(), state);
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

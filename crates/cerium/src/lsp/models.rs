//! The models that the trees of the editor's files want: each is met once, when it is first needed, while the editor goes on.

use super::client::Client;
use crate::backend::Counted;
use crate::config::Settings;
use crate::failure;
use crate::interrupt::Stop;
use crate::output;
use anyhow::Result;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// After a failure, how long nothing is tried again: every key asks for the model.
const PAUSE: Duration = Duration::from_secs(10);
/// How soon whoever waits for a model notices that it need not.
const LOOK: Duration = Duration::from_millis(20);

/// How a tree's settings are found, and a model by them.
pub(crate) trait Connect: Send + Sync {
    /// What is set for a tree.
    fn settings(&self, root: &Path) -> Result<Settings>;
    /// The model of the settings; takes as long as loading it does.
    fn connect(&self, settings: &Settings) -> Result<Counted>;
}

/// The models that were met.
#[derive(Clone)]
pub(super) struct Models(Arc<Inner>);

struct Inner {
    connect: Box<dyn Connect>,
    client: Client,
    known: Mutex<Vec<(Settings, State)>>,
    changed: Condvar,
}

#[derive(Clone)]
enum State {
    Loading,
    Ready(Arc<Counted>),
    Failed(String, Instant),
}

impl Models {
    pub(super) fn new(connect: Box<dyn Connect>, client: Client) -> Self {
        let (known, changed) = (Mutex::default(), Condvar::new());
        Self(Arc::new(Inner { connect, client, known, changed }))
    }

    /// The model of a tree, as soon as it is there; nothing once that need not be waited for any more.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn of(&self, root: &Path, stop: &Stop) -> Result<Option<Arc<Counted>>, String> {
        let settings = self.0.connect.settings(root).map_err(|error| told(&error))?;
        let mut known = self.0.known();
        while !stop.is_requested() {
            let state =
                known.iter().find(|(of, _)| *of == settings).map(|(_, state)| state.clone());
            match state {
                Some(State::Ready(model)) => return Ok(Some(model)),
                Some(State::Failed(why, at)) if at.elapsed() < PAUSE => return Err(why),
                Some(State::Loading) => {}
                Some(State::Failed(..)) | None => {
                    known.retain(|(of, _)| *of != settings);
                    known.push((settings.clone(), State::Loading));
                    let (inner, settings) = (Arc::clone(&self.0), settings.clone());
                    thread::spawn(move || inner.load(&settings));
                }
            }
            let waited = self.0.changed.wait_timeout(known, LOOK);
            known = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(None)
    }
}

impl Inner {
    fn known(&self) -> MutexGuard<'_, Vec<(Settings, State)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn load(&self, settings: &Settings) {
        let name = settings.model.as_deref().unwrap_or(cerium_hub::default_entry().name);
        let progress = self.client.progress(None, &format!("cerium: loading {name}"));
        let state = match self.connect.connect(settings) {
            Ok(model) => State::Ready(Arc::new(model)),
            Err(error) => State::Failed(told(&error), Instant::now()),
        };
        drop(progress);
        let mut known = self.known();
        known.retain(|(of, _)| of != settings);
        known.push((settings.clone(), state));
        self.changed.notify_all();
    }
}

/// An error with its causes, and what would help.
fn told(error: &anyhow::Error) -> String {
    let hint = failure::hint(error).map(|hint| format!(" ({hint})"));
    format!("{}{}", output::chain(error), hint.unwrap_or_default())
}

//! A response that is being written: what was told of it so far, for whoever wants to hear it.

use super::failed;
use axum::body::Bytes;
use cerium_protocol::{ErrorBody, ErrorKind};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// See the module.
#[derive(Debug)]
pub(crate) struct Live {
    id: String,
    conversation: Option<String>,
    /// Whose it is.
    holder: String,
    state: Mutex<State>,
    progress: watch::Sender<Progress>,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Events told.
    pub(crate) n_frames: usize,
    /// The last of them was the end.
    pub(crate) ended: bool,
    /// The store has all of it.
    pub(crate) saved: bool,
}

#[derive(Debug)]
struct State {
    /// Events as they are told, one each.
    frames: Vec<Bytes>,
    /// The object that the last of them held which had one.
    object: String,
    /// Events that the store has.
    n_saved: usize,
    /// The store knows of it.
    open: bool,
    /// It was deleted: nothing is to be written any more.
    forgotten: bool,
}

/// What is to be written of a response.
#[derive(Debug)]
pub(crate) struct Unsaved {
    /// Number of the first event that the store has not.
    pub(crate) first: usize,
    /// Those from there on.
    pub(crate) text: String,
    /// What it has become, if it has ended.
    pub(crate) object: Option<String>,
}

impl Live {
    /// A response of which its first events were told.
    pub(crate) fn new(
        told: &[u8],
        conversation: Option<String>,
        holder: String,
    ) -> Result<Self, ErrorBody> {
        let unreadable =
            || ErrorBody::new(ErrorKind::ServerError, "a response without an object was begun");
        let object = split(told).find_map(|frame| object(&frame)).ok_or_else(unreadable)?;
        let id = serde_json::from_str::<Named>(&object).map_err(|_| unreadable())?.id;
        let state = State { frames: Vec::new(), object, n_saved: 0, open: false, forgotten: false };
        let (state, progress) = (Mutex::new(state), watch::Sender::default());
        let live = Self { id, conversation, holder, state, progress };
        live.tell(told);
        Ok(live)
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn holder(&self) -> &str {
        &self.holder
    }

    pub(crate) fn conversation(&self) -> Option<&str> {
        self.conversation.as_deref()
    }

    /// Its object, as it was told last.
    pub(crate) fn object(&self) -> String {
        self.state().object.clone()
    }

    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// The events from one on.
    pub(crate) fn frames(&self, from: usize) -> Vec<Bytes> {
        self.state().frames.get(from..).unwrap_or_default().to_vec()
    }

    /// More events were told.
    pub(crate) fn tell(&self, lines: &[u8]) {
        let mut state = self.state();
        for frame in split(lines) {
            if let Some(object) = object(&frame) {
                state.object = object;
            }
            state.frames.push(frame);
        }
        let n_frames = state.frames.len();
        let ended = state.frames.last().is_some_and(|frame| is_end(frame));
        drop(state);
        self.progress.send_modify(|progress| {
            progress.n_frames = n_frames;
            progress.ended |= ended;
        });
    }

    /// It ends by an error, unless it has ended.
    pub(crate) fn fail(&self, why: &str) {
        if self.progress.borrow().ended {
            return;
        }
        let (object, n) = {
            let state = self.state();
            (state.object.clone(), state.frames.len())
        };
        let (_, frame) = failed::failed(&object, n as u64, why);
        self.tell(frame.as_bytes());
    }

    /// The store knows of it, or may.
    pub(crate) fn open(&self) {
        self.state().open = true;
    }

    pub(crate) fn is_open(&self) -> bool {
        self.state().open
    }

    /// Nothing of it is to be kept.
    pub(crate) fn forget(&self) {
        self.state().forgotten = true;
    }

    pub(crate) fn is_forgotten(&self) -> bool {
        self.state().forgotten
    }

    /// What the store does not have yet.
    pub(crate) fn unsaved(&self) -> Unsaved {
        let ended = self.progress.borrow().ended;
        let state = self.state();
        let first = state.n_saved;
        let text = state.frames[first..].iter().map(|frame| String::from_utf8_lossy(frame));
        Unsaved { first, text: text.collect(), object: ended.then(|| state.object.clone()) }
    }

    /// The store has it now.
    pub(crate) fn saved(&self, unsaved: &Unsaved) {
        let mut state = self.state();
        state.n_saved = unsaved.first + failed::count(&unsaved.text) as usize;
        drop(state);
        if unsaved.object.is_some() {
            self.progress.send_modify(|progress| progress.saved = true);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Deserialize)]
struct Named {
    id: String,
}

/// The response object in an event, if it has one.
fn object(frame: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Told<'a> {
        #[serde(borrow)]
        response: &'a RawValue,
    }
    if !OBJECTS.iter().any(|name| is_named(frame, name)) {
        return None;
    }
    let (_, data) = std::str::from_utf8(frame).ok()?.split_once("\ndata: ")?;
    let told: Told<'_> = serde_json::from_str(data).ok()?;
    Some(told.response.get().to_owned())
}

/// Events, one by one.
fn split(lines: &[u8]) -> impl Iterator<Item = Bytes> {
    let mut rest = Bytes::copy_from_slice(lines);
    std::iter::from_fn(move || {
        let end = rest.windows(2).position(|two| two == b"\n\n")?;
        Some(rest.split_to(end + 2))
    })
}

/// Events that hold the response as it stands.
const OBJECTS: [&str; 6] =
    ["created", "queued", "in_progress", "completed", "incomplete", "failed"];

/// Whether an event is the last of its response.
pub(crate) fn is_end(frame: &[u8]) -> bool {
    ["completed", "incomplete", "failed"].iter().any(|name| is_named(frame, name))
}

fn is_named(frame: &[u8], name: &str) -> bool {
    let rest = frame.strip_prefix(b"event: response.");
    rest.and_then(|rest| rest.strip_prefix(name.as_bytes()))
        .is_some_and(|rest| rest.starts_with(b"\n"))
}

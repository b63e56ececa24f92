//! Reading ahead where the cursor rests: the next instruction is mostly about that place.

use super::models::Models;
use crate::interrupt::Stop;
use cerium_harness::edit::{Strategy, warm};
use cerium_harness::files::SourceFile;
use cerium_harness::lines::{LineIndex, LineSpan};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

/// How long a cursor is still before it rests.
const STILL: Duration = Duration::from_millis(400);
/// Places that may wait to be looked at; only the last one is.
const PLACES_MAX: usize = 8;

/// A text and a byte of it.
pub(super) struct Place {
    pub(super) file: SourceFile,
    pub(super) at: usize,
}

/// What reads ahead.
pub(super) struct Ahead(SyncSender<Place>);

impl Ahead {
    pub(super) fn new(models: Models) -> Self {
        let (sender, receiver) = sync_channel(PLACES_MAX);
        thread::spawn(move || read(&models, &receiver));
        Self(sender)
    }

    /// Has a place read, unless another one follows soon.
    pub(super) fn rest_at(&self, place: Place) {
        // Only a hint: a busy reader does without.
        let _ = self.0.try_send(place);
    }
}

fn read(models: &Models, places: &Receiver<Place>) {
    let mut next = places.recv().ok();
    while let Some(Place { file, at }) = next {
        next = match places.recv_timeout(STILL) {
            Ok(newer) => Some(newer),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                // What is wrong with the model is told to whoever asks for an answer.
                if let Ok(Some(model)) = models.of(&file.root, &Stop::default()) {
                    let line = LineIndex::new(&file.text).line_of(at);
                    warm(&*model, &file, LineSpan::line(line), &Strategy::default());
                }
                places.recv().ok()
            }
        };
    }
}

//! Work for requests: each on a thread of its own, to be stopped alone, and answered once.

use super::Event;
use super::client::Refusal;
use crate::interrupt::Stop;
use gen_lsp_types::Uri;
use lsp_server::{ErrorCode, RequestId};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread;

/// Most works at once, those included that are about to stop.
const JOBS_MAX: usize = 32;

/// A result, as its work leaves it for the thread that answers.
pub(super) type Done = Result<super::Outcome, Refusal>;

struct Job {
    id: RequestId,
    /// The document whose next key makes it pointless.
    until_key_in: Option<Uri>,
    stop: Stop,
}

/// All that goes on.
pub(super) struct Jobs {
    running: Vec<Job>,
    events: SyncSender<Event>,
    /// One of its handles is held by every thread.
    threads: Arc<()>,
}

impl Jobs {
    pub(super) fn new(events: SyncSender<Event>) -> Self {
        Self { running: Vec::new(), events, threads: Arc::default() }
    }

    /// Starts to work for a request; the next key in a document may make that pointless.
    ///
    /// # Errors
    /// When too much goes on, or the request of that id still does.
    pub(super) fn start(
        &mut self,
        id: RequestId,
        until_key_in: Option<Uri>,
        work: impl FnOnce(&Stop) -> Done + Send + 'static,
    ) -> Result<(), Refusal> {
        if self.running.iter().any(|job| job.id == id) {
            return Err(Refusal::new(ErrorCode::InvalidRequest, "the id is in use"));
        }
        if Arc::strong_count(&self.threads) > JOBS_MAX {
            return Err(Refusal::failed("too many requests at once"));
        }
        let stop = Stop::default();
        self.running.push(Job { id: id.clone(), until_key_in, stop: stop.clone() });
        let (events, held) = (self.events.clone(), Arc::clone(&self.threads));
        thread::spawn(move || {
            // A mistake of ours ends one request, and not the editor's wait for it.
            let done = panic::catch_unwind(AssertUnwindSafe(|| stop.during(|| work(&stop))));
            let broken = |_| Err(Refusal::new(ErrorCode::InternalError, "a mistake of cerium's"));
            let done = done.unwrap_or_else(broken);
            drop(held);
            // Nobody listens any more when the editor has gone.
            let _ = events.send(Event::Done(id, done));
        });
        Ok(())
    }

    /// Takes a finished work off the list; false when its request was answered already.
    pub(super) fn end(&mut self, id: &RequestId) -> bool {
        let n_before = self.running.len();
        self.running.retain(|job| job.id != *id);
        self.running.len() < n_before
    }

    /// Stops the work of a request; false when there is none.
    pub(super) fn stop(&mut self, id: &RequestId) -> bool {
        self.running.iter().filter(|job| job.id == *id).for_each(|job| job.stop.request());
        self.end(id)
    }

    /// Stops what a key made pointless; the requests that want an answer now.
    pub(super) fn stop_typing(&mut self, uri: &Uri) -> Vec<RequestId> {
        let pointless = |job: &mut Job| job.until_key_in.as_ref() == Some(uri);
        self.running
            .extract_if(.., pointless)
            .map(|job| {
                job.stop.request();
                job.id
            })
            .collect()
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        self.running.iter().for_each(|job| job.stop.request());
    }
}

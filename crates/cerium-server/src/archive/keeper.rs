//! The archive's own task: it writes behind what is told, renews the lease, and clears away.

use super::live::Unsaved;
use super::{Archive, Live, failed, seconds};
use cerium_store::{Frames, Item, Outcome, StoreError};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How much of a response in progress a crash may cost.
const BEHIND: Duration = Duration::from_secs(1);

/// For how long a server is known to live, in seconds, and how often that is renewed: a busy machine may
/// miss some.
const LEASE: i64 = 20;
const RENEWAL: Duration = Duration::from_secs(3);

/// How often it is looked for what is too old.
const SWEEP: Duration = Duration::from_mins(1);

/// How long the last writes may take.
const CLOSING: Duration = Duration::from_secs(5);

impl Archive {
    /// Does so until it is dropped.
    pub(crate) async fn keep(self: Arc<Self>) {
        let (mut renewed, mut swept) = (None::<Instant>, None::<Instant>);
        let due = |last: Option<Instant>, every| last.is_none_or(|last| last.elapsed() >= every);
        loop {
            let _ = tokio::time::timeout(BEHIND, self.wake.notified()).await;
            let renews = due(renewed, RENEWAL);
            if renews {
                renewed = Some(Instant::now());
            }
            self.look_after(renews).await;
            self.save().await;
            if due(swept, SWEEP) {
                swept = Some(Instant::now());
                self.clear().await;
            }
        }
    }

    /// Ends what is unfinished and writes what is unwritten.
    pub(crate) async fn close(&self) {
        for live in self.all() {
            live.fail(failed::LOST);
        }
        if tokio::time::timeout(CLOSING, self.save()).await.is_err() || !self.all().is_empty() {
            tracing::warn!(n = self.all().len(), "responses could not be stored");
        }
        self.store.close().await;
    }

    pub(super) async fn lease(&self) -> Result<(), StoreError> {
        self.store.lease(&self.server, seconds() + LEASE).await?;
        self.leased.store(true, Ordering::Release);
        Ok(())
    }

    /// Says that this server lives, and hears what others want of it.
    async fn look_after(&self, renews: bool) {
        let heard = async {
            if renews {
                self.lease().await?;
            }
            if self.all().is_empty() {
                return Ok(Vec::new());
            }
            self.store.to_cancel(&self.server).await
        };
        match heard.await {
            Ok(ids) => {
                for id in ids {
                    self.ledger.cancel(&id);
                }
            }
            Err(error) => {
                self.leased.store(false, Ordering::Release);
                tracing::warn!(%error, "the store failed");
            }
        }
    }

    /// Deletes what is too old, and ends what died with its server.
    async fn clear(&self) {
        let cleared = async {
            for id in self.store.lost(seconds()).await? {
                // It may have been found and failed in between.
                let _ = self.any(&id).await;
            }
            self.store.sweep(seconds()).await
        };
        match cleared.await {
            Ok(swept) if swept.n_deleted > 0 => {
                let (n, left) = (swept.n_deleted, swept.n_left);
                tracing::info!(n, left, "old responses were deleted");
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the store failed"),
        }
    }

    /// Writes what is unwritten, until the store fails.
    async fn save(&self) {
        for live in self.all().into_iter().filter(|live| live.is_open()) {
            let unsaved = live.unsaved();
            let over = live.is_forgotten() && live.progress().borrow().ended;
            if !over && let Err(error) = self.write(&live, &unsaved).await {
                tracing::warn!(%error, "a response cannot be stored yet");
                return;
            }
            live.saved(&unsaved);
            if over || unsaved.object.is_some() {
                self.live().remove(live.id());
            }
        }
    }

    async fn write(&self, live: &Live, unsaved: &Unsaved) -> Result<(), StoreError> {
        let frames = Frames { first: unsaved.first as u64, text: &unsaved.text };
        if live.is_forgotten() || unsaved.text.is_empty() && unsaved.object.is_none() {
            return Ok(());
        }
        let Some(object) = &unsaved.object else {
            if self.store.append(live.id(), frames).await? {
                self.ledger.cancel(live.id());
            }
            return Ok(());
        };
        let outcome = Outcome {
            object,
            output: &output(object),
            frames,
            given_up: false,
            conversation: live.conversation(),
            now: seconds(),
        };
        self.store.finish(live.id(), outcome).await.map(drop)
    }
}

/// The items of an object's `output`.
fn output(object: &str) -> Vec<Item> {
    #[derive(Deserialize)]
    struct Object<'a> {
        #[serde(borrow, default)]
        output: Vec<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Named {
        #[serde(default)]
        id: String,
    }
    let object: Object<'_> = serde_json::from_str(object).unwrap_or(Object { output: Vec::new() });
    let item = |body: &RawValue| {
        let id = serde_json::from_str::<Named>(body.get()).map(|named| named.id);
        Item { id: id.unwrap_or_default(), body: body.get().to_owned() }
    };
    object.output.into_iter().map(item).collect()
}

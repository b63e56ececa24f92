//! What a server remembers of its responses: those it is writing, in memory, and all others, in the
//! store.
//!
//! A response that is kept has a [`Record`]. Whatever is told to its client is told to the record too,
//! from which others may read while it grows; the archive's own task ([`keeper`]) writes it behind,
//! and tries again for as long as the store is away. So an answer is never slower for being kept, and
//! none that began is lost with a database that comes back.

mod failed;
mod keeper;
mod live;
mod record;

pub(crate) use live::{Live, is_end};
pub(crate) use record::{Opening, Record, Recorded};

use crate::activity::Ledger;
use crate::router::now;
use cerium_protocol::wire::responses::KeptItem;
use cerium_protocol::{ErrorBody, ErrorKind};
use cerium_store::{Extent, Frames, Item, NewResponse, Outcome, Store, StoreError, StoreOptions};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Bytes of a history: what a body may have, so that it can be asked by hand as well.
const HISTORY_BYTES_MAX: u64 = 16 << 20;

/// How long a request waits for what the keeper does meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a response that another server writes is looked at.
pub(crate) const POLL: Duration = Duration::from_millis(250);

/// See the module.
#[derive(Debug)]
pub(crate) struct Archive {
    pub(crate) store: Store,
    /// The name under which this server's responses can be told from those of others.
    server: String,
    /// Whether others know that this server lives.
    leased: AtomicBool,
    /// Responses that are being written, or not in the store yet.
    live: Mutex<HashMap<String, Arc<Live>>>,
    /// There is something to write.
    wake: Notify,
    ledger: Arc<Ledger>,
}

/// A response of the archive, wherever it is.
#[derive(Debug)]
pub(crate) enum Kept {
    /// This server writes it, or has it still.
    Here(Arc<Live>),
    /// It is in the store alone.
    Stored {
        /// Its object.
        object: String,
        /// Another server writes it.
        running: bool,
        /// Whose it is.
        holder: String,
    },
}

impl Kept {
    /// Its object, as it stands.
    pub(crate) fn object(&self) -> String {
        match self {
            Self::Here(live) => live.object(),
            Self::Stored { object, .. } => object.clone(),
        }
    }

    fn holder(&self) -> &str {
        match self {
            Self::Here(live) => live.holder(),
            Self::Stored { holder, .. } => holder,
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        match self {
            Self::Here(live) => !live.progress().borrow().ended,
            Self::Stored { running, .. } => *running,
        }
    }
}

impl Archive {
    /// Opens the store. One that does not answer is no obstacle; one that never will is.
    ///
    /// # Errors
    /// For an address that is none, a file that cannot be used, a damaged one.
    pub(crate) async fn open(options: StoreOptions, ledger: Arc<Ledger>) -> io::Result<Arc<Self>> {
        let store = Store::open(options).await.map_err(io::Error::other)?;
        match store.check().await {
            Ok(()) => {}
            Err(error @ (StoreError::Unavailable(_) | StoreError::Full)) => {
                tracing::warn!(%error, "responses cannot be stored for now");
            }
            Err(error) => return Err(io::Error::other(error)),
        }
        Ok(Arc::new(Self {
            store,
            server: format!("srv_{:016x}", RandomState::new().hash_one(())),
            leased: AtomicBool::new(false),
            live: Mutex::default(),
            wake: Notify::new(),
            ledger,
        }))
    }

    /// Whether the store does, within a time that somebody would wait for that.
    pub(crate) async fn answers(&self) -> bool {
        let check = self.store.check();
        tokio::time::timeout(Duration::from_secs(1), check).await.is_ok_and(|ok| ok.is_ok())
    }

    /// Begins the record of a response.
    ///
    /// # Errors
    /// `server_is_overloaded` when the store is away, `previous_response_not_found`.
    pub(crate) async fn begin(self: &Arc<Self>, opening: Opening) -> Result<Record, ErrorBody> {
        if !self.leased.load(Ordering::Acquire) {
            self.lease().await.map_err(|error| unavailable(&error))?;
        }
        let Opening { input, parent, conversation, told, holder } = opening;
        let live = Arc::new(Live::new(&told, conversation, holder)?);
        let input: Vec<Item> = input.into_iter().map(item).collect();
        // Before the store is asked: a client that goes away meanwhile drops this function.
        let record = Record::new(Arc::clone(self), Arc::clone(&live));
        self.live().insert(live.id().to_owned(), Arc::clone(&live));
        let new = NewResponse {
            id: live.id(),
            holder: live.holder(),
            parent: parent.as_deref(),
            conversation: live.conversation(),
            server: &self.server,
            object: &live.object(),
            input: &input,
            now: seconds(),
        };
        match self.store.begin(new).await {
            Ok(()) => {
                live.open();
                Ok(record)
            }
            Err(error) => {
                live.forget();
                Err(match error {
                    StoreError::Missing(id) => previous_not_found(&id),
                    error => unavailable(&error),
                })
            }
        }
    }

    /// The response of a name, if it is this holder's: others need not know that there is one.
    ///
    /// # Errors
    /// `response_not_found`, or that the store is away.
    pub(crate) async fn find(&self, id: &str, holder: &str) -> Result<Kept, ErrorBody> {
        let kept = self.any(id).await?;
        if kept.holder() == holder { Ok(kept) } else { Err(not_found(id)) }
    }

    /// The response of a name, whosever it is.
    ///
    /// # Errors
    /// As [`Archive::find`].
    pub(crate) async fn any(&self, id: &str) -> Result<Kept, ErrorBody> {
        if let Some(live) = self.here(id) {
            return Ok(Kept::Here(live));
        }
        let found =
            self.store.response(id, seconds()).await.map_err(|error| unavailable(&error))?;
        let Some(found) = found else { return Err(not_found(id)) };
        let holder = found.holder;
        if found.lost {
            let object = self.fail(id, &found.object).await?;
            return Ok(Kept::Stored { object, running: false, holder });
        }
        Ok(Kept::Stored { object: found.object, running: found.running, holder })
    }

    /// Records that nobody will finish a response; gives what it looks like from now on.
    async fn fail(&self, id: &str, object: &str) -> Result<String, ErrorBody> {
        let away = |error: StoreError| unavailable(&error);
        let pieces = self.store.events(id, u64::MAX).await.map_err(away)?;
        let first = pieces.last().map_or(0, |(first, text)| first + failed::count(text));
        let (object, frame) = failed::failed(object, first, failed::LOST);
        let outcome = Outcome {
            object: &object,
            output: &[],
            frames: Frames { first, text: &frame },
            given_up: true,
            conversation: None,
            now: seconds(),
        };
        self.store.finish(id, outcome).await.map_err(away)?;
        Ok(object)
    }

    /// What a response was asked, with what it follows, and on request what it answered.
    ///
    /// # Errors
    /// As [`Archive::find`], and for a history that is too long.
    pub(crate) async fn history(&self, id: &str, extent: Extent) -> Result<Vec<Item>, ErrorBody> {
        self.store.history(id, extent, HISTORY_BYTES_MAX).await.map_err(|error| match error {
            StoreError::Missing(id) => not_found(&id),
            StoreError::TooLong(max) => too_long("previous_response_id", max),
            error => unavailable(&error),
        })
    }

    /// Everything that a response to be made follows, when it follows this one.
    ///
    /// # Errors
    /// `previous_response_not_found`, and when that has not ended yet.
    pub(crate) async fn before(
        &self,
        previous: &str,
        holder: &str,
    ) -> Result<Vec<Item>, ErrorBody> {
        let missing = |error: ErrorBody| match error.kind {
            ErrorKind::NotFoundError => previous_not_found(previous),
            _ => error,
        };
        let kept = self.find(previous, holder).await.map_err(missing)?;
        if kept.is_running() {
            let what = format!("the response `{previous:.100}` has not ended yet");
            return Err(ErrorBody::invalid("previous_response_id", what)
                .with_code("previous_response_in_progress"));
        }
        let conversation = match &kept {
            Kept::Here(live) => {
                settled(live).await?;
                live.conversation().map(str::to_owned)
            }
            Kept::Stored { .. } => {
                let found = self.store.response(previous, seconds()).await;
                found.map_err(|error| unavailable(&error))?.and_then(|found| found.conversation)
            }
        };
        if let Some(conversation) = conversation {
            // What a conversation holds may have changed since.
            let what = format!("that response belongs to `{conversation}`: name the conversation");
            return Err(ErrorBody::invalid("previous_response_id", what));
        }
        self.history(previous, Extent::Answered).await.map_err(missing)
    }

    /// The items of a conversation.
    ///
    /// # Errors
    /// `conversation_not_found`, or that it is too long.
    pub(crate) async fn conversation(
        &self,
        id: &str,
        holder: &str,
    ) -> Result<Vec<Item>, ErrorBody> {
        let away = |error: StoreError| unavailable(&error);
        self.settle().await?;
        let found = self.store.conversation(id).await.map_err(away)?;
        if found.is_none_or(|found| found.holder != holder) {
            return Err(missing_conversation(id));
        }
        let items = self.store.items(id).await.map_err(away)?;
        let n_bytes: usize = items.iter().map(|item| item.body.len()).sum();
        if n_bytes as u64 > HISTORY_BYTES_MAX {
            return Err(too_long("conversation", HISTORY_BYTES_MAX));
        }
        Ok(items)
    }

    /// The stored item that `input[place]` refers to.
    pub(crate) async fn item(
        &self,
        id: &str,
        place: usize,
        holder: &str,
    ) -> Result<Item, ErrorBody> {
        self.settle().await?;
        let found = self.store.item(id, holder).await.map_err(|error| unavailable(&error))?;
        found.ok_or_else(|| {
            let what = format!("Item with id '{id:.100}' not found.");
            ErrorBody::invalid(format!("input[{place}].id"), what).with_code("item_not_found")
        })
    }

    /// Pieces of a response's events, from one that holds number `from` on.
    pub(crate) async fn events(
        &self,
        id: &str,
        from: u64,
    ) -> Result<Vec<(u64, String)>, ErrorBody> {
        self.store.events(id, from).await.map_err(|error| unavailable(&error))
    }

    /// Asks for the end of a response and waits for it, for a while.
    pub(crate) async fn cancel(&self, id: &str, holder: &str) -> Result<Kept, ErrorBody> {
        let mut kept = self.find(id, holder).await?;
        if !kept.is_running() {
            return Ok(kept);
        }
        if let Kept::Here(live) = &kept {
            self.ledger.cancel(id);
            let mut progress = live.progress();
            let _ = tokio::time::timeout(PATIENCE, progress.wait_for(|now| now.ended)).await;
            return Ok(kept);
        }
        self.store.ask_to_cancel(id).await.map_err(|error| unavailable(&error))?;
        let ended = async {
            while kept.is_running() {
                tokio::time::sleep(POLL).await;
                kept = self.find(id, holder).await?;
            }
            Ok::<_, ErrorBody>(())
        };
        match tokio::time::timeout(PATIENCE, ended).await {
            Ok(Err(error)) => Err(error),
            Ok(Ok(())) | Err(_) => Ok(kept),
        }
    }

    /// Forgets a response; one that is being written ends.
    pub(crate) async fn delete(&self, id: &str, holder: &str) -> Result<(), ErrorBody> {
        self.find(id, holder).await?;
        if let Some(live) = self.here(id) {
            self.ledger.cancel(id);
            live.forget();
            self.wake.notify_one();
        }
        match self.store.delete(id).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(not_found(id)),
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// Waits until the store has all that has ended: its client may refer to it at once.
    pub(crate) async fn settle(&self) -> Result<(), ErrorBody> {
        let ended = self.all().into_iter().filter(|live| live.progress().borrow().ended);
        for live in ended.collect::<Vec<_>>() {
            settled(&live).await?;
        }
        Ok(())
    }

    fn all(&self) -> Vec<Arc<Live>> {
        self.live().values().map(Arc::clone).collect()
    }

    fn here(&self, id: &str) -> Option<Arc<Live>> {
        self.live().get(id).filter(|live| !live.is_forgotten()).map(Arc::clone)
    }

    fn live(&self) -> MutexGuard<'_, HashMap<String, Arc<Live>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until the store has a response that has ended.
async fn settled(live: &Live) -> Result<(), ErrorBody> {
    let mut progress = live.progress();
    let saved = progress.wait_for(|progress| progress.saved);
    match tokio::time::timeout(PATIENCE, saved).await {
        Ok(_) => Ok(()),
        Err(_) => Err(away("the response that is referred to is not stored yet")),
    }
}

/// An item as the store has it.
pub(crate) fn item(KeptItem { id, body }: KeptItem) -> Item {
    Item { id, body }
}

/// Seconds since 1970, as the store counts them.
pub(crate) fn seconds() -> i64 {
    i64::try_from(now()).unwrap_or(i64::MAX)
}

/// A store that cannot do what it was asked, as a client is told.
pub(crate) fn unavailable(error: &StoreError) -> ErrorBody {
    tracing::warn!(%error, "the store failed");
    match error {
        StoreError::Full => away("the disk on which responses are stored is full"),
        StoreError::Damaged(_) | StoreError::Failed(_) | StoreError::Version(_) => {
            away("the store of responses is damaged")
        }
        _ => away("the store of responses does not answer"),
    }
}

fn away(what: &str) -> ErrorBody {
    let what = format!("{what}; `\"store\": false` needs no store");
    ErrorBody::new(ErrorKind::OverloadedError, what).with_code("store_unavailable")
}

fn not_found(id: &str) -> ErrorBody {
    ErrorBody::new(ErrorKind::NotFoundError, format!("Response with id '{id:.100}' not found."))
        .with_code("response_not_found")
}

pub(crate) fn previous_not_found(id: &str) -> ErrorBody {
    let what = format!("Previous response with id '{id:.100}' not found.");
    ErrorBody::invalid("previous_response_id", what).with_code("previous_response_not_found")
}

pub(crate) fn missing_conversation(id: &str) -> ErrorBody {
    let what = format!("Conversation with id '{id:.100}' not found.");
    ErrorBody::new(ErrorKind::NotFoundError, what).with_code("conversation_not_found")
}

fn too_long(param: &str, max: u64) -> ErrorBody {
    let what = format!("the conversation has more than {max} bytes");
    ErrorBody::invalid(param, what).with_code("context_length_exceeded")
}

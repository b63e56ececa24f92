//! Who asks: keys, and how much the holder of each may ask for.
//!
//! What is known of keys is read again every few seconds, so that a key that was made or revoked
//! elsewhere is one, or none, soon; while the store is away, what was known last holds.

mod allowance;

use crate::activity::{Busy, Ledger};
use crate::error::INVALID_API_KEY;
use crate::options::{KeyOptions, Limits, limits};
use crate::traces::Parent;
use allowance::Allowance;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use cerium_protocol::{ErrorBody, ErrorKind};
use cerium_session::Owner;
use cerium_store::{Key, Store, name_of};
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// How often keys are read.
const LOOK: Duration = Duration::from_secs(2);

/// Everybody who has a key.
#[derive(Debug)]
pub(crate) struct Guests {
    store: Store,
    /// What keys of each tier are good for.
    tiers: RwLock<BTreeMap<String, Limits>>,
    known: RwLock<HashMap<String, Arc<Guest>>>,
}

/// The holder of a key.
#[derive(Debug)]
pub(crate) struct Guest {
    key: Key,
    allowance: Mutex<Allowance>,
    /// Connections outlive keys.
    revoked: AtomicBool,
}

impl Guests {
    /// Reads all keys.
    ///
    /// # Errors
    /// When that is not possible: nobody could come in.
    pub(crate) async fn open(options: KeyOptions) -> io::Result<Arc<Self>> {
        let KeyOptions { store, tiers } = options;
        let store = Store::open(store).await.map_err(io::Error::other)?;
        let guests = Arc::new(Self { store, tiers: RwLock::new(tiers), known: RwLock::default() });
        guests.look().await.map_err(io::Error::other)?;
        Ok(guests)
    }

    /// Keeps to what the store says.
    pub(crate) async fn keep(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK).await;
            if let Err(error) = self.look().await {
                tracing::warn!(%error, "keys cannot be read; those known are still taken");
            }
        }
    }

    async fn look(&self) -> Result<(), cerium_store::StoreError> {
        let keys = self.store.keys().await?;
        let tiers = self.tiers.read().unwrap_or_else(PoisonError::into_inner);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let mut last = std::mem::take(&mut *known);
        for key in keys.into_iter().filter(|key| key.revoked_at.is_none()) {
            // Whoever was here goes on with what is left to them.
            let guest = last.remove(&key.id).unwrap_or_else(|| {
                let allowance = Mutex::new(Allowance::new(limits(&tiers, &key.tier)));
                Arc::new(Guest { key: key.clone(), allowance, revoked: AtomicBool::new(false) })
            });
            known.insert(key.id, guest);
        }
        for guest in last.values() {
            guest.revoked.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// From now on tiers have these limits. Whoever is here goes on with what is left to them.
    pub(crate) fn change_tiers(&self, changed: BTreeMap<String, Limits>) {
        let mut tiers = self.tiers.write().unwrap_or_else(PoisonError::into_inner);
        *tiers = changed;
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        for guest in known.values() {
            guest.allowance().change(limits(&tiers, &guest.key.tier), Instant::now());
        }
    }

    /// The one who holds the key of a request.
    ///
    /// # Errors
    /// `invalid_api_key`, or `tier_not_served`.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<Arc<Guest>, ErrorBody> {
        let Some(text) = bearer(headers) else {
            return Err(unknown("this server asks for a key: `Authorization: Bearer KEY`"));
        };
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let guest = name_of(text).and_then(|id| known.get(id)).filter(|guest| guest.key.is(text));
        let Some(guest) = guest else {
            return Err(unknown("the key is not known here, or was revoked"));
        };
        if !guest.allowance().is_served() {
            let what =
                format!("this server has no tier `{:.60}`, which the key is of", guest.key.tier);
            let error = ErrorBody::new(ErrorKind::PermissionError, what);
            return Err(error.with_code("tier_not_served"));
        }
        Ok(Arc::clone(guest))
    }
}

impl Guest {
    /// What the key is called.
    pub(crate) fn name(&self) -> &str {
        &self.key.name
    }

    /// By whose turn its requests wait, when they must.
    pub(crate) fn owner(&self) -> Owner {
        let mut hasher = DefaultHasher::new();
        self.key.id.hash(&mut hasher);
        Owner { id: hasher.finish(), weight: self.allowance().weight() }
    }

    /// A request begins, and counts.
    fn enter(&self) -> Result<(), ErrorBody> {
        if self.revoked.load(Ordering::Acquire) {
            return Err(unknown("the key was revoked"));
        }
        self.allowance().enter(Instant::now())
    }

    /// A request has ended.
    pub(crate) fn leave(&self) {
        self.allowance().leave();
    }

    /// An answer took so many tokens.
    pub(crate) fn charge(&self, n_tokens: u64) {
        self.allowance().charge(n_tokens, Instant::now());
    }

    fn allowance(&self) -> MutexGuard<'_, Allowance> {
        self.allowance.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who asks, as far as that is asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asker {
    /// Absent where no keys are asked for.
    pub(crate) guest: Option<Arc<Guest>>,
    /// The client's span that what is asked belongs to.
    pub(crate) parent: Option<Parent>,
}

impl Asker {
    /// Whose what is kept for them is: that of all keys of the same name, so that one can follow another.
    pub(crate) fn holder(&self) -> &str {
        self.guest.as_ref().map_or("", |guest| guest.name())
    }

    /// Begins a request, if one more is allowed.
    ///
    /// # Errors
    /// `rate_limit_exceeded`, `invalid_api_key`.
    pub(crate) fn begin(&self, ledger: &Arc<Ledger>) -> Result<Busy, ErrorBody> {
        if let Some(guest) = &self.guest {
            guest.enter()?;
        }
        Ok(ledger.begin_for(self.guest.clone(), self.parent))
    }

    /// Says in the head of an answer what is left.
    pub(crate) fn tell(&self, response: &mut Response) {
        let Some(guest) = &self.guest else { return };
        let allowance = guest.allowance();
        for (name, value) in allowance.headers(Instant::now()) {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(HeaderName::from_static(name), value);
            }
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

fn unknown(what: &str) -> ErrorBody {
    ErrorBody::new(ErrorKind::InvalidRequestError, what).with_code(INVALID_API_KEY)
}

//! What a server remembers: responses, what they were asked and answered, their events,
//! conversations, and the keys of those who may ask.
//!
//! A [`Store`] is an SQLite file, or a PostgreSQL database that several servers share. It knows
//! nothing of the protocol: objects, items and events are texts that come back as they were given.
//! All times are seconds since 1970 and come from the caller; all calls are async and wait for a
//! connection for a bounded time.
//!
//! What holds here:
//! * A response follows another one by naming it ([`NewResponse::parent`]), and [`Store::history`]
//!   gives what all of them were asked and answered. Each item is stored once however long the chain.
//! * Deleting a response deletes its text, except items that later responses were asked with; these
//!   go with the last of those.
//! * Events are only appended, so a replay gives the bytes that were told.
//! * What a server was writing when it died is known to be lost once its lease has run out.
//! * Of a key only a digest is kept, by which it is known again and not found out.
//! * Every response and conversation has a holder, of whom the store knows a name; who asks for what is the
//!   caller's to compare.
//! * There is an end to what is kept: [`Retention`].

mod conversations;
mod error;
mod events;
mod keys;
mod leases;
mod place;
mod responses;
mod retention;

pub use conversations::{Conversation, NewConversation};
pub use error::StoreError;
pub use events::Frames;
pub use keys::{Key, SecretKey, name_of};
pub use place::{Place, Store, StoreOptions};
pub use responses::{Extent, Found, Item, NewResponse, Outcome};
pub use retention::{Retention, Swept};

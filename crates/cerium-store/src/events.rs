//! The events of a response, as they were told.

use crate::StoreError;
use crate::place::{Store, on};

/// Consecutive events, in one text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Frames<'a> {
    /// Number of the first.
    pub first: u64,
    /// All of them, as they are told.
    pub text: &'a str,
}

/// Appends events within a transaction. A piece that came before, with its end unknown to whoever wrote
/// it, is replaced.
macro_rules! append {
    ($tx:ident, $owner:expr, $frames:expr) => {
        if !$frames.text.is_empty() {
            ::sqlx::query(
                "INSERT INTO events (owner, first, frames) VALUES ($1, $2, $3) \
                 ON CONFLICT (owner, first) DO UPDATE SET frames = excluded.frames",
            )
            .bind($owner)
            .bind($frames.first as i64)
            .bind($frames.text)
            .execute(&mut *$tx)
            .await?;
        }
    };
}
pub(crate) use append;

impl Store {
    /// Pieces of a response's events, in order: each with the number of its first. Pieces that hold no
    /// event from `from` on are left out.
    pub async fn events(&self, id: &str, from: u64) -> Result<Vec<(u64, String)>, StoreError> {
        let rows: Vec<(i64, String)> = on!(self, pool => {
            sqlx::query_as(
                "SELECT first, frames FROM events WHERE owner = $1 AND first >= COALESCE(\
                 (SELECT MAX(first) FROM events WHERE owner = $1 AND first <= $2), 0) ORDER BY first",
            )
            .bind(id)
            .bind(i64::try_from(from).unwrap_or(i64::MAX))
            .fetch_all(pool)
            .await?
        });
        Ok(rows.into_iter().map(|(first, text)| (first as u64, text)).collect())
    }
}

//! Responses: what they were asked, what came of them, and what they follow.

use crate::place::{Store, on};
use crate::{Frames, StoreError, conversations, events};
use sqlx::QueryBuilder;

/// Rows in one statement: SQLite binds no more than 32,766 values.
const N_ROWS_MAX: usize = 1000;

/// The mark of a response that others have ended: 1 is that of one which runs, 0 of one which ended.
const GIVEN_UP: i64 = 2;

/// How much older a use must be to be written anew.
const USE_SECONDS: i64 = 60;

/// Adds rows to `items` within a transaction, from a position on.
macro_rules! insert {
    ($tx:ident, $owner:expr, $position:expr, $answered:expr, $rows:expr) => {{
        let mut query =
            ::sqlx::QueryBuilder::new("INSERT INTO items (owner, position, answered, id, body) ");
        query.push_values($rows.iter().enumerate(), |mut row, (n, item)| {
            row.push_bind($owner)
                .push_bind(($position + n) as i64)
                .push_bind($answered as i64)
                .push_bind(&item.id)
                .push_bind(&item.body);
        });
        query.build().execute(&mut *$tx).await?;
    }};
}
pub(crate) use insert;

/// One item of a conversation, as the wire has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Name by which it can be found.
    pub id: String,
    /// Its JSON.
    pub body: String,
}

/// A response that begins.
#[derive(Clone, Copy, Debug)]
pub struct NewResponse<'a> {
    /// `resp_...`
    pub id: &'a str,
    /// Whose it is.
    pub holder: &'a str,
    /// The response it follows.
    pub parent: Option<&'a str>,
    /// The conversation it belongs to.
    pub conversation: Option<&'a str>,
    /// Who writes it: a name with a lease.
    pub server: &'a str,
    /// What it looks like until it ends.
    pub object: &'a str,
    /// What it is asked, beyond what it follows.
    pub input: &'a [Item],
    /// When.
    pub now: i64,
}

/// What became of a response.
#[derive(Clone, Copy, Debug)]
pub struct Outcome<'a> {
    /// What it looks like from now on.
    pub object: &'a str,
    /// What it answered.
    pub output: &'a [Item],
    /// The last of its events.
    pub frames: Frames<'a>,
    /// Its server is believed to be dead. If it is not, what it says counts.
    pub given_up: bool,
    /// A conversation that what it was asked and answered is added to, if it is there still.
    pub conversation: Option<&'a str>,
    /// When.
    pub now: i64,
}

/// A response as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its object.
    pub object: String,
    /// It has not ended, and its server lives.
    pub running: bool,
    /// It has not ended, and will not: its server is gone.
    pub lost: bool,
    /// Somebody asked for its end.
    pub cancelled: bool,
    /// The conversation it belongs to.
    pub conversation: Option<String>,
    /// Whose it is.
    pub holder: String,
}

/// How much of a response belongs to a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// What it was asked.
    Asked,
    /// What it answered, too.
    Answered,
}

/// `object`, `running`, `cancelled`, `conversation`, `holder`, and until when its server lives.
type Row = (String, i64, i64, Option<String>, String, Option<i64>);

impl Store {
    /// A response begins.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is nothing of its parent's name any more.
    pub async fn begin(&self, new: NewResponse<'_>) -> Result<(), StoreError> {
        let n_bytes = bytes(new.input) + new.object.len() as i64;
        let added = on!(self, pool, begin => {
            let mut tx = pool.begin_with(begin).await?;
            let added = sqlx::query(
                "INSERT INTO responses (id, parent, conversation, server, running, cancelled, object, \
                 created_at, used_at, n_bytes, holder) VALUES ($1, $2, $3, $4, 1, 0, $5, $6, $6, $7, $8)",
            )
            .bind(new.id)
            .bind(new.parent)
            .bind(new.conversation)
            .bind(new.server)
            .bind(new.object)
            .bind(new.now)
            .bind(n_bytes)
            .bind(new.holder)
            .execute(&mut *tx)
            .await
            .map(drop);
            if added.is_ok() {
                for (n, rows) in new.input.chunks(N_ROWS_MAX).enumerate() {
                    insert!(tx, new.id, n * N_ROWS_MAX, 0, rows);
                }
                tx.commit().await?;
            }
            added
        });
        added.map_err(|error| match (&error, new.parent) {
            (sqlx::Error::Database(what), Some(parent)) if what.is_foreign_key_violation() => {
                StoreError::Missing(parent.to_owned())
            }
            _ => error.into(),
        })
    }

    /// Appends events to a response that runs; tells whether somebody asked for its end.
    pub async fn append(&self, id: &str, frames: Frames<'_>) -> Result<bool, StoreError> {
        let n_bytes = frames.text.len() as i64;
        let cancelled: Option<(i64,)> = on!(self, pool, begin => {
            let mut tx = pool.begin_with(begin).await?;
            let cancelled = sqlx::query_as(
                "UPDATE responses SET n_bytes = n_bytes + $2 WHERE id = $1 AND running = 1 \
                 RETURNING cancelled",
            )
            .bind(id)
            .bind(n_bytes)
            .fetch_optional(&mut *tx)
            .await?;
            if cancelled.is_some() {
                events::append!(tx, id, frames);
            }
            tx.commit().await?;
            cancelled
        });
        Ok(cancelled.is_some_and(|(cancelled,)| cancelled != 0))
    }

    /// A response ends; false when it had, or is gone.
    pub async fn finish(&self, id: &str, outcome: Outcome<'_>) -> Result<bool, StoreError> {
        let Outcome { object, output, frames, given_up, conversation, now } = outcome;
        let n_bytes = bytes(output) + (object.len() + frames.text.len()) as i64;
        Ok(on!(self, pool, begin => {
            let mut tx = pool.begin_with(begin).await?;
            let done = sqlx::query(
                "UPDATE responses SET running = $5, object = $2, used_at = $3, n_bytes = n_bytes + $4 \
                 WHERE id = $1 AND (running = 1 OR running > $5) AND object IS NOT NULL",
            )
            .bind(id)
            .bind(object)
            .bind(now)
            .bind(n_bytes)
            .bind(if given_up { GIVEN_UP } else { 0 })
            .execute(&mut *tx)
            .await?
            .rows_affected() == 1;
            if done {
                let (n_asked,): (i64,) =
                    sqlx::query_as("SELECT COUNT(*) FROM items WHERE owner = $1")
                        .bind(id)
                        .fetch_one(&mut *tx)
                        .await?;
                for (n, rows) in output.chunks(N_ROWS_MAX).enumerate() {
                    insert!(tx, id, n_asked as usize + n * N_ROWS_MAX, 1, rows);
                }
                events::append!(tx, id, frames);
                if let Some(conversation) = conversation {
                    conversations::take_over!(tx, conversation, id, now);
                }
            }
            tx.commit().await?;
            done
        }))
    }

    /// The response of a name, unless it was deleted.
    pub async fn response(&self, id: &str, now: i64) -> Result<Option<Found>, StoreError> {
        let row: Option<Row> = on!(self, pool => {
            sqlx::query("UPDATE responses SET used_at = $2 WHERE id = $1 AND used_at < $3")
                .bind(id)
                .bind(now)
                .bind(now - USE_SECONDS)
                .execute(pool)
                .await?;
            sqlx::query_as(
                "SELECT r.object, r.running, r.cancelled, r.conversation, r.holder, s.lease_until \
                 FROM responses r LEFT JOIN servers s ON s.id = r.server \
                 WHERE r.id = $1 AND r.object IS NOT NULL",
            )
            .bind(id)
            .fetch_optional(pool)
            .await?
        });
        Ok(row.map(|(object, running, cancelled, conversation, holder, lease)| {
            let lives = lease.is_some_and(|until| until >= now);
            let (running, cancelled) = (running == 1, cancelled != 0);
            Found {
                object,
                running: running && lives,
                lost: running && !lives,
                cancelled,
                conversation,
                holder,
            }
        }))
    }

    /// Everything a response was asked, what it follows included, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Missing`] without such a response, [`StoreError::TooLong`] when it is more than
    /// `bytes_max`.
    pub async fn history(
        &self,
        id: &str,
        extent: Extent,
        bytes_max: u64,
    ) -> Result<Vec<Item>, StoreError> {
        // `CROSS JOIN` keeps SQLite from reading all items first; to PostgreSQL it is any join.
        const CHAIN: &str = "WITH RECURSIVE chain (id, parent, depth) AS (\
             SELECT id, parent, 0 FROM responses WHERE id = $1 \
             UNION ALL \
             SELECT r.id, r.parent, c.depth + 1 FROM chain c CROSS JOIN responses r \
             WHERE r.id = c.parent) ";
        const LENGTH: &str = "SELECT CAST(COALESCE(SUM(LENGTH(i.body)), 0) AS BIGINT) \
             FROM chain c CROSS JOIN items i WHERE i.owner = c.id";
        const ITEMS: &str = "SELECT i.id, i.body FROM chain c CROSS JOIN items i \
             WHERE i.owner = c.id AND (c.depth > 0 OR i.answered <= $2) ORDER BY c.depth DESC, i.position";
        let answered = i64::from(extent == Extent::Answered);
        let rows: Option<Vec<(String, String)>> = on!(self, pool => {
            let there = sqlx::query("SELECT 1 FROM responses WHERE id = $1 AND object IS NOT NULL")
                .bind(id)
                .fetch_optional(pool)
                .await?;
            if there.is_none() {
                return Err(StoreError::Missing(id.to_owned()));
            }
            let mut query = QueryBuilder::new(CHAIN);
            let (n_chars,): (i64,) =
                query.push(LENGTH).build_query_as().bind(id).fetch_one(pool).await?;
            if n_chars as u64 > bytes_max {
                None
            } else {
                let mut query = QueryBuilder::new(CHAIN);
                let query = query.push(ITEMS).build_query_as().bind(id).bind(answered);
                Some(query.fetch_all(pool).await?)
            }
        });
        let rows = rows.ok_or(StoreError::TooLong(bytes_max))?;
        Ok(rows.into_iter().map(|(id, body)| Item { id, body }).collect())
    }

    /// The stored item of a name and of a holder; the latest when there are several.
    pub async fn item(&self, id: &str, holder: &str) -> Result<Option<Item>, StoreError> {
        let row: Option<(String,)> = on!(self, pool => {
            sqlx::query_as(
                "SELECT i.body FROM items i LEFT JOIN responses r ON r.id = i.owner \
                 LEFT JOIN conversations c ON c.id = i.owner \
                 WHERE i.id = $1 AND COALESCE(r.holder, c.holder) = $2 ORDER BY i.owner DESC LIMIT 1",
            )
            .bind(id)
            .bind(holder)
            .fetch_optional(pool)
            .await?
        });
        Ok(row.map(|(body,)| Item { id: id.to_owned(), body }))
    }

    /// Deletes a response; false when there was none.
    pub async fn delete(&self, id: &str) -> Result<bool, StoreError> {
        let hidden = on!(self, pool, begin => {
            let mut tx = pool.begin_with(begin).await?;
            let hidden = sqlx::query(
                "UPDATE responses SET object = NULL, running = 0, n_bytes = \
                 (SELECT COALESCE(SUM(LENGTH(body)), 0) FROM items WHERE owner = $1) \
                 WHERE id = $1 AND object IS NOT NULL",
            )
            .bind(id)
            .execute(&mut *tx)
            .await?
            .rows_affected() == 1;
            sqlx::query("DELETE FROM events WHERE owner = $1").bind(id).execute(&mut *tx).await?;
            tx.commit().await?;
            hidden
        });
        let mut next = hidden.then(|| id.to_owned());
        // Those before it may have been kept for it alone.
        while let Some(id) = next {
            next = self.forget(&id).await?;
        }
        Ok(hidden)
    }

    /// Removes what is left of a deleted response, if nothing follows it; its parent may be next.
    async fn forget(&self, id: &str) -> Result<Option<String>, StoreError> {
        on!(self, pool, begin => {
            let mut tx = pool.begin_with(begin).await?;
            let gone: Result<Option<(Option<String>,)>, sqlx::Error> = sqlx::query_as(
                "DELETE FROM responses WHERE id = $1 AND object IS NULL AND NOT EXISTS \
                 (SELECT 1 FROM responses c WHERE c.parent = $1) RETURNING parent",
            )
            .bind(id)
            .fetch_optional(&mut *tx)
            .await;
            let parent = match gone {
                Ok(Some((parent,))) => parent,
                Ok(None) => return Ok(None),
                // One that follows it came in between.
                Err(sqlx::Error::Database(what)) if what.is_foreign_key_violation() => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            sqlx::query("DELETE FROM items WHERE owner = $1").bind(id).execute(&mut *tx).await?;
            tx.commit().await?;
            Ok(parent)
        })
    }

    /// Asks for the end of a response, wherever it is written; false when none of that name runs.
    pub async fn ask_to_cancel(&self, id: &str) -> Result<bool, StoreError> {
        let n = on!(self, pool => {
            sqlx::query("UPDATE responses SET cancelled = 1 WHERE id = $1 AND running = 1")
                .bind(id)
                .execute(pool)
                .await?
                .rows_affected()
        });
        Ok(n == 1)
    }
}

/// Bytes of some items.
pub(crate) fn bytes(items: &[Item]) -> i64 {
    items.iter().map(|item| item.body.len() as i64).sum()
}

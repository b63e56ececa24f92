//! Conversations: lists of items that responses are asked with and add to.

use crate::StoreError;
use crate::place::{Store, on};
use crate::responses::{Item, bytes, insert};

/// A conversation that begins.
#[derive(Clone, Copy, Debug)]
pub struct NewConversation<'a> {
    /// `conv_...`
    pub id: &'a str,
    /// Whose it is.
    pub holder: &'a str,
    /// The client's notes, as JSON.
    pub metadata: &'a str,
    /// What it begins with.
    pub items: &'a [Item],
    /// When.
    pub now: i64,
}

/// A conversation as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// The client's notes, as JSON.
    pub metadata: String,
    /// When it began.
    pub created_at: i64,
    /// Whose it is.
    pub holder: String,
}

/// Adds what a response was asked and answered to a conversation, within a transaction.
macro_rules! take_over {
    ($tx:ident, $conversation:expr, $response:expr, $now:expr) => {
        // Whoever adds at the same time waits for this row.
        ::sqlx::query(
            "UPDATE conversations SET used_at = $3, n_bytes = n_bytes + \
             (SELECT COALESCE(SUM(LENGTH(body)), 0) FROM items WHERE owner = $2) WHERE id = $1",
        )
        .bind($conversation)
        .bind($response)
        .bind($now)
        .execute(&mut *$tx)
        .await?;
        ::sqlx::query(
            "INSERT INTO items (owner, position, answered, id, body) SELECT $1, \
             (SELECT COALESCE(MAX(position) + 1, 0) FROM items WHERE owner = $1) + position, \
             0, id, body FROM items \
             WHERE owner = $2 AND EXISTS (SELECT 1 FROM conversations WHERE id = $1)",
        )
        .bind($conversation)
        .bind($response)
        .execute(&mut *$tx)
        .await?;
    };
}
pub(crate) use take_over;

impl Store {
    /// A conversation begins.
    pub async fn begin_conversation(&self, new: NewConversation<'_>) -> Result<(), StoreError> {
        let n_bytes = new.metadata.len() as i64;
        on!(self, pool => {
            sqlx::query(
                "INSERT INTO conversations (id, metadata, created_at, used_at, n_bytes, holder) \
                 VALUES ($1, $2, $3, $3, $4, $5)",
            )
            .bind(new.id)
            .bind(new.metadata)
            .bind(new.now)
            .bind(n_bytes)
            .bind(new.holder)
            .execute(pool)
            .await?;
        });
        self.add_items(new.id, new.items, new.now).await
    }

    /// The conversation of a name.
    pub async fn conversation(&self, id: &str) -> Result<Option<Conversation>, StoreError> {
        let row: Option<(String, i64, String)> = on!(self, pool => {
            sqlx::query_as("SELECT metadata, created_at, holder FROM conversations WHERE id = $1")
                .bind(id)
                .fetch_optional(pool)
                .await?
        });
        Ok(row.map(|(metadata, created_at, holder)| Conversation { metadata, created_at, holder }))
    }

    /// Other notes; false without such a conversation.
    pub async fn annotate(&self, id: &str, metadata: &str, now: i64) -> Result<bool, StoreError> {
        let n = on!(self, pool => {
            sqlx::query("UPDATE conversations SET metadata = $2, used_at = $3 WHERE id = $1")
                .bind(id)
                .bind(metadata)
                .bind(now)
                .execute(pool)
                .await?
                .rows_affected()
        });
        Ok(n == 1)
    }

    /// Appends items, all of them or none.
    ///
    /// # Errors
    /// [`StoreError::Missing`] without such a conversation.
    pub async fn add_items(&self, id: &str, items: &[Item], now: i64) -> Result<(), StoreError> {
        on!(self, pool, begin => {
            let mut tx = pool.begin_with(begin).await?;
            // Whoever adds at the same time waits for this row.
            let there = sqlx::query(
                "UPDATE conversations SET used_at = $2, n_bytes = n_bytes + $3 WHERE id = $1",
            )
            .bind(id)
            .bind(now)
            .bind(bytes(items))
            .execute(&mut *tx)
            .await?
            .rows_affected();
            if there == 0 {
                return Err(StoreError::Missing(id.to_owned()));
            }
            let (position,): (i64,) = sqlx::query_as(
                "SELECT COALESCE(MAX(position) + 1, 0) FROM items WHERE owner = $1",
            )
            .bind(id)
            .fetch_one(&mut *tx)
            .await?;
            for (n, rows) in items.chunks(1000).enumerate() {
                insert!(tx, id, position as usize + n * 1000, 0, rows);
            }
            tx.commit().await?;
        });
        Ok(())
    }

    /// The items of a conversation, or of one response alone, oldest first.
    pub async fn items(&self, owner: &str) -> Result<Vec<Item>, StoreError> {
        let rows: Vec<(String, String)> = on!(self, pool => {
            sqlx::query_as("SELECT id, body FROM items WHERE owner = $1 ORDER BY position")
                .bind(owner)
                .fetch_all(pool)
                .await?
        });
        Ok(rows.into_iter().map(|(id, body)| Item { id, body }).collect())
    }

    /// Takes an item out of a conversation; false when it holds none of that name.
    pub async fn remove_item(&self, owner: &str, id: &str) -> Result<bool, StoreError> {
        let n = on!(self, pool, begin => {
            let mut tx = pool.begin_with(begin).await?;
            sqlx::query(
                "UPDATE conversations SET n_bytes = n_bytes - COALESCE(\
                 (SELECT SUM(LENGTH(body)) FROM items WHERE owner = $1 AND id = $2), 0) WHERE id = $1",
            )
            .bind(owner)
            .bind(id)
            .execute(&mut *tx)
            .await?;
            let n = sqlx::query("DELETE FROM items WHERE owner = $1 AND id = $2")
                .bind(owner)
                .bind(id)
                .execute(&mut *tx)
                .await?
                .rows_affected();
            tx.commit().await?;
            n
        });
        Ok(n > 0)
    }

    /// Deletes a conversation and its items; false when there was none.
    pub async fn delete_conversation(&self, id: &str) -> Result<bool, StoreError> {
        let n = on!(self, pool, begin => {
            let mut tx = pool.begin_with(begin).await?;
            let n = sqlx::query("DELETE FROM conversations WHERE id = $1")
                .bind(id)
                .execute(&mut *tx)
                .await?
                .rows_affected();
            if n > 0 {
                sqlx::query("DELETE FROM items WHERE owner = $1").bind(id).execute(&mut *tx).await?;
            }
            tx.commit().await?;
            n
        });
        Ok(n > 0)
    }
}

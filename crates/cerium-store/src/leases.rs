//! Who lives: servers that write, and what those that died left unfinished.

use crate::StoreError;
use crate::place::{Store, on};

impl Store {
    /// A server lives until then, at least.
    pub async fn lease(&self, server: &str, until: i64) -> Result<(), StoreError> {
        on!(self, pool => {
            sqlx::query(
                "INSERT INTO servers (id, lease_until) VALUES ($1, $2) \
                 ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until",
            )
            .bind(server)
            .bind(until)
            .execute(pool)
            .await?;
        });
        Ok(())
    }

    /// Responses that nobody will finish, some of them.
    pub async fn lost(&self, now: i64) -> Result<Vec<String>, StoreError> {
        let rows: Vec<(String,)> = on!(self, pool => {
            sqlx::query_as(
                "SELECT r.id FROM responses r LEFT JOIN servers s ON s.id = r.server \
                 WHERE r.running = 1 AND (s.id IS NULL OR s.lease_until < $1) LIMIT 100",
            )
            .bind(now)
            .fetch_all(pool)
            .await?
        });
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// What this server writes and somebody wants to end.
    pub async fn to_cancel(&self, server: &str) -> Result<Vec<String>, StoreError> {
        let rows: Vec<(String,)> = on!(self, pool => {
            sqlx::query_as(
                "SELECT id FROM responses WHERE server = $1 AND running = 1 AND cancelled = 1",
            )
            .bind(server)
            .fetch_all(pool)
            .await?
        });
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }
}

//! The end of what is kept: too old, too many, too large; what was not used for longest goes first.

use crate::StoreError;
use crate::place::{Pool, Store, on};

/// Names looked at in one go.
const N_BATCH: i64 = 256;

/// Seconds after which a server that is gone is forgotten.
const SERVER_SECONDS: i64 = 24 * 3600;

/// How much is kept of responses and conversations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Seconds since the last use.
    pub age_max: i64,
    /// Responses and conversations together.
    pub n_max: u64,
    /// Bytes of text; the file is somewhat larger.
    pub bytes_max: u64,
}

impl Default for Retention {
    /// 30 days, as the hosted service; 100,000 responses; 1 GB.
    fn default() -> Self {
        Self { age_max: 30 * 24 * 3600, n_max: 100_000, bytes_max: 1_000_000_000 }
    }
}

/// What a sweep found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Responses and conversations deleted.
    pub n_deleted: u64,
    /// Those left.
    pub n_left: u64,
    /// Their bytes.
    pub bytes_left: u64,
}

impl Store {
    /// Deletes what is not to be kept any longer. Responses in progress stay, unless they are too old
    /// to be that.
    pub async fn sweep(&self, now: i64) -> Result<Swept, StoreError> {
        let Retention { age_max, n_max, bytes_max } = self.retention;
        let mut swept = Swept::default();
        loop {
            let old = self.least_used(now - age_max, true).await?;
            if self.delete_all(&old, &mut swept).await? == 0 {
                break;
            }
        }
        loop {
            (swept.n_left, swept.bytes_left) = self.held().await?;
            if swept.n_left <= n_max && swept.bytes_left <= bytes_max {
                break;
            }
            let mut unused = self.least_used(i64::MAX, false).await?;
            let (mut n, mut bytes) = (swept.n_left, swept.bytes_left);
            let n_over = unused.iter().take_while(|(_, n_bytes)| {
                let over = n > n_max || bytes > bytes_max;
                (n, bytes) = (n.saturating_sub(1), bytes.saturating_sub(*n_bytes as u64));
                over
            });
            let n_over = n_over.count();
            unused.truncate(n_over);
            if self.delete_all(&unused, &mut swept).await? == 0 {
                break;
            }
        }
        on!(self, pool => {
            sqlx::query("DELETE FROM servers WHERE lease_until < $1")
                .bind(now - SERVER_SECONDS)
                .execute(pool)
                .await?;
        });
        if let Pool::Sqlite(pool) = &self.pool
            && swept.n_deleted > 0
        {
            // The file becomes smaller, and what was deleted leaves the write-ahead log.
            sqlx::query("PRAGMA incremental_vacuum").execute(pool).await?;
            sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(pool).await?;
        }
        Ok(swept)
    }

    /// How many responses and conversations there are, and their bytes.
    pub async fn held(&self) -> Result<(u64, u64), StoreError> {
        let (n, bytes): (i64, i64) = on!(self, pool => {
            sqlx::query_as(
                "SELECT (SELECT COUNT(*) FROM responses WHERE object IS NOT NULL) + \
                 (SELECT COUNT(*) FROM conversations), \
                 CAST((SELECT COALESCE(SUM(n_bytes), 0) FROM responses) + \
                 (SELECT COALESCE(SUM(n_bytes), 0) FROM conversations) AS BIGINT)",
            )
            .fetch_one(pool)
            .await?
        });
        Ok((n as u64, bytes as u64))
    }

    /// What was not used since `before`, with its bytes, the longest unused first.
    async fn least_used(
        &self,
        before: i64,
        running: bool,
    ) -> Result<Vec<(String, i64)>, StoreError> {
        Ok(on!(self, pool => {
            sqlx::query_as(
                "SELECT id, n_bytes FROM (\
                 SELECT id, n_bytes, used_at FROM responses WHERE object IS NOT NULL AND (running <> 1 OR $2 = 1) \
                 UNION ALL SELECT id, n_bytes, used_at FROM conversations) u \
                 WHERE used_at < $1 ORDER BY used_at, id LIMIT $3",
            )
            .bind(before)
            .bind(i64::from(running))
            .bind(N_BATCH)
            .fetch_all(pool)
            .await?
        }))
    }

    async fn delete_all(
        &self,
        names: &[(String, i64)],
        swept: &mut Swept,
    ) -> Result<u64, StoreError> {
        let mut n = 0;
        for (id, _) in names {
            let gone = self.delete(id).await? || self.delete_conversation(id).await?;
            n += u64::from(gone);
        }
        swept.n_deleted += n;
        Ok(n)
    }
}

//! Where a store is, and the connections to it.

use crate::{Retention, StoreError};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection};
use std::fs::{self, DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::OnceCell;

/// Where texts are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An SQLite file, made when it is not there: for its owner alone.
    File(PathBuf),
    /// A PostgreSQL database, by its URL.
    Url(String),
}

impl Place {
    /// Reads an address as people write it: `sqlite:PATH`, `postgres://...` or a path.
    pub fn parse(text: &str) -> Self {
        match text.strip_prefix("sqlite:") {
            Some(path) => Self::File(path.strip_prefix("//").unwrap_or(path).into()),
            None if text.starts_with("postgres:") || text.starts_with("postgresql:") => {
                Self::Url(text.to_owned())
            }
            None => Self::File(text.into()),
        }
    }
}

/// How a store is used.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Where it is.
    pub place: Place,
    /// Connections open at once.
    pub n_connections: u32,
    /// How long a call waits for a connection, or for another writer.
    pub patience: Duration,
    /// How much is kept.
    pub retention: Retention,
}

impl StoreOptions {
    /// A store at a place, with everything else as it suits one server.
    pub fn new(place: Place) -> Self {
        let retention = Retention::default();
        Self { place, n_connections: 4, patience: Duration::from_secs(3), retention }
    }
}

/// What a server remembers.
#[derive(Debug)]
pub struct Store {
    pub(crate) pool: Pool,
    pub(crate) retention: Retention,
    /// Whether the tables are there, as far as is known.
    ready: OnceCell<()>,
}

/// Connections of either kind. The SQL is the same: [`on`] writes the code for both.
#[derive(Debug)]
pub(crate) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// Does something with the connections of a store, of whichever kind they are.
///
/// In the second form `begin` begins a transaction that writes: SQLite's must say so at once, or two
/// that read first could not both go on.
macro_rules! on {
    ($store:expr, $pool:ident => $body:expr) => {{
        $store.ready().await?;
        match &$store.pool {
            $crate::place::Pool::Sqlite($pool) => $body,
            $crate::place::Pool::Postgres($pool) => $body,
        }
    }};
    ($store:expr, $pool:ident, $begin:ident => $body:expr) => {{
        $store.ready().await?;
        match &$store.pool {
            $crate::place::Pool::Sqlite($pool) => {
                let $begin = "BEGIN IMMEDIATE";
                $body
            }
            $crate::place::Pool::Postgres($pool) => {
                let $begin = "BEGIN";
                $body
            }
        }
    }};
}
pub(crate) use on;

impl Store {
    /// Opens a store. A database is not asked for anything yet, so it may be down: the first call that
    /// needs it makes the tables.
    ///
    /// # Errors
    /// [`StoreError::Url`] for an address that is none, [`StoreError::Open`] for a file that cannot be
    /// made. [`Store::check`] tells of everything else.
    #[expect(clippy::unused_async, reason = "connections need a runtime from their beginning")]
    pub async fn open(options: StoreOptions) -> Result<Self, StoreError> {
        let StoreOptions { place, n_connections, patience, retention } = options;
        let pool = match place {
            Place::File(path) => {
                make(&path).map_err(|source| StoreError::Open { path: path.clone(), source })?;
                let connect = SqliteConnectOptions::new()
                    .filename(path)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Normal)
                    .busy_timeout(patience)
                    // What is deleted is overwritten.
                    .pragma("secure_delete", "ON")
                    .disable_statement_logging();
                let pool = SqlitePoolOptions::new()
                    .max_connections(n_connections)
                    .acquire_timeout(patience);
                Pool::Sqlite(pool.connect_lazy_with(connect))
            }
            Place::Url(url) => {
                let connect: PgConnectOptions = url.parse().map_err(|error: sqlx::Error| {
                    StoreError::Url { url: without_password(&url), why: error.to_string() }
                })?;
                let pool =
                    PgPoolOptions::new().max_connections(n_connections).acquire_timeout(patience);
                Pool::Postgres(pool.connect_lazy_with(connect.disable_statement_logging()))
            }
        };
        Ok(Self { pool, retention, ready: OnceCell::new() })
    }

    /// Whether it can be used now.
    ///
    /// # Errors
    /// Why not.
    pub async fn check(&self) -> Result<(), StoreError> {
        on!(self, pool => sqlx::query("SELECT 1 FROM responses LIMIT 1").execute(pool).await.map(drop))?;
        Ok(())
    }

    /// Lets go of all connections; what was written stays.
    pub async fn close(&self) {
        match &self.pool {
            Pool::Sqlite(pool) => pool.close().await,
            Pool::Postgres(pool) => pool.close().await,
        }
    }

    /// Makes the tables, or brings them up to date, once.
    pub(crate) async fn ready(&self) -> Result<(), StoreError> {
        let migrate = async || {
            let migrator = sqlx::migrate!();
            match &self.pool {
                Pool::Sqlite(pool) => {
                    // Before there is a table, and never again: to say so is to write, which a full disk does not allow.
                    let options = pool.connect_options();
                    if fs::metadata(options.get_filename()).is_ok_and(|file| file.len() == 0) {
                        let options = options.as_ref().clone();
                        options
                            .auto_vacuum(SqliteAutoVacuum::Incremental)
                            .connect()
                            .await?
                            .close()
                            .await?;
                    }
                    // Two processes may meet here; the second finds the tables when it asks again.
                    let first = migrator.run(pool).await;
                    if first.is_err() { migrator.run(pool).await } else { first }
                }
                Pool::Postgres(pool) => migrator.run(pool).await,
            }
        };
        self.ready.get_or_try_init(async || Ok(migrate().await?)).await.map(drop)
    }
}

/// Makes the file, which nobody else may read; what SQLite puts beside it has the same mode.
fn make(path: &Path) -> std::io::Result<()> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(std::io::Error::other("not a regular file"));
    }
    fs::metadata(path).map(drop)
}

/// An address as it may be shown.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://...@{host}"),
        None => url.to_owned(),
    }
}

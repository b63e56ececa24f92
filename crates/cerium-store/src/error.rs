//! Why something could not be stored or found.

use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;
use std::io;
use std::path::PathBuf;

/// What a caller can do about it tells the variants apart.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The address is none; nothing will help but another one.
    #[error("`{url}` is no address of a store: {why}")]
    Url {
        /// The address, without a password.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The file cannot be made or opened.
    #[error("cannot open the store `{}`", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no database, or a damaged one. It is left as it is.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// A newer version of this program made the database.
    #[error("the store was made by another version of cerium: {0}")]
    Version(String),
    /// There is no room on its disk.
    #[error("the disk of the store is full")]
    Full,
    /// It does not answer; later it may.
    #[error("the store does not answer: {0}")]
    Unavailable(String),
    /// The response that another one was to follow, or the conversation, is not there.
    #[error("`{0}` is not stored")]
    Missing(String),
    /// A history is longer than the caller takes.
    #[error("the history is longer than {0} bytes")]
    TooLong(u64),
    /// Anything else the database says.
    #[error("the store failed: {0}")]
    Failed(String),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => of_database(error.as_ref()),
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::Protocol(_)
            | sqlx::Error::WorkerCrashed => Self::Unavailable(error.to_string()),
            error => Self::Failed(error.to_string()),
        }
    }
}

impl From<MigrateError> for StoreError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
            error => Self::Version(error.to_string()),
        }
    }
}

/// SQLite tells result codes, as decimal numbers; PostgreSQL classes of two characters.
fn of_database(error: &dyn DatabaseError) -> StoreError {
    const BUSY: u32 = 5;
    const LOCKED: u32 = 6;
    const READ_ONLY: u32 = 8;
    const IO: u32 = 10;
    const CORRUPT: u32 = 11;
    const FULL: u32 = 13;
    const CANNOT_OPEN: u32 = 14;
    const NO_DATABASE: u32 = 26;
    let message = error.message().to_owned();
    let code = error.code().unwrap_or_default();
    if error.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
        return match code.parse::<u32>().map(|code| code & 0xff) {
            Ok(CORRUPT | NO_DATABASE) => StoreError::Damaged(message),
            Ok(FULL) => StoreError::Full,
            Ok(BUSY | LOCKED | READ_ONLY | IO | CANNOT_OPEN) => StoreError::Unavailable(message),
            _ => StoreError::Failed(message),
        };
    }
    match code.get(..2) {
        Some("XX") => StoreError::Damaged(message),
        _ if code == "53100" => StoreError::Full,
        // Connections, logins, databases and resources; shutdowns; servers that only read.
        Some("08" | "28" | "3D" | "53" | "57" | "58" | "25") => StoreError::Unavailable(message),
        _ => StoreError::Failed(message),
    }
}

//! Who may ask: keys, of which only digests are kept.
//!
//! A key is 32 random bytes behind a public beginning. Nobody guesses 256 bits, so the digest is a
//! plain SHA-256: what makes digests of passwords slow is that passwords can be guessed.

use crate::StoreError;
use crate::place::{Store, on};
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;

/// What every key begins with, so that it is known for one where it should not be.
const MARK: &str = "cer-";

/// Hexadecimal digits of a key's name, after the mark.
const N_NAME: usize = 12;

/// Random bytes that are the secret.
const N_SECRET: usize = 32;

/// Keys that are read at most: more than any team has.
const N_KEYS: i64 = 10_000;

/// A key as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its beginning, which is no secret.
    pub id: String,
    /// Whose or what for, in words.
    pub name: String,
    /// What it may ask for is said under this name.
    pub tier: String,
    /// When it was made, in seconds since 1970.
    pub created_at: i64,
    /// Since when it opens nothing.
    pub revoked_at: Option<i64>,
    digest: String,
}

/// A key as its holder has it. Shown once.
#[derive(Clone)]
pub struct SecretKey(String);

impl SecretKey {
    /// The text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({}...)", name_of(&self.0).unwrap_or("?"))
    }
}

/// The part of a key that is no secret; `None` for what is no key.
pub fn name_of(text: &str) -> Option<&str> {
    let rest = text.strip_prefix(MARK)?;
    let is_key = rest.len() == N_NAME + 2 * N_SECRET && rest.bytes().all(|b| b.is_ascii_hexdigit());
    is_key.then(|| &text[..MARK.len() + N_NAME])
}

impl Key {
    /// Whether this text is the key. Takes as long for all texts of one length.
    pub fn is(&self, text: &str) -> bool {
        digest(text).as_bytes().ct_eq(self.digest.as_bytes()).into()
    }
}

impl Store {
    /// Makes a key.
    pub async fn create_key(
        &self,
        name: &str,
        tier: &str,
        now: i64,
    ) -> Result<(Key, SecretKey), StoreError> {
        let mut random = [0; N_NAME / 2 + N_SECRET];
        getrandom::fill(&mut random).map_err(|error| StoreError::Failed(error.to_string()))?;
        let secret = format!("{MARK}{}", hex(&random));
        let key = Key {
            id: secret[..MARK.len() + N_NAME].to_owned(),
            name: name.to_owned(),
            tier: tier.to_owned(),
            created_at: now,
            revoked_at: None,
            digest: digest(&secret),
        };
        on!(self, pool => {
            sqlx::query(
                "INSERT INTO keys (id, name, tier, digest, created_at) VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(&key.id)
            .bind(&key.name)
            .bind(&key.tier)
            .bind(&key.digest)
            .bind(now)
            .execute(pool)
            .await?;
        });
        Ok((key, SecretKey(secret)))
    }

    /// All keys, the oldest first, those that were revoked too.
    pub async fn keys(&self) -> Result<Vec<Key>, StoreError> {
        let rows: Vec<(String, String, String, String, i64, Option<i64>)> = on!(self, pool => {
            sqlx::query_as(
                "SELECT id, name, tier, digest, created_at, revoked_at FROM keys \
                 ORDER BY created_at, id LIMIT $1",
            )
            .bind(N_KEYS)
            .fetch_all(pool)
            .await?
        });
        let key = |(id, name, tier, digest, created_at, revoked_at)| Key {
            id,
            name,
            tier,
            created_at,
            revoked_at,
            digest,
        };
        Ok(rows.into_iter().map(key).collect())
    }

    /// A key opens nothing from now on. False when there is none of this name that did.
    pub async fn revoke_key(&self, id: &str, now: i64) -> Result<bool, StoreError> {
        let n_rows = on!(self, pool => {
            sqlx::query("UPDATE keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL")
                .bind(id)
                .bind(now)
                .execute(pool)
                .await?
                .rows_affected()
        });
        Ok(n_rows > 0)
    }
}

fn digest(text: &str) -> String {
    hex(&Sha256::digest(text))
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

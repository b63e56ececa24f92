//! What a page on disk is called: everything that its bits depend on, in one hash.

use cerium_model::Fingerprint;
use sha2::{Digest, Sha256};

/// A chain over the model, how it computes, and all tokens up to the end of a page.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Key([u8; 32]);

impl Key {
    /// Before the first token.
    pub(crate) fn first(fingerprint: &Fingerprint) -> Self {
        Self(fingerprint.hash)
    }

    /// After more tokens.
    pub(crate) fn then(self, tokens: &[u32]) -> Self {
        let mut hash = Sha256::new_with_prefix(self.0);
        for token in tokens {
            hash.update(token.to_le_bytes());
        }
        Self(hash.finalize().into())
    }

    /// Its beginning: enough to tell one from others.
    pub(crate) fn number(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Lower-case hex.
impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

//! What keys and values are known by outside a process: all that their bits depend on, tokens aside.

use super::{Opening, PagePool};
use crate::arch::{Model, Segment, Wanted};
use sha2::{Digest, Sha256};
use std::sync::atomic::AtomicBool;

/// Raised when keys and values of the same tokens, or their bytes, get another meaning.
const VERSION: u32 = 1;

/// Tokens that are computed to see the bits: enough for positions to attend to others.
const N_PROBED: usize = 8;

/// See [`Model::fingerprint`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// The model: the SHA-256 of its file, in hex, where somebody checked it.
    pub model: String,
    /// The model and everything else.
    pub hash: [u8; 32],
}

impl Model {
    /// What keys and values of sequences that are opened so are known by; `None` if the file is [not
    /// known](crate::file::ModelFile::keep_packed) itself.
    ///
    /// A few tokens are computed for it, which takes as long as a short step. So whatever changes their
    /// bits changes it, whether anybody thought of it or not: kernels, packing, the mathematics of the
    /// system.
    pub fn fingerprint(&mut self, opening: Opening) -> Option<Fingerprint> {
        let model = self.file().shelf.as_ref()?.model().to_owned();
        let mut kv = PagePool::new(self.config(), opening).open();
        let n_vocab = self.config().n_vocab;
        let tokens: Vec<u32> = (0..N_PROBED).map(|i| (i * 7919 % n_vocab) as u32).collect();
        let segment = Segment { kv: &mut kv, tokens: &tokens, wanted: Wanted::Likeliest(0) };
        self.forward(&mut [segment], &AtomicBool::new(false)).ok()?;
        let mut page = Vec::new();
        kv.page(0).write_to(&mut page);
        let hash = Sha256::new()
            .chain_update(VERSION.to_le_bytes())
            .chain_update(&model)
            .chain_update(format!("{opening:?}"))
            .chain_update(page);
        Some(Fingerprint { model, hash: hash.finalize().into() })
    }
}

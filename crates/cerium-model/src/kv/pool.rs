//! Pages that sequences share: counted while somebody holds them, and used again after.

use super::{KvCache, Opening, layout};
use crate::arch::Config;
use cerium_kernels::{Heads, KvLayout, KvPage};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where pages of one kind come from and go back to. A cheap handle: clones are the same pool.
///
/// It has no bound of its own: whoever hands out caches decides, and asks [`KvCache::n_wanted`] before.
#[derive(Clone, Debug)]
pub struct PagePool(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    opening: Opening,
    layout: KvLayout,
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    /// Held by somebody.
    n_used: usize,
    /// Held by nobody. Their memory is not given back: the next page takes it.
    free: Vec<KvPage>,
}

impl PagePool {
    /// Pages for sequences of a model that are computed in one way.
    pub fn new(config: &Config, opening: Opening) -> Self {
        let layout = layout(config, opening.format);
        Self(Arc::new(Pool { opening, layout, pages: Mutex::default() }))
    }

    /// An empty cache of its pages.
    pub fn open(&self) -> KvCache {
        KvCache { pool: self.clone(), n_tokens: 0, pages: Vec::new() }
    }

    /// How the sequences are computed.
    pub fn opening(&self) -> Opening {
        self.0.opening
    }

    /// Bytes of a page.
    pub fn page_bytes(&self) -> usize {
        self.0.layout.page_bytes()
    }

    /// Pages that somebody holds, each counted once.
    pub fn n_used(&self) -> usize {
        self.pages().n_used
    }

    /// Pages whose memory waits for the next one.
    pub fn n_free(&self) -> usize {
        self.pages().free.len()
    }

    /// A page from what another one [wrote](Page::write_to).
    ///
    /// # Panics
    /// If it is not [as long](Self::page_bytes).
    pub fn read(&self, bytes: &[u8]) -> Page {
        let page = self.take(|page| page.read_from(bytes));
        Page { page: Some(page), pool: self.clone() }
    }

    pub(super) fn heads(&self) -> Heads {
        self.0.layout.heads
    }

    /// A page that nobody else holds. Before it is filled it holds anything: what stands behind a
    /// sequence's end is never seen.
    pub(super) fn take(&self, fill: impl FnOnce(&mut KvPage)) -> Arc<KvPage> {
        let free = {
            let mut pages = self.pages();
            pages.n_used += 1;
            pages.free.pop()
        };
        let mut page = free.unwrap_or_else(|| KvPage::new(self.0.layout));
        fill(&mut page);
        Arc::new(page)
    }

    /// Lets go of a page.
    pub(super) fn give(&self, page: Arc<KvPage>) {
        // Only the last holder gets it.
        if let Some(page) = Arc::into_inner(page) {
            let mut pages = self.pages();
            pages.n_used -= 1;
            pages.free.push(page);
        }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A hold on a page that several may read.
#[derive(Debug)]
pub struct Page {
    /// Until it is dropped.
    page: Option<Arc<KvPage>>,
    pool: PagePool,
}

impl Page {
    pub(super) fn new(page: &Arc<KvPage>, pool: &PagePool) -> Self {
        Self { page: Some(Arc::clone(page)), pool: pool.clone() }
    }

    pub(super) fn get(&self) -> &Arc<KvPage> {
        let Some(page) = &self.page else { unreachable!("held until it is dropped") };
        page
    }

    /// Whether somebody else holds the page as well.
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(self.get()) > 1
    }

    /// Appends all that it holds, [`PagePool::page_bytes`] in all.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        self.get().write_to(out);
    }
}

impl Clone for Page {
    fn clone(&self) -> Self {
        Self::new(self.get(), &self.pool)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        if let Some(page) = self.page.take() {
            self.pool.give(page);
        }
    }
}

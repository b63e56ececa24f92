//! Conversations whose token ids are known: what is added to one is all that is rendered for it.
//!
//! A [`History`] ends where an answer begins. It shares what it begins with, ids included, with all that go on
//! from it; so going on costs what is new, and forks cost nothing. Connections hold those they are at, and
//! [`Histories`] finds one by what it says: a client that sends the whole conversation again has it compared, and
//! not tokenised. Both cost memory, of which there is so much and no more.

use crate::conversation::{Conversation, more};
use crate::service::Service;
use cerium_model::template::Ending;
use cerium_protocol::{CreateResponse, ErrorBody, Item, Tool, ToolChoice};
use hashbrown::DefaultHashBuilder;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes that histories may take, texts and ids together.
const BYTES_MAX: usize = 256 << 20;

/// What a turn takes beside its texts and ids.
const TURN_BYTES: usize = 512;

/// A conversation up to where an answer begins.
#[derive(Clone)]
pub(crate) struct History(Arc<Turn>);

/// A conversation, and what was said since its last answer began.
#[derive(Clone, Debug)]
pub struct Past {
    pub(crate) history: History,
    pub(crate) said: Vec<Item>,
}

/// How a conversation ends, and the ids that open the model's turn behind it; none where nothing can be told of
/// what follows.
pub(crate) type End = Option<(Ending, Vec<u32>)>;

/// What was added to a conversation by one request.
struct Turn {
    before: Option<History>,
    front: Arc<Front>,
    items: Vec<Item>,
    /// Ids of the items; those of the front, too, where nothing is before.
    ids: Vec<u32>,
    n_tokens: usize,
    end: End,
    digest: u64,
    _share: Share,
}

/// What stands before the items of a conversation.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Front {
    pub(crate) instructions: Option<String>,
    pub(crate) tools: Vec<Tool>,
    pub(crate) tool_choice: ToolChoice,
}

impl Front {
    pub(crate) fn of(request: &CreateResponse) -> Self {
        Self {
            instructions: request.instructions.clone(),
            tools: request.tools.clone(),
            tool_choice: request.tool_choice.clone(),
        }
    }

    fn is_of(&self, request: &CreateResponse) -> bool {
        self.instructions == request.instructions
            && self.tools == request.tools
            && self.tool_choice == request.tool_choice
    }
}

impl Past {
    /// All that stands before the next answer, as one would have to tell it.
    pub fn all(&self) -> Vec<Item> {
        self.items().cloned().collect()
    }

    /// The same after an answer that said this.
    #[must_use]
    pub fn and_then(&self, said: &[Item]) -> Self {
        let said = self.said.iter().chain(said).cloned().collect();
        Self { history: self.history.clone(), said }
    }

    pub(crate) fn items(&self) -> impl Iterator<Item = &Item> {
        self.history.items().into_iter().chain(&self.said)
    }

    /// The same as a template takes it.
    pub(crate) fn conversation(&self, service: &Service) -> Conversation {
        Conversation::new(&self.history.0.front, self.items(), service.template())
    }
}

impl History {
    /// Length of the prompt.
    pub(crate) fn n_tokens(&self) -> usize {
        self.0.n_tokens + self.opening().len()
    }

    fn opening(&self) -> &[u32] {
        self.0.end.as_ref().map_or(&[][..], |(_, opening)| opening)
    }

    /// Ids up to where the model's turn begins, and those that open it.
    pub(crate) fn prompt(&self) -> Vec<u32> {
        let mut prompt = Vec::with_capacity(self.n_tokens());
        for turn in self.turns() {
            prompt.extend_from_slice(&turn.ids);
        }
        prompt.extend_from_slice(self.opening());
        prompt
    }

    pub(crate) fn items(&self) -> Vec<&Item> {
        self.turns().into_iter().flat_map(|turn| &turn.items).collect()
    }

    /// Oldest first.
    fn turns(&self) -> Vec<&Turn> {
        let mut turns: Vec<&Turn> =
            std::iter::successors(Some(&*self.0), |turn| turn.before.as_ref().map(|h| &*h.0))
                .collect();
        turns.reverse();
        turns
    }

    /// Whether it is this conversation.
    fn is(&self, request: &CreateResponse, items: &[&Item]) -> bool {
        let mut rest = items;
        for turn in self.turns() {
            let Some((these, others)) = rest.split_at_checked(turn.items.len()) else {
                return false;
            };
            if !turn.items.iter().eq(these.iter().copied()) {
                return false;
            }
            rest = others;
        }
        rest.is_empty() && self.0.front.is_of(request)
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History").field("n_tokens", &self.0.n_tokens).finish_non_exhaustive()
    }
}

impl Drop for Turn {
    /// One after the other: a long conversation would exhaust the stack.
    fn drop(&mut self) {
        let mut before = self.before.take();
        while let Some(History(turn)) = before {
            before = Arc::into_inner(turn).and_then(|mut turn| turn.before.take());
        }
    }
}

/// Histories by what they say.
#[derive(Debug, Default)]
pub(crate) struct Histories {
    hasher: DefaultHashBuilder,
    held: Arc<AtomicUsize>,
    shelf: Mutex<Shelf>,
}

#[derive(Debug, Default)]
struct Shelf {
    by_digest: HashMap<u64, (u64, History)>,
    /// The longest unused first.
    by_use: BTreeMap<u64, u64>,
    n_uses: u64,
}

/// Some of the memory for histories.
#[derive(Debug)]
struct Share {
    held: Arc<AtomicUsize>,
    n_bytes: usize,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.held.fetch_sub(self.n_bytes, Ordering::Relaxed);
    }
}

impl Histories {
    /// The conversation of a request, after what it goes on from, with its ids.
    pub(crate) fn read(
        &self,
        service: &Service,
        past: Option<&Past>,
        request: &CreateResponse,
    ) -> Result<History, ErrorBody> {
        let said = request.input.items();
        let known = past.filter(|past| past.history.0.front.is_of(request));
        let history = if let Some(past) = known {
            let more: Vec<&Item> = past.said.iter().chain(said.iter()).collect();
            self.grown(service, &past.history, &more)
        } else {
            None
        };
        let history = if let Some(history) = history {
            history
        } else {
            let before = past.map(Past::items).into_iter().flatten();
            let items: Vec<&Item> = before.chain(said.iter()).collect();
            self.found_or_whole(service, request, &items)?
        };
        self.keep(&history);
        Ok(history)
    }

    /// The conversation of a request that another engine answers, without ids: whoever goes on from it here has
    /// it rendered whole.
    pub(crate) fn unread(&self, past: Option<&Past>, request: &CreateResponse) -> History {
        let said = request.input.items();
        let more: Vec<&Item> =
            past.into_iter().flat_map(|past| &past.said).chain(said.iter()).collect();
        let before = past.map(|past| past.history.clone());
        self.turn(before, Arc::new(Front::of(request)), &more, Vec::new(), None, 0)
    }

    fn found_or_whole(
        &self,
        service: &Service,
        request: &CreateResponse,
        items: &[&Item],
    ) -> Result<History, ErrorBody> {
        let digests = self.digests(request, items);
        // The longest that is known.
        for (n, &digest) in digests.iter().enumerate().rev() {
            let Some(history) = self.find(digest) else { continue };
            if !history.is(request, &items[..=n]) {
                continue;
            }
            if n + 1 == items.len() {
                return Ok(history);
            }
            if let Some(longer) = self.grown(service, &history, &items[n + 1..]) {
                return Ok(longer);
            }
        }
        let front = Front::of(request);
        let conversation = Conversation::new(&front, items.iter().copied(), service.template());
        let (ids, end) = service.encode_whole(&conversation)?;
        let digest = digests.last().copied().unwrap_or_default();
        Ok(self.turn(None, Arc::new(front), items, ids, end, digest))
    }

    /// A longer one, if its ids can be told from what is new.
    fn grown(&self, service: &Service, before: &History, items: &[&Item]) -> Option<History> {
        let (ending, _) = before.0.end.as_ref()?;
        let turns = more(items.iter().copied(), service.template(), ending.n_calls)?;
        let (mut ids, n_opening) =
            service.template().encode_more(service.tokenizer(), *ending, &turns)?;
        let opening = ids.split_off(ids.len() - n_opening);
        let end = ending.after(&turns).map(|ending| (ending, opening))?;
        let front = Arc::clone(&before.0.front);
        let digest = items.iter().fold(before.0.digest, |digest, item| self.digest(digest, item));
        Some(self.turn(Some(before.clone()), front, items, ids, Some(end), digest))
    }

    fn turn(
        &self,
        before: Option<History>,
        front: Arc<Front>,
        items: &[&Item],
        ids: Vec<u32>,
        end: End,
        digest: u64,
    ) -> History {
        let items: Vec<Item> = items.iter().copied().cloned().collect();
        let texts: usize = items.iter().map(|item| size_of::<Item>() + item.text().len()).sum();
        let n_bytes = TURN_BYTES + texts + size_of_val(&ids[..]);
        self.held.fetch_add(n_bytes, Ordering::Relaxed);
        let share = Share { held: Arc::clone(&self.held), n_bytes };
        let n_tokens = before.as_ref().map_or(0, |before| before.0.n_tokens) + ids.len();
        History(Arc::new(Turn { before, front, items, ids, n_tokens, end, digest, _share: share }))
    }

    /// The digest of each beginning of a conversation.
    fn digests(&self, request: &CreateResponse, items: &[&Item]) -> Vec<u64> {
        let mut hasher = self.hasher.build_hasher();
        request.instructions.hash(&mut hasher);
        request.tools.iter().for_each(|tool| tool.name.hash(&mut hasher));
        let mut digest = hasher.finish();
        let next = |item: &&Item| {
            digest = self.digest(digest, item);
            digest
        };
        items.iter().map(next).collect()
    }

    fn digest(&self, before: u64, item: &Item) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        before.hash(&mut hasher);
        std::mem::discriminant(item).hash(&mut hasher);
        item.text().hash(&mut hasher);
        hasher.finish()
    }

    fn find(&self, digest: u64) -> Option<History> {
        let shelf = &mut *self.lock();
        let (used, history) = shelf.by_digest.get_mut(&digest)?;
        shelf.by_use.remove(used);
        shelf.n_uses += 1;
        *used = shelf.n_uses;
        shelf.by_use.insert(*used, digest);
        Some(history.clone())
    }

    /// Keeps a history for whoever says the same, and fewer of the others.
    fn keep(&self, history: &History) {
        let mut shelf = self.lock();
        shelf.n_uses += 1;
        let (used, digest) = (shelf.n_uses, history.0.digest);
        shelf.by_use.insert(used, digest);
        if let Some((used, _)) = shelf.by_digest.insert(digest, (used, history.clone())) {
            shelf.by_use.remove(&used);
        }
        while self.is_full() {
            let Some((_, digest)) = shelf.by_use.pop_first() else { break };
            // Its memory is free at once, so that no more go than have to.
            drop(shelf.by_digest.remove(&digest));
        }
    }

    /// Whether no more may be held, not even by a connection.
    pub(crate) fn is_full(&self) -> bool {
        self.held.load(Ordering::Relaxed) > BYTES_MAX
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

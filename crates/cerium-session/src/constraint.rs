//! Answers that keep to a grammar: the shape that a text must have, and the calls that a model may make.
//!
//! A request is turned into one grammar for the whole answer ([`grammar`]), over the bytes of the model's own
//! tokens ([`vocabulary`]). While the answer is written, a [`Follower`] says at each place which tokens lead on,
//! and which text has to come whatever the model thinks.

mod grammar;
mod patch;
mod quotes;
mod vocabulary;

#[cfg(test)]
mod tests;

pub(crate) use grammar::{Asked, Thinks};

use cerium_engine::Mask;
use cerium_model::tokenizer::Tokenizer;
use cerium_protocol::ErrorBody;
use llguidance::toktrie::SimpleVob;
use llguidance::{Matcher, ParserFactory};
use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

/// Stack for reading a grammar: some hundred bytes for each byte of the longest that is served.
const STACK_BYTES: usize = 512 << 20;

/// Grammars that are kept ready: clients send the same one again and again.
const N_KEPT: usize = 8;

/// Reads the grammars of one model.
pub(crate) struct Constraints {
    tokenizer: Arc<Tokenizer>,
    ends: Vec<u32>,
    /// Made when it is first needed: a tenth of a second for 150,000 tokens.
    factory: OnceLock<Option<ParserFactory>>,
    /// The last ones used, with what was learned of them.
    kept: Mutex<VecDeque<Kept>>,
}

/// A grammar that was read.
#[derive(Clone)]
struct Kept {
    key: String,
    matcher: Matcher,
    /// It became too costly to follow. What followers learn of a grammar is shared, this too.
    failed: Arc<AtomicBool>,
}

impl Constraints {
    pub(crate) fn new(tokenizer: Arc<Tokenizer>, ends: Vec<u32>) -> Self {
        Self { tokenizer, ends, factory: OnceLock::new(), kept: Mutex::default() }
    }

    /// What follows an answer as it is asked for; `None` where anything may be said. `prefix`: what the answer has
    /// of its text already.
    ///
    /// # Errors
    /// `invalid_value`, with the reason, for a schema or grammar that cannot be followed.
    pub(crate) fn follow(
        &self,
        asked: &Asked<'_>,
        prefix: &[u32],
    ) -> Result<Option<Follower>, ErrorBody> {
        let Some(whole) = grammar::of(asked, &self.tokenizer, true)? else { return Ok(None) };
        let Kept { mut matcher, failed, .. } = match self.kept(&whole) {
            Ok(kept) => kept,
            // What nobody called strict is followed where it can be.
            Err(why) => match grammar::of(asked, &self.tokenizer, false)? {
                Some(loose) if loose != whole => {
                    self.kept(&loose).map_err(|why| grammar::invalid(asked, &why))?
                }
                _ => return Err(grammar::invalid(asked, &why)),
            },
        };
        if !prefix.is_empty() && matcher.consume_tokens(prefix).is_err() {
            let what = "the answer cannot begin with this: its shape does not allow it";
            return Err(ErrorBody::invalid("cerium.prefix", what));
        }
        let lost = Arc::default();
        Ok(Some(Follower { matcher, ends: self.ends_set(), allowed: None, failed, lost }))
    }

    fn kept(&self, grammar: &grammar::Grammar) -> Result<Kept, String> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|it| !it.failed.load(Ordering::Relaxed));
        let key = grammar.key();
        if let Some(i) = kept.iter().position(|it| it.key == key) {
            let found = kept.remove(i).expect("it was found");
            kept.push_back(found.clone());
            return Ok(found);
        }
        drop(kept);
        let factory = self.factory.get_or_init(|| vocabulary::factory(&self.tokenizer, &self.ends));
        let factory = factory.as_ref().ok_or("this model's tokens cannot be followed")?;
        let read = Kept { key, matcher: read(factory, grammar)?, failed: Arc::default() };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        while kept.len() >= N_KEPT {
            kept.pop_front();
        }
        kept.push_back(read.clone());
        Ok(read)
    }

    fn ends_set(&self) -> Vec<u32> {
        let mut set = vec![0; self.tokenizer.n_vocab().div_ceil(32)];
        for &id in &self.ends {
            set[id as usize / 32] |= 1 << (id % 32);
        }
        set
    }
}

impl fmt::Debug for Constraints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Constraints").finish_non_exhaustive()
    }
}

/// Reads a grammar, on a thread of its own: that recurses as deep as the grammar nests. Unused stack takes no
/// memory.
fn read(factory: &ParserFactory, grammar: &grammar::Grammar) -> Result<Matcher, String> {
    let work = || Matcher::new(factory.create_parser(grammar.top_level()));
    let matcher = thread::scope(|scope| {
        let thread = thread::Builder::new().name("grammar".to_owned()).stack_size(STACK_BYTES);
        let thread = thread.spawn_scoped(scope, work).map_err(|error| error.to_string())?;
        thread.join().map_err(|_| "it cannot be read".to_owned())
    })?;
    match matcher.get_error() {
        Some(why) => Err(why),
        None => Ok(matcher),
    }
}

/// Follows one answer.
pub(crate) struct Follower {
    matcher: Matcher,
    /// The tokens that end an answer: what is left when a grammar became too costly to follow.
    ends: Vec<u32>,
    allowed: Option<SimpleVob>,
    failed: Arc<AtomicBool>,
    /// The answer ends for that reason.
    lost: Arc<AtomicBool>,
}

impl Follower {
    /// Tells, once the answer has ended, whether it was because its grammar could not be followed further.
    pub(crate) fn lost(&self) -> Lost {
        Lost(Arc::clone(&self.lost))
    }
}

/// Whether an answer lost its grammar.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lost(Arc<AtomicBool>);

impl Lost {
    pub(crate) fn is(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Mask for Follower {
    fn allowed(&mut self) -> &[u32] {
        if self.allowed.is_none() {
            self.allowed = self.matcher.compute_mask_or_eos().ok();
            if self.allowed.is_none() {
                self.failed.store(true, Ordering::Relaxed);
                self.lost.store(true, Ordering::Relaxed);
            }
        }
        match &self.allowed {
            Some(allowed) => allowed.as_slice(),
            None => &self.ends,
        }
    }

    fn accept(&mut self, id: u32) {
        self.allowed = None;
        // A failure shows in what is allowed next.
        if !self.matcher.is_stopped() {
            let _ = self.matcher.consume_token(id);
        }
    }

    fn forced(&mut self, n_max: usize) -> Vec<u32> {
        let mut ids =
            if self.matcher.is_stopped() { Vec::new() } else { self.matcher.compute_ff_tokens() };
        ids.truncate(n_max);
        ids
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower")
            .field("stopped", &self.matcher.is_stopped())
            .finish_non_exhaustive()
    }
}

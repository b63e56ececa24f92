//! Drafts from a predicted text: what an answer will probably look like, mostly the text that it
//! changes.
//!
//! The text that is written is followed word by word along the predicted one ([`follow`]), so that
//! after a change the draft goes on where the two meet again. What was changed once is changed in the
//! rest of the predicted text as well ([`changes`]), which is then followed like any text. Then the
//! continuation becomes tokens in the context of those that stand before it.

mod changes;
mod follow;
mod lexemes;
mod names;

#[cfg(test)]
mod tests;

use cerium_engine::{Draft, DraftKind, Drafter};
use cerium_model::tokenizer::Tokenizer;
use changes::Changes;
use follow::Follow;
use lexemes::{Class, Lexemes, next};
use std::fmt;
use std::sync::Arc;

/// Tokens before a draft that it is cut into tokens with.
const N_CONTEXT_TOKENS: usize = 4;

/// Bytes of text taken for a token of a draft; code has some four.
const TOKEN_BYTES: usize = 6;

/// Follows an answer along its predicted text.
pub struct Prediction {
    tokenizer: Arc<Tokenizer>,
    trace: Trace,
    /// Where each generated token begins.
    starts: Vec<usize>,
}

impl Prediction {
    /// Expects an answer that begins with `prefix`, which is not generated, to look like `text`.
    /// `changing`: whether changes seen are made again.
    pub fn new(tokenizer: Arc<Tokenizer>, prefix: &str, text: &str, changing: bool) -> Self {
        let mut trace = Trace::new(text, changing);
        trace.push(prefix.as_bytes());
        Self { tokenizer, trace, starts: Vec::new() }
    }

    /// Tokens of a text that follows `output`.
    fn tokens(&self, output: &[u32], text: &[u8]) -> Option<Vec<u32>> {
        let written = &self.trace.written;
        let from = output.len().saturating_sub(N_CONTEXT_TOKENS);
        let start = self.starts.get(from).copied().unwrap_or(written.len());
        let whole = [&written[start..], text].concat();
        if let Ok(whole) = str::from_utf8(&whole) {
            let ids = self.tokenizer.encode(whole);
            if let Some(ids) = ids.strip_prefix(&output[from..]) {
                return Some(ids.to_vec());
            }
        }
        // The model cut its last words otherwise than the tokenizer would.
        Some(self.tokenizer.encode(str::from_utf8(text).ok()?))
    }
}

impl Drafter for Prediction {
    fn draft(&mut self, output: &[u32], n_max: usize) -> Option<Draft> {
        for &id in &output[self.starts.len()..] {
            self.starts.push(self.trace.written.len());
            self.trace.push(self.tokenizer.token_bytes(id));
        }
        let ahead = self.trace.ahead(n_max * TOKEN_BYTES);
        let mut ids = self.tokens(output, &ahead.text)?;
        ids.truncate(n_max);
        let kind = if ahead.changed { DraftKind::Transduced } else { DraftKind::Copy };
        (!ids.is_empty()).then_some(Draft { ids, kind, support: ahead.support })
    }
}

impl fmt::Debug for Prediction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prediction").field("starts", &self.starts).finish_non_exhaustive()
    }
}

/// A text that is written, followed along an older one.
#[derive(Debug)]
struct Trace {
    old: Lexemes,
    follow: Follow,
    /// Absent when what stands in the older text is all that is expected.
    changes: Option<Changes>,
    written: Vec<u8>,
    /// Bytes of it that were followed: whole lexemes.
    n_followed: usize,
}

/// What is expected next.
#[derive(Debug)]
struct Ahead {
    text: Vec<u8>,
    /// Whether it holds something that is not in the older text.
    changed: bool,
    support: usize,
}

impl Trace {
    fn new(text: &str, changing: bool) -> Self {
        let old = Lexemes::of(text.as_bytes());
        let follow = Follow::new(old.len());
        let changes = changing.then(|| Changes::new(&old));
        Self { old, follow, changes, written: Vec::new(), n_followed: 0 }
    }

    /// Takes what was written, and follows all of it that is whole.
    fn push(&mut self, bytes: &[u8]) {
        self.written.extend_from_slice(bytes);
        while let Some((class, n)) = next(&self.written[self.n_followed..]) {
            let end = self.n_followed + n;
            if end == self.written.len() && class != Class::Mark {
                break; // It may go on.
            }
            let lexeme = &self.written[self.n_followed..end];
            let place = self.follow.advance(&self.old, lexeme);
            if let Some(changes) = &mut self.changes
                && changes.saw(&mut self.old, lexeme, place)
            {
                self.follow.forget_after(place.old, self.old.len());
            }
            self.n_followed = end;
        }
    }

    /// At least `n_bytes` of what is expected, if there is so much.
    fn ahead(&mut self, n_bytes: usize) -> Ahead {
        let next = self.follow.ahead(&self.old, &self.written[self.n_followed..]);
        let mut text = next.rest.to_vec();
        let mut changed = !text.is_empty() && self.old.is_changed(next.place - 1);
        for i in next.place..self.old.len() {
            if text.len() >= n_bytes {
                break;
            }
            text.extend_from_slice(self.old.bytes(i));
            changed |= self.old.is_changed(i);
        }
        Ahead { text, changed, support: next.support }
    }
}

//! What may be generated, where not everything may.
//!
//! A mask follows a generation token by token. Tokens that it does not allow count as impossible before one
//! is chosen, greedily or by a draw, so a draft is followed only as far as the mask and the model agree with it.
//! What a mask leaves no choice about need not wait for the model: it is drafted.

use std::fmt;

/// Bounds a generation to some language.
pub trait Mask: fmt::Debug + Send {
    /// The tokens that may come next, as bits: token `i` is bit `i % 32` of word `i / 32`, and tokens beyond
    /// the words may not. It runs on the engine's thread: a small part of a step's time.
    fn allowed(&mut self) -> &[u32];

    /// Goes on after a token that was generated.
    fn accept(&mut self, id: u32);

    /// At most `n_max` tokens that follow whatever the model thinks. A model may still cut the same text into
    /// other tokens.
    fn forced(&mut self, n_max: usize) -> Vec<u32>;
}

//! SentencePiece's BPE: characters join into the neighbour pair whose piece scores best; what the
//! vocabulary lacks falls back to bytes.
//!
//! Follows `bpe_model.cc` of the `sentencepiece` project. Not supported, because no model here
//! needs it: pieces marked unused, the unigram model, normalisers other than identity.

use std::borrow::Cow;

use super::{
    TokenizerError,
    merge::{self, Rules, Scratch},
    recent::Recent,
    vocab::{Kind, SPACE_MARK, Vocab},
};
use crate::{
    LoadError,
    gguf::{Gguf, Strings, optional},
};

const NO_TOKEN: u32 = u32::MAX;

/// Scores and fallbacks.
#[derive(Debug)]
pub(super) struct SentencePiece {
    /// Per token: the lower, the earlier it is formed.
    ranks: Vec<u32>,
    byte_tokens: Box<[u32; 256]>,
    unknown: Option<u32>,
    /// Whether text gets a space in front.
    adds_space: bool,
    /// Whether no piece holds a space after something else; then no merge crosses such a place.
    spaces_lead: bool,
}

/// A piece of the text being merged: its bytes, and the token that they are, if any.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    start: u32,
    end: u32,
    id: u32,
}

struct Pieces<'a> {
    vocab: &'a Vocab,
    ranks: &'a [u32],
    text: &'a [u8],
}

impl Rules for Pieces<'_> {
    type Symbol = Piece;

    fn join(&self, left: Piece, right: Piece) -> Option<(u32, Piece)> {
        let id = self.vocab.find(&self.text[left.start as usize..right.end as usize])?;
        Some((self.ranks[id as usize], Piece { start: left.start, end: right.end, id }))
    }
}

impl SentencePiece {
    pub(super) fn from_gguf(
        gguf: &Gguf,
        vocab: &Vocab,
        texts: &Strings,
    ) -> Result<Self, LoadError> {
        let key = "tokenizer.ggml.scores";
        let scores = gguf.f32s(key)?;
        if scores.len() != vocab.len() {
            let (found, n_vocab) = (scores.len(), vocab.len());
            return Err(TokenizerError::Length { key, found, n_vocab }.into());
        }
        let mut byte_tokens = Box::new([NO_TOKEN; 256]);
        let mut unknown = optional(gguf.u32("tokenizer.ggml.unknown_token_id"))?;
        let mut spaces_lead = true;
        for ((id, kind), text) in vocab.iter().zip(texts.iter()) {
            match kind {
                Kind::Byte => byte_tokens[usize::from(vocab.bytes(id)[0])] = id,
                Kind::Unknown => unknown = unknown.or(Some(id)),
                Kind::Normal => {
                    let mut chars = text.chars().skip_while(|&c| c == SPACE_MARK);
                    spaces_lead &= !chars.any(|c| c == SPACE_MARK);
                }
                _ => {}
            }
        }
        Ok(Self {
            ranks: scores.iter().map(|&score| rank(score)).collect(),
            byte_tokens,
            unknown,
            adds_space: optional(gguf.bool("tokenizer.ggml.add_space_prefix"))?.unwrap_or(true),
            spaces_lead,
        })
    }

    /// A text as its user-defined tokens and merges are looked for: with a space in front if the
    /// model wants one, and with SentencePiece's mark for a space, which cannot be told from a
    /// space, as one.
    pub(super) fn normalise<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let adds_space = self.adds_space && !text.is_empty();
        if !adds_space && !text.contains(SPACE_MARK) {
            return text.into();
        }
        let space = if adds_space { " " } else { "" };
        format!("{space}{}", text.replace(SPACE_MARK, " ")).into()
    }

    /// Appends the ids of a normalised text that holds no special tokens.
    pub(super) fn encode<'t>(
        &self,
        vocab: &Vocab,
        text: &'t str,
        recent: &mut Recent<'t, Piece>,
        ids: &mut Vec<u32>,
    ) {
        let mut rest = text;
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(self.chunk_len(rest));
            recent.encode(chunk, ids, |scratch, ids| {
                self.encode_chunk(vocab, chunk, scratch, ids);
            });
            rest = after;
        }
    }

    /// Length of the longest prefix worth merging by itself: up to the first space that follows
    /// something else, if no piece could cross it.
    fn chunk_len(&self, text: &str) -> usize {
        if !self.spaces_lead {
            return text.len();
        }
        let n_spaces = text.bytes().take_while(|&byte| byte == b' ').count();
        let n_others = text.bytes().skip(n_spaces).take_while(|&byte| byte != b' ').count();
        n_spaces + n_others
    }

    fn encode_chunk(
        &self,
        vocab: &Vocab,
        chunk: &str,
        scratch: &mut Scratch<Piece>,
        ids: &mut Vec<u32>,
    ) {
        assert!(chunk.len() < NO_TOKEN as usize, "a chunk of 4 GiB: callers bound their text");
        scratch.symbols.clear();
        scratch.symbols.extend(chunk.char_indices().map(|(start, c)| {
            let end = start + c.len_utf8();
            let id = vocab.find(&chunk.as_bytes()[start..end]).unwrap_or(NO_TOKEN);
            Piece { start: start as u32, end: end as u32, id }
        }));
        merge::merge(&Pieces { vocab, ranks: &self.ranks, text: chunk.as_bytes() }, scratch);
        let mut after_unknown = false;
        for &Piece { start, end, id } in &scratch.symbols {
            if id != NO_TOKEN {
                ids.push(id);
                after_unknown = false;
                continue;
            }
            let spelled = spelled(&chunk[start as usize..end as usize]);
            let tokens = spelled.bytes().map(|byte| self.byte_tokens[usize::from(byte)]);
            if tokens.clone().all(|token| token != NO_TOKEN) {
                ids.extend(tokens);
                after_unknown = false;
            } else if !after_unknown {
                ids.extend(self.unknown);
                after_unknown = true;
            }
        }
    }
}

/// Bytes fall back as SentencePiece holds them, with spaces marked.
fn spelled(piece: &str) -> Cow<'_, str> {
    if piece.contains(' ') {
        piece.replace(' ', SPACE_MARK.encode_utf8(&mut [0; 4])).into()
    } else {
        piece.into()
    }
}

/// Higher scores first; equal scores have equal ranks.
fn rank(score: f32) -> u32 {
    // Adding 0.0 makes -0.0 and 0.0 one; then the bits of floats sort as integers, but for sign.
    let bits = (score + 0.0).to_bits();
    let ascending = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    (!ascending).min(u32::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::rank;

    #[test]
    fn better_scores_rank_first() {
        let scores = [f32::INFINITY, 3.5, 0.0, -0.5, -7.0, -1e9, f32::NEG_INFINITY];
        assert!(scores.map(rank).is_sorted_by(|a, b| a < b));
        assert_eq!(rank(0.0), rank(-0.0));
    }
}

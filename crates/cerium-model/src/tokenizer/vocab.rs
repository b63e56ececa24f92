//! What each token stands for, and the token that stands for given bytes.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::{TokenizerError, byte_level};
use crate::gguf::Strings;

/// Ids are stored with room to spare below `u32::MAX`; the largest real vocabularies have 262,144.
const N_VOCAB_MAX: usize = 1 << 24;

/// SentencePiece writes spaces as this character.
pub(super) const SPACE_MARK: char = '\u{2581}';

/// What a token is for; `tokenizer.ggml.token_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

/// The kinds that a file's numbers stand for.
pub(super) fn kinds(numbers: &[i32], texts: &Strings) -> Result<Vec<Kind>, TokenizerError> {
    if numbers.len() != texts.len() {
        let key = "tokenizer.ggml.token_type";
        return Err(TokenizerError::Length { key, found: numbers.len(), n_vocab: texts.len() });
    }
    numbers
        .iter()
        .enumerate()
        .map(|(id, &number)| match number {
            // 0 is "undefined": old converters left it so for ordinary tokens.
            0 | 1 => Ok(Kind::Normal),
            2 => Ok(Kind::Unknown),
            3 => Ok(Kind::Control),
            4 => Ok(Kind::UserDefined),
            5 => Ok(Kind::Unused),
            6 => Ok(Kind::Byte),
            found => Err(TokenizerError::TokenType { id, found }),
        })
        .collect()
}

/// All tokens. Hashes are seeded at random, so that no file can be made to collide.
#[derive(Debug)]
pub(super) struct Vocab {
    bytes: Vec<u8>,
    /// Where each token's bytes end in `bytes`; they start where the ones before end.
    ends: Vec<u32>,
    kinds: Vec<Kind>,
    /// Ids of the tokens that text can be merged into, by their bytes.
    by_bytes: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// Length of the longest token in `by_bytes`, in bytes.
    n_bytes_max: usize,
}

impl Vocab {
    /// Tokens spelled in GPT-2's byte characters.
    pub(super) fn byte_level(texts: &Strings, kinds: Vec<Kind>) -> Result<Self, TokenizerError> {
        Self::new(texts, kinds, |_, text, kind, bytes| {
            if kind == Kind::Normal && byte_level::append_bytes(text, bytes) {
                return Ok(true);
            }
            // Added tokens are plain text; so is, to every decoder, an entry in no byte spelling.
            bytes.extend_from_slice(text.as_bytes());
            Ok(false)
        })
    }

    /// Tokens spelled as SentencePiece does.
    pub(super) fn sentencepiece(texts: &Strings, kinds: Vec<Kind>) -> Result<Self, TokenizerError> {
        Self::new(texts, kinds, |id, text, kind, bytes| {
            if kind == Kind::Byte {
                let byte = byte_token(text)
                    .ok_or_else(|| TokenizerError::Byte { id, text: text.to_owned() })?;
                bytes.push(byte);
                return Ok(false);
            }
            let mut buffer = [0; 4];
            for c in text.chars() {
                let c = if c == SPACE_MARK { ' ' } else { c };
                bytes.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
            }
            // Text reaches the merges with its spaces marked: a bare space is never matched.
            Ok(kind == Kind::Normal && !text.contains(' '))
        })
    }

    /// `append` adds a token's bytes and says whether merges may yield it.
    fn new(
        texts: &Strings,
        kinds: Vec<Kind>,
        mut append: impl FnMut(usize, &str, Kind, &mut Vec<u8>) -> Result<bool, TokenizerError>,
    ) -> Result<Self, TokenizerError> {
        if texts.is_empty() || texts.len() > N_VOCAB_MAX {
            return Err(TokenizerError::Size { found: texts.len(), limit: N_VOCAB_MAX });
        }
        let mut vocab = Self {
            bytes: Vec::new(),
            ends: Vec::with_capacity(texts.len()),
            by_bytes: HashTable::with_capacity(texts.len()),
            hasher: DefaultHashBuilder::default(),
            kinds,
            n_bytes_max: 0,
        };
        for (id, text) in texts.iter().enumerate() {
            let start = vocab.bytes.len();
            let can_merge = append(id, text, vocab.kinds[id], &mut vocab.bytes)?;
            let n_bytes = vocab.bytes.len() - start;
            let end = u32::try_from(vocab.bytes.len())
                .map_err(|_| TokenizerError::Size { found: texts.len(), limit: N_VOCAB_MAX })?;
            vocab.ends.push(end);
            if can_merge && n_bytes > 0 {
                vocab.insert(id as u32);
                vocab.n_bytes_max = vocab.n_bytes_max.max(n_bytes);
            }
        }
        Ok(vocab)
    }

    /// Of two tokens with the same bytes the later one counts, as in every dictionary.
    fn insert(&mut self, id: u32) {
        let Self { bytes, ends, by_bytes, hasher, .. } = self;
        let wanted = slice(bytes, ends, id);
        let entry = by_bytes.entry(
            hasher.hash_one(wanted),
            |&other| slice(bytes, ends, other) == wanted,
            |&other| hasher.hash_one(slice(bytes, ends, other)),
        );
        entry.insert(id);
    }

    /// The ordinary token that stands for exactly these bytes.
    pub(super) fn find(&self, bytes: &[u8]) -> Option<u32> {
        if bytes.len() > self.n_bytes_max {
            return None;
        }
        let hash = self.hasher.hash_one(bytes);
        self.by_bytes.find(hash, |&id| slice(&self.bytes, &self.ends, id) == bytes).copied()
    }

    /// What a token stands for in text.
    pub(super) fn bytes(&self, id: u32) -> &[u8] {
        match self.kind(id) {
            Some(Kind::Normal | Kind::UserDefined | Kind::Byte) => {
                slice(&self.bytes, &self.ends, id)
            }
            Some(Kind::Control | Kind::Unused | Kind::Unknown) | None => &[],
        }
    }

    pub(super) fn kind(&self, id: u32) -> Option<Kind> {
        self.kinds.get(id as usize).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.kinds.len()
    }

    /// Every id with its kind.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, Kind)> {
        (0..).zip(self.kinds.iter().copied())
    }
}

fn slice<'a>(bytes: &'a [u8], ends: &[u32], id: u32) -> &'a [u8] {
    let idx = id as usize;
    let start = if idx == 0 { 0 } else { ends[idx - 1] };
    &bytes[start as usize..ends[idx] as usize]
}

/// The byte of `<0x0A>`.
fn byte_token(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() == 2 { u8::from_str_radix(digits, 16).ok() } else { None }
}

//! Byte-level BPE: a word's bytes become tokens, tokens join by the file's list of merges.

use hashbrown::HashMap;

use super::{
    TokenizerError, byte_level,
    merge::{self, Rules, Scratch},
    recent::Recent,
    split::PreTokenizer,
    vocab::Vocab,
};
use crate::{
    LoadError,
    gguf::{Gguf, optional},
};

/// No token: some vocabularies lack bytes that valid or usual text does not hold.
const NO_TOKEN: u32 = u32::MAX;

/// Merge rules and the splitter that bounds them.
#[derive(Debug)]
pub(super) struct Bpe {
    split: PreTokenizer,
    byte_tokens: Box<[u32; 256]>,
    merges: Merges,
}

/// A pair of tokens (left in the upper half) to its rank and the token it becomes.
#[derive(Debug)]
struct Merges(HashMap<u64, (u32, u32)>);

impl Rules for Merges {
    type Symbol = u32;

    fn join(&self, left: u32, right: u32) -> Option<(u32, u32)> {
        self.0.get(&pair(left, right)).copied()
    }
}

fn pair(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

impl Bpe {
    pub(super) fn from_gguf(gguf: &Gguf, vocab: &Vocab) -> Result<Self, LoadError> {
        let name = optional(gguf.str("tokenizer.ggml.pre"))?.unwrap_or("default");
        let split = PreTokenizer::from_name(name)
            .ok_or_else(|| TokenizerError::PreTokenizer { found: name.to_owned() })?;
        let mut byte_tokens = Box::new([NO_TOKEN; 256]);
        for byte in 0..=255u8 {
            byte_tokens[usize::from(byte)] = vocab.find(&[byte]).unwrap_or(NO_TOKEN);
        }
        let texts = gguf.strings("tokenizer.ggml.merges")?;
        let mut merges = HashMap::with_capacity(texts.len());
        let mut bytes = Vec::new();
        for (rank, text) in (0..NO_TOKEN).zip(texts.iter()) {
            let error = |problem| TokenizerError::Merge {
                index: rank as usize,
                text: text.to_owned(),
                problem,
            };
            // A token may begin with a bare space in no byte spelling, but never end with one.
            let (at, _) = text
                .char_indices()
                .skip(1)
                .find(|&(_, c)| c == ' ')
                .ok_or_else(|| error("it has no space between two tokens"))?;
            bytes.clear();
            let spelled = byte_level::append_bytes(&text[..at], &mut bytes);
            let middle = bytes.len();
            if !spelled || !byte_level::append_bytes(&text[at + 1..], &mut bytes) {
                return Err(error("it is not in GPT-2's byte characters").into());
            }
            let find = |bytes: &[u8], problem| vocab.find(bytes).ok_or_else(|| error(problem));
            let left = find(&bytes[..middle], "the first part is not an ordinary token")?;
            let right = find(&bytes[middle..], "the second part is not an ordinary token")?;
            let joined = find(&bytes, "the joined token is not an ordinary token")?;
            merges.insert(pair(left, right), (rank, joined));
        }
        Ok(Self { split, byte_tokens, merges: Merges(merges) })
    }

    /// Appends the ids of a text that holds no special tokens.
    pub(super) fn encode<'t>(
        &self,
        vocab: &Vocab,
        text: &'t str,
        recent: &mut Recent<'t, u32>,
        ids: &mut Vec<u32>,
    ) {
        self.split.split(text, &mut |word| {
            recent.encode(word, ids, |scratch, ids| self.encode_word(vocab, word, scratch, ids));
        });
    }

    fn encode_word(
        &self,
        vocab: &Vocab,
        word: &str,
        scratch: &mut Scratch<u32>,
        ids: &mut Vec<u32>,
    ) {
        if self.split.takes_whole_words()
            && let Some(id) = vocab.find(word.as_bytes())
        {
            return ids.push(id);
        }
        let tokens = word.bytes().map(|byte| self.byte_tokens[usize::from(byte)]);
        // A byte without a token is left out, as the reference does where the vocabulary names no
        // stand-in.
        scratch.symbols.clear();
        scratch.symbols.extend(tokens.filter(|&token| token != NO_TOKEN));
        merge::merge(&self.merges, scratch);
        ids.extend_from_slice(&scratch.symbols);
    }
}

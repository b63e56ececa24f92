//! Text to token ids and back, from the vocabulary that the model file itself carries.
//!
//! Two families cover the models that run here: byte-level BPE ("gpt2" in GGUF: Qwen, SmolLM2,
//! Llama 3) and SentencePiece's BPE ("llama": Gemma, Llama 2). [`Tokenizer::encode`] is for text
//! from people, files and tools: whatever it contains, no control token comes out.
//! [`Tokenizer::encode_special`] is for text that templates wrote.
//!
//! **Why own code** and not the `tokenizers` crate: that crate reads Hugging Face's JSON, which a
//! GGUF does not hold, so everything but the merge loop would be ours anyway (building its parts
//! from the file costs several times the load time measured here); it links a C regex engine that
//! backtracks, and it takes seconds over a long run of one character where the loop here is
//! `n log n`. Fidelity is checked, not assumed: ids are compared with Hugging Face's and Google's
//! implementations over real source files and hostile Unicode (`scripts/goldens/tokenizer.py`).
//!
//! Like llama.cpp, and unlike the JSON of some models, no Unicode normalisation is applied (GGUF
//! does not say that there should be any): an editor must give back the bytes it was given.
//!
//! Time is linear in the text but for a logarithm in the length of its longest word; memory is
//! some 40 bytes per byte of that word, so callers bound the text they pass.

mod bpe;
mod byte_level;
mod classes;
mod error;
mod merge;
mod recent;
mod roles;
mod sentencepiece;
mod special;
mod split;
mod vocab;

use crate::{
    LoadError,
    gguf::{Gguf, optional},
};

pub use error::TokenizerError;
pub use roles::Infill;

pub(crate) use special::Part;

use recent::Recent;
use roles::Roles;
use special::Specials;
use vocab::{Kind, Vocab};

/// A model's vocabulary and the way text is cut into it.
#[derive(Debug)]
pub struct Tokenizer {
    vocab: Vocab,
    scheme: Scheme,
    /// Tokens that plain text becomes although no merge yields them.
    user_defined: Specials,
    /// Tokens that plain text never becomes.
    control: Specials,
    roles: Roles,
}

#[derive(Debug)]
enum Scheme {
    ByteLevel(bpe::Bpe),
    SentencePiece(sentencepiece::SentencePiece),
}

impl Tokenizer {
    /// Reads the `tokenizer.ggml.*` keys.
    ///
    /// # Errors
    /// [`LoadError::Gguf`] for an absent or mistyped key, [`LoadError::Tokenizer`] for a kind of
    /// tokenizer that is not supported and for lists that contradict each other.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self, LoadError> {
        let model = gguf.str("tokenizer.ggml.model")?;
        let texts = gguf.strings("tokenizer.ggml.tokens")?;
        let kinds = match optional(gguf.i32s("tokenizer.ggml.token_type"))? {
            Some(numbers) => vocab::kinds(&numbers, texts)?,
            None => vec![Kind::Normal; texts.len()],
        };
        let (kinds, roles) = roles::assign(gguf, texts, kinds)?;
        let (vocab, scheme) = match model {
            "gpt2" => {
                let vocab = Vocab::byte_level(texts, kinds)?;
                let bpe = bpe::Bpe::from_gguf(gguf, &vocab)?;
                (vocab, Scheme::ByteLevel(bpe))
            }
            "llama" => {
                let vocab = Vocab::sentencepiece(texts, kinds)?;
                let spm = sentencepiece::SentencePiece::from_gguf(gguf, &vocab, texts)?;
                (vocab, Scheme::SentencePiece(spm))
            }
            other => return Err(TokenizerError::Model { found: other.to_owned() }.into()),
        };
        let user_defined = Specials::new(texts, &vocab, |kind| kind == Kind::UserDefined)?;
        let control =
            Specials::new(texts, &vocab, |kind| matches!(kind, Kind::Control | Kind::Unknown))?;
        Ok(Self { vocab, scheme, user_defined, control, roles })
    }

    /// Ids of plain text. Never a control token: `<|im_end|>` in a file is eight letters and some
    /// punctuation. A beginning-of-sequence token is not added.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::with_capacity(text.len() / 3);
        self.encode_onto(text, &mut ids);
        ids
    }

    /// Ids of text written by a template: the texts of special tokens become those tokens.
    /// A beginning-of-sequence token is not added.
    pub fn encode_special(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::with_capacity(text.len() / 3);
        self.cut_at_control(text, |part| match part {
            Part::Special(id) => ids.push(id),
            Part::Text(text) => self.encode_onto(text, &mut ids),
        });
        ids
    }

    fn encode_onto(&self, text: &str, ids: &mut Vec<u32>) {
        match &self.scheme {
            Scheme::ByteLevel(bpe) => {
                let mut recent = Recent::new(text.len());
                self.user_defined.cut(text, |part| match part {
                    Part::Special(id) => ids.push(id),
                    Part::Text(text) => bpe.encode(&self.vocab, text, &mut recent, ids),
                });
            }
            Scheme::SentencePiece(spm) => {
                let text = spm.normalise(text);
                let mut recent = Recent::new(text.len());
                self.user_defined.cut(&text, |part| match part {
                    Part::Special(id) => ids.push(id),
                    Part::Text(text) => spm.encode(&self.vocab, text, &mut recent, ids),
                });
            }
        }
    }

    /// The bytes that a token stands for: not always whole characters. Empty for control and
    /// unused tokens and for ids beyond the vocabulary.
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        self.vocab.bytes(id)
    }

    /// The bytes of several tokens. For SentencePiece vocabularies that prepend a space to every
    /// text, that space is still there.
    pub fn decode(&self, ids: &[u32]) -> Vec<u8> {
        ids.iter().flat_map(|&id| self.token_bytes(id)).copied().collect()
    }

    /// Whether a token steers the model rather than standing for text.
    pub fn is_control(&self, id: u32) -> bool {
        self.vocab.kind(id) == Some(Kind::Control)
    }

    /// The special token (control, unknown or user-defined) of a text.
    pub fn special(&self, text: &str) -> Option<u32> {
        self.control.get(text).or_else(|| self.user_defined.get(text))
    }

    /// Number of tokens; ids are below it.
    pub fn n_vocab(&self) -> usize {
        self.vocab.len()
    }

    /// The token that opens a sequence.
    pub fn bos(&self) -> Option<u32> {
        self.roles.bos
    }

    /// Whether the model expects [`bos`](Self::bos) before a plain prompt.
    pub fn adds_bos(&self) -> bool {
        self.roles.adds_bos
    }

    /// The token that closes a sequence.
    pub fn eos(&self) -> Option<u32> {
        self.roles.eos
    }

    /// Whether a token ends a generation: the end of a turn, of a text, of a sequence.
    pub fn is_end(&self, id: u32) -> bool {
        self.roles.ends.binary_search(&id).is_ok()
    }

    /// The tokens for filling in the middle, if the model has them.
    pub fn infill(&self) -> Option<&Infill> {
        self.roles.infill.as_ref()
    }

    /// The text of a control token, which no text becomes.
    pub fn control_text(&self, id: u32) -> Option<&str> {
        self.control.text(id)
    }

    /// The texts of all control tokens.
    pub(crate) fn control_texts(&self) -> impl Iterator<Item = &str> {
        self.control.texts()
    }

    /// Calls `part` with the control tokens in a text and the stretches between them, in order.
    pub(crate) fn cut_at_control<'t>(&self, text: &'t str, part: impl FnMut(Part<'t>)) {
        self.control.cut(text, part);
    }
}

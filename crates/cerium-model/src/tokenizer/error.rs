//! What can be wrong with a vocabulary.

/// Why the vocabulary of a model file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// A kind of tokenizer that is not implemented.
    #[error(
        "the file's tokenizer is `{found}`; `gpt2` (byte-level BPE) and `llama` (SentencePiece) are supported"
    )]
    Model {
        /// `tokenizer.ggml.model`.
        found: String,
    },
    /// A way to split text into words that is not implemented.
    #[error("the file's pre-tokenizer is `{found}`; supported are {}", super::split::NAMES.join(", "))]
    PreTokenizer {
        /// `tokenizer.ggml.pre`.
        found: String,
    },
    /// The vocabulary is empty or absurdly large.
    #[error("the vocabulary has {found} tokens; 1 to {limit} are possible")]
    Size {
        /// Number of tokens.
        found: usize,
        /// The largest number.
        limit: usize,
    },
    /// Two lists that go together have different lengths.
    #[error("`{key}` has {found} entries for {n_vocab} tokens")]
    Length {
        /// The list.
        key: &'static str,
        /// Its length.
        found: usize,
        /// The length it should have.
        n_vocab: usize,
    },
    /// A token of an unknown type.
    #[error("token {id} has type {found}; types 1 to 6 are known")]
    TokenType {
        /// The token.
        id: usize,
        /// Its type.
        found: i32,
    },
    /// A special token whose id is outside the vocabulary.
    #[error("`{key}` is {found}, but there are only {n_vocab} tokens")]
    Id {
        /// The key.
        key: String,
        /// The id.
        found: u32,
        /// Number of tokens.
        n_vocab: usize,
    },
    /// A merge rule that is not two tokens which make a third.
    #[error("merge {index} is {text:?}: {problem}")]
    Merge {
        /// Its place in the list.
        index: usize,
        /// The rule.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A byte token that does not name a byte.
    #[error("byte token {id} is {text:?}, not `<0x00>` to `<0xFF>`")]
    Byte {
        /// The token.
        id: usize,
        /// Its text.
        text: String,
    },
    /// The special tokens are too many or too long to search for.
    #[error("the special tokens cannot be searched for: {problem}")]
    Specials {
        /// What the search library said.
        problem: String,
    },
}

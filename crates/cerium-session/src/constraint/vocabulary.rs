//! A model's tokens as a trie of bytes, which grammars are followed along.

use cerium_model::tokenizer::Tokenizer;
use llguidance::ParserFactory;
use llguidance::api::ParserLimits;
use llguidance::toktrie::{
    InferenceCapabilities, TokEnv, TokRxInfo, TokTrie, TokenId, TokenizerEnv,
};
use std::sync::Arc;

/// What a grammar may cost: some 20 ms to read, a few milliseconds for a mask, tens of megabytes in all.
fn limits() -> ParserLimits {
    ParserLimits { max_lexer_states: 50_000, verbose_errors: false, ..ParserLimits::default() }
}

struct Vocabulary {
    trie: TokTrie,
    tokenizer: Arc<Tokenizer>,
}

impl TokenizerEnv for Vocabulary {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        self.trie.tokenize_with_greedy_fallback(bytes, |text| self.tokenizer.encode(text))
    }
}

/// Reads grammars for answers that one of `ends` closes.
pub(super) fn factory(tokenizer: &Arc<Tokenizer>, ends: &[u32]) -> Option<ParserFactory> {
    let n_vocab = u32::try_from(tokenizer.n_vocab()).ok()?;
    let word = |id: u32| match tokenizer.control_text(id) {
        // No text is spelled like this, so that none can be taken for a control token.
        Some(text) => [&[TokTrie::SPECIAL_TOKEN_MARKER], text.as_bytes()].concat(),
        None => tokenizer.token_bytes(id).to_vec(),
    };
    let words: Vec<Vec<u8>> = (0..n_vocab).map(word).collect();
    let first = ends.first().copied().unwrap_or(0);
    let trie = TokTrie::from(&TokRxInfo::new(n_vocab, first), &words).with_eos_tokens(ends);
    let vocabulary: TokEnv = Arc::new(Vocabulary { trie, tokenizer: Arc::clone(tokenizer) });
    let capabilities =
        InferenceCapabilities { ff_tokens: true, ..InferenceCapabilities::default() };
    let slices = llguidance::earley::SlicedBiasComputer::general_slices();
    let mut factory = ParserFactory::new(&vocabulary, capabilities, &slices).ok()?;
    *factory.limits_mut() = limits();
    factory.quiet();
    Some(factory)
}

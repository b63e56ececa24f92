//! Log-probabilities on their way out: they wait for the text of their tokens.

use cerium_engine::Likelihood;
use cerium_model::tokenizer::Tokenizer;
use cerium_protocol::{Logprob, TokenLogprob};
use std::collections::VecDeque;

/// Of tokens whose text is not shown yet, in order, with the place where it begins.
#[derive(Debug, Default)]
pub(crate) struct Likely(VecDeque<(usize, TokenLogprob)>);

impl Likely {
    /// * `start`: bytes of the text before the token
    pub(crate) fn push(
        &mut self,
        start: usize,
        tokenizer: &Tokenizer,
        id: u32,
        likelihood: &Likelihood,
    ) {
        let logprob = |id: u32, logprob: f32| {
            let bytes = tokenizer.token_bytes(id);
            let token = String::from_utf8_lossy(bytes).into_owned();
            // JSON has no infinity; this is how the published interface says it.
            Logprob { token, logprob: logprob.max(-9999.0), bytes: Some(bytes.to_vec()) }
        };
        let top_logprobs = likelihood.top.iter().map(|&(id, p)| logprob(id, p)).collect();
        let chosen = logprob(id, likelihood.logprob);
        self.0.push_back((start, TokenLogprob { chosen, top_logprobs }));
    }

    /// Takes those of tokens that have something among the first `n_shown` bytes.
    pub(crate) fn up_to(&mut self, n_shown: usize) -> Vec<TokenLogprob> {
        let n = self.0.partition_point(|&(start, _)| start < n_shown);
        self.0.drain(..n).map(|(_, it)| it).collect()
    }
}

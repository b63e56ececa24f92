//! Log-probabilities in the shape of this dialect: four lists side by side.

use crate::{Logprob, TokenLogprob};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Of the tokens of an answer, or of a piece of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(clippy::struct_field_names, reason = "they are the names on the wire")]
pub(super) struct Logprobs {
    tokens: Vec<String>,
    token_logprobs: Vec<f32>,
    /// The likeliest tokens and the chosen one; `null` where only chosen ones were asked for.
    top_logprobs: Option<Vec<BTreeMap<String, f32>>>,
    /// Where each token begins, in characters of the text.
    text_offset: Vec<usize>,
}

impl Logprobs {
    /// * `n_chars`: characters of the text before these tokens; then, with them
    pub(super) fn new(of: &[TokenLogprob], n_top: u32, n_chars: &mut usize) -> Self {
        let offset = |it: &TokenLogprob| {
            let begins = *n_chars;
            let bytes = it.chosen.bytes.as_deref().unwrap_or(it.chosen.token.as_bytes());
            // Bytes that go on with a character are no more of them.
            *n_chars += bytes.iter().filter(|&&byte| byte & 0xc0 != 0x80).count();
            begins
        };
        let tops = |it: &TokenLogprob| {
            let all = it.top_logprobs.iter().chain([&it.chosen]);
            all.map(|it| (name(it), it.logprob)).collect()
        };
        Self {
            tokens: of.iter().map(|it| name(&it.chosen)).collect(),
            token_logprobs: of.iter().map(|it| it.chosen.logprob).collect(),
            top_logprobs: (n_top > 0).then(|| of.iter().map(tops).collect()),
            text_offset: of.iter().map(offset).collect(),
        }
    }
}

/// A token's text, or, of a part of a character, its bytes as this dialect spells them.
fn name(of: &Logprob) -> String {
    match of.bytes.as_deref() {
        Some(bytes) if std::str::from_utf8(bytes).is_err() => {
            bytes.iter().fold("bytes:".to_owned(), |mut name, byte| {
                let _ = write!(name, "\\x{byte:02x}");
                name
            })
        }
        _ => of.token.clone(),
    }
}

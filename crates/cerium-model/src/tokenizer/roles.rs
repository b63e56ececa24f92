//! Which tokens open, close and fill in: from the file's keys, else by the texts models use.

use hashbrown::HashMap;

use super::{TokenizerError, vocab::Kind};
use crate::{
    LoadError,
    gguf::{Gguf, Strings, optional},
};

/// Tokens for filling in the middle: prompt with prefix, text before, suffix, text after, middle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Infill {
    /// Goes before the text that precedes the gap.
    pub prefix: u32,
    /// Goes before the text that follows the gap.
    pub suffix: u32,
    /// Goes last; the model continues with what belongs in the gap.
    pub middle: u32,
    /// Tokens that end the filling, in ascending order: padding, a next file or repository, and
    /// everything that ends a generation anyway.
    pub ends: Vec<u32>,
}

/// Tokens with a meaning to the engine.
#[derive(Debug, Default)]
pub(super) struct Roles {
    pub(super) bos: Option<u32>,
    pub(super) eos: Option<u32>,
    pub(super) adds_bos: bool,
    /// In ascending order.
    pub(super) ends: Vec<u32>,
    pub(super) infill: Option<Infill>,
}

// Not `<s>` and `</s>`: to Gemma they are HTML. Where they are more than that, a key says so.
const ENDS: [&str; 15] = [
    "<|endoftext|>",
    "<|im_end|>",
    "<|end_of_text|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "<|eot|>",
    "<|return|>",
    "<|call|>",
    "<end_of_turn>",
    "<end_of_utterance>",
    "<|EOT|>",
    "<EOT>",
    "\u{2581}<EOT>",
    "<\u{ff5c}end\u{2581}of\u{2581}sentence\u{ff5c}>",
];
const STARTS: [&str; 4] =
    ["<|im_start|>", "<start_of_turn>", "<|start_header_id|>", "<|end_header_id|>"];
const PREFIX: [&str; 7] = [
    "<|fim_prefix|>",
    "<fim-prefix>",
    "<fim_prefix>",
    "<\u{ff5c}fim\u{2581}begin\u{ff5c}>",
    "<PRE>",
    "\u{2581}<PRE>",
    "<|code_prefix|>",
];
const SUFFIX: [&str; 7] = [
    "<|fim_suffix|>",
    "<fim-suffix>",
    "<fim_suffix>",
    "<\u{ff5c}fim\u{2581}hole\u{ff5c}>",
    "<SUF>",
    "\u{2581}<SUF>",
    "<|code_suffix|>",
];
const MIDDLE: [&str; 7] = [
    "<|fim_middle|>",
    "<fim-middle>",
    "<fim_middle>",
    "<\u{ff5c}fim\u{2581}end\u{ff5c}>",
    "<MID>",
    "\u{2581}<MID>",
    "<|code_middle|>",
];
const INFILL_ENDS: [&str; 10] = [
    "<|fim_pad|>",
    "<fim-pad>",
    "<fim_pad>",
    "<|repo_name|>",
    "<|fim_repo|>",
    "<repo_name>",
    "<reponame>",
    "<|file_sep|>",
    "<file_sep>",
    "<|cursor|>",
];

/// Finds the roles and marks their tokens as control tokens where a converter did not.
pub(super) fn assign(
    gguf: &Gguf,
    texts: &Strings,
    mut kinds: Vec<Kind>,
) -> Result<(Vec<Kind>, Roles), LoadError> {
    let has_kinds = gguf.get("tokenizer.ggml.token_type").is_some();
    // A text counts only for tokens that are not ordinary ones, where the file tells them apart.
    let mut by_text = HashMap::new();
    for (id, (text, &kind)) in (0u32..).zip(texts.iter().zip(&kinds)) {
        if text.contains('<') && (kind != Kind::Normal || !has_kinds) {
            by_text.insert(text, id);
        }
    }
    let of_texts = |wanted: &[&str]| -> Vec<u32> {
        wanted.iter().filter_map(|&text| by_text.get(text).copied()).collect()
    };
    let of_keys = |names: &[&str]| -> Result<Option<u32>, LoadError> {
        for name in names {
            let key = format!("tokenizer.ggml.{name}_token_id");
            if let Some(found) = optional(gguf.u32(&key))? {
                let n_vocab = texts.len();
                if found as usize >= n_vocab {
                    return Err(TokenizerError::Id { key, found, n_vocab }.into());
                }
                return Ok(Some(found));
            }
        }
        Ok(None)
    };
    let role = |names: &[&str], texts: &[&str]| -> Result<Option<u32>, LoadError> {
        Ok(of_keys(names)?.or_else(|| of_texts(texts).first().copied()))
    };

    let bos = of_keys(&["bos"])?;
    let eos = of_keys(&["eos"])?;
    let mut ends = of_texts(&ENDS);
    ends.extend([eos, of_keys(&["eot"])?, of_keys(&["eom"])?].into_iter().flatten());
    ends.sort_unstable();
    ends.dedup();

    let prefix = role(&["fim_pre", "prefix"], &PREFIX)?;
    let suffix = role(&["fim_suf", "suffix"], &SUFFIX)?;
    let middle = role(&["fim_mid", "middle"], &MIDDLE)?;
    let mut infill_ends = of_texts(&INFILL_ENDS);
    for name in ["fim_pad", "fim_rep", "fim_sep"] {
        infill_ends.extend(of_keys(&[name])?);
    }

    // Padding is left alone: some files name an ordinary token as padding.
    let control = ends.iter().chain(&infill_ends).copied();
    for id in control.chain([bos, prefix, suffix, middle].into_iter().flatten()) {
        kinds[id as usize] = Kind::Control;
    }
    for id in of_texts(&STARTS) {
        kinds[id as usize] = Kind::Control;
    }

    let infill = match (prefix, suffix, middle) {
        (Some(prefix), Some(suffix), Some(middle)) => {
            infill_ends.extend(&ends);
            infill_ends.sort_unstable();
            infill_ends.dedup();
            Some(Infill { prefix, suffix, middle, ends: infill_ends })
        }
        _ => None,
    };
    let adds_bos = match optional(gguf.bool("tokenizer.ggml.add_bos_token"))? {
        Some(adds) => adds && bos.is_some(),
        // What files of before the key meant.
        None => bos.is_some() && is_bos_default(gguf)?,
    };
    Ok((kinds, Roles { bos, eos, adds_bos, ends, infill }))
}

fn is_bos_default(gguf: &Gguf) -> Result<bool, LoadError> {
    let pre = optional(gguf.str("tokenizer.ggml.pre"))?.unwrap_or_default();
    Ok(gguf.str("tokenizer.ggml.model")? == "llama" || pre == "llama-bpe")
}

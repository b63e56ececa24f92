//! `GET /models` of an engine: how long a conversation may be with each of its models.

use serde::Deserialize;
use std::collections::HashMap;

/// The longest sequence of each model that says so, in tokens.
pub(crate) fn contexts(body: &[u8]) -> HashMap<String, usize> {
    let Ok(listing) = serde_json::from_slice::<Listing>(body) else { return HashMap::new() };
    let context = |model: Model| Some((model.id, model.max_model_len.or(model.context_length)?));
    listing.data.into_iter().filter_map(context).filter(|&(_, n)| n > 0).collect()
}

#[derive(Deserialize)]
struct Listing {
    data: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
    /// As vLLM, `SGLang` and cerium have it.
    #[serde(default)]
    max_model_len: Option<usize>,
    /// As hosted catalogues have it.
    #[serde(default)]
    context_length: Option<usize>,
}

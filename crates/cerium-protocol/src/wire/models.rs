//! `GET /v1/models` and `GET /v1/models/{id}`.

use crate::ModelInfo;
use serde::Serialize;

/// `"object": "model"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Model {
    id: String,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
    /// Longest sequence, prompt and answer together, in tokens; an extension, by the name that hosted
    /// catalogues have for it.
    context_length: usize,
    /// The same by the name that vLLM has for it.
    max_model_len: usize,
    /// What it can do; an extension.
    capabilities: Vec<&'static str>,
}

impl Model {
    /// The model as served since `created`, in seconds since 1970.
    pub fn new(model: &ModelInfo, created: u64) -> Self {
        Self {
            id: model.name.clone(),
            object: "model",
            created,
            owned_by: "cerium",
            context_length: model.context_tokens,
            max_model_len: model.context_tokens,
            capabilities: ["chat", "completion", "logprobs"]
                .into_iter()
                .chain(model.infill.then_some("infill"))
                .collect(),
        }
    }
}

/// `"object": "list"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModelList {
    object: &'static str,
    data: Vec<Model>,
}

impl ModelList {
    /// A list of models, in the order given.
    pub fn new(data: Vec<Model>) -> Self {
        Self { object: "list", data }
    }
}

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
    /// Longest sequence, prompt and answer together, in tokens; an extension.
    context_length: usize,
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

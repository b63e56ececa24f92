//! `GET /v1/models` and `GET /v1/models/{id}`.

use crate::ModelInfo;
use serde::Serialize;

/// `"object": "model"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Model {
    id: String,
    object: &'static str,
    created: u64,
    owned_by: String,
    /// Longest sequence, prompt and answer together, in tokens; an extension, by the name that hosted
    /// catalogues have for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    context_length: Option<usize>,
    /// The same by the name that vLLM has for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_model_len: Option<usize>,
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
            owned_by: "cerium".to_owned(),
            context_length: Some(model.context_tokens),
            max_model_len: Some(model.context_tokens),
            capabilities: ["chat", "completion", "logprobs"]
                .into_iter()
                .chain(model.infill.then_some("infill"))
                .collect(),
        }
    }

    /// A model that the engine `owner` serves elsewhere. How long a conversation with it may be is known only if
    /// that engine says so.
    pub fn elsewhere(name: &str, owner: &str, context: Option<usize>, created: u64) -> Self {
        Self {
            id: name.to_owned(),
            object: "model",
            created,
            owned_by: owner.to_owned(),
            context_length: context,
            max_model_len: context,
            capabilities: vec!["chat", "completion"],
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

//! How much a model thinks before it answers.

use serde::de::{DeserializeOwned, Deserializer, IntoDeserializer};
use serde::{Deserialize, Serialize};

/// How a client wants a model to think. What it leaves open is the model's own choice, and so is all of it with a model
/// of this process: its template says how it thinks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, expecting = "an object")]
pub struct Reasoning {
    /// How much.
    #[serde(deserialize_with = "word", skip_serializing_if = "Option::is_none")]
    pub effort: Option<Effort>,
    /// What is told of thoughts that the model keeps to itself.
    #[serde(deserialize_with = "word", skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
}

/// How much is thought, from not at all to as much as the model can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the published words")]
pub enum Effort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    Xhigh,
    Max,
}

/// How much is told of thoughts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the published words")]
pub enum Summary {
    Auto,
    Concise,
    Detailed,
}

/// Reads one of some words. By itself the parser would take a number in its place for a break in the JSON.
pub(crate) fn word<'de, T, D>(field: D) -> Result<Option<T>, D::Error>
where
    T: DeserializeOwned,
    D: Deserializer<'de>,
{
    let word = Option::<String>::deserialize(field)?;
    word.map(|word| T::deserialize(word.into_deserializer())).transpose()
}

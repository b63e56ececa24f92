//! JSON of somebody else's, kept as the text it is.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A JSON value that was checked for its syntax alone. It takes the memory of its text, however it nests,
/// and is told again byte for byte; whoever needs what is in it parses it, within bounds of their own.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json(Box<RawValue>);

impl Json {
    /// Checks the syntax of a text; `None` if it is no JSON.
    pub fn new(text: String) -> Option<Self> {
        RawValue::from_string(text).ok().map(Self)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Json {}

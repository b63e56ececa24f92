//! A JSON body to a raw request, with errors that name the field; and the envelope of errors.

use crate::wire::unserved::shorten;
use crate::{ErrorBody, ErrorKind, Json};
use serde::{Deserialize, Serialize};
use serde_json::error::Category;

/// `{"error": {...}}`: the body of every answer that is not a success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorEnvelope {
    /// What went wrong.
    pub error: ErrorBody,
}

/// Reads a whole body. Nesting is bounded by the JSON parser, size by whoever read the body.
pub(super) fn read<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, ErrorBody> {
    // The deserialiser would take a list for an object: its items in the order of the fields.
    if body.trim_ascii_start().first() == Some(&b'[') {
        let message = "the body: invalid type: a list, expected an object";
        let error = ErrorBody::new(ErrorKind::InvalidRequestError, message.to_owned());
        return Err(error.with_code("invalid_type"));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let param = (path != ".").then(|| shorten(&path, PATH_CHARS));
        explain(error.inner(), param)
    })?;
    json.end().map_err(|error| explain(&error, None))?;
    Ok(value)
}

/// Reads a field that was kept as text: `name` is its place in the body, `n_bytes_max` bounds the memory that
/// what is made of it may take.
pub(super) fn read_field<'de, T: Deserialize<'de>>(
    field: &'de Json,
    name: &str,
    n_bytes_max: usize,
) -> Result<T, ErrorBody> {
    let text = field.as_str();
    if text.len() > n_bytes_max {
        let what = format!("`{name}` has {} bytes; at most {n_bytes_max} are served", text.len());
        return Err(ErrorBody::invalid(name, what));
    }
    let mut json = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = match error.path().to_string() {
            path if path == "." => name.to_owned(),
            path if path.starts_with('[') => format!("{name}{path}"),
            path => format!("{name}.{path}"),
        };
        explain(error.inner(), Some(shorten(&path, PATH_CHARS)))
    })
}

/// Reads a piece of an answer, which another program wrote.
pub(super) fn read_answer<'de, T: Deserialize<'de>>(data: &'de [u8]) -> Result<T, ErrorBody> {
    serde_json::from_slice(data).map_err(|error| {
        let why = shorten(&error.to_string(), MESSAGE_CHARS);
        let what = format!("the answer cannot be read: {why}");
        ErrorBody::new(ErrorKind::ServerError, what).with_code("unreadable_answer")
    })
}

// Errors repeat what they found; a value may be as long as the body.
const PATH_CHARS: usize = 100;
const MESSAGE_CHARS: usize = 300;

fn explain(error: &serde_json::Error, param: Option<String>) -> ErrorBody {
    let why = shorten(&error.to_string(), MESSAGE_CHARS);
    let (message, param, code) = match error.classify() {
        Category::Data => {
            let place = param.as_deref().unwrap_or("the body");
            (format!("{place}: {why}"), param, "invalid_type")
        }
        Category::Syntax | Category::Eof | Category::Io => {
            (format!("the body is not valid JSON: {why}"), None, "invalid_json")
        }
    };
    ErrorBody { param, ..ErrorBody::new(ErrorKind::InvalidRequestError, message) }.with_code(code)
}

/// A field that must be there.
pub(super) fn required<T>(field: Option<T>, name: &str) -> Result<T, ErrorBody> {
    field.ok_or_else(|| {
        ErrorBody::invalid(name, format!("missing required parameter `{name}`"))
            .with_code("missing_required_parameter")
    })
}

/// An upper bound on the answer: absent, or at least one token.
pub(super) fn token_limit(field: Option<u64>, name: &str) -> Result<Option<u32>, ErrorBody> {
    match field {
        Some(0) => Err(ErrorBody::invalid(name, format!("`{name}` is 0; it must be at least 1"))),
        // More than fits into 32 bits is more than any context: the context is the limit then.
        other => Ok(other.map(|n| u32::try_from(n).unwrap_or(u32::MAX))),
    }
}

//! The shape that an answer is wanted in, as either dialect spells it.

use crate::wire::json;
use crate::wire::unserved::{WORD_CHARS, shorten};
use crate::{ErrorBody, Json, TextFormat};
use serde::Deserialize;

/// Most bytes of the object; nearly all of them are a schema's.
const FORMAT_BYTES_MAX: usize = 1 << 20;

/// Reads `text` of a response's request.
pub(super) fn of_text(text: Option<&Json>) -> Result<TextFormat, ErrorBody> {
    #[derive(Default, Deserialize)]
    #[serde(default, expecting = "an object")]
    struct TextOptions {
        format: Option<RawFormat>,
    }
    let Some(text) = text else { return Ok(TextFormat::Text) };
    let options: Option<TextOptions> = json::read_field(text, "text", FORMAT_BYTES_MAX)?;
    let format = options.and_then(|options| options.format);
    format.map_or(Ok(TextFormat::Text), |format| format.lower("text.format"))
}

/// Reads `response_format` of a chat's request.
pub(super) fn of_chat(format: Option<&Json>) -> Result<TextFormat, ErrorBody> {
    let param = "response_format";
    let Some(format) = format else { return Ok(TextFormat::Text) };
    let format: Option<RawFormat> = json::read_field(format, param, FORMAT_BYTES_MAX)?;
    format.map_or(Ok(TextFormat::Text), |format| format.lower(param))
}

#[derive(Default, Deserialize)]
#[serde(default, expecting = "a format")]
struct RawFormat {
    r#type: Option<String>,
    name: Option<String>,
    schema: Option<Json>,
    sources: Option<Vec<String>>,
    /// The chat dialect says these one object deeper.
    json_schema: Option<Box<RawFormat>>,
}

impl RawFormat {
    fn lower(self, param: &str) -> Result<TextFormat, ErrorBody> {
        match self.r#type.as_deref() {
            None | Some("text") => Ok(TextFormat::Text),
            Some("json_object") => Ok(TextFormat::JsonObject),
            Some("json_schema") => {
                let format = match self.json_schema {
                    Some(format) => *format,
                    None => Self { json_schema: None, ..self },
                };
                let Some(schema) = format.schema else {
                    let what = "a format of type `json_schema` needs a `schema`";
                    return Err(ErrorBody::invalid(format!("{param}.schema"), what));
                };
                Ok(TextFormat::JsonSchema { name: format.name.unwrap_or_default(), schema })
            }
            Some("search_replace") => {
                let Some(sources) = self.sources else {
                    let what = "a format of type `search_replace` needs `sources`, the texts that are changed";
                    return Err(ErrorBody::invalid(format!("{param}.sources"), what));
                };
                Ok(TextFormat::SearchReplace { sources })
            }
            Some(other) => Err(ErrorBody::not_served(
                format!("{param}.type"),
                format!("`{param}.type` of `{}` is not served here", shorten(other, WORD_CHARS)),
            )),
        }
    }
}

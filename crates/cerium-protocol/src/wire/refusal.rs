//! Errors of other engines, which spell them in many ways.

use crate::wire::unserved::shorten;
use crate::{ErrorBody, ErrorKind};
use serde_json::Value;

/// Most characters of a message and of a code that are told on.
const MESSAGE_CHARS_MAX: usize = 1000;
const WORD_CHARS_MAX: usize = 100;

/// What an answer with this status says that is no success. A body that is none of the known shapes is not
/// repeated: it may be a page, and may hold anything.
pub fn read(status: u16, body: &[u8]) -> ErrorBody {
    let kind = match status {
        404 => ErrorKind::NotFoundError,
        401 | 403 => ErrorKind::PermissionError,
        429 => ErrorKind::RateLimitError,
        503 => ErrorKind::OverloadedError,
        400..=499 => ErrorKind::InvalidRequestError,
        _ => ErrorKind::ServerError,
    };
    let said = serde_json::from_slice(body).ok().and_then(|value: Value| of(&value));
    let said =
        said.unwrap_or_else(|| ErrorBody::new(kind, format!("the engine answered {status}")));
    ErrorBody { kind, status: Some(status), ..said }
}

/// The error that a value is, in one of the known shapes: `{"error": {"message": ..}}`, `{"error": ".."}`,
/// `{"message": ..}`, `{"detail": ".."}`.
pub(super) fn of(value: &Value) -> Option<ErrorBody> {
    let error = value.get("error").filter(|error| !error.is_null()).unwrap_or(value);
    let message = [Some(error), error.get("message"), error.get("detail")];
    let message = message.into_iter().flatten().find_map(Value::as_str)?;
    let word = |name: &str| match error.get(name)? {
        Value::String(word) if !word.is_empty() => Some(shorten(word, WORD_CHARS_MAX)),
        _ => None,
    };
    let message = shorten(message, MESSAGE_CHARS_MAX);
    let (param, code) = (word("param"), word("code"));
    Some(ErrorBody { param, code, ..ErrorBody::new(ErrorKind::ServerError, message) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_other_engines_are_understood() {
        let cases = [
            (400, r#"{"error": {"message": "no", "type": "x", "param": "n", "code": "bad"}}"#),
            (
                400,
                r#"{"object": "error", "message": "no", "type": "BadRequestError", "code": 400}"#,
            ),
            (404, r#"{"error": "no"}"#),
            (422, r#"{"detail": "no"}"#),
            (500, "<html>"),
            (502, r#"{"detail": [{"loc": ["body"], "msg": "no"}]}"#),
        ];
        let told = cases.map(|(status, body)| {
            let error = read(status, body.as_bytes());
            assert_eq!(error.status, Some(status));
            format!("{:?} {} {:?} {:?}", error.kind, error.message, error.param, error.code)
        });
        assert_eq!(
            told,
            [
                r#"InvalidRequestError no Some("n") Some("bad")"#,
                "InvalidRequestError no None None",
                "NotFoundError no None None",
                "InvalidRequestError no None None",
                "ServerError the engine answered 500 None None",
                "ServerError the engine answered 502 None None",
            ]
        );
    }
}

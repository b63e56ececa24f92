//! The end of a response that nobody can finish.

use serde_json::{Value, json};

/// The server that wrote it is gone.
pub(crate) const LOST: &str = "the server was stopped before the response was complete";

/// The object of a response, and its last event, once it is known that it will not be finished.
pub(crate) fn failed(object: &str, sequence_number: u64, why: &str) -> (String, String) {
    let mut object: Value = serde_json::from_str(object).unwrap_or_else(|_| json!({}));
    object["status"] = "failed".into();
    object["error"] = json!({"code": "server_error", "message": why});
    let event =
        json!({"type": "response.failed", "response": object, "sequence_number": sequence_number});
    (object.to_string(), format!("event: response.failed\ndata: {event}\n\n"))
}

/// How many events a text holds.
pub(crate) fn count(text: &str) -> u64 {
    text.matches("\n\n").count() as u64
}

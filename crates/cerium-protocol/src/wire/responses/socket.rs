//! What is said on a WebSocket and nowhere else: the client's events, and errors with a status.

use crate::ErrorBody;
use crate::wire::json;
use crate::wire::responses::{SteerEvent, StreamEvent};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Longest name of a lane.
const STREAM_ID_CHARS_MAX: usize = 256;

/// The beginning of a client's event, enough to know who reads the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, expecting = "an object")]
pub struct ClientEvent {
    /// `response.create`, `response.steer`...
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The lane that is meant; absent, the one without a name.
    pub stream_id: Option<String>,
    /// The response that is gone on from.
    pub previous_response_id: Option<String>,
}

impl ClientEvent {
    /// Reads it and nothing else of an event.
    ///
    /// # Errors
    /// As for any body.
    pub fn read(event: &[u8]) -> Result<Self, ErrorBody> {
        json::read(event)
    }

    /// Refuses a name that is none.
    ///
    /// # Errors
    /// `invalid_stream_id`.
    pub fn check_stream_id(&self) -> Result<(), ErrorBody> {
        let Some(name) = &self.stream_id else { return Ok(()) };
        let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        if (1..=STREAM_ID_CHARS_MAX).contains(&name.len()) && name.bytes().all(is_fine) {
            return Ok(());
        }
        let what =
            format!("`stream_id` has 1 to {STREAM_ID_CHARS_MAX} letters, digits, `_`, `-` or `.`");
        Err(ErrorBody::invalid("stream_id", what).with_code("invalid_stream_id"))
    }
}

/// What is answered to a client's event: one text frame.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServerEvent<'a> {
    #[serde(flatten)]
    said: Said<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_id: Option<&'a str>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
enum Said<'a> {
    Event(&'a StreamEvent),
    Steer(&'a SteerEvent),
    Error {
        r#type: &'static str,
        status: u16,
        error: &'a ErrorBody,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        headers: BTreeMap<&'static str, String>,
    },
}

impl<'a> ServerEvent<'a> {
    /// Something that happens to a response in a lane.
    pub fn event(event: &'a StreamEvent, stream_id: Option<&'a str>) -> Self {
        Self { said: Said::Event(event), stream_id }
    }

    /// What becomes of a redirection.
    pub fn steer(event: &'a SteerEvent, stream_id: Option<&'a str>) -> Self {
        Self { said: Said::Steer(event), stream_id }
    }

    /// An error with its HTTP status. In any other shape some clients wait for ever.
    pub fn error(error: &'a ErrorBody, status: u16, stream_id: Option<&'a str>) -> Self {
        let headers = error.retry_headers().into_iter().collect();
        Self { said: Said::Error { r#type: "error", status, error, headers }, stream_id }
    }
}

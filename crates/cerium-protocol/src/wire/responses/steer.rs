//! `response.steer` and what is answered to it.

use crate::wire::json;
use crate::wire::responses::request::RawInput;
use crate::{ErrorBody, Input, SteerExtensions, SteerResponse};
use serde::{Deserialize, Serialize};

#[derive(Default, Deserialize)]
#[serde(default, expecting = "an object")]
struct Body {
    previous_response_id: Option<String>,
    input: Option<RawInput>,
    cerium: Option<SteerExtensions>,
}

/// Reads the client's event.
///
/// # Errors
/// `invalid_input` for input that is not of the user alone, and as for any body.
pub fn read_steer(event: &[u8]) -> Result<SteerResponse, ErrorBody> {
    let body: Body = json::read(event)?;
    let previous_response_id = json::required(body.previous_response_id, "previous_response_id")?;
    let cerium = body.cerium.unwrap_or_default();
    let input = match body.input {
        None if cerium.go_on.is_some() => Input::Items(Vec::new()),
        input => json::required(input, "input")?.lower()?,
    };
    if let Input::Items(items) = &input
        && let Some(i) = items.iter().position(|item| !item.is_of_a_person())
    {
        let what = "steering takes user messages alone";
        return Err(ErrorBody::invalid(format!("input[{i}].role"), what).with_code("invalid_input"));
    }
    Ok(SteerResponse { previous_response_id, input, cerium })
}

/// What the server answers: that the input is its own from now on, or why not.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type")]
pub enum SteerEvent {
    /// A response with the input will follow.
    #[serde(rename = "response.steer.accepted")]
    Accepted {
        /// What was accepted.
        steer: SteerId,
    },
    /// It will not; the input is given back.
    #[serde(rename = "response.steer.failed")]
    Failed {
        /// What was refused.
        steer: Refused,
        /// Why.
        error: ErrorBody,
    },
}

/// Names a redirection.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SteerId {
    /// `steer_...`
    pub id: String,
    /// The response that is redirected.
    pub previous_response_id: String,
}

/// A redirection that did not come about.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Refused {
    /// The response that was to be redirected.
    pub previous_response_id: String,
    /// What was said to it.
    pub input: Input,
}

//! The Responses dialect: `POST /v1/responses`, its response object and its event stream.

mod events;
mod item;
mod object;
mod output;
mod reading;
mod request;
mod socket;
mod steer;

pub use events::{Events, StreamEvent};
pub use object::{ResponseObject, WireError, WireUsage};
pub use output::{ContentPart, OutputItem, item};
pub use reading::{body, read_event};
pub use request::{Echo, Parsed, read, read_create};
pub use socket::{ClientEvent, ServerEvent};
pub use steer::{Refused, SteerEvent, SteerId, read_steer};

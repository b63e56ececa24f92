//! The Responses dialect: `POST /v1/responses`, its response object and its event stream.

mod asked;
mod compaction;
mod events;
mod item;
mod kept;
mod object;
mod output;
mod reading;
mod request;
mod socket;
mod steer;

pub use asked::Asked;
pub use compaction::{Budget, Folded, compact, fold};
pub use events::{Events, StreamEvent};
pub use kept::{KeptItem, keep};
pub use object::{ResponseObject, WireError, WireUsage};
pub use output::{ContentPart, OutputItem, item};
pub use reading::{bodies, body, read_event};
pub use request::{Echo, Parsed, check_metadata, read};
pub use socket::{ClientEvent, ServerEvent};
pub use steer::{Refused, SteerEvent, SteerId, read_steer};

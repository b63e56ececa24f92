//! The language in which clients, the harness and the server talk: Responses API items, requests,
//! events and errors. No I/O; nothing here reads a socket or knows a token id.
//!
//! There are two layers. The types at the top are what code in one process passes around: a
//! [`CreateResponse`] goes in, [`Event`]s and a [`Response`] come out, and they stay small.
//! [`wire`] turns the JSON bodies of the three HTTP dialects into the former and renders the
//! latter, in the exact shapes and order that clients expect.
//!
//! What the Responses API has no field for (a prediction, an answer's first characters, timings of
//! a local engine) travels in one extension object named `cerium`, which other clients never send
//! and may ignore when they see it.

mod error;
mod item;
mod json;
mod reasoning;
mod request;
mod response;
mod steer;
mod tier;
mod tool;
mod why;
pub mod wire;

pub use error::{ErrorBody, ErrorKind};
pub use item::{Input, Item, Role};
pub use json::Json;
pub use reasoning::{Effort, Reasoning, Summary};
pub use request::{
    CompletionRequest, ContextFile, CreateResponse, DraftSource, Extensions, Include, PromptPart,
};
pub use response::{
    DraftCounts, DraftUsage, DraftedFrom, Event, Logprob, ModelInfo, Response, Status, Steered,
    TextDelta, Timings, TokenLogprob, Usage,
};
pub use steer::{Keep, SteerExtensions, SteerResponse};
pub use tier::ServiceTier;
pub use tool::{CustomFormat, GrammarSyntax, TextFormat, Tool, ToolChoice, ToolKind, ToolName};
pub use why::{Cause, PartRead, Place, Why};

//! Who answers: the model of this process, or an engine elsewhere. A model's name says which, and nothing
//! beyond this point knows.

mod elsewhere;
mod here;

pub(crate) use elsewhere::Elsewhere;

use cerium_protocol::wire::responses::Parsed;
use cerium_protocol::{
    CompletionRequest, CreateResponse, ErrorBody, Event, ModelInfo, SteerResponse, Usage,
};
use cerium_session::{Past, Unexplained};
use std::fmt::Debug;
use std::pin::Pin;

/// A model that answers.
pub(crate) trait Tier: Send + Sync {
    /// The name by which requests ask for it.
    fn name(&self) -> &str;

    /// Begins `n` answers to a conversation, after what it goes on from. Reading a long one takes a while, so async
    /// callers want a thread for it.
    fn respond(
        &self,
        past: Option<&Past>,
        request: &CreateResponse,
        n: u32,
    ) -> Result<Box<dyn Answers>, ErrorBody>;

    /// Begins `n` ways of going on with a text.
    fn complete(&self, request: &CompletionRequest, n: u32) -> Result<Box<dyn Answers>, ErrorBody>;

    /// What the response repeats of the settings that its request leaves open.
    fn settle(&self, asked: &mut Parsed);

    /// The model as far as its tokens can be counted here; of one elsewhere they cannot.
    fn counted(&self) -> Option<&ModelInfo>;
}

/// What a step of an answer is waited for with.
pub(crate) type Soon<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Events of all candidates of an answer. Dropping this ends the work behind them.
pub(crate) trait Answers: Send + Debug {
    /// How many candidates there are, at least one.
    fn count(&self) -> usize;

    /// Waits until it is known that there will be an answer. What goes wrong before has a status of its own.
    fn begun(&mut self) -> Soon<'_, Result<(), ErrorBody>>;

    /// Waits for the next event of any of them; `None` after the last one of all. Dropping the future loses no
    /// event.
    fn next(&mut self) -> Soon<'_, Option<(usize, Event)>>;

    /// What those that have not ended took until here.
    fn spent(&self) -> Usage;

    /// What a request goes on from after an answer without other candidates.
    fn past(&self) -> Option<Past>;

    /// The prompt of a candidate that has ended without explaining it; once.
    fn unexplained(&mut self, index: usize) -> Option<Unexplained>;

    /// Has an answer without other candidates go on otherwise.
    fn steer(&mut self, asked: &SteerResponse) -> Result<(), ErrorBody>;

    /// Asks for an early end of all of them.
    fn cancel(&mut self);
}

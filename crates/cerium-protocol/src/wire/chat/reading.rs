//! The way back: chunks of another engine's chat to what happened.

use super::asking::function_name;
use crate::wire::{json, refusal};
use crate::{
    ErrorBody, ErrorKind, Event, Item, Response, Role, Status, TextDelta, TokenLogprob, Tool,
    ToolKind,
};
use serde::Deserialize;

/// Longest input of a tool that takes text, in bytes: it is held until its JSON is whole.
const INPUT_BYTES_MAX: usize = 4 << 20;

/// Puts an answer together from the chunks of its stream.
#[derive(Debug)]
pub struct Reader {
    tools: Vec<Tool>,
    /// What the answer has so far.
    response: Response,
    begun: bool,
    /// Place of the call that is being told, in the engine's count.
    call: Option<u64>,
    /// Arguments of a call whose tool takes text, as far as they came.
    held: Option<String>,
}

impl Reader {
    /// Reads the answer to a request with these tools.
    pub fn new(tools: Vec<Tool>) -> Self {
        let response = Response::begun(String::new(), String::new());
        Self { tools, response, begun: false, call: None, held: None }
    }

    /// Reads the data of one line; the events that it stands for, in order.
    ///
    /// # Errors
    /// What is no line of this dialect.
    pub fn read(&mut self, data: &[u8]) -> Result<Vec<Event>, ErrorBody> {
        if data == b"[DONE]" {
            return Ok(self.end().into_iter().collect());
        }
        let chunk: Chunk = json::read_answer(data)?;
        let mut events = Vec::new();
        if let Some(error) = &chunk.error {
            let error = refusal::of(error).unwrap_or_else(|| unreadable("an error says nothing"));
            return Ok(vec![Event::Failed(error)]);
        }
        if !std::mem::replace(&mut self.begun, true) {
            (self.response.id, self.response.model) = (chunk.id, chunk.model);
            events.push(Event::Created(self.response.clone()));
        }
        if let Some(counts) = chunk.usage {
            self.response.usage.prompt_tokens = counts.prompt_tokens;
            self.response.usage.output_tokens = counts.completion_tokens;
            let cached = counts.prompt_tokens_details.and_then(|details| details.cached_tokens);
            self.response.usage.cached_tokens = cached.unwrap_or(0);
        }
        let Some(choice) = chunk.choices.into_iter().next() else { return Ok(events) };
        let delta = choice.delta;
        if let Some(text) = delta.reasoning_content.or(delta.reasoning).filter(|t| !t.is_empty()) {
            self.write(Item::Reasoning { text: String::new() }, &text, &mut events)?;
            events.push(Event::ReasoningDelta(text));
        }
        let logprobs = choice.logprobs.and_then(|it| it.content).unwrap_or_default();
        let text = delta.content.or(delta.refusal).unwrap_or_default();
        if !text.is_empty() {
            self.write(Item::message(Role::Assistant, ""), &text, &mut events)?;
            self.response.logprobs.extend_from_slice(&logprobs);
            events.push(Event::TextDelta(TextDelta { text, logprobs, ..TextDelta::default() }));
        }
        for call in delta.tool_calls.into_iter().flatten() {
            self.call(call, &mut events)?;
        }
        if let Some(reason) = choice.finish_reason {
            self.end_call(&mut events)?;
            let cut = reason == "length" || reason == "content_filter";
            self.response.status = if cut { Status::Incomplete } else { Status::Completed };
            self.response.incomplete_reason = cut.then(|| "max_output_tokens".to_owned());
        }
        Ok(events)
    }

    /// The end of the stream: the whole answer, if it came to its end; once. Some engines say so in a last
    /// line, others just end.
    pub fn end(&mut self) -> Option<Event> {
        let ended = std::mem::replace(&mut self.response.status, Status::InProgress);
        if ended == Status::InProgress {
            return None;
        }
        Some(Event::Done(Response { status: ended, ..self.response.clone() }))
    }

    /// Writes on in the last item, if it is of this kind, or else in a new one.
    fn write(&mut self, item: Item, text: &str, out: &mut Vec<Event>) -> Result<(), ErrorBody> {
        self.end_call(out)?;
        let same = |last: &Item| std::mem::discriminant(last) == std::mem::discriminant(&item);
        if !self.response.output.last().is_some_and(same) {
            self.add(item, out);
        }
        self.append(text);
        Ok(())
    }

    fn append(&mut self, text: &str) {
        if let Some(last) = self.response.output.last_mut() {
            last.text_mut().push_str(text);
        }
    }

    fn add(&mut self, item: Item, out: &mut Vec<Event>) {
        let index = self.response.output.len();
        self.response.output.push(item.clone());
        out.push(Event::Added { index, item });
    }

    /// A piece of a call. Engines tell one call after the other.
    fn call(&mut self, told: ToolCall, out: &mut Vec<Event>) -> Result<(), ErrorBody> {
        let function = told.function.unwrap_or_default();
        let index = told.index.unwrap_or_default();
        // Some engines number all of their calls 0, and name each.
        let begins = match self.call {
            Some(current) if current == index => {
                let id = told.id.as_deref();
                function.name.is_some() && id.is_some_and(|id| !self.is_repeated(id))
            }
            Some(current) if index < current => {
                return Err(unreadable("a call goes on after the next one has begun"));
            }
            _ => true,
        };
        if begins {
            self.end_call(out)?;
            let Some(name) = function.name else {
                return Err(unreadable("a call names no function"));
            };
            self.begin_call(index, told.id.unwrap_or_default(), name, out);
        }
        let arguments = function.arguments.unwrap_or_default();
        if arguments.is_empty() {
            return Ok(());
        }
        if let Some(held) = &mut self.held {
            if held.len() + arguments.len() > INPUT_BYTES_MAX {
                return Err(unreadable("the input of a call is too long"));
            }
            held.push_str(&arguments);
        } else {
            self.append(&arguments);
            out.push(Event::CallDelta(arguments));
        }
        Ok(())
    }

    /// Whether an id is that of the call that is being told.
    fn is_repeated(&self, id: &str) -> bool {
        let last = self.response.output.last();
        let Some(Item::FunctionCall { call_id, .. } | Item::CustomToolCall { call_id, .. }) = last
        else {
            return false;
        };
        id.is_empty() || id == call_id
    }

    fn begin_call(&mut self, index: u64, call_id: String, name: String, out: &mut Vec<Event>) {
        self.call = Some(index);
        let is_called = |tool: &&Tool| function_name(tool.namespace.as_deref(), &tool.name) == name;
        let tool = self.tools.iter().find(is_called);
        // One that is not there is called all the same: the client says so, as of any other model.
        let (name, namespace) =
            tool.map_or((name, None), |tool| (tool.name.clone(), tool.namespace.clone()));
        let item = if tool.is_some_and(|tool| matches!(tool.kind, ToolKind::Custom { .. })) {
            self.held = Some(String::new());
            Item::CustomToolCall { call_id, name, namespace, input: String::new() }
        } else {
            Item::FunctionCall { call_id, name, namespace, arguments: String::new() }
        };
        self.add(item, out);
    }

    /// The call that was being told is whole.
    fn end_call(&mut self, out: &mut Vec<Event>) -> Result<(), ErrorBody> {
        #[derive(Deserialize)]
        struct Arguments {
            input: String,
        }
        self.call = None;
        let Some(held) = self.held.take() else { return Ok(()) };
        let Arguments { input } = serde_json::from_str(&held)
            .map_err(|_| unreadable("a tool that takes text was called with something else"))?;
        self.append(&input);
        out.push(Event::CallDelta(input));
        Ok(())
    }
}

fn unreadable(what: &str) -> ErrorBody {
    ErrorBody::new(ErrorKind::ServerError, format!("the answer cannot be read: {what}"))
        .with_code("unreadable_answer")
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    id: String,
    #[serde(default)]
    model: String,
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Counts>,
    #[serde(default)]
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Delta,
    #[serde(default)]
    logprobs: Option<Logprobs>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Delta {
    content: Option<String>,
    refusal: Option<String>,
    reasoning_content: Option<String>,
    /// The same by the name that some engines have for it.
    reasoning: Option<String>,
    tool_calls: Option<Vec<ToolCall>>,
}

#[derive(Deserialize)]
struct Logprobs {
    #[serde(default)]
    content: Option<Vec<TokenLogprob>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ToolCall {
    index: Option<u64>,
    id: Option<String>,
    function: Option<Called>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Called {
    name: Option<String>,
    arguments: Option<String>,
}

#[derive(Deserialize)]
struct Counts {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
    #[serde(default)]
    prompt_tokens_details: Option<PromptDetails>,
}

#[derive(Deserialize)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: Option<u64>,
}

//! Body of `POST /v1/responses` to a [`CreateResponse`].

use super::item::RawItem;
use crate::wire::content::Items;
use crate::wire::unserved::{Asked, WORD_CHARS, shorten};
use crate::wire::{format, json, tools};
use crate::{CreateResponse, ErrorBody, Extensions, Include, Input, Json, Reasoning, ServiceTier};
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;

/// A request, and what its response must repeat.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// What is asked.
    pub request: CreateResponse,
    /// What the response object says again.
    pub echo: Echo,
}

/// Fields of a request that its response object repeats, as they were.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Echo {
    /// When the request was accepted, in seconds since 1970; whoever accepts it sets this.
    pub created_at: u64,
    /// System message of the request.
    pub instructions: Option<String>,
    /// Upper bound of the answer, in tokens.
    pub max_output_tokens: Option<u32>,
    /// Upper bound of calls of tools that a server carries out; there are none.
    pub max_tool_calls: Option<u32>,
    /// The temperature really used: 0, greedy, unless the request names one.
    pub temperature: f32,
    /// The nucleus bound really used.
    pub top_p: f32,
    /// Of how many tokens beside the chosen one log-probabilities were asked for.
    pub top_logprobs: u32,
    /// The list of tools.
    pub tools: Option<Json>,
    /// The choice among them.
    pub tool_choice: Option<Json>,
    /// Whether several may be called in one answer; absent, they may.
    pub parallel_tool_calls: Option<bool>,
    /// The object of the answer's shape.
    pub text: Option<Json>,
    /// The object of how much is thought.
    pub reasoning: Option<Json>,
    /// The response that is gone on from.
    pub previous_response_id: Option<String>,
    /// The conversation that is gone on with; who remembers it sets this.
    pub conversation: Option<String>,
    /// Whether the response can be asked for later, if the request says.
    pub store: Option<bool>,
    /// Whether nobody waits for it.
    pub background: bool,
    /// Which service it gets.
    pub service_tier: ServiceTier,
    /// What happens to a conversation that is too long.
    pub truncation: Option<String>,
    /// The client's own notes.
    pub metadata: BTreeMap<String, String>,
    /// The client's hint for prompt caching. Not needed here: caches are found by content.
    pub prompt_cache_key: Option<String>,
    /// The same hint's object.
    pub prompt_cache_options: Option<Json>,
    /// The same, by an older name.
    pub prompt_cache_retention: Option<String>,
    /// Who the client says is asking.
    pub safety_identifier: Option<String>,
    /// The same, by its older name.
    pub user: Option<String>,
    /// Whether there is no answer to come: the prompt alone is computed.
    pub warms: bool,
    /// Content of the item that from now on stands for all that was before the answer; who makes it sets this.
    pub compaction: Option<String>,
}

/// More than the options of a cache, or of thinking, need.
const OPTIONS_BYTES_MAX: usize = 4096;

/// What [`Include::Logprobs`] is called.
const LOGPROBS: &str = "message.output_text.logprobs";

/// Reads a body, or the event of a WebSocket. The model's name is not checked here: only the server
/// knows what it serves. Nor is anything that asks for a memory ([`Asked`](super::Asked)): what is read
/// is this body's own input.
pub fn read(body: &[u8]) -> Result<Parsed, ErrorBody> {
    let body: Body = json::read(body)?;
    body.refuse_unserved()?;
    let model = json::required(body.model, "model")?;
    let input = json::required(body.input, "input")?.lower()?;
    let max_output_tokens = json::token_limit(body.max_output_tokens, "max_output_tokens")?;
    let prewarm = match &body.prompt_cache_options {
        Some(options) => {
            let options: CacheOptions =
                json::read_field(options, "prompt_cache_options", OPTIONS_BYTES_MAX)?;
            options.prewarm
        }
        None => None,
    };
    let generate = body.generate != Some(false) && prewarm != Some(true);
    let metadata = check_metadata(body.metadata.unwrap_or_default())?;
    // Other things that could be included (reasoning, searches) no answer of this server has.
    let mut included = body.include.iter().flatten();
    let include = included.any(|it| it == LOGPROBS).then_some(Include::Logprobs);
    let top_logprobs = body.top_logprobs.unwrap_or(0);
    let tools = tools::tools(body.tools.as_ref(), "tools")?;
    let tool_choice = tools::choice(body.tool_choice.as_ref(), &tools)?;
    let format = format::of_text(body.text.as_ref())?;
    let reasoning = match &body.reasoning {
        Some(reasoning) => json::read_field(reasoning, "reasoning", OPTIONS_BYTES_MAX)?,
        None => None::<Reasoning>,
    };
    let background = body.background.unwrap_or(false);
    let service_tier = ServiceTier::of(body.service_tier.as_deref());
    Ok(Parsed {
        echo: Echo {
            created_at: 0,
            instructions: body.instructions.clone(),
            max_output_tokens,
            max_tool_calls: body.max_tool_calls,
            temperature: body.temperature.unwrap_or(0.0),
            top_p: body.top_p.unwrap_or(1.0),
            top_logprobs,
            tools: body.tools,
            tool_choice: body.tool_choice,
            parallel_tool_calls: body.parallel_tool_calls,
            text: body.text,
            reasoning: body.reasoning,
            previous_response_id: body.previous_response_id,
            conversation: None,
            store: body.store,
            background,
            service_tier,
            truncation: body.truncation,
            metadata,
            prompt_cache_key: body.prompt_cache_key,
            prompt_cache_options: body.prompt_cache_options,
            prompt_cache_retention: body.prompt_cache_retention,
            safety_identifier: body.safety_identifier,
            user: body.user,
            warms: !generate,
            compaction: None,
        },
        request: CreateResponse {
            model,
            input,
            instructions: body.instructions,
            max_output_tokens,
            temperature: body.temperature,
            top_p: body.top_p,
            include: include.into_iter().collect(),
            top_logprobs,
            tools,
            tool_choice,
            parallel_tool_calls: body.parallel_tool_calls.unwrap_or(true),
            format,
            reasoning: reasoning.unwrap_or_default(),
            stream: body.stream.unwrap_or(false),
            generate,
            // Nobody waits for what is answered in the background.
            tier: if background { ServiceTier::Flex } else { service_tier },
            cerium: body.cerium.unwrap_or_default(),
        },
    })
}

/// Every field that this server reads, or would get wrong if it did not refuse it.
#[derive(Default, Deserialize)]
#[serde(default, expecting = "an object")]
struct Body {
    model: Option<String>,
    input: Option<RawInput>,
    instructions: Option<String>,
    max_output_tokens: Option<u64>,
    max_tool_calls: Option<u32>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    stream: Option<bool>,
    tools: Option<Json>,
    tool_choice: Option<Json>,
    parallel_tool_calls: Option<bool>,
    text: Option<Json>,
    reasoning: Option<Json>,
    metadata: Option<BTreeMap<String, String>>,
    prompt_cache_key: Option<String>,
    safety_identifier: Option<String>,
    user: Option<String>,
    service_tier: Option<String>,
    store: Option<bool>,
    background: Option<bool>,
    previous_response_id: Option<String>,
    truncation: Option<String>,
    generate: Option<bool>,
    cerium: Option<Extensions>,

    prompt: Asked,
    top_logprobs: Option<u32>,
    include: Option<Vec<String>>,
    prompt_cache_options: Option<Json>,
    prompt_cache_retention: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, expecting = "an object")]
struct CacheOptions {
    prewarm: Option<bool>,
}

impl Body {
    fn refuse_unserved(&self) -> Result<(), ErrorBody> {
        self.prompt.refuse("prompt")
    }
}

pub(super) enum RawInput {
    Text(String),
    Items(Items<RawItem>),
}

impl RawInput {
    pub(super) fn lower(self) -> Result<Input, ErrorBody> {
        Ok(match self {
            Self::Text(text) => Input::Text(text),
            Self::Items(items) => Input::Items(items.0?),
        })
    }
}

impl<'de> Deserialize<'de> for RawInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(InputVisitor)
    }
}

struct InputVisitor;

impl<'de> Visitor<'de> for InputVisitor {
    type Value = RawInput;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of items")
    }

    fn visit_str<E>(self, value: &str) -> Result<RawInput, E> {
        Ok(RawInput::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<RawInput, A::Error> {
        Items::read(seq).map(RawInput::Items)
    }
}

/// The published bounds: 16 pairs, keys of 64 and values of 512 characters.
pub fn check_metadata(
    metadata: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, ErrorBody> {
    const PAIRS_MAX: usize = 16;
    const KEY_CHARS_MAX: usize = 64;
    const VALUE_CHARS_MAX: usize = 512;
    let too_long = |text: &str, max: usize| text.chars().nth(max).is_some();
    if metadata.len() > PAIRS_MAX {
        return Err(ErrorBody::invalid(
            "metadata",
            format!("`metadata` has {} pairs; at most {PAIRS_MAX} are kept", metadata.len()),
        ));
    }
    for (key, value) in &metadata {
        if too_long(key, KEY_CHARS_MAX) || too_long(value, VALUE_CHARS_MAX) {
            return Err(ErrorBody::invalid(
                format!("metadata.{}", shorten(key, WORD_CHARS)),
                format!(
                    "a key of `metadata` may have {KEY_CHARS_MAX} characters, a value \
                     {VALUE_CHARS_MAX}"
                ),
            ));
        }
    }
    Ok(metadata)
}

//! Body of `POST /v1/responses` to a [`CreateResponse`].

use crate::wire::content::{self, Content, Items, Raw};
use crate::wire::json;
use crate::wire::unserved::{Asked, WORD_CHARS, shorten};
use crate::{CreateResponse, ErrorBody, Extensions, Include, Input, InputItem};
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

/// Fields of a request that its response object repeats.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Echo {
    /// When the request was accepted, in seconds since 1970; whoever accepts it sets this.
    pub created_at: u64,
    /// System message of the request.
    pub instructions: Option<String>,
    /// Upper bound of the answer, in tokens.
    pub max_output_tokens: Option<u32>,
    /// The temperature really used: 0, greedy, unless the request names one.
    pub temperature: f32,
    /// The nucleus bound really used.
    pub top_p: f32,
    /// Of how many tokens beside the chosen one log-probabilities were asked for.
    pub top_logprobs: u32,
    /// The client's own notes.
    pub metadata: BTreeMap<String, String>,
    /// The client's hint for prompt caching. Not needed here: caches are found by content.
    pub prompt_cache_key: Option<String>,
    /// Who the client says is asking.
    pub safety_identifier: Option<String>,
    /// The same, by its older name.
    pub user: Option<String>,
    /// Whether there is no answer to come: the prompt alone is computed.
    pub warms: bool,
}

/// What [`Include::Logprobs`] is called.
const LOGPROBS: &str = "message.output_text.logprobs";

/// Reads a body. The model's name is not checked here: only the server knows what it serves.
pub fn read(body: &[u8]) -> Result<Parsed, ErrorBody> {
    let body: Body = json::read(body)?;
    body.previous_response_id.refuse("previous_response_id")?;
    lower(body)
}

/// The same of the event of a WebSocket, which may go on from a response that it names.
pub fn read_create(event: &[u8]) -> Result<Parsed, ErrorBody> {
    lower(json::read(event)?)
}

fn lower(body: Body) -> Result<Parsed, ErrorBody> {
    body.refuse_unserved()?;
    let model = json::required(body.model, "model")?;
    let input = json::required(body.input, "input")?.lower()?;
    let max_output_tokens = json::token_limit(body.max_output_tokens, "max_output_tokens")?;
    let prewarm = body.prompt_cache_options.and_then(|options| options.prewarm);
    let generate = body.generate != Some(false) && prewarm != Some(true);
    let metadata = check_metadata(body.metadata.unwrap_or_default())?;
    // Other things that could be included (reasoning, searches) no answer of this server has.
    let mut included = body.include.iter().flatten();
    let include = included.any(|it| it == LOGPROBS).then_some(Include::Logprobs);
    let top_logprobs = body.top_logprobs.unwrap_or(0);
    Ok(Parsed {
        echo: Echo {
            created_at: 0,
            instructions: body.instructions.clone(),
            max_output_tokens,
            temperature: body.temperature.unwrap_or(0.0),
            top_p: body.top_p.unwrap_or(1.0),
            top_logprobs,
            metadata,
            prompt_cache_key: body.prompt_cache_key,
            safety_identifier: body.safety_identifier,
            user: body.user,
            warms: !generate,
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
            stream: body.stream.unwrap_or(false),
            generate,
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
    temperature: Option<f32>,
    top_p: Option<f32>,
    stream: Option<bool>,
    metadata: Option<BTreeMap<String, String>>,
    prompt_cache_key: Option<String>,
    safety_identifier: Option<String>,
    user: Option<String>,
    cerium: Option<Extensions>,

    store: Asked,
    background: Asked,
    previous_response_id: Asked,
    conversation: Asked,
    prompt: Asked,
    tools: Asked,
    tool_choice: Asked,
    truncation: Asked,
    top_logprobs: Option<u32>,
    context_management: Asked,
    include: Option<Vec<String>>,
    text: Option<TextOptions>,
    generate: Option<bool>,
    prompt_cache_options: Option<CacheOptions>,
}

#[derive(Default, Deserialize)]
#[serde(default, expecting = "an object")]
struct CacheOptions {
    prewarm: Option<bool>,
}

#[derive(Deserialize)]
struct TextOptions {
    #[serde(default)]
    format: Option<TextFormat>,
}

#[derive(Deserialize)]
struct TextFormat {
    #[serde(rename = "type", default)]
    kind: Asked,
}

impl Body {
    fn refuse_unserved(&self) -> Result<(), ErrorBody> {
        self.conversation.refuse("conversation")?;
        self.background.refuse("background")?;
        self.prompt.refuse("prompt")?;
        self.tools.refuse("tools")?;
        self.tool_choice.refuse_unless("tool_choice", &["auto", "none"])?;
        self.truncation.refuse_unless("truncation", &["disabled"])?;
        self.context_management.refuse("context_management")?;
        // Absent means true to the hosted service. Clients rarely mean it, and the response says
        // `store: false`; one that spells it out would come back for the response.
        if self.store != Asked::Nothing {
            return Err(ErrorBody::not_served(
                "store",
                "responses are not stored here; leave `store` out or say false",
            ));
        }
        if let Some(format) = self.text.as_ref().and_then(|text| text.format.as_ref()) {
            format.kind.refuse_unless("text.format.type", &["text"])?;
        }
        Ok(())
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

/// An item before its type is looked at. Ids and states are the client's business: never needed.
#[derive(Deserialize)]
#[serde(expecting = "an item")]
pub(super) struct RawItem {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    content: Option<Content>,
}

impl Raw for RawItem {
    const LIST: &'static str = "input";

    fn lower(self, param: fmt::Arguments<'_>) -> Result<InputItem, ErrorBody> {
        match (self.kind.as_deref(), &self.role) {
            // An item without type but with role is an easy message; several clients send it.
            (Some("message"), _) | (None, Some(_)) => {
                content::message(self.role.as_deref(), self.content, param)
            }
            (Some(kind), _) => Err(ErrorBody::not_served(
                format!("{param}.type"),
                format!(
                    "input items of type `{}` are not served, only messages",
                    shorten(kind, WORD_CHARS)
                ),
            )),
            (None, None) => {
                let what = format!("`{param}` has neither type nor role");
                Err(ErrorBody::invalid(param.to_string(), what))
            }
        }
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
fn check_metadata(
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

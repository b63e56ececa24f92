//! Body of `POST /v1/chat/completions` to a [`CreateResponse`].

use super::{Extras, StreamOptions, prefer};
use crate::reasoning::word;
use crate::wire::content::{self, Content, Items, Raw};
use crate::wire::texts::Texts;
use crate::wire::unserved::Asked;
use crate::wire::{format, json, tools};
use crate::{
    CreateResponse, Effort, ErrorBody, Extensions, Include, Input, Item, Json, Reasoning,
    ServiceTier,
};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;

/// A request, and what its stream must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// What is asked.
    pub request: CreateResponse,
    /// What the answer must hold.
    pub extras: Extras,
}

/// Reads a body. The model's name is not checked here: only the server knows what it serves.
pub fn read(body: &[u8]) -> Result<Parsed, ErrorBody> {
    let body: Body = json::read(body)?;
    body.refuse_unserved()?;
    let model = json::required(body.model, "model")?;
    let items = json::required(body.messages, "messages")?.0?;
    // The second is the older name; a client that sends both means the newer one.
    let max_output_tokens = json::token_limit(body.max_completion_tokens, "max_completion_tokens")?
        .or(json::token_limit(body.max_tokens, "max_tokens")?);
    let mut cerium = body.cerium.unwrap_or_default();
    cerium.stop.extend(body.stop.unwrap_or_default().0);
    let penalties = (body.presence_penalty, body.frequency_penalty);
    prefer(&mut cerium, penalties, body.logit_bias)?;
    // Only its identity matters, so a negative seed may become any other number.
    cerium.seed = cerium.seed.or(body.seed.map(|seed| seed as u64));
    if let Some(prediction) = body.prediction {
        cerium.prediction = Some(prediction.content.into_text(format_args!("prediction.content"))?);
    }
    let logprobs = body.logprobs.unwrap_or(false).then_some(body.top_logprobs.unwrap_or(0));
    let usage = body.stream_options.and_then(|o| o.include_usage).unwrap_or(false);
    let tools = tools::tools(body.tools.as_ref(), "tools")?;
    let tool_choice = tools::choice(body.tool_choice.as_ref(), &tools)?;
    let tier = ServiceTier::of(body.service_tier.as_deref());
    Ok(Parsed {
        extras: Extras { n: body.n.unwrap_or(1), usage, logprobs, tier },
        request: CreateResponse {
            model,
            input: Input::Items(items),
            instructions: None,
            max_output_tokens,
            temperature: body.temperature,
            top_p: body.top_p,
            include: logprobs.map(|_| Include::Logprobs).into_iter().collect(),
            top_logprobs: logprobs.unwrap_or(0),
            tools,
            tool_choice,
            parallel_tool_calls: body.parallel_tool_calls.unwrap_or(true),
            format: format::of_chat(body.response_format.as_ref())?,
            reasoning: Reasoning { effort: body.reasoning_effort, summary: None },
            stream: body.stream.unwrap_or(false),
            generate: true,
            tier,
            cerium,
        },
    })
}

/// Every field that this server reads, or would get wrong if it did not refuse it.
#[derive(Default, Deserialize)]
#[serde(default, expecting = "an object")]
struct Body {
    model: Option<String>,
    messages: Option<Items<Message>>,
    max_completion_tokens: Option<u64>,
    max_tokens: Option<u64>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    stop: Option<Texts>,
    seed: Option<i64>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    prediction: Option<Prediction>,
    n: Option<u32>,
    tools: Option<Json>,
    tool_choice: Option<Json>,
    parallel_tool_calls: Option<bool>,
    response_format: Option<Json>,
    #[serde(deserialize_with = "word")]
    reasoning_effort: Option<Effort>,
    logprobs: Option<bool>,
    top_logprobs: Option<u32>,
    presence_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    logit_bias: Option<BTreeMap<String, f32>>,
    service_tier: Option<String>,
    cerium: Option<Extensions>,

    store: Asked,
    functions: Asked,
    function_call: Asked,
    modalities: Option<Vec<String>>,
    audio: Asked,
    web_search_options: Option<serde::de::IgnoredAny>,
}

/// How far back a call is looked for that an output belongs to.
const CALLS_MAX: usize = 256;

/// Text the client expects to see again; a hint that may only change speed.
#[derive(Deserialize)]
struct Prediction {
    content: Content,
}

impl Body {
    fn refuse_unserved(&self) -> Result<(), ErrorBody> {
        self.store.refuse("store")?;
        self.functions.refuse("functions")?;
        self.function_call.refuse_unless("function_call", &["auto", "none"])?;
        for (index, modality) in self.modalities.iter().flatten().enumerate() {
            Asked::Word(modality.clone())
                .refuse_unless(&format!("modalities[{index}]"), &["text"])?;
        }
        self.audio.refuse("audio")?;
        if self.web_search_options.is_some() {
            Asked::Something.refuse("web_search_options")?; // `{}` asks for a search.
        }
        Ok(())
    }
}

#[derive(Default, Deserialize)]
#[serde(default, expecting = "a message")]
struct Message {
    role: Option<String>,
    content: Option<Content>,
    refusal: Option<String>,
    reasoning_content: Option<String>,
    tool_call_id: Option<String>,
    tool_calls: Option<Vec<ToolCall>>,
    function_call: Asked,
}

#[derive(Default, Deserialize)]
#[serde(default, expecting = "a call")]
struct ToolCall {
    id: String,
    function: Option<Called>,
    custom: Option<Called>,
}

#[derive(Default, Deserialize)]
#[serde(default, expecting = "an object")]
struct Called {
    name: String,
    arguments: String,
    input: String,
}

impl Raw for Message {
    const LIST: &'static str = "messages";

    fn lower(self, param: fmt::Arguments<'_>, items: &mut Vec<Item>) -> Result<(), ErrorBody> {
        self.function_call.refuse(&format!("{param}.function_call"))?;
        let content = self.content.or(self.refusal.map(Content::Text));
        if self.role.as_deref() == Some("tool") {
            let Some(content) = content else {
                let what = format!("`{param}` has no content");
                return Err(ErrorBody::invalid(format!("{param}.content"), what));
            };
            let output = content.into_text(format_args!("{param}.content"))?;
            let call_id = self.tool_call_id.unwrap_or_default();
            let is_of = |item: &Item| matches!(item, Item::CustomToolCall { call_id: id, .. } if *id == call_id);
            // This dialect does not say which kind of tool it was.
            let is_custom = items.iter().rev().take(CALLS_MAX).any(is_of);
            items.push(if is_custom {
                Item::CustomToolCallOutput { call_id, output }
            } else {
                Item::FunctionCallOutput { call_id, output }
            });
            return Ok(());
        }
        if let Some(text) = self.reasoning_content.filter(|text| !text.is_empty()) {
            items.push(Item::Reasoning { text });
        }
        let calls = self.tool_calls.unwrap_or_default();
        // What only calls says nothing: null, or "".
        let silent = content.as_ref().is_none_or(Content::is_empty);
        if calls.is_empty() || !silent {
            items.push(content::message(self.role.as_deref(), content, param)?);
        } else if self.role.as_deref() != Some("assistant") {
            let what = "only the assistant calls tools";
            return Err(ErrorBody::invalid(format!("{param}.tool_calls"), what));
        }
        for (i, call) in calls.into_iter().enumerate() {
            let call_id = call.id;
            items.push(match (call.function, call.custom) {
                (Some(Called { name, arguments, .. }), _) => {
                    Item::FunctionCall { call_id, name, namespace: None, arguments }
                }
                (None, Some(Called { name, input, .. })) => {
                    Item::CustomToolCall { call_id, name, namespace: None, input }
                }
                (None, None) => {
                    let what = "a call needs `function` or `custom`";
                    return Err(ErrorBody::invalid(format!("{param}.tool_calls[{i}]"), what));
                }
            });
        }
        Ok(())
    }
}

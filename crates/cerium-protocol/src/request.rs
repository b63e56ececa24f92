//! What a client asks for.
//!
//! Serialised, these are bodies that any server of the protocol accepts. They are not how bodies of
//! other clients are read: those spell the same things in many ways, and [`crate::wire`] knows them.

use crate::{Input, Reasoning, ServiceTier, TextFormat, Tool, ToolChoice};
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;

/// Asks for an answer to a conversation (`POST /v1/responses`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CreateResponse {
    /// Name of the model.
    pub model: String,
    /// The conversation so far.
    pub input: Input,
    /// A system message put before the input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// Upper bound of the answer, in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u32>,
    /// 0 is greedy. Absent: greedy, the right default for code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// Nucleus bound, 0 < p <= 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f32>,
    /// What the response is to hold beside the usual.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<Include>,
    /// With log-probabilities: those of so many of the likeliest tokens as well, at most 20.
    #[serde(skip_serializing_if = "is_default")]
    pub top_logprobs: u32,
    /// What the model may call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Tool>,
    /// Whether it may, must or must not.
    #[serde(skip_serializing_if = "is_default")]
    pub tool_choice: ToolChoice,
    /// Whether it may call several tools in one answer.
    #[serde(skip_serializing_if = "Clone::clone")]
    pub parallel_tool_calls: bool,
    /// What shape the answer's text has.
    #[serde(
        rename = "text",
        skip_serializing_if = "is_default",
        serialize_with = "as_text_options"
    )]
    pub format: TextFormat,
    /// How much is thought before it.
    #[serde(skip_serializing_if = "is_default")]
    pub reasoning: Reasoning,
    /// Whether events are streamed.
    pub stream: bool,
    /// False only has the conversation computed, in the background, for requests that will begin with it.
    #[serde(skip_serializing_if = "Clone::clone")]
    pub generate: bool,
    /// Who goes first. Another engine is not told.
    #[serde(skip)]
    pub tier: ServiceTier,
    /// What the Responses API has no field for.
    #[serde(skip_serializing_if = "is_default")]
    pub cerium: Extensions,
}

/// What a response may hold beside the usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Include {
    /// How likely each token was.
    #[serde(rename = "message.output_text.logprobs")]
    Logprobs,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn as_text_options<S: Serializer>(format: &TextFormat, to: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct TextOptions<'a> {
        format: &'a TextFormat,
    }
    TextOptions { format }.serialize(to)
}

impl CreateResponse {
    /// Asks for an answer as a stream and says nothing else.
    pub fn new(model: String, input: Input) -> Self {
        Self {
            model,
            input,
            instructions: None,
            max_output_tokens: None,
            temperature: None,
            top_p: None,
            include: Vec::new(),
            top_logprobs: 0,
            tools: Vec::new(),
            tool_choice: ToolChoice::Auto,
            parallel_tool_calls: true,
            format: TextFormat::Text,
            reasoning: Reasoning::default(),
            stream: true,
            generate: true,
            tier: ServiceTier::Default,
            cerium: Extensions::default(),
        }
    }

    /// If log-probabilities are asked for: of how many tokens beside the chosen one.
    pub fn logprobs(&self) -> Option<u32> {
        self.include.contains(&Include::Logprobs).then_some(self.top_logprobs)
    }
}

/// Extension fields, understood by cerium alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Extensions {
    /// The answer's first characters: they are put into the prompt after the assistant header,
    /// generation goes on from them, and they are not repeated in the output.
    pub prefix: String,
    /// Texts that end the answer; they are not part of it.
    pub stop: Vec<String>,
    /// What the answer will probably look like. A hint that may only change speed.
    pub prediction: Option<String>,
    /// What the answer may be drafted from; absent, everything. It may only change speed.
    pub drafts: Option<Vec<DraftSource>>,
    /// In a completion: an empty suffix is one too, the middle is to be filled in before the end.
    /// Other clients mean by it that there is none.
    pub infill: bool,
    /// In an infill: other files that the model is shown before.
    pub files: Vec<ContextFile>,
    /// Keep the k likeliest tokens; 0 keeps all.
    pub top_k: u32,
    /// Keep tokens at least this fraction as likely as the likeliest; 0 keeps all.
    pub min_p: f32,
    /// Divides the logits of tokens already seen (multiplies negative ones); 1 changes nothing.
    pub repetition_penalty: Option<f32>,
    /// Taken off the logits of tokens that the answer has already, from -2 to 2.
    pub presence_penalty: f32,
    /// The same for every time that it has them.
    pub frequency_penalty: f32,
    /// Added to the logits of these tokens, by id, from -100 to 100.
    pub logit_bias: BTreeMap<u32, f32>,
    /// Seed of the random numbers, which are keyed by (seed, position). Absent: a fresh one, so
    /// that asking again at a temperature above 0 gives another answer.
    pub seed: Option<u64>,
    /// What parts of the input's texts are, for telling what of them was known. It changes nothing else.
    pub parts: Vec<PromptPart>,
}

/// A part of an item's text: from here to the next one, or to the item's end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PromptPart {
    /// Which item of the input, counted from 0.
    pub item: usize,
    /// The byte of its text at which the part begins.
    pub byte: usize,
    /// What it is.
    pub name: String,
}

/// A file, or a part of one, beside the one that is asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContextFile {
    /// Its name.
    pub filename: String,
    /// What stands in it.
    pub text: String,
}

/// What an answer may be drafted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DraftSource {
    /// The prediction, as it stands.
    Prediction,
    /// The prediction, with what was changed in it so far changed in the rest as well.
    Changes,
    /// What stood there before, in the conversation or in earlier ones.
    Repeats,
}

/// Asks to go on with raw text, or to fill in the middle when `suffix` is given
/// (`POST /v1/completions`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompletionRequest {
    /// Name of the model.
    pub model: String,
    /// Text before the point.
    pub prompt: String,
    /// Text after the point: the model's own infill tokens are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suffix: Option<String>,
    /// Upper bound, in tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// 0 or absent is greedy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// Nucleus bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f32>,
    /// Log-probabilities of so many of the likeliest tokens beside the chosen one's, at most 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<u32>,
    /// Texts that end the completion.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// Whether chunks are streamed.
    #[serde(default)]
    pub stream: bool,
    /// False only has the text computed, for requests that will begin with it.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub generate: bool,
    /// What the API has no field for.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cerium: Extensions,
}

fn yes() -> bool {
    true
}

impl CompletionRequest {
    /// Asks to go on with a text, as a stream, and says nothing else.
    pub fn new(model: String, prompt: String) -> Self {
        Self {
            model,
            prompt,
            suffix: None,
            max_tokens: None,
            temperature: None,
            top_p: None,
            logprobs: None,
            stop: Vec::new(),
            stream: true,
            generate: true,
            cerium: Extensions::default(),
        }
    }
}

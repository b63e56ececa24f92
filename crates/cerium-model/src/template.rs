//! A conversation as the ids that the model was trained to see, by the file's own Jinja template.
//!
//! Two kinds of outsiders meet here. The *template* comes with the file: it runs with a budget
//! that bounds its steps and its memory. The *messages* come from people, files and tools: nothing
//! in them becomes a control token. Before rendering, every text of a control token that occurs in
//! a message is broken up by a mark which occurs nowhere else; the rendered text is cut at the
//! special tokens that remain, which the template wrote; the marks are taken out of the stretches
//! between, and those are encoded as plain text. Messages that hold no such texts pass through
//! untouched, and the ids are those of the reference implementation.

mod conversation;
mod engine;
mod growth;
mod guard;

use std::fmt;

use minijinja::{Environment, context};

use crate::{
    LoadError,
    gguf::{Gguf, optional},
    tokenizer::{Part, Tokenizer},
};

use conversation::Conversation;
use growth::Growth;
use guard::Guard;

pub use growth::{Ending, Speaker};

/// What models without a template of their own, but with its tokens, are used with.
const CHATML: &str = "\
{%- for message in messages -%}\
{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}\
{%- endfor -%}\
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}";

/// Gemma's own, shortened to text; its base models come without.
const GEMMA: &str = "\
{{- bos_token -}}\
{%- set ns = namespace(before='') -%}\
{%- for message in messages -%}\
{%- if message.role in ['system', 'developer'] -%}\
{%- set ns.before = ns.before + (message.content | trim) + '\\n\\n' -%}\
{%- else -%}\
{%- set role = 'model' if message.role == 'assistant' else 'user' -%}\
{{ '<start_of_turn>' + role + '\\n' + ns.before + (message.content | trim) + '<end_of_turn>\\n' }}\
{%- set ns.before = '' -%}\
{%- endif -%}\
{%- endfor -%}\
{%- if add_generation_prompt -%}{{ '<start_of_turn>model\\n' }}{%- endif -%}";

/// A tool takes a template as many steps as so many messages: some go through its parameters one by one.
const STEPS_PER_TOOL: usize = 20;

/// Who may speak. A closed list, because templates put roles into the texts of control tokens.
const ROLES: [&str; 5] = ["system", "developer", "user", "assistant", "tool"];

/// One turn of a conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// `system`, `developer`, `user`, `assistant` or `tool`.
    pub role: String,
    /// What was said; any text.
    pub content: String,
    /// What the assistant thought before; only templates that ask for it show it.
    pub reasoning: Option<String>,
    /// What the assistant called.
    pub calls: Vec<Call>,
    /// Which call of the conversation a tool answers, counted from 0.
    pub answers: Option<usize>,
}

/// A call of a tool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Call {
    /// Name of the tool.
    pub name: String,
    /// JSON. How it is spaced has no influence; text that is no JSON is shown as a string.
    pub arguments: String,
}

/// Why a conversation cannot be put into a model's format.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// The file has no template, and none is known for its vocabulary.
    #[error("the file has no chat template: it is a base model, made for completion only")]
    Missing,
    /// The template is not valid Jinja.
    #[error("the file's chat template cannot be read")]
    Syntax(#[source] Box<minijinja::Error>),
    /// The template failed, gave up (`raise_exception`) or ran out of its budget.
    #[error("the file's chat template failed")]
    Render(#[source] Box<minijinja::Error>),
    /// The special tokens are too many or too long to search for.
    #[error("the control tokens cannot be searched for: {problem}")]
    Controls {
        /// What the search library said.
        problem: String,
    },
    /// A tool is described by something that is no JSON.
    #[error("a tool's description is no JSON")]
    Tools(#[source] serde_json::Error),
    /// A message from somebody unknown.
    #[error("a message has the role {found:?}; possible are {}", ROLES.join(", "))]
    Role {
        /// The role.
        found: String,
    },
}

/// A model's chat template, ready to render.
pub struct ChatTemplate {
    source: String,
    environment: Environment<'static>,
    guard: Guard,
    growth: Growth,
    bos_token: String,
    eos_token: String,
}

impl fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("ChatTemplate").field("source", &self.source).finish_non_exhaustive()
    }
}

impl ChatTemplate {
    /// Takes `tokenizer.chat_template`; without one, the format whose tokens the vocabulary has
    /// (`ChatML`, Gemma).
    ///
    /// # Errors
    /// [`LoadError::Template`] with `Missing` or `Syntax`; [`LoadError::Gguf`] if the key is not a
    /// string.
    pub fn from_gguf(gguf: &Gguf, tokenizer: &Tokenizer) -> Result<Self, LoadError> {
        let known = |texts: [&str; 2]| texts.iter().all(|text| tokenizer.special(text).is_some());
        let source = match optional(gguf.str("tokenizer.chat_template"))? {
            Some(source) => source,
            None if known(["<|im_start|>", "<|im_end|>"]) => CHATML,
            None if known(["<start_of_turn>", "<end_of_turn>"]) => GEMMA,
            None => return Err(TemplateError::Missing.into()),
        };
        let environment =
            engine::environment(source).map_err(|error| TemplateError::Syntax(Box::new(error)))?;
        let text = |id: Option<u32>| {
            id.and_then(|id| tokenizer.control_text(id)).unwrap_or_default().to_owned()
        };
        Ok(Self {
            source: source.to_owned(),
            environment,
            guard: Guard::new(tokenizer, source)?,
            growth: Growth::default(),
            bos_token: text(tokenizer.bos()),
            eos_token: text(tokenizer.eos()),
        })
    }

    /// The template itself.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the template shows the model what tools there are; else they can only be told of.
    pub fn takes_tools(&self) -> bool {
        self.source.contains("tools")
    }

    /// The ids of a conversation; with `add_generation_prompt` up to where the model's turn
    /// begins. `tok` must be the tokenizer that the template was made with.
    ///
    /// * `tools`: JSON objects, `{"type": "function", "function": {"name": ...}}`
    ///
    /// # Errors
    /// `Role`, `Tools`, `Render`.
    pub fn encode(
        &self,
        tok: &Tokenizer,
        messages: &[Message],
        tools: &[String],
        add_generation_prompt: bool,
    ) -> Result<Vec<u32>, TemplateError> {
        self.encode_turns(tok, messages, (&[], 0), tools, add_generation_prompt)
    }

    /// * `more`: what follows the messages, and how many calls are before it
    fn encode_turns(
        &self,
        tok: &Tokenizer,
        messages: &[Message],
        more: (&[Message], usize),
        tools: &[String],
        add_generation_prompt: bool,
    ) -> Result<Vec<u32>, TemplateError> {
        let turns = || messages.iter().chain(more.0);
        if let Some(message) = turns().find(|turn| !ROLES.contains(&turn.role.as_str())) {
            return Err(TemplateError::Role { found: message.role.clone() });
        }
        let conversation = Conversation::read(messages, more, tools)?;
        let mark = self.guard.mark(conversation.texts());
        let n_bytes = turns().map(Message::n_bytes).sum::<usize>()
            + tools.iter().map(String::len).sum::<usize>();
        let conversation = conversation.guarded(&|text| self.guard.break_up(text, &mark));
        let context = context! {
            messages => conversation.messages,
            add_generation_prompt,
            bos_token => self.bos_token.as_str(),
            eos_token => self.eos_token.as_str(),
            // Templates ask whether these are none, as the reference passes them.
            tools => conversation.tools,
            documents => (),
        };
        let n_steps = turns().count() + STEPS_PER_TOOL * tools.len();
        let rendered = engine::render(&self.environment, n_steps, n_bytes, context)
            .map_err(|error| TemplateError::Render(Box::new(error)))?;
        let mut ids = Vec::new();
        tok.cut_at_control(&rendered, |part| match part {
            Part::Special(id) => ids.push(id),
            Part::Text(text) => ids.extend(tok.encode(&text.replace(&mark, ""))),
        });
        Ok(ids)
    }
}

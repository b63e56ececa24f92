//! What is asked of an answer, as one grammar for all of it, in Lark's notation.
//!
//! JSON is written as Python and templates write it, a space after commas and colons, so that a call comes back
//! in the next request's prompt as the very tokens that it was generated as.

use super::{patch, quotes};
use crate::calls::Style;
use crate::conversation::{CLOSING_TAG, called};
use crate::guide::{APPLY_PATCH, Guide, WRITE_STDIN};
use cerium_model::tokenizer::Tokenizer;
use cerium_protocol::{
    CreateResponse, CustomFormat, ErrorBody, GrammarSyntax, Json, TextFormat, Tool, ToolChoice,
    ToolKind,
};
use llguidance::api::{GrammarWithLexer, TopLevelGrammar};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Most bytes of all schemas and grammars of a request.
const BYTES_MAX: usize = 1 << 20;

/// Most characters that a guided model says.
const SAID_MAX: usize = 2000;

/// A command in JSON that changes no file, which is left to patches: words, none of which writes or runs what was
/// written as one word.
const COMMAND: &str = r#"command: WORD (SPACE WORD){0,60}
SPACE: / {1,20}/
WORD: /([^"\\> \x00-\x1f]|\\["\\nt])+/ & ~/(.*([;|&('"`]|\\n))?(sed|perl|tee|ed|patch|apply_patch|-c)([;|&)'"\\].*)?/
"#;

/// What is asked of an answer.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own")]
pub(crate) struct Asked<'a> {
    pub(crate) style: Style,
    pub(crate) thinks: Thinks,
    /// What may be called.
    pub(crate) tools: Vec<&'a Tool>,
    /// Whether something must be.
    pub(crate) required: bool,
    /// Whether there are tools that must not be called.
    pub(crate) forbidden: bool,
    /// Whether several may be called.
    pub(crate) parallel: bool,
    pub(crate) format: &'a TextFormat,
    /// What bounds the calls of a model that chooses by itself.
    pub(crate) guide: Option<Guide>,
    /// Whether files are changed by patches, and so by no command.
    patches: bool,
}

/// Whether an answer begins with a thought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Thinks {
    No,
    May,
    /// The prompt has begun one.
    Begun,
}

impl<'a> Asked<'a> {
    pub(crate) fn of(
        request: &'a CreateResponse,
        style: Style,
        thinks: Thinks,
        guide: Option<Guide>,
    ) -> Self {
        let guide = guide.filter(|_| request.tool_choice == ToolChoice::Auto);
        let offered = |tool: &&Tool| {
            let name = called(tool.namespace.as_deref(), &tool.name);
            guide.as_ref().is_none_or(|guide| {
                guide.again.as_ref() != Some(&name)
                    && (name != APPLY_PATCH || guide.looks.is_some())
                    && (name != WRITE_STDIN || guide.runs)
            })
        };
        let all = || request.tools.iter().filter(offered).collect::<Vec<_>>();
        let (tools, required) = match &request.tool_choice {
            ToolChoice::Auto => match &guide {
                Some(guide) => owed(guide, all()),
                None => (all(), false),
            },
            ToolChoice::None => (Vec::new(), false),
            ToolChoice::Required => (all(), true),
            ToolChoice::Named(name) => {
                (all().into_iter().filter(|tool| name.means(tool)).collect(), true)
            }
            ToolChoice::Allowed { required, tools } => {
                let allowed = |tool: &&Tool| tools.iter().any(|name| name.means(tool));
                (all().into_iter().filter(allowed).collect(), *required)
            }
        };
        // One at a time, so that each may go by what the last one showed.
        let parallel = request.parallel_tool_calls && guide.is_none();
        let patches = guide.is_some() && request.tools.iter().any(|it| it.name == APPLY_PATCH);
        Self {
            style,
            thinks,
            patches,
            forbidden: tools.is_empty() && !request.tools.is_empty(),
            tools,
            required,
            parallel,
            format: &request.format,
            guide,
        }
    }

    /// Whether the answer is a call and nothing else, or something said.
    fn is_guided(&self) -> bool {
        self.guide.is_some() && *self.format == TextFormat::Text
    }
}

/// What may be called where the person has asked for a call, and whether something must be.
fn owed<'a>(guide: &Guide, mut tools: Vec<&'a Tool>) -> (Vec<&'a Tool>, bool) {
    let Some(owed) = &guide.owed else { return (tools, false) };
    let is_owed = |tool: &&Tool| called(tool.namespace.as_deref(), &tool.name) == owed.name;
    if owed.is_late && tools.iter().any(is_owed) {
        tools.retain(is_owed);
    }
    let required = !tools.is_empty();
    (tools, required)
}

/// A grammar, and those that it refers to by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grammar {
    main: String,
    parts: Vec<(String, String)>,
}

impl Grammar {
    /// A text that no other grammar has.
    pub(super) fn key(&self) -> String {
        let mut key = self.main.clone();
        for (name, part) in &self.parts {
            let _ = write!(key, "\u{0}{name}\u{0}{part}");
        }
        key
    }

    pub(super) fn top_level(&self) -> TopLevelGrammar {
        let named = |(name, lark): &(String, String)| GrammarWithLexer {
            name: Some(name.clone()),
            ..GrammarWithLexer::from_lark(lark.clone())
        };
        let mut grammar = TopLevelGrammar::from_lark(self.main.clone());
        grammar.grammars.extend(self.parts.iter().map(named));
        grammar
    }
}

/// The grammar of an answer; `None` where anything may be said. `whole`: whether tools that are not strict keep to
/// their schemas, too.
pub(super) fn of(
    asked: &Asked<'_>,
    tokenizer: &Tokenizer,
    whole: bool,
) -> Result<Option<Grammar>, ErrorBody> {
    let free = *asked.format == TextFormat::Text && !asked.required;
    if free && asked.tools.is_empty() && !asked.forbidden {
        return Ok(None);
    }
    // Channels bound what is said by themselves; what they hold is bounded where it must be.
    if free && asked.style == Style::Harmony {
        return Ok(None);
    }
    let mut builder = Builder { asked, tokenizer, whole, rules: String::new(), parts: Vec::new() };
    let answer = builder.answer()?;
    let start = match asked.thinks {
        Thinks::No => format!("start: {answer}\n"),
        Thinks::May => format!("start: (\"<think>\" thought)? ({answer})\n"),
        Thinks::Begun => format!("start: thought ({answer})\n"),
    };
    if asked.thinks != Thinks::No {
        builder.rules += "thought: reasoning /\\n*/\nreasoning[suffix=\"</think>\"]: /(?s:.*)/\n";
    }
    let Builder { rules, parts, .. } = builder;
    let grammar = Grammar { main: start + &rules, parts };
    let n_bytes = grammar.key().len();
    if n_bytes > BYTES_MAX {
        let what =
            format!("schemas and grammars of {n_bytes} bytes; at most {BYTES_MAX} are served");
        return Err(ErrorBody::invalid(param(asked), what));
    }
    Ok(Some(grammar))
}

/// Why a grammar cannot be followed.
pub(super) fn invalid(asked: &Asked<'_>, why: &str) -> ErrorBody {
    const CHARS_MAX: usize = 400;
    let why: String = why.chars().take(CHARS_MAX).collect();
    ErrorBody::invalid(
        param(asked),
        format!("the answer's shape cannot be followed: {}", why.trim()),
    )
}

fn param(asked: &Asked<'_>) -> &'static str {
    if *asked.format == TextFormat::Text { "tools" } else { "text.format" }
}

struct Builder<'a> {
    asked: &'a Asked<'a>,
    tokenizer: &'a Tokenizer,
    whole: bool,
    rules: String,
    parts: Vec<(String, String)>,
}

impl Builder<'_> {
    fn rule(&mut self, rule: &str) {
        self.rules.push_str(rule);
        self.rules.push('\n');
    }

    /// What an answer may be, once it was thought about.
    fn answer(&mut self) -> Result<String, ErrorBody> {
        let calls = self.calls()?;
        let marks = self.text_marks();
        let said = match self.asked.format {
            TextFormat::Text if self.asked.required => None,
            TextFormat::Text => Some(self.text(&marks)),
            TextFormat::JsonObject => Some(self.json(&json!({"type": "object"}))),
            TextFormat::JsonSchema { schema, .. } => {
                Some(self.schema(schema, "text.format.schema")?)
            }
            TextFormat::SearchReplace { sources } => {
                let rules = quotes::rules(sources)
                    .map_err(|why| ErrorBody::invalid("text.format.sources", why))?;
                self.rules.push_str(&rules);
                Some(quotes::BLOCKS.to_owned())
            }
        };
        let (Some(first), rest) = (calls.first, calls.rest) else {
            return Ok(said.unwrap_or_else(|| "\"\"".to_owned()));
        };
        if self.asked.required {
            return Ok(format!("{first}{rest}"));
        }
        if self.asked.is_guided() {
            return Ok(format!("{} | {first}{rest}", said.unwrap_or_default()));
        }
        // Something may be said before a call, and nothing behind it.
        let called = match self.asked.format {
            TextFormat::Text => format!("{}{rest}", calls.after_text.unwrap_or(first)),
            _ => format!("{first}{rest}"),
        };
        let said = said.unwrap_or_default();
        Ok(match (self.asked.format, self.asked.style) {
            (TextFormat::Text, _) => format!("{said} | {called}"),
            (_, Style::Harmony) => format!("{called} | {}", self.in_final_channel(&said)),
            _ => format!("{said} | {called}"),
        })
    }

    /// Text that holds none of the marks.
    fn text(&mut self, marks: &[String]) -> String {
        let is_guided = self.asked.is_guided() && !self.asked.tools.is_empty();
        let is_bare = self.asked.style == Style::Llama && !self.asked.tools.is_empty();
        let alternatives = marks.iter().map(|mark| escaped(mark)).collect::<Vec<_>>().join("|");
        let text = match (marks.is_empty(), is_bare) {
            _ if is_guided => said(marks),
            (true, _) => "/(?s:.*)/".to_owned(),
            (false, false) => format!("/(?s:.*)/ & ~/(?s:.*)({alternatives})(?s:.*)/"),
            // A bare object is a call.
            (false, true) => {
                format!("/([^{{](?s:.*))?/ & ~/(?s:.*)({alternatives})(?s:.*)/")
            }
        };
        self.rule(&format!("TEXT: {text}"));
        "TEXT".to_owned()
    }

    /// Marks of calls that are text.
    fn text_marks(&self) -> Vec<String> {
        let mut marks = vec!["<custom_tool_call name=\"".to_owned()];
        marks.extend(
            self.asked.style.call_mark().filter(|mark| !self.is_token(mark)).map(str::to_owned),
        );
        marks
    }

    /// Whether a mark is a control token, which no text is.
    fn is_token(&self, mark: &str) -> bool {
        self.tokenizer.special(mark).is_some_and(|id| self.tokenizer.is_control(id))
    }

    /// A mark in a rule.
    fn mark(&self, mark: &str) -> String {
        match self.tokenizer.special(mark).filter(|&id| self.tokenizer.is_control(id)) {
            Some(id) => format!("<[{id}]>"),
            None => literal(mark),
        }
    }

    /// Calls of everything that may be called.
    fn calls(&mut self) -> Result<Calls, ErrorBody> {
        let tools = self.asked.tools.clone();
        let (mut functions, mut customs) = (Vec::new(), Vec::new());
        for (i, tool) in tools.iter().enumerate() {
            let name = called(tool.namespace.as_deref(), &tool.name);
            match &tool.kind {
                ToolKind::Function { parameters, strict } => {
                    let arguments = self.arguments(i, parameters.as_ref(), *strict)?;
                    functions.push(self.function(&name, &arguments));
                }
                ToolKind::Custom { format } => {
                    let input = self.input(i, format);
                    customs.push(format!("{} {input}", literal(&format!("{name}\">\n"))));
                }
            }
        }
        Ok(self.marked(&functions, &customs))
    }

    /// A call of a function behind the mark.
    fn function(&self, name: &str, arguments: &str) -> String {
        let quoted = Value::from(name).to_string();
        let object = |key: &str| {
            format!("{} {arguments} \"}}\"", literal(&format!("{{\"name\": {quoted}, \"{key}\": ")))
        };
        match self.asked.style {
            Style::Llama => object("parameters"),
            Style::Mistral if self.is_token("[ARGS]") => {
                format!("{} {} {arguments}", literal(name), self.mark("[ARGS]"))
            }
            Style::Hermes | Style::Mistral => object("arguments"),
            Style::Harmony => {
                let to = literal(&format!("commentary to=functions.{name} "));
                let (constrain, message) = (self.mark("<|constrain|>"), self.mark("<|message|>"));
                format!("{to} {constrain} \"json\" {message} {arguments}")
            }
        }
    }

    /// Puts marks around calls, and calls behind each other.
    fn marked(&mut self, functions: &[String], customs: &[String]) -> Calls {
        const CUSTOM: &str = "<custom_tool_call name=\"";
        let style = self.asked.style;
        let parallel = self.asked.parallel;
        let is_said = *self.asked.format == TextFormat::Text && !self.asked.required;
        let (mut first, mut after_text, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        if !functions.is_empty() {
            self.rule(&format!("function: {}", functions.join("\n    | ")));
            match style {
                Style::Hermes => {
                    self.rule("hermes: \"\\n\" function \"\\n</tool_call>\"");
                    first.push(format!("{} hermes", self.mark("<tool_call>")));
                    if self.is_token("<tool_call>") {
                        after_text.push(format!("TEXT {} hermes", self.mark("<tool_call>")));
                    } else {
                        if is_said {
                            self.rule("before_function[suffix=\"<tool_call>\"]: TEXT");
                        }
                        after_text.push("before_function hermes".to_owned());
                    }
                    rest.push(format!("\"\\n\" {} hermes", self.mark("<tool_call>")));
                }
                Style::Llama => {
                    first.push("function".to_owned());
                    after_text.push("function".to_owned());
                    rest.push("\"; \" function".to_owned());
                }
                Style::Mistral => {
                    let mark = self.mark("[TOOL_CALLS]");
                    let call = if self.is_token("[ARGS]") {
                        rest.push(format!("{mark} function"));
                        format!("{mark} function")
                    } else {
                        let more = if parallel { " (\", \" function)*" } else { "" };
                        format!("{mark} \"[\" function{more} \"]\"")
                    };
                    first.push(call.clone());
                    after_text.push(format!("TEXT {call}"));
                }
                Style::Harmony => {
                    let channel = self.mark("<|channel|>");
                    let analysis = self.analysis();
                    first.push(format!("{analysis} {channel} function"));
                }
            }
        }
        if !customs.is_empty() {
            let closing = literal(CLOSING_TAG);
            self.rule(&format!("custom: ({}) {closing}", customs.join("\n    | ")));
            let opening = literal(CUSTOM);
            first.push(format!("{opening} custom"));
            if is_said {
                self.rule(&format!("before_custom[suffix={opening}]: TEXT"));
            }
            after_text.push("before_custom custom".to_owned());
            rest.push(format!("\"\\n\" {opening} custom"));
        }
        let any =
            |calls: Vec<String>| (!calls.is_empty()).then(|| format!("({})", calls.join(" | ")));
        let rest = if parallel { any(rest).map(|rest| format!(" {rest}*")) } else { None };
        Calls { first: any(first), after_text: any(after_text), rest: rest.unwrap_or_default() }
    }

    /// What gpt-oss may think before it speaks or calls.
    fn analysis(&self) -> String {
        let [channel, message, end, start] =
            ["<|channel|>", "<|message|>", "<|end|>", "<|start|>"].map(|mark| self.mark(mark));
        format!("({channel} \"analysis\" {message} /(?s:.*)/ {end} {start} \"assistant\")?")
    }

    fn in_final_channel(&self, said: &str) -> String {
        let (channel, message) = (self.mark("<|channel|>"), self.mark("<|message|>"));
        format!("{} {channel} \"final\" {message} {said}", self.analysis())
    }

    /// The arguments of a function.
    fn arguments(
        &mut self,
        i: usize,
        parameters: Option<&Json>,
        strict: bool,
    ) -> Result<String, ErrorBody> {
        let param = || format!("tools[{i}].parameters");
        let schema = match parameters.filter(|_| strict || self.whole) {
            Some(schema) => read(schema, &param())?,
            None => Value::Null,
        };
        let mut schema = match schema {
            Value::Object(schema) => schema,
            Value::Null | Value::Bool(true) => serde_json::Map::new(),
            _ => return Err(ErrorBody::invalid(param(), "a schema of arguments is an object")),
        };
        if self.asked.guide.is_some() && !strict {
            only_required(&mut schema);
            if self.asked.patches
                && let Some(command) = command(&schema)
            {
                if !self.rules.contains(COMMAND) {
                    self.rules.push_str(COMMAND);
                }
                let begin = literal(&format!("{{\"{command}\": \""));
                return Ok(format!("{begin} command \"\\\"}}\""));
            }
        }
        schema.entry("type").or_insert_with(|| json!("object"));
        // Arguments that a function does not know are no use to anybody.
        if schema.get("properties").and_then(Value::as_object).is_some_and(|p| !p.is_empty()) {
            schema.entry("additionalProperties").or_insert_with(|| json!(false));
        }
        Ok(self.json(&Value::Object(schema)))
    }

    /// What a tool is given that takes text.
    fn input(&mut self, i: usize, format: &CustomFormat) -> String {
        let looks = self.asked.guide.as_ref().and_then(|guide| guide.looks.as_ref());
        let looks = looks.filter(|_| self.asked.tools[i].name == APPLY_PATCH);
        let lark = match (looks, format) {
            (Some(looks), _) => patch::grammar(looks),
            (None, CustomFormat::Text) => {
                let closing = escaped(CLOSING_TAG);
                self.rule(&format!("FREE_{i}: /(?s:.*)/ & ~/(?s:.*){closing}(?s:.*)/"));
                return format!("FREE_{i}");
            }
            (None, CustomFormat::Grammar { syntax: GrammarSyntax::Lark, definition }) => {
                definition.clone()
            }
            (None, CustomFormat::Grammar { syntax: GrammarSyntax::Regex, definition }) => {
                format!("start: /{}/", llguidance::regex_to_lark(definition, ""))
            }
        };
        self.parts.push((format!("input_{i}"), lark));
        format!("@input_{i}")
    }

    fn schema(&mut self, schema: &Json, param: &str) -> Result<String, ErrorBody> {
        let schema = read(schema, param)?;
        Ok(self.json(&schema))
    }

    /// JSON of a schema, in the one spacing.
    fn json(&mut self, schema: &Value) -> String {
        let mut schema = match schema {
            Value::Object(schema) => schema.clone(),
            Value::Bool(false) => json!({"not": {}}).as_object().cloned().unwrap_or_default(),
            _ => serde_json::Map::new(),
        };
        let spacing =
            json!({"whitespace_flexible": false, "item_separator": ", ", "key_separator": ": "});
        schema.insert("x-guidance".to_owned(), spacing);
        let name = format!("json_{}", self.rules.len());
        self.rule(&format!("{name}: %json {}", Value::Object(schema)));
        name
    }
}

/// Calls, as alternatives.
struct Calls {
    /// The first thing in an answer.
    first: Option<String>,
    /// Behind something said.
    after_text: Option<String>,
    /// Behind a call.
    rest: String,
}

fn read(schema: &Json, param: &str) -> Result<Value, ErrorBody> {
    if schema.as_str().len() > BYTES_MAX {
        let what = format!("a schema of more than {BYTES_MAX} bytes is not served");
        return Err(ErrorBody::invalid(param, what));
    }
    serde_json::from_str(schema.as_str())
        .map_err(|error| ErrorBody::invalid(param, format!("the schema is no JSON: {error}")))
}

/// Leaves out of a function's arguments those that it can do without.
fn only_required(schema: &mut serde_json::Map<String, Value>) {
    let required: Vec<String> = schema
        .get("required")
        .and_then(|names| serde_json::from_value(names.clone()).ok())
        .unwrap_or_default();
    if let Some(Value::Object(properties)) = schema.get_mut("properties")
        && !required.is_empty()
    {
        properties.retain(|name, _| required.contains(name));
    }
}

/// The name of the one argument of a function that runs commands.
fn command(schema: &serde_json::Map<String, Value>) -> Option<&'static str> {
    let properties = schema.get("properties")?.as_object().filter(|all| all.len() == 1)?;
    let name = ["cmd", "command"].into_iter().find(|name| properties.contains_key(*name))?;
    (properties[name].get("type")? == "string").then_some(name)
}

/// What a guided model may say: it does not begin as calls do, holds nothing that begins like a mark, and ends.
/// Without "and not", under which counting is more than what a mask may cost.
fn said(marks: &[String]) -> String {
    let nth = |n| {
        let chars = marks.iter().filter_map(move |mark| mark.chars().nth(n));
        chars.map(|c| escaped(&c.to_string())).collect::<String>()
    };
    let (first, second) = (nth(0), nth(1));
    let rest = if first.is_empty() {
        "(?s:.)".to_owned()
    } else {
        format!("([^{first}]|[{first}]+[^{first}{second}])")
    };
    format!("/[^\\s{{\\[<`]{rest}{{0,{SAID_MAX}}}/")
}

/// A text in a rule.
pub(super) fn literal(text: &str) -> String {
    Value::from(text).to_string()
}

/// A text in a regular expression.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c == '\n' {
            out.push_str("\\n");
            continue;
        }
        if !c.is_alphanumeric() && !matches!(c, '_' | '<' | '>' | '"' | ' ' | '=') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

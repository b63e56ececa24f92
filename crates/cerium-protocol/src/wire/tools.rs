//! Tools, and the choice among them, as the dialects spell them: flat, or one object deeper.

use crate::wire::json;
use crate::wire::unserved::{WORD_CHARS, shorten};
use crate::{CustomFormat, ErrorBody, GrammarSyntax, Json, Tool, ToolChoice, ToolKind, ToolName};
use serde::Deserialize;

/// Most tools of a request, and most bytes of the list.
const TOOLS_MAX: usize = 1024;
const TOOLS_BYTES_MAX: usize = 2 << 20;

/// Most bytes of a choice among them.
const CHOICE_BYTES_MAX: usize = 256 << 10;

/// Most characters of a tool's name.
const NAME_CHARS_MAX: usize = 128;

/// Reads a list of tools. Those that a server would have to carry out itself, and kinds that are not known,
/// are left out: clients list them always, and do without.
pub(super) fn tools(list: Option<&Json>, param: &str) -> Result<Vec<Tool>, ErrorBody> {
    let Some(list) = list else { return Ok(Vec::new()) };
    let raw: Option<Vec<RawTool>> = json::read_field(list, param, TOOLS_BYTES_MAX)?;
    let mut tools = Vec::new();
    for (i, tool) in raw.into_iter().flatten().enumerate() {
        tool.lower(None, &format!("{param}[{i}]"), &mut tools)?;
    }
    if tools.len() > TOOLS_MAX {
        let what = format!("`{param}` has {} tools; at most {TOOLS_MAX} are served", tools.len());
        return Err(ErrorBody::invalid(param, what));
    }
    Ok(tools)
}

#[derive(Default, Deserialize)]
#[serde(default, expecting = "a tool")]
struct RawTool {
    r#type: Option<String>,
    name: Option<String>,
    description: Option<String>,
    parameters: Option<Json>,
    strict: Option<bool>,
    format: Option<RawFormat>,
    /// Of a namespace.
    tools: Option<Vec<RawTool>>,
    /// The chat dialect says everything one object deeper.
    function: Option<Box<RawTool>>,
    custom: Option<Box<RawTool>>,
}

#[derive(Default, Deserialize)]
#[serde(default, expecting = "a format")]
struct RawFormat {
    r#type: Option<String>,
    syntax: Option<GrammarSyntax>,
    definition: Option<String>,
    /// Likewise.
    grammar: Option<Box<RawFormat>>,
}

impl RawTool {
    fn lower(
        self,
        namespace: Option<&str>,
        param: &str,
        tools: &mut Vec<Tool>,
    ) -> Result<(), ErrorBody> {
        let kind = self.r#type.as_deref().unwrap_or("function");
        match kind {
            "namespace" if namespace.is_none() => {
                let name = checked_name(self.name, param)?;
                for (i, tool) in self.tools.into_iter().flatten().enumerate() {
                    tool.lower(Some(&name), &format!("{param}.tools[{i}]"), tools)?;
                }
            }
            "function" => {
                let tool = self.function.map_or(Self { function: None, ..self }, |tool| *tool);
                let kind = ToolKind::Function {
                    parameters: tool.parameters,
                    strict: tool.strict.unwrap_or(false),
                };
                let name = checked_name(tool.name, param)?;
                let (namespace, description) = (namespace.map(str::to_owned), tool.description);
                tools.push(Tool { namespace, name, description, kind });
            }
            "custom" => {
                let tool = self.custom.map_or(Self { custom: None, ..self }, |tool| *tool);
                let format = tool.format.unwrap_or_default().lower(param)?;
                let name = checked_name(tool.name, param)?;
                let (namespace, description) = (namespace.map(str::to_owned), tool.description);
                tools.push(Tool {
                    namespace,
                    name,
                    description,
                    kind: ToolKind::Custom { format },
                });
            }
            _ => {}
        }
        Ok(())
    }
}

impl RawFormat {
    fn lower(self, param: &str) -> Result<CustomFormat, ErrorBody> {
        match self.r#type.as_deref() {
            None | Some("text") => Ok(CustomFormat::Text),
            Some("grammar") => {
                let grammar =
                    self.grammar.map_or(Self { grammar: None, ..self }, |grammar| *grammar);
                let (Some(syntax), Some(definition)) = (grammar.syntax, grammar.definition) else {
                    let what = "a grammar needs `syntax` (lark or regex) and `definition`";
                    return Err(ErrorBody::invalid(format!("{param}.format"), what));
                };
                Ok(CustomFormat::Grammar { syntax, definition })
            }
            Some(other) => Err(ErrorBody::not_served(
                format!("{param}.format.type"),
                format!("a format of type `{}` is not served", shorten(other, WORD_CHARS)),
            )),
        }
    }
}

/// Names stand in prompts and are read in answers, so they hold nothing that a format could trip over.
fn checked_name(name: Option<String>, param: &str) -> Result<String, ErrorBody> {
    let fine = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/');
    match name {
        Some(name)
            if !name.is_empty()
                && name.chars().nth(NAME_CHARS_MAX).is_none()
                && name.chars().all(fine) =>
        {
            Ok(name)
        }
        Some(name) => Err(ErrorBody::invalid(
            format!("{param}.name"),
            format!(
                "a tool cannot be named `{}`: 1 to {NAME_CHARS_MAX} letters, digits, `_`, `-`, `.`, \
                 `:`, `/`",
                shorten(&name, WORD_CHARS)
            ),
        )),
        None => Err(ErrorBody::invalid(format!("{param}.name"), format!("`{param}` has no name"))),
    }
}

/// Reads the choice among `tools`, and refuses one that they do not have.
pub(super) fn choice(choice: Option<&Json>, tools: &[Tool]) -> Result<ToolChoice, ErrorBody> {
    const PARAM: &str = "tool_choice";
    let Some(choice) = choice else { return Ok(ToolChoice::Auto) };
    let raw: Option<RawChoice> = json::read_field(choice, PARAM, CHOICE_BYTES_MAX)?;
    let choice = match raw {
        None => ToolChoice::Auto,
        Some(RawChoice::Word(word)) => match word.as_str() {
            "" | "auto" => ToolChoice::Auto,
            "none" => ToolChoice::None,
            "required" | "any" => ToolChoice::Required,
            other => {
                let what =
                    format!("`tool_choice` of `{}` is not served", shorten(other, WORD_CHARS));
                return Err(ErrorBody::not_served(PARAM, what));
            }
        },
        Some(RawChoice::Object(object)) if object.r#type.as_deref() == Some("allowed_tools") => {
            let allowed = object
                .allowed_tools
                .map_or(Allowed { mode: object.mode, tools: object.tools }, |a| a);
            ToolChoice::Allowed {
                required: allowed.mode.as_deref() == Some("required"),
                tools: allowed.tools.into_iter().flatten().filter_map(Named::lower).collect(),
            }
        }
        Some(RawChoice::Object(object)) => match object.named.lower_as(object.r#type) {
            Some(name) => ToolChoice::Named(name),
            None => return Err(ErrorBody::invalid(PARAM, "`tool_choice` names no tool")),
        },
    };
    let refuse = |what: String| Err(ErrorBody::invalid(PARAM, what));
    let is_there = |name: &ToolName| tools.iter().any(|tool| name.means(tool));
    match &choice {
        ToolChoice::Required if tools.is_empty() => {
            refuse("`tool_choice` is `required`, and there are no tools to call".to_owned())
        }
        ToolChoice::Named(name) if !is_there(name) => {
            let name = shorten(&name.name, WORD_CHARS);
            refuse(format!("`tool_choice` names `{name}`, which is not among `tools`"))
        }
        ToolChoice::Allowed { required: true, tools: allowed } if !allowed.iter().any(is_there) => {
            refuse("none of the tools that `tool_choice` allows is among `tools`".to_owned())
        }
        _ => Ok(choice),
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawChoice {
    Word(String),
    Object(ChoiceObject),
}

#[derive(Deserialize)]
struct ChoiceObject {
    #[serde(default)]
    r#type: Option<String>,
    #[serde(default)]
    mode: Option<String>,
    #[serde(default)]
    tools: Option<Vec<Named>>,
    #[serde(default)]
    allowed_tools: Option<Allowed>,
    #[serde(flatten)]
    named: Named,
}

#[derive(Deserialize)]
struct Allowed {
    #[serde(default)]
    mode: Option<String>,
    #[serde(default)]
    tools: Option<Vec<Named>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    name: Option<String>,
    namespace: Option<String>,
    function: Option<Box<Named>>,
    custom: Option<Box<Named>>,
}

impl Named {
    fn lower(self) -> Option<ToolName> {
        let inner = self.function.or(self.custom);
        let Self { name, namespace, .. } =
            inner.map_or(Self { function: None, custom: None, ..self }, |inner| *inner);
        Some(ToolName { namespace, name: name? })
    }

    /// `{"type": "apply_patch"}` means the tool of that name.
    fn lower_as(self, kind: Option<String>) -> Option<ToolName> {
        let fallback = kind.filter(|kind| !matches!(kind.as_str(), "function" | "custom"));
        self.lower().or_else(|| Some(ToolName { namespace: None, name: fallback? }))
    }
}

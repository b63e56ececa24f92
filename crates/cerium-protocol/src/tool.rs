//! What the model may call, whether it has to, and what shape its answer must have.

use crate::Json;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

/// Something that the client does when the model asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    /// The list of tools that it is one of, if the client names its lists. A call repeats it.
    pub namespace: Option<String>,
    /// What it is called by.
    pub name: String,
    /// What it is for, to the model.
    pub description: Option<String>,
    /// What it takes.
    pub kind: ToolKind,
}

/// What a tool takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolKind {
    /// A JSON object.
    Function {
        /// Its schema.
        parameters: Option<Json>,
        /// Whether arguments always keep to the schema.
        strict: bool,
    },
    /// Text.
    Custom {
        /// Of which shape.
        format: CustomFormat,
    },
}

/// What texts a custom tool takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum CustomFormat {
    /// Any.
    #[default]
    Text,
    /// Those of a grammar.
    Grammar {
        /// What the grammar is written in.
        syntax: GrammarSyntax,
        /// The grammar.
        definition: String,
    },
}

/// What a grammar is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrammarSyntax {
    /// Lark's notation.
    Lark,
    /// One regular expression for the whole text.
    Regex,
}

/// As the Responses dialect lists it.
impl Serialize for Tool {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(namespace) = &self.namespace {
            map.serialize_entry("type", "namespace")?;
            map.serialize_entry("name", namespace)?;
            map.serialize_entry("tools", &[Self { namespace: None, ..self.clone() }])?;
            return map.end();
        }
        let kind = match &self.kind {
            ToolKind::Function { .. } => "function",
            ToolKind::Custom { .. } => "custom",
        };
        map.serialize_entry("type", kind)?;
        map.serialize_entry("name", &self.name)?;
        if let Some(description) = &self.description {
            map.serialize_entry("description", description)?;
        }
        match &self.kind {
            ToolKind::Function { parameters, strict } => {
                map.serialize_entry("parameters", parameters)?;
                map.serialize_entry("strict", strict)?;
            }
            ToolKind::Custom { format } => map.serialize_entry("format", format)?,
        }
        map.end()
    }
}

/// Whether the model may, must or must not call something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ToolChoice {
    /// It may.
    #[default]
    Auto,
    /// It must not.
    None,
    /// It must call something.
    Required,
    /// It must call this.
    Named(ToolName),
    /// It may call these alone.
    Allowed {
        /// Whether it must.
        required: bool,
        /// Which ones.
        tools: Vec<ToolName>,
    },
}

/// Which tool is meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolName {
    /// Its list, if that was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl ToolName {
    /// Whether this is the tool that is meant.
    pub fn means(&self, tool: &Tool) -> bool {
        self.name == tool.name
            && self.namespace.as_ref().is_none_or(|n| Some(n) == tool.namespace.as_ref())
    }
}

/// As the Responses dialect has it.
impl Serialize for ToolChoice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Typed<'a> {
            r#type: &'static str,
            #[serde(flatten)]
            tool: &'a ToolName,
        }
        #[derive(Serialize)]
        struct Allowed<'a> {
            r#type: &'static str,
            mode: &'static str,
            tools: Vec<Typed<'a>>,
        }
        let typed = |tool| Typed { r#type: "function", tool };
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::None => serializer.serialize_str("none"),
            Self::Required => serializer.serialize_str("required"),
            Self::Named(tool) => typed(tool).serialize(serializer),
            Self::Allowed { required, tools } => Allowed {
                r#type: "allowed_tools",
                mode: if *required { "required" } else { "auto" },
                tools: tools.iter().map(typed).collect(),
            }
            .serialize(serializer),
        }
    }
}

/// What shape the answer's text has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TextFormat {
    /// Any.
    #[default]
    Text,
    /// A JSON object.
    JsonObject,
    /// JSON that keeps to a schema.
    JsonSchema {
        /// What the client calls the schema.
        name: String,
        /// The schema.
        schema: Json,
    },
    /// Search/replace blocks, whose search texts are whole lines that stand in one place of the sources and no more.
    /// An extension: other servers do not know it.
    SearchReplace {
        /// The texts that are changed.
        sources: Vec<String>,
    },
}

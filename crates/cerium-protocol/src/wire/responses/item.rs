//! Items of `input`, in all their kinds, to those that a model is shown.

use super::compaction::{self, Sealed};
use crate::wire::content::{self, Content, Raw};
use crate::wire::unserved::{WORD_CHARS, shorten};
use crate::{ErrorBody, Item, Json, Role};
use serde::Deserialize;
use std::collections::HashSet;
use std::fmt;

/// An item before its type is looked at. Ids and states are the client's business: never needed.
#[derive(Default, Deserialize)]
#[serde(default, expecting = "an item")]
pub(super) struct RawItem {
    r#type: Option<String>,
    role: Option<String>,
    content: Option<Content>,
    summary: Option<Content>,
    call_id: Option<String>,
    name: Option<String>,
    namespace: Option<String>,
    arguments: Option<Json>,
    input: Option<String>,
    output: Option<Output>,
    action: Option<Json>,
    operation: Option<Json>,
    tools: Option<Json>,
    encrypted_content: Option<String>,
}

/// What a tool gave: text in one of its spellings, or any JSON of the hosted service's own tools.
#[derive(Deserialize)]
#[serde(transparent)]
struct Output(Json);

impl Output {
    fn into_text(self, param: fmt::Arguments<'_>) -> Result<String, ErrorBody> {
        match serde_json::from_str::<Content>(self.0.as_str()) {
            Ok(content) => content.into_text(param),
            Err(_) => Ok(self.0.as_str().to_owned()),
        }
    }
}

impl Raw for RawItem {
    const LIST: &'static str = "input";

    fn lower(self, param: fmt::Arguments<'_>, items: &mut Vec<Item>) -> Result<(), ErrorBody> {
        let kind = match (self.r#type.as_deref(), &self.role) {
            (Some(kind), _) => kind,
            // An item without type but with role is an easy message; several clients send it.
            (None, Some(_)) => "message",
            (None, None) => {
                let what = format!("`{param}` has neither type nor role");
                return Err(ErrorBody::invalid(param.to_string(), what));
            }
        };
        let call_id = self.call_id.unwrap_or_default();
        let missing = |field: &str| {
            ErrorBody::invalid(format!("{param}.{field}"), format!("`{param}` has no {field}"))
        };
        let output = |output: Option<Output>| {
            let output = output.ok_or_else(|| missing("output"))?;
            output.into_text(format_args!("{param}.output"))
        };
        // The hosted service's own names of some tools are the names of their calls.
        let own = |name: &str, arguments: Option<Json>| Item::FunctionCall {
            call_id: call_id.clone(),
            name: name.to_owned(),
            namespace: None,
            arguments: arguments.map_or_else(|| "{}".to_owned(), |json| json.as_str().to_owned()),
        };
        items.push(match kind {
            "message" => content::message(self.role.as_deref(), self.content, param)?,
            "function_call" => Item::FunctionCall {
                name: self.name.ok_or_else(|| missing("name"))?,
                namespace: self.namespace,
                arguments: arguments(self.arguments),
                call_id,
            },
            "custom_tool_call" => Item::CustomToolCall {
                name: self.name.ok_or_else(|| missing("name"))?,
                namespace: self.namespace,
                input: self.input.unwrap_or_default(),
                call_id,
            },
            "custom_tool_call_output" => {
                Item::CustomToolCallOutput { output: output(self.output)?, call_id }
            }
            "function_call_output"
            | "local_shell_call_output"
            | "shell_call_output"
            | "apply_patch_call_output" => {
                Item::FunctionCallOutput { output: output(self.output)?, call_id }
            }
            "local_shell_call" => own("local_shell", self.action),
            "shell_call" => own("shell", self.action),
            "apply_patch_call" => own("apply_patch", self.operation),
            "tool_search_call" => own("tool_search", self.arguments),
            "tool_search_output" => {
                let output = self.tools.map_or_else(String::new, |tools| tools.as_str().to_owned());
                Item::FunctionCallOutput { call_id, output }
            }
            "reasoning" => {
                let whole = self.content.filter(|content| !content.is_empty());
                let Some(thought) = whole.or(self.summary).filter(|content| !content.is_empty())
                else {
                    return Ok(()); // Only what another server encrypted for itself.
                };
                Item::Reasoning { text: thought.into_text(format_args!("{param}.content"))? }
            }
            "additional_tools" => {
                let tools = self.tools.as_ref().map_or("[]", Json::as_str);
                Item::message(Role::System, format!("More tools: {tools}"))
            }
            "compaction" | "compaction_summary" => {
                let content = self.encrypted_content.unwrap_or_default();
                let sealed = compaction::open(&content).map_err(|error| ErrorBody {
                    param: Some(format!("{param}.encrypted_content")),
                    ..error
                })?;
                match sealed {
                    Sealed::Digest(digest) => items.extend(compaction::told(&digest)),
                    Sealed::Window(window) => {
                        // An application may have said again what holds from now on.
                        let said: HashSet<&str> = window.iter().map(Item::text).collect();
                        let is_new = |item: &Item| !said.contains(item.text());
                        items.retain(|item| item.is_of_the_system() && is_new(item));
                        items.extend(window);
                    }
                }
                return Ok(());
            }
            // What this stands for is not in the request.
            "item_reference" => {
                return Err(ErrorBody::not_served(
                    format!("{param}.type"),
                    format!("input items of type `{}` are not served", shorten(kind, WORD_CHARS)),
                ));
            }
            // What other tools of the hosted service did, and kinds of next year.
            _ => return Ok(()),
        });
        Ok(())
    }
}

/// A string of JSON; some clients send the JSON itself.
fn arguments(json: Option<Json>) -> String {
    let Some(json) = json else { return "{}".to_owned() };
    serde_json::from_str(json.as_str()).unwrap_or_else(|_| json.as_str().to_owned())
}

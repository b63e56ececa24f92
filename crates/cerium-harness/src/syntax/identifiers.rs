//! Where names occur, and in which role: what a rename must know to leave the wrong ones alone.

use super::{Language, Parsed};
use std::ops::Range;
use tree_sitter::Node;

/// How an identifier is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// A variable, parameter, function or type, by its bare name.
    Plain,
    /// A field, property or method: `x.name`, or its declaration in a type.
    Member,
    /// The last part of a path, such as `Type::name`: a member or not, the syntax does not say.
    Qualified,
    /// The name of a keyword argument or a key of an object literal.
    Key,
    /// A field and a variable at once: `Point { x }`, `{ x }`.
    Shorthand,
}

/// One place where a name occurs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// The name's bytes.
    pub bytes: Range<usize>,
    /// How it is used there.
    pub role: Role,
    /// Whether a declaration introduces it there (locals are not told apart from uses).
    pub declares: bool,
}

/// Whether a text can be a name in the languages that are parsed here (ASCII rules plus letters).
pub fn is_identifier(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || c == '_' || c == '$')
        && chars.all(|c| c.is_alphanumeric() || c == '_' || c == '$')
}

fn is_name(node: Node<'_>) -> bool {
    node.kind().ends_with("identifier")
        || matches!(
            node.kind(),
            "shorthand_property_identifier_pattern"
                | "variable_name"
                | "word"
                | "property_name"
                | "class_name"
                | "id_name"
        )
}

pub(super) fn occurrences(parsed: &Parsed<'_>, name: &str) -> Vec<Occurrence> {
    let mut found = Vec::new();
    if name.is_empty() {
        return found;
    }
    parsed.walk(|node| {
        if node.child_count() > 0 {
            return true;
        }
        if is_name(node) && &parsed.text()[node.byte_range()] == name {
            let (role, declares) = role(parsed, node);
            found.push(Occurrence { bytes: node.byte_range(), role, declares });
        }
        false
    });
    found
}

pub(super) fn within<'t>(parsed: &Parsed<'t>, bytes: &Range<usize>) -> Vec<&'t str> {
    let mut found: Vec<&'t str> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    parsed.walk(|node| {
        let own = node.byte_range();
        if own.end <= bytes.start || bytes.end <= own.start {
            return false;
        }
        if node.child_count() > 0 {
            return true;
        }
        if is_name(node) {
            let name = &parsed.text()[own];
            if seen.insert(name) {
                found.push(name);
            }
        }
        false
    });
    found
}

/// Whether `node` is what `parent` calls its `field`.
fn is_field(parent: Node<'_>, field: &str, node: Node<'_>) -> bool {
    parent.child_by_field_name(field).is_some_and(|n| n.id() == node.id())
}

fn role(parsed: &Parsed<'_>, node: Node<'_>) -> (Role, bool) {
    let Some(parent) = node.parent() else { return (Role::Plain, false) };
    match node.kind() {
        "shorthand_property_identifier"
        | "shorthand_property_identifier_pattern"
        | "shorthand_field_identifier" => return (Role::Shorthand, false),
        _ => {}
    }
    match parent.kind() {
        "shorthand_field_initializer" => (Role::Shorthand, false),
        "keyword_argument" if is_field(parent, "name", node) => (Role::Key, false),
        "pair" | "pair_pattern" if is_field(parent, "key", node) => (Role::Key, false),
        "attribute" if is_field(parent, "attribute", node) => (Role::Member, false),
        "field_access" if is_field(parent, "field", node) => (Role::Member, false),
        "method_invocation" if is_field(parent, "name", node) => {
            let role = match parent.child_by_field_name("object") {
                Some(_) => Role::Member,
                None => Role::Qualified,
            };
            (role, false)
        }
        "scoped_identifier"
        | "scoped_type_identifier"
        | "qualified_identifier"
        | "qualified_type"
            if is_field(parent, "name", node) =>
        {
            (Role::Qualified, false)
        }
        "literal_element" if parent.parent().is_some_and(|p| is_first_of_keyed(p, parent)) => {
            (Role::Member, false)
        }
        "token_tree" => (after_token(parsed, node), false),
        "function_definition"
        | "function_item"
        | "function_signature_item"
        | "method_definition"
        | "method_declaration"
        | "method_elem"
        | "method_signature"
            if is_field(parent, "name", node) =>
        {
            (if is_member(parent) { Role::Member } else { Role::Plain }, true)
        }
        "assignment" if is_field(parent, "left", node) => {
            if class_level(parent) {
                (Role::Member, true)
            } else {
                (Role::Plain, false)
            }
        }
        "variable_declarator" if is_field(parent, "name", node) => {
            let field = parent.parent().is_some_and(|p| p.kind() == "field_declaration");
            (if field { Role::Member } else { Role::Plain }, true)
        }
        kind => {
            let declares = kind.ends_with("_declaration")
                || kind.ends_with("_item")
                || kind.ends_with("_definition")
                || kind.ends_with("_spec");
            let member = matches!(
                node.kind(),
                "field_identifier" | "property_identifier" | "private_property_identifier"
            );
            (if member { Role::Member } else { Role::Plain }, declares)
        }
    }
}

/// In the token tree of a Rust macro only the token before tells.
fn after_token(parsed: &Parsed<'_>, node: Node<'_>) -> Role {
    let before = parsed.text()[..node.start_byte()].trim_end();
    if before.ends_with("::") {
        Role::Qualified
    } else if before.ends_with('.') && !before.ends_with("..") {
        Role::Member
    } else {
        Role::Plain
    }
}

/// Whether a Go `literal_element` is the key of `Key: value`.
fn is_first_of_keyed(keyed: Node<'_>, element: Node<'_>) -> bool {
    keyed.kind() == "keyed_element" && keyed.named_child(0).is_some_and(|n| n.id() == element.id())
}

/// Whether a function stands in the body of a type.
fn is_member(function: Node<'_>) -> bool {
    if matches!(
        function.kind(),
        "method_definition" | "method_declaration" | "method_elem" | "method_signature"
    ) {
        return true;
    }
    let mut node = function.parent();
    for _ in 0..3 {
        match node.map(|n| n.kind()) {
            Some("class_definition" | "impl_item" | "trait_item") => return true,
            Some("block" | "decorated_definition" | "declaration_list") => {}
            _ => return false,
        }
        node = node.and_then(|n| n.parent());
    }
    false
}

/// Whether a Python assignment stands directly in a class body.
fn class_level(assignment: Node<'_>) -> bool {
    assignment
        .parent()
        .filter(|n| n.kind() == "expression_statement")
        .and_then(|n| n.parent())
        .filter(|n| n.kind() == "block")
        .and_then(|n| n.parent())
        .is_some_and(|n| n.kind() == "class_definition")
}

impl Language {
    /// Whether a type's own code names its members without `self.` or `this.`.
    pub fn has_bare_members(self) -> bool {
        matches!(self, Self::Java | Self::Cpp)
    }
}

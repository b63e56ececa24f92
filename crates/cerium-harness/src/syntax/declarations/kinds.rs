//! Which nodes declare something, language by language: one table, read once per node.

use super::DeclKind;
use crate::syntax::{Language, Parsed};
use std::ops::Range;
use tree_sitter::Node;

/// A node that declares something.
pub(super) struct Found<'n> {
    pub(super) node: Node<'n>,
    pub(super) kind: DeclKind,
    pub(super) name: String,
    pub(super) name_bytes: Range<usize>,
    /// A container that the node names itself: a Go receiver, `A::b` in C++, `A.prototype.b`.
    pub(super) container: Option<String>,
    pub(super) body: Option<Node<'n>>,
    /// Where its members are; the node itself unless that would declare the same name again.
    pub(super) members: Node<'n>,
}

/// What a node declares, if anything. `in_type`: its parent is a type's body.
pub(super) fn classify<'n>(
    parsed: &Parsed<'_>,
    node: Node<'n>,
    in_function: bool,
    in_type: bool,
) -> Option<Found<'n>> {
    if !node.is_named() {
        return None;
    }
    let cx = Context { text: parsed.text(), in_function, in_type };
    match parsed.language() {
        Language::Python => python(&cx, node),
        Language::Rust => rust(&cx, node),
        Language::JavaScript | Language::TypeScript | Language::Tsx => javascript(&cx, node),
        Language::Go => go(&cx, node),
        Language::C | Language::Cpp => c_family(&cx, node),
        Language::Java => java(&cx, node),
        Language::Bash => bash(&cx, node),
        Language::Css => css(&cx, node),
        Language::Json => json(&cx, node),
        Language::Html => None,
    }
}

struct Context<'t> {
    text: &'t str,
    in_function: bool,
    in_type: bool,
}

impl Context<'_> {
    fn text(&self, node: Node<'_>) -> String {
        self.text[node.byte_range()].to_owned()
    }

    fn found<'n>(&self, node: Node<'n>, name: Node<'_>, kind: DeclKind) -> Found<'n> {
        Found {
            node,
            kind,
            name: self.text(name),
            name_bytes: name.byte_range(),
            container: None,
            body: node.child_by_field_name("body"),
            members: node,
        }
    }

    /// The node's `name` field declares `kind`.
    fn named<'n>(&self, node: Node<'n>, kind: DeclKind) -> Option<Found<'n>> {
        Some(self.found(node, node.child_by_field_name("name")?, kind))
    }

    fn callable(&self) -> DeclKind {
        if self.in_type { DeclKind::Method } else { DeclKind::Function }
    }

    /// Variables count outside functions only.
    fn variable(&self) -> Option<DeclKind> {
        match (self.in_type, self.in_function) {
            (true, _) => Some(DeclKind::Field),
            (false, true) => None,
            (false, false) => Some(DeclKind::Variable),
        }
    }
}

fn python<'n>(cx: &Context<'_>, node: Node<'n>) -> Option<Found<'n>> {
    match node.kind() {
        "function_definition" => cx.named(node, cx.callable()),
        "class_definition" => cx.named(node, DeclKind::Type),
        "type_alias_statement" => {
            Some(cx.found(node, node.child_by_field_name("left")?, cx.variable()?))
        }
        "expression_statement" => {
            let assignment = node.named_child(0).filter(|n| n.kind() == "assignment")?;
            let left =
                assignment.child_by_field_name("left").filter(|n| n.kind() == "identifier")?;
            Some(cx.found(node, left, cx.variable()?))
        }
        _ => None,
    }
}

fn rust<'n>(cx: &Context<'_>, node: Node<'n>) -> Option<Found<'n>> {
    match node.kind() {
        "function_item" | "function_signature_item" => cx.named(node, cx.callable()),
        "struct_item" | "enum_item" | "union_item" | "trait_item" | "type_item"
        | "associated_type" => cx.named(node, DeclKind::Type),
        "mod_item" => cx.named(node, DeclKind::Module),
        "const_item" | "static_item" => cx.named(node, DeclKind::Variable),
        "macro_definition" => cx.named(node, DeclKind::Macro),
        "field_declaration" | "enum_variant" => cx.named(node, DeclKind::Field),
        "impl_item" => {
            let mut name = node.child_by_field_name("type")?;
            for _ in 0..4 {
                name = match name.kind() {
                    "generic_type" | "reference_type" => name.child_by_field_name("type")?,
                    "scoped_type_identifier" => name.child_by_field_name("name")?,
                    _ => break,
                };
            }
            Some(cx.found(node, name, DeclKind::Impl))
        }
        _ => None,
    }
}

fn is_function_value(node: Node<'_>) -> bool {
    matches!(
        node.kind(),
        "arrow_function"
            | "function_expression"
            | "function"
            | "generator_function"
            | "async_arrow_function"
    )
}

fn javascript<'n>(cx: &Context<'_>, node: Node<'n>) -> Option<Found<'n>> {
    match node.kind() {
        "function_declaration" | "generator_function_declaration" | "function_signature" => {
            cx.named(node, DeclKind::Function)
        }
        "class_declaration"
        | "abstract_class_declaration"
        | "interface_declaration"
        | "type_alias_declaration"
        | "enum_declaration"
        | "class" => cx.named(node, DeclKind::Type),
        "method_definition" | "method_signature" | "abstract_method_signature" => {
            cx.named(node, DeclKind::Method)
        }
        "field_definition" | "public_field_definition" | "property_signature" => {
            let name = node
                .child_by_field_name("name")
                .or_else(|| node.child_by_field_name("property"))?;
            let value = node.child_by_field_name("value").filter(|v| is_function_value(*v));
            let kind = if value.is_some() { DeclKind::Method } else { DeclKind::Field };
            let mut found = cx.found(node, name, kind);
            found.body = value.and_then(|v| v.child_by_field_name("body"));
            Some(found)
        }
        "internal_module" | "module" => cx.named(node, DeclKind::Module),
        "lexical_declaration" | "variable_declaration" => {
            let mut cursor = node.walk();
            let mut declarators =
                node.named_children(&mut cursor).filter(|n| n.kind() == "variable_declarator");
            let first = declarators.next()?;
            let name = first.child_by_field_name("name").filter(|n| n.kind() == "identifier")?;
            let value = first.child_by_field_name("value");
            let function = value.filter(|v| is_function_value(*v));
            let class = value.filter(|v| v.kind() == "class");
            let kind = match (function, class) {
                (Some(_), _) => DeclKind::Function,
                (_, Some(_)) => DeclKind::Type,
                _ => cx.variable()?,
            };
            let mut found = cx.found(node, name, kind);
            found.body = function.or(class).and_then(|v| v.child_by_field_name("body"));
            Some(found)
        }
        "pair" => {
            let value = node.child_by_field_name("value").filter(|v| is_function_value(*v))?;
            let key = node.child_by_field_name("key")?;
            let mut found = cx.found(node, key, DeclKind::Method);
            found.body = value.child_by_field_name("body");
            Some(found)
        }
        "expression_statement" => {
            let assignment = node.named_child(0).filter(|n| n.kind() == "assignment_expression")?;
            let value =
                assignment.child_by_field_name("right").filter(|v| is_function_value(*v))?;
            let left = assignment.child_by_field_name("left")?;
            let name = match left.kind() {
                "member_expression" => left.child_by_field_name("property")?,
                "identifier" => left,
                _ => return None,
            };
            let mut found = cx.found(node, name, DeclKind::Function);
            found.body = value.child_by_field_name("body");
            found.container = left.child_by_field_name("object").map(|object| {
                let object = cx.text(object);
                object.strip_suffix(".prototype").unwrap_or(&object).to_owned()
            });
            found.container = found.container.filter(|c| {
                c.len() < 80 && c.chars().all(|ch| ch.is_alphanumeric() || "._$".contains(ch))
            });
            Some(found)
        }
        _ => None,
    }
}

fn go<'n>(cx: &Context<'_>, node: Node<'n>) -> Option<Found<'n>> {
    match node.kind() {
        "function_declaration" => cx.named(node, DeclKind::Function),
        "method_declaration" => {
            let mut found = cx.named(node, DeclKind::Method)?;
            found.container = node.child_by_field_name("receiver").and_then(|receiver| {
                let text = cx.text(receiver);
                let inner = text.trim_matches(['(', ')', ' ']);
                let name = inner.rsplit([' ', '*']).next().unwrap_or_default();
                let name = name.split('[').next().unwrap_or_default();
                (!name.is_empty()).then(|| name.to_owned())
            });
            Some(found)
        }
        "type_declaration" | "const_declaration" | "var_declaration" => {
            // `type T struct{}` is one declaration; `const ( A = 1; B = 2 )` holds several.
            let mut cursor = node.walk();
            let mut specs = node.named_children(&mut cursor).filter(|n| n.kind() != "comment");
            let spec = specs.next()?;
            if specs.next().is_some() || spec.kind() == "var_spec_list" {
                return None;
            }
            let kind = match node.kind() {
                "type_declaration" => DeclKind::Type,
                _ => cx.variable()?,
            };
            let mut found = cx.found(node, spec.child_by_field_name("name")?, kind);
            found.members = spec.child_by_field_name("type").unwrap_or(spec);
            found.body = match found.members.kind() {
                "struct_type" => found.members.named_child(0),
                _ => None,
            };
            Some(found)
        }
        "type_spec" | "type_alias" => cx.named(node, DeclKind::Type),
        "const_spec" | "var_spec" => {
            let kind = cx.variable()?;
            cx.named(node, kind)
        }
        "field_declaration" => cx.named(node, DeclKind::Field),
        "method_elem" | "method_spec" => cx.named(node, DeclKind::Method),
        _ => None,
    }
}

/// The identifier inside nested declarators, with the scope written before it.
fn declarator(mut node: Node<'_>) -> Option<(Node<'_>, Option<Node<'_>>, bool)> {
    let mut is_function = false;
    let mut scope = None;
    for _ in 0..16 {
        match node.kind() {
            "identifier" | "field_identifier" | "type_identifier" | "destructor_name"
            | "operator_name" => return Some((node, scope, is_function)),
            "qualified_identifier" => {
                scope = node.child_by_field_name("scope").or(scope);
                node = node.child_by_field_name("name")?;
            }
            "template_function" => node = node.child_by_field_name("name")?,
            kind => {
                is_function |= kind == "function_declarator";
                node = node
                    .child_by_field_name("declarator")
                    .or_else(|| node.named_child(0).filter(|_| kind == "parenthesized_declarator"))
                    .or_else(|| node.named_child(0).filter(|_| kind == "reference_declarator"))?;
            }
        }
    }
    None
}

fn c_family<'n>(cx: &Context<'_>, node: Node<'n>) -> Option<Found<'n>> {
    match node.kind() {
        "function_definition" => {
            let (name, scope, _) = declarator(node.child_by_field_name("declarator")?)?;
            let mut found = cx.found(node, name, cx.callable());
            if let Some(scope) = scope {
                found.kind = DeclKind::Method;
                found.container = Some(cx.text(scope).replace("::", "."));
            }
            Some(found)
        }
        "declaration" | "field_declaration" | "type_definition" => {
            // `struct S { ... };` is read as a declaration without declarator: S itself follows.
            let declared = node.child_by_field_name("declarator")?;
            let (name, _, is_function) = declarator(declared)?;
            let kind = match (node.kind(), is_function) {
                ("type_definition", _) => DeclKind::Type,
                (_, true) if !cx.in_function => cx.callable(),
                _ => cx.variable()?,
            };
            Some(cx.found(node, name, kind))
        }
        "struct_specifier" | "class_specifier" | "union_specifier" | "enum_specifier" => {
            node.child_by_field_name("body")?;
            cx.named(node, DeclKind::Type)
        }
        "namespace_definition" => cx.named(node, DeclKind::Module),
        "alias_declaration" | "concept_definition" => cx.named(node, DeclKind::Type),
        "preproc_def" | "preproc_function_def" => cx.named(node, DeclKind::Macro),
        "enumerator" => cx.named(node, DeclKind::Field),
        _ => None,
    }
}

fn java<'n>(cx: &Context<'_>, node: Node<'n>) -> Option<Found<'n>> {
    match node.kind() {
        "class_declaration"
        | "interface_declaration"
        | "enum_declaration"
        | "record_declaration"
        | "annotation_type_declaration" => cx.named(node, DeclKind::Type),
        "method_declaration" | "constructor_declaration" | "compact_constructor_declaration" => {
            cx.named(node, DeclKind::Method)
        }
        "field_declaration" | "constant_declaration" => {
            let declarator = node.child_by_field_name("declarator")?;
            Some(cx.found(node, declarator.child_by_field_name("name")?, DeclKind::Field))
        }
        "enum_constant" => cx.named(node, DeclKind::Field),
        _ => None,
    }
}

fn bash<'n>(cx: &Context<'_>, node: Node<'n>) -> Option<Found<'n>> {
    match node.kind() {
        "function_definition" => cx.named(node, DeclKind::Function),
        "variable_assignment" => {
            let kind = cx.variable()?;
            cx.named(node, kind)
        }
        _ => None,
    }
}

fn css<'n>(cx: &Context<'_>, node: Node<'n>) -> Option<Found<'n>> {
    match node.kind() {
        "rule_set" => {
            let selectors = node.named_child(0).filter(|n| n.kind() == "selectors")?;
            let mut found = cx.found(node, selectors, DeclKind::Type);
            found.body = node.named_child(1);
            Some(found)
        }
        _ => None,
    }
}

/// Keys of the two outer levels of a JSON document.
fn json<'n>(cx: &Context<'_>, node: Node<'n>) -> Option<Found<'n>> {
    if node.kind() != "pair" || cx.in_type {
        return None;
    }
    let key = node.child_by_field_name("key").filter(|k| k.kind() == "string")?;
    let mut found = cx.found(node, key, DeclKind::Field);
    let quoted = key.byte_range();
    found.name_bytes = quoted.start + 1..quoted.end.saturating_sub(1).max(quoted.start + 1);
    cx.text.get(found.name_bytes.clone()).unwrap_or_default().clone_into(&mut found.name);
    let depth_is_one =
        node.parent().and_then(|o| o.parent()).is_some_and(|p| p.kind() == "document");
    if !depth_is_one {
        found.kind = DeclKind::Type; // Closes the way to deeper levels.
    }
    Some(found)
}

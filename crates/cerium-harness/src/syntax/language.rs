//! Languages with a grammar, and the few facts about each that editing needs.

use std::path::Path;

/// A language this build can parse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Language {
    Bash,
    C,
    Cpp,
    Css,
    Go,
    Html,
    Java,
    JavaScript,
    Json,
    Python,
    Rust,
    Tsx,
    TypeScript,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Bash,
        Self::C,
        Self::Cpp,
        Self::Css,
        Self::Go,
        Self::Html,
        Self::Java,
        Self::JavaScript,
        Self::Json,
        Self::Python,
        Self::Rust,
        Self::Tsx,
        Self::TypeScript,
    ];

    /// The language of a file, by its name alone.
    pub fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        Some(match extension.as_str() {
            "sh" | "bash" => Self::Bash,
            "c" | "h" => Self::C,
            "cc" | "cpp" | "cxx" | "c++" | "hh" | "hpp" | "hxx" | "cu" | "cuh" => Self::Cpp,
            "css" => Self::Css,
            "go" => Self::Go,
            "html" | "htm" => Self::Html,
            "java" => Self::Java,
            "js" | "jsx" | "mjs" | "cjs" => Self::JavaScript,
            "json" => Self::Json,
            "py" | "pyi" | "pyw" => Self::Python,
            "rs" => Self::Rust,
            "tsx" => Self::Tsx,
            "ts" | "mts" | "cts" => Self::TypeScript,
            _ => return None,
        })
    }

    /// The tag that Markdown fences use.
    pub fn tag(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::C => "c",
            Self::Cpp => "cpp",
            Self::Css => "css",
            Self::Go => "go",
            Self::Html => "html",
            Self::Java => "java",
            Self::JavaScript => "javascript",
            Self::Json => "json",
            Self::Python => "python",
            Self::Rust => "rust",
            Self::Tsx => "tsx",
            Self::TypeScript => "typescript",
        }
    }

    /// What a comment on a line of its own starts and ends with.
    pub fn comment(self) -> (&'static str, &'static str) {
        match self {
            Self::Bash | Self::Python => ("# ", ""),
            Self::Css => ("/* ", " */"),
            Self::Html => ("<!-- ", " -->"),
            _ => ("// ", ""),
        }
    }

    /// Whether blocks are marked by indentation alone, so that a shifted reply changes meaning.
    pub fn is_indented(self) -> bool {
        self == Self::Python
    }

    pub(super) fn grammar(self) -> tree_sitter::Language {
        match self {
            Self::Bash => tree_sitter_bash::LANGUAGE,
            Self::C => tree_sitter_c::LANGUAGE,
            Self::Cpp => tree_sitter_cpp::LANGUAGE,
            Self::Css => tree_sitter_css::LANGUAGE,
            Self::Go => tree_sitter_go::LANGUAGE,
            Self::Html => tree_sitter_html::LANGUAGE,
            Self::Java => tree_sitter_java::LANGUAGE,
            Self::JavaScript => tree_sitter_javascript::LANGUAGE,
            Self::Json => tree_sitter_json::LANGUAGE,
            Self::Python => tree_sitter_python::LANGUAGE,
            Self::Rust => tree_sitter_rust::LANGUAGE,
            Self::Tsx => tree_sitter_typescript::LANGUAGE_TSX,
            Self::TypeScript => tree_sitter_typescript::LANGUAGE_TYPESCRIPT,
        }
        .into()
    }

    /// Node kinds whose children are statements or members, one after the other.
    pub(super) fn is_block(self, kind: &str) -> bool {
        let common = matches!(
            kind,
            "module"
                | "program"
                | "source_file"
                | "translation_unit"
                | "block"
                | "statement_block"
                | "compound_statement"
                | "class_body"
                | "declaration_list"
                | "field_declaration_list"
                | "enum_variant_list"
                | "enum_body"
                | "interface_body"
                | "constructor_body"
                | "switch_body"
                | "match_block"
                | "stylesheet"
                | "document"
                | "statement_list"
        );
        common || (self == Self::Json && matches!(kind, "object" | "array"))
    }
}

/// Node kinds that stand as one statement, arm or member.
pub(super) fn is_statement(kind: &str) -> bool {
    kind.ends_with("_statement")
        || kind.ends_with("_declaration")
        || kind.ends_with("_definition")
        || kind.ends_with("_item")
        || matches!(
            kind,
            "assignment"
                | "match_arm"
                | "switch_case"
                | "case_clause"
                | "except_clause"
                | "catch_clause"
                | "field_definition"
                | "public_field_definition"
                | "enum_variant"
                | "pair"
                | "rule_set"
                | "decorated_definition"
                | "let_declaration"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_grammar_loads() {
        for language in Language::ALL {
            assert!(super::super::parse(language, "").is_some(), "{language:?}");
        }
    }

    #[test]
    fn names_decide() {
        assert_eq!(Language::of(Path::new("a/b.PY")), Some(Language::Python));
        assert_eq!(Language::of(Path::new("a.d.ts")), Some(Language::TypeScript));
        assert_eq!(Language::of(Path::new("Makefile")), None);
    }
}

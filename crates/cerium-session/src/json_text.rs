//! JSON respaced while it goes by, without being parsed.

/// Takes the spaces out of JSON text, or puts Python's in; strings stay as they are. The text may come in
/// pieces cut anywhere. By default it becomes as short as can be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Respaced {
    in_string: bool,
    escaped: bool,
    /// Whether a space stands after commas and colons.
    spaced: bool,
}

impl Respaced {
    /// As Python writes it, and as templates do.
    pub(crate) fn spaced() -> Self {
        Self { spaced: true, ..Self::default() }
    }

    /// Appends `text` to `out`.
    pub(crate) fn push(&mut self, text: &str, out: &mut String) {
        for c in text.chars() {
            if self.in_string {
                out.push(c);
                if self.escaped {
                    self.escaped = false;
                } else if c == '\\' {
                    self.escaped = true;
                } else if c == '"' {
                    self.in_string = false;
                }
                continue;
            }
            if matches!(c, ' ' | '\n' | '\r' | '\t') {
                continue;
            }
            out.push(c);
            self.in_string = c == '"';
            if self.spaced && matches!(c, ',' | ':') {
                out.push(' ');
            }
        }
    }

    /// A whole text.
    pub(crate) fn all(mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        self.push(text, &mut out);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_change_outside_strings_alone() {
        let text = "{ \"a, b\" :\n[1,2 , {\"c\\\\\": \"x\\\" : ,\"}]\t}";
        let compact = r#"{"a, b":[1,2,{"c\\":"x\" : ,"}]}"#;
        assert_eq!(Respaced::default().all(text), compact);
        assert_eq!(Respaced::spaced().all(text), r#"{"a, b": [1, 2, {"c\\": "x\" : ,"}]}"#);
        let (mut pieces, mut respaced) = (String::new(), Respaced::default());
        text.chars().for_each(|c| respaced.push(&c.to_string(), &mut pieces));
        assert_eq!(pieces, compact);
    }
}

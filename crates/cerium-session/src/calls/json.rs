//! Where a JSON value ends.

/// Follows one JSON object or list, in pieces.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Json {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Json {
    /// How many bytes of `text` belong to the value, and whether it ends there.
    pub(super) fn read(&mut self, text: &str) -> (usize, bool) {
        for (i, byte) in text.bytes().enumerate() {
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return (i + 1, true);
                    }
                }
                _ => {}
            }
        }
        (text.len(), false)
    }
}

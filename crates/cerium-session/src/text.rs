//! Bytes of tokens to text that may be shown: whole characters, and nothing of a stop text.
//!
//! Tokens split characters, and stop texts span tokens, so what arrives is held back while it may
//! still become either. However the bytes are split, the text is the same (a property test).

#[cfg(test)]
mod tests;

/// Text on its way out of one generation.
#[derive(Debug)]
pub(crate) struct TextOut {
    /// Bytes of a character whose end has not come yet.
    split_char: Vec<u8>,
    /// Text seen and not shown, because a stop text may begin in it.
    held: String,
    stops: Vec<String>,
}

/// Whether the text goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Flow {
    Open,
    /// A stop text came; nothing after its beginning is ever shown.
    Stopped,
}

impl TextOut {
    /// Ends the text before the first of `stops` to be complete, the longest if several are.
    pub(crate) fn new(stops: Vec<String>) -> Self {
        Self { split_char: Vec::new(), held: String::new(), stops }
    }

    /// Takes the bytes of a token and appends to `out` what may be shown now.
    ///
    /// Bytes that are no UTF-8 become U+FFFD, as `String::from_utf8_lossy` would have it.
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut String) -> Flow {
        let mut text = String::new();
        self.split_char.extend_from_slice(bytes);
        let mut rest = self.split_char.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(whole) => {
                    text.push_str(whole);
                    rest = &[];
                    break;
                }
                Err(error) => {
                    let (whole, bad) = rest.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(whole));
                    rest = bad;
                    let Some(n_bad) = error.error_len() else { break };
                    text.push(char::REPLACEMENT_CHARACTER);
                    rest = &bad[n_bad..];
                }
            }
        }
        self.split_char = rest.to_vec();
        self.scan(&text, out)
    }

    /// The generation is over: what was held back becomes text.
    pub(crate) fn finish(&mut self, out: &mut String) -> Flow {
        let cut_char = !std::mem::take(&mut self.split_char).is_empty();
        let flow = if cut_char { self.scan("\u{fffd}", out) } else { Flow::Open };
        out.push_str(&std::mem::take(&mut self.held));
        flow
    }

    fn scan(&mut self, text: &str, out: &mut String) -> Flow {
        let n_old = self.held.len();
        self.held.push_str(text);
        for (i, c) in self.held[n_old..].char_indices() {
            let seen = &self.held[..n_old + i + c.len_utf8()];
            let complete = self.stops.iter().filter(|stop| seen.ends_with(stop.as_str()));
            if let Some(n_stop) = complete.map(String::len).max() {
                out.push_str(&seen[..seen.len() - n_stop]);
                self.held.clear();
                return Flow::Stopped;
            }
        }
        let n_begun = self.stops.iter().map(|stop| begun(&self.held, stop)).max().unwrap_or(0);
        out.extend(self.held.drain(..self.held.len() - n_begun));
        Flow::Open
    }
}

/// Bytes at the end of `text` that may be the beginning of `stop`, at most.
fn begun(text: &str, stop: &str) -> usize {
    stop.char_indices().map(|(i, _)| i).rev().find(|&i| text.ends_with(&stop[..i])).unwrap_or(0)
}

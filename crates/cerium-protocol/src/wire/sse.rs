//! An event stream, as its bytes arrive: lines to events.
//!
//! Only `data` matters: the events of every dialect name themselves in it. Source: the HTML
//! standard, "Interpreting an event stream".

use std::mem;

/// Longest data of one event. The last event of an answer repeats all of it, and its request's
/// instructions.
const EVENT_BYTES_MAX: usize = 64 << 20;

/// An event is longer than any that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is longer than {EVENT_BYTES_MAX} bytes")]
pub struct TooLong;

/// Takes a stream in pieces, cut anywhere, and gives the data of whole events.
#[derive(Debug, Default)]
pub struct EventReader {
    /// The line being read.
    line: Vec<u8>,
    /// Data of the event being read; lines of it are joined by a line feed.
    data: Option<Vec<u8>>,
    /// The last byte was a carriage return: a line feed after it ends no other line.
    after_return: bool,
}

impl EventReader {
    /// Reads on; `event` gets the data of every event that became whole, in order.
    ///
    /// # Errors
    /// [`TooLong`]; nothing can be read after it.
    pub fn push(&mut self, bytes: &[u8], mut event: impl FnMut(Vec<u8>)) -> Result<(), TooLong> {
        let mut rest = bytes;
        // No bytes say nothing of what follows a carriage return.
        if !bytes.is_empty() && mem::take(&mut self.after_return) {
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(end) = rest.iter().position(|&byte| matches!(byte, b'\n' | b'\r')) {
            self.extend(&rest[..end])?;
            let length = if rest[end..].starts_with(b"\r\n") { 2 } else { 1 };
            self.after_return = &rest[end..] == b"\r";
            rest = &rest[end + length..];
            if let Some(data) = self.end_line() {
                event(data);
            }
        }
        self.extend(rest)
    }

    fn extend(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        let n_held = self.line.len() + self.data.as_ref().map_or(0, Vec::len);
        if n_held + bytes.len() > EVENT_BYTES_MAX {
            return Err(TooLong);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    /// An empty line ends an event; other fields than `data`, and comments, say nothing here.
    fn end_line(&mut self) -> Option<Vec<u8>> {
        let line = mem::take(&mut self.line);
        if line.is_empty() {
            return self.data.take();
        }
        let value = line.strip_prefix(b"data").and_then(|rest| match rest {
            [] => Some(rest),
            [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
            _ => None,
        });
        match (value, &mut self.data) {
            (Some(value), Some(data)) => {
                data.push(b'\n');
                data.extend_from_slice(value);
            }
            (Some(value), none) => *none = Some(value.to_vec()),
            (None, _) => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data of a stream that arrives in pieces of `n` bytes.
    fn read(stream: &str, n: usize) -> Vec<String> {
        let mut reader = EventReader::default();
        let mut events = Vec::new();
        for piece in stream.as_bytes().chunks(n) {
            reader.push(piece, |data| events.push(String::from_utf8(data).unwrap())).unwrap();
        }
        events
    }

    #[test]
    fn events_are_the_same_however_the_stream_is_cut() {
        let stream = ": hello\n\nevent: a\ndata: {\"x\": 1}\n\r\ndata:two\r\ndata:  lines\r\n\r\n\
                      id: 7\n\ndata\n\ndatum: no\rdata: 🦀\r\rdata: never ended\n";
        let wanted = ["{\"x\": 1}", "two\n lines", "", "🦀"];
        for n in 1..stream.len() {
            assert_eq!(read(stream, n), wanted, "in pieces of {n}");
        }
    }

    #[test]
    fn a_piece_of_nothing_changes_nothing() {
        let mut reader = EventReader::default();
        let mut events = Vec::new();
        for piece in ["data: one\r", "", "\ndata: two\r", "\n\n"] {
            reader.push(piece.as_bytes(), |data| events.push(data)).unwrap();
        }
        assert_eq!(events, [b"one\ntwo"]);
    }

    #[test]
    fn a_stream_without_an_end_takes_no_more_memory_than_allowed() {
        let mut reader = EventReader::default();
        let piece = vec![b'x'; 1 << 20];
        let pushed = (0..65).map(|_| reader.push(&piece, |_| {})).find(Result::is_err);
        assert_eq!(pushed, Some(Err(TooLong)));
        assert!(reader.line.len() <= EVENT_BYTES_MAX);
    }
}

//! Messages on the wire: a header with a length, and JSON. What claims to be longer than any document that is
//! edited here is passed over without being kept.

use lsp_server::Message;
use std::io::{self, BufRead, Read, Write};

/// Longest message, in bytes: a document of the largest size, escaped as JSON, and some.
const MESSAGE_BYTES_MAX: u64 = 16 << 20;
/// Longest line of a header.
const HEADER_BYTES_MAX: u64 = 4 << 10;
/// Most lines of a header.
const HEADER_LINES_MAX: usize = 16;

/// What came in.
#[derive(Debug)]
pub(super) enum Frame {
    /// A message.
    Message(Message),
    /// Something else, with what is wrong about it; what follows can be read.
    Unreadable(String),
}

/// The next frame; `None` at the end.
///
/// # Errors
/// When nothing more can be read: the input is broken, or a header is and so the next message cannot be found.
pub(super) fn read(input: &mut impl BufRead) -> io::Result<Option<Frame>> {
    let mut length = None;
    for n_lines in 0.. {
        let mut line = Vec::new();
        input.by_ref().take(HEADER_BYTES_MAX).read_until(b'\n', &mut line)?;
        if line.is_empty() && n_lines == 0 {
            return Ok(None);
        }
        if !line.ends_with(b"\n") || n_lines == HEADER_LINES_MAX {
            return Err(invalid("the header of a message does not end"));
        }
        let line = line.trim_ascii();
        if line.is_empty() {
            break;
        }
        let text = String::from_utf8_lossy(line);
        let (name, value) =
            text.split_once(':').ok_or_else(|| invalid("a line of a header has no colon"))?;
        if name.trim().eq_ignore_ascii_case("content-length") {
            let parsed = value.trim().parse::<u64>();
            length = Some(parsed.map_err(|_| invalid("Content-Length is not a number"))?);
        }
    }
    let length = length.ok_or_else(|| invalid("a header has no Content-Length"))?;
    let mut body = input.take(length);
    if length > MESSAGE_BYTES_MAX {
        if io::copy(&mut body, &mut io::sink())? < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let what = format!("a message of {length} bytes; at most {MESSAGE_BYTES_MAX} are read");
        return Ok(Some(Frame::Unreadable(what)));
    }
    // What is claimed is not reserved before it is there.
    let mut bytes = Vec::new();
    if (body.read_to_end(&mut bytes)? as u64) < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(match serde_json::from_slice(&bytes) {
        Ok(message) => Frame::Message(message),
        Err(error) => Frame::Unreadable(format!("no message: {error}")),
    }))
}

/// Writes a frame.
///
/// # Errors
/// Those of the output.
pub(super) fn write(output: &mut impl Write, body: &[u8]) -> io::Result<()> {
    write!(output, "Content-Length: {}\r\n\r\n", body.len())?;
    output.write_all(body)?;
    output.flush()
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(input: &[u8]) -> Vec<String> {
        let mut input = input;
        let mut seen = Vec::new();
        loop {
            match read(&mut input) {
                Ok(Some(Frame::Message(Message::Notification(it)))) => seen.push(it.method),
                Ok(Some(frame)) => seen.push(format!("{frame:?}")),
                Ok(None) => return seen,
                Err(error) => {
                    seen.push(format!("end: {error}"));
                    return seen;
                }
            }
        }
    }

    #[test]
    fn what_is_no_message_is_passed_over_and_what_has_no_end_ends() {
        let hi = "Content-Length: 35\r\nX: y\r\n\r\n{\"jsonrpc\":\"2.0\",\"method\":\"hi\"}    ";
        let bad = "content-length:2\r\n\r\n{]";
        let told = all(format!("{hi}{bad}{hi}").as_bytes());
        assert_eq!((told[0].as_str(), told[2].as_str(), told.len()), ("hi", "hi", 3));
        assert!(told[1].starts_with("Unreadable"), "{told:?}");
        let long = format!("Content-Length: {}\r\n\r\n", MESSAGE_BYTES_MAX + 1);
        let filled = [long.as_bytes(), &vec![b' '; MESSAGE_BYTES_MAX as usize + 1], hi.as_bytes()];
        let told = all(&filled.concat());
        assert!(told[0].contains("at most") && told[1] == "hi", "{told:?}");
        for broken in
            ["x", "x\r\n", "Content-Length: -1\r\n\r\n", "Content-Length: 9\r\n\r\n{}", "\r\n"]
        {
            assert!(all(broken.as_bytes())[0].starts_with("end: "), "{broken:?}");
        }
        assert!(all(&vec![b'a'; 1 << 20])[0].starts_with("end: "));
        assert!(all("a: b\r\n".repeat(99).as_bytes())[0].starts_with("end: "));
        assert!(all(b"Content-Length: 18446744073709551615\r\n\r\n{}")[0].starts_with("end: "));
        assert!(all(b"").is_empty());
    }
}

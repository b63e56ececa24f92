//! A model's answer is untrusted text: it is read as lines for the parts it was asked for, or
//! refused. The first byte chooses the shape, then the parts and the answer follow, split at `\0`.

#![no_main]

use cerium_harness::edit::Format;
use cerium_harness::edit::reply::{Expected, Part, read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((&shape, rest)) = bytes.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    let mut texts: Vec<&str> = text.split('\0').collect();
    let reply = texts.pop().unwrap_or_default();
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let part = |text: &&str| Part { old: lines(text), before: lines(reply), after: Vec::new() };
    let parts: Vec<Part> = texts.iter().take(6).map(part).collect();
    if parts.is_empty() {
        return;
    }
    let n_parts = parts.len();
    let format = if shape & 1 == 0 { Format::Rewrite } else { Format::SearchReplace };
    let (cut, comments_may_go) = (shape & 2 != 0, shape & 4 != 0);
    if let Ok(read) = read(reply, &Expected { format, parts, cut, comments_may_go }) {
        assert_eq!(read.len(), n_parts);
    }
});

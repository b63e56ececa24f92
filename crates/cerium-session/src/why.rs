//! What of a prompt was known, told by its parts: where the engine speaks of tokens, people want to hear of
//! system text, file and instruction.
//!
//! The texts of a conversation stand in its prompt as they were said, in their order, between words and control
//! tokens of the template. So they are found again by looking for them; what comes before a text introduces it.

use crate::service::Service;
use crate::steer::Origin;
use cerium_engine::{Gone, Parting, Stats};
use cerium_model::template::Message;
use cerium_protocol::{Cause, PartRead, Place, Why};
use std::ops::Range;

/// Parts that are told, and most of those that a request names.
const PARTS_MAX: usize = 64;

/// Longest prompt that an answer explains by itself, if its request names no parts.
const TOKENS_MAX: usize = 4096;

/// What follows the last message: the template's words, and what the answer is made to begin with.
const ANSWER: &str = "beginning of the answer";

/// Places at which a message is looked for.
const TRIES_MAX: usize = 256;

/// Bytes of a name, and of each piece of text around a place.
const NAME_BYTES_MAX: usize = 120;
const TEXT_BYTES_MAX: usize = 48;

/// A part of a prompt: what it is, and which bytes of the prompt's text.
#[derive(Debug)]
struct Part<'a> {
    name: &'a str,
    bytes: Range<usize>,
}

/// An answer's prompt that was not explained yet.
#[derive(Debug)]
pub struct Unexplained {
    service: Service,
    origin: Origin,
    stats: Stats,
}

impl Unexplained {
    pub(crate) fn new(service: Service, origin: Origin, stats: Stats) -> Self {
        Self { service, origin, stats }
    }

    /// What of it was known, and why the rest was not.
    pub fn why(&self) -> Why {
        explain(&self.service, &self.origin, &self.stats)
    }
}

/// Whether an answer explains its prompt by itself. It takes time in proportion to the prompt, which a turn of a
/// long conversation should not: a long one is explained at once only if its request names parts.
pub(crate) fn is_told(origin: &Origin) -> bool {
    origin.prompt.len() <= TOKENS_MAX || !origin.extensions.parts.is_empty()
}

/// What of a prompt was known, and why the rest was not.
pub(crate) fn explain(service: &Service, origin: &Origin, stats: &Stats) -> Why {
    let (ids, tokenizer) = (&origin.prompt, service.tokenizer());
    let bytes = tokenizer.decode(ids);
    let mut at = 0;
    let starts = ids.iter().map(|&id| {
        at += tokenizer.token_bytes(id).len();
        (at, tokenizer.is_control(id))
    });
    let controls: Vec<usize> = starts.filter(|&(_, is)| is).map(|(at, _)| at).collect();
    let conversation = origin.past.as_ref().map(|past| past.conversation(service));
    let messages = conversation.as_ref().map_or(&[][..], |it| &it.messages[..]);
    let parts = parts(origin, messages, &String::from_utf8_lossy(&bytes), &controls);
    let mut read: Vec<PartRead> = Vec::new();
    // By the place of each text: which of the parts that are told it belongs to.
    let of: Vec<usize> = (parts.iter().map(|part| part.name).chain([ANSWER]))
        .map(|name| {
            if read.len() < PARTS_MAX && read.last().is_none_or(|last| last.name != name) {
                read.push(PartRead { name: name.to_owned(), tokens: 0, known_tokens: 0 });
            }
            read.len() - 1
        })
        .collect();
    let parting = stats.parting.as_deref();
    let n_known = parting.map_or(stats.n_cached, |parting| parting.n_known);
    // The last token is always computed.
    let is_known = n_known + 1 >= ids.len();
    let (mut start, mut place) = (0, None);
    for (i, &id) in ids.iter().enumerate() {
        let part = parts.partition_point(|part| part.bytes.end <= start);
        if i == n_known && !is_known {
            let begin = match parts.get(part) {
                Some(part) => part.bytes.start,
                None => parts.last().map_or(0, |last| last.bytes.end),
            };
            place = Some(Place {
                part: of[part],
                byte: start.saturating_sub(begin),
                before: last(&bytes[..start]),
                here: spell(service, &ids[i..]),
                known: parting.and_then(|parting| instead(service, parting)),
            });
        }
        let part = &mut read[of[part]];
        part.tokens += 1;
        part.known_tokens += u64::from(i < n_known);
        start += tokenizer.token_bytes(id).len();
    }
    let gone = parting.and_then(|parting| parting.gone).filter(|_| !is_known);
    Why {
        cause: match (gone, &place) {
            _ if is_known => Cause::Known,
            (Some((Gone::Evicted, _)), _) => Cause::Evicted,
            (Some((Gone::Lost, _)), _) => Cause::Lost,
            (Some((Gone::Elsewhere, _)), _) => Cause::Elsewhere,
            (None, Some(Place { known: Some(_), .. })) => Cause::Differs,
            (None, _) => Cause::New,
        },
        restored_tokens: stats.n_restored as u64,
        gone_tokens: gone.map_or(0, |(_, n)| n as u64),
        parts: read,
        place,
    }
}

/// What a known prompt goes on with, where that is why.
fn instead(service: &Service, parting: &Parting) -> Option<String> {
    let differs = parting.gone.is_none() && !parting.beside.is_empty();
    differs.then(|| spell(service, &parting.beside))
}

/// The parts of a prompt, in their order.
///
/// * `controls`: the bytes at which its control tokens stand
fn parts<'a>(
    origin: &'a Origin,
    messages: &[Message],
    prompt: &str,
    controls: &[usize],
) -> Vec<Part<'a>> {
    let n_before = messages.len().saturating_sub(origin.n_items);
    let (mut parts, mut at) = (Vec::new(), 0);
    for (i, message) in messages.iter().enumerate() {
        let usual = match message.role.as_str() {
            "system" | "developer" => "system text",
            _ if i + 1 == messages.len() => "message",
            _ => "earlier turns",
        };
        // Templates leave out the white space around it.
        let text = message.content.trim();
        let n_left_out = message.content.len() - message.content.trim_start().len();
        let start = find(prompt, text, at, controls);
        let named = origin.extensions.parts.iter().take(PARTS_MAX);
        let named = named.filter(|part| i.checked_sub(n_before) == Some(part.item));
        let cut = |byte: usize| text.floor_char_boundary(byte.saturating_sub(n_left_out));
        let mut cuts: Vec<(usize, &str)> = vec![(0, usual)];
        cuts.extend(named.map(|part| (cut(part.byte), part.name.as_str())));
        cuts.sort_by_key(|&(at, _)| at);
        for (k, &(from, name)) in cuts.iter().enumerate() {
            let to = cuts.get(k + 1).map_or(text.len(), |&(at, _)| at);
            if let (Some(start), true) = (start, from < to) {
                let name = &name[..name.floor_char_boundary(NAME_BYTES_MAX)];
                parts.push(Part { name, bytes: start + from..start + to });
                at = start + to;
            }
        }
    }
    parts
}

/// Where a message's text stands in a prompt: where nothing but white space is between it and the next control
/// token, if it stands there; a role's name may hold a short text, too.
fn find(prompt: &str, text: &str, from: usize, controls: &[usize]) -> Option<usize> {
    let is_whole = |&start: &usize| {
        let end = start + text.len();
        let next = controls.get(controls.partition_point(|&control| control < end));
        prompt.get(end..next.copied().unwrap_or(prompt.len())).is_some_and(|t| t.trim().is_empty())
    };
    let found = || prompt[from..].match_indices(text).map(|(at, _)| from + at);
    found().take(TRIES_MAX).find(is_whole).or_else(|| found().next())
}

/// The first tokens as text, control tokens by their names.
fn spell(service: &Service, ids: &[u32]) -> String {
    let tokenizer = service.tokenizer();
    let mut bytes = Vec::new();
    for &id in ids.iter().take(TEXT_BYTES_MAX) {
        match tokenizer.control_text(id) {
            Some(text) => bytes.extend(text.bytes()),
            None => bytes.extend(tokenizer.token_bytes(id)),
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    text[..text.floor_char_boundary(TEXT_BYTES_MAX)].to_owned()
}

/// The end of a text.
fn last(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(2 * TEXT_BYTES_MAX)..]);
    text[text.ceil_char_boundary(text.len().saturating_sub(TEXT_BYTES_MAX))..].to_owned()
}

//! Redirecting an answer: which of its tokens stay, and which follow them.
//!
//! What stays keeps its ids, so that nothing of it is computed again: the conversation only grows. What was
//! written becomes the assistant's turn as it stands; the template says how a turn ends and the next
//! begins. Only where nothing is kept is what was asked put differently.

mod boundary;

use crate::conversation::message;
use crate::history::Past;
use crate::prompt;
use crate::service::Service;
use cerium_engine::{Class, Drafts, Sampling};
use cerium_model::tokenizer::Tokenizer;
use cerium_protocol::{ErrorBody, Extensions, Input, Item, Role, SteerResponse, Tool};

/// What an answer goes on from, and how.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// Field of the request that the prompt came from.
    pub(crate) param: &'static str,
    /// The conversation; absent where raw text goes on.
    pub(crate) past: Option<Past>,
    /// Turns at its end that are those of the input, and what was said since.
    pub(crate) n_items: usize,
    pub(crate) prompt: Vec<u32>,
    /// Tokens that end it, beside the usual ones.
    pub(crate) end_tokens: Vec<u32>,
    pub(crate) max_tokens: Option<u32>,
    pub(crate) sampling: Sampling,
    /// How likely tokens were, with so many of the likeliest ones, if that is asked for.
    pub(crate) likelihoods: Option<usize>,
    pub(crate) stops: Vec<String>,
    pub(crate) extensions: Extensions,
    /// What the answer may call, and whether it may call several.
    pub(crate) tools: Vec<Tool>,
    pub(crate) parallel: bool,
    pub(crate) class: Class,
    /// Whether the prompt alone is computed.
    pub(crate) warms: bool,
}

/// Tokens of an answer, with their bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written {
    pub(crate) ids: Vec<u32>,
    /// Where each token's bytes end.
    ends: Vec<usize>,
    bytes: Vec<u8>,
}

/// What follows an answer that is redirected.
pub(crate) struct Successor {
    pub(crate) origin: Origin,
    /// Tokens of the sequence so far that stay, and those that follow them.
    pub(crate) n_kept: usize,
    pub(crate) tail: Vec<u32>,
    /// Text that stays of the answer.
    pub(crate) kept: String,
    /// What the next answer begins with.
    pub(crate) written: Written,
    /// What it is drafted from.
    expected: Extensions,
}

impl Written {
    pub(crate) fn push(&mut self, id: u32, bytes: &[u8]) {
        self.ids.push(id);
        self.bytes.extend_from_slice(bytes);
        self.ends.push(self.bytes.len());
    }

    pub(crate) fn n_bytes(&self) -> usize {
        self.bytes.len()
    }

    fn truncate(&mut self, n_tokens: usize) {
        self.ids.truncate(n_tokens);
        self.ends.truncate(n_tokens);
        self.bytes.truncate(self.ends.last().copied().unwrap_or(0));
    }

    /// The text of an answer that begins with it.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

impl Successor {
    pub(crate) fn drafts(&self, service: &Service) -> Drafts {
        prompt::drafts(&self.expected, service.tokenizer())
    }
}

impl Origin {
    /// What follows when the answer, `shown` so far, is redirected.
    pub(crate) fn successor(
        &self,
        service: &Service,
        written: &Written,
        shown: &str,
        request: &SteerResponse,
    ) -> Result<Successor, ErrorBody> {
        let tokenizer = service.tokenizer();
        let mut origin = self.clone();
        let changes = &request.cerium;
        let (temperature, top_p) = (self.sampling.temperature, self.sampling.top_p);
        let temperature = changes.temperature.unwrap_or(temperature);
        let extensions = Extensions { seed: changes.seed, ..self.extensions.clone() };
        let seed = self.sampling.seed;
        let n_vocab = tokenizer.n_vocab();
        origin.sampling =
            prompt::sampling(Some(temperature), Some(top_p), &extensions, n_vocab, || seed)?;

        let shown = same(shown, &written.bytes);
        let kept = &shown[..boundary::n_kept(shown, changes.keep)];
        let mut written = written.clone();
        written.truncate(written.ends.partition_point(|&end| end <= kept.len()));
        let n_kept = self.prompt.len() + written.ids.len();
        // A token that was kept in part is written anew.
        let cut = &kept[written.bytes.len()..];
        let before = format!("{}{kept}", self.extensions.prefix);

        if let Some(more) = &changes.go_on {
            if !input_is_empty(&request.input) {
                return Err(invalid(
                    "`input` says something, and `cerium.go_on` that nothing is said",
                ));
            }
            let tail = tokenizer.encode(&format!("{cut}{more}"));
            for &id in &tail {
                written.push(id, tokenizer.token_bytes(id));
            }
            origin.max_tokens =
                self.max_tokens.map(|n| n.saturating_sub(written.ids.len() as u32).max(1));
            let expected = Extensions { prefix: before + more, ..self.extensions.clone() };
            return Ok(Successor {
                origin,
                n_kept,
                tail,
                kept: kept.to_owned(),
                written,
                expected,
            });
        }

        let said = said(&request.input)?;
        let Some(mut past) = self.past.clone() else {
            return Err(ErrorBody::not_served("input", "a text without turns cannot be talked to")
                .with_code("steering_not_supported"));
        };
        let mut conversation = past.conversation(service);
        let messages = &mut conversation.messages;
        let (n_kept, mut tail) = if kept.is_empty() {
            match messages.last_mut().filter(|last| last.role == "user") {
                Some(last) => last.content = format!("{}\n\n{said}", last.content),
                None => messages.push(message("user", &said)),
            }
            let mut whole = prompt::encode(&conversation, tokenizer, service.template())?;
            let n_same = whole.iter().zip(&self.prompt).take_while(|(a, b)| a == b).count();
            (n_same, whole.split_off(n_same))
        } else {
            messages.push(message("assistant", &before));
            past.said.push(Item::message(Role::Assistant, before));
            origin.n_items += 1;
            let closed = prompt::turns(&conversation, tokenizer, service.template())?;
            conversation.messages.push(message("user", &said));
            let opened = prompt::encode(&conversation, tokenizer, service.template())?;
            let mut tail = tokenizer.encode(cut);
            tail.extend(next_turn(tokenizer, &closed, &opened)?);
            (n_kept, tail)
        };
        tail.extend(tokenizer.encode(&changes.prefix));
        let mut sequence = [&self.prompt[..], &written.ids].concat();
        sequence.truncate(n_kept);
        sequence.extend(&tail);
        past.said.push(Item::message(Role::User, said));
        origin.n_items += 1;
        (origin.past, origin.prompt) = (Some(past), sequence);
        origin.extensions.prefix.clone_from(&changes.prefix);
        let prediction = changes.prediction.clone().unwrap_or_else(|| shown.to_owned());
        origin.extensions.prediction = Some(prediction);
        let expected = origin.extensions.clone();
        let (kept, written) = (kept.to_owned(), Written::default());
        Ok(Successor { origin, n_kept, tail, kept, written, expected })
    }
}

/// The end of the assistant's turn and all that comes after its text: from the last control token of the
/// conversation that it closes.
fn next_turn(tokenizer: &Tokenizer, closed: &[u32], opened: &[u32]) -> Result<Vec<u32>, ErrorBody> {
    let at = closed.iter().rposition(|&id| tokenizer.is_control(id));
    match at {
        Some(at) if opened.starts_with(closed) => Ok(opened[at..].to_vec()),
        _ => {
            let what =
                "this model's template does not say how an answer ends and the next turn begins";
            Err(ErrorBody::not_served("input", what).with_code("steering_not_supported"))
        }
    }
}

/// The part of a text that says the same as the bytes it was made from.
fn same<'a>(shown: &'a str, bytes: &[u8]) -> &'a str {
    let n = shown.bytes().zip(bytes).take_while(|(a, b)| a == *b).count();
    &shown[..shown.floor_char_boundary(n)]
}

fn input_is_empty(input: &Input) -> bool {
    match input {
        Input::Text(text) => text.is_empty(),
        Input::Items(items) => items.is_empty(),
    }
}

/// What the user says, in one turn.
fn said(input: &Input) -> Result<String, ErrorBody> {
    match input {
        Input::Text(text) if !text.is_empty() => Ok(text.clone()),
        Input::Items(items) if !items.is_empty() && items.iter().all(Item::is_of_a_person) => {
            let texts: Vec<&str> = items.iter().map(Item::text).collect();
            Ok(texts.join("\n\n"))
        }
        _ => Err(invalid("steering takes user messages, at least one")),
    }
}

fn invalid(what: &str) -> ErrorBody {
    ErrorBody::invalid("input", what).with_code("invalid_input")
}

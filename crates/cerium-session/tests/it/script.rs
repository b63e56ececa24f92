//! An engine that plays a script, and a vocabulary in which every byte is a token.
//!
//! The tests of `cerium-server` use this file too.

use cerium_engine::{Finish, FinishReason, Job, Likelihood, Mask, Stats, Steer, Step, SubmitError};
use cerium_model::gguf::{Array, Gguf, Strings, Value};
use cerium_model::template::ChatTemplate;
use cerium_model::testing::GgufBuilder;
use cerium_model::tokenizer::Tokenizer;
use cerium_session::{Generator, Service, Steps};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a scripted engine does with one job.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// Generates the bytes of a text, one token each, and ends by itself.
    Say(&'static str, FinishReason),
    /// Generates these bytes, one token each, which need not be a text.
    SayBytes(&'static [u8], FinishReason),
    /// Says of these texts the one whose number is how many outputs of tools the prompt holds, and ends by itself.
    Turns(&'static [&'static str]),
    /// Says a text, once two others and then none are before it.
    SayLate(&'static str),
    /// Generates the same text again and again until it is cancelled.
    Repeat(&'static str),
    /// Generates a text, then nothing more, until it is cancelled.
    Hang(&'static str),
    /// Generates a text and ends by itself, before it hears that it should go on otherwise.
    Deaf(&'static str),
    /// Generates a text, then is gone.
    Die(&'static str),
    /// Takes no job.
    Refuse,
}

/// What the engine saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) jobs: Mutex<Vec<Job>>,
    /// What jobs were told to go on with; they play their act again.
    pub(crate) steers: Mutex<Vec<Steer>>,
    /// Tokens handed out.
    pub(crate) n_tokens: AtomicUsize,
    /// Whether a job was cancelled by being told so.
    pub(crate) cancelled: AtomicBool,
    /// Jobs whose steps were let go of.
    pub(crate) n_dropped: AtomicUsize,
}

/// Plays the same act for every job.
#[derive(Debug)]
pub(crate) struct Script {
    act: Act,
    seen: Arc<Seen>,
}

/// Longest sequence of the scripted model, in tokens.
pub(crate) const N_CONTEXT: usize = 400;

/// A service over a scripted engine, and what that engine sees.
pub(crate) fn service(act: Act) -> (Service, Arc<Seen>) {
    service_of(act, &words(true))
}

/// The same with a vocabulary of one's own.
pub(crate) fn service_of(act: Act, words: &Words) -> (Service, Arc<Seen>) {
    service_within(act, words, N_CONTEXT)
}

/// The same with a longest sequence of one's own.
pub(crate) fn service_within(act: Act, words: &Words, n_context: usize) -> (Service, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let script = Script { act, seen: Arc::clone(&seen) };
    let Words { tokenizer, template } = words;
    let service = Service::new(
        "scripted".to_owned(),
        Arc::clone(tokenizer),
        Arc::clone(template),
        n_context,
        script,
    );
    (service, seen)
}

/// A tokenizer and its template.
pub(crate) struct Words {
    pub(crate) tokenizer: Arc<Tokenizer>,
    pub(crate) template: Arc<ChatTemplate>,
}

const SPECIALS: [&str; 7] = [
    "<|im_start|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<|fim_prefix|>",
    "<|fim_suffix|>",
    "<|fim_middle|>",
    "<|fim_pad|>",
];

/// Token ids are byte values; the special tokens follow. `ChatML`, with infill or without.
pub(crate) fn words(infill: bool) -> Words {
    words_of(infill, None)
}

/// The same under another template.
pub(crate) fn words_of(infill: bool, template: Option<&str>) -> Words {
    let (mut texts, mut kinds) = (Strings::default(), Vec::new());
    let mut n_unprintable = 0;
    for byte in 0..=u8::MAX {
        // The alphabet of byte-level vocabularies: printable Latin-1 stands for itself.
        let printable = matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
        let letter = if printable { u32::from(byte) } else { 256 + n_unprintable };
        n_unprintable += u32::from(!printable);
        texts.push(&char::from_u32(letter).unwrap().to_string());
        kinds.push(1);
    }
    for special in &SPECIALS[..if infill { 7 } else { 3 }] {
        texts.push(special);
        kinds.push(3);
    }
    let string = |text: &str| Value::String(text.to_owned());
    let mut file = GgufBuilder::new(3)
        .kv("general.architecture", string("scripted"))
        .kv("tokenizer.ggml.model", string("gpt2"))
        .kv("tokenizer.ggml.tokens", Value::Array(Array::String(texts)))
        .kv("tokenizer.ggml.token_type", Value::Array(Array::I32(kinds)))
        .kv("tokenizer.ggml.merges", Value::Array(Array::String(Strings::default())));
    if let Some(template) = template {
        file = file.kv("tokenizer.chat_template", string(template));
    }
    let gguf = Gguf::parse(&file.build()).unwrap();
    let tokenizer = Tokenizer::from_gguf(&gguf).unwrap();
    let template = ChatTemplate::from_gguf(&gguf, &tokenizer).unwrap();
    Words { tokenizer: Arc::new(tokenizer), template: Arc::new(template) }
}

/// Ids as text, in which control tokens stand between `«` and `»`.
pub(crate) fn spell(ids: &[u32]) -> String {
    let mut bytes = Vec::new();
    for &id in ids {
        if let Ok(byte) = u8::try_from(id) {
            bytes.push(byte);
        } else {
            let name = SPECIALS[id as usize - 256].trim_matches(['<', '>', '|']);
            bytes.extend(format!("«{name}»").bytes());
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Generator for Script {
    fn submit(&self, mut job: Job) -> Result<Box<dyn Steps>, SubmitError> {
        if matches!(self.act, Act::Refuse) {
            return Err(SubmitError::Busy {
                n_waiting: 68,
                wait: Some(Duration::from_millis(1500)),
            });
        }
        let (n_prompt, likelihoods) = (job.prompt.len(), job.likelihoods);
        if n_prompt == 0 {
            return Err(SubmitError::EmptyPrompt);
        }
        let act = match self.act {
            Act::Turns(texts) => {
                let n_outputs = spell(&job.prompt).matches("</tool_response>").count();
                let text = texts[n_outputs.min(texts.len() - 1)];
                if job.max_tokens > 0 {
                    check(text, job.mask.take(), &job.stop_tokens);
                }
                Act::Say(text, FinishReason::Stop)
            }
            // Nothing is to be said: the prompt alone is computed.
            Act::Say(..) if job.max_tokens == 0 => Act::Say("", FinishReason::Length),
            act => act,
        };
        self.seen.jobs.lock().unwrap().push(job);
        let (told, heard) = flume::bounded(1);
        Ok(Box::new(Playing {
            act,
            seen: Arc::clone(&self.seen),
            n_prompt,
            likelihoods,
            n_steps: 0,
            over: false,
            told,
            heard,
        }))
    }
}

/// No model could have written a text that the mask does not allow.
fn check(text: &str, mask: Option<Box<dyn Mask>>, ends: &[u32]) {
    let Some(mut mask) = mask else { return };
    let allows = |mask: &mut Box<dyn Mask>, id: u32| {
        mask.allowed()[id as usize / 32] & (1 << (id % 32)) != 0
    };
    for (n, byte) in text.bytes().enumerate() {
        assert!(allows(&mut mask, u32::from(byte)), "the mask ends after {n} bytes of {text:?}");
        mask.accept(u32::from(byte));
    }
    assert!(ends.iter().any(|&id| allows(&mut mask, id)), "the mask wants more than {text:?}");
}

/// One job on the stage.
struct Playing {
    act: Act,
    seen: Arc<Seen>,
    n_prompt: usize,
    likelihoods: Option<usize>,
    n_steps: usize,
    over: bool,
    told: flume::Sender<Told>,
    heard: flume::Receiver<Told>,
}

/// What a job is told.
#[derive(Clone, Copy)]
enum Told {
    Cancel,
    Steer { n_prompt: usize },
}

/// What happens next on the stage.
enum Turn {
    Now(Step),
    Gone,
    /// Nothing, until the job is cancelled.
    Wait,
}

impl Playing {
    fn turn(&mut self) -> Turn {
        if self.over {
            return Turn::Gone;
        }
        if let Ok(what) = self.heard.try_recv() {
            return Turn::Now(self.heed(what));
        }
        let mut n = self.n_steps;
        self.n_steps += 1;
        if let Act::SayLate(_) = self.act {
            if n < 2 {
                return Turn::Now(Step::Queued { n_before: 2 * (1 - n), wait: None });
            }
            n -= 2;
        }
        if n == 0 {
            return Turn::Now(Step::Prefilled { n_prompt: self.n_prompt, n_cached: 3 });
        }
        let text = match self.act {
            Act::SayBytes(bytes, _) => bytes,
            Act::Say(text, _)
            | Act::SayLate(text)
            | Act::Repeat(text)
            | Act::Hang(text)
            | Act::Deaf(text)
            | Act::Die(text) => text.as_bytes(),
            Act::Turns(_) | Act::Refuse => &[],
        };
        let idx = if matches!(self.act, Act::Repeat(_)) { (n - 1) % text.len() } else { n - 1 };
        if let Some(&byte) = text.get(idx) {
            self.seen.n_tokens.fetch_add(1, Ordering::SeqCst);
            let id = u32::from(byte);
            return Turn::Now(Step::Token { id, likelihood: self.likelihood(id), drafted: None });
        }
        match self.act {
            Act::Say(_, reason) | Act::SayBytes(_, reason) => Turn::Now(self.done(reason)),
            Act::Deaf(_) | Act::SayLate(_) => Turn::Now(self.done(FinishReason::Stop)),
            Act::Hang(_) => Turn::Wait,
            Act::Turns(_) | Act::Repeat(_) | Act::Die(_) | Act::Refuse => Turn::Gone,
        }
    }

    /// The likeliest tokens are the next byte values.
    fn likelihood(&self, id: u32) -> Option<Box<Likelihood>> {
        let top = |n: usize| (1..=n as u32).map(|i| (id + i, -0.25 - i as f32)).collect();
        self.likelihoods.map(|n| Box::new(Likelihood { logprob: -0.5, top: top(n) }))
    }

    fn heed(&mut self, what: Told) -> Step {
        match what {
            Told::Cancel => self.done(FinishReason::Cancelled),
            Told::Steer { n_prompt } => {
                let stats = Box::new(self.stats());
                (self.n_prompt, self.n_steps) = (n_prompt, 0);
                Step::Steered { stats }
            }
        }
    }

    fn done(&mut self, reason: FinishReason) -> Step {
        self.over = true;
        Step::Done(Box::new(Finish { reason, stats: self.stats() }))
    }

    fn stats(&self) -> Stats {
        Stats {
            n_prompt: self.n_prompt,
            n_cached: 3,
            n_output: self.n_steps.saturating_sub(2),
            prefill: Duration::from_millis(10),
            ttft: Duration::from_millis(11),
            decode: Duration::from_millis(20),
            total: Duration::from_millis(31),
            ..Stats::default()
        }
    }
}

impl Steps for Playing {
    fn next(&mut self) -> Option<Step> {
        match self.turn() {
            Turn::Now(step) => Some(step),
            Turn::Gone => None,
            Turn::Wait => {
                let what = self.heard.recv().unwrap();
                Some(self.heed(what))
            }
        }
    }

    fn next_async(&mut self) -> Pin<Box<dyn Future<Output = Option<Step>> + Send + '_>> {
        Box::pin(async {
            match self.turn() {
                Turn::Now(step) => Some(step),
                Turn::Gone => None,
                Turn::Wait => {
                    let what = self.heard.recv_async().await.unwrap();
                    Some(self.heed(what))
                }
            }
        })
    }

    fn steer(&self, steer: Steer) -> Result<(), SubmitError> {
        let n_prompt = steer.n_kept + steer.tokens.len();
        self.seen.steers.lock().unwrap().push(steer);
        if !matches!(self.act, Act::Deaf(_)) {
            let _ = self.told.try_send(Told::Steer { n_prompt });
        }
        Ok(())
    }

    fn cancel(&self) {
        self.seen.cancelled.store(true, Ordering::SeqCst);
        let _ = self.told.try_send(Told::Cancel);
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        self.seen.n_dropped.fetch_add(1, Ordering::SeqCst);
    }
}

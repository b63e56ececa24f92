//! The door of the session: requests in, streams of events out.

use crate::calls::{Reader, Style};
use crate::candidates::Candidates;
use crate::constraint::{Asked, Constraints, Follower, Thinks};
use crate::conversation::Conversation;
use crate::generator::{Generator, Steps};
use crate::guide::Guide;
use crate::history::{End, Front, Histories, Past};
use crate::prompt;
use crate::steer::Origin;
use crate::stream::{Stream, StreamParts};
use cerium_engine::{Class, Drafts, Glance, Job, Mask, Owner, SubmitError};
use cerium_model::template::{ChatTemplate, Ending};
use cerium_model::tokenizer::Tokenizer;
use cerium_protocol::{
    CompletionRequest, CreateResponse, ErrorBody, ErrorKind, Input, ModelInfo, Response,
    ServiceTier, Usage,
};
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

/// The mask of a job; absent where every token may come.
type NewMask = Result<Option<Follower>, ErrorBody>;

/// Most tokens of an answer of a model that is guided.
const GUIDED_TOKENS_MAX: u32 = 4096;

/// Most candidates of an answer.
const CANDIDATES_MAX: u32 = 16;

/// One model, ready to answer. A cheap handle: clones share everything.
#[derive(Clone)]
pub struct Service(Arc<Inner>, Owner);

struct Inner {
    model: ModelInfo,
    tokenizer: Arc<Tokenizer>,
    template: Arc<ChatTemplate>,
    generator: Box<dyn Generator>,
    histories: Histories,
    /// Every token that ends an answer.
    end_tokens: Vec<u32>,
    /// Bytes of the longest token.
    token_bytes_max: usize,
    /// How the model writes calls, and the control tokens that it writes around them.
    style: Style,
    marks: HashMap<u32, &'static str>,
    constraints: Constraints,
    guided: bool,
}

impl Service {
    /// Serves the model of `tokenizer` and `template` under a name. `context_tokens` bounds prompt
    /// and answer together.
    pub fn new(
        model_name: String,
        tokenizer: Arc<Tokenizer>,
        template: Arc<ChatTemplate>,
        context_tokens: usize,
        generator: impl Generator + 'static,
    ) -> Self {
        let n_vocab = u32::try_from(tokenizer.n_vocab()).unwrap_or(u32::MAX);
        let style = Style::of_template(template.source());
        // gpt-oss ends its messages with what ends answers of others.
        let goes_on = (style == Style::Harmony).then(|| tokenizer.special("<|end|>")).flatten();
        let ends = (0..n_vocab).filter(|&id| tokenizer.is_end(id) && Some(id) != goes_on);
        let end_tokens: Vec<u32> = ends.collect();
        let constraints = Constraints::new(Arc::clone(&tokenizer), end_tokens.clone());
        let marks = style.marks().iter();
        let marks = marks.filter_map(|mark| Some((tokenizer.special(mark)?, *mark)));
        let marks = marks.filter(|&(id, _)| tokenizer.is_control(id)).collect();
        let lengths = (0..n_vocab).map(|id| tokenizer.token_bytes(id).len());
        let token_bytes_max = lengths.max().unwrap_or(0).max(1);
        let infill = tokenizer.infill().is_some();
        let inner = Arc::new(Inner {
            model: ModelInfo { name: model_name, context_tokens, infill, extensions: true },
            tokenizer,
            template,
            generator: Box::new(generator),
            histories: Histories::default(),
            end_tokens,
            token_bytes_max,
            style,
            marks,
            constraints,
            guided: false,
        });
        Self(inner, Owner::default())
    }

    /// The same service, asked by somebody who is told apart from others: when requests have to wait, those of
    /// each owner take turns.
    #[must_use]
    pub fn asked_by(&self, owner: Owner) -> Self {
        Self(Arc::clone(&self.0), owner)
    }

    /// The same, holding a model that may choose among tools by itself to what small ones get right: an answer is a
    /// call or something said; a call has the arguments that it must have; none is made a third time in a row;
    /// `apply_patch` changes what was looked at, quoting lines that were shown, and commands change no files beside it;
    /// and a tool that a message begins with, before a colon, is called before anything is said.
    ///
    /// # Panics
    /// If clones of it exist.
    #[must_use]
    pub fn guided(mut self) -> Self {
        Arc::get_mut(&mut self.0).expect("a service is guided before it is shared").guided = true;
        self
    }

    /// What answers here.
    pub fn model(&self) -> &ModelInfo {
        &self.0.model
    }

    /// How the engine stands, for people who look; `None` where there is nothing to see.
    pub async fn glance(&self) -> Option<Glance> {
        self.0.generator.glance().await
    }

    /// How many tokens the model sees in a text.
    pub fn count_tokens(&self, text: &str) -> usize {
        self.0.tokenizer.encode(text).len()
    }

    /// Ids of a text.
    ///
    /// * `begins`: with the token that begins a sequence, where the model has it so
    /// * `reads_special`: texts of special tokens become those tokens
    pub fn tokenize(&self, text: &str, begins: bool, reads_special: bool) -> Vec<u32> {
        let tokenizer = self.tokenizer();
        let first = tokenizer.bos().filter(|_| begins && tokenizer.adds_bos());
        let rest =
            if reads_special { tokenizer.encode_special(text) } else { tokenizer.encode(text) };
        first.into_iter().chain(rest).collect()
    }

    /// The bytes that a token stands for.
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        self.0.tokenizer.token_bytes(id)
    }

    /// The text of ids.
    pub fn detokenize(&self, ids: &[u32]) -> String {
        String::from_utf8_lossy(&self.0.tokenizer.decode(ids)).into_owned()
    }

    /// Begins an answer to a conversation, or only has it computed for one that will be asked for
    /// (`generate: false`), while nothing else is to be done. Tokenising a long one takes a while, so async callers
    /// want a thread for it. The model's name in the request is not looked at.
    ///
    /// # Errors
    /// `context_length_exceeded` when the prompt leaves no room for an answer, `invalid_value` for
    /// settings out of range, `server_is_overloaded` when the engine takes no more work.
    pub fn respond(&self, request: &CreateResponse) -> Result<Stream, ErrorBody> {
        self.begin(None, request)
    }

    /// The same of a request whose input is only what is new after a conversation. What that takes depends on
    /// what is new alone, if the request's instructions and tools are what they were.
    ///
    /// # Errors
    /// As [`Service::respond`].
    pub fn go_on(&self, past: &Past, request: &CreateResponse) -> Result<Stream, ErrorBody> {
        self.begin(Some(past), request)
    }

    /// What is gone on from after a request that another engine answers; `None` where there is no memory to
    /// remember it.
    pub fn remember(&self, past: Option<&Past>, request: &CreateResponse) -> Option<Past> {
        let unread = || self.0.histories.unread(past, request);
        self.has_room().then(|| Past { history: unread(), said: Vec::new() })
    }

    fn begin(&self, past: Option<&Past>, request: &CreateResponse) -> Result<Stream, ErrorBody> {
        let (origin, mask) = self.origin_of(past, request)?;
        self.start(origin, None, mask()?)
    }

    /// Begins `n` answers to a conversation, which is computed once. The first is the one that
    /// [`Service::respond`] gives; the draws of the one with number `i` are those of the request's seed plus `i`, at
    /// a temperature of 1, the published default, if the request names none.
    ///
    /// # Errors
    /// As [`Service::respond`]; `invalid_value` for more than 16.
    pub fn respond_all(&self, request: &CreateResponse, n: u32) -> Result<Candidates, ErrorBody> {
        let (origin, mask) = self.origin_of(None, request)?;
        self.start_all(&origin, n, request.temperature.is_none(), mask)
    }

    /// What an answer goes on from, and what makes the masks of its candidates.
    fn origin_of<'a>(
        &'a self,
        past: Option<&Past>,
        request: &'a CreateResponse,
    ) -> Result<(Origin, impl Fn() -> NewMask + use<'a>), ErrorBody> {
        let extensions = &request.cerium;
        let (temperature, top_p) = (request.temperature, request.top_p);
        let n_vocab = self.tokenizer().n_vocab();
        let sampling = prompt::sampling(temperature, top_p, extensions, n_vocab, fresh_number)?;
        let stops = prompt::stops(extensions.stop.iter())?;
        self.check_length(request)?;
        let history = self.0.histories.read(self, past, request)?;
        let mut prompt = history.prompt();
        let thinks = self.thinks(&prompt, &extensions.prefix);
        let prefix = self.tokenizer().encode(&extensions.prefix);
        prompt.extend(&prefix);
        // Small models may go on for ever in a place where that is let through.
        let is_bounded = self.0.guided && !request.tools.is_empty();
        let guided_max = is_bounded.then_some(GUIDED_TOKENS_MAX);
        let max_tokens = request.max_output_tokens.into_iter().chain(guided_max).min();
        let guide = self.0.guided.then(|| Guide::of(history.items(), &request.tools));
        let asked = Asked::of(request, self.0.style, thinks, guide);
        let origin = Origin {
            param: "input",
            past: Some(Past { history, said: Vec::new() }),
            n_items: n_items(&request.input),
            prompt,
            end_tokens: Vec::new(),
            max_tokens,
            sampling,
            likelihoods: prompt::likelihoods("top_logprobs", request.logprobs())?,
            stops,
            extensions: extensions.clone(),
            tools: asked.tools.iter().copied().cloned().collect(),
            parallel: request.parallel_tool_calls,
            class: class(request.generate && request.tier == ServiceTier::Default),
            warms: !request.generate,
        };
        let mask = move || self.0.constraints.follow(&asked, &prefix);
        Ok((origin, mask))
    }

    /// How many tokens the prompt of a request has; it may have more than fit.
    ///
    /// # Errors
    /// For a conversation that the model's template cannot have.
    pub fn count(&self, request: &CreateResponse) -> Result<usize, ErrorBody> {
        Ok(self.encode(request)?.len() + self.count_tokens(&request.cerium.prefix))
    }

    /// The same of a conversation that is about to be answered, after what it goes on from, of which nothing is read
    /// again.
    ///
    /// # Errors
    /// As [`Service::respond`]; `context_length_exceeded` if no conversation of that many bytes can fit.
    pub fn count_after(
        &self,
        past: Option<&Past>,
        request: &CreateResponse,
    ) -> Result<usize, ErrorBody> {
        self.check_length(request)?;
        let history = self.0.histories.read(self, past, request)?;
        Ok(history.n_tokens() + self.count_tokens(&request.cerium.prefix))
    }

    /// How many tokens of a conversation would be computed if it were to be answered now.
    ///
    /// # Errors
    /// As [`Service::respond`].
    pub fn missing_tokens(&self, request: &CreateResponse) -> Result<usize, ErrorBody> {
        self.check_length(request)?;
        let prompt = self.encode(request)?;
        Ok(prompt.len() - self.0.generator.n_known(&prompt))
    }

    /// The prompt of a conversation, of which nothing is kept.
    fn encode(&self, request: &CreateResponse) -> Result<Vec<u32>, ErrorBody> {
        let items = request.input.items();
        let conversation = Conversation::new(&Front::of(request), items.iter(), self.template());
        prompt::encode(&conversation, self.tokenizer(), self.template())
    }

    /// Begins to go on with a text, or to fill the gap before the request's suffix.
    ///
    /// # Errors
    /// As [`Service::respond`]; `unsupported_parameter` for a suffix when the model knows no infill.
    pub fn complete(&self, request: &CompletionRequest) -> Result<Stream, ErrorBody> {
        self.start(self.origin_of_text(request)?, None, None)
    }

    /// Begins `n` ways of going on, as [`Service::respond_all`] does.
    ///
    /// # Errors
    /// As [`Service::complete`]; `invalid_value` for more than 16.
    pub fn complete_all(
        &self,
        request: &CompletionRequest,
        n: u32,
    ) -> Result<Candidates, ErrorBody> {
        let origin = self.origin_of_text(request)?;
        self.start_all(&origin, n, request.temperature.is_none(), || Ok(None))
    }

    fn origin_of_text(&self, request: &CompletionRequest) -> Result<Origin, ErrorBody> {
        let extensions = &request.cerium;
        let (temperature, top_p) = (request.temperature, request.top_p);
        let n_vocab = self.tokenizer().n_vocab();
        let sampling = prompt::sampling(temperature, top_p, extensions, n_vocab, fresh_number)?;
        let stops = prompt::stops(request.stop.iter().chain(&extensions.stop))?;
        self.check_bytes("prompt", prompt::completion_bytes(request))?;
        let (prompt, end_tokens) = prompt::completion(request, &self.0.tokenizer)?;
        Ok(Origin {
            param: "prompt",
            past: None,
            n_items: 0,
            prompt,
            end_tokens,
            max_tokens: request.max_tokens,
            sampling,
            likelihoods: prompt::likelihoods("logprobs", request.logprobs)?,
            stops,
            extensions: extensions.clone(),
            tools: Vec::new(),
            parallel: true,
            class: class(request.generate),
            warms: !request.generate,
        })
    }

    /// Refuses a conversation that cannot fit whatever its tokens are, before time and memory go into them: each
    /// message and each output takes one at least.
    fn check_length(&self, request: &CreateResponse) -> Result<(), ErrorBody> {
        self.check_bytes("input", prompt::conversation_bytes(request))?;
        self.check_tokens("input", prompt::n_shown(request))
    }

    /// The same of a text.
    fn check_bytes(&self, param: &str, n_bytes: usize) -> Result<(), ErrorBody> {
        self.check_tokens(param, n_bytes.div_ceil(self.0.token_bytes_max))
    }

    fn check_tokens(&self, param: &str, n_prompt_min: usize) -> Result<(), ErrorBody> {
        let n_context = self.0.model.context_tokens;
        if n_prompt_min >= n_context {
            return Err(too_long(param, &format!("at least {n_prompt_min}"), n_context));
        }
        Ok(())
    }

    /// What a control token is to whoever looks for calls.
    pub(crate) fn mark(&self, id: u32) -> Option<&'static [u8]> {
        self.0.marks.get(&id).map(|mark| mark.as_bytes())
    }

    /// What finds calls and thoughts in an answer, where there may be any.
    pub(crate) fn reader(&self, origin: &Origin) -> Option<Reader> {
        origin.past.as_ref()?;
        let (style, thinks) =
            (self.0.style, self.thinks(&origin.prompt, &origin.extensions.prefix));
        let needed = thinks != Thinks::No || style == Style::Harmony || !origin.tools.is_empty();
        needed.then(|| Reader::new(style, &origin.tools, thinks == Thinks::Begun))
    }

    /// Whether an answer begins with a thought: some templates begin one for the model.
    fn thinks(&self, prompt: &[u32], prefix: &str) -> Thinks {
        const N_TOKENS: usize = 6;
        if !prefix.is_empty() || !self.0.template.source().contains("<think>") {
            return Thinks::No;
        }
        let tail = &prompt[prompt.len().saturating_sub(N_TOKENS)..];
        let bytes = |id| self.mark(id).unwrap_or_else(|| self.tokenizer().token_bytes(id));
        let tail: Vec<u8> = tail.iter().flat_map(|&id| bytes(id)).copied().collect();
        if tail.trim_ascii_end().ends_with(b"<think>") { Thinks::Begun } else { Thinks::May }
    }

    /// Ids of a whole conversation up to where the model's turn begins; and how it ends and what opens that turn,
    /// if that is known.
    pub(crate) fn encode_whole(
        &self,
        conversation: &Conversation,
    ) -> Result<(Vec<u32>, End), ErrorBody> {
        let (tokenizer, template) = (self.tokenizer(), self.template());
        let mut ids = prompt::encode(conversation, tokenizer, template)?;
        let ending = Ending::of(&conversation.messages, !conversation.tools.is_empty());
        let opening = ending.and_then(|ending| template.opening(tokenizer, ending));
        let end = ending.zip(opening).filter(|(_, opening)| ids.ends_with(opening));
        if let Some((_, opening)) = end {
            ids.truncate(ids.len() - opening.len());
        }
        Ok((ids, end.map(|(ending, opening)| (ending, opening.to_vec()))))
    }

    /// Whether there is memory for what connections keep.
    pub(crate) fn has_room(&self) -> bool {
        !self.0.histories.is_full()
    }

    pub(crate) fn tokenizer(&self) -> &Arc<Tokenizer> {
        &self.0.tokenizer
    }

    pub(crate) fn template(&self) -> &ChatTemplate {
        &self.0.template
    }

    fn start_all(
        &self,
        origin: &Origin,
        n: u32,
        draws_by_itself: bool,
        mask: impl Fn() -> NewMask,
    ) -> Result<Candidates, ErrorBody> {
        if !(1..=CANDIDATES_MAX).contains(&n) {
            let what = format!("`n` is {n}; it must be from 1 to {CANDIDATES_MAX}");
            return Err(ErrorBody::invalid("n", what));
        }
        let family = (n > 1).then(fresh_number);
        let start = |i: u32| {
            let mut origin = origin.clone();
            let sampling = &mut origin.sampling;
            sampling.seed = sampling.seed.wrapping_add(u64::from(i));
            if i > 0 && draws_by_itself {
                sampling.temperature = 1.0;
            }
            self.start(origin, family, mask()?)
        };
        Ok(Candidates::new((0..n).map(start).collect::<Result<_, _>>()?))
    }

    fn start(
        &self,
        origin: Origin,
        family: Option<u64>,
        mask: Option<Follower>,
    ) -> Result<Stream, ErrorBody> {
        if origin.max_tokens == Some(0) {
            let what = "the answer may have 0 tokens; at least 1 is needed";
            return Err(ErrorBody::invalid("max_output_tokens", what));
        }
        let n_prompt = origin.prompt.len();
        let limit = self.limit(&origin, n_prompt)?;
        let drafts = prompt::drafts(&origin.extensions, self.tokenizer());
        let max_tokens = if origin.warms { 0 } else { limit.max_tokens };
        let job = self.job(&origin, origin.prompt.clone(), max_tokens, drafts);
        let lost = mask.as_ref().map(Follower::lost).unwrap_or_default();
        let mask = mask.map(|follower| Box::new(follower) as Box<dyn Mask>);
        let steps = self.submit(Job { family, mask, ..job }, origin.param)?;
        let (response, service) = (self.response(n_prompt), self.clone());
        Ok(Stream::new(StreamParts { service, steps, origin, limit, lost, response }))
    }

    /// How long an answer may be after `n_prompt` tokens.
    pub(crate) fn limit(&self, origin: &Origin, n_prompt: usize) -> Result<Limit, ErrorBody> {
        let n_context = self.0.model.context_tokens;
        let n_free = n_context.saturating_sub(n_prompt);
        if n_free == 0 {
            return Err(too_long(origin.param, &n_prompt.to_string(), n_context));
        }
        let asked = origin.max_tokens.map(|n| n as usize);
        Ok(Limit {
            max_tokens: asked.map_or(n_free, |n| n_free.min(n)),
            is_context: asked.is_none_or(|n| n_free < n),
        })
    }

    /// What the engine does for an answer after `prompt`.
    pub(crate) fn job(
        &self,
        origin: &Origin,
        prompt: Vec<u32>,
        max_tokens: usize,
        drafts: Drafts,
    ) -> Job {
        let stop_tokens = [&origin.end_tokens[..], &self.0.end_tokens].concat();
        let (sampling, likelihoods) = (origin.sampling.clone(), origin.likelihoods);
        let owner = self.1;
        let rest = Job { owner, class: origin.class, ..Job::default() };
        Job { prompt, max_tokens, stop_tokens, sampling, likelihoods, drafts, ..rest }
    }

    pub(crate) fn submit(&self, job: Job, param: &str) -> Result<Box<dyn Steps>, ErrorBody> {
        self.0.generator.submit(job).map_err(|error| refused(&error, param))
    }

    /// A response that begins.
    pub(crate) fn response(&self, n_prompt: usize) -> Response {
        let id = format!("resp_{:016x}{:016x}", fresh_number(), fresh_number());
        Response {
            usage: Usage { prompt_tokens: n_prompt as u64, ..Usage::default() },
            ..Response::begun(id, self.0.model.name.clone())
        }
    }
}

/// What the engine does first.
fn class(is_waited_for: bool) -> Class {
    if is_waited_for { Class::Interactive } else { Class::Background }
}

/// Items of an input.
fn n_items(input: &Input) -> usize {
    match input {
        Input::Text(_) => 1,
        Input::Items(items) => items.len(),
    }
}

/// How long an answer may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub(crate) max_tokens: usize,
    /// An answer that ends at this length is cut by the context, not by the request.
    pub(crate) is_context: bool,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("model", &self.0.model).finish_non_exhaustive()
    }
}

/// A number that nobody has seen before: the keys of the standard hasher are random.
fn fresh_number() -> u64 {
    RandomState::new().hash_one(())
}

fn too_long(param: &str, n_prompt: &str, n_context: usize) -> ErrorBody {
    let what = format!(
        "this model's context holds {n_context} tokens, prompt and answer together; the prompt has \
         {n_prompt}"
    );
    ErrorBody::invalid(param, what).with_code("context_length_exceeded")
}

pub(crate) fn refused(error: &SubmitError, param: &str) -> ErrorBody {
    match *error {
        SubmitError::PromptTooLong { n_prompt, n_context } => {
            too_long(param, &n_prompt.to_string(), n_context)
        }
        SubmitError::EmptyPrompt => ErrorBody::invalid(param, "the prompt is empty"),
        SubmitError::Busy { wait, .. } => {
            let what = format!("try again shortly: {error}");
            let error = ErrorBody::new(ErrorKind::OverloadedError, what);
            let error = error.with_code("server_is_overloaded");
            wait.map_or(error.clone(), |wait| error.retry_after(wait))
        }
        _ => ErrorBody::new(ErrorKind::ServerError, error.to_string()).with_code("server_error"),
    }
}

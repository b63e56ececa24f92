//! The door of the session: requests in, streams of events out.

use crate::generator::Generator;
use crate::stream::{Stream, StreamParts};
use crate::{prompt, text::TextOut};
use cerium_engine::{Drafts, Job, Sampling, SubmitError};
use cerium_model::template::ChatTemplate;
use cerium_model::tokenizer::Tokenizer;
use cerium_protocol::{
    CompletionRequest, CreateResponse, ErrorBody, ErrorKind, ModelInfo, OutputText, Response,
    Status, Timings, Usage,
};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

/// One model, ready to answer. A cheap handle: clones share everything.
#[derive(Clone)]
pub struct Service(Arc<Inner>);

struct Inner {
    model: ModelInfo,
    tokenizer: Arc<Tokenizer>,
    template: Arc<ChatTemplate>,
    generator: Box<dyn Generator>,
    /// Every token that ends an answer.
    end_tokens: Vec<u32>,
    /// Bytes of the longest token.
    token_bytes_max: usize,
}

/// A request, turned into what the engine and the stream need.
struct Work {
    /// Field of the request that the prompt came from.
    param: &'static str,
    prompt: Vec<u32>,
    /// Tokens that end it, beside the usual ones.
    end_tokens: Vec<u32>,
    max_tokens: Option<u32>,
    sampling: Sampling,
    stops: Vec<String>,
    drafts: Drafts,
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
        let end_tokens = (0..n_vocab).filter(|&id| tokenizer.is_end(id)).collect();
        let lengths = (0..n_vocab).map(|id| tokenizer.token_bytes(id).len());
        let token_bytes_max = lengths.max().unwrap_or(0).max(1);
        let infill = tokenizer.infill().is_some();
        Self(Arc::new(Inner {
            model: ModelInfo { name: model_name, context_tokens, infill },
            tokenizer,
            template,
            generator: Box::new(generator),
            end_tokens,
            token_bytes_max,
        }))
    }

    /// What answers here.
    pub fn model(&self) -> &ModelInfo {
        &self.0.model
    }

    /// How many tokens the model sees in a text.
    pub fn count_tokens(&self, text: &str) -> usize {
        self.0.tokenizer.encode(text).len()
    }

    /// Begins an answer to a conversation. Tokenising a long one takes a while, so async callers
    /// want a thread for it. The model's name in the request is not looked at.
    ///
    /// # Errors
    /// `context_length_exceeded` when the prompt leaves no room for an answer, `invalid_value` for
    /// settings out of range, `server_is_overloaded` when the engine takes no more work.
    pub fn respond(&self, request: &CreateResponse) -> Result<Stream, ErrorBody> {
        let extensions = &request.cerium;
        let sampling =
            prompt::sampling(request.temperature, request.top_p, extensions, fresh_number)?;
        let stops = prompt::stops(extensions.stop.iter())?;
        self.check_bytes("input", prompt::conversation_bytes(request))?;
        let prompt = prompt::conversation(request, &self.0.tokenizer, &self.0.template)?;
        self.start(Work {
            param: "input",
            prompt,
            end_tokens: Vec::new(),
            max_tokens: request.max_output_tokens,
            sampling,
            stops,
            drafts: prompt::drafts(extensions, &self.0.tokenizer),
        })
    }

    /// Begins to go on with a text, or to fill the gap before the request's suffix.
    ///
    /// # Errors
    /// As [`Service::respond`]; `unsupported_parameter` for a suffix when the model knows no infill.
    pub fn complete(&self, request: &CompletionRequest) -> Result<Stream, ErrorBody> {
        let extensions = &request.cerium;
        let sampling =
            prompt::sampling(request.temperature, request.top_p, extensions, fresh_number)?;
        let stops = prompt::stops(request.stop.iter().chain(&extensions.stop))?;
        self.check_bytes("prompt", prompt::completion_bytes(request))?;
        let (prompt, end_tokens) = prompt::completion(request, &self.0.tokenizer)?;
        self.start(Work {
            param: "prompt",
            prompt,
            end_tokens,
            max_tokens: request.max_tokens,
            sampling,
            stops,
            drafts: prompt::drafts(extensions, &self.0.tokenizer),
        })
    }

    /// Refuses text that cannot fit whatever its tokens are, before time and memory go into them.
    fn check_bytes(&self, param: &str, n_bytes: usize) -> Result<(), ErrorBody> {
        let n_context = self.0.model.context_tokens;
        let n_prompt_min = n_bytes.div_ceil(self.0.token_bytes_max);
        if n_prompt_min >= n_context {
            return Err(too_long(param, &format!("at least {n_prompt_min}"), n_context));
        }
        Ok(())
    }

    fn start(&self, work: Work) -> Result<Stream, ErrorBody> {
        let Inner { model, tokenizer, generator, end_tokens, .. } = &*self.0;
        let (param, n_prompt) = (work.param, work.prompt.len());
        let n_free = model.context_tokens.saturating_sub(n_prompt);
        if n_free == 0 {
            return Err(too_long(param, &n_prompt.to_string(), model.context_tokens));
        }
        if work.max_tokens == Some(0) {
            let what = "the answer may have 0 tokens; at least 1 is needed";
            return Err(ErrorBody::invalid("max_output_tokens", what));
        }
        let max_tokens = work.max_tokens.map_or(n_free, |n| n_free.min(n as usize));
        let mut stop_tokens = work.end_tokens;
        stop_tokens.extend(end_tokens);
        let job = Job {
            prompt: work.prompt,
            max_tokens,
            stop_tokens,
            sampling: work.sampling,
            drafts: work.drafts,
            ..Job::default()
        };
        let steps = generator.submit(job).map_err(|error| refused(&error, param))?;
        Ok(Stream::new(StreamParts {
            steps,
            tokenizer: Arc::clone(tokenizer),
            text: TextOut::new(work.stops),
            // An answer that ends at this length was cut by the context, not by the request.
            context_is_limit: work.max_tokens.is_none_or(|n| n_free < n as usize),
            response: Response {
                id: format!("resp_{:016x}{:016x}", fresh_number(), fresh_number()),
                model: model.name.clone(),
                status: Status::InProgress,
                incomplete_reason: None,
                output: OutputText::default(),
                usage: Usage { prompt_tokens: n_prompt as u64, ..Usage::default() },
                timings: Timings::default(),
            },
        }))
    }
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

fn refused(error: &SubmitError, param: &str) -> ErrorBody {
    match *error {
        SubmitError::PromptTooLong { n_prompt, n_context } => {
            too_long(param, &n_prompt.to_string(), n_context)
        }
        SubmitError::EmptyPrompt => ErrorBody::invalid(param, "the prompt is empty"),
        SubmitError::Busy { .. } => {
            ErrorBody::new(ErrorKind::OverloadedError, format!("try again shortly: {error}"))
                .with_code("server_is_overloaded")
        }
        _ => ErrorBody::new(ErrorKind::ServerError, error.to_string()).with_code("server_error"),
    }
}

//! Requests to jobs: the way down, from items and settings to token ids and numbers.

use crate::conversation::Conversation;
use crate::predict::Prediction;
use cerium_engine::{Drafter, Drafts, Sampling};
use cerium_model::template::{ChatTemplate, TemplateError};
use cerium_model::tokenizer::Tokenizer;
use cerium_protocol::{
    CompletionRequest, ContextFile, CreateResponse, DraftSource, ErrorBody, Extensions, Input, Item,
};
use std::error::Error as _;
use std::sync::Arc;

/// Most stop texts of a request, and most bytes in them together. Each is looked for in every
/// token, so they cost time.
const STOPS_MAX: usize = 64;
const STOPS_BYTES_MAX: usize = 4096;

/// Bytes of a conversation's text that no template drops.
pub(crate) fn conversation_bytes(request: &CreateResponse) -> usize {
    let items = match &request.input {
        Input::Text(text) => text.trim().len(),
        Input::Items(items) => items.iter().map(shown_bytes).sum(),
    };
    let instructions = request.instructions.as_ref().map_or(0, |text| text.trim().len());
    items + instructions + request.cerium.prefix.len()
}

/// Items that a model is shown each by itself.
pub(crate) fn n_shown(request: &CreateResponse) -> usize {
    let Input::Items(items) = &request.input else { return 1 };
    let is_within = |item: &&Item| item.is_call() || matches!(item, Item::Reasoning { .. });
    items.iter().filter(|item| !is_within(item)).count()
}

/// JSON may be shown with fewer spaces than it has, and reasoning not at all.
fn shown_bytes(item: &Item) -> usize {
    match item {
        Item::FunctionCall { .. } | Item::Reasoning { .. } => 0,
        _ => item.text().trim().len(),
    }
}

/// Bytes of a completion's text.
pub(crate) fn completion_bytes(request: &CompletionRequest) -> usize {
    let suffix = request.suffix.as_ref().map_or(0, String::len);
    let files = request.cerium.files.iter().map(|file| file.filename.len() + file.text.len());
    request.prompt.len() + suffix + request.cerium.prefix.len() + files.sum::<usize>()
}

/// Token ids of a conversation, up to where an answer begins.
pub(crate) fn encode(
    conversation: &Conversation,
    tokenizer: &Tokenizer,
    template: &ChatTemplate,
) -> Result<Vec<u32>, ErrorBody> {
    let Conversation { messages, tools } = conversation;
    template.encode(tokenizer, messages, tools, true).map_err(|error| objection(&error))
}

/// Token ids of a conversation as it stands.
pub(crate) fn turns(
    conversation: &Conversation,
    tokenizer: &Tokenizer,
    template: &ChatTemplate,
) -> Result<Vec<u32>, ErrorBody> {
    let Conversation { messages, tools } = conversation;
    template.encode(tokenizer, messages, tools, false).map_err(|error| objection(&error))
}

fn objection(error: &TemplateError) -> ErrorBody {
    // What a template objects to (roles that do not alternate, say) is in the cause.
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    let why = causes.fold(error.to_string(), |why, cause| format!("{why}: {cause}"));
    ErrorBody::invalid("input", why)
}

/// Token ids of a text to go on with, or of the two sides of a gap; and the ids that end it.
pub(crate) fn completion(
    request: &CompletionRequest,
    tokenizer: &Tokenizer,
) -> Result<(Vec<u32>, Vec<u32>), ErrorBody> {
    let mut ids: Vec<u32> = tokenizer.bos().filter(|_| tokenizer.adds_bos()).into_iter().collect();
    let mut ends = Vec::new();
    if let Some(suffix) = &request.suffix {
        let Some(infill) = tokenizer.infill() else {
            return Err(ErrorBody::not_served(
                "suffix",
                format!("model `{}` has no infill tokens", request.model),
            ));
        };
        ids.extend(files(&request.cerium.files, tokenizer));
        // Prefix, suffix, middle: the order these models were trained on; the answer comes last.
        ids.push(infill.prefix);
        ids.extend(tokenizer.encode(&request.prompt));
        ids.push(infill.suffix);
        ids.extend(tokenizer.encode(suffix));
        ids.push(infill.middle);
        ends.clone_from(&infill.ends);
    } else {
        ids.extend(tokenizer.encode(&request.prompt));
    }
    ids.extend(tokenizer.encode(&request.cerium.prefix));
    Ok((ids, ends))
}

/// Tokens that open a repository and each of its files, in models that were shown whole ones.
const REPOSITORY: [&str; 4] = ["<|repo_name|>", "<|fim_repo|>", "<repo_name>", "<reponame>"];
const FILE: [&str; 2] = ["<|file_sep|>", "<file_sep>"];

/// Other files before the one with the gap, whose name is not known. Models without tokens for them get
/// their texts. Source: Hui et al. 2024 (Qwen2.5-Coder), section 3.2.2, and llama.cpp's server.
fn files(files: &[ContextFile], tokenizer: &Tokenizer) -> Vec<u32> {
    let special = |texts: &[&str]| texts.iter().find_map(|text| tokenizer.special(text));
    let mut ids = Vec::new();
    if files.is_empty() {
        return ids;
    }
    let (repository, file) = (special(&REPOSITORY), special(&FILE));
    if let Some(repository) = repository {
        ids.push(repository);
        ids.extend(tokenizer.encode("myproject\n"));
    }
    let named = |name: &str| match file {
        Some(file) => [vec![file], tokenizer.encode(&format!("{name}\n"))].concat(),
        None => Vec::new(),
    };
    for ContextFile { filename, text } in files {
        ids.extend(named(filename));
        ids.extend(tokenizer.encode(text));
    }
    ids.extend(named("filename"));
    ids
}

/// How tokens are drawn, from the settings of a request.
pub(crate) fn sampling(
    temperature: Option<f32>,
    top_p: Option<f32>,
    extensions: &Extensions,
    n_vocab: usize,
    fresh_seed: impl FnOnce() -> u64,
) -> Result<Sampling, ErrorBody> {
    let temperature = within("temperature", temperature.unwrap_or(0.0), 0.0, 2.0)?;
    let top_p = within("top_p", top_p.unwrap_or(1.0), 0.0, 1.0)?;
    let min_p = within("cerium.min_p", extensions.min_p, 0.0, 1.0)?;
    let repetition_penalty = within(
        "cerium.repetition_penalty",
        extensions.repetition_penalty.unwrap_or(1.0),
        0.01,
        100.0,
    )?;
    let presence_penalty = within("presence_penalty", extensions.presence_penalty, -2.0, 2.0)?;
    let frequency_penalty = within("frequency_penalty", extensions.frequency_penalty, -2.0, 2.0)?;
    Ok(Sampling {
        presence_penalty,
        frequency_penalty,
        logit_bias: logit_bias(extensions, n_vocab)?,
        temperature,
        top_k: extensions.top_k as usize,
        top_p,
        min_p,
        repetition_penalty,
        seed: extensions.seed.unwrap_or_else(fresh_seed),
    })
}

/// Most of the likeliest tokens whose log-probabilities are told: the published bound.
const TOP_LOGPROBS_MAX: u32 = 20;

/// Of how many of the likeliest tokens log-probabilities are wanted, if they are.
pub(crate) fn likelihoods(name: &str, n_top: Option<u32>) -> Result<Option<usize>, ErrorBody> {
    if let Some(n) = n_top.filter(|&n| n > TOP_LOGPROBS_MAX) {
        let what = format!("`{name}` is {n}; it must be from 0 to {TOP_LOGPROBS_MAX}");
        return Err(ErrorBody::invalid(name, what));
    }
    Ok(n_top.map(|n| n as usize))
}

/// Most tokens whose logits a request may change.
const BIASED_MAX: usize = 1024;

fn logit_bias(extensions: &Extensions, n_vocab: usize) -> Result<Vec<(u32, f32)>, ErrorBody> {
    let asked = &extensions.logit_bias;
    if asked.len() > BIASED_MAX {
        let what = format!("{} tokens; at most {BIASED_MAX} are served", asked.len());
        return Err(ErrorBody::invalid("logit_bias", what));
    }
    let bias = asked.iter().map(|(&id, &bias)| {
        if id as usize >= n_vocab {
            let what = format!("{id} is no token; this model has {n_vocab}");
            return Err(ErrorBody::invalid("logit_bias", what));
        }
        Ok((id, within(&format!("logit_bias[{id}]"), bias, -100.0, 100.0)?))
    });
    bias.collect()
}

/// What the answer may be drafted from.
pub(crate) fn drafts(extensions: &Extensions, tokenizer: &Arc<Tokenizer>) -> Drafts {
    let may = |source| extensions.drafts.as_ref().is_none_or(|drafts| drafts.contains(&source));
    let changing = may(DraftSource::Changes);
    let text = extensions.prediction.as_ref();
    let text = text.filter(|_| changing || may(DraftSource::Prediction));
    let drafter = text.map(|text| {
        let tokenizer = Arc::clone(tokenizer);
        let prediction = Prediction::new(tokenizer, &extensions.prefix, text, changing);
        Box::new(prediction) as Box<dyn Drafter>
    });
    Drafts { drafter, repeats: may(DraftSource::Repeats) }
}

/// A number of the request in the range that means something.
fn within(name: &str, value: f32, min: f32, max: f32) -> Result<f32, ErrorBody> {
    if (min..=max).contains(&value) {
        return Ok(value);
    }
    Err(ErrorBody::invalid(name, format!("`{name}` is {value}; it must be from {min} to {max}")))
}

/// The stop texts of a request, if they are usable.
pub(crate) fn stops<'a>(
    texts: impl Iterator<Item = &'a String> + Clone,
) -> Result<Vec<String>, ErrorBody> {
    let (n, bytes) = (texts.clone().count(), texts.clone().map(String::len).sum::<usize>());
    if n > STOPS_MAX || bytes > STOPS_BYTES_MAX {
        return Err(ErrorBody::invalid(
            "stop",
            format!(
                "{n} stop texts of {bytes} bytes; at most {STOPS_MAX} of {STOPS_BYTES_MAX} bytes \
                 are served"
            ),
        ));
    }
    if texts.clone().any(String::is_empty) {
        return Err(ErrorBody::invalid("stop", "a stop text is empty"));
    }
    Ok(texts.cloned().collect())
}

//! A change that is known, written by the engine with drafts as if the model had made it.

use crate::model::Loaded;
use anyhow::{Result, bail};
use cerium_engine::{DraftedSteps, Drafter, Drafts, Job, Step};
use cerium_protocol::{DraftSource, Usage};
use cerium_session::{Prediction, usage};
use std::sync::Arc;

/// What was written, and what it took.
pub(super) struct Written {
    pub(super) text: String,
    pub(super) usage: Usage,
    /// Steps that checked a draft, those not counted that also computed of the prompt.
    pub(super) drafted: DraftedSteps,
    /// From the first token to the last.
    pub(super) decode_ms: f64,
}

/// Writes `new`, drafted from `old`.
pub(super) fn replay(
    loaded: &Loaded,
    old: &str,
    new: &str,
    drafts: &[DraftSource],
) -> Result<Written> {
    let changing = drafts.contains(&DraftSource::Changes);
    let predicted = changing || drafts.contains(&DraftSource::Prediction);
    let prediction = || Prediction::new(Arc::clone(&loaded.tokenizer), "", old, changing);
    let forced = loaded.tokenizer.encode(new);
    let job = Job {
        prompt: loaded.tokenizer.encode(&format!("{old}\n")),
        max_tokens: forced.len(),
        drafts: Drafts {
            drafter: predicted.then(|| Box::new(prediction()) as Box<dyn Drafter>),
            repeats: drafts.contains(&DraftSource::Repeats),
        },
        forced,
        ..Job::default()
    };
    let mut generation = loaded.engine.submit(job)?;
    let mut bytes = Vec::new();
    loop {
        match generation.next() {
            Some(Step::Queued { .. } | Step::Prefilled { .. } | Step::Steered { .. }) => {}
            Some(Step::Token { id, .. }) => {
                bytes.extend_from_slice(loaded.tokenizer.token_bytes(id));
            }
            Some(Step::Done(finish)) => {
                let stats = finish.stats;
                return Ok(Written {
                    text: String::from_utf8_lossy(&bytes).into_owned(),
                    usage: usage(&stats),
                    drafted: stats.drafted,
                    decode_ms: stats.decode.as_secs_f64() * 1e3,
                });
            }
            None => bail!("the engine stopped"),
        }
    }
}

//! The counts and times that every `--json` object about a model's work begins with.

use cerium_harness::edit::Proposal;
use cerium_protocol::{Response, Timings, Usage, Why};
use serde::Serialize;

/// What one or several responses took, as flat fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Stats {
    /// Absent when no model was asked.
    model: Option<String>,
    #[serde(flatten)]
    pub(crate) usage: Usage,
    #[serde(flatten)]
    pub(crate) timings: Timings,
    /// What of each prompt was known, in the order in which they were asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) why: Vec<Why>,
}

impl Stats {
    pub(crate) fn of(response: &Response) -> Self {
        let mut stats = Self::default();
        stats.add(response);
        stats
    }

    /// What a model's edit took, all its answers together.
    pub(crate) fn of_edit(proposal: &Proposal) -> Self {
        let (usage, timings) = (proposal.stats.usage, proposal.stats.timings);
        let model = (!proposal.model.is_empty()).then(|| proposal.model.clone());
        Self { model, usage, timings, why: Vec::new() }
    }

    /// Adds what a later response took; the time to the first token stays that of the first one.
    pub(crate) fn add(&mut self, response: &Response) {
        let Response { model, usage, timings, why, .. } = response;
        let why = why.iter().map(|why| (**why).clone()).collect();
        self.join(&Self { model: Some(model.clone()), usage: *usage, timings: *timings, why });
    }

    /// Adds what came later.
    pub(crate) fn join(&mut self, later: &Self) {
        if self.model.is_none() {
            self.model.clone_from(&later.model);
            self.timings.ttft_ms = later.timings.ttft_ms;
        }
        let (usage, timings) = (&mut self.usage, &mut self.timings);
        *usage += later.usage;
        timings.prefill_ms += later.timings.prefill_ms;
        timings.decode_ms += later.timings.decode_ms;
        timings.total_ms += later.timings.total_ms;
        self.why.extend_from_slice(&later.why);
    }

    /// One line for people; nothing when no model was asked.
    pub(crate) fn line(&self) -> Option<String> {
        let model = self.model.as_ref()?;
        let Usage { prompt_tokens, output_tokens, output_steps, accepted_tokens, .. } = self.usage;
        let Timings { ttft_ms, decode_ms, total_ms, .. } = self.timings;
        let rate = output_tokens.saturating_sub(1) as f64 / decode_ms.max(1.0) * 1e3;
        let drafted = match accepted_tokens {
            0 => String::new(),
            n => format!(", {n} of them drafted, in {output_steps} steps"),
        };
        Some(format!(
            "{model}: {prompt_tokens} tokens read, {output_tokens} written at {rate:.0}/s{drafted}, \
             first after {:.1} s, {:.1} s in all",
            ttft_ms / 1e3,
            total_ms / 1e3,
        ))
    }
}

//! The knobs of an edit: everything worth varying in an evaluation, in one plain struct.

use cerium_protocol::ModelInfo;
use serde::{Deserialize, Serialize};

/// How the code to change is shown and how the answer comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// All regions in one fenced block, told apart by numbered comment lines when there are
    /// several; the answer is the block rewritten.
    Rewrite,
    /// One request per region, each answered by the region rewritten.
    EachRegion,
    /// The answer holds search/replace blocks, placed by their search text.
    SearchReplace,
}

/// How to look for the place of an edit and how to ask for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "independent knobs, all set by name")]
pub struct Strategy {
    /// Shape of prompt and answer.
    pub format: Format,
    /// Files of at most so many lines are rewritten whole unless the instruction names a declaration.
    pub whole_lines_max: usize,
    /// Files of at most so many lines are rewritten whole when nothing names a place in them.
    pub vague_whole_lines_max: usize,
    /// Declarations of at most so many lines are rewritten whole; in longer ones, windows are.
    pub unit_lines_max: usize,
    /// Statements of at most so many lines are taken whole into a window.
    pub window_lines_max: usize,
    /// Regions with at most so many lines between them become one.
    pub merge_gap_lines: usize,
    /// Lines shown, but not to be rewritten, before and after each region.
    pub context_lines: usize,
    /// Whether the file's outline is shown as well.
    pub outline: bool,
    /// Whether the region is shown without its common indentation (put back afterwards).
    pub dedent: bool,
    /// Whether a doc string or comment that opens a region and is not to change is given to the
    /// model as the beginning of its answer, so that it costs no generation.
    pub keep_head: bool,
    /// Whether the answer is made to begin inside its fence, so that no talk can come before.
    pub start_in_fence: bool,
    /// End the generation once so many lines after a change match the old text again and what
    /// follows in the old text holds nothing that the instruction speaks of. 0: never.
    pub stop_after_matching_lines: usize,
    /// Whether the model is asked to choose a place when nothing in the file matches.
    pub ask_for_place: bool,
    /// How often an unusable answer is asked for again, with the reason told or a wider scope.
    pub retries: usize,
    /// Sampling temperature; 0 is greedy.
    pub temperature: f32,
    /// Answers that are asked for at the same time, of which the best is taken; 1 asks for one.
    pub candidates: usize,
    /// Sampling temperature of all but the first of them.
    pub candidate_temperature: f32,
    /// System text in place of the format's own.
    pub system: Option<String>,
}

impl Strategy {
    /// The same, for a model that can be told how its answer begins, or only asked.
    pub(crate) fn heeded_by(&self, model: &ModelInfo) -> Self {
        if model.extensions {
            return self.clone();
        }
        Self {
            start_in_fence: false,
            stop_after_matching_lines: 0,
            ask_for_place: false,
            ..self.clone()
        }
    }
}

impl Default for Strategy {
    fn default() -> Self {
        Self {
            format: Format::Rewrite,
            whole_lines_max: 25,
            vague_whole_lines_max: 120,
            unit_lines_max: 30,
            window_lines_max: 16,
            merge_gap_lines: 3,
            context_lines: 3,
            outline: false,
            dedent: false,
            keep_head: true,
            start_in_fence: true,
            stop_after_matching_lines: 4,
            ask_for_place: true,
            retries: 1,
            temperature: 0.0,
            candidates: 1,
            candidate_temperature: 0.5,
            system: None,
        }
    }
}

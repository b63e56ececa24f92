//! Redirecting: whoever watches an answer or an edit being written may say what it should do otherwise. It is
//! broken off, and what is asked for next has both in mind.

use crate::ask::{Answer, AskError, AskTask};
use crate::edit::{EditRequest, LineEvent};

/// Two things asked for, as one.
pub fn joined(first: &str, more: &str) -> String {
    let first = first.trim_end();
    let stop = if first.ends_with(|c: char| c.is_ascii_punctuation()) { "" } else { "." };
    format!("{first}{stop} {more}")
}

impl AskTask {
    /// Becomes the question that follows one that was broken off. What the answer said so far stays said, and is
    /// gone on from; where nothing was said yet, both are asked at once.
    ///
    /// * `answered`: what came of it up to there
    ///
    /// # Errors
    /// Why it came to nothing, where that is not that it was broken off.
    pub fn redirect(
        &mut self,
        answered: Result<Answer, AskError>,
        more: &str,
    ) -> Result<(), AskError> {
        match answered {
            Ok(answer) if !answer.text.trim().is_empty() => {
                (self.before, self.question) = (Some(answer.talk), more.to_owned());
            }
            Ok(_) | Err(AskError::Cancelled) => self.question = joined(&self.question, more),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl EditRequest {
    /// The request that takes the place of this one.
    ///
    /// * `written`: the diff as far as it was told when this one was broken off
    #[must_use]
    pub fn redirected(&self, more: &str, written: Vec<LineEvent>) -> Self {
        Self { instruction: joined(&self.instruction, more), written, ..self.clone() }
    }
}

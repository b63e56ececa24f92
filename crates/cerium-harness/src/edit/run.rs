//! Asking a model for an edit: scope to prompt to answer to changed lines, with one more try when
//! the answer cannot be used.

use super::ask_place;
use super::candidates::{self, Chosen};
use super::check::{self, Accepted, Fault, Rewritten};
use super::error::EditError;
use super::instruction::{Piece, pieces};
use super::prompt::{self, Earlier, Prompt};
use super::proposal::{Progress, Stats};
use super::reply::{self, ReplyError};
use super::scope::{Choice, Region, Scope};
use super::strategy::{Format, Strategy};
use super::view::View;
use super::watch::{Verdict, Watch};
use super::written::Written;
use crate::backend::Backend;
use crate::files::Style;
use cerium_protocol::{ErrorBody, Include, Response, Status};
use std::ops::ControlFlow;

/// Tokens an answer may have beyond twice those of the code it replaces.
const MARGIN_TOKENS: usize = 256;

/// Tokens of a new file.
const NEW_FILE_TOKENS_MAX: usize = 2_048;

/// Called with what happens; `Break` cancels.
pub type OnProgress<'a> = dyn FnMut(Progress<'_>) -> ControlFlow<()> + 'a;

/// Everything one edit needs while it runs.
pub(crate) struct Run<'r> {
    pub(crate) backend: &'r dyn Backend,
    pub(crate) view: &'r View<'r>,
    pub(crate) path: &'r str,
    pub(crate) instruction: &'r str,
    pub(crate) strategy: &'r Strategy,
    /// What an edit like it had written when it was broken off.
    pub(crate) written: Option<&'r Written>,
    pub(crate) style: &'r Style,
    /// What the project asks of changes.
    pub(crate) guide: Option<&'r str>,
    /// What of the tree a new file has to do with; absent where there is a file.
    pub(crate) related: Option<&'r str>,
    pub(crate) stats: Stats,
}

/// What one try is about.
pub(super) struct Question<'q> {
    scope: &'q Scope,
    pieces: &'q [Piece],
    strategy: &'q Strategy,
    earlier: Option<&'q Earlier>,
}

/// How the tokens of a try are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Draw {
    /// As if nothing else were tried.
    First,
    /// As a candidate beside that one, by its number.
    Another(usize),
}

/// What came of a question: changes and, of several answers, which one was taken; or why there are none.
pub(super) type Outcome = Result<(Accepted, Option<Chosen>), Problem>;

/// What came of one try, and the mean log-probability of its tokens.
pub(super) type Answer = (Result<Accepted, Problem>, Option<f64>);

/// Why one try failed: said to the model in the next one.
pub(super) struct Problem {
    reply: String,
    what: String,
    unchanged: bool,
    /// Whether there was no code in it.
    empty: bool,
    /// Whether it is about the code around, not about what was asked for.
    strays: bool,
}

impl Problem {
    fn new(reply: String, what: impl Into<String>) -> Self {
        Self { reply, what: what.into(), unchanged: false, empty: false, strays: false }
    }
}

/// Log-probabilities of tokens, summed.
#[derive(Clone, Copy, Debug, Default)]
struct Likely {
    sum: f64,
    n: usize,
}

impl Likely {
    fn add(&mut self, response: &Response) {
        for token in &response.logprobs {
            self.sum += f64::from(token.chosen.logprob);
            self.n += 1;
        }
    }

    fn mean(self) -> Option<f64> {
        (self.n > 0).then(|| self.sum / self.n as f64)
    }
}

impl Run<'_> {
    /// Runs the edit to its end.
    pub(crate) fn run(
        &mut self,
        choice: &Choice,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<(Scope, Accepted, Option<Chosen>), EditError> {
        let pieces = pieces(self.instruction);
        let mut scope = match choice {
            Choice::Scope(scope) => scope.clone(),
            Choice::Unsure(guess) if self.strategy.ask_for_place => {
                ask_place::ask(self, on_progress)?.unwrap_or_else(|| guess.clone())
            }
            Choice::Unsure(guess) => guess.clone(),
        };
        let mut strategy = self.strategy.clone();
        let mut earlier: Option<Earlier> = None;
        let mut tries_left = self.strategy.retries;
        loop {
            if on_progress(Progress::Scope(&scope)).is_break() {
                return Err(EditError::Cancelled);
            }
            let (pieces, strategy_now, earlier_now) = (&pieces, &strategy, earlier.as_ref());
            let question =
                Question { scope: &scope, pieces, strategy: strategy_now, earlier: earlier_now };
            let problem = match self.attempt(&question, on_progress)? {
                Ok((accepted, chosen)) => return Ok((scope, accepted, chosen)),
                Err(problem) => problem,
            };
            // An unchanged answer mostly means that the place is not in what was shown. About the
            // same code models repeat themselves: none of some thirty such second tries was right.
            let wider = scope.widened(self.view, strategy.vague_whole_lines_max);
            let wider = wider.filter(|_| problem.unchanged);
            if tries_left == 0 || (problem.unchanged && wider.is_none()) {
                let Problem { reply, what: reason, unchanged, .. } = problem;
                return Err(if unchanged {
                    EditError::Unchanged
                } else {
                    EditError::NoUsableEdit { reason, reply }
                });
            }
            tries_left -= 1;
            self.stats.retries += 1;
            let _ = on_progress(Progress::Retry { reason: &problem.what });
            // An answer that ended before it began fought with the beginning it was given.
            strategy.start_in_fence &= !problem.empty;
            strategy.format = Format::Rewrite;
            // What is around the code misleads it.
            if problem.strays {
                strategy.context_lines = 0;
            }
            (scope, earlier) = match wider {
                Some(wider) => (wider, None),
                None if problem.strays => (scope, None),
                None => (scope, Some(Earlier { reply: problem.reply, problem: problem.what })),
            };
        }
    }

    /// Asks, for several answers if that is wanted. One that could not be used is argued with alone.
    fn attempt(
        &mut self,
        question: &Question<'_>,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<Outcome, EditError> {
        match question.strategy.candidates {
            n @ 2.. if question.earlier.is_none() => {
                candidates::ask(self, question, n, on_progress)
            }
            _ => {
                let (outcome, _) = self.answer(question, Draw::First, on_progress)?;
                Ok(outcome.map(|accepted| (accepted, None)))
            }
        }
    }

    /// The same edit, asked for beside this one.
    pub(super) fn beside(&self) -> Self {
        Run { stats: Stats::default(), ..*self }
    }

    /// One answer.
    pub(super) fn answer(
        &mut self,
        question: &Question<'_>,
        draw: Draw,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<Answer, EditError> {
        let mut likely = Likely::default();
        let outcome = self.changes(question, draw, &mut likely, on_progress)?;
        Ok((outcome, likely.mean()))
    }

    fn changes(
        &mut self,
        question: &Question<'_>,
        draw: Draw,
        likely: &mut Likely,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<Result<Accepted, Problem>, EditError> {
        let &Question { scope, pieces, strategy, .. } = question;
        let groups: Vec<&[Region]> = match strategy.format {
            Format::EachRegion => scope.regions.chunks(1).collect(),
            Format::Rewrite | Format::SearchReplace => vec![&scope.regions],
        };
        let mut rewritten = Vec::new();
        let mut replies = String::new();
        for group in groups {
            let comments = pieces.iter().any(|p| p.lower().starts_with("comment"))
                || pieces.iter().any(|p| p.is(&["remove", "delete", "drop", "rewrite"]));
            let view = self.view;
            let mut prompt = match self.related {
                Some(related) => prompt::new_file(
                    view,
                    self.path,
                    self.guide,
                    related,
                    self.instruction,
                    strategy,
                ),
                None => prompt::build(
                    view,
                    self.path,
                    self.guide,
                    group,
                    self.instruction,
                    comments,
                    strategy,
                ),
            };
            if let Some(written) = self.written {
                prompt.expect(written);
            }
            let (reply, cut) = self.ask(&prompt, question, draw, likely, on_progress)?;
            let mut expected = prompt.expected.clone();
            expected.cut = cut;
            let read = reply::read(&reply, &expected);
            replies.push_str(&reply);
            match read {
                Ok(parts) => {
                    let news = prompt.indented(parts);
                    let olds = prompt.old();
                    for ((region, old), new) in group.iter().zip(olds).zip(news) {
                        rewritten.push(Rewritten { span: region.lines, old, new });
                    }
                }
                Err(error) => {
                    let problem = Problem::new(replies, error.to_string());
                    let empty = matches!(error, ReplyError::Empty | ReplyError::NoCode);
                    let strays = error == ReplyError::Surroundings;
                    return Ok(Err(Problem { empty, strays, ..problem }));
                }
            }
        }
        if rewritten.iter().all(|r| r.new == r.old) {
            let what = "the code is the same as before; the instruction is not carried out";
            return Ok(Err(Problem { unchanged: true, ..Problem::new(replies, what) }));
        }
        let checked = check::accept(self.view, &rewritten, pieces, self.style);
        Ok(checked
            .map_err(|Fault { what, strays }| Problem { strays, ..Problem::new(replies, what) }))
    }

    /// One request. Returns the whole answer, its given beginning included, and whether it was cut.
    fn ask(
        &mut self,
        prompt: &Prompt,
        question: &Question<'_>,
        draw: Draw,
        likely: &mut Likely,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<(String, bool), EditError> {
        let &Question { pieces, strategy, earlier, .. } = question;
        let model = self.backend.model();
        let n_shown = self.backend.count_tokens(&prompt.shown);
        let n_prompt = prompt.system.as_ref().map_or(0, |text| self.backend.count_tokens(text))
            + self.backend.count_tokens(&prompt.user)
            + self.backend.count_tokens(&prompt.prefix)
            + earlier.map_or(0, |e| self.backend.count_tokens(&e.reply) + 64)
            + 32;
        let available = model.context_tokens.saturating_sub(n_prompt);
        // What is left must hold the code once more, and a little.
        let needed = n_shown + n_shown / 8 + 16;
        if available < needed {
            let available = model.context_tokens;
            return Err(EditError::TooLong { needed: n_prompt + needed, available });
        }
        let n_instruction = self.backend.count_tokens(self.instruction);
        let usual = match self.related {
            Some(_) => NEW_FILE_TOKENS_MAX,
            None => 2 * n_shown + n_instruction + MARGIN_TOKENS,
        };
        let limit = usual.min(available);
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let mut request = prompt.request(&model.name, earlier, limit, strategy);
        if strategy.candidates > 1 {
            request.include = vec![Include::Logprobs];
        }
        if let Draw::Another(number) = draw {
            request.temperature = Some(strategy.candidate_temperature);
            request.cerium.seed = Some(number as u64);
        }

        let mut watch = Watch::new(prompt, pieces, strategy);
        let mut cancelled = false;
        let mut text = String::new();
        let mut on_text = |chunk: &str| {
            text.push_str(chunk);
            let verdict = watch.push(chunk);
            for event in watch.take() {
                if on_progress(Progress::Line(event)).is_break() {
                    cancelled = true;
                    return ControlFlow::Break(());
                }
            }
            // Long lines, and chunks without a line end, must be able to stop it as well.
            if on_progress(Progress::Writing).is_break() {
                cancelled = true;
                return ControlFlow::Break(());
            }
            match verdict {
                Verdict::GoOn => ControlFlow::Continue(()),
                Verdict::Enough => ControlFlow::Break(()),
            }
        };
        let response = self.backend.respond(&request, &mut on_text).map_err(refused)?;
        self.stats.add(&response);
        likely.add(&response);
        if cancelled {
            return Err(EditError::Cancelled);
        }
        let enough = watch.is_enough();
        if response.status == Status::Cancelled && !enough {
            return Err(EditError::Cancelled);
        }
        let mut answer = prompt.prefix.clone();
        answer.push_str(&if enough { watch.completed(&text) } else { text });
        for event in watch.finish() {
            let _ = on_progress(Progress::Line(event));
        }
        Ok((answer, response.status == Status::Incomplete))
    }
}

/// A failure of the backend, as the edit sees it.
pub(crate) fn refused(error: ErrorBody) -> EditError {
    EditError::Backend(error)
}

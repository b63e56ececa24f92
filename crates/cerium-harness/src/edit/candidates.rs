//! Several answers to one question, written at the same time, and which of them is taken.
//!
//! The first is the one that would be alone. The others are drawn at a low temperature with seeds that
//! never change, so that asking again gives the same edit. What cannot be used is no candidate; of what can,
//! most agreement decides (small models are right in more ways than they are wrong in the same one), then what
//! the model finds likeliest, then which came first.

use super::check::Accepted;
use super::error::EditError;
use super::proposal::Progress;
use super::run::{Draw, OnProgress, Outcome, Question, Run};
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{panic, thread};

/// Most answers to one question.
pub const CANDIDATES_MAX: usize = 16;

/// Which of several answers was taken, and why.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chosen {
    /// How many were asked for.
    pub candidates: usize,
    /// Of these, answers that could be used: changed, and parsing no worse than before.
    pub usable: usize,
    /// The one that was taken, from 0; 0 is the answer that would have come alone.
    pub chosen: usize,
    /// Usable answers that make the same text of the file, this one included.
    pub agreeing: usize,
    /// Mean log-probability of its tokens, in nats, where the model told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_logprob: Option<f64>,
    /// What decided.
    pub reason: Reason,
}

/// What decided between candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// No other one could be used.
    OnlyUsable,
    /// More agreed on it than on any other.
    Agreement,
    /// As many agreed on others; the model found it likelier.
    Likelihood,
}

/// An answer that can be used.
struct Candidate {
    number: usize,
    accepted: Accepted,
    mean_logprob: Option<f64>,
}

/// Asks for `n` answers at the same time. Without a usable one, the outcome is that of the first.
pub(super) fn ask(
    run: &mut Run<'_>,
    question: &Question<'_>,
    n: usize,
    on_progress: &mut OnProgress<'_>,
) -> Result<Outcome, EditError> {
    let over = AtomicBool::new(false);
    let (first, others) = thread::scope(|scope| {
        let others: Vec<_> = (1..n)
            .map(|number| {
                let (mut other, over) = (run.beside(), &over);
                let mut go_on = move |_: Progress<'_>| {
                    let over = over.load(Ordering::Relaxed);
                    if over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                };
                scope.spawn(move || {
                    let outcome = other.answer(question, Draw::Another(number), &mut go_on);
                    (number, outcome, other.stats)
                })
            })
            .collect();
        let first = run.answer(question, Draw::First, on_progress);
        if first.is_err() {
            over.store(true, Ordering::Relaxed);
        }
        let join = |it: thread::ScopedJoinHandle<'_, _>| {
            it.join().unwrap_or_else(|panic| panic::resume_unwind(panic))
        };
        (first, others.into_iter().map(join).collect::<Vec<_>>())
    });
    let (mut candidates, mut problem) = (Vec::new(), None);
    let mut sort = |number, (outcome, mean_logprob)| match outcome {
        Ok(accepted) => candidates.push(Candidate { number, accepted, mean_logprob }),
        Err(why) if number == 0 => problem = Some(why),
        Err(_) => {}
    };
    sort(0, first?);
    for (number, outcome, stats) in others {
        run.stats.join(&stats);
        match outcome {
            Ok(outcome) => sort(number, outcome),
            Err(EditError::Cancelled) => return Err(EditError::Cancelled),
            // One that was refused is one fewer.
            Err(_) => {}
        }
    }
    Ok(match (choose(&candidates), problem) {
        (Some((at, chosen)), _) => {
            let accepted = candidates.swap_remove(at).accepted;
            Ok((accepted, Some(Chosen { candidates: n, ..chosen })))
        }
        (None, Some(problem)) => Err(problem),
        (None, None) => unreachable!("what is no candidate is a problem"),
    })
}

/// The candidate that is taken, and why.
fn choose(candidates: &[Candidate]) -> Option<(usize, Chosen)> {
    let agreeing = |it: &Candidate| {
        candidates.iter().filter(|other| other.accepted.after == it.accepted.after).count()
    };
    let likely = |it: &Candidate| it.mean_logprob.unwrap_or(f64::NEG_INFINITY);
    let better = |a: &Candidate, b: &Candidate| {
        agreeing(a).cmp(&agreeing(b)).then(likely(a).total_cmp(&likely(b)))
    };
    // The first of equals.
    let best = (0..candidates.len()).reduce(|best, i| {
        if better(&candidates[i], &candidates[best]).is_gt() { i } else { best }
    })?;
    let taken = &candidates[best];
    let rivals = candidates.iter().filter(|it| it.accepted.after != taken.accepted.after);
    let reason = match rivals.map(agreeing).max() {
        _ if candidates.len() == 1 => Reason::OnlyUsable,
        Some(n) if n == agreeing(taken) => Reason::Likelihood,
        _ => Reason::Agreement,
    };
    let chosen = Chosen {
        candidates: candidates.len(),
        usable: candidates.len(),
        chosen: taken.number,
        agreeing: agreeing(taken),
        mean_logprob: taken.mean_logprob,
        reason,
    };
    Some((best, chosen))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Candidates by the text they make and their likelihood.
    fn chosen(candidates: &[(usize, &str, Option<f64>)]) -> Option<(usize, usize, Reason)> {
        let candidate = |&(number, after, mean_logprob): &(usize, &str, Option<f64>)| {
            let accepted = Accepted { changes: Vec::new(), after: after.to_owned(), errors: 0 };
            Candidate { number, accepted, mean_logprob }
        };
        let candidates: Vec<_> = candidates.iter().map(candidate).collect();
        choose(&candidates).map(|(_, it)| (it.chosen, it.agreeing, it.reason))
    }

    #[test]
    fn agreement_goes_before_likelihood_and_both_before_the_order() {
        assert_eq!(chosen(&[]), None);
        assert_eq!(chosen(&[(2, "a", None)]), Some((2, 1, Reason::OnlyUsable)));
        let two = [(0, "a", Some(-0.1)), (1, "b", Some(-0.5)), (3, "b", Some(-0.4))];
        assert_eq!(chosen(&two), Some((3, 2, Reason::Agreement)));
        let tie = [(0, "a", Some(-0.3)), (1, "b", Some(-0.2)), (4, "c", None)];
        assert_eq!(chosen(&tie), Some((1, 1, Reason::Likelihood)));
        let silent = [(0, "a", None), (1, "b", None)];
        assert_eq!(chosen(&silent), Some((0, 1, Reason::Likelihood)));
        let same = [(0, "a", Some(-0.3)), (1, "a", Some(-0.3))];
        assert_eq!(chosen(&same), Some((0, 2, Reason::Agreement)));
    }
}

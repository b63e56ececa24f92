//! Several answers to one instruction: which is taken, and what the receipt says of it.

use super::Desk;
use cerium_harness::edit::{EditError, EditRequest, Proposal, Reason, plan_edit, run_edit};
use cerium_harness::edit::{Strategy, draft_receipt};
use cerium_harness::{Backend, OnText};
use cerium_protocol::{
    CompletionRequest, CreateResponse, ErrorBody, Include, Item, Logprob, ModelInfo, Response,
    Role, Status, Timings, TokenLogprob, Usage,
};
use std::ops::ControlFlow;
use std::sync::Mutex;

/// A model whose answer to a seed is known, with the log-probability of each of its tokens.
struct Chorus {
    answers: Vec<(&'static str, f32)>,
    asked: Mutex<Vec<CreateResponse>>,
}

impl Backend for Chorus {
    fn respond(
        &self,
        request: &CreateResponse,
        on_text: &mut OnText<'_>,
    ) -> Result<Response, ErrorBody> {
        self.asked.lock().unwrap().push(request.clone());
        let (text, logprob) = self.answers[request.cerium.seed.unwrap_or(0) as usize];
        let text = text.to_owned();
        let broke_off = on_text(&text).is_break();
        let chosen = Logprob { token: String::new(), logprob, bytes: None };
        let logprobs = vec![TokenLogprob { chosen, top_logprobs: Vec::new() }; 3];
        Ok(Response {
            id: "resp_1".into(),
            model: "chorus".into(),
            status: if broke_off { Status::Cancelled } else { Status::Completed },
            incomplete_reason: None,
            output: vec![Item::message(Role::Assistant, text)],
            logprobs,
            usage: Usage::default(),
            timings: Timings::default(),
            why: None,
        })
    }

    fn complete(
        &self,
        _request: &CompletionRequest,
        _on_text: &mut OnText<'_>,
    ) -> Result<Response, ErrorBody> {
        panic!("an edit completes nothing")
    }

    fn model(&self) -> ModelInfo {
        ModelInfo { name: "chorus".into(), context_tokens: 4096, infill: false, extensions: true }
    }

    fn count_tokens(&self, text: &str) -> usize {
        text.len().div_ceil(4)
    }
}

const BEFORE: &str = "def f(x):\n    return x\n";

fn propose(answers: &[(&'static str, f32)]) -> (Result<Proposal, EditError>, Vec<CreateResponse>) {
    let desk = Desk::new("a.py", BEFORE);
    let strategy = Strategy { candidates: answers.len(), retries: 0, ..Strategy::default() };
    let request = EditRequest { strategy, ..desk.request("return twice the value") };
    let model = Chorus { answers: answers.to_vec(), asked: Mutex::default() };
    let prepared = plan_edit(&desk.workspace(), request).unwrap();
    let proposal = run_edit(&model, &prepared, &mut |_| ControlFlow::Continue(()));
    (proposal, model.asked.into_inner().unwrap())
}

const TIMES: &str = "def f(x):\n    return 2 * x\n";
const PLUS: &str = "def f(x):\n    return x + x\n";
const BROKEN: &str = "def f(x:\n    return x + x\n";

#[test]
fn what_most_agree_on_is_taken_and_the_receipt_says_so() {
    let (proposal, mut asked) =
        propose(&[(TIMES, -0.1), (PLUS, -0.5), (BROKEN, 0.0), (PLUS, -0.4)]);
    let proposal = proposal.unwrap();
    assert_eq!(proposal.after, PLUS);
    assert_eq!(proposal.stats.n_requests, 4);
    let chosen = draft_receipt(&proposal).unwrap().chosen.unwrap();
    assert_eq!((chosen.candidates, chosen.usable, chosen.agreeing), (4, 3, 2));
    assert_eq!((chosen.chosen, chosen.reason), (3, Reason::Agreement));
    assert!((chosen.mean_logprob.unwrap() + 0.4).abs() < 1e-6);
    // One question, of which the first is greedy and the others are drawn alike.
    asked.sort_by_key(|request| request.cerium.seed);
    assert!(asked.iter().all(|request| request.include == [Include::Logprobs]));
    assert!(asked.iter().all(|request| request.input == asked[0].input));
    let drawn: Vec<_> = asked.iter().map(|it| (it.cerium.seed, it.temperature)).collect();
    let low = Some(Strategy::default().candidate_temperature);
    assert_eq!(drawn, [(None, Some(0.0)), (Some(1), low), (Some(2), low), (Some(3), low)]);
}

#[test]
fn what_cannot_be_used_is_no_candidate() {
    let (proposal, _) = propose(&[(BROKEN, 0.0), (BEFORE, 0.0), (PLUS, -3.0)]);
    let proposal = proposal.unwrap();
    assert_eq!(proposal.after, PLUS);
    let chosen = proposal.chosen.unwrap();
    assert_eq!((chosen.usable, chosen.chosen, chosen.reason), (1, 2, Reason::OnlyUsable));
    let (proposal, _) = propose(&[(BROKEN, 0.0), (BEFORE, 0.0)]);
    assert!(matches!(proposal, Err(EditError::NoUsableEdit { .. })), "{proposal:?}");
    let (proposal, _) = propose(&[(BEFORE, 0.0), (BROKEN, 0.0)]);
    assert!(matches!(proposal, Err(EditError::Unchanged)), "{proposal:?}");
}

#[test]
fn one_answer_is_asked_for_as_ever() {
    let (proposal, asked) = propose(&[(TIMES, 0.0)]);
    assert_eq!(proposal.unwrap().chosen, None);
    assert_eq!((asked.len(), &asked[0].include[..]), (1, &[][..]));
}

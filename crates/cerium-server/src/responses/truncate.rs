//! Conversations that are too long lose their beginning, if the client wants it so.

use crate::tier::{Answers, Tier};
use cerium_protocol::wire::responses::Parsed;
use cerium_protocol::{CreateResponse, ErrorBody, Input, Item};
use cerium_session::Service;

/// Part of the context that a cut conversation leaves for its answer, unless the request says less.
pub(super) const ANSWER: usize = 8;

/// Tokens that a template puts around an item, about.
pub(super) const FRAME_TOKENS: usize = 8;

/// Begins the answer to a request. One that `truncates` loses its oldest items when it is too long:
/// never what an application says, nor the last item, and a call only together with its result.
pub(crate) fn start(
    tier: &dyn Tier,
    service: &Service,
    asked: &mut Parsed,
    truncates: bool,
) -> Result<Box<dyn Answers>, ErrorBody> {
    if truncates && tier.counted().is_none() {
        let what = "`auto` is not served for a model elsewhere: its tokens are not counted here";
        return Err(ErrorBody::not_served("truncation", what));
    }
    loop {
        match tier.respond(None, &asked.request, 1) {
            Err(error)
                if truncates
                    && error.code.as_deref() == Some("context_length_exceeded")
                    && cut(service, &mut asked.request) => {}
            begun => return begun,
        }
    }
}

/// Takes away what is too much, about, and at least one item; false when there is none to take.
fn cut(service: &Service, request: &mut CreateResponse) -> bool {
    let n_context = service.model().context_tokens;
    let asked = request.max_output_tokens.map_or(n_context, |n| n as usize);
    let n_room = n_context - asked.min(n_context / ANSWER);
    let instructions = request.instructions.as_deref().unwrap_or_default();
    let Input::Items(items) = &mut request.input else { return false };
    let counts: Vec<usize> =
        items.iter().map(|item| FRAME_TOKENS + service.count_tokens(item.text())).collect();
    let mut n_tokens = counts.iter().sum::<usize>() + service.count_tokens(instructions);
    let mut goes = vec![false; items.len()];
    for at in 0..items.len().saturating_sub(1) {
        if items[at].is_of_the_system() || goes[at] {
            continue;
        }
        let together =
            |other: &Item| items[at].call_id().is_some_and(|id| other.call_id() == Some(id));
        for (n, other) in items.iter().enumerate().skip(at) {
            if !goes[n] && (n == at || together(other)) {
                goes[n] = true;
                n_tokens -= counts[n];
            }
        }
        if n_tokens <= n_room {
            break;
        }
    }
    let mut goes = goes.into_iter();
    let n_before = items.len();
    items.retain(|_| !goes.next().unwrap_or(false));
    items.len() < n_before && !items.is_empty()
}

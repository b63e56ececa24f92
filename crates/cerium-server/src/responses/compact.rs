//! A conversation counted, and made shorter: because a client asks for that, or before it is gone on with.

use super::truncate::{ANSWER, FRAME_TOKENS};
use super::{Plan, before, in_background, look_through, whole};
use crate::error::{Refusal, json, raw_json};
use crate::router::{App, asker, now};
use crate::tier::Tier;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use cerium_protocol::wire::responses::{Asked, Budget, Parsed, compact as shorten, fold, keep};
use cerium_protocol::{ErrorBody, Input};
use cerium_session::{Owner, Past, Service};
use serde_json::json;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

/// Parts of the context, or of the threshold, that messages and the digest of everything else may take after
/// compaction.
const MESSAGES: usize = 4;
const DIGEST: usize = 8;

/// The part that items may take which are too new to be made shorter.
const RECENT: usize = 4;

fn budget(n_tokens: usize) -> Budget {
    Budget { messages: n_tokens / MESSAGES, digest: n_tokens / DIGEST }
}

/// When a conversation is made shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// If its prompt has more tokens than this, or too many to leave room for an answer.
    Beyond(u64),
    /// In any case, and that is all that is asked.
    Now,
}

impl When {
    pub(super) fn of(asked: &Asked<'_>) -> Option<Self> {
        let now = asked.compacts.then_some(Self::Now);
        now.or(asked.compact_threshold.map(Self::Beyond))
    }
}

/// Makes a conversation shorter if it is time for that. True if so: nothing is gone on from then, and the response
/// tells what the conversation has become.
pub(super) fn manage(
    tier: &dyn Tier,
    service: &Service,
    asked: &mut Parsed,
    past: Option<&Past>,
    when: When,
) -> Result<bool, ErrorBody> {
    if tier.counted().is_none() {
        let what = "a conversation with a model elsewhere is not made shorter here: its tokens are not counted";
        return Err(ErrorBody::not_served("context_management", what));
    }
    let n_context = service.model().context_tokens;
    let (n_tokens, recent) = match when {
        When::Now => (n_context, 0),
        When::Beyond(threshold) => {
            let n_room = n_context - n_context / ANSWER;
            let n_room = usize::try_from(threshold).unwrap_or(n_room).min(n_room);
            match service.count_after(past, &asked.request) {
                Ok(n) if n <= n_room => return Ok(false),
                Err(error) if error.code.as_deref() != Some("context_length_exceeded") => {
                    return Err(error);
                }
                _ => (n_room, n_room / RECENT),
            }
        }
    };
    let mut items = past.map(Past::all).unwrap_or_default();
    items.extend_from_slice(&asked.request.input.items());
    let count = |text: &str| FRAME_TOKENS + service.count_tokens(text);
    let folded = fold(&items, recent, budget(n_tokens), count);
    if when != When::Now && folded.items == items {
        return Ok(false);
    }
    asked.request.input = Input::Items(folded.items);
    asked.echo.compaction = Some(folded.content);
    if when == When::Now {
        asked.request.generate = false;
        asked.echo.warms = true;
    }
    Ok(true)
}

/// `POST /v1/responses/input_tokens`
pub(crate) async fn input_tokens(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Refusal> {
    let _busy = asker(&request).begin(&app.ledger)?;
    let (_, asked) = read(&app, request).await?;
    if app.tier(Some(&asked.request.model), Owner::default())?.counted().is_none() {
        let what = "the tokens of a model elsewhere are not counted here";
        return Err(Refusal(ErrorBody::not_served("model", what)));
    }
    let service = app.service.clone();
    let n = in_background(move || service.count(&asked.request)).await?;
    let count = json!({"object": "response.input_tokens", "input_tokens": n});
    Ok(json(StatusCode::OK, &count))
}

/// `POST /v1/responses/compact`
pub(crate) async fn compact(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Refusal> {
    let _busy = asker(&request).begin(&app.ledger)?;
    let (items, asked) = read(&app, request).await?;
    let service = app.service.clone();
    let compacted = in_background(move || {
        let budget = budget(service.model().context_tokens);
        let fresh = || RandomState::new().hash_one(());
        let name = format!("{:016x}{:016x}", fresh(), fresh());
        let items: Vec<&str> = items.iter().map(String::as_str).collect();
        let id = format!("cmp_{name}");
        let output = shorten(&items, budget, &id, |text| service.count_tokens(text));
        let n_input = service.count(&asked.request)?;
        let n_output: usize = output.iter().map(|item| service.count_tokens(item)).sum();
        let usage = json!({
            "input_tokens": n_input,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": n_output,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": n_input + n_output,
        });
        Ok(format!(
            "{{\"id\":\"resp_{name}\",\"object\":\"response.compaction\",\"created_at\":{},\
             \"output\":[{}],\"usage\":{usage}}}",
            now(),
            output.join(","),
        ))
    });
    Ok(raw_json(compacted.await?))
}

/// A request that is not answered, with the items of all that it is about, as they are kept.
async fn read(app: &Arc<App>, request: Request) -> Result<(Vec<String>, Parsed), ErrorBody> {
    let asker = asker(&request);
    let held = app.bodies.read(request).await?;
    let plan = look_through(&held.bytes, |body| Plan::read(body, false)).await?;
    let before = before(app, &plan, asker.holder()).await?;
    let (worker, body) = (Arc::clone(app), held.bytes.clone());
    in_background(move || {
        let parsed = whole(&body, &plan, &before)?;
        worker.tier(Some(&parsed.request.model), Owner::default())?;
        let asked = Asked::read(&body)?;
        let (mut items, mut n) = (Vec::new(), 0);
        for item in before.items(&asked) {
            n += 1;
            items.push(keep(item, |prefix| format!("{prefix}_{n}")).body);
        }
        Ok((items, parsed))
    })
    .await
}

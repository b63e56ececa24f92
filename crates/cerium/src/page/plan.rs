//! A plan for a text, and another version of one of its steps. The page keeps the plan.

use super::ask::Tree;
use super::work::{Call, Failed, Places};
use axum::extract::{Request, State};
use axum::response::Response;
use cerium_harness::OnText;
use cerium_harness::plan::{self, N_STEPS_MAX, Plan, PlanError, Planned, Step};
use cerium_harness::redirect::joined;
use cerium_harness::talk::Talk;
use cerium_server::{Caller, Refusal};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    name: String,
    text: String,
    goal: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Revision {
    name: String,
    text: String,
    goal: String,
    steps: Vec<Step>,
    request: String,
}

#[derive(Serialize)]
struct Written {
    goal: String,
    steps: Vec<Step>,
    revised: Option<usize>,
}

pub(super) async fn write(
    State(places): State<Places>,
    caller: Caller,
    request: Request,
) -> Result<Response, Refusal> {
    let asked: Asked = caller.read(request).await?;
    places.run(&caller, move |call| {
        let Asked { name, text, goal } = asked;
        let tree = Tree::of(&name, &text)?;
        steered(call, goal, |goal, on_text| {
            plan::write(&call.backend, &tree.workspace, goal, None, on_text)
        })
    })
}

pub(super) async fn revise(
    State(places): State<Places>,
    caller: Caller,
    request: Request,
) -> Result<Response, Refusal> {
    let Revision { name, text, goal, mut steps, request } = caller.read(request).await?;
    steps.truncate(N_STEPS_MAX);
    for (step, number) in steps.iter_mut().zip(1..) {
        step.number = number;
    }
    places.run(&caller, move |call| {
        let tree = Tree::of(&name, &text)?;
        let plan = Plan { goal, revision: 0, steps, past: Vec::new(), talk: Talk::default() };
        steered(call, request, |request, on_text| {
            plan::revise(&call.backend, &tree.workspace, &plan, request, on_text)
        })
    })
}

/// Has a plan written, once more whenever something else is said.
fn steered(
    call: &Call,
    mut asked: String,
    write: impl Fn(&str, &mut OnText<'_>) -> Result<Planned, PlanError>,
) -> Result<Written, Failed> {
    loop {
        let made = write(&asked, &mut |text| call.tell("text", &text));
        let Some(more) = call.otherwise() else { return told(made) };
        asked = joined(&asked, &more);
        call.redirect(&asked);
    }
}

fn told(made: Result<Planned, PlanError>) -> Result<Written, Failed> {
    match made {
        Ok(Planned { plan: Plan { goal, steps, .. }, revised, .. }) => {
            Ok(Written { goal, steps, revised })
        }
        Err(error) => {
            let failed = Failed::new(&error);
            Err(match &error {
                PlanError::NoSteps { reply } => failed.reply(reply),
                _ => failed,
            })
        }
    }
}

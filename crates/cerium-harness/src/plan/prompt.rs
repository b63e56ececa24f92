//! What the model is asked when a plan is written or a step revised. The tree comes first, because
//! it changes least, then the plan, then the request.

use super::step::{N_STEPS_MAX, Plan, Step};
use super::{PlanError, Tree};
use crate::Backend;
use crate::context::{Excerpt, select};
use crate::guide;
use crate::talk::Talk;
use crate::workspace::Workspace;
use cerium_protocol::{CreateResponse, Extensions, Input, Item, PromptPart, Role};

const INSTRUCTIONS: &str = "\
You plan changes to a code base. A plan is a short numbered list; each step is one small edit. Write \
every step in this form and nothing else:
1. Title of the step
   file: path/of/the/file
   symbol: function or class to change
   detail: what to change there, in one or two sentences
Name files from the list of files. Put (new) after a file that has to be created.";

/// Tokens of excerpts.
const EXCERPT_TOKENS_MAX: usize = 1_200;
/// Paths listed.
const N_PATHS_MAX: usize = 40;
/// Tokens of a whole plan and of a single step.
const PLAN_TOKENS_MAX: u32 = 900;
const STEP_TOKENS_MAX: u32 = 240;
/// Tokens of the chat template and the words between the parts.
const FRAME_TOKENS: usize = 96;

/// What is asked of all plans of a tree: by us, and by the project.
pub(super) fn rules(backend: &dyn Backend, workspace: &Workspace) -> String {
    guide::heard(INSTRUCTIONS, &guide::of_tree(backend, workspace.root()))
}

/// A request, and what of it the conversation will hold.
pub(super) struct Asked {
    pub(super) request: CreateResponse,
    /// Its last message.
    told: String,
    /// The end of it, which does not speak of the tree.
    wish: String,
    excerpts: Vec<Excerpt>,
}

impl Asked {
    /// The conversation with this and its answer.
    pub(super) fn said(self, mut talk: Talk, workspace: &Workspace, answer: &str) -> Talk {
        talk.show(workspace, &self.excerpts);
        talk.add(self.wish, self.told, answer.to_owned());
        talk
    }
}

/// Asks for a whole plan.
pub(super) fn write(
    backend: &dyn Backend,
    tree: &Tree<'_>,
    goal: &str,
) -> Result<Asked, PlanError> {
    let last = format!(
        "Goal: {goal}\n\nWrite the plan for this goal in as few steps as it needs, at most \
         {N_STEPS_MAX}."
    );
    let (about, excerpts) = about(backend, tree, "goal", &last, PLAN_TOKENS_MAX)?;
    let stop = vec![format!("\n{}.", N_STEPS_MAX + 1)];
    let text = about.then("goal", &last);
    let told = text.text.clone();
    let request = request(backend, &tree.rules, text, PLAN_TOKENS_MAX, "1.", stop);
    Ok(Asked { request, told, wish: last, excerpts })
}

/// Asks for one step anew.
pub(super) fn revise(
    backend: &dyn Backend,
    tree: &Tree<'_>,
    plan: &Plan,
    old: &Step,
    wish: &str,
) -> Result<Asked, PlanError> {
    let number = old.number;
    let last = format!(
        "Goal: {}\n\nThe plan:\n{}\nStep {number} is to be revised: {wish}\n\nWrite only the new \
         step {number}, in the same form.",
        plan.goal,
        listed(plan)
    );
    let (about, excerpts) = about(backend, tree, "request", &last, STEP_TOKENS_MAX)?;
    let text = about.then("request", &last);
    let told = text.text.clone();
    Ok(Asked { request: step(backend, &tree.rules, text, number), told, wish: last, excerpts })
}

/// Asks for one step anew, behind all that was said of the plan before; `None` if nothing was, or too much.
///
/// * `rules`: what is asked of all plans of the tree
/// * `changes`: of files that were shown, by their paths
pub(super) fn revise_on(
    backend: &dyn Backend,
    rules: &str,
    talk: &Talk,
    changes: &[(String, String)],
    old: &Step,
    wish: &str,
) -> Option<Asked> {
    let number = old.number;
    let last = format!(
        "Step {number} of the plan is now:\n{old}\nIt is to be revised: {wish}\n\nWrite only the new step \
         {number}, in the same form."
    );
    let changed = |text: Text, (path, change): &(String, String)| {
        text.then(&format!("change of {path}"), &format!("{change}\n"))
    };
    let text = changes.iter().fold(Text::default(), changed).then("request", &last);
    let said = rules.to_owned() + &talk.text() + &text.text;
    let n_tokens = backend.count_tokens(&said) + STEP_TOKENS_MAX as usize;
    if talk.is_long() || n_tokens > backend.model().context_tokens / 2 {
        return None;
    }
    let mut items = talk.items();
    let told = text.text.clone();
    let mut request = step(backend, rules, text, number);
    request.cerium.parts.iter_mut().for_each(|part| part.item = items.len());
    items.push(Item::message(Role::User, told.clone()));
    request.input = Input::Items(items);
    Some(Asked { request, told, wish: last, excerpts: Vec::new() })
}

/// Asks for one step.
fn step(backend: &dyn Backend, rules: &str, text: Text, number: usize) -> CreateResponse {
    let stop = vec![format!("\n{}.", number + 1), "\n\n\n".to_owned()];
    request(backend, rules, text, STEP_TOKENS_MAX, &format!("{number}."), stop)
}

/// Asks which step a request means.
pub(super) fn which(backend: &dyn Backend, plan: &Plan, wish: &str) -> CreateResponse {
    let titles: Vec<String> =
        plan.steps.iter().map(|step| format!("{}. {}", step.number, step.title)).collect();
    let text =
        format!("Steps:\n{}\n\nWhich step does this request mean? \"{wish}\"", titles.join("\n"));
    let rules = "Answer with the number of one step and nothing else.";
    request(backend, rules, Text::default().then("request", &text), 8, "Step ", Vec::new())
}

/// What is said to the model, in parts.
#[derive(Default)]
struct Text {
    text: String,
    parts: Vec<PromptPart>,
}

impl Text {
    fn then(mut self, name: &str, text: &str) -> Self {
        self.parts.push(PromptPart { item: 0, byte: self.text.len(), name: name.to_owned() });
        self.text.push_str(text);
        self
    }
}

fn listed(plan: &Plan) -> String {
    plan.steps.iter().map(Step::to_string).collect()
}

/// The tree as the model gets to see it: paths, then the excerpts that fit.
fn about(
    backend: &dyn Backend,
    tree: &Tree<'_>,
    what: &'static str,
    last: &str,
    n_answer: u32,
) -> Result<(Text, Vec<Excerpt>), PlanError> {
    let paths: Vec<&str> = tree.paths().take(N_PATHS_MAX).collect();
    let paths = format!("Files:\n{}\n\n", paths.join("\n"));
    let n_context = backend.model().context_tokens;
    let fixed = [&tree.rules, &paths].map(|text| backend.count_tokens(text));
    let n_fixed = fixed.iter().sum::<usize>() + n_answer as usize + FRAME_TOKENS;
    let n_tokens = backend.count_tokens(last);
    let n_tokens_max = n_context.saturating_sub(n_fixed);
    if n_tokens > n_tokens_max {
        return Err(PlanError::TooLong { what, n_tokens, n_tokens_max });
    }
    let room = (n_tokens_max - n_tokens).min(EXCERPT_TOKENS_MAX);
    let excerpts = select(tree.pieces(), room, &|text| backend.count_tokens(text));
    let text = Text::default().then("files", &paths);
    let write = |text: Text, e: &Excerpt| text.then(&e.place(), &format!("{}\n", e.write()));
    Ok((excerpts.iter().fold(text, write), excerpts))
}

fn request(
    backend: &dyn Backend,
    rules: &str,
    Text { text, parts }: Text,
    n_tokens_max: u32,
    prefix: &str,
    stop: Vec<String>,
) -> CreateResponse {
    let model = backend.model();
    // A larger model elsewhere begins and ends as it is told in words; what it says is read leniently.
    let (prefix, stop) = if model.extensions { (prefix, stop) } else { ("", Vec::new()) };
    CreateResponse {
        instructions: Some(rules.to_owned()),
        max_output_tokens: Some(n_tokens_max),
        cerium: Extensions { prefix: prefix.to_owned(), stop, parts, ..Extensions::default() },
        ..CreateResponse::new(model.name, Input::Text(text))
    }
}

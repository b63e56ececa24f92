//! What is asked for by actions and commands: each goes to its work, and edits come back to be handed to the editor.

use super::client::Refusal;
use super::commands::{self, Apply, Ask, Command, Edit, Explain, How, Write};
use super::documents::{Document, path_of};
use super::editing::{self, Edited, Target};
use super::text::Text;
use super::{Outcome, Server};
use super::{actions, asking};
use crate::stats::Stats;
use asking::{Planning, Question, Tree};
use cerium_harness::edit::{EditRequest, Fate, View};
use cerium_harness::files::SourceFile;
use cerium_harness::lines::{LineIndex, LineSpan};
use cerium_harness::workspace::Workspace;
use gen_lsp_types::{
    CodeActionParams, ExecuteCommandParams, MessageType, ProgressToken, Range, Uri,
};
use lsp_server::{RequestId, Response};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use url::Url;

/// Edits that may wait for the editor.
const OFFERED_MAX: usize = 64;
/// Longest selection that is explained, in bytes.
const EXPLAINED_BYTES_MAX: usize = 16 << 10;

/// Edits that were made.
pub(super) struct Edits {
    made: Vec<Edited>,
    /// They are only told.
    preview: bool,
    /// The step of a tree's plan that they carry out.
    step: Option<(PathBuf, usize)>,
}

/// An edit that the editor was asked to make, for a request that waits.
pub(super) struct Offered {
    request: RequestId,
    told: Value,
    step: Option<(PathBuf, usize)>,
}

impl Server {
    pub(super) fn actions(&self, params: CodeActionParams) -> Value {
        let uri = params.text_document.uri;
        let Some(document) = self.documents.get(&uri) else { return Value::Null };
        let plan = Tree::at(document.root()).ok().and_then(|tree| tree.plan().ok().flatten());
        let encoding = self.documents.encoding;
        let (range, context) = (params.range, params.context);
        let plan = plan.as_ref();
        actions::offer(&uri, document, range, encoding, &context, self.asks, plan).into()
    }

    pub(super) fn execute(
        &mut self,
        id: &RequestId,
        params: ExecuteCommandParams,
    ) -> Result<Option<Value>, Refusal> {
        let token = params.work_done_progress_params.work_done_token;
        match commands::parse(&params.command, params.arguments)? {
            Command::Edit(edit) => self.edit(id, edit, token)?,
            Command::Explain(explain) => self.explain(id, explain, token)?,
            Command::Ask(ask) => {
                let root = self.root(ask.tree.uri.as_ref());
                let Ask { question, go_on, stream, .. } = ask;
                let question = Question { text: question, within: Vec::new(), go_on };
                self.ask(id, &root, question, token, stream, false)?;
            }
            Command::Plan(tree) => {
                let plan = Tree::at(&self.root(tree.uri.as_ref()))?.plan();
                let plan = plan.map_err(|error| Refusal::failed(error.to_string()))?;
                return Ok(Some(plan.as_ref().map_or(Value::Null, asking::told)));
            }
            Command::WritePlan(write) => self.plan(id, Planning::Write, write, token)?,
            Command::RevisePlan(write) => self.plan(id, Planning::Revise, write, token)?,
            Command::ApplyStep(apply) => self.apply_step(id, apply, token)?,
            Command::StepDone(done) => {
                let tree = Tree::at(&self.root(done.tree.uri.as_ref()))?;
                let plan = tree.step_is_done(done.step);
                let plan = plan.map_err(|error| Refusal::failed(error.to_string()))?;
                return Ok(Some(plan.as_ref().map_or(Value::Null, asking::told)));
            }
        }
        Ok(None)
    }

    fn edit(
        &mut self,
        id: &RequestId,
        edit: Edit,
        token: Option<ProgressToken>,
    ) -> Result<(), Refusal> {
        let Edit { uri, range, instruction, how } = edit;
        let file = self.file(&uri)?;
        let lines = range.and_then(|range| self.lines(&uri, &file, range));
        let request = EditRequest { lines, ..EditRequest::new(&file.real, instruction) };
        let title = format!("cerium: editing {}", file.path);
        self.make(id, vec![(Target { uri, file }, request)], how, None, token, title)
    }

    /// The lines that a range means: those it touches, or the declaration around a mere cursor; none where there is none.
    fn lines(&self, uri: &Uri, file: &SourceFile, range: Range) -> Option<LineSpan> {
        let encoding = self.documents.encoding;
        let bytes = match self.documents.get(uri) {
            Some(document) => document.text.bytes(range, encoding),
            None => Text::new(file.text.clone()).bytes(range, encoding),
        };
        let lines = LineIndex::new(&file.text).span_of(&bytes);
        if bytes.is_empty() {
            View::new(Path::new(&file.path), &file.text).around(lines)
        } else {
            Some(lines)
        }
    }

    fn apply_step(
        &mut self,
        id: &RequestId,
        apply: Apply,
        token: Option<ProgressToken>,
    ) -> Result<(), Refusal> {
        let root = self.root(apply.tree.uri.as_ref());
        let failed = |error: cerium_harness::plan::PlanError| Refusal::failed(error.to_string());
        let plan = Tree::at(&root)?.plan().map_err(failed)?.ok_or_else(asking::no_plan)?;
        let step = plan.edit(apply.step).map_err(failed)?;
        let mut symbol = step.symbol;
        let mut wanted = Vec::new();
        for file in &step.files {
            if file.fate(&root) != Fate::Change {
                let number = apply.step;
                return Err(Refusal::failed(format!(
                    "step {number} makes, deletes or renames a file: `cerium plan --apply {number}` does it"
                )));
            }
            let target = self.target(&root, &file.path)?;
            // The symbol is one of the first file.
            let request = EditRequest {
                symbol: symbol.take(),
                ..EditRequest::new(&target.file.real, step.instruction.clone())
            };
            wanted.push((target, request));
        }
        let title = format!("cerium: step {}", apply.step);
        self.make(id, wanted, apply.how, Some((root, apply.step)), token, title)
    }

    /// Has edits made; all of them or none.
    fn make(
        &mut self,
        id: &RequestId,
        wanted: Vec<(Target, EditRequest)>,
        how: How,
        step: Option<(PathBuf, usize)>,
        token: Option<ProgressToken>,
        title: String,
    ) -> Result<(), Refusal> {
        let (models, client) = (self.models.clone(), self.client.clone());
        self.jobs.start(id.clone(), None, move |stop| {
            let progress = client.progress(token, &title);
            let tell = client.tell(how.stream);
            let mut made = Vec::new();
            for (target, request) in wanted {
                let model = models.of(&target.file.root, stop).map_err(Refusal::failed)?;
                let Some(model) = model else { return Ok(Outcome::Nothing) };
                match editing::make(&*model, target, request, &progress, tell.as_ref())? {
                    Some(edited) => made.push(edited),
                    None => return Ok(Outcome::Nothing),
                }
            }
            Ok(Outcome::Edited(Edits { made, preview: how.preview, step }))
        })
    }

    fn explain(
        &mut self,
        id: &RequestId,
        explain: Explain,
        token: Option<ProgressToken>,
    ) -> Result<(), Refusal> {
        let Explain { uri, range, stream } = explain;
        let Some(document) = self.documents.get(&uri) else {
            return Err(Refusal::invalid(format!("`{uri}` is not open")));
        };
        let bytes = document.text.bytes(range, self.documents.encoding);
        let code = &document.text.as_str()[bytes];
        if code.len() > EXPLAINED_BYTES_MAX {
            let what = "the selection is too long to be explained; select less";
            return Err(Refusal::invalid(what));
        }
        let (root, path) = (document.root().to_owned(), document.path().to_owned());
        let within = root.join(&path);
        let within = within.is_file().then_some(within).into_iter().collect();
        let text = format!("What does this code of `{path}` do, and how?\n```\n{code}\n```");
        let question = Question { text, within, go_on: false };
        let shown = stream.is_none();
        self.ask(id, &root, question, token, stream, shown)
    }

    /// Has a question answered; the answer is also put before the person where that is wanted.
    fn ask(
        &mut self,
        id: &RequestId,
        root: &Path,
        question: Question,
        token: Option<ProgressToken>,
        stream: Option<ProgressToken>,
        shown: bool,
    ) -> Result<(), Refusal> {
        let tree = Tree::at(root)?;
        let (models, client) = (self.models.clone(), self.client.clone());
        let tells_stats = self.tells_stats;
        self.jobs.start(id.clone(), None, move |stop| {
            let progress = client.progress(token, "cerium: answering");
            let tell = client.tell(stream);
            let model = models.of(tree.workspace.root(), stop).map_err(Refusal::failed)?;
            let Some(model) = model else { return Ok(Outcome::Nothing) };
            let answer = asking::answer(&*model, &tree, question, &progress, tell.as_ref())?;
            if let Some(text) = answer.as_ref().filter(|_| shown).and_then(|it| it["text"].as_str())
            {
                client.show(MessageType::Info, text);
            }
            if let Some(answer) = answer.as_ref().filter(|_| tells_stats) {
                client.notify("cerium/stats", &answer["stats"]);
            }
            Ok(answer.map_or(Outcome::Nothing, Outcome::Told))
        })
    }

    fn plan(
        &mut self,
        id: &RequestId,
        planning: Planning,
        write: Write,
        token: Option<ProgressToken>,
    ) -> Result<(), Refusal> {
        let tree = Tree::at(&self.root(write.tree.uri.as_ref()))?;
        let (models, client) = (self.models.clone(), self.client.clone());
        self.jobs.start(id.clone(), None, move |stop| {
            let _progress = client.progress(token, "cerium: planning");
            let tell = client.tell(write.stream);
            let model = models.of(tree.workspace.root(), stop).map_err(Refusal::failed)?;
            let Some(model) = model else { return Ok(Outcome::Nothing) };
            let plan = asking::write_plan(&*model, &tree, planning, &write.text, tell.as_ref())?;
            Ok(plan.map_or(Outcome::Nothing, Outcome::Told))
        })
    }

    /// Hands edits to the editor for a request: the result of it, unless the editor has to answer first.
    pub(super) fn hand_over(
        &mut self,
        request: RequestId,
        edits: &Edits,
    ) -> Result<Option<Value>, Refusal> {
        let edit = editing::workspace_edit(&edits.made, &self.documents)?;
        let diffs: Vec<String> = edits.made.iter().map(|it| it.proposal.diff()).collect();
        let mut stats = Stats::default();
        edits.made.iter().for_each(|it| stats.join(&Stats::of_edit(&it.proposal)));
        if self.tells_stats {
            self.client.notify("cerium/stats", &stats);
        }
        let told = json!({
            "applied": false,
            "edit": edit,
            "diff": diffs.concat(),
            "stats": stats,
        });
        if edits.preview {
            return Ok(Some(told));
        }
        if self.offered.len() >= OFFERED_MAX {
            return Err(Refusal::failed("the editor does not answer"));
        }
        let label = edits.made.first().map_or("", |it| &it.proposal.instruction);
        let params = json!({ "label": format!("cerium: {label}"), "edit": edit });
        let asked = self.client.ask("workspace/applyEdit", params);
        self.offered.insert(asked, Offered { request, told, step: edits.step.clone() });
        Ok(None)
    }

    /// The editor made an edit, or did not.
    pub(super) fn answered(&mut self, answer: Response) {
        // Other answers are to what was only announced.
        let Some(Offered { request, mut told, step }) = self.offered.remove(&answer.id) else {
            return;
        };
        let result = answer
            .response_result
            .unwrap_or_else(|error| json!({ "failureReason": error.message }));
        let applied = result["applied"] == true;
        told["applied"] = applied.into();
        if let Some(why) = result["failureReason"].as_str() {
            told["reason"] = why.into();
        }
        if let Some((root, step)) = step.filter(|_| applied)
            && let Ok(tree) = Tree::at(&root)
            && let Err(error) = tree.step_is_done(step)
        {
            self.client.log(&format!("cerium: step {step} is done, but: {error}"));
        }
        self.client.answer(request, Ok(told));
    }

    /// A document as it is open, or else as it is on disk.
    fn file(&self, uri: &Uri) -> Result<SourceFile, Refusal> {
        if let Some(document) = self.documents.get(uri) {
            return Ok(document.source());
        }
        let open = || {
            let path = path_of(uri)?;
            Some((Workspace::discover(path.parent()?).ok()?, path))
        };
        let (workspace, path) =
            open().ok_or_else(|| Refusal::invalid(format!("`{uri}` is no file")))?;
        SourceFile::open(&workspace, &path).map_err(|error| Refusal::failed(error.to_string()))
    }

    /// A file of a tree as it is open, or else as it is on disk.
    fn target(&self, root: &Path, path: &str) -> Result<Target, Refusal> {
        if let Some((uri, document)) = self.documents.by_path(root, path) {
            return Ok(Target { uri: uri.clone(), file: document.source() });
        }
        let uri = Url::from_file_path(root.join(path));
        let uri = uri.map_err(|()| Refusal::failed(format!("`{path}` has no URI")))?;
        let uri = Uri(uri.into());
        Ok(Target { file: self.file(&uri)?, uri })
    }

    /// The tree of a document or folder, or of the first folder.
    fn root(&self, uri: Option<&Uri>) -> PathBuf {
        let Some(uri) = uri else { return self.documents.root() };
        let open = self.documents.get(uri).map(|document: &Document| document.root().to_owned());
        let found = || {
            let path = path_of(uri)?;
            let folder = if path.is_dir() { path } else { path.parent()?.to_owned() };
            Some(Workspace::discover(&folder).ok()?.root().to_owned())
        };
        open.or_else(found).unwrap_or_else(|| self.documents.root())
    }
}

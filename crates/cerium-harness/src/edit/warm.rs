//! Reading ahead: what an edit will show of a place, before anybody says what to change there.

use super::prompt;
use super::scope::{self, Scope, ScopeSource};
use super::strategy::Strategy;
use super::view::View;
use crate::backend::Backend;
use crate::files::SourceFile;
use crate::guide;
use crate::lines::LineSpan;
use cerium_protocol::CreateResponse;
use std::path::Path;

/// Has read what instructions about a place will be shown with: the place of the cursor, of the last edit,
/// or the first line of a file that was opened. The next instruction mostly is about it, and then only the instruction is left to read.
///
/// That is the declaration around the place, or all of a small file; with the comment above it, for
/// instructions that speak of comments; and what is around it, for when the first answer leaves it as it is.
/// Nothing is done for a very long one, of which an instruction chooses parts.
pub fn warm(backend: &dyn Backend, file: &SourceFile, place: LineSpan, strategy: &Strategy) {
    let view = View::new(Path::new(&file.path), &file.text);
    let n_lines_max = strategy.vague_whole_lines_max;
    let scopes: Vec<Scope> = match view.enclosing(place) {
        Some(decl) if decl.lines.count() <= n_lines_max => {
            let lines = vec![decl.lines];
            let named = scope::by_symbol(&view, &file.path, &decl.path, "", strategy).ok();
            let gap = strategy.merge_gap_lines;
            let whole = Scope::of(&view, lines, gap, ScopeSource::Symbol);
            let scopes = [named, Some(whole)].into_iter().flatten();
            let (scopes, wider): (Vec<_>, Vec<_>) =
                scopes.map(|scope| (scope.clone(), scope.widened(&view, n_lines_max))).unzip();
            scopes.into_iter().chain(wider.into_iter().flatten()).collect()
        }
        None if view.lines.count() <= n_lines_max => vec![Scope::whole(&view)],
        _ => return,
    };
    let guide = guide::nearest(&file.root, &file.path);
    let model = backend.model().name;
    let mut requests: Vec<CreateResponse> = Vec::new();
    for scope in scopes {
        let prompt =
            prompt::build(&view, &file.path, guide.as_deref(), &scope.regions, "", false, strategy);
        let request = prompt.warming(&model);
        if !requests.contains(&request) {
            requests.push(request);
        }
    }
    backend.warm(&requests);
}

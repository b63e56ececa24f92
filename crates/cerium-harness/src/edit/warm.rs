//! Reading ahead: what an edit will show of a place, before anybody says what to change there.

use super::prompt;
use super::scope;
use super::strategy::Strategy;
use super::view::View;
use crate::backend::Backend;
use crate::files::SourceFile;
use crate::lines::LineSpan;
use std::path::Path;

/// Has the declaration around a place read: that of the cursor, or of the last edit. The next instruction
/// mostly is about it, and then only the instruction is left to read. Nothing is done for a long one, of which an
/// instruction chooses parts.
pub fn warm(backend: &dyn Backend, file: &SourceFile, place: LineSpan, strategy: &Strategy) {
    let view = View::new(Path::new(&file.path), &file.text);
    let Some(decl) = view.enclosing(place) else { return };
    if decl.lines.count() > strategy.unit_lines_max {
        return;
    }
    let Ok(scope) = scope::by_symbol(&view, &file.path, &decl.path, "", strategy) else { return };
    let prompt = prompt::build(&view, &file.path, &scope.regions, "", false, strategy);
    backend.warm(&[prompt.warming(&backend.model().name)]);
}

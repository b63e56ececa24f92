//! Edits of what is open: made on the text of the editor, and handed to it as changes of that text.

use super::client::{Progress, Refusal, Tell};
use super::documents::Documents;
use super::text::{Encoding, Text};
use crate::interrupt;
use cerium_harness::Backend;
use cerium_harness::edit::{
    Change, EditError, EditRequest, LineEvent, Progress as Happens, Proposal, plan_text, run_edit,
};
use cerium_harness::files::SourceFile;
use gen_lsp_types::{TextEdit, Uri};
use lsp_server::ErrorCode;
use serde_json::{Value, json};

/// A file to edit, as the editor has it, or as it is on disk.
pub(super) struct Target {
    pub(super) uri: Uri,
    pub(super) file: SourceFile,
}

/// An edit of a file that was made.
pub(super) struct Edited {
    pub(super) uri: Uri,
    pub(super) proposal: Proposal,
}

/// Makes an edit, telling of its lines as they come. `None` when it was stopped.
///
/// # Errors
/// Those of the harness, in words.
pub(super) fn make(
    backend: &dyn Backend,
    target: Target,
    request: EditRequest,
    progress: &Progress,
    tell: Option<&Tell>,
) -> Result<Option<Edited>, Refusal> {
    let Target { uri, file } = target;
    let mut n_written = 0;
    let mut on_progress = |happens: Happens<'_>| {
        match happens {
            Happens::Scope(scope) => {
                progress.report("reading");
                if let Some(tell) = tell {
                    let lines: Vec<_> = scope.regions.iter().map(|region| region.lines).collect();
                    tell.value(&json!({ "kind": "scope", "uri": uri, "regions": lines }));
                }
            }
            Happens::Line(event) => {
                n_written += usize::from(!matches!(event, LineEvent::Remove { .. }));
                progress.report(&format!("{n_written} lines written"));
                if let Some(tell) = tell {
                    tell.value(&line(&event));
                }
            }
            Happens::Writing => {}
            Happens::Retry { reason } => progress.report(&format!("asking again: {reason}")),
        }
        interrupt::going_on()
    };
    let made = plan_text(file, request)
        .and_then(|prepared| run_edit(backend, &prepared, &mut on_progress));
    match made {
        Ok(proposal) => Ok(Some(Edited { uri, proposal })),
        Err(EditError::Cancelled) => Ok(None),
        Err(error) => {
            let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
            Err(Refusal::failed(format!("{error}{hint}")))
        }
    }
}

/// A line of a diff for the wire.
fn line(event: &LineEvent) -> Value {
    match event {
        LineEvent::Keep { line, text } => json!({ "kind": "keep", "line": line, "text": text }),
        LineEvent::Remove { line, text } => json!({ "kind": "remove", "line": line, "text": text }),
        LineEvent::Add { text } => json!({ "kind": "add", "text": text }),
    }
}

/// Edits as one change of the editor's documents, each of the version that it was checked against.
///
/// # Errors
/// When the person changed the same place meanwhile.
pub(super) fn workspace_edit(edits: &[Edited], documents: &Documents) -> Result<Value, Refusal> {
    let mut changes = Vec::new();
    for Edited { uri, proposal } in edits {
        let before = &proposal.file.text;
        let (version, edits) = if let Some(document) = documents.get(uri) {
            let moved = moved(&proposal.changes, before, document.text.as_str());
            let moved = moved.ok_or_else(|| {
                let what = "the text changed where the edit is; ask again";
                Refusal::new(ErrorCode::ContentModified, what)
            })?;
            let edits = text_edits(&moved, &document.text, documents.encoding);
            (Some(document.version), edits)
        } else {
            let text = Text::new(before.clone());
            (None, text_edits(&proposal.changes, &text, documents.encoding))
        };
        let document = json!({ "uri": uri, "version": version });
        changes.push(json!({ "textDocument": document, "edits": edits }));
    }
    Ok(json!({ "documentChanges": changes }))
}

/// Changes of a text as changes of what it has become, if it became so elsewhere.
fn moved(changes: &[Change], before: &str, now: &str) -> Option<Vec<Change>> {
    let same = |a: &mut dyn Iterator<Item = char>, b: &mut dyn Iterator<Item = char>| {
        a.zip(b).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum::<usize>()
    };
    let head = same(&mut before.chars(), &mut now.chars());
    let tail = same(&mut before[head..].chars().rev(), &mut now[head..].chars().rev());
    let shift = |at: usize| at + now.len() - before.len();
    let place = |change: &Change| {
        let bytes = change.bytes.clone();
        let bytes = if before == now || bytes.end <= head {
            bytes
        } else if bytes.start >= before.len() - tail {
            shift(bytes.start)..shift(bytes.end)
        } else {
            return None;
        };
        Some(Change { bytes, new: change.new.clone() })
    };
    changes.iter().map(place).collect()
}

/// Changes for the editor, without the lines at their ends that stay: its cursor and marks stay with them.
fn text_edits(changes: &[Change], text: &Text, encoding: Encoding) -> Vec<TextEdit> {
    let edit = |change: &Change| {
        let old = &text.as_str()[change.bytes.clone()];
        let same = |pairs: &mut dyn Iterator<Item = (&str, &str)>| {
            pairs.take_while(|(a, b)| a == b).map(|(a, _)| a.len()).sum::<usize>()
        };
        let lines = |text| str::split_inclusive(text, '\n');
        let head = same(&mut lines(old).zip(lines(&change.new)));
        let (old_rest, new_rest) = (&old[head..], &change.new[head..]);
        let tail = same(&mut lines(old_rest).rev().zip(lines(new_rest).rev()));
        let bytes = change.bytes.start + head..change.bytes.end - tail;
        TextEdit {
            range: text.range(&bytes, encoding),
            new_text: new_rest[..new_rest.len() - tail].to_owned(),
        }
    };
    changes.iter().map(edit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(bytes: std::ops::Range<usize>, new: &str) -> Change {
        Change { bytes, new: new.to_owned() }
    }

    #[test]
    fn an_edit_follows_its_place_and_gives_way_where_somebody_typed() {
        let before = "a\nb\nc\nd\n";
        let edit = [change(2..4, "B\n")];
        let is = |now: &str| moved(&edit, before, now).map(|it| it[0].bytes.clone());
        assert_eq!(is(before), Some(2..4));
        assert_eq!(is("a\nb\nc\nd!\n"), Some(2..4), "typed below");
        assert_eq!(is("aé\nb\nc\nd\n"), Some(4..6), "typed above");
        assert_eq!(is("\nb\nc\nd\n"), Some(1..3), "deleted above");
        assert_eq!(is("a\nbb\nc\nd\n"), None);
        assert_eq!(is("a!\nb\nc!\nd\n"), None, "on both sides: it cannot be told");
        assert_eq!(is(""), None);
    }

    #[test]
    fn only_lines_that_change_are_sent() {
        let text = Text::new("a\nb\nc\n".to_owned());
        let edits = |new| text_edits(&[change(0..6, new)], &text, Encoding::Utf16);
        let told = |new| {
            let edit = edits(new).remove(0);
            (edit.range.start.line, edit.range.end.line, edit.new_text)
        };
        assert_eq!(told("a\nx\nc\n"), (1, 2, "x\n".to_owned()));
        assert_eq!(told("a\nb\nb\nc\n"), (2, 2, "b\n".to_owned()));
        assert_eq!(told("c\n"), (0, 2, String::new()));
    }
}

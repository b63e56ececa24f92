//! Choosing: an edit as a whole, or hunk by hunk.

use crate::output::diff::DiffView;
use crate::output::{self, CYAN, DIM, NoTerminal, Output};
use cerium_harness::edit::{Hunk, Proposal};
use std::collections::VecDeque;

/// Asks what of the proposals is wanted: all, nothing, or some of their hunks.
pub(super) fn choose(
    output: Output,
    proposals: Vec<Proposal>,
) -> Result<Vec<Option<Proposal>>, NoTerminal> {
    let question = match proposals.len() {
        1 => "apply?".to_owned(),
        n => format!("apply to {n} files?"),
    };
    let n_parts: usize = proposals.iter().flat_map(Proposal::hunks).map(|h| h.n_parts()).sum();
    // With one change there is nothing to choose from.
    let letters = if n_parts > 1 { "yns" } else { "yn" };
    let answer = output::letter(&question, letters)?;
    if answer == 's' {
        return Some(proposals).into_iter().flatten().map(|p| some(output, &p)).collect();
    }
    let all = answer == 'y';
    Ok(proposals.into_iter().map(|proposal| all.then_some(proposal)).collect())
}

/// Goes through the hunks of one file.
fn some(output: Output, proposal: &Proposal) -> Result<Option<Proposal>, NoTerminal> {
    let mut rest = VecDeque::from(proposal.hunks());
    let mut taken = Vec::new();
    while let Some(hunk) = rest.pop_front() {
        show(output, &proposal.file.path, &hunk);
        let letters = if hunk.can_split() { "ynsad?" } else { "ynad?" };
        match output::letter("take this hunk?", letters)? {
            'y' => taken.push(hunk),
            's' => proposal.split(&hunk).into_iter().rev().for_each(|part| rest.push_front(part)),
            'a' => {
                taken.push(hunk);
                taken.extend(rest.drain(..));
            }
            'd' => rest.clear(),
            '?' => {
                let help = "y: take it, n: leave it, s: split it, \
                            a: take it and the rest of this file, d: leave it and the rest";
                output.note(format!("{DIM}{help}{DIM:#}"));
                rest.push_front(hunk);
            }
            _ => {}
        }
    }
    Ok(proposal.take(&taken))
}

fn show(output: Output, path: &str, hunk: &Hunk) {
    let path = output::printable(path);
    output.note(format!("{CYAN}{path}:{}{CYAN:#}", hunk.line_before));
    let mut view = DiffView::default();
    let lines: String = hunk.lines.iter().map(|line| view.line(line)).collect();
    output.say(&lines);
}

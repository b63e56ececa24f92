//! `cerium complete`: the text that belongs at a point.

use super::{Context, Exit, Tree};
use crate::cli::Complete;
use crate::interrupt;
use crate::output::progress::Spinner;
use crate::output::{self, printable};
use crate::stats::Stats;
use anyhow::Result;
use cerium_harness::complete::{CompleteOptions, complete_file};
use cerium_protocol::Status;
use serde::Serialize;
use std::path::Path;

/// The `--json` object.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    stats: Stats,
    file: &'a Path,
    line: usize,
    column: usize,
    text: &'a str,
    status: Status,
}

pub(crate) fn run(context: &Context, args: &Complete) -> Result<Exit> {
    let tree = Tree::here()?;
    let backend = context.backend(&tree)?;
    let _deferred = interrupt::defer();
    let spinner = Spinner::start(context.output, "completing".into());
    let place = &args.place;
    let options = CompleteOptions::default();
    let completion =
        complete_file(&backend, &tree.workspace, &place.file, place.point, &options, &mut |_| {
            interrupt::going_on()
        })?;
    drop(spinner);
    if interrupt::requested() {
        return Ok(Exit::Interrupted);
    }
    if context.output.json {
        output::object(&Report {
            stats: Stats::of(&completion.response),
            file: &place.file,
            line: place.point.line,
            column: place.point.column,
            text: &completion.text,
            status: completion.response.status,
        })?;
    } else if output::is_shown() {
        output::data(&format!("{}\n", printable(&completion.text)))?;
    } else {
        // Exactly what belongs there: a program will insert it.
        output::data(&completion.text)?;
    }
    Ok(Exit::Done)
}

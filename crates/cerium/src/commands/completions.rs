//! `cerium completions`: the script that teaches a shell our commands.

use super::Exit;
use crate::cli::{Cli, Completions};
use crate::output;
use anyhow::Result;
use clap::CommandFactory;

pub(crate) fn run(args: &Completions) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "cerium", &mut script);
    output::data(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

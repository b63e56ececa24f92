//! `cerium man`: the manual pages, one per command, from the same table as the help.

use super::Exit;
use crate::cli::{Cli, Man};
use anyhow::{Context as _, Result};
use clap::{Command, CommandFactory};
use clap_mangen::roff::{Roff, roman};
use std::fs;
use std::io;

pub(crate) fn run(args: &Man) -> Result<Exit> {
    let mut cli = Cli::command();
    cli.build();
    let writing = || format!("writing manual pages into `{}`", args.dir.display());
    fs::create_dir_all(&args.dir).with_context(writing)?;
    for (name, page) in pages(&cli).with_context(writing)? {
        fs::write(args.dir.join(name), page).with_context(writing)?;
    }
    Ok(Exit::Done)
}

/// File names and pages of a command and of all below it that people type.
fn pages(command: &Command) -> io::Result<Vec<(String, Vec<u8>)>> {
    // A date would differ from build to build; without a blank in its place the version would take it.
    let man = clap_mangen::Man::new(command.clone())
        .date(" ")
        .source(concat!("cerium ", env!("CARGO_PKG_VERSION")))
        .manual("cerium");
    let mut pages = vec![(man.get_filename(), page(&man, command)?)];
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        pages.extend(self::pages(below)?);
    }
    Ok(pages)
}

fn page(man: &clap_mangen::Man, command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.get_subcommands().any(|below| !below.is_hide_set()) {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(text) = command.get_after_help() {
        notes(&text.to_string()).to_writer(&mut page)?;
    }
    Ok(page)
}

/// What stands below the flags in a help text: examples line by line as they are, prose to be filled.
fn notes(text: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["NOTES"]);
    let mut is_filled = true;
    for line in text.lines() {
        let fills = !line.starts_with(' ');
        if fills != is_filled {
            roff.control(if fills { "fi" } else { "nf" }, []);
            is_filled = fills;
        }
        if line.is_empty() {
            roff.control("PP", []);
        } else {
            roff.text([roman(line)]);
        }
    }
    if !is_filled {
        roff.control("fi", []);
    }
    roff
}

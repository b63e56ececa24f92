//! `cerium lsp`: an editor at standard input and output.

use super::{Context, Exit};
use crate::backend::Counted;
use crate::config::{self, Settings};
use crate::lsp;
use anyhow::{Context as _, Result};
use std::io;
use std::path::Path;

impl lsp::Connect for Context {
    fn settings(&self, root: &Path) -> Result<Settings> {
        config::load(Some(root), &self.flags)
    }

    fn connect(&self, settings: &Settings) -> Result<Counted> {
        self.connect(settings)
    }
}

pub(crate) fn run(context: Context) -> Result<Exit> {
    let polite = lsp::serve(Box::new(context), io::stdin(), io::stdout())
        .context("reading what the editor says")?;
    Ok(if polite { Exit::Done } else { Exit::Declined })
}

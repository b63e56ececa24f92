//! `[upstream.NAME]`: engines elsewhere, as written.

use super::span::Span;
use crate::failure::advice;
use anyhow::{Context as _, Result};
use cerium_server::{Dialect, Secret, UpstreamOptions};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::env;
use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

/// Longer than any key.
const KEY_BYTES_MAX: u64 = 16 << 10;

/// One engine.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpstreamTable {
    /// Where its paths begin.
    url: String,
    /// The models that it serves.
    models: Models,
    /// What it speaks; chat completions unless it says otherwise.
    #[serde(default)]
    dialect: Spoken,
    /// The variable of the environment, or the file, that holds its key.
    key_env: Option<String>,
    key_file: Option<PathBuf>,
    /// The lowest is asked first.
    order: Option<u32>,
    /// Requests at once.
    concurrency: Option<usize>,
    /// How long connecting, the first word and any later one may take.
    connect: Option<Span>,
    first: Option<Span>,
    silence: Option<Span>,
}

/// Models by its names for them, or by ours.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    expecting = "a list of names, or a table of your names and those of the upstream"
)]
enum Models {
    Theirs(Vec<String>),
    Ours(BTreeMap<String, String>),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Spoken {
    #[default]
    Chat,
    Responses,
    Cerium,
}

impl UpstreamTable {
    /// What is asked for under the table's name.
    ///
    /// # Errors
    /// For a key that cannot be had, and for an engine without models or without room for a request.
    pub(crate) fn options(&self, name: &str) -> Result<UpstreamOptions> {
        let dialect = match self.dialect {
            Spoken::Chat => Dialect::Chat,
            Spoken::Responses => Dialect::Responses,
            Spoken::Cerium => Dialect::Cerium,
        };
        let mut options = UpstreamOptions::new(name, &self.url, &[], dialect);
        options.models = match &self.models {
            Models::Theirs(names) => names.iter().map(|it| (it.clone(), it.clone())).collect(),
            Models::Ours(names) => names.clone(),
        };
        if options.models.is_empty() {
            let what = format!("`upstream.{name}.models` is empty");
            return Err(advice(what, "name the models that it serves: models = [\"NAME\"]"));
        }
        options.key = self.key(name)?;
        options.order = self.order.unwrap_or(options.order);
        options.concurrency = self.concurrency.unwrap_or(options.concurrency);
        if !(1..=4096).contains(&options.concurrency) {
            let what = format!("`upstream.{name}.concurrency` is {}", options.concurrency);
            return Err(advice(what, "1 to 4096 requests at once"));
        }
        let span = |span: Option<Span>, usual| span.map_or(usual, |Span(time)| time);
        options.connect_max = span(self.connect, options.connect_max);
        options.first_max = span(self.first, options.first_max);
        options.silence_max = span(self.silence, options.silence_max);
        Ok(options)
    }

    fn key(&self, name: &str) -> Result<Option<Secret>> {
        let (text, place) = match (&self.key_env, &self.key_file) {
            (Some(_), Some(_)) => {
                let what = format!("`upstream.{name}` has both `key_env` and `key_file`");
                return Err(advice(what, "one of them says where its key is"));
            }
            (Some(variable), None) => {
                (env::var(variable).unwrap_or_default(), format!("the variable {variable}"))
            }
            (None, Some(file)) => {
                let mut text = String::new();
                let read = File::open(file)
                    .and_then(|opened| opened.take(KEY_BYTES_MAX).read_to_string(&mut text));
                read.with_context(|| format!("reading the key of upstream `{name}`"))?;
                (text, format!("`{}`", file.display()))
            }
            (None, None) => return Ok(None),
        };
        let missing = || {
            advice(
                format!("there is no key for upstream `{name}`"),
                format!("{place} should hold it"),
            )
        };
        Secret::new(&text).map(Some).ok_or_else(missing)
    }
}

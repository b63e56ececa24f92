//! Which engines there are, and how they are spoken to.

use reqwest::Url;
use reqwest::header::HeaderValue;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// An engine elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamOptions {
    /// What the person calls it.
    pub name: String,
    /// Where its paths begin: `https://host/v1`.
    pub url: String,
    /// What it asks for as a bearer's key.
    pub key: Option<Secret>,
    /// Models by the names under which they are asked for here, with those that the engine has for them.
    pub models: BTreeMap<String, String>,
    /// What it speaks.
    pub dialect: Dialect,
    /// Place among the engines that serve the same model: the lowest is asked first.
    pub order: u32,
    /// Requests that it gets at once; others wait.
    pub concurrency: usize,
    /// How long connecting may take.
    pub connect_max: Duration,
    /// How long its first word may take.
    pub first_max: Duration,
    /// How long it may be silent afterwards.
    pub silence_max: Duration,
}

impl UpstreamOptions {
    /// An engine that serves models by its own names for them, with the usual bounds.
    pub fn new(name: &str, url: &str, models: &[&str], dialect: Dialect) -> Self {
        Self {
            name: name.to_owned(),
            url: url.to_owned(),
            key: None,
            models: models.iter().map(|&it| (it.to_owned(), it.to_owned())).collect(),
            dialect,
            order: 0,
            concurrency: 16,
            connect_max: Duration::from_secs(5),
            first_max: Duration::from_mins(2),
            silence_max: Duration::from_mins(1),
        }
    }

    /// Checks the address.
    pub(crate) fn base(&self) -> Result<Url, UpstreamError> {
        let refuse = |why| UpstreamError::Url { name: self.name.clone(), why };
        let url = Url::parse(&self.url).map_err(|error| refuse(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(refuse("it begins with http:// or https:// and a host".to_owned()));
        }
        // It would stand in messages.
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("keys have no place in it".to_owned()));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("it ends with a path".to_owned()));
        }
        Ok(url)
    }
}

/// What an engine speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The Responses API.
    Responses,
    /// Chat completions, as most engines do.
    Chat,
    /// The Responses API with what cerium adds to it.
    Cerium,
}

/// What must not be seen.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// White space around it, as files end with it, is not part of it. `None` for what no header can hold.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let is_key = !text.is_empty() && HeaderValue::from_str(text).is_ok();
        is_key.then(|| Self(text.to_owned()))
    }

    pub(crate) fn header(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", self.0)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// A text without it.
    pub(crate) fn conceal(&self, text: &str) -> String {
        text.replace(&self.0, "...")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Why engines cannot be used as configured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamError {
    /// An address is none.
    #[error("the address of upstream `{name}` cannot be used: {why}")]
    Url {
        /// Whose.
        name: String,
        /// Why not.
        why: String,
    },
    /// The system lacks what connections need.
    #[error("no connections can be made: {0}")]
    Client(String),
}

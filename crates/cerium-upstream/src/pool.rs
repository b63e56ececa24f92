//! All engines elsewhere: which of them serve a model, in what order, and how they are.

use crate::answer::{Answer, Route};
use crate::asking::Ask;
use crate::options::{Dialect, UpstreamError, UpstreamOptions};
use crate::upstream::Upstream;
use cerium_protocol::{CompletionRequest, CreateResponse};
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// How often an engine is looked at of which nothing else was heard.
const CHECK: Duration = Duration::from_secs(10);

/// The engines that a person has configured. A cheap handle.
#[derive(Clone, Debug, Default)]
pub struct Upstreams(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    all: Vec<Arc<Upstream>>,
    routes: BTreeMap<String, Route>,
}

/// How an engine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// What the person calls it.
    pub name: String,
    /// Whether it is asked.
    pub up: bool,
    /// Requests that it was sent, those that were sent again included.
    pub requests: u64,
    /// Of these, and of checks, those that failed.
    pub failures: u64,
    /// Requests in progress.
    pub running: usize,
}

impl Upstreams {
    /// # Errors
    /// For an address that is none, and a system that can make no connections.
    pub fn new(options: Vec<UpstreamOptions>) -> Result<Self, UpstreamError> {
        let all = options.into_iter().map(|it| Upstream::new(it).map(Arc::new));
        Ok(Self::of(all.collect::<Result<_, _>>()?))
    }

    /// These engines after others: those that were among them with the same options go on as they are, with their
    /// connections, counts and failures. What was asked of the others goes on there.
    #[must_use]
    pub fn after(&self, last: &Self) -> Self {
        let same = |it: &Arc<Upstream>| last.0.all.iter().find(|was| was.options == it.options);
        Self::of(self.0.all.iter().map(|it| Arc::clone(same(it).unwrap_or(it))).collect())
    }

    fn of(mut all: Vec<Arc<Upstream>>) -> Self {
        all.sort_by(|a, b| {
            (a.options.order, &a.options.name).cmp(&(b.options.order, &b.options.name))
        });
        let mut routes = BTreeMap::<String, Route>::new();
        for upstream in &all {
            for (model, theirs) in &upstream.options.models {
                let route = routes.entry(model.clone()).or_default();
                route.push((Arc::clone(upstream), theirs.clone()));
            }
        }
        Self(Arc::new(Inner { all, routes }))
    }

    /// Whether one of them serves a model.
    pub fn serve(&self, model: &str) -> bool {
        self.0.routes.contains_key(model)
    }

    /// The models that they serve, by the names under which they are asked for here.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        self.0.routes.keys().map(String::as_str)
    }

    /// The model of a name; of an engine's name, its first; without a name, the first of the engine that is asked
    /// first.
    pub fn find(&self, name: &str) -> Option<&str> {
        if let Some((model, _)) = self.0.routes.get_key_value(name) {
            return Some(model);
        }
        let is_meant = |it: &&Arc<Upstream>| name.is_empty() || it.options.name == name;
        let upstream = self.0.all.iter().find(is_meant)?;
        upstream.options.models.keys().next().map(String::as_str)
    }

    /// Whether all engines that serve a model heed what cerium adds to the protocol.
    pub fn heeds_extensions(&self, model: &str) -> bool {
        let is_ours = |(it, _): &(Arc<Upstream>, String)| it.options.dialect == Dialect::Cerium;
        self.0.routes.get(model).is_some_and(|route| route.iter().all(is_ours))
    }

    /// The name of the engine that is asked first for a model.
    pub fn first(&self, model: &str) -> Option<&str> {
        let (upstream, _) = self.0.routes.get(model)?.first()?;
        Some(&upstream.options.name)
    }

    /// The longest sequence of a model in tokens, prompt and answer together, with all engines that said so.
    pub fn context(&self, model: &str) -> Option<usize> {
        let route = self.0.routes.get(model)?;
        route.iter().filter_map(|(upstream, theirs)| upstream.context(theirs)).min()
    }

    /// Asks for an answer to a conversation. Must be called within a runtime. A model that none serves gets an
    /// answer that says so.
    pub fn respond(&self, request: CreateResponse) -> Answer {
        self.ask(Ask::Respond(Box::new(request)))
    }

    /// Asks to go on with a text, likewise.
    pub fn complete(&self, request: CompletionRequest) -> Answer {
        self.ask(Ask::Complete(Box::new(request)))
    }

    fn ask(&self, ask: Ask) -> Answer {
        let route = self.0.routes.get(ask.model()).cloned().unwrap_or_default();
        Answer::ask(route, ask)
    }

    /// Looks at all engines once.
    pub async fn look(&self) {
        join_all(self.0.all.iter().map(|upstream| upstream.check())).await;
    }

    /// Looks at engines of which nothing was heard for a while, for ever.
    pub async fn keep(self) {
        loop {
            let is_silent = |upstream: &&Arc<Upstream>| {
                upstream.last_heard().is_none_or(|heard| heard.elapsed() >= CHECK)
            };
            let silent = self.0.all.iter().filter(is_silent);
            join_all(silent.map(|upstream| upstream.check())).await;
            tokio::time::sleep(CHECK).await;
        }
    }

    /// How each of them is, in the order in which they are asked.
    pub fn health(&self) -> Vec<Health> {
        let health = |upstream: &Arc<Upstream>| {
            let options = &upstream.options;
            Health {
                name: options.name.clone(),
                up: upstream.closed_for().is_none(),
                requests: upstream.counts.requests.load(Relaxed),
                failures: upstream.counts.failures.load(Relaxed),
                running: options.concurrency.saturating_sub(upstream.permits.available_permits()),
            }
        };
        self.0.all.iter().map(health).collect()
    }
}

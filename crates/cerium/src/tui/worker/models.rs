//! Which model answers, and getting it here.

use super::Session;
use crate::backend::Counted;
use crate::config;
use crate::interrupt;
use crate::output::bytes;
use crate::tui::message::Told;
use anyhow::Result;
use cerium_harness::Backend as _;
use cerium_hub::{Entry, Home, Located, Progress, PullEvent, Sources, catalogue, default_entry};
use std::ops::ControlFlow;
use std::sync::Arc;

/// The model is not on this machine; the person was told so.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not here yet")]
pub(super) struct NotHere(&'static str);

impl Session {
    /// Opens the way to the model before anything is asked of it.
    pub(super) fn open(&mut self) -> Result<()> {
        self.refresh_plan()?;
        self.backend().map(drop)
    }

    /// The way to the model.
    ///
    /// # Errors
    /// [`NotHere`], once the person was told that; what is wrong with the model or the machine.
    pub(super) fn backend(&mut self) -> Result<Arc<Counted>> {
        if let Some(backend) = &self.backend {
            return Ok(Arc::clone(backend));
        }
        if let Located::Absent(entry) = cerium_hub::resolve(&Home::from_env()?, &self.model()?)? {
            self.tell(Told::Absent(entry));
            return Err(NotHere(entry.name).into());
        }
        let backend = Arc::new(self.context.backend(&self.tree)?);
        self.tell(Told::Model(backend.model().name));
        self.backend = Some(Arc::clone(&backend));
        Ok(backend)
    }

    /// The model that is set, by name or path.
    fn model(&self) -> Result<String> {
        let settings = config::load(Some(self.tree.workspace.root()), &self.context.flags)?;
        Ok(settings.model.unwrap_or_else(|| default_entry().name.to_owned()))
    }

    pub(super) fn list_models(&self) -> Result<()> {
        let installed = cerium_hub::installed(&Home::from_env()?);
        let row = |entry: &Entry| {
            let here = installed.iter().any(|model| model.entry.name == entry.name);
            let state = if here { "installed" } else { "not here" };
            (entry.name.to_owned(), format!("{}, {state}: {}", bytes(entry.bytes), entry.about))
        };
        self.tell(Told::Table(catalogue().iter().map(row).collect()));
        Ok(())
    }

    pub(super) fn choose_model(&mut self, name: String) -> Result<()> {
        let before = self.context.flags.model.replace(name);
        let kept = self.backend.take();
        let chosen = self.backend();
        match &chosen {
            // Another model has other ids: what was said is told to it anew.
            Ok(backend) => self.note(format!("{} answers from now on", backend.model().name)),
            Err(error) if error.is::<NotHere>() => {}
            Err(_) => (self.context.flags.model, self.backend) = (before, kept),
        }
        chosen.map(drop)
    }

    pub(super) fn pull(&mut self) -> Result<()> {
        let home = Home::from_env()?;
        if let Located::Absent(entry) = cerium_hub::resolve(&home, &self.model()?)? {
            cerium_hub::pull(&home, entry, &Sources::from_env(), &mut Shown(self))?;
            self.note(format!("{} is here", entry.name));
        }
        self.tell(Told::Doing("loading".to_owned()));
        self.backend().map(drop)
    }
}

/// Shows how far a download is.
struct Shown<'a>(&'a Session);

impl Progress for Shown<'_> {
    fn event(&mut self, event: PullEvent<'_>) -> ControlFlow<()> {
        match event {
            PullEvent::Waiting => {
                self.0.tell(Told::Doing("waiting for another process to fetch it".to_owned()));
            }
            PullEvent::Failed { source, why } => self.0.note(format!("{source} failed: {why}")),
            PullEvent::Bytes { done, total } => {
                self.0.tell(Told::Fetched { what: "fetching", done, total });
            }
            PullEvent::Checking { done, total } => {
                self.0.tell(Told::Fetched { what: "checking", done, total });
            }
            PullEvent::Trying { .. } | PullEvent::Idle => {}
        }
        interrupt::going_on()
    }
}

//! What changes while a server runs: limits of tiers, sites whose pages are let in, the certificate, engines
//! elsewhere. They are read anew at SIGHUP; when anything in them is wrong, all of them stay as they were.

use crate::door::Door;
use crate::guests::Guests;
use crate::options::Reload;
use crate::router::App;
use crate::tls::Certificate;
use std::io;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};

/// What is changed.
pub(crate) struct Changing {
    pub(crate) app: Arc<App>,
    pub(crate) door: Arc<Door>,
    pub(crate) guests: Option<Arc<Guests>>,
    /// Absent at a Unix socket.
    pub(crate) certificate: Option<Arc<Certificate>>,
}

impl Changing {
    /// Changes it whenever the signal comes.
    pub(crate) async fn keep(self, reload: Reload) -> io::Result<()> {
        let this = Arc::new(self);
        let mut hangups = signal(SignalKind::hangup())?;
        while hangups.recv().await.is_some() {
            let (this, reload) = (Arc::clone(&this), reload.clone());
            match tokio::task::spawn_blocking(move || this.change(&reload)).await {
                Ok(Ok(())) => tracing::info!("settings were read anew"),
                Ok(Err(error)) => tracing::error!(%error, "settings stay as they were"),
                Err(panic) => tracing::error!(%panic, "settings stay as they were"),
            }
        }
        Ok(())
    }

    fn change(&self, reload: &Reload) -> io::Result<()> {
        let options = reload.read()?;
        if let Some(certificate) = &self.certificate {
            certificate.renew(options.tls.as_ref())?;
        }
        self.door.let_in(options.cors);
        self.app.change_upstreams(&options.upstreams.unwrap_or_default());
        if let (Some(guests), Some(keys)) = (&self.guests, options.keys) {
            guests.change_tiers(keys.tiers);
        }
        Ok(())
    }
}

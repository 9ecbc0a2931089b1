//! The one who keeps the certificate of `--acme` fresh, and what it needs from before root was left.

use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::acme::{Folder, Keeper, Prepared, respond};
use crate::config::{AcmeSettings, Settings, TlsMode};
use crate::domain::Clock;
use crate::listener::tls::TlsMaterial;
use crate::startup::listeners;

/// What `--acme` needs while still root: its port, and files that only root may read.
pub(super) fn prepare(settings: &Settings) -> anyhow::Result<Option<Prepared>> {
    let TlsMode::Acme(acme) = &settings.tls else { return Ok(None) };
    let listener = acme.http_listen.map(listeners::for_acme).transpose()?;
    Ok(Some(Prepared::read(acme, listener)?))
}

/// Ready to run beside the gateway.
pub(super) struct Renewal {
    settings: AcmeSettings,
    folder: Folder,
    prepared: Prepared,
}

impl Renewal {
    /// `None` where no ACME server is asked.
    pub(super) fn new(settings: &Settings, prepared: Option<Prepared>) -> Option<Self> {
        let (TlsMode::Acme(acme), Some(prepared)) = (&settings.tls, prepared) else { return None };
        Some(Self {
            settings: (**acme).clone(),
            folder: Folder::new(&settings.state, &acme.directory),
            prepared,
        })
    }

    /// Starts on this thread's event loop; ends when the tasks are aborted.
    pub(super) fn start(
        mut self,
        tls: &Arc<TlsMaterial>,
        clock: Clock,
    ) -> anyhow::Result<Vec<JoinHandle<()>>> {
        let challenges = tls.challenges().context("--acme: nothing answers its challenges")?;
        let mut tasks = Vec::new();
        if let Some(listener) = self.prepared.listener.take() {
            listener.set_nonblocking(true)?;
            let listener =
                TcpListener::from_std(listener).context("--acme-http-listen: cannot listen there")?;
            let address = listener.local_addr()?;
            tracing::info!(%address, "answering HTTP-01 challenges");
            tasks.push(tokio::task::spawn_local(respond(listener, Arc::clone(&challenges))));
        }
        let tls = Arc::clone(tls);
        let install = Box::new(move || tls.reload().map(drop).map_err(|error| error.to_string()));
        let keeper = Keeper::new(self.settings, self.folder, self.prepared, challenges, clock, install);
        tasks.push(tokio::task::spawn_local(keeper.run()));
        Ok(tasks)
    }
}

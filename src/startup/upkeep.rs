//! What runs beside the requests: expiry, reload on SIGHUP, and an orderly end.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::gateway::Gateway;

/// Upkeep: expiry is noticed, and streams are cut, at most this late.
const TICK: Duration = Duration::from_secs(1);
/// What expired is removed from the store this often.
const PURGE: Duration = Duration::from_secs(600);

/// Ends what is over, frees what was abandoned, and writes down last uses.
pub(super) async fn upkeep(gateway: Arc<Gateway>, limits: crate::config::SessionLimits) {
    let mut ticks = tokio::time::interval(TICK);
    let mut until_purge = Duration::ZERO;
    loop {
        ticks.tick().await;
        gateway.doors.conversations.sweep();
        gateway.pages.devices.sweep();
        gateway.doors.basic.sweep(gateway.doors.clock.now());
        heed_user_file(&gateway);
        if let Some(accounts) = &gateway.doors.accounts {
            accounts.check_ahead();
        }
        flush(&gateway).await;
        if until_purge.is_zero() {
            let now = gateway.doors.clock.now();
            let idle = i64::try_from(limits.idle.as_secs()).unwrap_or(i64::MAX);
            if let Err(error) = gateway.doors.store.purge(now, now.saturating_sub(idle)).await {
                tracing::error!(%error, "cannot remove what expired");
            }
            until_purge = PURGE;
        }
        until_purge = until_purge.saturating_sub(TICK);
    }
}

/// Ends what people have open who are no longer in the user file, and gives the others their groups of now. One look at
/// the file, however many they are.
fn heed_user_file(gateway: &Gateway) {
    let Some(file) = gateway.doors.conversations.authenticator().user_file() else { return };
    let registry = &gateway.doors.registry;
    for user in registry.revoke_lost(|user| !file.is_active(user)) {
        tracing::info!(%user, "no longer in the user file: what they had open has ended");
    }
    for user in registry.users() {
        if file.valid_from(&user).is_some_and(|from| registry.revoke_until(&user, from)) {
            tracing::info!(%user, "logged out in the user file: what they had open has ended");
        }
    }
    for user in registry.refresh_groups(|user| file.groups(user).map(Arc::from)) {
        tracing::info!(%user, "other groups in the user file: what they have open has them too");
    }
}

/// How long after a revocation the next request may still pass, at most.
const TRUST_LOOK: Duration = Duration::from_millis(200);

/// Ends what was got by certificates that do not count any more: revoked, of a CA that was taken out, mapped to somebody
/// else, or without a revocation list that is in time.
pub(super) async fn heed_certificates(gateway: Arc<Gateway>) {
    if gateway.doors.certificates.is_none() {
        return;
    }
    let mut ticks = tokio::time::interval(TRUST_LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let gateway = Arc::clone(&gateway);
        // A large revocation list takes its time to be read, and no request shall wait for it.
        let looked = tokio::task::spawn_blocking(move || {
            let doors = &gateway.doors;
            let ended = doors.certificates.as_ref()?.heed_changes(&doors.registry, doors.clock.now())?;
            if ended > 0 {
                tracing::warn!(target: "doorward::trust", ended, "certificates do not count any more: what was open under them has ended");
            }
            // The names of the CAs that are told to browsers.
            gateway.tls.as_ref()?.refresh_clients().err()
        });
        if let Ok(Some(error)) = looked.await {
            tracing::error!(%error, "clients are told the names of CAs as they were");
        }
    }
}

pub(super) async fn flush(gateway: &Gateway) {
    gateway.doors.throttle.keep(&*gateway.doors.store).await;
    let uses = gateway.doors.registry.sweep(gateway.doors.clock.now());
    if uses.is_empty() {
        return;
    }
    if let Err(error) = gateway.doors.store.touch(uses).await {
        tracing::error!(%error, "cannot note last uses");
    }
}

/// SIGHUP reloads; SIGTERM and SIGINT end: no new connections at once, streams at three quarters of the grace, the rest
/// shortly after, so that the end always comes before whoever asked for it loses patience.
pub(super) async fn end_on_signal(
    gateway: Arc<Gateway>,
    mut signals: Signals,
    server: actix_server::ServerHandle,
    drain: Duration,
    grace: Duration,
) {
    signals.wait_for_end(&gateway).await;
    if drain.is_zero() {
        // In this order: an answer between the two would ask its client to close before it was told of the end.
        gateway.stop.gentle.fall();
    }
    gateway.stop.drain.fall();
    if !drain.is_zero() {
        tracing::info!(open = gateway.stop.inside(), seconds = drain.as_secs(), "draining");
        // Who asks twice does not want to wait.
        let _ = tokio::time::timeout(drain, signals.wait_for_end(&gateway)).await;
    }
    tracing::info!(open = gateway.stop.inside(), "ending");
    gateway.stop.gentle.fall();
    let firm = {
        let gateway = Arc::clone(&gateway);
        async move {
            tokio::time::sleep(grace.mul_f32(0.75)).await;
            gateway.doors.registry.cut_all();
            if let Some(everybody) = &gateway.doors.everybody {
                everybody.cut().fall();
            }
            tokio::time::sleep(grace.mul_f32(0.1)).await;
            gateway.stop.firm.fall();
        }
    };
    tokio::task::spawn_local(firm);
    server.stop(true).await;
}

/// What the gateway listens for.
pub(super) struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
}

impl Signals {
    pub(super) fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            term: listen(SignalKind::terminate())?,
            int: listen(SignalKind::interrupt())?,
            hup: listen(SignalKind::hangup())?,
        })
    }

    async fn wait_for_end(&mut self, gateway: &Gateway) {
        loop {
            tokio::select! {
                _ = self.term.recv() => return,
                _ = self.int.recv() => return,
                _ = self.hup.recv() => reload(gateway),
            }
        }
    }
}

fn reload(gateway: &Gateway) {
    gateway.log.reopen();
    let Some(tls) = &gateway.tls else { return };
    match tls.reload() {
        Ok(outcome) => tracing::info!(?outcome, fingerprint = tls.fingerprint(), "certificate read again"),
        Err(error) => tracing::error!(%error, "the new certificate is no good; the old one stays in use"),
    }
}

//! The session cookie that the login page set.

use std::net::IpAddr;

use crate::domain::Door;
use crate::identity::certificate::bind;
use crate::identity::chain::{Outcome, Reason, Shared};
use crate::identity::credential::{Credential, Identity};
use crate::identity::look_up::{Found, look_up};
use crate::session::{self, CookieOutcome};
use crate::store::KeyHash;

/// Opens the cookie and looks its session up, first in this process, then in the store.
pub(super) async fn check(headers: &http::HeaderMap, address: IpAddr, shared: &Shared) -> Outcome {
    let Shared { store, registry, clock, certificates, idle_seconds, .. } = shared;
    let text = match session::read(headers, &shared.cookie_key) {
        CookieOutcome::Absent => return Outcome::NotRequested,
        CookieOutcome::Invalid => return Outcome::Failed(Reason::Malformed),
        CookieOutcome::Key(text) => text,
    };
    let hash = session::hash(text.expose());
    let fetch = || async move {
        let Some(record) = store.session(hash).await? else { return Ok(Found::Nothing) };
        let Ok(certificate) = session::certificate_of(&record) else { return Ok(Found::Over) };
        let credential = Credential::from_session(record, *idle_seconds);
        Ok(credential.map_or(Found::Nothing, |credential| {
            bind(certificates.as_ref(), credential, certificate, clock.now())
        }))
    };
    match look_up(Door::Session, hash, registry, clock, fetch).await {
        Outcome::Authenticated(identity)
            if shared.session_bind_network && !identity.credential().is_at_home_in(address) =>
        {
            end(&identity, hash, address, shared).await
        }
        outcome => outcome,
    }
}

/// Whoever shows a session in another network may have stolen it. It ends for both: first in the store, then in this
/// process (the registry's rule).
async fn end(identity: &Identity, key: KeyHash, address: IpAddr, shared: &Shared) -> Outcome {
    let (user, session) = (identity.user().as_str(), identity.credential_id());
    tracing::warn!(
        target: "doorward::login", %address, user, session,
        "a session ends: it showed up in another network than it began in"
    );
    let deleted = shared.store.delete_session(key).await;
    shared.registry.revoke(Door::Session, key);
    match deleted {
        Ok(_) => Outcome::Failed(Reason::Elsewhere),
        Err(error) => {
            tracing::error!(%error, "cannot end a session");
            Outcome::Unavailable
        }
    }
}

//! The session cookie that the login page set.

use crate::domain::Door;
use crate::identity::certificate::bind;
use crate::identity::chain::{Outcome, Reason, Shared};
use crate::identity::credential::Credential;
use crate::identity::look_up::{Found, look_up};
use crate::session::{self, CookieOutcome};

/// Opens the cookie and looks its session up, first in this process, then in the store.
pub(super) async fn check(headers: &http::HeaderMap, shared: &Shared) -> Outcome {
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
    look_up(Door::Session, hash, registry, clock, fetch).await
}

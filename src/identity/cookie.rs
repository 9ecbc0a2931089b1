//! The session cookie that the login page set.

use crate::domain::{Clock, Door};
use crate::identity::chain::{Outcome, Reason};
use crate::identity::credential::{Credential, Identity};
use crate::identity::registry::Registry;
use crate::session::{self, CookieKey, CookieOutcome};
use crate::store::Store;

/// Opens the cookie and looks its session up, first in this process, then in the store.
pub(super) async fn check(
    headers: &http::HeaderMap,
    key: &CookieKey,
    store: &dyn Store,
    registry: &Registry,
    idle_seconds: i64,
    clock: &Clock,
) -> Outcome {
    let text = match session::read(headers, key) {
        CookieOutcome::Absent => return Outcome::NotRequested,
        CookieOutcome::Invalid => return Outcome::Failed(Reason::Malformed),
        CookieOutcome::Key(text) => text,
    };
    let hash = session::hash(text.expose());
    for _ in 0..3 {
        let generation = registry.generation();
        if let Some(credential) = registry.find(Door::Session, hash) {
            return live(Identity::new(credential), clock);
        }
        let record = match store.session(hash).await {
            Ok(Some(record)) => record,
            Ok(None) => return Outcome::Failed(Reason::Unknown),
            Err(error) => {
                tracing::error!(%error, "cannot look a session up");
                return Outcome::Unavailable;
            }
        };
        let Some(credential) = Credential::from_session(record, idle_seconds) else {
            return Outcome::Failed(Reason::Unknown);
        };
        if let Some(credential) = registry.admit(Door::Session, credential, generation) {
            return live(Identity::new(credential), clock);
        }
    }
    Outcome::Unavailable
}

fn live(identity: Identity, clock: &Clock) -> Outcome {
    if identity.credential().is_live(clock.now()) {
        Outcome::Authenticated(identity)
    } else {
        Outcome::Failed(Reason::Over)
    }
}

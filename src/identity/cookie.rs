//! The session cookie that the login page set.

use crate::domain::{Clock, Door};
use crate::identity::chain::{Outcome, Reason};
use crate::identity::credential::Credential;
use crate::identity::look_up::look_up;
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
    let fetch = || async move {
        let record = store.session(hash).await?;
        Ok(record.and_then(|record| Credential::from_session(record, idle_seconds)))
    };
    look_up(Door::Session, hash, registry, clock, fetch).await
}

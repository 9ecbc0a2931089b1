//! Finding a credential by its key, first in this process, then in the store. The one place that knows how a look-up and
//! a revocation may overlap.

use crate::domain::{Clock, Door};
use crate::identity::chain::{Outcome, Reason};
use crate::identity::credential::{Credential, Identity};
use crate::identity::registry::Registry;
use crate::store::{KeyHash, StoreError};

/// Asks `fetch` for what this process does not know, again if anything was revoked in the meantime.
pub(super) async fn look_up<F>(
    door: Door,
    key: KeyHash,
    registry: &Registry,
    clock: &Clock,
    fetch: impl Fn() -> F,
) -> Outcome
where
    F: Future<Output = Result<Option<Credential>, StoreError>>,
{
    for _ in 0..3 {
        let generation = registry.generation();
        if let Some(credential) = registry.find(door, key) {
            return live(Identity::new(credential), clock);
        }
        let credential = match fetch().await {
            Ok(Some(credential)) => credential,
            Ok(None) => return Outcome::Failed(Reason::Unknown),
            Err(error) => {
                tracing::error!(%error, door = door.as_str(), "cannot look a credential up");
                return Outcome::Unavailable;
            }
        };
        if let Some(credential) = registry.admit(door, credential, generation) {
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

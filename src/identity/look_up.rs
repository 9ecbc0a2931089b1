//! Finding a credential by its key, first in this process, then in the store. The one place that knows how a look-up and
//! a revocation may overlap.

use crate::domain::{Clock, Door};
use crate::identity::chain::{Outcome, Reason};
use crate::identity::credential::{Credential, Identity};
use crate::identity::registry::Registry;
use crate::store::{KeyHash, StoreError};

/// How often the store is asked, at most. Each of many people who sign in at once may end somebody's oldest login.
const ATTEMPTS: usize = 16;

/// What a store has under a key.
pub(super) enum Found {
    /// A credential.
    Good(Box<Credential>),
    /// One that does not count any more: the certificate that it was got by does not.
    Over,
    /// Nothing.
    Nothing,
}

/// Asks `fetch` for what this process does not know, again if anything was revoked in the meantime.
pub(super) async fn look_up<F>(
    door: Door,
    key: KeyHash,
    registry: &Registry,
    clock: &Clock,
    fetch: impl Fn() -> F,
) -> Outcome
where
    F: Future<Output = Result<Found, StoreError>>,
{
    for _ in 0..ATTEMPTS {
        let generation = registry.generation();
        if let Some(credential) = registry.find(door, key) {
            return live(Identity::new(credential), clock);
        }
        let credential = match fetch().await {
            Ok(Found::Good(credential)) => *credential,
            Ok(Found::Over) => return Outcome::Failed(Reason::Over),
            Ok(Found::Nothing) => return Outcome::Failed(Reason::Unknown),
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

pub(super) fn live(identity: Identity, clock: &Clock) -> Outcome {
    if identity.credential().is_live(clock.now()) {
        Outcome::Authenticated(identity)
    } else {
        Outcome::Failed(Reason::Over)
    }
}

//! `Authorization: Bearer` (RFC 6750) with one of our tokens.

use crate::domain::{Clock, Door};
use crate::identity::chain::{Outcome, Reason};
use crate::identity::credential::{Credential, Identity};
use crate::identity::registry::Registry;
use crate::store::Store;
use crate::token::Token;

/// Looks a token up, first in this process, then in the store.
pub(super) async fn check(text: &[u8], store: &dyn Store, registry: &Registry, clock: &Clock) -> Outcome {
    // The checksum in the text refuses typos and random guesses before the store is asked.
    let Some(token) = std::str::from_utf8(text).ok().and_then(|text| Token::parse(text.trim()).ok()) else {
        return Outcome::Failed(Reason::Malformed);
    };
    let key = token.hash();
    for _ in 0..3 {
        let generation = registry.generation();
        if let Some(credential) = registry.find(Door::Token, key) {
            return live(Identity::new(credential), clock);
        }
        let record = match store.token(key).await {
            Ok(Some(record)) => record,
            Ok(None) => return Outcome::Failed(Reason::Unknown),
            Err(error) => {
                tracing::error!(%error, "cannot look a token up");
                return Outcome::Unavailable;
            }
        };
        if let Some(credential) = registry.admit(Door::Token, Credential::from_token(record), generation) {
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

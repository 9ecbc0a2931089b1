//! `Authorization: Bearer` (RFC 6750) with one of our tokens.

use crate::domain::{Clock, Door};
use crate::identity::chain::{Outcome, Reason};
use crate::identity::credential::Credential;
use crate::identity::look_up::look_up;
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
    let fetch = || async move { Ok(store.token(key).await?.map(Credential::from_token)) };
    look_up(Door::Token, key, registry, clock, fetch).await
}

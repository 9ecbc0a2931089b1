//! `Authorization: Bearer` (RFC 6750) with one of our tokens.

use crate::domain::Door;
use crate::identity::certificate::bind;
use crate::identity::chain::{Outcome, Reason, Shared};
use crate::identity::credential::Credential;
use crate::identity::look_up::{Found, look_up};
use crate::token::Token;

/// Looks a token up, first in this process, then in the store.
pub(super) async fn check(text: &[u8], shared: &Shared) -> Outcome {
    let Shared { store, registry, clock, certificates, .. } = shared;
    // The checksum in the text refuses typos and random guesses before the store is asked.
    let Some(token) = std::str::from_utf8(text).ok().and_then(|text| Token::parse(text).ok()) else {
        return Outcome::Failed(Reason::Malformed);
    };
    let key = token.hash();
    let fetch = || async move {
        let Some(mut record) = store.token(key).await? else { return Ok(Found::Nothing) };
        let certificate = record.certificate.take();
        Ok(bind(certificates.as_ref(), Credential::from_token(record), certificate, clock.now()))
    };
    look_up(Door::Token, key, registry, clock, fetch).await
}

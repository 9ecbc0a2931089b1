//! A client certificate that belongs to a token (`ca::LoginCa`). Its signature only says where to look: it counts as long
//! as the store knows it beside its token, so that whatever ends the token has ended it.

use crate::domain::{ClientCertificate, Door};
use crate::identity::certificate::bind;
use crate::identity::chain::{Outcome, Reason, Shared};
use crate::identity::credential::Credential;
use crate::identity::look_up::{Found, look_up};
use crate::trust::Refusal;

/// Looks a certificate of the CA for logins up, first in this process, then in the store.
pub(super) async fn check(certificate: &ClientCertificate, shared: &Shared) -> Outcome {
    let Shared { store, registry, clock, certificates, .. } = shared;
    let key = certificate.key();
    let fetch = || async move {
        let Some((record, mut token)) = store.certificate(key).await? else { return Ok(Found::Nothing) };
        // The login itself may have come by a certificate, of another CA.
        let login_by = token.certificate.take();
        Ok(bind(certificates.as_ref(), Credential::from_issued(record, token), login_by, clock.now()))
    };
    match look_up(Door::Certificate, key, registry, clock, fetch).await {
        Outcome::Failed(Reason::Unknown) => Outcome::Failed(Reason::Certificate(Refusal::Revoked)),
        outcome => outcome,
    }
}

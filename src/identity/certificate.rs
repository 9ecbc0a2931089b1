//! A client certificate, shown in the TLS handshake or passed on by a terminator that is believed.
//!
//! ```text
//! request ─► known to this process? ─yes─► its credential, cut or not
//!                 │ no
//!                 ▼
//!            ClientTrust: chain, dates, usage, revocation, who ─► a credential in the registry
//!
//! files changed, or a revocation list ran out ─► every live credential with a certificate is judged again
//! ```

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::domain::{ClientCertificate, Clock, Door, UnixSeconds};
use crate::identity::accounts::Accounts;
use crate::identity::chain::{Outcome, Reason};
use crate::identity::credential::{Credential, Identity};
use crate::identity::look_up::{Found, live};
use crate::identity::registry::Registry;
use crate::trust::{ClientTrust, Person, Refusal};

/// Most refusals that one thread remembers; past that it starts anew.
const MOST_REFUSALS: usize = 4096;

/// The certificate door, and what ends with it.
pub struct CertificateDoor {
    trust: Arc<ClientTrust>,
    /// Asks whether holders still have an account; absent where there are none.
    accounts: Option<Arc<Accounts>>,
    /// When the next revocation list begins or runs out.
    next_change: AtomicI64,
}

impl CertificateDoor {
    /// The door of `trust`, as of `now`. `accounts` are asked about whoever comes by it; machines are not asked about.
    #[must_use]
    pub fn new(trust: Arc<ClientTrust>, accounts: Option<Arc<Accounts>>, now: UnixSeconds) -> Self {
        let next_change = AtomicI64::new(trust.next_change(now).unwrap_or(i64::MAX));
        Self { trust, accounts, next_change }
    }

    /// Whose certificates count.
    #[must_use]
    pub const fn trust(&self) -> &Arc<ClientTrust> {
        &self.trust
    }

    /// Who is asked about its holders.
    pub(super) const fn accounts(&self) -> Option<&Arc<Accounts>> {
        self.accounts.as_ref()
    }

    /// Who shows this certificate. Not whether their account lets them in.
    pub(super) fn check(
        &self,
        certificate: &Arc<ClientCertificate>,
        registry: &Registry,
        clock: &Clock,
    ) -> Outcome {
        let key = certificate.key();
        for _ in 0..3 {
            let generation = registry.generation();
            if let Some(credential) = registry.find(Door::Certificate, key) {
                return live(Identity::new(credential), clock);
            }
            let now = clock.now();
            let person = match self.trust.identify(certificate, now) {
                Ok(person) => person,
                Err(refusal) => return Outcome::Failed(Reason::Certificate(refusal)),
            };
            let credential = Credential::from_certificate(Arc::clone(certificate), &person, now);
            if let Some(credential) = registry.admit(Door::Certificate, credential, generation) {
                return live(Identity::new(credential), clock);
            }
        }
        Outcome::Unavailable
    }

    /// Judges everything again that was got by a certificate, if what counts may have changed; gives how much of it has
    /// ended. Blocking.
    pub fn heed_changes(&self, registry: &Registry, now: UnixSeconds) -> Option<usize> {
        let has_changed = self.trust.refresh();
        let is_due = now > self.next_change.load(Ordering::Relaxed);
        (has_changed || is_due).then(|| self.judge_again(registry, now))
    }

    fn judge_again(&self, registry: &Registry, now: UnixSeconds) -> usize {
        self.next_change.store(self.trust.next_change(now).unwrap_or(i64::MAX), Ordering::Relaxed);
        registry.recheck_certificates(|credential| {
            let person = credential.certificate().map(|certificate| self.trust.identify(certificate, now));
            person.is_some_and(|person| person.is_ok_and(|person| is_same(credential, &person)))
        })
    }
}

/// Chains that were refused within this second, by one thread: who goes on asking with one shall not get its signature
/// checks again for each request.
#[derive(Default)]
pub(super) struct Refusals(RefCell<HashMap<[u8; 32], Refused>>);

struct Refused {
    generation: u64,
    at: UnixSeconds,
    why: Refusal,
}

impl Refusals {
    /// What was said of the very same chain in this second, unless what counts has changed since.
    pub(super) fn recall(
        &self,
        certificate: &ClientCertificate,
        door: &CertificateDoor,
        now: UnixSeconds,
    ) -> Option<Refusal> {
        let refused = self.0.borrow();
        let refused = refused.get(&certificate.whole())?;
        let is_of_now = refused.at == now && refused.generation == door.trust.generation();
        is_of_now.then_some(refused.why)
    }

    /// Notes a refusal that was found while the files were as of `generation`.
    pub(super) fn note(
        &self,
        certificate: &ClientCertificate,
        generation: u64,
        at: UnixSeconds,
        why: Refusal,
    ) {
        let mut refused = self.0.borrow_mut();
        if refused.len() >= MOST_REFUSALS {
            refused.clear();
        }
        refused.insert(certificate.whole(), Refused { generation, at, why });
    }
}

/// An entry of the mapping file that changed makes somebody else of its holder: what they have open is not for that one.
fn is_same(credential: &Credential, person: &Person) -> bool {
    let has_same_groups = person.groups.as_ref().is_none_or(|groups| *groups == credential.group_names());
    *credential.user() == person.user && credential.is_machine() == person.is_machine && has_same_groups
}

/// Ties a credential out of the store to the certificate that it was got by. Without a door for certificates nobody can
/// say any more whether it counts.
pub(super) fn bind(
    door: Option<&CertificateDoor>,
    credential: Credential,
    certificate: Option<ClientCertificate>,
    now: UnixSeconds,
) -> Found {
    let Some(certificate) = certificate else { return Found::Good(Box::new(credential)) };
    let person = door.and_then(|door| door.trust.identify(&certificate, now).ok());
    match person.filter(|person| person.user == *credential.user()) {
        Some(person) => Found::Good(Box::new(credential.bound_to(Arc::new(certificate), &person))),
        None => Found::Over,
    }
}

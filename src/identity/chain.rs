//! The doors in order. The first credential on a request decides; a bad one never falls through to the next door.

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, header};

use crate::domain::{Client, ClientCertificate, Clock, UnixSeconds};
use crate::identity::accounts::Accounts;
use crate::identity::basic::BasicDoor;
use crate::identity::certificate::{CertificateDoor, Refusals};
use crate::identity::conversations::Conversations;
use crate::identity::credential::{Credential, Identity};
use crate::identity::credential_cache::{self, CredentialCache, Presented};
use crate::identity::origin::{Origin, client_of};
use crate::identity::registry::Registry;
use crate::identity::{bearer, cookie, issued};
use crate::session::CookieKey;
use crate::store::Store;
use crate::throttle::Throttle;
use crate::trust::Refusal;

/// What a door, or all of them, says.
#[derive(Debug)]
pub enum Outcome {
    /// Proven.
    Authenticated(Identity),
    /// A credential was there and is no good.
    Failed(Reason),
    /// No credential was there.
    NotRequested,
    /// Too many failures before, from this address or for this name. 429, and how long to wait.
    Throttled(Duration),
    /// It could not be decided: store, PAM or capacity. 503, never "wrong".
    Unavailable,
}

/// Why a credential is no good. For the log; clients hear one sentence.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    /// PAM says that this person may not come in (any more).
    Account,
    /// The client certificate is no good.
    Certificate(Refusal),
    /// Certificate and cookie are of different people (behaviour GD4).
    Contradiction,
    /// It cannot be read.
    Malformed,
    /// Expired, idle for too long, or revoked.
    Over,
    /// Nobody knows it.
    Unknown,
    /// The `Authorization` scheme is not one of ours.
    UnknownScheme,
    /// A session that began in another network.
    Elsewhere,
    /// PAM or the user file said no.
    WrongPassword,
}

impl Reason {
    /// The word used in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Account => "the account is refused",
            Self::Certificate(refusal) => refusal.as_str(),
            Self::Contradiction => "client certificate and session are of different people",
            Self::Elsewhere => "the session began in another network",
            Self::Malformed => "malformed credential",
            Self::Over => "credential is over",
            Self::Unknown => "unknown credential",
            Self::UnknownScheme => "unknown authorization scheme",
            Self::WrongPassword => "wrong user name or password",
        }
    }
}

/// What the doors share across threads.
pub struct Shared {
    /// Sessions and tokens.
    pub store: Arc<dyn Store>,
    /// What is alive in this process.
    pub registry: Arc<Registry>,
    /// Basic's memory.
    pub basic: Arc<BasicDoor>,
    /// What failures cost.
    pub throttle: Arc<Throttle>,
    /// The password checker.
    pub conversations: Arc<Conversations>,
    /// Asks again and again whether people may still come in; absent where PAM is not asked.
    pub accounts: Option<Arc<Accounts>>,
    /// Lets holders of certificates in; absent where none are asked for.
    pub certificates: Option<CertificateDoor>,
    /// Opens session cookies.
    pub cookie_key: CookieKey,
    /// Idle limit of sessions.
    pub idle_seconds: i64,
    /// Whether a session ends when it shows up in another network than it began in.
    pub session_bind_network: bool,
    /// The time.
    pub clock: Clock,
    /// Set where the operator said `--no-login`.
    pub everybody: Option<Arc<Credential>>,
}

/// One thread's doors: the shared ones behind a cache of its own, so that a request costs no lock and no I/O.
pub struct Doors {
    shared: Arc<Shared>,
    everybody: Option<Identity>,
    cache: RefCell<CredentialCache>,
    refusals: Refusals,
}

impl Doors {
    /// Doors for one thread.
    #[must_use]
    pub fn new(shared: Arc<Shared>) -> Self {
        let everybody = shared.everybody.clone().map(Identity::new);
        Self { shared, everybody, cache: RefCell::default(), refusals: Refusals::default() }
    }

    /// What the doors share.
    #[must_use]
    pub const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Forgets credentials that have ended; to be called every few seconds.
    pub fn sweep(&self) {
        self.cache.borrow_mut().sweep(self.shared.clock.now());
    }

    /// Finds out who sent these headers, on a connection with this certificate, as of `now`.
    pub async fn identify(
        &self,
        headers: &HeaderMap,
        certificate: Option<&Arc<ClientCertificate>>,
        address: IpAddr,
        now: UnixSeconds,
    ) -> Outcome {
        if let Some(everybody) = &self.everybody {
            return Outcome::Authenticated(everybody.clone());
        }
        // The look-ups are boxed: once a credential is known, no request needs their room.
        let Some(certificate) = certificate.filter(|_| self.shared.certificates.is_some()) else {
            let Some(presented) = credential_cache::presented(headers, self.shared.cookie_key.names()) else {
                return Box::pin(self.ask(headers, address)).await;
            };
            if let Some(identity) = self.recall_live(presented, address, now) {
                return Outcome::Authenticated(identity);
            }
            return Box::pin(self.known_or_asked(presented, address, now, || self.ask(headers, address)))
                .await;
        };
        Box::pin(self.identify_beside(headers, certificate, address, now)).await
    }

    /// The same by the certificate alone, whatever the headers say.
    pub async fn identify_certificate(
        &self,
        certificate: &Arc<ClientCertificate>,
        address: IpAddr,
        now: UnixSeconds,
    ) -> Outcome {
        let key = certificate.key();
        let ask = || Box::pin(self.ask_certificate(certificate, now));
        self.known_or_asked(Presented::Certificate(&key), address, now, ask).await
    }

    async fn ask_certificate(&self, certificate: &Arc<ClientCertificate>, now: UnixSeconds) -> Outcome {
        let shared = &self.shared;
        let Some(door) = &shared.certificates else { return Outcome::NotRequested };
        if let Some(refusal) = self.refusals.recall(certificate, door, now) {
            return Outcome::Failed(Reason::Certificate(refusal));
        }
        let generation = door.trust().generation();
        // Judged before it is looked up: strangers' certificates never come to the store.
        let outcome = match door.trust().is_of_login(certificate, shared.clock.now()) {
            Ok(true) => issued::check(certificate, shared).await,
            Ok(false) => door.check(certificate, &shared.registry, &shared.clock),
            Err(refusal) => Outcome::Failed(Reason::Certificate(refusal)),
        };
        if let Outcome::Failed(Reason::Certificate(refusal)) = outcome {
            self.refusals.note(certificate, generation, now, refusal);
        }
        outcome
    }

    /// What a person put on the request decides; the certificate is there by itself, on each request of the connection
    /// (behaviour C8). A session that is another person's than the certificate is a mistake or worse.
    async fn identify_beside(
        &self,
        headers: &HeaderMap,
        certificate: &Arc<ClientCertificate>,
        address: IpAddr,
        now: UnixSeconds,
    ) -> Outcome {
        let presented = credential_cache::presented(headers, self.shared.cookie_key.names());
        let first = match presented {
            Some(presented) => {
                self.known_or_asked(presented, address, now, || Box::pin(self.ask(headers, address))).await
            }
            None => self.ask(headers, address).await,
        };
        let is_session = matches!(presented, Some(Presented::Cookie(_)));
        match first {
            Outcome::NotRequested => self.identify_certificate(certificate, address, now).await,
            Outcome::Authenticated(identity) if is_session => {
                match self.identify_certificate(certificate, address, now).await {
                    Outcome::Authenticated(other) if other.user() != identity.user() => {
                        Outcome::Failed(Reason::Contradiction)
                    }
                    _ => Outcome::Authenticated(identity),
                }
            }
            decided => decided,
        }
    }

    /// What this thread remembers, else what `ask` finds and the account behind it allows.
    async fn known_or_asked<F>(
        &self,
        presented: Presented<'_>,
        address: IpAddr,
        now: UnixSeconds,
        ask: impl FnOnce() -> F,
    ) -> Outcome
    where
        F: Future<Output = Outcome>,
    {
        if let Some(identity) = self.recall_live(presented, address, now) {
            return Outcome::Authenticated(identity);
        }
        self.forget(presented);
        let outcome = ask().await;
        if let Outcome::Authenticated(identity) = &outcome {
            if let Some(refusal) = self.account_refusal(identity, address).await {
                return refusal;
            }
            identity.credential().touch(now);
            // Not of Basic: it has a memory of its own, with an end that this one would not notice.
            self.remember(presented, identity, address);
        }
        outcome
    }

    /// Why the account behind a good credential lets nobody in. Machines have none.
    async fn account_refusal(&self, identity: &Identity, address: IpAddr) -> Option<Outcome> {
        if identity.credential().is_machine() {
            return None;
        }
        // Only here, where nothing is remembered yet: whoever leaves later is noticed by the upkeep.
        if self.shared.conversations.authenticator().has_lost(identity) {
            return Some(Outcome::Failed(Reason::Over));
        }
        let of_certificates = self.shared.certificates.as_ref().and_then(CertificateDoor::accounts);
        let is_by_certificate = identity.credential().certificate().is_some();
        let accounts = if is_by_certificate { of_certificates } else { self.shared.accounts.as_ref() };
        match accounts {
            Some(accounts) => Box::pin(accounts.refusal(identity, address)).await,
            None => None,
        }
    }

    async fn ask(&self, headers: &HeaderMap, address: IpAddr) -> Outcome {
        let shared = &self.shared;
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let Some(value) = values.next() else { return cookie::check(headers, address, shared).await };
        let outcome = if values.next().is_some() {
            Outcome::Failed(Reason::Malformed)
        } else {
            self.ask_for(value.as_bytes(), headers, address).await
        };
        self.count(outcome, value.as_bytes(), client_of(headers, address))
    }

    async fn ask_for(&self, value: &[u8], headers: &HeaderMap, address: IpAddr) -> Outcome {
        let shared = &self.shared;
        let (scheme, rest) = value.split_at(value.iter().position(|b| *b == b' ').unwrap_or(value.len()));
        if scheme.eq_ignore_ascii_case(b"bearer") {
            bearer::check(rest.trim_ascii(), shared).await
        } else if scheme.eq_ignore_ascii_case(b"basic") {
            let origin = Origin::of(headers, address, None, &shared.cookie_key, shared.clock.now());
            shared.basic.check(rest, origin, &shared.conversations, &shared.registry, &shared.clock).await
        } else {
            Outcome::Failed(Reason::UnknownScheme)
        }
    }

    /// What nobody knows is a guess. Wrong passwords were counted where they were checked, and a credential that was
    /// good once is none.
    fn count(&self, outcome: Outcome, credential: &[u8], client: Client) -> Outcome {
        let Outcome::Failed(reason @ (Reason::Malformed | Reason::Unknown | Reason::UnknownScheme)) = outcome
        else {
            return outcome;
        };
        let address = client.address;
        let counted = self.shared.throttle.bad_credential(client, credential);
        // A program that goes on with an old token would fill the log, and fail2ban would shut its neighbours out too.
        if counted != Ok(false) {
            tracing::info!(target: "doorward::login", %address, why = reason.as_str(), "login refused");
        }
        counted.map_or_else(Outcome::Throttled, |_| outcome)
    }

    /// What is remembered and still holds; it is noted as used.
    fn recall_live(&self, presented: Presented<'_>, address: IpAddr, now: UnixSeconds) -> Option<Identity> {
        let identity =
            self.recall(presented, address).filter(|identity| identity.credential().is_live(now))?;
        identity.credential().touch(now);
        Some(identity)
    }

    fn recall(&self, presented: Presented<'_>, address: IpAddr) -> Option<Identity> {
        let cache = self.cache.borrow();
        let (identity, has_moved) = cache.find(presented, address)?;
        if self.shared.session_bind_network && !identity.credential().is_at_home_in(address) {
            return None;
        }
        // A move to another address is rare, and only then is anything shared touched.
        if has_moved && let Some(accounts) = &self.shared.accounts {
            accounts.note_address(identity.user(), address);
        }
        Some(identity.clone())
    }

    fn forget(&self, presented: Presented<'_>) {
        self.cache.borrow_mut().forget(presented);
    }

    fn remember(&self, presented: Presented<'_>, identity: &Identity, address: IpAddr) {
        let now = self.shared.clock.now();
        self.cache.borrow_mut().keep(presented, identity, address, now);
    }
}

//! What proved an identity, alive in this process.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use http::HeaderValue;

use crate::domain::{ClientCertificate, Door, Scope, UnixSeconds, Username, network_of};
use crate::store::{CertificateRecord, KeyHash, SessionRecord, TokenKind, TokenRecord};
use crate::streams::Cut;
use crate::trust::Person;

/// [`Credential::last_seen`] of a token that was looked up and has not been let in yet.
const NEVER: UnixSeconds = 0;

/// A live credential: shared by every thread and every stream that works under it.
pub struct Credential {
    door: Door,
    /// Public id, safe to log.
    id: String,
    key: KeyHash,
    user: Username,
    /// May change while the credential lives; read on every request, without a lock.
    groups: ArcSwap<Groups>,
    created: UnixSeconds,
    expires: UnixSeconds,
    idle_seconds: Option<i64>,
    /// Of a session: where it began.
    network: Option<IpAddr>,
    last_seen: AtomicI64,
    token_kind: Option<TokenKind>,
    /// What it was got by; it ends with it.
    certificate: Option<Arc<ClientCertificate>>,
    /// Not a person's: no account is asked about.
    is_machine: bool,
    /// The mapping file gave the groups, and no account's count.
    has_own_groups: bool,
    scope: Option<Scope>,
    login: Option<Box<Login>>,
    cut: Cut,
    user_header: HeaderValue,
}

/// The token that a certificate belongs to.
#[derive(Debug)]
pub struct Login {
    /// Its key in the store.
    pub key: KeyHash,
    /// Its public id.
    pub id: String,
}

/// Somebody's groups, and how the engine is told of them.
struct Groups {
    names: Arc<[String]>,
    header: HeaderValue,
}

impl Groups {
    fn new(names: Arc<[String]>) -> Self {
        // A comma inside a group name would split it in two in the header: such groups are not passed on.
        let listed: Vec<&str> =
            names.iter().map(String::as_str).filter(|group| is_header_safe(group)).collect();
        Self { header: header_value(&listed.join(",")), names }
    }
}

impl Credential {
    /// A browser session that has logged in; `None` for one that has not.
    #[must_use]
    pub fn from_session(record: SessionRecord, idle_seconds: i64) -> Option<Self> {
        let user = record.user?;
        let mut made = Self::new(Door::Session, record.id, record.key, user, record.groups, record.expires);
        made.created = record.created;
        made.idle_seconds = Some(idle_seconds);
        made.network = record.address.map(network_of);
        made.last_seen = AtomicI64::new(record.last_seen);
        Some(made)
    }

    /// A bearer token.
    #[must_use]
    pub fn from_token(record: TokenRecord) -> Self {
        let mut made =
            Self::new(Door::Token, record.id, record.key, record.user, record.groups, record.expires);
        made.created = record.created;
        made.last_seen = AtomicI64::new(record.last_used.unwrap_or(NEVER));
        made.token_kind = Some(record.kind);
        made.scope = record.scope;
        made
    }

    /// A verified name and password, remembered in memory until `expires`.
    #[must_use]
    pub fn from_password(
        key: KeyHash,
        user: Username,
        groups: Vec<String>,
        now: UnixSeconds,
        expires: UnixSeconds,
    ) -> Self {
        let mut made = Self::new(Door::Basic, "basic".to_owned(), key, user, groups, expires);
        made.created = now;
        made.last_seen = AtomicI64::new(now);
        made
    }

    /// A client certificate, as long as it lasts.
    #[must_use]
    pub fn from_certificate(certificate: Arc<ClientCertificate>, person: &Person, now: UnixSeconds) -> Self {
        let (key, user) = (certificate.key(), person.user.clone());
        let mut made =
            Self::new(Door::Certificate, person.serial.clone(), key, user, Vec::new(), person.expires);
        made.created = now;
        made.last_seen = AtomicI64::new(now);
        made.bound_to(certificate, person)
    }

    /// The same, got by a certificate whose holder is `person`: it ends with it at the latest.
    #[must_use]
    pub fn bound_to(mut self, certificate: Arc<ClientCertificate>, person: &Person) -> Self {
        self.certificate = Some(certificate);
        self.expires = self.expires.min(person.expires);
        self.is_machine = person.is_machine;
        if let Some(groups) = &person.groups {
            self.has_own_groups = true;
            self.groups = ArcSwap::from_pointee(Groups::new(Arc::clone(groups)));
        }
        self
    }

    /// A client certificate that belongs to a token: it may use the engine, and nothing else that its token may.
    #[must_use]
    pub fn from_issued(record: CertificateRecord, token: TokenRecord) -> Self {
        let expires = record.expires.min(token.expires);
        let mut made = Self::new(Door::Certificate, record.id, record.key, token.user, token.groups, expires);
        // As old as the login: what ends everything older ends it too.
        made.created = token.created;
        made.last_seen = AtomicI64::new(record.last_used.unwrap_or(NEVER));
        made.token_kind = Some(TokenKind::Minted);
        made.scope = token.scope;
        made.login = Some(Box::new(Login { key: token.key, id: token.id }));
        made
    }

    /// What everybody holds where the operator said `--no-login`.
    #[must_use]
    pub fn for_everybody(user: Username, now: UnixSeconds) -> Self {
        let mut made = Self::new(Door::None, "none".to_owned(), [0; 32], user, Vec::new(), i64::MAX);
        made.created = now;
        made
    }

    fn new(
        door: Door,
        id: String,
        key: KeyHash,
        user: Username,
        groups: Vec<String>,
        expires: UnixSeconds,
    ) -> Self {
        Self {
            door,
            id,
            key,
            user_header: header_value(user.as_str()),
            user,
            groups: ArcSwap::from_pointee(Groups::new(groups.into())),
            created: 0,
            expires,
            idle_seconds: None,
            network: None,
            last_seen: AtomicI64::new(0),
            token_kind: None,
            certificate: None,
            is_machine: false,
            has_own_groups: false,
            scope: None,
            login: None,
            cut: Cut::new(),
        }
    }

    /// Whether it still holds at `now`: not revoked, not over, not idle for too long.
    #[must_use]
    pub fn is_live(&self, now: UnixSeconds) -> bool {
        let idle_over =
            self.idle_seconds.is_some_and(|idle| now - self.last_seen.load(Ordering::Relaxed) >= idle);
        !self.cut.has_fallen() && now < self.expires && !idle_over
    }

    /// Whether a request from this address comes from the network in which the session began. One that nobody knows where it
    /// began is at home nowhere; what is no session is not bound to any network.
    #[must_use]
    pub fn is_at_home_in(&self, address: IpAddr) -> bool {
        self.door != Door::Session || self.network == Some(network_of(address))
    }

    /// Notes a request. Streams that merely stay open do not count (behaviour S8).
    pub fn touch(&self, now: UnixSeconds) {
        if self.last_seen.load(Ordering::Relaxed) < now {
            self.last_seen.fetch_max(now, Ordering::Relaxed);
        }
    }

    /// Takes new groups, for the next request on; `true` if they are others than before.
    pub fn set_groups(&self, names: &Arc<[String]>) -> bool {
        if self.has_own_groups || self.groups.load().names == *names {
            return false;
        }
        self.groups.store(Arc::new(Groups::new(Arc::clone(names))));
        true
    }

    /// The groups of now.
    #[must_use]
    pub fn group_names(&self) -> Arc<[String]> {
        Arc::clone(&self.groups.load().names)
    }

    /// Time of the last request; `None` before the first.
    #[must_use]
    pub fn last_seen(&self) -> Option<UnixSeconds> {
        Some(self.last_seen.load(Ordering::Relaxed)).filter(|seen| *seen != NEVER)
    }

    /// When it came to be.
    #[must_use]
    pub const fn created(&self) -> UnixSeconds {
        self.created
    }

    /// When it ends, however busy.
    #[must_use]
    pub const fn expires(&self) -> UnixSeconds {
        self.expires
    }

    /// Its key in the store.
    #[must_use]
    pub const fn key(&self) -> KeyHash {
        self.key
    }

    /// The end of everything that works under it, on all threads.
    #[must_use]
    pub const fn cut(&self) -> &Cut {
        &self.cut
    }

    /// By which door it comes in.
    #[must_use]
    pub const fn door(&self) -> Door {
        self.door
    }

    /// Its public id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whose it is.
    #[must_use]
    pub const fn user(&self) -> &Username {
        &self.user
    }

    /// The certificate that it is, or was got by.
    #[must_use]
    pub const fn certificate(&self) -> Option<&Arc<ClientCertificate>> {
        self.certificate.as_ref()
    }

    /// Whether it is a machine's, which has no account.
    #[must_use]
    pub const fn is_machine(&self) -> bool {
        self.is_machine
    }

    /// The token that it belongs to, if it is a certificate of one.
    #[must_use]
    pub fn login(&self) -> Option<&Login> {
        self.login.as_deref()
    }

    /// What it was narrowed to; everything that its user may do if absent.
    #[must_use]
    pub const fn scope(&self) -> Option<Scope> {
        self.scope
    }

    /// How the token came to be, if it is one.
    #[must_use]
    pub const fn token_kind(&self) -> Option<TokenKind> {
        self.token_kind
    }
}

/// Key material and names stay out of debug output by default.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("door", &self.door).field("id", &self.id).finish_non_exhaustive()
    }
}

fn is_header_safe(group: &str) -> bool {
    !group.is_empty() && !group.chars().any(|c| c.is_control() || c == ',')
}

/// Names were checked for control characters, so this cannot fail; an empty value is the closed answer if it does.
fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_bytes(text.as_bytes()).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Who sent a request: a proven person, or everybody where the operator said `--no-login`.
///
/// Several copies are made on each request. So each thread makes an identity of its own for a credential and copies that
/// one: copies of one identity share a counter and a [`Cut`], which would else wander between the cores' caches.
#[derive(Clone, Debug)]
pub struct Identity(Arc<Proven>);

#[derive(Debug)]
struct Proven {
    credential: Arc<Credential>,
    cut: Cut,
    log_words: OnceLock<Box<str>>,
}

impl Identity {
    /// The identity that a credential proves.
    #[must_use]
    pub fn new(credential: Arc<Credential>) -> Self {
        let cut = credential.cut.branch();
        Self(Arc::new(Proven { credential, cut, log_words: OnceLock::new() }))
    }

    /// What each log line says of it; made once.
    pub fn log_words(&self, make: impl FnOnce(&Self) -> Box<str>) -> &str {
        self.0.log_words.get_or_init(|| make(self))
    }

    /// How they came in.
    #[must_use]
    pub fn door(&self) -> Door {
        self.0.credential.door
    }

    /// Who they are.
    #[must_use]
    pub fn user(&self) -> &Username {
        &self.0.credential.user
    }

    /// Their groups.
    #[must_use]
    pub fn groups(&self) -> Arc<[String]> {
        self.0.credential.group_names()
    }

    /// Public id of the credential.
    #[must_use]
    pub fn credential_id(&self) -> &str {
        &self.0.credential.id
    }

    /// The credential behind it.
    #[must_use]
    pub fn credential(&self) -> &Arc<Credential> {
        &self.0.credential
    }

    /// The end of the streams that work under this identity; it comes with the credential's.
    #[must_use]
    pub fn cut(&self) -> &Cut {
        &self.0.cut
    }

    /// Value for `X-Forwarded-User`.
    #[must_use]
    pub fn user_header(&self) -> &HeaderValue {
        &self.0.credential.user_header
    }

    /// Value for `X-Forwarded-Groups`.
    #[must_use]
    pub fn groups_header(&self) -> HeaderValue {
        self.0.credential.groups.load().header.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Credential, Identity};
    use crate::domain::Username;

    fn credential(groups: &[&str]) -> Credential {
        let groups = groups.iter().map(ToString::to_string).collect();
        let mut made = Credential::from_password([1; 32], Username::parse("bob").unwrap(), groups, 100, 1000);
        made.idle_seconds = Some(60);
        made
    }

    #[test]
    fn gb4_idle_and_absolute_expiry_both_end_it() {
        let credential = credential(&[]);
        assert!(credential.is_live(159));
        assert!(!credential.is_live(160));
        credential.touch(150);
        assert!(credential.is_live(200));
        credential.touch(990);
        assert!(credential.is_live(999));
        assert!(!credential.is_live(1000));
    }

    #[test]
    fn a_clock_that_goes_back_does_not_move_last_use_back() {
        let credential = credential(&[]);
        credential.touch(150);
        credential.touch(120);
        assert_eq!(credential.last_seen(), Some(150));
    }

    #[test]
    fn a_group_name_cannot_smuggle_another_group_into_the_header() {
        let credential = credential(&["ops", "a,root", "x\ny", "dev team"]);
        assert_eq!(Identity::new(Arc::new(credential)).groups_header(), "ops,dev team");
    }

    #[test]
    fn new_groups_are_seen_by_everybody_who_holds_the_credential() {
        let identity = Identity::new(Arc::new(credential(&["ops"])));
        let other = identity.clone();
        assert!(!identity.credential().set_groups(&Arc::from(["ops".to_owned()])));
        assert!(identity.credential().set_groups(&Arc::from(["dev".to_owned(), "x,y".to_owned()])));
        assert_eq!(
            (&*other.groups(), other.groups_header()),
            (&["dev".into(), "x,y".into()][..], "dev".parse().unwrap())
        );
    }

    #[test]
    fn revocation_ends_it_at_once() {
        let credential = credential(&[]);
        credential.cut().fall();
        assert!(!credential.is_live(101));
    }
}

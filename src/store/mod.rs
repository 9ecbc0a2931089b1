//! Where sessions, tokens and bans are kept. One trait, so that an embedded file and a shared server are the same to callers.
//!
//! Only hashes of session keys and tokens come here: whoever reads a stolen store can log in nowhere.

use std::collections::HashMap;
use std::net::IpAddr;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::domain::{ClientCertificate, Scope, UnixSeconds, Username};

#[cfg(test)]
mod acceptance;
mod limit;
mod memory;
mod nonce;
mod private_file;
mod random;
mod sqlite;
mod state_folder;

pub use limit::{Admission, Ended, LiveAt, MAX_CERTIFICATES_PER_TOKEN, MAX_PER_USER};
pub use memory::MemoryStore;
pub use nonce::Nonce;
pub(crate) use private_file::{Place, Readers, create_private};
pub use random::NoEntropy;
pub(crate) use random::{fill, public_id};
pub use sqlite::SqliteStore;
pub use state_folder::{DATABASE, StateError, StateFolder};

/// SHA-256 of a session key or of a token.
pub type KeyHash = [u8; 32];

/// A browser's session as kept at rest.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SessionRecord {
    /// Hash of the key in the cookie.
    pub key: KeyHash,
    /// Public name of the session, safe to show and to log (12 hex digits, not derived from the key).
    pub id: String,
    /// Who logged in; `None` before login.
    pub user: Option<Username>,
    /// The user's groups, as they were last asked for.
    pub groups: Vec<String>,
    /// Client address at login.
    pub address: Option<IpAddr>,
    /// When the session began.
    pub created: UnixSeconds,
    /// When it was last used.
    pub last_seen: UnixSeconds,
    /// When it ends, however busy.
    pub expires: UnixSeconds,
    /// actix-session's own key-value state.
    pub state: HashMap<String, String>,
}

/// What a token may be used for, besides engine requests.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    /// Made by a login: may create and revoke other tokens of its user.
    Login,
    /// Made from a login token: may not create more.
    Minted,
}

/// A bearer token as kept at rest.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TokenRecord {
    /// Hash of the whole token text.
    pub key: KeyHash,
    /// Public name of the token (12 hex digits, not derived from the secret).
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// How it came to be.
    pub kind: TokenKind,
    /// What it was narrowed to; everything if absent.
    pub scope: Option<Scope>,
    /// Whose it is.
    pub user: Username,
    /// The user's groups, as they were last asked for.
    pub groups: Vec<String>,
    /// Client address that asked for it.
    pub address: Option<IpAddr>,
    /// When it was made.
    pub created: UnixSeconds,
    /// When it was last used, if ever.
    pub last_used: Option<UnixSeconds>,
    /// When it ends.
    pub expires: UnixSeconds,
    /// The certificate that it was got by, which it ends with.
    pub certificate: Option<ClientCertificate>,
}

/// A client certificate that a token's holder got, as kept at rest. It counts as long as its token does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CertificateRecord {
    /// SHA-256 of the certificate: no other of that name or number counts.
    pub key: KeyHash,
    /// Its serial number in hex.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// Key of the token that it belongs to.
    pub token: KeyHash,
    /// Client address that asked for it.
    pub address: Option<IpAddr>,
    /// When it was made.
    pub created: UnixSeconds,
    /// When it was last used, if ever.
    pub last_used: Option<UnixSeconds>,
    /// When it ends.
    pub expires: UnixSeconds,
}

/// A certificate, and the token that it belongs to.
pub type CertificateOfToken = (CertificateRecord, TokenRecord);

/// What a ban is about.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BanKind {
    /// An address, or an IPv6 network.
    Address,
    /// A known device.
    Device,
    /// A user name, known or not.
    User,
}

impl BanKind {
    /// The word used in the log, on the command line and in files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Device => "device",
            Self::User => "user",
        }
    }
}

/// A ban after too many failures, and the memory of earlier ones, as kept at rest.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BanRecord {
    /// What it is about.
    pub kind: BanKind,
    /// Which one of them, as text.
    pub subject: String,
    /// How many bans in a row, this one included: the next one is longer for it.
    pub strikes: u32,
    /// When it began.
    pub since: UnixSeconds,
    /// When it ends. An ended ban is kept for its strikes.
    pub until: UnixSeconds,
    /// When its strikes are forgiven too, and the record can go.
    pub forget: UnixSeconds,
    /// It may be the work of an outage: it ends with the process, and is kept for operators to see.
    pub is_provisional: bool,
}

/// Most ban records kept: as many as the tables in memory hold.
pub const MOST_BANS: usize = 4 * 32_768;

/// When things were used last, by their keys.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LastUses {
    /// Of sessions.
    pub sessions: Vec<(KeyHash, UnixSeconds)>,
    /// Of tokens.
    pub tokens: Vec<(KeyHash, UnixSeconds)>,
    /// Of certificates that belong to tokens.
    pub certificates: Vec<(KeyHash, UnixSeconds)>,
}

impl LastUses {
    /// Whether there is nothing to note.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.tokens.is_empty() && self.certificates.is_empty()
    }
}

/// The store could not do its work. Callers fail closed: no session, no token.
#[derive(Debug, Error)]
#[error("the store failed: {0}")]
pub struct StoreError(pub String);

/// A store call's future result.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// The one seam behind which sessions, tokens and bans are kept. Every implementation passes the same acceptance suite.
pub trait Store: Send + Sync {
    /// Inserts or replaces a session by its key. One that has logged in makes room for itself: gives what ended for it
    /// ([`MAX_PER_USER`]).
    fn put_session(&self, record: SessionRecord, at: LiveAt) -> Answer<'_, Vec<Ended>>;
    /// Replaces a session only if there still is one with its key; `true` if there was. Its creation, expiry and
    /// public id stay as they are and its last use never moves backwards: a session that was revoked while a request
    /// was under way must not come back by that request's last write.
    fn replace_session(&self, record: SessionRecord) -> Answer<'_, bool>;
    /// The session with this key, expired or not.
    fn session(&self, key: KeyHash) -> Answer<'_, Option<SessionRecord>>;
    /// All sessions of a user, newest first.
    fn sessions_of(&self, user: &Username) -> Answer<'_, Vec<SessionRecord>>;
    /// Everybody's sessions that have logged in, newest first.
    fn all_sessions(&self) -> Answer<'_, Vec<SessionRecord>>;
    /// Removes all sessions of a user; how many there were.
    fn delete_sessions_of(&self, user: &Username) -> Answer<'_, usize>;
    /// Removes a session by key; `true` if there was one.
    fn delete_session(&self, key: KeyHash) -> Answer<'_, bool>;
    /// Removes a user's session by its public id; `true` if there was one.
    fn delete_session_by_id(&self, user: &Username, id: &str) -> Answer<'_, bool>;
    /// Inserts or replaces a token by its key. That of a login makes room for itself; a minted one is refused where there
    /// is none ([`MAX_PER_USER`]).
    fn put_token(&self, record: TokenRecord, at: LiveAt) -> Answer<'_, Admission>;
    /// The token with this key, expired or not.
    fn token(&self, key: KeyHash) -> Answer<'_, Option<TokenRecord>>;
    /// All tokens of a user, newest first.
    fn tokens_of(&self, user: &Username) -> Answer<'_, Vec<TokenRecord>>;
    /// Everybody's tokens, newest first.
    fn all_tokens(&self) -> Answer<'_, Vec<TokenRecord>>;
    /// Removes all tokens of a user; how many there were.
    fn delete_tokens_of(&self, user: &Username) -> Answer<'_, usize>;
    /// Removes a user's token by its public id; `true` if there was one.
    fn delete_token(&self, user: &Username, id: &str) -> Answer<'_, bool>;
    /// Keeps a certificate with its token. The first one of a login is part of that login and makes room for itself; a
    /// further one is refused where there is none ([`MAX_PER_USER`], [`MAX_CERTIFICATES_PER_TOKEN`]).
    fn put_certificate(&self, record: CertificateRecord, at: LiveAt) -> Answer<'_, Admission>;
    /// Ends what a user used least recently until one more has room; gives what has ended.
    fn make_room(&self, user: &Username, at: LiveAt) -> Answer<'_, Vec<Ended>>;
    /// The certificate with this key and its token, expired or not; `None` if either has gone.
    fn certificate(&self, key: KeyHash) -> Answer<'_, Option<CertificateOfToken>>;
    /// All certificates of a user's tokens, newest first.
    fn certificates_of(&self, user: &Username) -> Answer<'_, Vec<CertificateOfToken>>;
    /// Everybody's certificates, newest first.
    fn all_certificates(&self) -> Answer<'_, Vec<CertificateOfToken>>;
    /// Removes a certificate of a user's tokens by its serial number; `true` if there was one.
    fn delete_certificate(&self, user: &Username, id: &str) -> Answer<'_, bool>;
    /// Removes all certificates of a user's tokens; how many there were.
    fn delete_certificates_of(&self, user: &Username) -> Answer<'_, usize>;
    /// Removes all sessions and tokens of a user; how many there were.
    fn delete_user(&self, user: &Username) -> Answer<'_, usize>;
    /// Writes a user's groups into all sessions and tokens of theirs.
    fn set_groups(&self, user: &Username, groups: Vec<String>) -> Answer<'_, ()>;
    /// Notes last uses, never moving a time backwards; unknown keys are skipped.
    fn touch(&self, uses: LastUses) -> Answer<'_, ()>;
    /// Inserts or replaces bans by kind and subject. Beyond [`MOST_BANS`] those that end first go.
    fn put_bans(&self, bans: Vec<BanRecord>) -> Answer<'_, ()>;
    /// All bans that are not lifted, over or not, the one that ends last first.
    fn bans(&self) -> Answer<'_, Vec<BanRecord>>;
    /// Marks a ban as lifted, for whoever holds it in memory to notice; `true` if there was one.
    fn lift_ban(&self, kind: BanKind, subject: &str) -> Answer<'_, bool>;
    /// Removes the bans that are marked as lifted and gives their kinds and subjects.
    fn take_lifted(&self) -> Answer<'_, Vec<(BanKind, String)>>;
    /// Removes what has expired at `now`, and sessions last seen before `idle_since`.
    fn purge(&self, now: UnixSeconds, idle_since: UnixSeconds) -> Answer<'_, ()>;
    /// Whether the store answers; for `readyz`.
    fn ping(&self) -> Answer<'_, ()>;
}

//! Sessions, tokens and bans in one SQLite file: the embedded default.
//!
//! ```text
//! any runtime ─Job─► bounded queue ─► writer thread: BEGIN, jobs, COMMIT (fsync) ─► answers
//! ```
//!
//! An answer leaves only after its commit is on disk, so what a caller was told survives `kill -9` and a power cut.

use std::path::Path;

use futures_util::future::FutureExt;
use rusqlite::Connection;

use self::writer::{Purpose, Writer};
use super::{
    Admission, Answer, BanKind, BanRecord, CertificateOfToken, CertificateRecord, Ended, KeyHash, LastUses,
    LiveAt, SessionRecord, Store, StoreError, TokenKind, TokenRecord,
};
use crate::domain::{UnixSeconds, Username};

mod bans;
mod certificates;
mod limit;
mod open;
mod rows;
mod schema;
mod writer;

/// A store in one file, mode 0600. Its thread ends, and the write-ahead log is folded in, when it is dropped.
pub struct SqliteStore(Writer);

impl SqliteStore {
    /// Opens the file, creating or upgrading it.
    ///
    /// # Errors
    /// [`StoreError`], naming the file: it cannot be created or read, others may write it, it is damaged, it is no
    /// database of ours, or a newer version wrote it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = open::open(path)?;
        Writer::start(connection, path).map(Self)
    }

    fn read<T, F>(&self, job: F) -> Answer<'_, T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.0.run(Purpose::Read, job).boxed()
    }

    fn write<T, F>(&self, job: F) -> Answer<'_, T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.0.run(Purpose::Write, job).boxed()
    }
}

impl Store for SqliteStore {
    fn put_session(&self, record: SessionRecord, at: LiveAt) -> Answer<'_, Vec<Ended>> {
        self.write(move |connection| {
            let ended = match &record.user {
                Some(user) => limit::make_room(connection, user, at, &record.key, None)?,
                None => Vec::new(),
            };
            rows::put_session(connection, &record)?;
            Ok(ended)
        })
    }

    fn replace_session(&self, record: SessionRecord) -> Answer<'_, bool> {
        self.write(move |connection| rows::replace_session(connection, &record))
    }

    fn session(&self, key: KeyHash) -> Answer<'_, Option<SessionRecord>> {
        self.read(move |connection| rows::session(connection, &key))
    }

    fn sessions_of(&self, user: &Username) -> Answer<'_, Vec<SessionRecord>> {
        let user = user.clone();
        self.read(move |connection| rows::sessions_of(connection, &user))
    }

    fn all_sessions(&self) -> Answer<'_, Vec<SessionRecord>> {
        self.read(rows::all_sessions)
    }

    fn delete_sessions_of(&self, user: &Username) -> Answer<'_, usize> {
        let user = user.clone();
        self.write(move |connection| rows::delete_of(connection, "sessions", &user))
    }

    fn delete_session(&self, key: KeyHash) -> Answer<'_, bool> {
        self.write(move |connection| rows::delete_session(connection, &key))
    }

    fn delete_session_by_id(&self, user: &Username, id: &str) -> Answer<'_, bool> {
        let (user, id) = (user.clone(), id.to_owned());
        self.write(move |connection| rows::delete_session_by_id(connection, &user, &id))
    }

    fn put_token(&self, record: TokenRecord, at: LiveAt) -> Answer<'_, Admission> {
        self.write(move |connection| {
            let ended = match record.kind {
                TokenKind::Login => limit::make_room(connection, &record.user, at, &record.key, None)?,
                TokenKind::Minted if limit::is_full(connection, &record.user, at, &record.key)? => {
                    return Ok(Admission::Full);
                }
                TokenKind::Minted => Vec::new(),
            };
            rows::put_token(connection, &record)?;
            Ok(Admission::Kept(ended))
        })
    }

    fn token(&self, key: KeyHash) -> Answer<'_, Option<TokenRecord>> {
        self.read(move |connection| rows::token(connection, &key))
    }

    fn tokens_of(&self, user: &Username) -> Answer<'_, Vec<TokenRecord>> {
        let user = user.clone();
        self.read(move |connection| rows::tokens_of(connection, &user))
    }

    fn all_tokens(&self) -> Answer<'_, Vec<TokenRecord>> {
        self.read(rows::all_tokens)
    }

    fn delete_tokens_of(&self, user: &Username) -> Answer<'_, usize> {
        let user = user.clone();
        self.write(move |connection| rows::delete_of(connection, "tokens", &user))
    }

    fn delete_token(&self, user: &Username, id: &str) -> Answer<'_, bool> {
        let (user, id) = (user.clone(), id.to_owned());
        self.write(move |connection| rows::delete_token(connection, &user, &id))
    }

    fn put_certificate(&self, record: CertificateRecord, at: LiveAt) -> Answer<'_, Admission> {
        self.write(move |connection| certificates::put(connection, &record, at))
    }

    fn make_room(&self, user: &Username, at: LiveAt) -> Answer<'_, Vec<Ended>> {
        let user = user.clone();
        // No key is all zeros: nothing is left out.
        self.write(move |connection| limit::make_room(connection, &user, at, &KeyHash::default(), None))
    }

    fn certificate(&self, key: KeyHash) -> Answer<'_, Option<CertificateOfToken>> {
        self.read(move |connection| certificates::one(connection, &key))
    }

    fn certificates_of(&self, user: &Username) -> Answer<'_, Vec<CertificateOfToken>> {
        let user = user.clone();
        self.read(move |connection| certificates::of(connection, &user))
    }

    fn all_certificates(&self) -> Answer<'_, Vec<CertificateOfToken>> {
        self.read(certificates::all)
    }

    fn delete_certificate(&self, user: &Username, id: &str) -> Answer<'_, bool> {
        let (user, id) = (user.clone(), id.to_owned());
        self.write(move |connection| certificates::delete(connection, &user, &id))
    }

    fn delete_certificates_of(&self, user: &Username) -> Answer<'_, usize> {
        let user = user.clone();
        self.write(move |connection| certificates::delete_of(connection, &user))
    }

    fn delete_user(&self, user: &Username) -> Answer<'_, usize> {
        let user = user.clone();
        self.write(move |connection| rows::delete_user(connection, &user))
    }

    fn set_groups(&self, user: &Username, groups: Vec<String>) -> Answer<'_, ()> {
        let user = user.clone();
        self.write(move |connection| rows::set_groups(connection, &user, &groups))
    }

    fn touch(&self, uses: LastUses) -> Answer<'_, ()> {
        self.write(move |connection| {
            rows::touch(connection, &uses.sessions, &uses.tokens)?;
            certificates::touch(connection, &uses.certificates)
        })
    }

    fn put_bans(&self, bans: Vec<BanRecord>) -> Answer<'_, ()> {
        self.write(move |connection| bans::put(connection, &bans))
    }

    fn bans(&self) -> Answer<'_, Vec<BanRecord>> {
        self.read(bans::all)
    }

    fn lift_ban(&self, kind: BanKind, subject: &str) -> Answer<'_, bool> {
        let subject = subject.to_owned();
        self.write(move |connection| bans::lift(connection, kind, &subject))
    }

    fn take_lifted(&self) -> Answer<'_, Vec<(BanKind, String)>> {
        let lifted = self.read(bans::lifted);
        async move {
            let lifted = lifted.await?;
            // Asked every second: only what is there is worth a write.
            if !lifted.is_empty() {
                let gone = lifted.clone();
                self.write(move |connection| bans::forget(connection, &gone)).await?;
            }
            Ok(lifted)
        }
        .boxed()
    }

    fn purge(&self, now: UnixSeconds, idle_since: UnixSeconds) -> Answer<'_, ()> {
        self.write(move |connection| {
            rows::purge(connection, now, idle_since)?;
            certificates::purge(connection, now)?;
            bans::purge(connection, now)
        })
    }

    fn ping(&self) -> Answer<'_, ()> {
        self.read(rows::ping)
    }
}

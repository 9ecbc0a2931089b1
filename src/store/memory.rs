//! Keeps everything in this process; for tests and for the demo. A restart ends every session.

use std::collections::{BTreeMap, HashMap};
use std::future::ready;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::future::FutureExt;

use super::{
    Answer, BanKind, BanRecord, CertificateOfToken, CertificateRecord, KeyHash, LastUses, MOST_BANS,
    SessionRecord, Store, StoreError, TokenRecord,
};
use crate::domain::{UnixSeconds, Username};

/// Sessions, tokens and bans behind one lock, gone when dropped.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Shelves>);

#[derive(Debug, Default)]
struct Shelves {
    sessions: HashMap<KeyHash, SessionRecord>,
    tokens: HashMap<KeyHash, TokenRecord>,
    certificates: HashMap<KeyHash, CertificateRecord>,
    bans: BTreeMap<(BanKind, String), BanRecord>,
    lifted: Vec<(BanKind, String)>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Every change is a single insert or remove, so a panic elsewhere cannot have left the maps half changed.
    fn shelves(&self) -> MutexGuard<'_, Shelves> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelves {
    /// Certificates whose tokens are there, newest first.
    fn certificates(&self, wanted: impl Fn(&TokenRecord) -> bool) -> Vec<CertificateOfToken> {
        let pairs = self.certificates.values().filter_map(|made| {
            let token = self.tokens.get(&made.token).filter(|token| wanted(token))?;
            Some((made.clone(), token.clone()))
        });
        let mut found: Vec<_> = pairs.collect();
        found.sort_by(|(a, _), (b, _)| (b.created, &a.id).cmp(&(a.created, &b.id)));
        found
    }

    fn drop_certificates(
        &mut self,
        drops: impl Fn(&CertificateRecord, Option<&TokenRecord>) -> bool,
    ) -> usize {
        let Self { certificates, tokens, .. } = self;
        certificates.extract_if(|_, made| drops(made, tokens.get(&made.token))).count()
    }
}

fn answer<'a, T: Send + 'a>(value: T) -> Answer<'a, T> {
    ready(Ok::<_, StoreError>(value)).boxed()
}

impl Store for MemoryStore {
    fn put_session(&self, record: SessionRecord) -> Answer<'_, ()> {
        self.shelves().sessions.insert(record.key, record);
        answer(())
    }

    fn replace_session(&self, record: SessionRecord) -> Answer<'_, bool> {
        let mut shelves = self.shelves();
        let Some(old) = shelves.sessions.get_mut(&record.key) else {
            return answer(false);
        };
        *old = SessionRecord {
            id: std::mem::take(&mut old.id),
            created: old.created,
            expires: old.expires,
            last_seen: old.last_seen.max(record.last_seen),
            ..record
        };
        answer(true)
    }

    fn session(&self, key: KeyHash) -> Answer<'_, Option<SessionRecord>> {
        answer(self.shelves().sessions.get(&key).cloned())
    }

    fn sessions_of(&self, user: &Username) -> Answer<'_, Vec<SessionRecord>> {
        let mut found: Vec<_> = self
            .shelves()
            .sessions
            .values()
            .filter(|record| record.user.as_ref() == Some(user))
            .cloned()
            .collect();
        found.sort_by(|a, b| (b.created, &a.id).cmp(&(a.created, &b.id)));
        answer(found)
    }

    fn all_sessions(&self) -> Answer<'_, Vec<SessionRecord>> {
        let mut found: Vec<_> =
            self.shelves().sessions.values().filter(|record| record.user.is_some()).cloned().collect();
        found.sort_by(|a, b| (b.created, &a.id).cmp(&(a.created, &b.id)));
        answer(found)
    }

    fn delete_sessions_of(&self, user: &Username) -> Answer<'_, usize> {
        answer(self.shelves().sessions.extract_if(|_, record| record.user.as_ref() == Some(user)).count())
    }

    fn delete_session(&self, key: KeyHash) -> Answer<'_, bool> {
        answer(self.shelves().sessions.remove(&key).is_some())
    }

    fn delete_session_by_id(&self, user: &Username, id: &str) -> Answer<'_, bool> {
        let removed = self
            .shelves()
            .sessions
            .extract_if(|_, record| record.id == id && record.user.as_ref() == Some(user))
            .count();
        answer(removed > 0)
    }

    fn put_token(&self, record: TokenRecord) -> Answer<'_, ()> {
        self.shelves().tokens.insert(record.key, record);
        answer(())
    }

    fn token(&self, key: KeyHash) -> Answer<'_, Option<TokenRecord>> {
        answer(self.shelves().tokens.get(&key).cloned())
    }

    fn tokens_of(&self, user: &Username) -> Answer<'_, Vec<TokenRecord>> {
        let mut found: Vec<_> =
            self.shelves().tokens.values().filter(|record| record.user == *user).cloned().collect();
        found.sort_by(|a, b| (b.created, &a.id).cmp(&(a.created, &b.id)));
        answer(found)
    }

    fn all_tokens(&self) -> Answer<'_, Vec<TokenRecord>> {
        let mut found: Vec<_> = self.shelves().tokens.values().cloned().collect();
        found.sort_by(|a, b| (b.created, &a.id).cmp(&(a.created, &b.id)));
        answer(found)
    }

    fn delete_tokens_of(&self, user: &Username) -> Answer<'_, usize> {
        answer(self.shelves().tokens.extract_if(|_, record| record.user == *user).count())
    }

    fn delete_token(&self, user: &Username, id: &str) -> Answer<'_, bool> {
        let removed =
            self.shelves().tokens.extract_if(|_, record| record.id == id && record.user == *user).count();
        answer(removed > 0)
    }

    fn put_certificate(&self, record: CertificateRecord) -> Answer<'_, bool> {
        let mut shelves = self.shelves();
        let has_token = shelves.tokens.contains_key(&record.token);
        if has_token {
            shelves.certificates.insert(record.key, record);
        }
        answer(has_token)
    }

    fn certificate(&self, key: KeyHash) -> Answer<'_, Option<CertificateOfToken>> {
        answer(self.shelves().certificates(|_| true).into_iter().find(|(made, _)| made.key == key))
    }

    fn certificates_of(&self, user: &Username) -> Answer<'_, Vec<CertificateOfToken>> {
        answer(self.shelves().certificates(|token| token.user == *user))
    }

    fn all_certificates(&self) -> Answer<'_, Vec<CertificateOfToken>> {
        answer(self.shelves().certificates(|_| true))
    }

    fn delete_certificate(&self, user: &Username, id: &str) -> Answer<'_, bool> {
        let is_it = |made: &CertificateRecord, token: Option<&TokenRecord>| {
            made.id == id && token.is_some_and(|token| token.user == *user)
        };
        answer(self.shelves().drop_certificates(is_it) > 0)
    }

    fn delete_certificates_of(&self, user: &Username) -> Answer<'_, usize> {
        let is_theirs = |_: &CertificateRecord, token: Option<&TokenRecord>| {
            token.is_some_and(|token| token.user == *user)
        };
        answer(self.shelves().drop_certificates(is_theirs))
    }

    fn delete_user(&self, user: &Username) -> Answer<'_, usize> {
        let mut shelves = self.shelves();
        let sessions = shelves.sessions.extract_if(|_, record| record.user.as_ref() == Some(user)).count();
        let tokens = shelves.tokens.extract_if(|_, record| record.user == *user).count();
        answer(sessions + tokens)
    }

    fn set_groups(&self, user: &Username, groups: Vec<String>) -> Answer<'_, ()> {
        let mut shelves = self.shelves();
        for record in shelves.sessions.values_mut().filter(|record| record.user.as_ref() == Some(user)) {
            record.groups.clone_from(&groups);
        }
        for record in shelves.tokens.values_mut().filter(|record| record.user == *user) {
            record.groups.clone_from(&groups);
        }
        answer(())
    }

    fn touch(&self, uses: LastUses) -> Answer<'_, ()> {
        let mut shelves = self.shelves();
        for (key, at) in uses.sessions {
            if let Some(record) = shelves.sessions.get_mut(&key) {
                record.last_seen = record.last_seen.max(at);
            }
        }
        for (key, at) in uses.tokens {
            if let Some(record) = shelves.tokens.get_mut(&key) {
                record.last_used = record.last_used.max(Some(at));
            }
        }
        for (key, at) in uses.certificates {
            if let Some(record) = shelves.certificates.get_mut(&key) {
                record.last_used = record.last_used.max(Some(at));
            }
        }
        answer(())
    }

    fn put_bans(&self, bans: Vec<BanRecord>) -> Answer<'_, ()> {
        let mut shelves = self.shelves();
        for ban in bans {
            let key = (ban.kind, ban.subject.clone());
            shelves.lifted.retain(|lifted| *lifted != key);
            shelves.bans.insert(key, ban);
        }
        let mut ends: Vec<_> = shelves.bans.iter().map(|(key, ban)| (ban.until, key.clone())).collect();
        ends.sort_unstable();
        for (_, key) in ends.iter().take(ends.len().saturating_sub(MOST_BANS)) {
            shelves.bans.remove(key);
        }
        answer(())
    }

    fn bans(&self) -> Answer<'_, Vec<BanRecord>> {
        let mut bans: Vec<BanRecord> = self.shelves().bans.values().cloned().collect();
        bans.sort_by_key(|ban| (std::cmp::Reverse(ban.until), ban.kind, ban.subject.clone()));
        answer(bans)
    }

    fn lift_ban(&self, kind: BanKind, subject: &str) -> Answer<'_, bool> {
        let mut shelves = self.shelves();
        let key = (kind, subject.to_owned());
        let was_there = shelves.bans.remove(&key).is_some();
        if was_there {
            shelves.lifted.push(key);
        }
        answer(was_there)
    }

    fn take_lifted(&self) -> Answer<'_, Vec<(BanKind, String)>> {
        answer(std::mem::take(&mut self.shelves().lifted))
    }

    fn purge(&self, now: UnixSeconds, idle_since: UnixSeconds) -> Answer<'_, ()> {
        let mut shelves = self.shelves();
        shelves.bans.retain(|_, ban| ban.forget > now);
        shelves.sessions.retain(|_, record| record.expires > now && record.last_seen >= idle_since);
        shelves.tokens.retain(|_, record| record.expires > now);
        shelves.drop_certificates(|made, token| made.expires <= now || token.is_none());
        answer(())
    }

    fn ping(&self) -> Answer<'_, ()> {
        answer(())
    }
}

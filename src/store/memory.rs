//! Keeps everything in this process; for tests and for the demo. A restart ends every session.

use std::collections::{BTreeMap, HashMap};
use std::future::ready;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::future::FutureExt;

use super::limit::{Candidate, displaced};
use super::{
    Admission, Answer, BanKind, BanRecord, CertificateOfToken, CertificateRecord, Ended, KeyHash, LastUses,
    LiveAt, MAX_CERTIFICATES_PER_TOKEN, MAX_PER_USER, MOST_BANS, SessionRecord, Store, StoreError, TokenKind,
    TokenRecord,
};
use crate::domain::{Door, UnixSeconds, Username};

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

    fn live_certificates<'a>(
        &'a self,
        token: &'a KeyHash,
        at: LiveAt,
        without: &'a KeyHash,
    ) -> impl Iterator<Item = &'a CertificateRecord> {
        let is_counted = move |made: &&CertificateRecord| {
            made.token == *token && made.key != *without && made.expires > at.now
        };
        self.certificates.values().filter(is_counted)
    }

    /// What a user has that is live, `new` left out.
    fn candidates(&self, user: &Username, at: LiveAt, new: &KeyHash) -> Vec<Candidate> {
        let is_live = |record: &&SessionRecord| {
            let is_theirs = record.user.as_ref() == Some(user) && record.key != *new;
            is_theirs && record.expires > at.now && record.last_seen >= at.idle_since
        };
        let sessions = self.sessions.values().filter(is_live).map(|record| Candidate {
            what: Ended {
                door: Door::Session,
                key: record.key,
                id: record.id.clone(),
                name: None,
                used: record.last_seen,
            },
            created: record.created,
            certificates: 0,
        });
        let is_live =
            |record: &&TokenRecord| record.user == *user && record.key != *new && record.expires > at.now;
        let tokens = self.tokens.values().filter(is_live).map(|record| {
            let made = || self.live_certificates(&record.key, at, new);
            let by_certificate = made().map(|made| made.last_used.unwrap_or(made.created)).max();
            let used = record.last_used.unwrap_or(record.created).max(by_certificate.unwrap_or(0));
            Candidate {
                what: Ended {
                    door: Door::Token,
                    key: record.key,
                    id: record.id.clone(),
                    name: Some(record.name.clone()),
                    used,
                },
                created: record.created,
                certificates: made().count(),
            }
        });
        sessions.chain(tokens).collect()
    }

    fn make_room(
        &mut self,
        user: &Username,
        at: LiveAt,
        new: &KeyHash,
        spared: Option<&KeyHash>,
    ) -> Vec<Ended> {
        let ended = displaced(self.candidates(user, at, new), spared);
        for one in &ended {
            if one.door == Door::Session {
                self.sessions.remove(&one.key);
            } else {
                self.tokens.remove(&one.key);
            }
        }
        ended
    }

    fn is_full(&self, user: &Username, at: LiveAt, new: &KeyHash) -> bool {
        let all = self.candidates(user, at, new);
        all.iter().map(|candidate| candidate.certificates + 1).sum::<usize>() >= MAX_PER_USER
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
    fn put_session(&self, record: SessionRecord, at: LiveAt) -> Answer<'_, Vec<Ended>> {
        let mut shelves = self.shelves();
        let user = record.user.as_ref();
        let ended = user.map(|user| shelves.make_room(user, at, &record.key, None)).unwrap_or_default();
        shelves.sessions.insert(record.key, record);
        answer(ended)
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

    fn put_token(&self, record: TokenRecord, at: LiveAt) -> Answer<'_, Admission> {
        let mut shelves = self.shelves();
        let ended = match record.kind {
            TokenKind::Login => shelves.make_room(&record.user, at, &record.key, None),
            TokenKind::Minted if shelves.is_full(&record.user, at, &record.key) => {
                return answer(Admission::Full);
            }
            TokenKind::Minted => Vec::new(),
        };
        shelves.tokens.insert(record.key, record);
        answer(Admission::Kept(ended))
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

    fn put_certificate(&self, record: CertificateRecord, at: LiveAt) -> Answer<'_, Admission> {
        let mut shelves = self.shelves();
        let Some(token) = shelves.tokens.get(&record.token) else { return answer(Admission::Orphaned) };
        let (user, kind) = (token.user.clone(), token.kind);
        let own = shelves.live_certificates(&record.token, at, &record.key).count();
        if own >= MAX_CERTIFICATES_PER_TOKEN {
            return answer(Admission::TokenFull);
        }
        let ended = if own == 0 && kind == TokenKind::Login {
            shelves.make_room(&user, at, &record.key, Some(&record.token))
        } else if shelves.is_full(&user, at, &record.key) {
            return answer(Admission::Full);
        } else {
            Vec::new()
        };
        shelves.certificates.insert(record.key, record);
        answer(Admission::Kept(ended))
    }

    fn make_room(&self, user: &Username, at: LiveAt) -> Answer<'_, Vec<Ended>> {
        // No key is all zeros: nothing is left out.
        answer(self.shelves().make_room(user, at, &KeyHash::default(), None))
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

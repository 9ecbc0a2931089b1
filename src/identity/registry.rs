//! Every credential that is alive in this process, so that an end reaches all threads and streams at once.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::{Door, UnixSeconds, Username};
use crate::identity::credential::Credential;
use crate::store::{KeyHash, LastUses};

type Key = (Door, KeyHash);

/// Shared by all worker threads. Asked only when a thread's own cache has no answer, so its lock is not hot.
#[derive(Debug, Default)]
pub struct Registry {
    live: Mutex<HashMap<Key, Arc<Credential>>>,
    /// Counts revocations.
    revocations: AtomicU64,
    /// Last use already written to the store.
    noted: Mutex<HashMap<Key, UnixSeconds>>,
}

impl Registry {
    /// The live credential with this key, if this process knows it.
    #[must_use]
    pub fn find(&self, door: Door, key: KeyHash) -> Option<Arc<Credential>> {
        lock(&self.live).get(&(door, key)).cloned()
    }

    /// To be read before the store is: see [`Registry::admit`].
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.revocations.load(Ordering::Acquire)
    }

    /// Adds a credential unless another thread was quicker; gives the one that stays.
    ///
    /// `None` if anything was revoked since `generation` was read: what the store said may be out of date, so that
    /// the caller must read it again. Without this a look-up that overlaps a logout could revive the session.
    pub fn admit(&self, door: Door, credential: Credential, generation: u64) -> Option<Arc<Credential>> {
        let key = (door, credential.key());
        let mut live = lock(&self.live);
        if self.generation() != generation {
            return None;
        }
        Some(Arc::clone(live.entry(key).or_insert_with(|| Arc::new(credential))))
    }

    /// Ends one credential and its streams, and the certificates of a token. The store must have forgotten it already.
    pub fn revoke(&self, door: Door, key: KeyHash) {
        let is_under =
            |live: &Credential| door == Door::Token && live.login().is_some_and(|login| login.key == key);
        self.revoke_where(|live, credential| *live == (door, key) || is_under(credential));
    }

    /// Ends a user's credential by its public id, its streams, and the certificates of a token.
    pub fn revoke_id(&self, door: Door, user: &Username, id: &str) {
        let is_it = |key: &Key, live: &Credential| {
            let is_under = door == Door::Token && live.login().is_some_and(|login| login.id == id);
            (key.0 == door && live.id() == id) || is_under
        };
        self.revoke_where(|key, live| live.user() == user && is_it(key, live));
    }

    /// Ends everything of one kind that a user has open, with tokens their certificates too. The store must have
    /// forgotten it already.
    pub fn revoke_door(&self, door: Door, user: &Username) {
        let is_under = |live: &Credential| door == Door::Token && live.login().is_some();
        self.revoke_where(|key, live| live.user() == user && (key.0 == door || is_under(live)));
    }

    /// Ends what a user has open with certificates of their tokens. The store must have forgotten them already.
    pub fn revoke_issued(&self, user: &Username) {
        self.revoke_where(|_, live| live.user() == user && live.login().is_some());
    }

    /// Ends what a user used least recently of one kind, until `most` are left.
    ///
    /// For verified passwords, which no store counts: where the stack folds names, one account has as many of them as its
    /// name has spellings.
    pub fn limit(&self, door: Door, user: &Username, most: usize) {
        let mut uses: Vec<(Option<UnixSeconds>, KeyHash)> = lock(&self.live)
            .iter()
            .filter(|(key, live)| key.0 == door && live.user() == user)
            .map(|(key, live)| (live.last_seen(), key.1))
            .collect();
        uses.sort_unstable();
        for (_, key) in uses.iter().take(uses.len().saturating_sub(most)) {
            self.revoke(door, *key);
        }
    }

    /// Ends everything a user has open.
    pub fn revoke_user(&self, user: &Username) {
        self.revoke_where(|_, live| live.user() == user);
    }

    /// Ends everything of users of whom `is_lost` says that they may not come in any more; gives their names.
    pub fn revoke_lost(&self, is_lost: impl Fn(&Username) -> bool) -> HashSet<Username> {
        // Asked without the lock: the answer may take a look at a file.
        let lost: HashSet<Username> = self.users().into_iter().filter(|user| is_lost(user)).collect();
        for user in &lost {
            self.revoke_user(user);
        }
        lost
    }

    /// Everybody with an account who has something alive here.
    #[must_use]
    pub fn users(&self) -> HashSet<Username> {
        let live = lock(&self.live);
        live.values().filter(|live| !live.is_machine()).map(|live| live.user().clone()).collect()
    }

    /// Ends what was got by certificates that `is_good` does not let in any more, each as soon as it was judged; gives how
    /// many there were. What counts must have changed before.
    ///
    /// Look-ups that are under way are sent back, judged or not: they may have asked what counted before. So the count of
    /// revocations moves in the same moment in which is collected what there is; a later one is judged by what counts now.
    pub fn recheck_certificates(&self, is_good: impl Fn(&Credential) -> bool) -> usize {
        let held: Vec<(Key, Arc<Credential>)> = {
            let live = lock(&self.live);
            self.revocations.fetch_add(1, Ordering::AcqRel);
            let held = live.iter().filter(|(_, credential)| credential.certificate().is_some());
            held.map(|(key, credential)| (*key, Arc::clone(credential))).collect()
        };
        // Judged without the lock: it takes signature checks.
        let over = held.into_iter().filter(|(_, credential)| !is_good(credential));
        over.map(|(key, credential)| {
            let mut live = lock(&self.live);
            if live.get(&key).is_some_and(|found| Arc::ptr_eq(found, &credential)) {
                live.remove(&key);
            }
            drop(live);
            lock(&self.noted).remove(&key);
            credential.cut().fall();
        })
        .count()
    }

    /// Gives everything that a user has open these groups; `true` if that changed anything.
    pub fn set_groups(&self, user: &Username, groups: &Arc<[String]>) -> bool {
        let live = lock(&self.live);
        let theirs = live.values().filter(|live| live.user() == user);
        theirs.filter(|credential| credential.set_groups(groups)).count() > 0
    }

    /// Ends what a user has opened until a time, that second included; `true` if there was any.
    pub fn revoke_until(&self, user: &Username, until: UnixSeconds) -> bool {
        let is_old = |live: &Credential| live.user() == user && live.created() <= until;
        // Looked first: every revocation sends look-ups that are under way back to the store.
        if !lock(&self.live).values().any(|live| is_old(live)) {
            return false;
        }
        self.revoke_where(|_, live| is_old(live));
        true
    }

    /// Gives everything that is open the groups of its user, as `now` tells them; gives the users for whom that changed
    /// something.
    pub fn refresh_groups(&self, now: impl Fn(&Username) -> Option<Arc<[String]>>) -> Vec<Username> {
        let mut users: Vec<Username> = self.users().into_iter().collect();
        users.retain(|user| now(user).is_some_and(|groups| self.set_groups(user, &groups)));
        users
    }

    /// Ends everything, because the gateway ends.
    pub fn cut_all(&self) {
        for credential in lock(&self.live).values() {
            credential.cut().fall();
        }
    }

    /// Ends what is over at `now`, so that its streams are cut though no request comes, and gives the last uses that
    /// the store does not know yet.
    pub fn sweep(&self, now: UnixSeconds) -> LastUses {
        let mut uses = LastUses::default();
        let mut noted = lock(&self.noted);
        lock(&self.live).retain(|key, credential| {
            if !credential.is_live(now) {
                credential.cut().fall();
                noted.remove(key);
                return false;
            }
            // Looked up and not let in, by the account check for example: that is no use.
            let Some(seen) = credential.last_seen() else { return true };
            if noted.insert(*key, seen) != Some(seen) {
                match key.0 {
                    Door::Session => uses.sessions.push((key.1, seen)),
                    Door::Token => uses.tokens.push((key.1, seen)),
                    Door::Certificate if credential.login().is_some() => {
                        uses.certificates.push((key.1, seen))
                    }
                    Door::Basic | Door::Certificate | Door::None => {}
                }
            }
            true
        });
        uses
    }

    fn revoke_where(&self, matches: impl Fn(&Key, &Credential) -> bool) {
        // In this order, as `sweep` takes them.
        let mut noted = lock(&self.noted);
        let mut live = lock(&self.live);
        self.revocations.fetch_add(1, Ordering::AcqRel);
        live.retain(|key, credential| {
            let hit = matches(key, credential);
            if hit {
                credential.cut().fall();
                noted.remove(key);
            }
            !hit
        });
    }
}

/// A thread that panicked while holding the lock left a map that is still whole: each change is one call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Registry;
    use crate::domain::{ClientCertificate, Door, Username};
    use crate::identity::Credential;
    use crate::trust::Person;

    fn credential(key: u8, user: &str, expires: i64) -> Credential {
        Credential::from_password([key; 32], Username::parse(user).unwrap(), Vec::new(), 0, expires)
    }

    #[test]
    fn s7_revoking_a_user_cuts_all_of_theirs_and_nobody_elses() {
        let registry = Registry::default();
        let first = registry.admit(Door::Basic, credential(1, "bob", 100), registry.generation()).unwrap();
        let second = registry.admit(Door::Basic, credential(2, "bob", 100), registry.generation()).unwrap();
        let other = registry.admit(Door::Basic, credential(3, "eve", 100), registry.generation()).unwrap();
        registry.revoke_user(&Username::parse("bob").unwrap());
        assert!(first.cut().has_fallen() && second.cut().has_fallen() && !other.cut().has_fallen());
        assert!(registry.find(Door::Basic, [1; 32]).is_none());
        assert!(registry.find(Door::Basic, [3; 32]).is_some());
    }

    #[test]
    fn i13_of_one_persons_verified_passwords_the_ones_used_least_recently_end() {
        let registry = Registry::default();
        let open = |key: u8, user| {
            let made =
                registry.admit(Door::Basic, credential(key, user, 1000), registry.generation()).unwrap();
            made.touch(100 - i64::from(key));
            made
        };
        let eve = open(9, "eve");
        let bobs: Vec<_> = (1..=5).map(|key| open(key, "bob")).collect();
        registry.limit(Door::Basic, &Username::parse("bob").unwrap(), 3);
        let ended: Vec<bool> = bobs.iter().map(|credential| credential.cut().has_fallen()).collect();
        assert_eq!(ended, [false, false, false, true, true]);
        assert!(!eve.cut().has_fallen());
    }

    #[test]
    fn k3_who_is_lost_loses_everything_and_others_nothing() {
        let registry = Registry::default();
        let bob = registry.admit(Door::Basic, credential(1, "bob", 100), registry.generation()).unwrap();
        let eve = registry.admit(Door::Basic, credential(2, "eve", 100), registry.generation()).unwrap();
        let lost = registry.revoke_lost(|user| user.as_str() == "eve");
        assert_eq!(lost.len(), 1);
        assert!(eve.cut().has_fallen() && !bob.cut().has_fallen());
    }

    #[test]
    fn s7_logging_a_user_out_ends_what_is_old_and_disturbs_nobody_else() {
        let registry = Registry::default();
        let open = |key, user: &str, created| {
            let name = Username::parse(user).unwrap();
            let made = Credential::from_password([key; 32], name, Vec::new(), created, 1000);
            registry.admit(Door::Basic, made, registry.generation()).unwrap()
        };
        let (old, young, eve) = (open(1, "bob", 50), open(2, "bob", 51), open(3, "eve", 10));
        let bob = Username::parse("bob").unwrap();
        let before = registry.generation();
        assert!(!registry.revoke_until(&bob, 49) && registry.generation() == before);
        assert!(registry.revoke_until(&bob, 50) && !registry.revoke_until(&bob, 50));
        assert!(old.cut().has_fallen() && !young.cut().has_fallen() && !eve.cut().has_fallen());
    }

    #[test]
    fn new_groups_reach_all_that_their_user_has_open_and_nobody_else() {
        let registry = Registry::default();
        let open = |key, user| {
            let credential = registry.admit(Door::Basic, credential(key, user, 100), registry.generation());
            crate::identity::Identity::new(credential.unwrap())
        };
        let (first, second, eve) = (open(1, "bob"), open(2, "bob"), open(3, "eve"));
        let now = |user: &Username| (user.as_str() == "bob").then(|| ["ops".to_owned()].into());
        assert_eq!(registry.refresh_groups(now), [Username::parse("bob").unwrap()]);
        assert!(registry.refresh_groups(now).is_empty(), "told once");
        assert!([first, second].iter().all(|identity| *identity.groups() == ["ops".to_owned()]));
        assert!(eve.groups().is_empty());
    }

    #[test]
    fn a_look_up_that_overlaps_a_revocation_cannot_revive_the_credential() {
        let registry = Registry::default();
        let before = registry.generation();
        registry.revoke(Door::Basic, [1; 32]);
        assert!(registry.admit(Door::Basic, credential(1, "bob", 100), before).is_none());
    }

    #[test]
    fn c2_a_look_up_that_overlaps_a_change_of_what_counts_is_sent_back_though_nothing_ended() {
        let registry = Registry::default();
        let before = registry.generation();
        assert_eq!(registry.recheck_certificates(|_| true), 0);
        assert!(registry.admit(Door::Certificate, credential(1, "bob", 100), before).is_none());
        // Also while others are still being judged.
        let during = std::cell::Cell::new(0);
        let held = ClientCertificate::new(vec![vec![1].into()]).unwrap();
        let person = Person {
            user: Username::parse("eve").unwrap(),
            groups: None,
            is_machine: false,
            expires: 100,
            serial: "01".to_owned(),
        };
        let made = Credential::from_certificate(Arc::new(held), &person, 0);
        let before = registry.generation();
        let made = registry.admit(Door::Certificate, made, before).unwrap();
        let ended = registry.recheck_certificates(|_| {
            during.set(registry.generation());
            false
        });
        assert!(during.get() > before && ended == 1 && made.cut().has_fallen());
    }

    #[test]
    fn s8_an_expiry_cuts_streams_though_no_request_comes() {
        let registry = Registry::default();
        let ending = registry.admit(Door::Basic, credential(1, "bob", 100), registry.generation()).unwrap();
        registry.sweep(99);
        assert!(!ending.cut().has_fallen());
        registry.sweep(100);
        assert!(ending.cut().has_fallen());
    }
}

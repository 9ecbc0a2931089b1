//! Conversations that wait for their person: whose they are, for how long, and how many there may be.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::{digest, rand};
use data_encoding::BASE64URL_NOPAD;
use tokio::time::Instant;

use crate::domain::{Client, Clients, Clock, Password, UnixSeconds, Username, network_of};
use crate::identity::authenticator::Dialogue;
use crate::identity::exchange::Limits;
use crate::identity::origin::Origin;
use crate::identity::room::{Holder, Rank, victim};
use crate::throttle::Transcript;

/// Most conversations of one client that wait for their first answer; a further one ends the oldest.
const MAX_OF_ONE: usize = 8;
/// Most steps that are remembered as expired.
const MAX_EXPIRED: usize = 1024;

/// Hash of a conversation's id: the table holds no value that could be replayed.
type IdHash = [u8; 32];

/// A conversation that waits for its person.
pub(super) struct Waiting {
    pub(super) dialogue: Dialogue,
    pub(super) user: Username,
    pub(super) client: Client,
    /// The browser that it belongs to, see [`Origin`].
    pub(super) browser: Option<[u8; 32]>,
    /// A password given at the start, until the question comes that is for it.
    pub(super) password: Option<Password>,
    /// A code was asked for while the password was held back.
    pub(super) has_asked_code: bool,
    /// The stack was given an answer: whatever it says from then on may be a verdict on it.
    pub(super) has_answered: bool,
    pub(super) transcript: Transcript,
    /// It comes from a device on which the user is known.
    pub(super) is_known: bool,
    pub(super) asked: UnixSeconds,
    pub(super) begun: UnixSeconds,
    /// As `asked`, but finer: which of a client's conversations is the oldest.
    pub(super) order: Instant,
    /// Held while it is out for an answer, so that its place is not given away.
    pub(super) answering: Option<Arc<()>>,
}

impl Waiting {
    fn owner(&self) -> Owner {
        Owner(network_of(self.client.address), self.browser)
    }

    const fn holder(&self) -> Holder {
        let rank = match (self.has_answered, self.is_known) {
            (false, _) => Rank::Begun,
            (true, false) => Rank::Answered,
            (true, true) => Rank::AnsweredByKnown,
        };
        Holder { address: self.client.address, rank, since: self.order }
    }
}

/// All of them. Each step has an id of its own that works once.
pub(super) struct Pending {
    table: Mutex<HashMap<IdHash, Waiting>>,
    /// As many copies as there are conversations out for an answer, and one.
    answering: Arc<()>,
    /// The last steps whose deadline passed, for their own clients to be told.
    expired: Mutex<VecDeque<(IdHash, Owner)>>,
    most: usize,
    clients: Clients,
    prompt_seconds: i64,
    login_seconds: i64,
    clock: Clock,
}

/// Whose a conversation is: a network, and the browser in it.
#[derive(Clone, Copy, Eq, PartialEq)]
struct Owner(IpAddr, Option<[u8; 32]>);

/// Why there is no conversation of an id.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Missing {
    /// Its client took too long.
    Expired,
    /// It is unknown, used, given up, or of another client.
    Unknown,
}

/// Why a conversation cannot wait.
pub(super) enum NotStored {
    Full,
    NoEntropy,
}

impl Pending {
    /// All together keep half of the logins' places: the other half is for logins that bring their password along.
    pub(super) fn new(limits: &Limits, clients: Clients, clock: Clock) -> Self {
        Self {
            table: Mutex::default(),
            answering: Arc::default(),
            expired: Mutex::default(),
            clients,
            most: limits.max_logins.div_ceil(2),
            prompt_seconds: seconds(limits.prompt_deadline),
            login_seconds: seconds(limits.login_deadline),
            clock,
        }
    }

    /// Stores a conversation; gives the id of its next step. One that has answered already finds a place: it had one
    /// before, or its person may know a password.
    pub(super) fn store(&self, mut waiting: Waiting) -> Result<String, NotStored> {
        let Some((id, hash)) = new_id() else { return Err(NotStored::NoEntropy) };
        waiting.asked = self.clock.now();
        waiting.order = Instant::now();
        waiting.answering = None;
        let newcomer = waiting.holder();
        let mut table = self.lock();
        self.end_oldest(&mut table, &waiting);
        let out = Arc::strong_count(&self.answering) - 1;
        if table.len() + out >= self.most {
            let holders: Vec<_> = table.iter().map(|(id, other)| (*id, other.holder())).collect();
            match victim(&holders, &newcomer) {
                Some(id) => drop(table.remove(&id)),
                None if newcomer.rank == Rank::Begun => return Err(NotStored::Full),
                // More networks than there are places: the last bound is what a broker has.
                None if table.len() + out >= self.most + self.most / 2 => {
                    let oldest = holders.iter().min_by_key(|(_, holder)| (holder.rank, holder.since));
                    if let Some((id, _)) = oldest {
                        table.remove(id);
                    }
                }
                None => {}
            }
        }
        table.insert(hash, waiting);
        Ok(id)
    }

    /// Whoever begins without answering must not use up the places: one client keeps its newest few.
    fn end_oldest(&self, table: &mut HashMap<IdHash, Waiting>, newcomer: &Waiting) {
        let Some(client) = self.clients.one(newcomer.client).filter(|_| !newcomer.has_answered) else {
            return;
        };
        let own = || {
            let begun = table.iter().filter(|(_, other)| !other.has_answered);
            begun.filter(|(_, other)| network_of(other.client.address) == client)
        };
        if own().count() >= MAX_OF_ONE
            && let Some(oldest) = own().min_by_key(|(_, other)| other.order).map(|(id, _)| *id)
        {
            table.remove(&oldest);
        }
    }

    /// Takes a conversation out for an answer; it keeps its place.
    ///
    /// # Errors
    /// Why there is none. Only its own client is told that it expired.
    pub(super) fn take(&self, id: &str, origin: &Origin) -> Result<Waiting, Missing> {
        let (hash, now) = (hash(id), self.clock.now());
        let owner = Owner(network_of(origin.client.address), origin.browser);
        let mut table = self.lock();
        let Some(mut waiting) = table.remove(&hash).filter(|waiting| waiting.owner() == owner) else {
            let has_expired = self.expired().iter().any(|(id, of)| *id == hash && *of == owner);
            return Err(if has_expired { Missing::Expired } else { Missing::Unknown });
        };
        if !self.is_open(&waiting, now) {
            self.note_expired(hash, owner);
            return Err(Missing::Expired);
        }
        waiting.answering = Some(Arc::clone(&self.answering));
        Ok(waiting)
    }

    /// Drops conversations whose time is up, which frees their PAM children.
    pub(super) fn sweep(&self) {
        let now = self.clock.now();
        let ended = self.lock().extract_if(|_, waiting| !self.is_open(waiting, now)).collect::<Vec<_>>();
        for (id, waiting) in ended {
            self.note_expired(id, waiting.owner());
        }
    }

    fn note_expired(&self, id: IdHash, owner: Owner) {
        let mut expired = self.expired();
        if expired.len() >= MAX_EXPIRED {
            expired.pop_front();
        }
        expired.push_back((id, owner));
    }

    /// Locked after the table, where both are.
    fn expired(&self) -> MutexGuard<'_, VecDeque<(IdHash, Owner)>> {
        self.expired.lock().unwrap_or_else(PoisonError::into_inner)
    }

    const fn is_open(&self, waiting: &Waiting, now: UnixSeconds) -> bool {
        now - waiting.asked < self.prompt_seconds && now - waiting.begun < self.login_seconds
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IdHash, Waiting>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn new_id() -> Option<(String, IdHash)> {
    let mut bytes = [0_u8; 32];
    rand::fill(&mut bytes).ok()?;
    let id = BASE64URL_NOPAD.encode(&bytes);
    let hash = hash(&id);
    Some((id, hash))
}

fn hash(id: &str) -> IdHash {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, id.as_bytes()).as_ref());
    out
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Missing, NotStored, Pending, Waiting};
    use crate::domain::{Clients, Clock, Username};
    use crate::identity::authenticator::{Dialogue, Step};
    use crate::identity::exchange::Limits;
    use crate::identity::origin::Origin;
    use crate::throttle::Throttle;

    const HERE: &str = "203.0.113.1";

    fn pending() -> Pending {
        pending_by(Clock::manual(0))
    }

    fn pending_by(clock: Clock) -> Pending {
        let limits = Limits {
            max_logins: 16,
            prompt_deadline: Duration::from_secs(60),
            login_deadline: Duration::from_secs(60),
            failure_delay: Duration::ZERO,
        };
        Pending::new(&limits, Clients::default(), clock)
    }

    fn waiting(address: &str, has_answered: bool) -> Waiting {
        Waiting {
            dialogue: Dialogue::Decoy(Box::new(Step::Busy(Duration::ZERO))),
            user: Username::parse("bob").unwrap(),
            client: address.parse::<IpAddr>().unwrap().into(),
            browser: None,
            password: None,
            has_asked_code: false,
            has_answered,
            transcript: Throttle::new(None, Clients::default(), Clock::manual(0)).transcript("bob"),
            is_known: false,
            asked: 0,
            begun: 0,
            order: Instant::now(),
            answering: None,
        }
    }

    fn origin(address: &str) -> Origin {
        Origin::unknown(address.parse::<IpAddr>().unwrap().into())
    }

    #[test]
    fn i12_a_login_keeps_its_place_while_it_is_answered_and_gets_one_for_its_next_step() {
        let pending = pending();
        let id = pending.store(waiting(HERE, false)).ok().unwrap();
        let mut mine = pending.take(&id, &origin(HERE)).ok().unwrap();
        // One login of each network, more networks than places.
        let stored = (0..20).filter(|n| pending.store(waiting(&format!("198.51.{n}.1"), false)).is_ok());
        assert_eq!(stored.count(), 7, "one of the eight places is in use");
        mine.has_answered = true;
        let id = pending.store(mine).ok().expect("a place for the next step");
        assert!(matches!(pending.store(waiting("192.0.2.1", false)), Err(NotStored::Full)));
        // Steps that are made up: the first one's network holds no more than others.
        for number in 0..20 {
            assert!(pending.store(waiting(&format!("198.51.{number}.1"), true)).is_ok());
        }
        assert!(pending.lock().len() <= 12);
        assert!(
            pending.take(&id, &origin(HERE)).is_err(),
            "only more networks than the last bound push it out"
        );
    }

    #[test]
    fn i12_steps_of_one_network_never_end_those_of_another() {
        let pending = pending();
        let id = pending.store(waiting(HERE, true)).ok().unwrap();
        for number in 0..100 {
            // A first step may find no place beside them.
            let _ = pending.store(waiting(&format!("198.51.100.{number}"), number % 2 == 0));
            assert!(pending.store(waiting(&format!("2001:db8:0:{number:x}::1"), true)).is_ok());
        }
        assert!(pending.take(&id, &origin(HERE)).is_ok());
        assert!(pending.lock().len() <= 8);
    }
    #[test]
    fn w8_an_expired_step_is_told_apart_from_an_unknown_one_to_its_own_client_only() {
        let clock = Clock::manual(0);
        let pending = pending_by(clock.clone());
        let found = |id: &str, address: &str| pending.take(id, &origin(address)).err();
        let [late, swept, used] = [0; 3].map(|_| pending.store(waiting(HERE, true)).ok().unwrap());
        assert_eq!(found(&used, HERE), None);
        clock.advance(60);
        assert_eq!(found(&late, HERE), Some(Missing::Expired));
        pending.sweep();
        for id in [&late, &swept] {
            assert_eq!(found(id, HERE), Some(Missing::Expired));
            assert_eq!(found(id, "198.51.100.1"), Some(Missing::Unknown));
        }
        assert_eq!(found(&used, HERE), Some(Missing::Unknown));
        assert_eq!(found("made up", HERE), Some(Missing::Unknown));
        for _ in 0..2 * super::MAX_EXPIRED {
            pending.note_expired([0; 32], super::Owner([192, 0, 2, 1].into(), None));
        }
        assert_eq!(pending.expired().len(), super::MAX_EXPIRED);
    }
}

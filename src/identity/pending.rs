//! Conversations that wait for their person: whose they are, for how long, and how many there may be.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::{digest, rand};
use data_encoding::BASE64URL_NOPAD;
use tokio::time::Instant;

use crate::domain::{Clock, Password, UnixSeconds, Username};
use crate::identity::authenticator::Dialogue;
use crate::identity::exchange::Limits;
use crate::identity::origin::Origin;
use crate::throttle::Transcript;

/// Most conversations of one address that wait for an answer; a further one ends the oldest.
const MAX_OF_ONE: usize = 8;

/// Hash of a conversation's id: the table holds no value that could be replayed.
type IdHash = [u8; 32];

/// A conversation that waits for its person.
pub(super) struct Waiting {
    pub(super) dialogue: Dialogue,
    pub(super) user: Username,
    pub(super) address: IpAddr,
    /// The browser that it belongs to, see [`Origin`].
    pub(super) browser: Option<[u8; 32]>,
    /// A password given at the start, until a secret prompt comes.
    pub(super) password: Option<Password>,
    /// The stack was given an answer: whatever it says from then on may be a verdict on it.
    pub(super) has_answered: bool,
    pub(super) transcript: Transcript,
    pub(super) asked: UnixSeconds,
    pub(super) begun: UnixSeconds,
    /// As `asked`, but finer: which of an address's conversations is the oldest.
    pub(super) order: Instant,
}

/// All of them. Each step has an id of its own that works once.
pub(super) struct Pending {
    table: Mutex<HashMap<IdHash, Waiting>>,
    most: usize,
    prompt_seconds: i64,
    login_seconds: i64,
    clock: Clock,
}

/// Why a conversation cannot wait.
pub(super) enum NotStored {
    Full,
    NoEntropy,
}

impl Pending {
    pub(super) fn new(limits: &Limits, clock: Clock) -> Self {
        Self {
            table: Mutex::default(),
            most: limits.max_logins.div_ceil(2),
            prompt_seconds: seconds(limits.prompt_deadline),
            login_seconds: seconds(limits.login_deadline),
            clock,
        }
    }

    /// Stores a conversation; gives the id of its next step.
    pub(super) fn store(&self, mut waiting: Waiting) -> Result<String, NotStored> {
        let Some((id, hash)) = new_id() else { return Err(NotStored::NoEntropy) };
        waiting.asked = self.clock.now();
        waiting.order = Instant::now();
        let mut table = self.lock();
        // Whoever asks without answering must not use up the places: one address keeps its newest few, all together
        // keep half, and the other half is for logins that bring their password along.
        let own: Vec<(IdHash, Instant)> = table
            .iter()
            .filter(|(_, other)| other.address == waiting.address)
            .map(|(id, other)| (*id, other.order))
            .collect();
        if own.len() >= MAX_OF_ONE
            && let Some((oldest, _)) = own.iter().min_by_key(|(_, order)| *order)
        {
            table.remove(oldest);
        }
        if table.len() >= self.most {
            return Err(NotStored::Full);
        }
        table.insert(hash, waiting);
        Ok(id)
    }

    /// Takes a conversation out. An id that is unknown, used, over, or of another client gives none.
    pub(super) fn take(&self, id: &str, origin: &Origin) -> Option<Waiting> {
        let now = self.clock.now();
        let waiting = self.lock().remove(&hash(id))?;
        let is_same = waiting.address == origin.address && waiting.browser == origin.browser;
        (is_same && self.is_open(&waiting, now)).then_some(waiting)
    }

    /// Drops conversations whose time is up, which frees their PAM children.
    pub(super) fn sweep(&self) {
        let now = self.clock.now();
        self.lock().retain(|_, waiting| self.is_open(waiting, now));
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

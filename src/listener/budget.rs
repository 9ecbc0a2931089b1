//! One budget of memory, for the whole process, for all connections that have not authenticated yet.
//!
//! Whoever can reach the port can open connections and send half of something: a handshake, a request head, a body whose
//! credential is still being checked. Each connection is charged for what it holds until a request on it is
//! authenticated. When the budget is spent, connections are closed: those that hold most first, of these the one whose
//! last request is the longest ago. Authenticated connections hold no share and are never closed for this.
//!
//! ```text
//! enter ─► handshake ─► secured ─► (read … begin_request … answered)* ─► authenticated: no share any more
//!             └────────────────────── evicted: another needs the room ──► closed
//! ```
//!
//! What is charged is an estimate on the high side, made where bytes are read from the socket: what TLS, hyper and h2 keep
//! of them cannot be asked. The factors were measured with `benches/memory.py`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use self::share::{RequestShare, Share};

mod share;

/// The log tells of closed connections this often at most.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// The budget. Clones are the same one.
#[derive(Clone, Debug)]
pub struct UnauthenticatedBudget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    max: usize,
    spent: AtomicUsize,
    /// Counts requests and connections, so that the ones of long ago are known.
    moments: AtomicU64,
    members: Mutex<Members>,
}

#[derive(Debug, Default)]
struct Members {
    shares: HashMap<u64, Arc<Share>>,
    closed: u64,
    told: Option<Instant>,
}

/// A connection's place in the budget, for as long as it lives.
#[derive(Debug)]
pub struct Membership(Arc<Share>);

impl UnauthenticatedBudget {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self(Arc::new(Shared {
            max,
            spent: AtomicUsize::new(0),
            moments: AtomicU64::new(0),
            members: Mutex::default(),
        }))
    }

    /// A place for a new connection; `None` if there is no room for it, whoever else is closed.
    #[must_use]
    pub fn enter(&self) -> Option<Membership> {
        let number = self.0.moments.fetch_add(1, Relaxed);
        let share = Arc::new(Share::new(Arc::clone(&self.0), number));
        lock(&self.0.members).shares.insert(number, Arc::clone(&share));
        let membership = Membership(share);
        membership.0.update();
        (!membership.0.is_evicted()).then_some(membership)
    }

    /// Bytes that are charged at this moment.
    #[must_use]
    pub fn spent(&self) -> usize {
        self.0.spent.load(Relaxed)
    }
}

impl Membership {
    /// What the connection holds.
    #[must_use]
    pub const fn share(&self) -> &Arc<Share> {
        &self.0
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        if !self.0.is_authenticated() {
            self.0.leave();
        }
    }
}

impl Shared {
    /// Closes connections until an eighth of the budget is free; `false` if that was not enough.
    fn make_room(&self) -> bool {
        let mut members = lock(&self.members);
        if self.spent.load(Relaxed) <= self.max {
            return true;
        }
        let unknown = || members.shares.values().filter(|share| share.is_unknown());
        // A login that is being checked must not fall because others come; unless such logins are the attack.
        let served = unknown().filter(|share| share.is_small_and_served());
        let served: usize = served.map(|share| share.charge()).sum();
        let spares_served = served <= self.max / 2;
        let mut candidates: Vec<_> = unknown()
            .filter(|share| !(spares_served && share.is_small_and_served()))
            .map(|share| (std::cmp::Reverse(share.class()), share.last(), Arc::clone(share)))
            .collect();
        candidates.sort_unstable_by_key(|(class, last, _)| (*class, *last));
        let mut closed = 0;
        for (_, _, share) in candidates {
            if self.spent.load(Relaxed) <= self.max - self.max / 8 {
                break;
            }
            share.evict();
            closed += 1;
        }
        members.tell(closed, self.max);
        self.spent.load(Relaxed) <= self.max
    }
}

impl Members {
    fn tell(&mut self, closed: u64, max: usize) {
        self.closed += closed;
        if self.closed == 0 || self.told.is_some_and(|told| told.elapsed() < TELL_EVERY) {
            return;
        }
        tracing::warn!(
            target: "doorward::listener", closed = self.closed, bytes = max,
            "connections that have not logged in hold as much as --unauthenticated-memory allows: some were closed"
        );
        (self.closed, self.told) = (0, Some(Instant::now()));
    }
}

/// Each change under these locks is one call, so a panic elsewhere leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;

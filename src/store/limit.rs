//! How much one person may have. Without a limit a loop around a login fills the disk of the state folder and the memory
//! of every process that knows these credentials.

use std::time::Duration;

use crate::domain::{Door, UnixSeconds};
use crate::store::KeyHash;

/// Most live sessions, tokens and certificates of logins of one person, all together.
pub const MAX_PER_USER: usize = 256;
/// Most live certificates of one token: programs renew, and must not use up what their owner may have.
pub const MAX_CERTIFICATES_PER_TOKEN: usize = 32;

/// What counts as live.
#[derive(Clone, Copy, Debug)]
pub struct LiveAt {
    /// What has expired at this time does not count.
    pub now: UnixSeconds,
    /// Nor do sessions last seen before this time.
    pub idle_since: UnixSeconds,
}

impl LiveAt {
    /// As of `now`, where sessions end when they were idle for `idle`.
    #[must_use]
    pub fn new(now: UnixSeconds, idle: Duration) -> Self {
        let idle = UnixSeconds::try_from(idle.as_secs()).unwrap_or(UnixSeconds::MAX);
        Self { now, idle_since: now.saturating_sub(idle) }
    }
}

/// A session or token that ended to make room for a login. Its streams are still to be cut.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ended {
    /// [`Door::Session`] or [`Door::Token`]; with a token its certificates have ended too.
    pub door: Door,
    /// Hash of its key.
    pub key: KeyHash,
    /// Its public id.
    pub id: String,
    /// What its owner calls it, if it is a token.
    pub name: Option<String>,
    /// When it was used last, by itself or by a certificate of it; when it was made, if it never was.
    pub used: UnixSeconds,
}

/// What came of keeping something.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Admission {
    /// It is kept, and these have ended for it.
    Kept(Vec<Ended>),
    /// Its owner has as much as one person may have.
    Full,
    /// Its token has as many certificates as one may have.
    TokenFull,
    /// The token that it belongs to has gone in the meantime.
    Orphaned,
}

/// What might end to make room.
#[derive(Debug)]
pub(super) struct Candidate {
    /// What would end.
    pub(super) what: Ended,
    /// When it came to be: of two that were used at the same time the older one ends.
    pub(super) created: UnixSeconds,
    /// Live certificates that would end with it.
    pub(super) certificates: usize,
}

/// Which of a person's `candidates` end so that one more has room. `spared` is what must not end.
pub(super) fn displaced(mut candidates: Vec<Candidate>, spared: Option<&KeyHash>) -> Vec<Ended> {
    let weight = |candidate: &Candidate| candidate.certificates + 1;
    let mut total: usize = candidates.iter().map(weight).sum();
    candidates.retain(|candidate| spared != Some(&candidate.what.key));
    candidates
        .sort_by(|a, b| (a.what.used, a.created, &a.what.id).cmp(&(b.what.used, b.created, &b.what.id)));
    let mut ended = Vec::new();
    for candidate in candidates {
        if total < MAX_PER_USER {
            break;
        }
        total -= weight(&candidate);
        ended.push(candidate.what);
    }
    ended
}

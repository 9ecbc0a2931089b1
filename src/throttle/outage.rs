//! Failures without a verdict: were they an outage, or is this a stack that reports every refusal as one? Pure.
//!
//! Nobody can tell when such a failure comes. `pam_exec` returns `SYSTEM_ERR` for every wrong password, and a directory
//! that is down returns the same for right ones. So these failures count like others, but the bans that they bring are
//! provisional: they are taken back once there is evidence of an outage. Evidence is either of
//!
//! - a credential that got no verdict before and is accepted now: on a stack that refuses in this way it would be
//!   refused again, so only an outage can have kept it out;
//! - the same code for several names from several clients, with no login in between, and then a login.
//!
//! The second one can be made by whoever has an account and several addresses, and the first one by whoever can change a
//! password in between. So there is at most one pardon an hour. Until then, a provisional ban does not keep out who
//! repeats a credential that got no verdict: to a guesser this tells nothing new, and to its owner that the outage is
//! over.

use std::collections::VecDeque;
use std::net::IpAddr;

/// Credentials that are remembered. Each costs its sender a counted failure.
const MAX_TRIED: usize = 4096;
/// Codes that are watched at the same time.
const MAX_CODES: usize = 8;
/// How many names, and how many clients, "several" are.
const SEVERAL: usize = 3;
/// Milliseconds between two pardons at least, and after which a code that was not seen again is forgotten.
const HOUR: i64 = 3_600_000;

/// What stood behind a failure without a verdict, so that equal ones can be told: PAM's code, or `None` if there was no
/// answer at all.
pub type OutageCode = Option<i32>;

/// One attempt that got no verdict. All of it is hashed with a key of this process, but the client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) name: u64,
    /// Everything that was answered; `None` where no secret was given.
    pub(super) credential: Option<u64>,
    pub(super) client: IpAddr,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Outages {
    tried: VecDeque<Tried>,
    sightings: Vec<Sighting>,
    pardoned: Option<i64>,
}

#[derive(Debug)]
struct Tried {
    name: u64,
    credential: u64,
    /// It got no verdict, though somebody waited for one. Hanging up early is in anybody's power and proves nothing.
    is_evidence: bool,
}

/// One code, and some of those who got it since somebody last logged in.
#[derive(Debug)]
struct Sighting {
    code: OutageCode,
    names: Vec<u64>,
    clients: Vec<IpAddr>,
    last: i64,
}

impl Outages {
    /// Notes an attempt that got no verdict.
    pub(super) fn note(&mut self, code: OutageCode, seen: Seen, now: i64) {
        self.remember(seen, true);
        self.sightings.retain(|sighting| now - sighting.last < HOUR);
        if !self.sightings.iter().any(|sighting| sighting.code == code) && self.sightings.len() < MAX_CODES {
            self.sightings.push(Sighting { code, names: Vec::new(), clients: Vec::new(), last: now });
        }
        if let Some(sighting) = self.sightings.iter_mut().find(|sighting| sighting.code == code) {
            sighting.last = now;
            add(&mut sighting.names, seen.name);
            add(&mut sighting.clients, seen.client);
        }
    }

    /// Notes an attempt whose client did not wait for the verdict.
    pub(super) fn note_abandoned(&mut self, seen: Seen) {
        self.remember(seen, false);
    }

    /// Whether an attempt can tell its sender nothing new: this very credential got no verdict before, or it has none,
    /// and the name has something to repeat.
    pub(super) fn is_repeated(&self, name: u64, credential: Option<u64>) -> bool {
        self.tried
            .iter()
            .any(|tried| credential.map_or(tried.name == name, |credential| tried.credential == credential))
    }

    /// A credential was accepted, if `is_login` as the last one. Says whether this is evidence of an outage that has
    /// ended, for which there has been no pardon yet.
    pub(super) fn is_ended_by(&mut self, credential: Option<u64>, is_login: bool, now: i64) -> bool {
        let is_same = |tried: &Tried| tried.is_evidence && Some(tried.credential) == credential;
        let was_kept_out = self.tried.iter().any(is_same);
        let is_general = is_login
            && self.sightings.iter().any(|sighting| {
                now - sighting.last < HOUR
                    && sighting.names.len() >= SEVERAL
                    && sighting.clients.len() >= SEVERAL
            });
        if is_login {
            self.sightings.clear();
        }
        let may_pardon = self.pardoned.is_none_or(|last| now - last >= HOUR);
        let is_ended = (was_kept_out || is_general) && may_pardon;
        if is_ended {
            self.pardoned = Some(now);
        }
        is_ended
    }

    fn remember(&mut self, seen: Seen, is_evidence: bool) {
        let Some(credential) = seen.credential else { return };
        if let Some(tried) = self.tried.iter_mut().find(|tried| tried.credential == credential) {
            tried.is_evidence |= is_evidence;
            return;
        }
        if self.tried.len() >= MAX_TRIED {
            self.tried.pop_front();
        }
        self.tried.push_back(Tried { name: seen.name, credential, is_evidence });
    }
}

/// Adds what is not there yet, as far as it matters.
fn add<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if list.len() < SEVERAL && !list.contains(&item) {
        list.push(item);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{HOUR, MAX_TRIED, Outages, Seen};

    fn seen(name: u64, credential: u64, client: u8) -> Seen {
        Seen { name, credential: Some(credential), client: IpAddr::from([192, 0, 2, client]) }
    }

    #[test]
    fn i6_what_got_no_verdict_and_is_accepted_later_is_evidence_of_an_outage_once_an_hour() {
        let mut outages = Outages::default();
        outages.note(Some(4), seen(1, 11, 1), 0);
        assert!(!outages.is_ended_by(Some(12), true, 0), "another credential");
        assert!(!outages.is_ended_by(None, true, 0));
        assert!(outages.is_ended_by(Some(11), false, 0), "a further question will do");
        outages.note(Some(4), seen(2, 21, 1), 1);
        assert!(!outages.is_ended_by(Some(21), true, HOUR - 1));
        assert!(outages.is_ended_by(Some(21), true, HOUR));
    }

    #[test]
    fn i6_who_hangs_up_early_makes_no_evidence_but_may_repeat_what_he_sent() {
        let mut outages = Outages::default();
        outages.note_abandoned(seen(1, 11, 1));
        assert!(outages.is_repeated(1, Some(11)) && outages.is_repeated(1, None));
        assert!(!outages.is_repeated(1, Some(12)) && !outages.is_repeated(2, None));
        assert!(!outages.is_ended_by(Some(11), true, 0));
    }

    #[test]
    fn i6_one_code_for_several_names_from_several_clients_and_no_login_in_between_is_an_outage() {
        let of = |attempts: &[(Option<i32>, u64, u8)]| {
            let mut outages = Outages::default();
            for (code, name, client) in attempts {
                outages.note(*code, seen(*name, *name, *client), 0);
            }
            outages
        };
        let all = [(Some(9), 1, 1), (Some(9), 2, 2), (Some(9), 3, 3)];
        assert!(of(&all).is_ended_by(Some(99), true, 0));
        assert!(!of(&all).is_ended_by(Some(99), false, 0), "nobody has logged in");
        assert!(!of(&all).is_ended_by(Some(99), true, HOUR), "long ago");
        assert!(!of(&all[..2]).is_ended_by(Some(99), true, 0));
        assert!(!of(&all.map(|(code, name, _)| (code, name, 1))).is_ended_by(Some(99), true, 0));
        assert!(!of(&all.map(|(code, _, client)| (code, 1, client))).is_ended_by(Some(99), true, 0));
        assert!(!of(&[all[0], all[1], (None, 3, 3)]).is_ended_by(Some(99), true, 0), "two codes");
        let mut between = of(&all[..2]);
        assert!(!between.is_ended_by(Some(99), true, 0));
        between.note(Some(9), seen(3, 3, 3), 0);
        assert!(!between.is_ended_by(Some(99), true, 0), "somebody logged in meanwhile");
    }

    #[test]
    fn i6_what_is_remembered_is_bounded() {
        let mut outages = Outages::default();
        for number in 0..2 * MAX_TRIED {
            let code = Some(i32::try_from(number).unwrap());
            outages.note(code, seen(number as u64, number as u64, 1), 0);
        }
        assert_eq!(outages.tried.len(), MAX_TRIED);
        assert!(outages.sightings.len() <= super::MAX_CODES);
        assert!(!outages.is_repeated(0, Some(0)));
    }
}

//! How many logins may run and wait, and who makes room for whom. Pure, but for a lock.
//!
//! Whoever holds many places, by one address or by a network full of them, must not keep others out: where there is no
//! place left, the network that holds most loses its oldest. A login that has come past its first answer is worth more
//! than one that has only begun, which anybody can do without knowing anything.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::domain::{Client, Clients, network_of, site_of};

/// Logins that one site may run at once, however small the limit of all is.
const LEAST_OF_ONE: usize = 16;
/// A site that holds more than a quarter of all, at the least and at the most this many, loses logins in a later step to
/// one that begins.
const FAIR_SHARE: (usize, usize) = (2, 8);

/// How much is lost with a login.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Rank {
    /// It waits for its first answer.
    Begun,
    /// The stack took an answer and asks on.
    Answered,
    /// The same, in a browser or with a credential of the person.
    AnsweredByKnown,
}

/// A login that holds a place, or wants one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holder {
    pub(super) address: IpAddr,
    pub(super) rank: Rank,
    pub(super) since: Instant,
}

/// Which of `holders` makes room for `newcomer`; `None` if none must.
pub(super) fn victim<I: Copy>(holders: &[(I, Holder)], newcomer: &Holder) -> Option<I> {
    let (mut sites, mut clients) = (HashMap::<IpAddr, usize>::new(), HashMap::<IpAddr, usize>::new());
    for (_, holder) in holders {
        *sites.entry(site_of(holder.address)).or_default() += 1;
        *clients.entry(network_of(holder.address)).or_default() += 1;
    }
    let of = |counts: &HashMap<IpAddr, usize>, key: IpAddr| counts.get(&key).copied().unwrap_or_default();
    let own_site = site_of(newcomer.address);
    let own = of(&sites, own_site);
    let share = (holders.len() / 4).clamp(FAIR_SHARE.0, FAIR_SHARE.1);
    let most = sites.values().copied().max().unwrap_or_default();
    // Whether its network holds more than the newcomer's will, which one more must not turn round.
    let holds_more = |holder: &Holder| {
        let held = of(&sites, site_of(holder.address));
        held > own + 1 || (site_of(holder.address) == own_site && held == most)
    };
    let may_go = |holder: &Holder| {
        let is_own = site_of(holder.address) == own_site;
        match (newcomer.rank, holder.rank) {
            (Rank::Begun, Rank::Begun) => is_own || holds_more(holder),
            (Rank::Begun, _) => !is_own && holds_more(holder) && of(&sites, site_of(holder.address)) > share,
            (_, Rank::Begun) => true,
            (_, _) => holds_more(holder) && (!is_own || own > share),
        }
    };
    let candidates = holders.iter().filter(|(_, holder)| may_go(holder));
    let first_to_go = candidates.min_by_key(|(_, holder)| {
        let site = std::cmp::Reverse(of(&sites, site_of(holder.address)));
        let client = std::cmp::Reverse(of(&clients, network_of(holder.address)));
        (!holds_more(holder), holder.rank.min(Rank::Answered), site, client, holder.rank, holder.since)
    });
    first_to_go.map(|(id, _)| *id)
}

/// Logins that are being computed, not those that wait for a person or pay for a failure.
pub(super) struct Running {
    most: usize,
    of_one: usize,
    clients: Clients,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    all: usize,
    sites: HashMap<IpAddr, usize>,
}

/// A place among them, until it is dropped.
pub(super) struct RunningPermit {
    running: Arc<Running>,
    site: Option<IpAddr>,
}

impl Running {
    pub(super) fn new(most: usize, clients: Clients) -> Arc<Self> {
        let of_one = (most / 2).max(LEAST_OF_ONE).min(most);
        Arc::new(Self { most, of_one, clients, counts: Mutex::default() })
    }

    /// A place, if there is one; none is waited for.
    pub(super) fn acquire(self: &Arc<Self>, client: Client) -> Option<RunningPermit> {
        let site = self.clients.one(client).map(site_of);
        let mut counts = self.lock();
        let own = site.map_or(0, |site| counts.sites.get(&site).copied().unwrap_or_default());
        if counts.all >= self.most || own >= self.of_one {
            return None;
        }
        counts.all += 1;
        if let Some(site) = site {
            *counts.sites.entry(site).or_default() += 1;
        }
        Some(RunningPermit { running: Arc::clone(self), site })
    }

    /// Each change is one call, so a panic elsewhere leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RunningPermit {
    fn drop(&mut self) {
        let mut counts = self.running.lock();
        counts.all = counts.all.saturating_sub(1);
        let Some(site) = self.site else { return };
        if let Some(own) = counts.sites.get_mut(&site) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                counts.sites.remove(&site);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Clients, Holder, Rank, Running, victim};

    struct Place(Instant, Vec<(usize, Holder)>);

    impl Place {
        fn new() -> Self {
            Self(Instant::now(), Vec::new())
        }

        /// One more, which is younger than all before.
        fn with(mut self, address: &str, rank: Rank) -> Self {
            let holder = self.holder(address, rank);
            self.1.push((self.1.len(), holder));
            self
        }

        fn many(self, times: usize, address: impl Fn(usize) -> String, rank: Rank) -> Self {
            (0..times).fold(self, |place, number| place.with(&address(number), rank))
        }

        fn holder(&self, address: &str, rank: Rank) -> Holder {
            let since = self.0 + Duration::from_secs(self.1.len() as u64);
            Holder { address: address.parse().unwrap(), rank, since }
        }

        fn victim_of(&self, address: &str, rank: Rank) -> Option<usize> {
            victim(&self.1, &self.holder(address, rank))
        }
    }

    const HERE: &str = "203.0.113.1";

    #[test]
    fn i12_the_network_that_holds_most_loses_its_oldest_however_many_addresses_it_has() {
        let honest = Place::new().with("192.0.2.1", Rank::Begun);
        for address in [
            &(|number: usize| format!("2001:db8:0:{number:x}::1")) as &dyn Fn(usize) -> String,
            &|number| format!("198.51.100.{number}"),
            &|number| format!("2001:db8::{number:x}"),
        ] {
            let place = Place(honest.0, honest.1.clone()).many(63, address, Rank::Begun);
            assert_eq!(place.victim_of(HERE, Rank::Begun), Some(1));
            assert_eq!(place.victim_of(HERE, Rank::Answered), Some(1));
            assert_eq!(place.victim_of(&address(200), Rank::Begun), Some(1), "its own");
        }
    }

    #[test]
    fn i12_within_a_network_it_is_the_client_that_holds_most() {
        let place = Place::new().with("198.51.100.1", Rank::Begun).many(
            5,
            |_| "198.51.100.2".to_owned(),
            Rank::Begun,
        );
        assert_eq!(place.victim_of(HERE, Rank::Begun), Some(1));
    }

    #[test]
    fn i12_a_later_step_finds_a_place_before_one_that_has_only_begun() {
        let place = Place::new().many(64, |number| format!("198.51.{number}.1"), Rank::Begun);
        assert_eq!(place.victim_of(HERE, Rank::Begun), None, "nobody holds more than a place");
        assert_eq!(place.victim_of(HERE, Rank::Answered), Some(0));
        let place = Place::new()
            .many(63, |number| format!("198.51.{number}.1"), Rank::Answered)
            .with("192.0.2.1", Rank::Begun);
        assert_eq!(place.victim_of(HERE, Rank::Answered), Some(63));
    }

    #[test]
    fn i12_steps_that_a_network_has_made_up_are_no_shield_for_it() {
        let place = Place::new().with("192.0.2.1", Rank::Begun).with("203.0.113.9", Rank::Begun).many(
            62,
            |number| format!("2001:db8:0:{number:x}::1"),
            Rank::Answered,
        );
        for rank in [Rank::Begun, Rank::Answered] {
            assert_eq!(place.victim_of("203.0.112.1", rank), Some(2), "{rank:?}");
        }
        assert_eq!(place.victim_of(HERE, Rank::Answered), Some(2), "and not its neighbour");
    }

    #[test]
    fn i12_a_login_in_a_later_step_makes_room_only_if_its_network_holds_more_than_its_share() {
        // Of 32, eight are the share.
        let of = |share: usize| {
            Place::new()
                .with("192.0.2.1", Rank::Answered)
                .with("198.51.100.9", Rank::AnsweredByKnown)
                .many(share - 1, |_| "198.51.100.7".to_owned(), Rank::Answered)
                .many(31 - share, |number| format!("10.0.{number}.1"), Rank::Answered)
        };
        assert_eq!(of(8).victim_of(HERE, Rank::Begun), None);
        assert_eq!(of(9).victim_of(HERE, Rank::Begun), Some(2), "the known device stays");
        assert_eq!(of(8).victim_of(HERE, Rank::Answered), Some(2));
        assert_eq!(of(8).victim_of("198.51.100.7", Rank::Begun), None);
        let few = Place::new().many(8, |_| "198.51.100.7".to_owned(), Rank::Answered);
        assert_eq!(
            few.victim_of(HERE, Rank::Begun),
            Some(0),
            "where there are few places, the share is small"
        );
        let all_one = Place::new().many(64, |number| format!("198.51.{number}.1"), Rank::Answered);
        assert_eq!(all_one.victim_of(HERE, Rank::Answered), None);
    }

    #[test]
    fn i12_one_network_runs_half_of_all_logins_at_most_and_a_shared_address_all() {
        let running = Running::new(64, Clients::new(vec!["198.51.100.0/24".parse().unwrap()], Vec::new()));
        let ip = |text: String| text.parse::<IpAddr>().unwrap().into();
        let site: Vec<_> =
            (0..64).filter_map(|n| running.acquire(ip(format!("2001:db8:0:{n:x}::1")))).collect();
        assert_eq!(site.len(), 32);
        let shared: Vec<_> = (0..64).filter_map(|_| running.acquire(ip("198.51.100.7".into()))).collect();
        assert_eq!(shared.len(), 32);
        assert!(running.acquire(ip(HERE.into())).is_none());
        drop(shared);
        assert!(running.acquire(ip(HERE.into())).is_some());
        drop(site);
        assert!(running.lock().sites.is_empty() && running.lock().all == 0);
    }
}

//! All counters of one kind, of which there are never more than a fixed number.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;

use indexmap::IndexMap;

use super::count::{Ban, Cause, Count, Rules};
use super::key::Key;

/// Counters looked at when a place is needed.
const LOOKED_AT: usize = 32;
/// A site that holds more than this part of the table has so many addresses that none of its bans keeps it out.
const LARGE: usize = 32;
/// Bans that it loses at once, since looking for them costs a walk through the table.
const LOST_AT_ONCE: usize = 64;

/// A bounded table. Where it is full, the counter that says least goes, and first of the network that holds most; one
/// that bans does not, so whoever rotates names or addresses neither grows the memory nor gets anybody out of a ban. If
/// there are bans wherever it looks, a network that has filled the table with them loses its oldest: else whoever owns
/// many addresses would keep out everybody who is not counted yet. If there is none, all newcomers share one counter.
#[derive(Debug)]
pub(super) struct Table {
    rules: Rules,
    shared_rules: Rules,
    most: usize,
    counts: IndexMap<Key, Count>,
    shared: Count,
    /// How many counters a site has, see [`Key::site`].
    sites: HashMap<IpAddr, usize>,
    /// Where the search for a place goes on.
    hand: usize,
}

/// What became of a failure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Failed {
    /// This very credential has failed here before: not counted.
    Again,
    /// It was the one too many.
    Banned(Ban),
    Counted,
}

/// Where an attempt was noted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    Own,
    Shared,
}

impl Table {
    pub(super) fn new(rules: Rules, most: usize) -> Self {
        Self {
            rules,
            shared_rules: rules.shared(),
            most,
            counts: IndexMap::new(),
            shared: Count::default(),
            sites: HashMap::new(),
            hand: 0,
        }
    }

    /// Takes a place for an attempt, or says how long there is none; see [`Count::reserve`].
    pub(super) fn reserve(&mut self, key: &Key, harmless: bool, now: i64) -> Result<Place, i64> {
        let (count, rules, place) = self.count(key, now);
        count.reserve(&rules, harmless, now).map(|()| place)
    }

    /// For how long there is a ban, if there is one. Adds nothing to the table.
    pub(super) fn banned(&self, key: &Key, now: i64) -> Result<(), i64> {
        self.counts.get(key).map_or(Ok(()), |count| count.banned(now))
    }

    /// Gives a place back.
    pub(super) fn release(&mut self, key: &Key, place: Place, now: i64) {
        match (place, self.counts.get_index_of(key)) {
            (Place::Shared, _) => self.shared.release(),
            (Place::Own, Some(index)) => {
                if let Some((_, count)) = self.counts.get_index_mut(index) {
                    count.release();
                }
                self.drop_if_idle(index, now);
            }
            // Lifted meanwhile.
            (Place::Own, None) => {}
        }
    }

    /// Counts a failure, unless this very credential has failed here before.
    pub(super) fn fail(&mut self, key: &Key, cause: Cause, credential: Option<u64>, now: i64) -> Failed {
        let (count, rules, _) = self.count(key, now);
        if credential.is_some_and(|credential| count.is_repeat(credential)) {
            return Failed::Again;
        }
        count.fail(&rules, cause, now).map_or(Failed::Counted, Failed::Banned)
    }

    /// There was an outage: see [`Count::pardon`]. Gives the keys whose ban has ended by it.
    pub(super) fn pardon(&mut self, now: i64) -> Vec<Key> {
        self.shared.pardon(now);
        let counts = self.counts.iter_mut();
        counts.filter_map(|(key, count)| count.pardon(now).then(|| key.clone())).collect()
    }

    /// The ban in force or remembered.
    pub(super) fn ban(&self, key: &Key) -> Option<Ban> {
        self.counts.get(key).and_then(|count| count.ban(&self.rules))
    }

    /// Puts a ban that was written down.
    pub(super) fn restore(&mut self, key: &Key, ban: &Ban) {
        if self.counts.len() < self.most {
            let restored = Count::restored(&self.rules, ban);
            *self.own_count(key) = restored;
        }
    }

    /// Forgets a counter.
    pub(super) fn lift(&mut self, key: &Key) -> bool {
        self.counts.get_index_of(key).is_some_and(|index| self.remove(index))
    }

    /// All keys that have or had a ban.
    pub(super) fn struck(&self) -> impl Iterator<Item = &Key> {
        self.counts.iter().filter(|(_, count)| count.ban(&self.rules).is_some()).map(|(key, _)| key)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.counts.len()
    }

    /// The key's own counter, made where there is none, or the shared one.
    fn count(&mut self, key: &Key, now: i64) -> (&mut Count, Rules, Place) {
        if !self.counts.contains_key(key) && self.counts.len() >= self.most {
            self.make_room(now);
        }
        if self.counts.len() < self.most || self.counts.contains_key(key) {
            let rules = self.rules;
            (self.own_count(key), rules, Place::Own)
        } else {
            (&mut self.shared, self.shared_rules, Place::Shared)
        }
    }

    fn own_count(&mut self, key: &Key) -> &mut Count {
        if !self.counts.contains_key(key)
            && let Some(site) = key.site()
        {
            *self.sites.entry(site).or_default() += 1;
        }
        self.counts.entry(key.clone()).or_default()
    }

    fn remove(&mut self, index: usize) -> bool {
        let Some((key, _)) = self.counts.swap_remove_index(index) else { return false };
        if let Some(site) = key.site()
            && let Some(held) = self.sites.get_mut(&site)
        {
            *held -= 1;
            if *held == 0 {
                self.sites.remove(&site);
            }
        }
        true
    }

    /// Counters of the key's site.
    fn held(&self, key: &Key) -> usize {
        key.site().and_then(|site| self.sites.get(&site).copied()).unwrap_or_default()
    }

    fn make_room(&mut self, now: i64) {
        let mut first_to_go: Option<((Reverse<usize>, i64), usize)> = None;
        for _ in 0..LOOKED_AT.min(self.counts.len()) {
            self.hand = (self.hand + 1) % self.counts.len().max(1);
            let Some((key, count)) = self.counts.get_index(self.hand) else { return };
            let Some(weight) = count.weight(&self.rules, now) else { continue };
            let held = self.held(key);
            let rank = (Reverse(if held > self.most / LARGE { held } else { 0 }), weight);
            if first_to_go.is_none_or(|(least, _)| rank < least) {
                first_to_go = Some((rank, self.hand));
            }
        }
        match first_to_go {
            Some((_, index)) => drop(self.remove(index)),
            None => self.end_bans_of_largest(),
        }
    }

    fn end_bans_of_largest(&mut self) {
        let Some((site, held)) = self.sites.iter().max_by_key(|(_, held)| **held).map(|(at, n)| (*at, *n))
        else {
            return;
        };
        if held <= self.most / LARGE {
            return;
        }
        let own = self.counts.iter().filter(|(key, _)| key.site() == Some(site));
        let mut oldest: Vec<(i64, Key)> =
            own.filter_map(|(key, count)| Some((count.since_unless_pending()?, key.clone()))).collect();
        oldest.sort_unstable_by_key(|(since, _)| *since);
        for (_, key) in oldest.iter().take(LOST_AT_ONCE.min(held.div_ceil(2))) {
            self.lift(key);
        }
    }

    /// A good login leaves nothing behind.
    fn drop_if_idle(&mut self, index: usize, now: i64) {
        let rules = self.rules;
        if self.counts.get_index_mut(index).is_some_and(|(_, count)| count.is_idle(&rules, now)) {
            self.remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Cause, Key, Table};
    use crate::config::Rate;
    use crate::throttle::count::Rules;

    const MOST: usize = 100;

    fn table() -> Table {
        let rate = Rate { failures: 3, per: Duration::from_secs(3600) };
        Table::new(Rules::new(rate, Duration::from_secs(60), Duration::from_secs(3600)), MOST)
    }

    fn fail(table: &mut Table, name: &str, now: i64) -> Result<(), i64> {
        let key = Key::user(name);
        let place = table.reserve(&key, false, now)?;
        table.release(&key, place, now);
        table.fail(&key, Cause::Refused, None, now);
        Ok(())
    }

    #[test]
    fn b5_rotating_names_neither_grows_the_table_nor_ends_a_ban() {
        let mut table = table();
        for _ in 0..3 {
            fail(&mut table, "bob", 0).unwrap();
        }
        for _ in 0..2 {
            fail(&mut table, "nearly", 0).unwrap();
        }
        for number in 0..100_000 {
            fail(&mut table, &format!("rotated{number}"), 0).unwrap();
            assert!(table.len() <= MOST);
        }
        assert!(table.banned(&Key::user("bob"), 0).is_err());
        // What is not a ban yet outlives what says less.
        fail(&mut table, "nearly", 0).unwrap();
        assert!(table.banned(&Key::user("nearly"), 0).is_err());
    }

    #[test]
    fn b5_where_everything_is_banned_newcomers_share_one_counter() {
        let mut table = table();
        for number in 0..MOST {
            for _ in 0..3 {
                fail(&mut table, &format!("banned{number}"), 0).unwrap();
            }
        }
        let admitted = (0..10_000).filter(|number| fail(&mut table, &format!("new{number}"), 0).is_ok());
        assert_eq!(admitted.count(), 3 * 16);
        assert_eq!(table.len(), MOST);
        // Once the bans are over there is room again.
        assert!(fail(&mut table, "later", 61_000).is_ok());
    }

    fn fail_from(table: &mut Table, address: &str, now: i64) -> Result<(), i64> {
        let key = Key::address(address.parse().unwrap());
        let place = table.reserve(&key, false, now)?;
        table.release(&key, place, now);
        table.fail(&key, Cause::Refused, None, now);
        Ok(())
    }

    #[test]
    fn i12_a_network_that_fills_the_table_with_bans_loses_its_oldest_and_keeps_nobody_out() {
        for address in [(|number| format!("2001:db8:0:{number:x}::1")) as fn(usize) -> String, |number| {
            format!("198.51.100.{number}")
        }] {
            let mut table = table();
            for _ in 0..3 {
                fail_from(&mut table, "192.0.2.1", 0).unwrap();
            }
            for number in 0..MOST - 1 {
                for _ in 0..3 {
                    fail_from(&mut table, &address(number), 1).unwrap();
                }
            }
            assert_eq!(table.len(), MOST);
            for number in 0..5 {
                let newcomer = format!("203.0.113.{number}");
                assert_eq!((0..10).filter(|_| fail_from(&mut table, &newcomer, 1).is_ok()).count(), 3);
            }
            assert!(table.banned(&Key::address("192.0.2.1".parse().unwrap()), 1).is_err());
            assert!(table.len() <= MOST && table.shared.banned(1).is_ok());
            let counted: usize = table.sites.values().sum();
            assert_eq!(counted, table.len());
        }
    }

    #[test]
    fn i12_of_what_is_no_ban_the_largest_network_loses_first() {
        let mut table = table();
        fail_from(&mut table, "192.0.2.1", 0).unwrap();
        for number in 0..10 * MOST {
            for _ in 0..2 {
                fail_from(&mut table, &format!("2001:db8:0:{number:x}::1"), 0).unwrap();
            }
        }
        // Two more, and it is banned: the first one was not forgotten.
        fail_from(&mut table, "192.0.2.1", 0).unwrap();
        fail_from(&mut table, "192.0.2.1", 0).unwrap();
        assert!(table.banned(&Key::address("192.0.2.1".parse().unwrap()), 0).is_err());
    }

    #[test]
    fn a_good_login_leaves_nothing_behind() {
        let mut table = table();
        let place = table.reserve(&Key::user("bob"), false, 0).unwrap();
        assert_eq!(table.len(), 1);
        table.release(&Key::user("bob"), place, 0);
        assert_eq!(table.len(), 0);
    }
}

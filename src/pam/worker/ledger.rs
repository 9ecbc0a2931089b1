//! The broker's books: which child does what since when, who may compute next, and who is overdue. Pure.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::control::{Hello, Outcome, Verdict};
use super::frames::Mode;
use super::network::{Clients, network_of, site_of};

/// A connection that says nothing is closed after this long.
const FIRST_FRAME: Duration = Duration::from_secs(5);
/// The child's own alarm comes first; this is for children that block it.
const GRACE: Duration = Duration::from_secs(1);
/// A child is not looked at for sleep before it had this long to begin.
const SETTLED: Duration = Duration::from_millis(50);

/// Why a child is killed that computes for longer than it may; named as operators set it, and as this program takes it.
pub(super) const TOO_LONG: &str =
    "a PAM module took too long (--pam-compute-timeout of doorward, --compute-seconds of doorward-pam)";

/// What may be used at most.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    /// Logins.
    pub(super) children: usize,
    /// Checks of an account alone. They have places of their own: neither kind can keep the other out.
    pub(super) checks: usize,
    pub(super) per_address: usize,
    /// Tells one client from an address that many share.
    pub(super) clients: Clients,
    /// Children that compute at once; those that sleep in a module (a slow directory) do not count.
    pub(super) computing: usize,
    pub(super) compute: Duration,
    pub(super) prompt: Duration,
    pub(super) login: Duration,
    /// Services of which only one child computes at a time.
    pub(super) serialized: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Activity {
    /// PAM runs.
    Computing,
    /// The first frame has not come.
    Fresh,
    /// Wants to compute.
    Queued,
    /// A person types.
    Waiting,
}

/// One child.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) born: Instant,
    pub(super) activity: Activity,
    since: Instant,
    pub(super) hello: Option<Hello>,
    pub(super) outcome: Option<Outcome>,
    /// The person has answered a question.
    has_answered: bool,
    /// Another login gets its place.
    makes_room: bool,
    /// Why the broker killed it.
    pub(super) killed: Option<&'static str>,
}

/// See the module. Children are known by their process id.
pub(super) struct Ledger {
    limits: Limits,
    entries: BTreeMap<i32, Entry>,
}

impl Ledger {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, entries: BTreeMap::new() }
    }

    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= self.limits.children + self.limits.checks
    }

    pub(super) fn admit(&mut self, pid: i32, now: Instant) {
        let entry = Entry {
            born: now,
            activity: Activity::Fresh,
            since: now,
            hello: None,
            outcome: None,
            has_answered: false,
            makes_room: false,
            killed: None,
        };
        self.entries.insert(pid, entry);
    }

    pub(super) fn remove(&mut self, pid: i32) -> Option<Entry> {
        self.entries.remove(&pid)
    }

    pub(super) fn knows(&self, pid: i32) -> bool {
        self.entries.contains_key(&pid)
    }

    pub(super) fn pids(&self) -> impl Iterator<Item = i32> {
        self.entries.keys().copied()
    }

    /// A child's first frame came. Over the limit of its kind or address it is told at once, else it stands in the
    /// queue. Where all places are taken, [`Ledger::overdue`] may name one that has to make room.
    pub(super) fn introduce(&mut self, pid: i32, hello: Hello, now: Instant) -> Option<Verdict> {
        if self.is_over_limit(&hello) {
            return Some(Verdict::Busy);
        }
        if hello.mode != Mode::AccountOnly && self.logins().count() >= self.limits.children {
            let Some(entry) = self.victim(hello.rhost).and_then(|pid| self.entries.get_mut(&pid)) else {
                return Some(Verdict::Busy);
            };
            entry.makes_room = true;
        }
        if let Some(entry) = self.entries.get_mut(&pid) {
            entry.hello = Some(hello);
        }
        self.turn_to(pid, Activity::Queued, now);
        None
    }

    /// The gateway asks for checks by itself, with the last address of whoever holds a token: no address may use up
    /// their places by logins.
    fn is_over_limit(&self, hello: &Hello) -> bool {
        if hello.mode == Mode::AccountOnly {
            let checks = self.known().filter(|(_, _, other)| other.mode == Mode::AccountOnly);
            return checks.count() >= self.limits.checks;
        }
        self.limits.clients.one(hello.rhost.into()).is_some_and(|client| {
            let own = self.logins().filter(|(_, _, other)| network_of(other.rhost) == client);
            own.count() >= self.limits.per_address
        })
    }

    /// Children that hold a place: one that ends holds none.
    fn known(&self) -> impl Iterator<Item = (i32, &Entry, &Hello)> {
        let alive = self.entries.iter().filter(|(_, entry)| entry.killed.is_none() && !entry.makes_room);
        alive.filter_map(|(pid, entry)| Some((*pid, entry, entry.hello.as_ref()?)))
    }

    fn logins(&self) -> impl Iterator<Item = (i32, &Entry, &Hello)> {
        self.known().filter(|(_, _, hello)| hello.mode != Mode::AccountOnly)
    }

    /// Where all places are taken, the network that holds most loses its oldest login that waits for its person, if it
    /// holds more than the newcomer's will. One that was answered before goes last.
    fn victim(&self, newcomer: IpAddr) -> Option<i32> {
        let mut sites = BTreeMap::<IpAddr, usize>::new();
        for (_, _, hello) in self.logins() {
            *sites.entry(site_of(hello.rhost)).or_default() += 1;
        }
        let held = |address: IpAddr| sites.get(&site_of(address)).copied().unwrap_or_default();
        let own = held(newcomer);
        self.logins()
            .filter(|(_, entry, hello)| entry.activity == Activity::Waiting && held(hello.rhost) > own + 1)
            .min_by_key(|(_, entry, hello)| (Reverse(held(hello.rhost)), entry.has_answered, entry.since))
            .map(|(pid, _, _)| pid)
    }

    pub(super) fn turn_to(&mut self, pid: i32, activity: Activity, now: Instant) {
        if let Some(entry) = self.entries.get_mut(&pid) {
            entry.has_answered |= entry.activity == Activity::Waiting && activity == Activity::Queued;
            entry.activity = activity;
            entry.since = now;
        }
    }

    pub(super) fn conclude(&mut self, pid: i32, outcome: Outcome) {
        if let Some(entry) = self.entries.get_mut(&pid) {
            entry.outcome.get_or_insert(outcome);
        }
    }

    pub(super) fn someone_queues(&self) -> bool {
        self.entries.values().any(|entry| entry.activity == Activity::Queued)
    }

    /// Lets those compute whose turn it is, first come, first served, but who has answered before who begins, and sends
    /// away those who stood in the queue for too long. `asleep` tells whether a child uses no CPU at this moment.
    pub(super) fn grant(&mut self, now: Instant, asleep: impl Fn(i32) -> bool) -> Vec<(i32, Verdict)> {
        let mut queue: Vec<(bool, Instant, i32)> =
            self.in_activity(Activity::Queued).map(|(pid, e)| (!e.has_answered, e.since, pid)).collect();
        if queue.is_empty() {
            return Vec::new();
        }
        queue.sort_unstable();
        let awake = |(pid, entry): &(i32, &Entry)| now.duration_since(entry.since) < SETTLED || !asleep(*pid);
        let mut running = self.in_activity(Activity::Computing).filter(awake).count();
        let mut verdicts = Vec::new();
        for (_, since, pid) in queue {
            if now.duration_since(since) >= self.limits.compute {
                verdicts.push((pid, Verdict::Busy));
                self.turn_to(pid, Activity::Computing, now);
            } else if running < self.limits.computing && !self.must_wait_for_service(pid) {
                verdicts.push((pid, Verdict::Go));
                self.turn_to(pid, Activity::Computing, now);
                running += 1;
            }
        }
        verdicts
    }

    fn in_activity(&self, activity: Activity) -> impl Iterator<Item = (i32, &Entry)> {
        self.entries
            .iter()
            .filter(move |(_, entry)| entry.activity == activity)
            .map(|(pid, entry)| (*pid, entry))
    }

    fn must_wait_for_service(&self, pid: i32) -> bool {
        let service = |entry: &Entry| entry.hello.as_ref().map(|hello| hello.service.clone());
        let Some(own) = self.entries.get(&pid).and_then(service) else {
            return false;
        };
        self.limits.serialized.contains(&own)
            && self.in_activity(Activity::Computing).any(|(_, entry)| service(entry).as_ref() == Some(&own))
    }

    /// Children that must be killed now, with the reason. Each is named once.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<(i32, &'static str)> {
        let limits = self.limits.clone();
        let mut overdue = Vec::new();
        for (pid, entry) in &mut self.entries {
            let (at, reason) = deadline(entry, &limits);
            if entry.killed.is_none() && at <= now {
                entry.killed = Some(reason);
                overdue.push((*pid, reason));
            }
        }
        overdue
    }

    /// When [`Ledger::overdue`] may next have something to say.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let alive = self.entries.values().filter(|entry| entry.killed.is_none());
        alive.map(|entry| deadline(entry, &self.limits).0).min()
    }
}

fn deadline(entry: &Entry, limits: &Limits) -> (Instant, &'static str) {
    if entry.makes_room {
        return (entry.born, "made room for a login from another network");
    }
    let asked = entry.hello.as_ref().map(|hello| Duration::from_millis(u64::from(hello.deadline_ms)));
    let whole = asked.map_or(limits.login, |asked| asked.min(limits.login));
    let step = match entry.activity {
        Activity::Computing => (entry.since + limits.compute + GRACE, TOO_LONG),
        Activity::Fresh => (entry.since + FIRST_FRAME, "no first frame"),
        // `grant` sends it away before.
        Activity::Queued => (entry.since + limits.compute + GRACE, "waited too long for its turn"),
        Activity::Waiting => (entry.since + limits.prompt, "no answer to a prompt (--pam-prompt-timeout)"),
    };
    step.min((entry.born + whole, "the login took too long (--pam-login-timeout)"))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::control::{Hello, Verdict};
    use super::super::frames::Mode;
    use super::{Activity, Clients, Ledger, Limits};

    fn ledger(computing: usize) -> Ledger {
        Ledger::new(Limits {
            children: 4,
            checks: 1,
            per_address: 2,
            clients: Clients::new(vec!["203.0.113.0/24".parse().unwrap()], Vec::new()),
            computing,
            compute: Duration::from_secs(10),
            prompt: Duration::from_secs(120),
            login: Duration::from_secs(300),
            serialized: ["otp".to_owned()].into(),
        })
    }

    fn hello(service: &str, rhost: &str) -> Hello {
        Hello {
            service: service.into(),
            user: None,
            rhost: rhost.parse().unwrap(),
            mode: Mode::Login,
            deadline_ms: u32::MAX,
            trace: [0; 16],
        }
    }

    fn queued(ledger: &mut Ledger, pid: i32, service: &str, now: Instant) {
        ledger.admit(pid, now);
        assert_eq!(ledger.introduce(pid, hello(service, &format!("192.0.2.{pid}")), now), None);
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn b6_no_more_children_than_the_limit() {
        let mut books = ledger(1);
        for pid in 0..5 {
            assert!(!books.is_full());
            books.admit(pid, Instant::now());
        }
        assert!(books.is_full());
        books.remove(2);
        assert!(!books.is_full());
    }

    #[test]
    fn b6_logins_and_account_checks_cannot_use_up_each_others_places() {
        let (mut books, now) = (ledger(1), Instant::now());
        let check = || Hello { mode: Mode::AccountOnly, ..hello("x", "192.0.2.1") };
        let login = |n: i32| hello("x", &format!("192.0.2.{n}"));
        for pid in 1..=5 {
            books.admit(pid, now);
        }
        assert_eq!(books.introduce(1, check(), now), None);
        assert_eq!(books.introduce(2, check(), now), Some(Verdict::Busy));
        books.remove(2);
        for pid in 3..=6 {
            books.admit(pid, now);
            assert_eq!(books.introduce(pid, login(pid), now), None);
        }
        books.admit(7, now);
        assert_eq!(books.introduce(7, login(7), now), Some(Verdict::Busy));
        books.remove(7);
        books.remove(1);
        books.admit(8, now);
        assert_eq!(books.introduce(8, check(), now), None, "logins leave it a place");
    }

    #[test]
    fn b4_a_check_does_not_count_for_its_address_nor_is_it_kept_out_by_it() {
        let (mut books, now) = (ledger(1), Instant::now());
        for pid in 1..=4 {
            books.admit(pid, now);
        }
        assert_eq!(books.introduce(1, hello("x", "192.0.2.1"), now), None);
        let check = Hello { mode: Mode::AccountOnly, ..hello("x", "192.0.2.1") };
        assert_eq!(books.introduce(2, check, now), None);
        assert_eq!(books.introduce(3, hello("x", "192.0.2.1"), now), None);
        assert_eq!(books.introduce(4, hello("x", "192.0.2.1"), now), Some(Verdict::Busy));
    }

    #[test]
    fn b4_one_address_cannot_take_all_places_and_ipv6_counts_by_64_bits() {
        let (mut books, now) = (ledger(1), Instant::now());
        for pid in 1..=4 {
            books.admit(pid, now);
        }
        assert_eq!(books.introduce(1, hello("x", "2001:db8::1"), now), None);
        assert_eq!(books.introduce(2, hello("x", "2001:db8::2"), now), None);
        assert_eq!(books.introduce(3, hello("x", "2001:db8::ffff:0:3"), now), Some(Verdict::Busy));
        assert_eq!(books.introduce(4, hello("x", "2001:db8:0:1::1"), now), None);
    }

    #[test]
    fn i12_an_address_that_many_share_may_hold_all_places() {
        let (mut books, now) = (ledger(1), Instant::now());
        for pid in 1..=4 {
            books.admit(pid, now);
            assert_eq!(books.introduce(pid, hello("x", "203.0.113.1"), now), None, "{pid}");
        }
    }

    /// Fills all four places from one /48, the first of which has answered a question; all wait for their person.
    fn full(now: Instant) -> Ledger {
        let mut books = ledger(4);
        for pid in 1..=4 {
            books.admit(pid, now);
            assert_eq!(books.introduce(pid, hello("x", &format!("2001:db8:0:{pid}::1")), now), None);
            books.turn_to(pid, Activity::Waiting, now + pid.cast_unsigned() * SECOND);
        }
        books.turn_to(1, Activity::Queued, now);
        books.turn_to(1, Activity::Waiting, now);
        books
    }

    #[test]
    fn i12_where_all_places_are_taken_the_network_that_holds_most_loses_its_oldest_that_waits() {
        let now = Instant::now();
        let mut books = full(now);
        books.admit(5, now);
        assert_eq!(books.introduce(5, hello("x", "192.0.2.1"), now), None);
        assert_eq!(books.overdue(now), [(2, "made room for a login from another network")]);
        // Its place is the newcomer's, though it has not been reaped.
        books.admit(6, now);
        assert_eq!(
            books.introduce(6, hello("x", "2001:db8:0:9::1"), now),
            Some(Verdict::Busy),
            "its own network"
        );
        books.remove(2);
        books.admit(7, now);
        assert_eq!(books.introduce(7, hello("x", "198.51.100.1"), now), None);
        assert_eq!(books.overdue(now), [(3, "made room for a login from another network")]);
        books.admit(8, now);
        let busy = books.introduce(8, hello("x", "198.51.99.1"), now);
        assert_eq!(busy, None, "two are left, and one has not answered");
        books.admit(9, now);
        let busy = books.introduce(9, hello("x", "198.51.98.1"), now);
        assert_eq!(busy, Some(Verdict::Busy), "nobody holds more than one");
    }

    #[test]
    fn i12_who_computes_makes_no_room() {
        let now = Instant::now();
        let mut books = full(now);
        for pid in 1..=4 {
            books.turn_to(pid, Activity::Computing, now);
        }
        books.admit(5, now);
        assert_eq!(books.introduce(5, hello("x", "192.0.2.1"), now), Some(Verdict::Busy));
    }

    #[test]
    fn i12_who_has_answered_computes_before_who_begins() {
        let (mut books, now) = (ledger(1), Instant::now());
        queued(&mut books, 1, "x", now);
        assert_eq!(books.grant(now, |_| false), [(1, Verdict::Go)]);
        books.turn_to(1, Activity::Waiting, now);
        queued(&mut books, 2, "x", now);
        queued(&mut books, 3, "x", now);
        books.turn_to(1, Activity::Queued, now + SECOND);
        assert_eq!(books.grant(now + SECOND, |_| false), [(1, Verdict::Go)]);
    }

    #[test]
    fn computing_is_granted_in_order_of_arrival_and_freed_by_waiting() {
        let (mut books, now) = (ledger(1), Instant::now());
        queued(&mut books, 9, "x", now);
        queued(&mut books, 3, "x", now + SECOND);
        assert_eq!(books.grant(now + SECOND, |_| false), [(9, Verdict::Go)]);
        assert_eq!(books.grant(now + SECOND, |_| false), []);
        books.turn_to(9, Activity::Waiting, now + SECOND);
        assert_eq!(books.grant(now + SECOND, |_| false), [(3, Verdict::Go)]);
    }

    #[test]
    fn a1_a_child_that_sleeps_in_a_module_lends_its_place() {
        let (mut books, now) = (ledger(1), Instant::now());
        queued(&mut books, 1, "x", now);
        books.grant(now, |_| true);
        queued(&mut books, 2, "x", now);
        assert_eq!(books.grant(now, |_| true), [], "it has only just begun");
        assert_eq!(books.grant(now + SECOND, |_| true), [(2, Verdict::Go)]);
    }

    #[test]
    fn a_serialized_service_computes_once_at_a_time_even_if_it_sleeps() {
        let (mut books, now) = (ledger(8), Instant::now());
        queued(&mut books, 1, "otp", now);
        queued(&mut books, 2, "otp", now);
        queued(&mut books, 3, "x", now);
        assert_eq!(books.grant(now, |_| false), [(1, Verdict::Go), (3, Verdict::Go)]);
        assert_eq!(books.grant(now + SECOND, |_| true), []);
        books.remove(1);
        assert_eq!(books.grant(now + SECOND, |_| true), [(2, Verdict::Go)]);
    }

    #[test]
    fn whoever_stands_in_the_queue_too_long_is_told_so() {
        let (mut books, now) = (ledger(0), Instant::now());
        queued(&mut books, 1, "x", now);
        assert_eq!(books.grant(now + 9 * SECOND, |_| false), []);
        assert_eq!(books.grant(now + 10 * SECOND, |_| false), [(1, Verdict::Busy)]);
    }

    #[test]
    fn every_activity_has_its_deadline_and_is_named_once() {
        for (activity, limit) in [
            (Activity::Fresh, 5),
            (Activity::Computing, 11),
            (Activity::Waiting, 120),
            (Activity::Queued, 11),
        ] {
            let (mut books, now) = (ledger(1), Instant::now());
            books.admit(1, now);
            books.turn_to(1, activity, now);
            assert_eq!(books.next_deadline(), Some(now + limit * SECOND), "{activity:?}");
            assert!(books.overdue(now + limit * SECOND - Duration::from_millis(1)).is_empty());
            assert_eq!(books.overdue(now + limit * SECOND).len(), 1);
            assert!(books.overdue(now + limit * SECOND).is_empty());
            assert_eq!(books.next_deadline(), None);
        }
    }

    #[test]
    fn the_whole_login_is_bounded_by_the_sooner_of_both_sides() {
        let (mut books, now) = (ledger(1), Instant::now());
        books.admit(1, now);
        books.introduce(1, Hello { deadline_ms: 2000, ..hello("x", "::1") }, now);
        assert_eq!(books.next_deadline(), Some(now + 2 * SECOND));
        books.admit(2, now);
        books.introduce(2, hello("x", "::1"), now);
        books.turn_to(2, Activity::Waiting, now + 299 * SECOND);
        books.remove(1);
        assert_eq!(books.next_deadline(), Some(now + 300 * SECOND));
    }
}

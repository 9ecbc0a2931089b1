use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

use super::share::{
    BASE_BYTES, FACTOR, HTTP2_BASE_BYTES, HTTP2_FACTOR, HTTP2_MAX_UNREAD, MAX_UNREAD, PAUSE_BYTES,
};
use super::{Membership, UnauthenticatedBudget};

const MIB: usize = 1 << 20;

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn is_evicted(member: &Membership) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    member.share().poll_evicted(&mut cx).is_ready()
}

fn enter(budget: &UnauthenticatedBudget, count: usize) -> Vec<Membership> {
    (0..count).map(|_| budget.enter().expect("room")).collect()
}

#[test]
fn i13_what_a_connection_holds_is_charged_until_it_authenticates_or_ends() {
    let budget = UnauthenticatedBudget::new(16 * MIB);
    let (first, second) = (budget.enter().unwrap(), budget.enter().unwrap());
    assert_eq!(budget.spent(), 2 * BASE_BYTES);
    first.share().read(1000).unwrap();
    assert_eq!(budget.spent(), 2 * BASE_BYTES + 1000 * FACTOR);
    first.share().secured(true, 5000);
    assert_eq!(budget.spent(), BASE_BYTES + HTTP2_BASE_BYTES + 10_000);
    for _ in 0..1000 {
        second.share().read(MAX_UNREAD).unwrap();
    }
    let most = BASE_BYTES + MAX_UNREAD * FACTOR;
    assert_eq!(budget.spent(), HTTP2_BASE_BYTES + 10_000 + most, "a buffer has an end");
    first.share().authenticate();
    assert_eq!(budget.spent(), most);
    first.share().read(1 << 30).unwrap();
    assert!(first.share().begin_request(1, 1).is_none());
    drop((first, second));
    assert_eq!(budget.spent(), 0);
}

#[test]
fn i13_a_request_is_charged_until_its_answer_was_taken_and_what_came_behind_it_longer() {
    let budget = UnauthenticatedBudget::new(16 * MIB);
    let member = budget.enter().unwrap();
    let share = member.share();
    share.read(500).unwrap();
    let mut request = share.begin_request(10, 400).unwrap();
    let held = budget.spent();
    assert!((BASE_BYTES + 400..BASE_BYTES + 20_000).contains(&held), "{held}");
    share.read(300).unwrap();
    assert_eq!(budget.spent(), held + 300 * FACTOR);
    request.answered(50_000);
    let unread = 300 * FACTOR;
    assert!((BASE_BYTES + unread + 50_000..BASE_BYTES + unread + 70_000).contains(&budget.spent()));
    drop(request);
    assert_eq!(budget.spent(), BASE_BYTES + unread);
    // The bytes were the next request's.
    drop(share.begin_request(0, 0));
    assert_eq!(budget.spent(), BASE_BYTES);
}

#[test]
fn i13_bodies_of_requests_that_are_looked_at_count_together_and_stop_the_reading() {
    let budget = UnauthenticatedBudget::new(64 * MIB);
    let member = budget.enter().unwrap();
    let (share, count) = (member.share(), Arc::new(Count::default()));
    let waker = Waker::from(Arc::clone(&count));
    let cx = Context::from_waker(&waker);
    share.secured(true, 0);
    let mut first = share.begin_request(0, 0).unwrap();
    share.read(PAUSE_BYTES).unwrap();
    assert!(!share.is_paused(&cx));
    // A further head does not make the first one's body disappear.
    let mut second = share.begin_request(0, 0).unwrap();
    share.read(1000).unwrap();
    assert!(share.is_paused(&cx));
    assert!(budget.spent() >= HTTP2_BASE_BYTES + PAUSE_BYTES * HTTP2_FACTOR);
    second.answered(0);
    assert!(share.is_paused(&cx) && count.0.load(Ordering::SeqCst) == 0);
    first.answered(0);
    assert!(!share.is_paused(&cx) && count.0.load(Ordering::SeqCst) > 0, "it goes on, and is woken");
    drop((first, second));
    assert_eq!(budget.spent(), HTTP2_BASE_BYTES + 1000 * HTTP2_FACTOR);
    share.read(HTTP2_MAX_UNREAD * 8).unwrap();
    assert!(!share.is_paused(&cx), "nothing waits for an answer, and what is read is thrown away");
    // Once it has authenticated, it reads as it likes.
    let third = share.begin_request(0, 0).unwrap();
    share.read(HTTP2_MAX_UNREAD).unwrap();
    assert!(share.is_paused(&cx));
    let before = count.0.load(Ordering::SeqCst);
    share.authenticate();
    assert!(count.0.load(Ordering::SeqCst) > before);
    drop(third);
    assert_eq!(budget.spent(), 0);
}

#[test]
fn i13_when_the_budget_is_spent_the_oldest_are_closed_and_the_authenticated_are_not() {
    let budget = UnauthenticatedBudget::new(100 * BASE_BYTES);
    let all = enter(&budget, 100);
    all[0].share().authenticate();
    // Answered a moment ago: not the oldest any more.
    drop(all[1].share().begin_request(0, 0));
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    assert!(all[2].share().poll_evicted(&mut Context::from_waker(&waker)).is_pending());
    let more = enter(&budget, 2);
    let evicted: Vec<usize> = (0..100).filter(|number| is_evicted(&all[*number])).collect();
    assert_eq!(evicted, (2..2 + evicted.len()).collect::<Vec<_>>());
    assert!((1..=14).contains(&evicted.len()), "{evicted:?}");
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
    assert!(all[2].share().read(1).is_err());
    assert!(more.iter().all(|new| !is_evicted(new)));
    assert!(budget.spent() <= 100 * BASE_BYTES);
    drop((all, more));
    assert_eq!(budget.spent(), 0);
}

#[test]
fn i13_who_holds_most_is_closed_before_many_who_hold_little() {
    let budget = UnauthenticatedBudget::new(4 * MIB);
    let small = enter(&budget, 20);
    let large = enter(&budget, 20);
    let mut served = Vec::new();
    for member in &large {
        // A login whose check takes its time, with the largest head.
        served.push(member.share().begin_request(100, 60_000));
        let _ = member.share().read(60_000);
    }
    assert!(small.iter().all(|member| !is_evicted(member)));
    let closed = large.iter().filter(|member| is_evicted(member)).count();
    assert!(closed > 0 && budget.spent() <= 4 * MIB, "{closed}, {}", budget.spent());
}

#[test]
fn i13_a_login_that_is_being_checked_outlives_a_flood_of_connections() {
    let budget = UnauthenticatedBudget::new(4 * MIB);
    let login = budget.enter().unwrap();
    let _checked = login.share().begin_request(10, 500).unwrap();
    let mut flood = Vec::new();
    for _ in 0..1000 {
        flood.extend(budget.enter());
    }
    assert!(!is_evicted(&login) && budget.spent() <= 4 * MIB);
    // Many of them are a flood themselves: then the oldest goes here too, and new ones still come in.
    drop(flood);
    let logins = enter(&budget, 1);
    let _first = logins[0].share().begin_request(10, 500);
    let mut more = Vec::new();
    for _ in 0..1000 {
        let member = budget.enter().expect("room is made");
        let request = member.share().begin_request(10, 500);
        more.push((request, member));
    }
    assert!(is_evicted(&login) && budget.spent() <= 4 * MIB);
}

#[test]
fn i13_a_newcomer_is_refused_where_even_closing_others_makes_no_room() {
    let budget = UnauthenticatedBudget::new(BASE_BYTES / 2);
    assert!(budget.enter().is_none());
    assert_eq!(budget.spent(), 0);
}

#[test]
fn i13_event_loops_that_come_and_go_at_once_leave_nothing_behind() {
    let budget = UnauthenticatedBudget::new(MIB);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for number in 0..2000_usize {
                    let Some(member) = budget.enter() else { continue };
                    let request = member.share().begin_request(number % 50, 100);
                    let _ = member.share().read(number);
                    if number % 3 == 0 {
                        member.share().authenticate();
                    }
                    drop(request);
                }
            });
        }
    });
    assert_eq!(budget.spent(), 0);
}

//! All counters together.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Throttle;
use crate::config::{Rate, ThrottleSettings};
use crate::domain::Clock;
use crate::store::{BanKind, MemoryStore, Store};

const MINUTE: Duration = Duration::from_secs(60);

fn throttle_with(clock: &Clock, exempt: &[&str]) -> Arc<Throttle> {
    let hour = Duration::from_secs(3600);
    let settings = ThrottleSettings {
        address: Rate { failures: 6, per: hour },
        user: Rate { failures: 3, per: hour },
        ban: MINUTE,
        ban_max: hour,
        exempt: exempt.iter().map(|network| network.parse().unwrap()).collect(),
    };
    Arc::new(Throttle::new(Some(&settings), clock.clone()))
}

fn throttle() -> (Arc<Throttle>, Clock) {
    let clock = Clock::manual(1_000_000);
    (throttle_with(&clock, &[]), clock)
}

fn ip(number: u8) -> IpAddr {
    IpAddr::from([198, 51, 100, number])
}

/// Fails so often; gives the wait if it came to that.
fn fail(
    throttle: &Arc<Throttle>,
    times: usize,
    address: IpAddr,
    user: &str,
    device: Option<&str>,
) -> Option<Duration> {
    (0..times).find_map(|_| throttle.admit(address, user, device).map(super::Attempt::fail).err())
}

fn wait(throttle: &Arc<Throttle>, address: IpAddr, user: &str, device: Option<&str>) -> Option<Duration> {
    throttle.admit(address, user, device).map(super::Attempt::release).err()
}

#[test]
fn b1_an_address_is_banned_for_all_names_and_a_name_for_all_addresses() {
    let (throttle, _) = throttle();
    for user in ["a", "b", "c"] {
        assert_eq!(fail(&throttle, 2, ip(1), user, None), None);
    }
    assert_eq!(wait(&throttle, ip(1), "somebody else", None), Some(MINUTE));
    assert_eq!(wait(&throttle, ip(2), "a", None), None);
    assert_eq!(fail(&throttle, 1, ip(2), "A", None), None);
    assert_eq!(wait(&throttle, ip(3), "a", None), Some(MINUTE));
    assert_eq!(wait(&throttle, ip(3), "b", None), None);
}

#[test]
fn b2_a_known_device_gets_in_though_its_user_is_banned_and_has_no_endless_tries() {
    let (throttle, clock) = throttle();
    fail(&throttle, 3, ip(1), "bob", None);
    assert!(wait(&throttle, ip(2), "bob", None).is_some());
    assert_eq!(wait(&throttle, ip(2), "bob", Some("laptop")), None);
    assert_eq!(fail(&throttle, 3, ip(2), "bob", Some("laptop")), None);
    // Known no more: the name counts again, and that is banned.
    assert_eq!(wait(&throttle, ip(3), "bob", Some("laptop")), Some(MINUTE));
    assert_eq!(wait(&throttle, ip(3), "bob", Some("another")), None);
    clock.advance(60);
    assert_eq!(wait(&throttle, ip(3), "bob", Some("laptop")), None);
}

#[test]
fn b2_the_failures_of_a_known_device_do_not_count_for_the_name_but_for_the_address() {
    let (throttle, _) = throttle();
    for device in ["one", "two"] {
        assert_eq!(fail(&throttle, 3, ip(1), "bob", Some(device)), None);
    }
    assert_eq!(wait(&throttle, ip(2), "bob", None), None);
    assert!(wait(&throttle, ip(1), "bob", Some("three")).is_some());
}

#[test]
fn a_refusal_by_one_counter_costs_nothing_at_the_other() {
    let (throttle, _) = throttle();
    fail(&throttle, 3, ip(1), "bob", None);
    for _ in 0..100 {
        assert!(wait(&throttle, ip(2), "bob", None).is_some());
    }
    assert_eq!(fail(&throttle, 5, ip(2), "x", None), Some(MINUTE), "three for the name");
    assert_eq!(wait(&throttle, ip(2), "y", None), None);
}

#[test]
fn who_hangs_up_early_has_failed() {
    let (throttle, _) = throttle();
    for _ in 0..3 {
        drop(throttle.admit(ip(1), "bob", None).unwrap());
    }
    assert!(wait(&throttle, ip(2), "bob", None).is_some());
}

#[test]
fn b1_bad_tokens_count_and_the_same_old_one_counts_once() {
    let (throttle, _) = throttle();
    for _ in 0..1000 {
        let _ = throttle.bad_credential(ip(1), b"Bearer dwt_old").unwrap();
    }
    assert_eq!(throttle.bad_credential(ip(1), b"Bearer dwt_old"), Ok(false));
    for guess in 0..5_u8 {
        assert_eq!(throttle.bad_credential(ip(1), &[guess]), Ok(true));
    }
    assert_eq!(throttle.bad_credential(ip(1), b"Bearer dwt_old"), Err(MINUTE));
    assert_eq!(wait(&throttle, ip(1), "bob", None), Some(MINUTE));
}

#[test]
fn a_program_with_an_old_password_bans_its_user_name_and_not_its_neighbours() {
    let (throttle, clock) = throttle();
    for _ in 0..100 {
        if let Ok(attempt) = throttle.admit(ip(1), "robot", None) {
            attempt.with(b"the same").fail();
        }
        clock.advance(30);
    }
    assert!(wait(&throttle, ip(2), "robot", None).is_some());
    assert_eq!(wait(&throttle, ip(1), "bob", None), None);
}

#[test]
fn exempt_addresses_are_not_counted_but_the_names_tried_from_there_are() {
    let clock = Clock::manual(0);
    let throttle = throttle_with(&clock, &["198.51.100.0/24"]);
    for user in ["a", "b", "c", "d"] {
        assert_eq!(fail(&throttle, 2, ip(1), user, None), None);
    }
    for guess in 0..100_u8 {
        assert_eq!(throttle.bad_credential(ip(1), &[guess]), Ok(true));
    }
    assert_eq!(wait(&throttle, ip(1), "e", None), None);
    fail(&throttle, 1, ip(1), "a", None);
    assert!(wait(&throttle, ip(1), "a", None).is_some());
}

#[test]
fn nothing_is_counted_where_the_operator_said_so() {
    let throttle = Arc::new(Throttle::new(None, Clock::manual(0)));
    assert_eq!(fail(&throttle, 1000, ip(1), "bob", None), None);
}

#[tokio::test]
async fn b8_bans_and_their_growth_survive_a_restart() {
    let (throttle, clock) = throttle();
    let store = MemoryStore::new();
    fail(&throttle, 3, ip(1), "bob", None);
    throttle.keep(&store).await;
    clock.advance(20);
    let next = throttle_with(&clock, &[]);
    next.restore(&store.bans().await.unwrap());
    assert_eq!(wait(&next, ip(2), "bob", None), Some(Duration::from_secs(40)));
    clock.advance(40);
    // One more failure, and the ban is the second in a row.
    assert_eq!(fail(&next, 1, ip(3), "bob", None), None);
    assert_eq!(wait(&next, ip(2), "bob", None), Some(2 * MINUTE));
}

#[tokio::test]
async fn b8_a_clock_jump_neither_ends_a_ban_nor_makes_it_eternal() {
    let year = 365 * 86_400;
    for jump in [-year, year] {
        let (throttle, clock) = throttle();
        let store = MemoryStore::new();
        fail(&throttle, 3, ip(1), "bob", None);
        throttle.keep(&store).await;
        clock.set_forward(jump);
        assert_eq!(wait(&throttle, ip(2), "bob", None), Some(MINUTE), "in the process");
        throttle.keep(&store).await;
        let next = throttle_with(&clock, &[]);
        next.restore(&store.bans().await.unwrap());
        assert_eq!(wait(&next, ip(2), "bob", None), Some(MINUTE), "after a restart");
    }
    // Set back while nobody was there to notice.
    let (throttle, clock) = throttle();
    let store = MemoryStore::new();
    fail(&throttle, 3, ip(1), "bob", None);
    throttle.keep(&store).await;
    clock.set_forward(-year);
    let next = throttle_with(&clock, &[]);
    next.restore(&store.bans().await.unwrap());
    assert_eq!(wait(&next, ip(2), "bob", None), Some(MINUTE));
}

#[tokio::test]
async fn a_lifted_ban_is_over_at_once() {
    let (throttle, _) = throttle();
    let store = MemoryStore::new();
    fail(&throttle, 3, ip(1), "bob", None);
    throttle.keep(&store).await;
    assert!(store.lift_ban(BanKind::User, "bob").await.unwrap());
    assert!(wait(&throttle, ip(2), "bob", None).is_some());
    throttle.keep(&store).await;
    assert_eq!(wait(&throttle, ip(2), "bob", None), None);
    assert_eq!(fail(&throttle, 2, ip(2), "bob", None), None);
}

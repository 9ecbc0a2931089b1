//! All counters together.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{KnownDevice, Throttle};
use crate::config::{Rate, ThrottleSettings};
use crate::domain::{Clients, Clock};
use crate::store::{BanKind, BanRecord, MemoryStore, Store};

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
    Arc::new(Throttle::new(Some(&settings), Clients::new(settings.exempt.clone(), Vec::new()), clock.clone()))
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
    device: Option<KnownDevice<'_>>,
) -> Option<Duration> {
    (0..times).find_map(|_| throttle.admit(address, user, device, None).map(super::Attempt::fail).err())
}

fn wait(
    throttle: &Arc<Throttle>,
    address: IpAddr,
    user: &str,
    device: Option<KnownDevice<'_>>,
) -> Option<Duration> {
    throttle.admit(address, user, device, None).map(super::Attempt::release).err()
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
    assert_eq!(wait(&throttle, ip(2), "bob", Some(KnownDevice::Browser("laptop"))), None);
    assert_eq!(fail(&throttle, 3, ip(2), "bob", Some(KnownDevice::Browser("laptop"))), None);
    // Known no more: the name counts again, and that is banned.
    assert_eq!(wait(&throttle, ip(3), "bob", Some(KnownDevice::Browser("laptop"))), Some(MINUTE));
    assert_eq!(wait(&throttle, ip(3), "bob", Some(KnownDevice::Browser("another"))), None);
    clock.advance(60);
    assert_eq!(wait(&throttle, ip(3), "bob", Some(KnownDevice::Browser("laptop"))), None);
}

#[test]
fn b2_the_failures_of_a_known_device_do_not_count_for_the_name_but_for_the_address() {
    let (throttle, _) = throttle();
    for device in ["one", "two"] {
        assert_eq!(fail(&throttle, 3, ip(1), "bob", Some(KnownDevice::Browser(device))), None);
    }
    assert_eq!(wait(&throttle, ip(2), "bob", None), None);
    assert!(wait(&throttle, ip(1), "bob", Some(KnownDevice::Browser("three"))).is_some());
}

#[test]
fn i8_sessions_and_tokens_are_one_device_and_all_devices_of_a_person_share_a_bound() {
    let (throttle, _) = throttle();
    let looked_at = |device: &dyn Fn(usize) -> KnownDevice<'static>, user: &str| {
        let guesses = (0..270_usize).filter(|number| {
            let address = ip(u8::try_from(number % 250).unwrap());
            throttle.admit(address, user, Some(device(*number)), None).map(super::Attempt::fail).is_ok()
        });
        guesses.count()
    };
    // Three as a device, and three more for the name.
    assert_eq!(looked_at(&|_| KnownDevice::SignedIn, "bob"), 6);
    let ids: Vec<&'static str> = (0..270).map(|number| &*format!("{number}").leak()).collect();
    assert_eq!(
        looked_at(&|number| KnownDevice::Browser(ids[number]), "eve"),
        9,
        "twice three, and the name's"
    );
    assert!(wait(&throttle, ip(251), "eve", Some(KnownDevice::SignedIn)).is_some());
    assert_eq!(wait(&throttle, ip(251), "lou", Some(KnownDevice::SignedIn)), None);
    let (throttle, _) = self::throttle();
    // What somebody uses up who stole a token does not lock the person's browser out.
    fail(&throttle, 3, ip(1), "bob", Some(KnownDevice::SignedIn));
    fail(&throttle, 3, ip(2), "bob", None);
    assert!(wait(&throttle, ip(3), "bob", Some(KnownDevice::SignedIn)).is_some());
    assert_eq!(wait(&throttle, ip(3), "bob", Some(KnownDevice::Browser("laptop"))), None);
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
        drop(throttle.admit(ip(1), "bob", None, None).unwrap());
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
        if let Ok(attempt) = throttle.admit(ip(1), "robot", None, None) {
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
    let throttle = Arc::new(Throttle::new(None, Clients::default(), Clock::manual(0)));
    assert_eq!(fail(&throttle, 1000, ip(1), "bob", None), None);
}

/// Guesses whose stack has no verdict, each with another password.
fn guess(throttle: &Arc<Throttle>, times: usize, number: u8, user: &str) -> Option<Duration> {
    (0..times).find_map(|guess| attempt(throttle, number, user, &format!("guess {guess}"), Some(4)).err())
}

/// One login with a password; `code` is that of the outage, if there is one.
fn attempt(
    throttle: &Arc<Throttle>,
    number: u8,
    user: &str,
    password: &str,
    code: Option<i32>,
) -> Result<(), Duration> {
    let transcript = throttle.answered(throttle.transcript(user), password);
    let attempt = throttle.admit(ip(number), user, None, Some(transcript))?;
    match code {
        Some(_) => attempt.fail_without_verdict(code),
        None => attempt.succeed(),
    }
    Ok(())
}

#[test]
fn i6_guesses_without_a_verdict_are_counted_for_name_and_address() {
    let (throttle, _) = throttle();
    assert!(guess(&throttle, 4, 1, "bob").is_some());
    assert!(wait(&throttle, ip(2), "bob", None).is_some());
    assert_eq!(guess(&throttle, 3, 1, "eve"), None);
    assert!(wait(&throttle, ip(1), "lou", None).is_some());
    assert_eq!(wait(&throttle, ip(2), "lou", None), None);
}

#[test]
fn i6_who_repeats_a_password_that_got_no_verdict_passes_a_provisional_ban_and_nobody_else() {
    let (throttle, _) = throttle();
    for _ in 0..3 {
        attempt(&throttle, 1, "bob", "right", Some(9)).unwrap();
    }
    assert!(attempt(&throttle, 2, "bob", "another", Some(9)).is_err());
    assert!(attempt(&throttle, 2, "bob", "right", Some(9)).is_ok());
    let begun = throttle.admit(ip(1), "bob", None, Some(throttle.transcript("bob")));
    begun.expect("a login may begin and say its password later").release();
    // The outage ends: the very same password is accepted, and the ban with all others is gone.
    assert!(guess(&throttle, 4, 3, "eve").is_some());
    attempt(&throttle, 2, "bob", "right", None).unwrap();
    for user in ["bob", "eve"] {
        assert_eq!(attempt(&throttle, 4, user, "another", None), Ok(()));
    }
}

#[test]
fn i6_after_an_outage_that_several_met_the_first_login_ends_every_ban_of_it() {
    let (throttle, _) = throttle();
    for (number, user) in [(1, "bob"), (2, "eve"), (3, "lou")] {
        assert!(guess(&throttle, 4, number, user).is_some());
    }
    attempt(&throttle, 4, "zoe", "right", None).unwrap();
    for user in ["bob", "eve", "lou"] {
        assert_eq!(attempt(&throttle, 5, user, "right", None), Ok(()));
    }
}

#[test]
fn i6_an_account_of_ones_own_lifts_no_ban_and_buys_no_guesses() {
    let (throttle, clock) = throttle();
    let mut looked_at = 0;
    for number in 0..2000 {
        // Several names, several addresses, and a login of one's own after each round of guesses.
        for (number, user) in [(1, "bob"), (2, "lou"), (3, "zoe")] {
            let guess = attempt(&throttle, number, user, &format!("{looked_at}"), Some(4));
            looked_at += u32::from(user == "bob" && guess.is_ok());
        }
        let _ = attempt(&throttle, 4, "eve", "her own", None);
        clock.advance(i64::from(number % 2 == 0));
    }
    // A thousand seconds: three guesses, one pardon that gives three back.
    assert!(looked_at <= 7, "{looked_at} guesses");
    assert!(wait(&throttle, ip(9), "bob", None).is_some());
}

#[test]
fn i6_bans_by_refusals_outlive_an_outage_and_so_do_failures() {
    let (throttle, _) = throttle();
    fail(&throttle, 3, ip(1), "bob", None);
    fail(&throttle, 2, ip(2), "eve", None);
    for (number, user) in [(2, "eve"), (3, "lou"), (4, "zoe")] {
        assert!(guess(&throttle, 4, number, user).is_some());
    }
    attempt(&throttle, 5, "ann", "right", None).unwrap();
    assert!(wait(&throttle, ip(5), "bob", None).is_some());
    assert_eq!(fail(&throttle, 1, ip(5), "eve", None), None);
    assert!(wait(&throttle, ip(5), "eve", None).is_some(), "two refusals stand, and this was the third");
}

#[test]
fn i6_who_hangs_up_before_the_verdict_has_failed_and_the_ban_is_none_that_grows() {
    let (throttle, clock) = throttle();
    for _ in 0..3 {
        drop(throttle.admit(ip(1), "bob", None, Some(throttle.transcript("bob"))).unwrap());
    }
    assert_eq!(wait(&throttle, ip(2), "bob", None), Some(20 * MINUTE));
    clock.advance(20 * 60);
    drop(throttle.admit(ip(1), "bob", None, None).unwrap());
    assert_eq!(wait(&throttle, ip(2), "bob", None), Some(20 * MINUTE));
}

#[tokio::test]
async fn i6_a_provisional_ban_is_listed_and_ends_with_its_outage_or_the_process() {
    let (throttle, clock) = throttle();
    let store = MemoryStore::new();
    fail(&throttle, 3, ip(1), "old", None);
    clock.advance(60);
    assert!(guess(&throttle, 4, 2, "bob").is_some());
    assert!(guess(&throttle, 4, 2, "old").is_some());
    throttle.keep(&store).await;
    let listed = |bans: Vec<BanRecord>| -> Vec<String> {
        let now = clock.now();
        bans.into_iter().filter(|ban| ban.until > now).map(|ban| ban.subject).collect()
    };
    let bans = store.bans().await.unwrap();
    assert!(bans.iter().all(|ban| ban.is_provisional), "{bans:?}");
    assert_eq!(listed(bans.clone()).len(), 2);
    let next = throttle_with(&clock, &[]);
    next.restore(&bans);
    assert_eq!(wait(&next, ip(3), "bob", None), None);
    next.keep(&store).await;
    assert_eq!(listed(store.bans().await.unwrap()), [""; 0]);
    // What the earlier ban was is not forgotten with it.
    fail(&next, 3, ip(3), "old", None);
    assert_eq!(wait(&next, ip(4), "old", None), Some(2 * MINUTE));

    attempt(&throttle, 3, "bob", "guess 0", None).unwrap();
    throttle.keep(&store).await;
    assert!(!listed(store.bans().await.unwrap()).contains(&"bob".to_owned()));
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

//! When a session is over. Only the server's clock counts; the cookie's age is a courtesy to the browser.

use std::time::Duration;

use crate::domain::UnixSeconds;

/// How far in the future a session may seem to have been used: clocks of replicas differ a little, and are set back a
/// little. Beyond that nobody can say how old the session is, so it is over rather than eternal.
const SKEW: i64 = 300;

/// Whether a session may still be used at `now`: before `expires` and less than `idle` after `last_seen`.
#[must_use]
pub fn is_live(
    created: UnixSeconds,
    last_seen: UnixSeconds,
    expires: UnixSeconds,
    idle: Duration,
    now: UnixSeconds,
) -> bool {
    let idle = i64::try_from(idle.as_secs()).unwrap_or(i64::MAX);
    let newest = created.max(last_seen);
    now < expires && now.saturating_sub(last_seen) < idle && newest.saturating_sub(now) <= SKEW
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::is_live;

    const IDLE: Duration = Duration::from_secs(60);

    #[test]
    fn gb4_a_session_ends_at_its_expiry_however_busy() {
        assert!(is_live(0, 999, 1000, IDLE, 999));
        assert!(!is_live(0, 1000, 1000, IDLE, 1000));
        assert!(!is_live(0, 1001, 1000, IDLE, 1001));
    }

    #[test]
    fn s8_a_session_ends_when_idle() {
        assert!(is_live(0, 100, 1000, IDLE, 159));
        assert!(!is_live(0, 100, 1000, IDLE, 160));
    }

    #[test]
    fn b8_a_small_step_back_of_the_clock_keeps_a_session_and_a_great_one_ends_it() {
        assert!(is_live(1000, 1000, 2000, IDLE, 700));
        assert!(!is_live(1000, 1000, 2000, IDLE, 699));
        assert!(!is_live(1000, 0, 2000, IDLE, 10));
    }

    #[test]
    fn an_endless_idle_time_never_ends_a_session() {
        assert!(is_live(0, 0, i64::MAX, Duration::MAX, i64::MAX - 1));
    }

    proptest! {
        #[test]
        fn no_numbers_overflow(c: i64, l: i64, e: i64, idle: u64, now: i64) {
            let live = is_live(c, l, e, Duration::from_secs(idle), now);
            prop_assert!(!live || now < e);
        }
    }
}

//! When to renew, and how long to wait after a failure. Pure: times come in and go out.

use std::time::Duration;

use super::kept::Kept;
use crate::domain::UnixSeconds;

const MINUTE: UnixSeconds = 60;
const HOUR: UnixSeconds = 60 * MINUTE;
/// First wait after a server said no. Let's Encrypt takes five failed verifications of a name in an hour.
const REFUSED: UnixSeconds = 10 * MINUTE;
/// First wait after the server was not reached: at boot the network may come a little later than we do.
const UNREACHED: UnixSeconds = 15;
/// First wait after the server said that it was asked too often.
const LIMITED: UnixSeconds = HOUR;
/// Longest wait after the server said no, and after it was not reached.
const LONGEST_REFUSED: UnixSeconds = 12 * HOUR;
const LONGEST_UNREACHED: UnixSeconds = HOUR;
/// The certificate is looked at this often even if nothing is due: clocks are set and machines sleep.
pub(super) const LOOK: Duration = Duration::from_secs(3600);

/// The time that a server suggests for the renewal (RFC 9773).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Window {
    pub(super) start: UnixSeconds,
    pub(super) end: UnixSeconds,
}

/// Why a failure happened, as far as the wait depends on it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Failure {
    Limited,
    Refused,
    Unreached,
}

/// When to renew: where in its window this certificate's lot falls, else at two thirds of its life. A window that lies
/// too near the end to leave room for failures is not followed.
pub(super) fn due(kept: &Kept, window: Option<Window>) -> UnixSeconds {
    let life = kept.not_after.saturating_sub(kept.not_before).max(0);
    let Some(window) = window.filter(|window| window.start < window.end) else {
        return kept.not_before.saturating_add(life / 3 * 2);
    };
    let latest = kept.not_after.saturating_sub(life / 8);
    window.start.saturating_add(part(window.end.saturating_sub(window.start), kept.lot())).min(latest)
}

/// How long to wait after so many failures in a row, counted from 1. `lot`, from 0 to 1, spreads those who failed
/// together.
pub(super) fn pause(failure: Failure, failures: u32, lot: f64) -> UnixSeconds {
    let (first, longest) = match failure {
        Failure::Limited => (LIMITED, LONGEST_REFUSED),
        Failure::Refused => (REFUSED, LONGEST_REFUSED),
        Failure::Unreached => (UNREACHED, LONGEST_UNREACHED),
    };
    let doublings = failures.saturating_sub(1).min(16);
    let whole = first.saturating_mul(1 << doublings).min(longest);
    // Never shorter than the first wait: a lot must not undercut a rate limit.
    whole.saturating_add(part(whole / 4, lot))
}

/// How long to sleep until `due`.
pub(super) fn sleep_until(due: UnixSeconds, now: UnixSeconds) -> Duration {
    let seconds = u64::try_from(due.saturating_sub(now)).unwrap_or_default();
    Duration::from_secs(seconds.max(1)).min(LOOK)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "lengths of time far below 2^52 seconds"
)]
fn part(length: UnixSeconds, lot: f64) -> UnixSeconds {
    (length as f64 * lot.clamp(0.0, 1.0)) as UnixSeconds
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::pki_types::CertificateDer;

    use super::super::kept::Kept;
    use super::{Failure, Window, due, pause, sleep_until};

    const DAY: i64 = 24 * 3600;

    fn kept(not_before: i64, not_after: i64) -> Kept {
        let leaf = CertificateDer::from(vec![1, 2, 3]);
        Kept { leaf, public_key: Vec::new(), names: Vec::new(), not_before, not_after }
    }

    #[test]
    fn a_certificate_is_renewed_at_two_thirds_of_its_life() {
        assert_eq!(due(&kept(0, 90 * DAY), None), 60 * DAY);
        assert_eq!(due(&kept(DAY, 7 * DAY), None), 5 * DAY);
        assert_eq!(due(&kept(5, 5), None), 5);
    }

    #[test]
    fn the_servers_window_counts_but_never_up_to_the_end() {
        let kept = kept(0, 80 * DAY);
        let at = due(&kept, Some(Window { start: 10 * DAY, end: 12 * DAY }));
        assert!((10 * DAY..=12 * DAY).contains(&at), "{at}");
        assert_eq!(due(&kept, Some(Window { start: 79 * DAY, end: 90 * DAY })), 70 * DAY);
        // A window that is over says: at once.
        assert!(due(&kept, Some(Window { start: -2 * DAY, end: -DAY })) < 0);
        // One that makes no sense says nothing.
        assert_eq!(due(&kept, Some(Window { start: 12 * DAY, end: 10 * DAY })), due(&kept, None));
    }

    #[test]
    fn failures_are_spread_further_and_further_and_never_closer_than_the_limits_allow() {
        for lot in [0.0, 0.5, 1.0] {
            let mut tries = 0;
            let mut at = 0;
            for failures in 1.. {
                at += pause(Failure::Refused, failures, lot);
                if at >= 3600 {
                    break;
                }
                tries += 1;
            }
            // With the first one that is at most four in an hour.
            assert!(tries <= 3, "{tries}");
            assert!(pause(Failure::Limited, 1, lot) >= 3600);
            assert!(pause(Failure::Refused, 1000, lot) <= 15 * 3600);
            assert!(pause(Failure::Unreached, 1000, lot) <= 2 * 3600);
            assert!(pause(Failure::Unreached, 1, lot) <= 20);
        }
    }

    #[test]
    fn no_sleep_is_longer_than_an_hour_or_nothing_at_all() {
        assert_eq!(sleep_until(100, 200), Duration::from_secs(1));
        assert_eq!(sleep_until(i64::MAX, 0), Duration::from_secs(3600));
    }
}

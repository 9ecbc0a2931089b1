//! Is it the right time? Sessions, tokens, certificates, one-time codes and Kerberos all depend on it.

use std::time::Instant;

use super::finding::Finding;
use crate::domain::{Clock, UnixSeconds};

/// 2026-01-01: the program is younger than that.
const EARLIEST: UnixSeconds = 1_767_225_600;
/// 2100-01-01.
const LATEST: UnixSeconds = 4_102_444_800;
/// Seconds of difference that a one-time code still forgives.
const NOTABLE: i64 = 30;
/// Seconds of difference that Kerberos forgives (`clockskew`).
const TOO_MUCH: i64 = 300;
/// Seconds that a wall clock may move against the other clock while the doctor looks.
const JUMP: i64 = 2;
const FIX: &str = "set the clock and keep it: timedatectl set-ntp true (in a container: on its host)";

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    wall: UnixSeconds,
    steady: Instant,
}

impl Moment {
    pub(super) fn now(clock: &Clock) -> Self {
        Self { wall: clock.now(), steady: Instant::now() }
    }
}

/// Is the time one that can be, and did it run evenly since `before`?
pub(super) fn examine(before: Moment, clock: &Clock) -> Vec<Finding> {
    let after = Moment::now(clock);
    let elapsed = after.steady.saturating_duration_since(before.steady);
    vec![
        plausible(after.wall),
        steady(before.wall, after.wall, i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX)),
    ]
}

fn plausible(now: UnixSeconds) -> Finding {
    let id = "clock.plausible";
    if (EARLIEST..LATEST).contains(&now) {
        return Finding::ok(id, format!("it is {}", date(now)));
    }
    let text = format!(
        "the clock says {}, which cannot be: certificates and one-time codes will be refused",
        date(now)
    );
    Finding::problem(id, text, FIX)
}

fn steady(before: UnixSeconds, after: UnixSeconds, elapsed: i64) -> Finding {
    let id = "clock.steady";
    let jump = (after - before).saturating_sub(elapsed);
    if jump.abs() <= JUMP {
        return Finding::ok(id, "the clock runs evenly");
    }
    let text = format!("the clock jumped by {jump} s while the doctor looked");
    Finding::warning(id, text, "let one program alone set it, and slowly (chrony, systemd-timesyncd)")
}

/// Compares with what `who` says that it is.
pub(super) fn compare(id: &'static str, who: &str, theirs: UnixSeconds, ours: UnixSeconds) -> Finding {
    let difference = ours.saturating_sub(theirs);
    let (amount, way) = (difference.abs(), if difference < 0 { "behind" } else { "ahead of" });
    let text = format!("the clock is {amount} s {way} that of {who}");
    match amount {
        0..=NOTABLE => Finding::ok(id, format!("the clock agrees with that of {who}")),
        ..=TOO_MUCH => Finding::warning(id, format!("{text}, so one-time codes may be refused"), FIX),
        _ => Finding::problem(
            id,
            format!("{text}: Kerberos and one-time codes refuse that, and certificates may"),
            FIX,
        ),
    }
}

/// RFC 3339.
pub(super) fn date(seconds: UnixSeconds) -> String {
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| format!("second {seconds}"), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::finding::Status;
    use super::{EARLIEST, compare, plausible, steady};

    #[test]
    fn a_clock_that_lost_its_battery_is_found() {
        assert_eq!(plausible(EARLIEST).status, Status::Ok);
        let found = plausible(60);
        assert_eq!(found.status, Status::Problem);
        assert!(found.text.contains("1970"), "{}", found.text);
        assert_eq!(plausible(i64::from(u32::MAX)).status, Status::Problem);
    }

    #[test]
    fn a_jump_is_seen_against_the_steady_clock() {
        assert_eq!(steady(100, 103, 3).status, Status::Ok);
        assert_eq!(steady(100, 500, 3).status, Status::Warning);
        assert_eq!(steady(500, 100, 3).status, Status::Warning);
    }

    #[test]
    fn another_machines_clock_is_compared_both_ways() {
        for (theirs, status, word) in [
            (1000, Status::Ok, "agrees"),
            (940, Status::Warning, "60 s ahead of"),
            (1400, Status::Problem, "400 s behind"),
        ] {
            let found = compare("clock.engine", "the engine", theirs, 1000);
            assert_eq!(found.status, status);
            assert!(found.text.contains(word), "{}", found.text);
        }
    }
}

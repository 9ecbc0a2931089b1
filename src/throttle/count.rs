//! One counter: a bucket of failures that refills with time, and the bans that follow from an empty one. Pure; all
//! times are milliseconds of a clock that is never set.

use crate::config::Rate;

/// Bans in a row are forgiven one by one, each after this many of the longest bans without another.
const FORGIVEN_AFTER: i64 = 6;
/// Most credentials that are remembered as having failed here already.
const MOST_REPEATS: usize = 8;

/// Why a failure counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cause {
    /// The password was wrong, or the account is refused.
    Refused,
    /// There was no verdict: an outage, or a stack that reports every refusal as one.
    NoVerdict,
}

/// The rules of one kind of counter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Failures that a full bucket takes.
    burst: i64,
    /// Until one of them is given back.
    period: i64,
    /// The first ban.
    ban: i64,
    /// The longest.
    ban_max: i64,
}

impl Rules {
    pub(super) fn new(rate: Rate, ban: std::time::Duration, ban_max: std::time::Duration) -> Self {
        let millis =
            |length: std::time::Duration| i64::try_from(length.as_millis()).unwrap_or(i64::MAX / 1024).max(1);
        let burst = i64::from(rate.failures.max(1));
        Self { burst, period: (millis(rate.per) / burst).max(1), ban: millis(ban), ban_max: millis(ban_max) }
    }

    /// For all devices of one user: twice of everything, so that one of them cannot use it up.
    pub(super) const fn doubled(self) -> Self {
        Self { burst: self.burst * 2, period: self.period / 2 + 1, ..self }
    }

    /// For everything together that has no counter of its own: more room, and no growing ban.
    pub(super) const fn shared(self) -> Self {
        Self { burst: self.burst * 16, period: self.period / 16 + 1, ban_max: self.ban, ..self }
    }

    const fn forgiven_after(&self) -> i64 {
        self.ban_max.saturating_mul(FORGIVEN_AFTER)
    }

    /// A provisional ban: until one failure has been given back, so that guesses come no faster than the bucket refills.
    /// It does not grow.
    fn provisional(&self) -> i64 {
        self.period.max(self.ban).min(self.ban_max)
    }

    /// The ban after so many before it.
    fn length(&self, strikes: u32) -> i64 {
        let doublings = strikes.saturating_sub(1).min(32);
        self.ban.saturating_mul(1 << doublings).min(self.ban_max)
    }
}

/// One address, user name or device.
#[derive(Clone, Debug, Default)]
pub(super) struct Count {
    /// Attempts under way. They count as failures until the opposite is known.
    pending: u32,
    /// When all failures will have been given back.
    clear: i64,
    /// When those of them will have been given back that had no verdict. Never later than `clear`.
    doubtful: i64,
    /// When the ban began and when it ends; equal if there never was one.
    since: i64,
    until: i64,
    /// Bans in a row.
    strikes: u32,
    /// When a provisional ban ends: one to which failures without a verdict belong. It is no strike.
    provisional: i64,
    repeats: [u64; MOST_REPEATS],
    next_repeat: usize,
}

/// A ban, and the bans in a row before it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Ban {
    pub(super) strikes: u32,
    pub(super) since: i64,
    pub(super) until: i64,
    pub(super) forget: i64,
    /// It may be the work of an outage, and ends with it.
    pub(super) is_provisional: bool,
}

impl Count {
    /// A ban that was written down. A provisional one does not outlive the process that could end it; the strikes beside
    /// it do.
    pub(super) fn restored(rules: &Rules, ban: &Ban) -> Self {
        if ban.is_provisional {
            return Self { strikes: ban.strikes, since: ban.since, until: ban.since, ..Self::default() };
        }
        Self {
            // The bucket was empty when it began.
            clear: ban.since.saturating_add(rules.burst * rules.period),
            since: ban.since,
            until: ban.until,
            strikes: ban.strikes,
            ..Self::default()
        }
    }

    /// Takes a place for an attempt, or says how long there is none. A provisional ban keeps no `harmless` attempt out:
    /// one that can tell its sender nothing new.
    pub(super) fn reserve(&mut self, rules: &Rules, harmless: bool, now: i64) -> Result<(), i64> {
        if let Err(left) = self.banned(now) {
            let passes = harmless && self.until <= now;
            if !passes || self.pending > 0 {
                return Err(if passes { 1000 } else { left });
            }
        }
        let spent = (self.clear - now).max(0) + i64::from(self.pending) * rules.period;
        // After a ban the bucket may still be empty: then one attempt at a time.
        if self.pending > 0 && spent > (rules.burst - 1) * rules.period {
            return Err(1000);
        }
        self.pending += 1;
        Ok(())
    }

    /// For how long there is a ban, if there is one.
    pub(super) fn banned(&self, now: i64) -> Result<(), i64> {
        let until = self.until.max(self.provisional);
        if until > now { Err(until - now) } else { Ok(()) }
    }

    /// Gives a place back: the attempt was no failure.
    pub(super) const fn release(&mut self) {
        self.pending = self.pending.saturating_sub(1);
    }

    /// Counts a failure; gives the ban if it brought one.
    pub(super) fn fail(&mut self, rules: &Rules, cause: Cause, now: i64) -> Option<Ban> {
        let full = (rules.burst - 1) * rules.period;
        let later = |clear: i64| (clear.max(now) + rules.period).min(now + full + rules.period);
        self.clear = later(self.clear);
        if cause == Cause::NoVerdict {
            self.doubtful = later(self.doubtful);
        }
        if self.banned(now).is_err() || self.clear - now <= full {
            return None;
        }
        if self.clear - self.doubtful.max(now) <= full {
            self.provisional = now + rules.provisional();
            return self.ban(rules);
        }
        self.forgive(rules, now);
        self.strikes = self.strikes.saturating_add(1);
        self.since = now;
        self.until = now + rules.length(self.strikes);
        self.ban(rules)
    }

    /// Whether this very credential has failed here before. Whoever repeats it learns nothing, and is more likely a
    /// program with an old token than somebody who guesses.
    pub(super) fn is_repeat(&mut self, credential: u64) -> bool {
        if self.repeats.contains(&credential) {
            return true;
        }
        if let Some(place) = self.repeats.get_mut(self.next_repeat % MOST_REPEATS) {
            *place = credential;
        }
        self.next_repeat = (self.next_repeat + 1) % MOST_REPEATS;
        false
    }

    /// There was an outage: what had no verdict counts no more. Says whether that ended a ban.
    pub(super) fn pardon(&mut self, now: i64) -> bool {
        self.clear -= (self.doubtful - now).max(0);
        self.doubtful = now;
        let had_ban = self.provisional > now;
        self.provisional = self.provisional.min(now);
        had_ban
    }

    /// The ban in force or remembered.
    pub(super) fn ban(&self, rules: &Rules) -> Option<Ban> {
        let lasting = rules.forgiven_after().saturating_mul(i64::from(self.strikes));
        let is_provisional = self.provisional > self.until;
        let (since, until) = if is_provisional {
            (self.provisional - rules.provisional(), self.provisional)
        } else {
            (self.since, self.until)
        };
        (self.strikes > 0 || is_provisional).then(|| Ban {
            strikes: self.strikes,
            since,
            until,
            forget: until.saturating_add(lasting),
            is_provisional,
        })
    }

    /// Whether it says nothing any more.
    pub(super) fn is_idle(&mut self, rules: &Rules, now: i64) -> bool {
        self.forgive(rules, now);
        self.pending == 0 && self.clear <= now && self.banned(now).is_ok() && self.strikes == 0
    }

    /// How much would be lost with it; `None` if it must not be lost.
    pub(super) fn weight(&self, rules: &Rules, now: i64) -> Option<i64> {
        let spent = (self.clear - now).max(0) / rules.period;
        (self.pending == 0 && self.banned(now).is_ok()).then(|| spent + i64::from(self.strikes) * rules.burst)
    }

    /// When its ban began; `None` while an attempt is under way.
    pub(super) fn since_unless_pending(&self) -> Option<i64> {
        (self.pending == 0).then_some(self.since)
    }

    fn forgive(&mut self, rules: &Rules, now: i64) {
        let quiet = (now - self.until).max(0) / rules.forgiven_after();
        if quiet > 0 {
            self.strikes = self.strikes.saturating_sub(u32::try_from(quiet).unwrap_or(u32::MAX));
            self.until = self.until.saturating_add(quiet.saturating_mul(rules.forgiven_after())).min(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Cause, Count, Rules};
    use crate::config::Rate;

    const MINUTE: i64 = 60_000;

    fn rules() -> Rules {
        let rate = Rate { failures: 10, per: Duration::from_secs(3600) };
        Rules::new(rate, Duration::from_secs(60), Duration::from_secs(3600))
    }

    fn try_wrong(count: &mut Count, now: i64) -> Result<bool, i64> {
        fail(count, Cause::Refused, now)
    }

    fn fail(count: &mut Count, cause: Cause, now: i64) -> Result<bool, i64> {
        count.reserve(&rules(), false, now)?;
        count.release();
        Ok(count.fail(&rules(), cause, now).is_some())
    }

    #[test]
    fn b1_the_tenth_failure_bans_and_a_success_costs_nothing() {
        let mut count = Count::default();
        for _ in 0..100 {
            count.reserve(&rules(), false, 0).unwrap();
            count.release();
        }
        for number in 1..=10 {
            assert_eq!(try_wrong(&mut count, 0), Ok(number == 10), "{number}");
        }
        assert_eq!(try_wrong(&mut count, 0), Err(MINUTE));
        assert_eq!(try_wrong(&mut count, MINUTE - 1), Err(1));
    }

    #[test]
    fn b1_each_further_ban_is_twice_as_long_up_to_the_longest() {
        let (mut count, mut now) = (Count::default(), 0);
        for _ in 0..10 {
            let _ = try_wrong(&mut count, now);
        }
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(count.banned(now), Err(minutes * MINUTE));
            now = count.until;
            // The bucket refills meanwhile, at one failure in six minutes: from eight minutes on there is some room.
            while try_wrong(&mut count, now).is_ok() {}
        }
    }

    #[test]
    fn b1_failures_that_come_slowly_never_ban() {
        let mut count = Count::default();
        for number in 0..1000 {
            assert_eq!(try_wrong(&mut count, number * 6 * MINUTE), Ok(false));
        }
    }

    #[test]
    fn b1_a_thousand_at_once_are_no_more_than_one_after_another() {
        let mut count = Count::default();
        let admitted = (0..1000).filter(|_| count.reserve(&rules(), false, 0).is_ok()).count();
        assert_eq!(admitted, 10);
        let bans = (0..10).filter(|_| {
            count.release();
            count.fail(&rules(), Cause::Refused, 0).is_some()
        });
        assert_eq!(bans.count(), 1);
        // After the ban the bucket is still empty: one at a time.
        let admitted = (0..1000).filter(|_| count.reserve(&rules(), false, MINUTE).is_ok()).count();
        assert_eq!(admitted, 1);
    }

    #[test]
    fn i6_failures_without_a_verdict_ban_as_others_do_and_guesses_come_no_faster_than_the_bucket_refills() {
        let mut count = Count::default();
        for number in 1..=10 {
            assert_eq!(fail(&mut count, Cause::NoVerdict, 0), Ok(number == 10), "{number}");
        }
        let looked_at =
            (0..24 * 60).filter(|minute| fail(&mut count, Cause::NoVerdict, minute * MINUTE).is_ok()).count();
        assert!((230..=240).contains(&looked_at), "{looked_at} in a day, at ten an hour");
        assert_eq!(count.strikes, 0);
    }

    #[test]
    fn i6_a_pardon_takes_back_what_had_no_verdict_and_nothing_else() {
        let mut count = Count::default();
        for number in 1..=10 {
            let cause = if number > 4 { Cause::NoVerdict } else { Cause::Refused };
            let _ = fail(&mut count, cause, 0);
        }
        assert_eq!(fail(&mut count, Cause::Refused, 0), Err(6 * MINUTE));
        assert!(count.pardon(0) && !count.pardon(0));
        for number in 5..=10 {
            assert_eq!(try_wrong(&mut count, 0), Ok(number == 10), "{number}");
        }
        assert!(!count.pardon(0), "a ban by refusals stands");
        assert_eq!(try_wrong(&mut count, 0), Err(MINUTE));
    }

    #[test]
    fn i6_a_provisional_ban_keeps_out_whatever_could_be_a_guess_and_a_ban_by_refusals_everything() {
        let mut count = Count::default();
        for _ in 0..10 {
            let _ = fail(&mut count, Cause::NoVerdict, 0);
        }
        assert!(count.reserve(&rules(), false, 0).is_err());
        assert!(count.reserve(&rules(), true, 0).is_ok());
        assert_eq!(count.reserve(&rules(), true, 0), Err(1000), "one at a time");
        let mut count = Count::default();
        for _ in 0..10 {
            let _ = try_wrong(&mut count, 0);
        }
        assert_eq!(count.reserve(&rules(), true, 0), Err(MINUTE));
    }

    #[test]
    fn bans_in_a_row_are_forgiven_in_time() {
        let mut count = Count::default();
        for _ in 0..10 {
            let _ = try_wrong(&mut count, 0);
        }
        let _ = try_wrong(&mut count, MINUTE);
        assert_eq!(count.strikes, 2);
        let quiet = 6 * 3_600_000;
        let end = count.until;
        assert!(!count.clone().is_idle(&rules(), end + 2 * quiet - 1));
        assert!(count.is_idle(&rules(), end + 2 * quiet));
    }

    #[test]
    fn the_same_wrong_credential_again_is_a_repeat() {
        let mut count = Count::default();
        assert!(!count.is_repeat(1) && count.is_repeat(1));
        for other in 2..=9 {
            assert!(!count.is_repeat(other));
        }
        assert!(!count.is_repeat(1), "only the latest are remembered");
    }
}

//! What is known of one person's account, and when to ask again. Pure.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// Somebody who is refused and comes again is asked about again no sooner than after this.
const RECONSIDER: Duration = Duration::from_secs(60);
/// Bounds of the pause after a check that gave no answer, while the last one still holds.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// The same for somebody who has to wait for an answer.
const RETRY_SOON: Duration = Duration::from_secs(2);
/// A refusal is remembered for this long after its last use, so that the log tells of it once.
const REMEMBER: Duration = Duration::from_secs(3600);

/// How often, and for how long an answer holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Longest time from one answer to the next question.
    pub(super) interval: Duration,
}

impl Rules {
    /// How long a good answer holds while there is no other.
    pub(super) fn keeps(self) -> Duration {
        self.interval.saturating_mul(3)
    }

    /// Before the interval ends, and not for everybody at once. `spread` is 0 to 1.
    fn next(self, spread: f64) -> Duration {
        self.interval.mul_f64(0.3f64.mul_add(spread, 0.6))
    }

    fn retry(self, is_good: bool, spread: f64) -> Duration {
        let pause = if is_good { (self.interval / 4).clamp(RETRY.0, RETRY.1) } else { RETRY_SOON };
        pause.mul_f64(0.25f64.mul_add(spread, 0.75))
    }
}

/// What a check said.
#[derive(Debug)]
pub(super) enum Answer {
    Good {
        groups: Arc<[String]>,
        /// Absent where the name service does not know the user.
        uid: Option<u32>,
    },
    Refused {
        why: String,
        /// PAM said in so many words that there is no such user.
        is_unknown: bool,
        /// The name service said so.
        has_no_entry: bool,
    },
    /// Nobody could say.
    Unavailable(String),
}

/// What must be done about an answer.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Effect {
    Nothing,
    /// Good as before; the groups may be others.
    Confirmed,
    /// Good after it was not.
    Restored,
    /// No longer good: what is open ends, what is stored waits.
    ShutOut(String),
    /// The user does not exist any more: what is stored ends too.
    Gone,
    /// The name belongs to another account now: what the old one had ends.
    Replaced,
    /// The first question without an answer.
    Unanswered(String),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    Unasked,
    Good,
    Refused,
    /// There was no answer for too long.
    Unsure,
}

/// Whether somebody may go on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Standing {
    /// They may, and these are their groups.
    Good(Arc<[String]>),
    /// PAM says no.
    Refused,
    /// It cannot be found out.
    Unavailable,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Account {
    verdict: Verdict,
    /// Of the last good answer.
    good_at: Option<Instant>,
    /// Nobody asks before this.
    due: Instant,
    /// When somebody last wanted to know.
    pub(super) used: Instant,
    /// Where the person was last.
    pub(super) address: IpAddr,
    groups: Arc<[String]>,
    /// The user's id as the last good answer had it; the inner one is absent for users without a Unix account.
    uid: Option<Option<u32>>,
    /// The last answer was that the user does not exist. One such answer may be a name service that starts anew.
    seems_gone: bool,
    awaits_proof: bool,
    is_unanswered: bool,
}

impl Account {
    pub(super) fn new(address: IpAddr, now: Instant) -> Self {
        Self {
            verdict: Verdict::Unasked,
            good_at: None,
            due: now,
            used: now,
            address,
            groups: Arc::from([]),
            uid: None,
            seems_gone: false,
            awaits_proof: false,
            is_unanswered: false,
        }
    }

    /// What holds at `now`; `None` if it is time to ask first.
    pub(super) fn standing(&self, now: Instant, rules: Rules) -> Option<Standing> {
        let last = self.last_standing(now, rules);
        (matches!(last, Standing::Good(_)) || now < self.due).then_some(last)
    }

    /// What holds at `now` if there is nobody to ask.
    pub(super) fn last_standing(&self, now: Instant, rules: Rules) -> Standing {
        match self.verdict {
            Verdict::Good if self.holds(now, rules) => Standing::Good(Arc::clone(&self.groups)),
            Verdict::Refused => Standing::Refused,
            Verdict::Good | Verdict::Unasked | Verdict::Unsure => Standing::Unavailable,
        }
    }

    fn holds(&self, now: Instant, rules: Rules) -> bool {
        self.good_at.is_some_and(|at| now < at + rules.keeps())
    }

    /// Whether a good answer has become too old; told once.
    pub(super) fn lapses(&mut self, now: Instant, rules: Rules) -> bool {
        let lapses = self.verdict == Verdict::Good && !self.holds(now, rules);
        if lapses {
            self.verdict = Verdict::Unsure;
        }
        lapses
    }

    /// Since when it is time to ask although nobody waits; `has_open` if the person has anything that lives.
    pub(super) fn due_ahead(&self, now: Instant, has_open: bool) -> Option<Instant> {
        let wanted = match self.verdict {
            Verdict::Refused => self.awaits_proof,
            Verdict::Good | Verdict::Unasked | Verdict::Unsure => has_open,
        };
        (wanted && self.due <= now).then_some(self.due)
    }

    /// Whether nobody has asked for so long that it may be forgotten.
    pub(super) fn is_idle(&self, now: Instant, rules: Rules) -> bool {
        let kept =
            if self.verdict == Verdict::Refused { rules.interval.max(REMEMBER) } else { rules.interval };
        now.duration_since(self.used) > kept && !self.awaits_proof
    }

    /// A login by the same stack proved it.
    pub(super) fn prove(&mut self, groups: Arc<[String]>, now: Instant, rules: Rules, spread: f64) {
        self.be_good(groups, now, rules, spread);
    }

    /// A login by another stack: what was not good is to be asked for again at once.
    pub(super) fn reconsider(&mut self, now: Instant) {
        if self.verdict != Verdict::Good {
            self.verdict = Verdict::Unasked;
            self.due = now;
        }
    }

    /// Takes an answer.
    pub(super) fn take(&mut self, answer: Answer, now: Instant, rules: Rules, spread: f64) -> Effect {
        match answer {
            Answer::Good { groups, uid } => {
                let known = self.uid.replace(uid).flatten();
                let before = self.verdict;
                self.be_good(groups, now, rules, spread);
                if known.is_some() && uid.is_some() && known != uid {
                    Effect::Replaced
                } else if matches!(before, Verdict::Refused | Verdict::Unsure) {
                    Effect::Restored
                } else {
                    Effect::Confirmed
                }
            }
            Answer::Refused { why, is_unknown, has_no_entry } => {
                // Whoever was good without an entry is not gone for want of one.
                let seems_gone = is_unknown || (has_no_entry && self.uid != Some(None));
                self.refuse(why, seems_gone, now, rules, spread)
            }
            Answer::Unavailable(reason) => {
                self.due = now + rules.retry(self.verdict == Verdict::Good, spread);
                if self.verdict == Verdict::Unasked {
                    self.verdict = Verdict::Unsure;
                }
                let is_first = !std::mem::replace(&mut self.is_unanswered, true);
                if is_first { Effect::Unanswered(reason) } else { Effect::Nothing }
            }
        }
    }

    fn be_good(&mut self, groups: Arc<[String]>, now: Instant, rules: Rules, spread: f64) {
        self.verdict = Verdict::Good;
        self.good_at = Some(now);
        self.due = now + rules.next(spread);
        self.groups = groups;
        (self.seems_gone, self.awaits_proof, self.is_unanswered) = (false, false, false);
    }

    fn refuse(&mut self, why: String, seems_gone: bool, now: Instant, rules: Rules, spread: f64) -> Effect {
        let before = std::mem::replace(&mut self.verdict, Verdict::Refused);
        let is_gone = std::mem::replace(&mut self.seems_gone, seems_gone) && seems_gone;
        self.awaits_proof = seems_gone && !is_gone;
        self.is_unanswered = false;
        self.due = now + rules.next(spread).min(if self.awaits_proof { Duration::MAX } else { RECONSIDER });
        match before {
            _ if is_gone => Effect::Gone,
            Verdict::Refused => Effect::Nothing,
            Verdict::Good | Verdict::Unasked | Verdict::Unsure => Effect::ShutOut(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Account, Answer, Effect, Rules, Standing};

    const RULES: Rules = Rules { interval: Duration::from_secs(300) };
    const SECOND: Duration = Duration::from_secs(1);

    fn good(uid: Option<u32>) -> Answer {
        Answer::Good { groups: Arc::from(["ops".to_owned()]), uid }
    }

    fn refused(is_unknown: bool, has_no_entry: bool) -> Answer {
        Answer::Refused { why: "because".to_owned(), is_unknown, has_no_entry }
    }

    fn outage() -> Answer {
        Answer::Unavailable("down".to_owned())
    }

    fn account() -> (Account, Instant) {
        let now = Instant::now();
        (Account::new("192.0.2.1".parse().unwrap(), now), now)
    }

    fn shut_out() -> Effect {
        Effect::ShutOut("because".to_owned())
    }

    fn is_good(account: &Account, now: Instant) -> bool {
        matches!(account.standing(now, RULES), Some(Standing::Good(_)))
    }

    #[test]
    fn k3_nobody_is_good_before_an_answer() {
        let (account, now) = account();
        assert_eq!(account.standing(now, RULES), None);
        assert_eq!(account.last_standing(now, RULES), Standing::Unavailable);
    }

    #[test]
    fn k3_the_next_question_comes_within_the_interval_and_not_for_all_at_once() {
        let due = |spread: f64| {
            let (mut account, now) = account();
            account.take(good(Some(1)), now, RULES, spread);
            let due = account.due_ahead(now + RULES.interval, true).unwrap();
            assert!(account.due_ahead(due - SECOND, true).is_none());
            assert!(account.due_ahead(due, false).is_none(), "nobody is asked about who has nothing open");
            due.duration_since(now)
        };
        assert!(due(0.0) >= RULES.interval / 2 && due(0.0) < due(1.0) && due(1.0) < RULES.interval);
    }

    #[test]
    fn k3_a_refusal_is_told_once_and_a_later_yes_restores() {
        let (mut account, now) = account();
        assert_eq!(account.take(good(Some(1)), now, RULES, 0.0), Effect::Confirmed);
        assert_eq!(account.take(refused(false, false), now, RULES, 0.0), shut_out());
        assert_eq!(account.take(refused(false, false), now, RULES, 0.0), Effect::Nothing);
        assert_eq!(account.standing(now, RULES), Some(Standing::Refused));
        assert_eq!(account.standing(now + 60 * SECOND, RULES), None, "asked again on demand");
        assert!(account.due_ahead(now + 900 * SECOND, true).is_none(), "and only then");
        assert_eq!(account.take(good(Some(1)), now, RULES, 0.0), Effect::Restored);
        assert!(is_good(&account, now));
    }

    #[test]
    fn a_directory_that_is_down_keeps_the_last_yes_for_three_intervals_and_no_longer() {
        let (mut account, now) = account();
        account.take(good(Some(1)), now, RULES, 0.0);
        let later = now + 2 * RULES.interval;
        assert_eq!(account.take(outage(), later, RULES, 0.0), Effect::Unanswered("down".to_owned()));
        assert_eq!(account.take(outage(), later, RULES, 0.0), Effect::Nothing);
        assert!(is_good(&account, now + 3 * RULES.interval - SECOND));
        assert!(!account.lapses(now + 3 * RULES.interval - SECOND, RULES));
        let end = now + 3 * RULES.interval;
        assert!(!is_good(&account, end), "even if nobody has noticed yet");
        assert!(account.lapses(end, RULES) && !account.lapses(end, RULES), "told once");
        account.take(outage(), end, RULES, 0.0);
        assert_eq!(account.standing(end, RULES), Some(Standing::Unavailable), "not asked by each request");
        assert_eq!(account.take(good(Some(1)), end, RULES, 0.0), Effect::Restored);
        assert!(is_good(&account, end));
    }

    #[test]
    fn an_outage_lets_nobody_in_who_was_refused_or_never_asked_about() {
        let (mut refusal, now) = account();
        refusal.take(refused(false, false), now, RULES, 0.0);
        refusal.take(outage(), now, RULES, 0.0);
        assert_eq!(refusal.standing(now, RULES), Some(Standing::Refused));
        let (mut fresh, now) = account();
        fresh.take(outage(), now, RULES, 0.0);
        assert_eq!(fresh.standing(now, RULES), Some(Standing::Unavailable));
    }

    #[test]
    fn k3_a_user_is_gone_when_two_answers_say_so() {
        let (mut account, now) = account();
        account.take(good(Some(1)), now, RULES, 0.0);
        assert_eq!(account.take(refused(false, true), now, RULES, 0.0), shut_out());
        let proof = account.due_ahead(now + RULES.interval, false).expect("asked again by itself");
        assert!(proof >= now + RULES.interval / 2 && !account.is_idle(proof + RULES.interval, RULES));
        assert_eq!(account.take(refused(false, true), proof, RULES, 0.0), Effect::Gone);
        assert!(account.due_ahead(proof + RULES.interval, false).is_none());
        // In between there was another answer.
        account.take(refused(true, true), now, RULES, 0.0);
        account.take(refused(false, false), now, RULES, 0.0);
        assert_ne!(account.take(refused(true, true), now, RULES, 0.0), Effect::Gone);
    }

    #[test]
    fn people_without_a_unix_account_are_not_gone_for_want_of_one() {
        let (mut account, now) = account();
        account.take(good(None), now, RULES, 0.0);
        for _ in 0..3 {
            assert_ne!(account.take(refused(false, true), now, RULES, 0.0), Effect::Gone);
        }
        account.take(refused(true, true), now, RULES, 0.0);
        assert_eq!(account.take(refused(true, true), now, RULES, 0.0), Effect::Gone);
    }

    #[test]
    fn k3_a_new_account_of_the_same_name_does_not_inherit() {
        let (mut account, now) = account();
        account.take(good(Some(1)), now, RULES, 0.0);
        assert_eq!(account.take(good(Some(1)), now, RULES, 0.0), Effect::Confirmed);
        assert_eq!(account.take(good(Some(2)), now, RULES, 0.0), Effect::Replaced);
    }

    #[test]
    fn a_login_counts_as_an_answer_only_of_its_own_stack() {
        let (mut account, now) = account();
        account.take(refused(false, false), now, RULES, 0.0);
        account.reconsider(now);
        assert_eq!(account.standing(now, RULES), None);
        account.prove(Arc::from([]), now, RULES, 0.0);
        assert!(is_good(&account, now));
        account.reconsider(now);
        assert!(is_good(&account, now));
    }
}

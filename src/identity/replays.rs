//! Results of login steps, for requests that send the same step once more.
//!
//! A step's check does not hang on the request that brought it: a browser that sends a form twice (a double click) drops
//! the first request and waits for the second. The same step with the same answers gets the same result while it is
//! checked and for ten seconds after. It is one check and at most one failure.
//!
//! Keys are keyed digests, so that no answer is kept. A success is kept as a verdict only: whoever collects it in that time
//! makes a session or token of it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::{hmac, rand};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::domain::{Client, Clients, Clock, network_of};
use crate::identity::exchange::{Begin, Limits, Reply};
use crate::identity::origin::Origin;
use crate::identity::room::{Holder, Rank, victim};

/// For how long a result is kept.
const KEPT_MILLIS: i64 = 10_000;
/// Most results of one client; a further one takes the place of its oldest.
const MAX_OF_ONE: usize = 32;
/// Results for each login that may run at once.
const FOR_EACH_LOGIN: usize = 4;

/// What came of a step, and when it may be told.
#[derive(Clone, Debug)]
pub(super) struct Settled {
    pub(super) reply: Reply,
    /// What a refusal costs in time.
    pub(super) not_before: Option<Instant>,
}

impl From<Reply> for Settled {
    fn from(reply: Reply) -> Self {
        Self { reply, not_before: None }
    }
}

/// A step with its answers, of one browser in one network: a keyed digest.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub(super) struct StepKey([u8; 32]);

type Published = Option<(Settled, i64)>;

/// Waits for a result.
pub(super) struct Outcome(watch::Receiver<Published>);

/// Gives the result to all who wait for it.
pub(super) struct Publisher {
    sender: watch::Sender<Published>,
    clock: Clock,
}

/// What a request finds.
pub(super) enum Entered<T> {
    /// The step is checked already, or was a moment ago.
    Again(Outcome),
    /// It is to be checked.
    First(T, Publisher, Outcome),
}

struct Kept {
    holder: Holder,
    client: Client,
    browser: Option<[u8; 32]>,
    result: watch::Receiver<Published>,
    /// A first step whose check came to nothing may be sent again; a later step is used up by it.
    is_first_step: bool,
}

/// All results that are kept.
pub(super) struct Replays {
    /// Absent where the machine gave no random bytes: nothing is kept then.
    key: Option<hmac::Key>,
    table: Mutex<HashMap<StepKey, Kept>>,
    most: usize,
    clients: Clients,
    clock: Clock,
}

impl Outcome {
    /// The result, once there is one and it may be told.
    pub(super) async fn collect(mut self) -> Reply {
        let settled = match self.0.wait_for(Option::is_some).await {
            Ok(result) => result.as_ref().map(|(settled, _)| settled.clone()),
            // The check ended without a result.
            Err(_) => None,
        };
        let Some(settled) = settled else { return Reply::Unavailable };
        if let Some(moment) = settled.not_before {
            tokio::time::sleep_until(moment).await;
        }
        settled.reply
    }
}

impl Publisher {
    pub(super) fn publish(self, settled: Settled) {
        self.sender.send_replace(Some((settled, self.clock.steady_millis())));
    }
}

impl Kept {
    fn is_alive(&self, now: i64) -> bool {
        match &*self.result.borrow() {
            None => self.result.has_changed().is_ok(),
            Some((settled, at)) => {
                let is_verdict =
                    matches!(settled.reply, Reply::Ask { .. } | Reply::Done(_) | Reply::Refused(_));
                now - at < KEPT_MILLIS && (is_verdict || !self.is_first_step)
            }
        }
    }
}

impl Replays {
    pub(super) fn new(limits: &Limits, clients: Clients, clock: Clock) -> Self {
        let mut bytes = [0_u8; 32];
        let key = rand::fill(&mut bytes).ok().map(|()| hmac::Key::new(hmac::HMAC_SHA256, &bytes));
        let most = limits.max_logins.saturating_mul(FOR_EACH_LOGIN);
        Self { key, table: Mutex::default(), most, clients, clock }
    }

    /// The key of an answer to a question.
    pub(super) fn of_answer(
        &self,
        conversation: &str,
        answers: &[String],
        origin: &Origin,
    ) -> Option<StepKey> {
        let answers = answers.iter().map(String::as_bytes);
        self.digest(1, origin, std::iter::once(conversation.as_bytes()).chain(answers))
    }

    /// The key of a first step that a page of ours sent, each of which has a secret of its own. Programs have nothing that
    /// tells a repetition from another login.
    pub(super) fn of_page(&self, begin: &Begin) -> Option<StepKey> {
        let page = begin.page.as_deref().filter(|_| begin.origin.browser.is_some())?;
        let password = begin.password.as_deref().unwrap_or_default();
        let parts = [page, &begin.user, password];
        self.digest(0, &begin.origin, parts.into_iter().map(str::as_bytes))
    }

    fn digest<'a>(
        &self,
        kind: u8,
        origin: &Origin,
        parts: impl Iterator<Item = &'a [u8]>,
    ) -> Option<StepKey> {
        let mut context = hmac::Context::with_key(self.key.as_ref()?);
        let network = network_of(origin.client.address).to_string();
        let browser = origin.browser.as_ref().map_or(&[][..], <[u8; 32]>::as_slice);
        let mut add = |part: &[u8]| {
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(part);
        };
        [&[kind][..], network.as_bytes(), browser].into_iter().for_each(&mut add);
        parts.for_each(add);
        let mut key = [0; 32];
        key.copy_from_slice(context.sign().as_ref());
        Some(StepKey(key))
    }

    /// Finds the result of this step, or begins it with `start`, which no other request of the same step can do meanwhile.
    ///
    /// # Errors
    /// What `start` says.
    pub(super) fn enter<T, E>(
        &self,
        key: Option<StepKey>,
        (origin, is_first_step): (&Origin, bool),
        start: impl FnOnce() -> Result<T, E>,
    ) -> Result<Entered<T>, E> {
        let now = self.clock.steady_millis();
        let mut table = self.lock();
        if let Some(kept) = key.and_then(|key| table.get(&key)).filter(|kept| kept.is_alive(now)) {
            return Ok(Entered::Again(Outcome(kept.result.clone())));
        }
        let started = start()?;
        let (publisher, outcome) = self.apart();
        if let Some(key) = key {
            table.retain(|_, kept| kept.is_alive(now));
            let (client, browser) = (origin.client, origin.browser);
            let holder = Holder { address: client.address, rank: Rank::Answered, since: Instant::now() };
            let kept = Kept { holder, client, browser, result: outcome.0.clone(), is_first_step };
            self.keep(&mut table, key, kept);
        }
        Ok(Entered::First(started, publisher, outcome))
    }

    /// A check whose result is not kept.
    pub(super) fn apart(&self) -> (Publisher, Outcome) {
        let (sender, result) = watch::channel(None);
        (Publisher { sender, clock: self.clock.clone() }, Outcome(result))
    }

    /// One client keeps its newest few. Where the table is full, the network that holds most loses its oldest; if none
    /// holds more than others, the newcomer is not kept, and only its repetitions notice.
    fn keep(&self, table: &mut HashMap<StepKey, Kept>, key: StepKey, kept: Kept) {
        if let Some(client) = self.clients.one(kept.client) {
            let own = || table.iter().filter(|(_, other)| network_of(other.client.address) == client);
            if own().count() >= MAX_OF_ONE
                && let Some(oldest) = own().min_by_key(|(_, other)| other.holder.since).map(|(key, _)| *key)
            {
                table.remove(&oldest);
            }
        }
        if table.len() >= self.most {
            let holders: Vec<_> = table.iter().map(|(key, other)| (*key, other.holder)).collect();
            match victim(&holders, &kept.holder) {
                Some(key) => drop(table.remove(&key)),
                None => return,
            }
        }
        table.insert(key, kept);
    }

    /// Forgets the results of a browser: who signs out must not be signed in again by the way back to a form.
    pub(super) fn forget(&self, browser: [u8; 32]) {
        self.lock().retain(|_, kept| kept.browser != Some(browser));
    }

    /// Forgets results whose time is up.
    pub(super) fn sweep(&self) {
        let now = self.clock.steady_millis();
        self.lock().retain(|_, kept| kept.is_alive(now));
    }

    /// Each change is one call, so a panic elsewhere leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, HashMap<StepKey, Kept>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use super::{Entered, MAX_OF_ONE, Outcome, Publisher, Replays, Settled};
    use crate::domain::{Clients, Clock};
    use crate::identity::exchange::{Begin, Limits, Reply};
    use crate::identity::origin::Origin;

    fn replays(clock: &Clock) -> Replays {
        let limits = Limits {
            max_logins: 16,
            prompt_deadline: Duration::from_secs(60),
            login_deadline: Duration::from_secs(60),
            failure_delay: Duration::ZERO,
        };
        Replays::new(&limits, Clients::default(), clock.clone())
    }

    fn origin(address: &str) -> Origin {
        Origin::unknown(address.parse::<IpAddr>().unwrap().into())
    }

    fn enter(replays: &Replays, id: &str, answer: &str, origin: &Origin) -> Result<Publisher, Outcome> {
        let key = replays.of_answer(id, &[answer.to_owned()], origin);
        match replays.enter(key, (origin, false), || Ok::<_, ()>(())).ok().unwrap() {
            Entered::First((), publisher, _) => Ok(publisher),
            Entered::Again(outcome) => Err(outcome),
        }
    }

    #[tokio::test]
    async fn w8_the_same_step_has_one_check_and_one_result_for_ten_seconds() {
        let (clock, here) = (Clock::manual(0), origin("192.0.2.1"));
        let replays = replays(&clock);
        let check = enter(&replays, "id", "42", &here).ok().expect("to be checked");
        let waits = enter(&replays, "id", "42", &here).err().expect("checked already");
        clock.advance(60);
        assert!(enter(&replays, "id", "42", &here).is_err(), "a slow check");
        check.publish(Settled::from(Reply::Refused(Vec::new())));
        assert!(matches!(waits.collect().await, Reply::Refused(_)));
        clock.advance(9);
        let again = enter(&replays, "id", "42", &here).err().expect("kept");
        assert!(matches!(again.collect().await, Reply::Refused(_)));
        clock.advance(1);
        assert!(enter(&replays, "id", "42", &here).is_ok(), "nothing is replayed after ten seconds");
        replays.sweep();
    }

    #[tokio::test]
    async fn w8_a_result_belongs_to_one_step_its_answers_one_browser_and_one_network() {
        let (clock, here) = (Clock::manual(0), origin("192.0.2.1"));
        let replays = replays(&clock);
        let browser = here.clone().in_browser(Some([1; 32]));
        let mut checks = vec![enter(&replays, "id", "42", &browser).ok().unwrap()];
        for (id, answer, origin) in [
            ("id", "43", &browser),
            ("id2", "42", &browser),
            ("i", "d42", &browser),
            ("id", "42", &here),
            ("id", "42", &here.clone().in_browser(Some([2; 32]))),
            ("id", "42", &origin("192.0.2.2").in_browser(Some([1; 32]))),
        ] {
            checks.push(enter(&replays, id, answer, origin).ok().expect("a step of its own"));
        }
        let waits = enter(&replays, "id", "42", &browser).err().unwrap();
        drop(checks);
        assert!(matches!(waits.collect().await, Reply::Unavailable), "a check that died");
        assert!(enter(&replays, "id", "42", &browser).is_ok());
    }

    #[test]
    fn w8_a_first_step_is_known_by_its_page_and_one_without_a_verdict_may_be_sent_again() {
        let (clock, here) = (Clock::manual(0), origin("192.0.2.1"));
        let replays = replays(&clock);
        let begin = |page: Option<&str>, browser| Begin {
            user: "bob".to_owned(),
            password: Some("x".to_owned()),
            page: page.map(str::to_owned),
            origin: here.clone().in_browser(browser),
        };
        assert!(replays.of_page(&begin(None, Some([1; 32]))).is_none(), "a program");
        assert!(replays.of_page(&begin(Some("secret"), None)).is_none(), "no cookie");
        let key = replays.of_page(&begin(Some("secret"), Some([1; 32])));
        assert!(key.is_some() && key != replays.of_page(&begin(Some("other"), Some([1; 32]))));
        for (reply, is_kept) in [(Reply::Unavailable, false), (Reply::Refused(Vec::new()), true)] {
            let Ok(Entered::First((), publisher, _)) = replays.enter(key, (&here, true), || Ok::<_, ()>(()))
            else {
                panic!("not checked");
            };
            publisher.publish(Settled::from(reply));
            let next = replays.enter(key, (&here, true), || Err::<(), _>(()));
            assert_eq!(matches!(next, Ok(Entered::Again(_))), is_kept);
        }
    }

    #[test]
    fn w8_what_is_kept_is_bounded_for_one_client_and_for_all() {
        let clock = Clock::manual(0);
        let replays = replays(&clock);
        let mut checks = Vec::new();
        let honest = origin("198.51.100.7");
        checks.push(enter(&replays, "id", "42", &honest).ok().unwrap());
        for number in 0..4 * MAX_OF_ONE {
            checks.push(enter(&replays, "id", &number.to_string(), &origin("192.0.2.1")).ok().unwrap());
        }
        assert_eq!(replays.lock().len(), MAX_OF_ONE + 1);
        for number in 0..200 {
            let address = format!("2001:db8:0:{number:x}::1");
            checks.push(enter(&replays, "id", "42", &origin(&address)).ok().unwrap());
        }
        assert!(replays.lock().len() <= 64);
        assert!(enter(&replays, "id", "42", &honest).is_err(), "one network ends no others");
        drop(checks);
        replays.sweep();
        assert!(replays.lock().is_empty());
    }
}

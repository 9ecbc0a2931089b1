//! One step of a login, from the throttle's word to the verdict and what it counts. What comes of it may be told to
//! several requests or to none, so that nothing here waits for one.

use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::rand;
use tokio::time::Instant;

use crate::domain::{Asked, Message, Password, Prompt, PromptStyle, Username};
use crate::identity::authenticator::{Step, Verified};
use crate::identity::conversations::Conversations;
use crate::identity::exchange::{Begin, Reply};
use crate::identity::origin::Origin;
use crate::identity::pending::{NotStored, Waiting};
use crate::identity::replays::Settled;
use crate::throttle::{Attempt, Transcript};

impl Conversations {
    /// The first step. `credential` names the pair of a door that sends it again and again.
    pub(super) async fn begin_step(
        &self,
        submitted: Instant,
        begin: Begin,
        credential: Option<&[u8]>,
    ) -> Settled {
        let transcript = self.transcript(&begin.user, begin.password.as_deref());
        let device = begin.origin.device_of(&begin.user);
        let is_known = device.is_some();
        let client = begin.origin.client;
        let attempt = match self.throttle.admit(client, &begin.user, device, Some(transcript)) {
            Ok(attempt) => attempt.relayed(begin.origin.is_relayed),
            Err(wait) => return self.throttled(submitted, client.address, &begin.user, wait),
        };
        let attempt = match credential {
            Some(credential) => attempt.with(credential),
            None => attempt,
        };
        let Some(permit) = self.running.acquire(client) else {
            attempt.release();
            return self.busy(submitted, Duration::from_secs(2));
        };
        // A name that PAM must not see, and an empty password, cost what a wrong password costs.
        let parsed = Username::parse(&begin.user).map_err(|error| error.to_string());
        let password = begin.password.map(Password::parse).transpose().map_err(|error| error.to_string());
        let (user, password) = match (parsed, password) {
            (Ok(user), Ok(password)) => (user, password),
            (Err(why), _) | (_, Err(why)) => {
                drop(permit);
                let address = client.address;
                tracing::info!(target: "doorward::login", %address, why, "login refused");
                attempt.fail();
                return self.priced(submitted, Duration::ZERO, Reply::Refused(Vec::new()));
            }
        };
        let now = self.clock.now();
        let (dialogue, step) = self.authenticator.begin(&user, client.address, trace_id()).await;
        let (dialogue, step) = self.first_question.cover(&user, dialogue, step);
        let waiting = dialogue.map(|dialogue| Waiting {
            dialogue,
            user: user.clone(),
            client,
            browser: begin.origin.browser,
            password,
            has_asked_code: false,
            has_answered: false,
            transcript,
            is_known,
            asked: now,
            begun: now,
            order: submitted,
            answering: None,
        });
        let (waiting, step) = prefill(waiting, step).await;
        drop(permit);
        self.settle(submitted, attempt, (&user, client.address), waiting, step)
    }

    /// A later step. It takes no place: it has had one since it began.
    pub(super) async fn answer_step(
        &self,
        submitted: Instant,
        mut waiting: Waiting,
        answers: &[String],
        origin: &Origin,
    ) -> Settled {
        let (user, client) = (waiting.user.clone(), origin.client);
        let answer = answers.first().map_or("", String::as_str);
        if waiting.dialogue.has_ended() {
            let (address, why) = (client.address, "the broker ended it while it waited");
            tracing::info!(target: "doorward::login", %address, %user, why, "login step is over");
            return Reply::Expired.into();
        }
        waiting.transcript = self.throttle.answered(waiting.transcript, answer);
        let device = origin.device_of(user.as_str());
        let attempt = match self.throttle.admit(client, user.as_str(), device, Some(waiting.transcript)) {
            Ok(attempt) => attempt.relayed(origin.is_relayed),
            Err(wait) => return self.throttled(submitted, client.address, user.as_str(), wait),
        };
        waiting.has_answered = true;
        let step = waiting.dialogue.answer(answer).await;
        let (waiting, step) = prefill(Some(waiting), step).await;
        self.settle(submitted, attempt, (&user, client.address), waiting, step)
    }

    /// A login of one step. Refused at once, a second question would tell a right password from a wrong one.
    pub(super) async fn check_step(
        &self,
        submitted: Instant,
        user: Username,
        password: Password,
        credential: &[u8],
        origin: Origin,
    ) -> Settled {
        let begin = Begin {
            user: user.as_str().to_owned(),
            password: Some(password.expose().to_owned()),
            page: None,
            origin: origin.clone(),
        };
        let settled = self.begin_step(submitted, begin, Some(credential)).await;
        let Reply::Ask { conversation, user, .. } = settled.reply else { return settled };
        let client = origin.client;
        self.cancel(&conversation, &Origin::unknown(client));
        let (address, why) = (client.address, "more questions than Basic can answer");
        tracing::info!(target: "doorward::login", %address, %user, why, "login refused");
        if let Ok(attempt) = self.throttle.admit(client, user.as_str(), origin.device_of(user.as_str()), None)
        {
            attempt.with(credential).fail();
        }
        self.priced(submitted, Duration::ZERO, Reply::Refused(Vec::new()))
    }

    fn transcript(&self, user: &str, password: Option<&str>) -> Transcript {
        let begun = self.throttle.transcript(user);
        password.map_or(begun, |password| self.throttle.answered(begun, password))
    }

    /// Dropped early: no place is taken and none waited for. Told at once, whoever guesses would come again at once.
    fn busy(&self, submitted: Instant, retry_after: Duration) -> Settled {
        self.priced(submitted, Duration::ZERO, Reply::Busy(retry_after))
    }

    fn throttled(&self, submitted: Instant, address: IpAddr, user: &str, wait: Duration) -> Settled {
        // A name that cannot be one is not written down: it may be anything, and long.
        let user = Username::parse(user).ok().map_or_else(String::new, String::from);
        let why = "too many failures";
        tracing::info!(target: "doorward::login", %address, user, why, "login refused");
        let price = self.price(submitted, Duration::ZERO);
        let left = wait.saturating_sub(price.saturating_duration_since(submitted));
        let reply = Reply::Throttled(left.max(Duration::from_secs(1)));
        Settled { reply, not_before: Some(price) }
    }

    fn settle(
        &self,
        submitted: Instant,
        mut attempt: Attempt,
        (user, address): (&Username, IpAddr),
        waiting: Option<Waiting>,
        step: Step,
    ) -> Settled {
        // A spelling that PAM knows for another's name is an attempt on that one: where that is banned, nobody learns what
        // came of it.
        if let Some(Err(wait)) = step.user().map(|name| attempt.on(name.as_str())) {
            attempt.fail();
            return self.throttled(submitted, address, user.as_str(), wait);
        }
        let has_answered = waiting.as_ref().is_some_and(|waiting| waiting.has_answered);
        // A client that does not wait for the reply changes nothing.
        match &step {
            Step::Ask(..) if has_answered => attempt.go_on(),
            Step::Done(_) => attempt.succeed(),
            Step::Refused { .. } => attempt.fail(),
            Step::Unavailable(outage) if has_answered => {
                attempt.fail_without_verdict(outage.code.map(|(_, code)| code.0));
            }
            // Nothing was looked at, though a password may be held back.
            Step::Ask(..) | Step::Busy(_) | Step::Unavailable(_) => attempt.release(),
        }
        match (step, waiting) {
            (Step::Ask(prompt, messages), Some(waiting)) => {
                self.store_pending(waiting, prompt, messages).into()
            }
            (Step::Ask(..), None) => Reply::Unavailable.into(),
            (Step::Busy(retry_after), _) => self.busy(submitted, retry_after),
            (Step::Done(verified), _) => {
                tracing::info!(target: "doorward::login", %address, user = %verified.user, "login accepted");
                if let Some(accounts) = &self.accounts {
                    accounts.logged_in(&verified, address);
                }
                Reply::Done(Verified { typed: user.clone(), ..verified }).into()
            }
            (Step::Refused { delay, why, messages, .. }, _) => {
                tracing::info!(target: "doorward::login", %address, %user, why, "login refused");
                self.priced(submitted, delay, Reply::Refused(messages))
            }
            (Step::Unavailable(outage), _) => {
                let (reason, counted) = (outage.reason, has_answered);
                tracing::error!(target: "doorward::login", %address, %user, reason, counted, "login unavailable");
                // A stack that refuses in this way must not be asked faster than others.
                self.priced(submitted, outage.delay, Reply::Unavailable)
            }
        }
    }

    fn store_pending(&self, waiting: Waiting, prompt: Prompt, messages: Vec<Message>) -> Reply {
        let user = waiting.user.clone();
        match self.pending.store(waiting) {
            Ok(conversation) => Reply::Ask { conversation, user, prompts: vec![prompt], messages },
            Err(NotStored::Full) => Reply::Busy(Duration::from_secs(5)),
            Err(NotStored::NoEntropy) => Reply::Unavailable,
        }
    }

    /// A reply that is told when its price in time has been paid. The PAM child is gone by then.
    fn priced(&self, submitted: Instant, asked: Duration, reply: Reply) -> Settled {
        Settled { reply, not_before: Some(self.price(submitted, asked)) }
    }

    /// Every refusal is answered at one time after the submission, give or take a quarter: unknown, locked and wrong
    /// would otherwise differ by the cost of a hash. A module that asks for a much longer delay gets it.
    fn price(&self, submitted: Instant, asked: Duration) -> Instant {
        let mut byte = [0_u8; 1];
        let spread = if rand::fill(&mut byte).is_ok() { f64::from(byte[0]) / 255.0 } else { 0.5 };
        let floor = self.failure_delay.mul_f64(0.75 + spread / 2.0);
        let delay = if asked > self.failure_delay.mul_f64(1.6) { asked } else { floor };
        submitted + delay
    }
}

/// A password given at once answers the first question that is for it, whenever that comes, and no other. Never a question
/// for a code: its module would take the password for a wrong one, and may send it on or log it.
async fn prefill(waiting: Option<Waiting>, step: Step) -> (Option<Waiting>, Step) {
    let (mut waiting, prompt) = match (waiting, &step) {
        (Some(waiting), Step::Ask(prompt, _)) if waiting.password.is_some() => (waiting, prompt),
        (waiting, _) => return (waiting, step),
    };
    let asked = Asked::by(&prompt.text);
    waiting.has_asked_code |= asked == Asked::Code;
    let is_for_it = match asked {
        Asked::Password => true,
        Asked::Code => false,
        // Its module's words are not known. First it is nearly always the password; behind a code it may be anything.
        Asked::Unknown => !waiting.has_asked_code,
    };
    if prompt.style != PromptStyle::Secret || !is_for_it {
        return (Some(waiting), step);
    }
    let password = waiting.password.take();
    waiting.has_answered = true;
    let next = waiting.dialogue.answer(password.as_ref().map_or("", Password::expose)).await;
    (Some(waiting), next)
}

/// Names one login in the broker's log. All zeros if the machine has no randomness: it is only a label.
fn trace_id() -> [u8; 16] {
    let mut bytes = [0; 16];
    let _ = rand::fill(&mut bytes);
    bytes
}

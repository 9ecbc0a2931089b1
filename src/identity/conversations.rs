//! Login conversations under way: who is asked what, for how long, and what a refusal costs.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::domain::{Clients, Clock, Message, Password, Prompt, PromptStyle, Username};
use crate::identity::accounts::Accounts;
use crate::identity::authenticator::{Authenticator, Step, Verified};
use crate::identity::decoy::FirstQuestion;
use crate::identity::exchange::{Begin, Limits, Reply};
use crate::identity::origin::Origin;
use crate::identity::pending::{NotStored, Pending, Waiting};
use crate::identity::room::Running;
use crate::throttle::{Attempt, Throttle, Transcript};

/// All conversations of this process. One conversation belongs to one client, each of its steps has an id of its own
/// that works once, and it ends by itself.
pub struct Conversations {
    authenticator: Authenticator,
    throttle: Arc<Throttle>,
    failure_delay: Duration,
    running: Arc<Running>,
    pending: Pending,
    first_question: FirstQuestion,
    clock: Clock,
    /// Told of every login.
    accounts: Option<Arc<Accounts>>,
}

impl Conversations {
    /// A table in front of `authenticator`.
    #[must_use]
    pub fn new(
        authenticator: Authenticator,
        throttle: Arc<Throttle>,
        limits: &Limits,
        clients: &Clients,
        clock: Clock,
    ) -> Self {
        Self {
            authenticator,
            throttle,
            failure_delay: limits.failure_delay,
            running: Running::new(limits.max_logins, clients.clone()),
            pending: Pending::new(limits, clients.clone(), clock.clone()),
            first_question: FirstQuestion::default(),
            clock,
            accounts: None,
        }
    }

    /// Has `accounts` told of every login.
    #[must_use]
    pub fn telling(self, accounts: Option<Arc<Accounts>>) -> Self {
        Self { accounts, ..self }
    }

    /// The password checker behind the table.
    #[must_use]
    pub const fn authenticator(&self) -> &Authenticator {
        &self.authenticator
    }

    /// Begins a login.
    pub async fn begin(&self, begin: Begin) -> Reply {
        let submitted = Instant::now();
        let transcript = self.transcript(&begin.user, begin.password.as_deref());
        let attempt = match self.admit(submitted, &begin.origin, &begin.user, transcript).await {
            Ok(attempt) => attempt,
            Err(reply) => return reply,
        };
        self.begin_admitted(submitted, attempt, begin, transcript).await
    }

    async fn begin_admitted(
        &self,
        submitted: Instant,
        attempt: Attempt,
        begin: Begin,
        transcript: Transcript,
    ) -> Reply {
        let (client, browser) = (begin.origin.client, begin.origin.browser);
        let address = client.address;
        let is_known = begin.origin.device_of(&begin.user).is_some();
        let Some(permit) = self.running.acquire(client) else {
            attempt.release();
            return self.busy(submitted).await;
        };
        // A name that PAM must not see, and an empty password, cost what a wrong password costs.
        let parsed = Username::parse(&begin.user).map_err(|error| error.to_string());
        let password = begin.password.map(Password::parse).transpose().map_err(|error| error.to_string());
        let (user, password) = match (parsed, password) {
            (Ok(user), Ok(password)) => (user, password),
            (Err(why), _) | (_, Err(why)) => {
                drop(permit);
                tracing::info!(target: "doorward::login", %address, why, "login refused");
                attempt.fail();
                self.pay(submitted, Duration::ZERO).await;
                return Reply::Refused(Vec::new());
            }
        };
        let now = self.clock.now();
        let (dialogue, step) = self.authenticator.begin(&user, address, trace_id()).await;
        let (dialogue, step) = self.first_question.cover(&user, dialogue, step);
        let waiting = dialogue.map(|dialogue| Waiting {
            dialogue,
            user: user.clone(),
            client,
            browser,
            password,
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
        self.settle(submitted, attempt, &user, address, waiting, step).await
    }

    /// Goes on with a login. An id that is unknown, used, over, or of another client is refused.
    pub async fn answer(&self, conversation: &str, answers: Vec<String>, origin: Origin) -> Reply {
        let (submitted, client) = (Instant::now(), origin.client);
        let address = client.address;
        // It takes no place: it has had one since it began.
        let Some(mut waiting) = self.pending.take(conversation, &origin) else {
            if let Err(wait) = self.throttle.bad_credential(client, conversation.as_bytes()) {
                return self.throttled(submitted, address, "", wait).await;
            }
            tracing::info!(target: "doorward::login", %address, why = "unknown conversation", "login refused");
            self.pay(submitted, Duration::ZERO).await;
            return Reply::Refused(Vec::new());
        };
        let user = waiting.user.clone();
        let answer = Zeroizing::new(answers.into_iter().next().unwrap_or_default());
        waiting.transcript = self.throttle.answered(waiting.transcript, &answer);
        let device = origin.device_of(user.as_str());
        let attempt = match self.throttle.admit(client, user.as_str(), device, Some(waiting.transcript)) {
            Ok(attempt) => attempt.relayed(origin.is_relayed),
            Err(wait) => {
                // The child goes before the delay is paid.
                drop(waiting);
                return self.throttled(submitted, address, user.as_str(), wait).await;
            }
        };
        waiting.has_answered = true;
        let step = waiting.dialogue.answer(&answer).await;
        let (waiting, step) = prefill(Some(waiting), step).await;
        self.settle(submitted, attempt, &user, address, waiting, step).await
    }

    /// Ends a login that its person gave up, which frees its PAM child at once.
    pub fn cancel(&self, conversation: &str, origin: &Origin) {
        drop(self.pending.take(conversation, origin));
    }

    /// One prompt, one answer, for doors that cannot ask (Basic): a second question is a refusal.
    ///
    /// `credential` names the pair, so that a program which sends it again and again is noticed as such.
    pub async fn check(
        &self,
        user: Username,
        password: Password,
        credential: &[u8],
        origin: Origin,
    ) -> Reply {
        let (submitted, client) = (Instant::now(), origin.client);
        let address = client.address;
        let transcript = self.transcript(user.as_str(), Some(password.expose()));
        let attempt = match self.admit(submitted, &origin, user.as_str(), transcript).await {
            Ok(attempt) => attempt.with(credential),
            Err(reply) => return reply,
        };
        let begin = Begin {
            user: user.as_str().to_owned(),
            password: Some(password.expose().to_owned()),
            origin: origin.clone(),
        };
        match self.begin_admitted(submitted, attempt, begin, transcript).await {
            // Refused at once, this would tell a right password from a wrong one.
            Reply::Ask { conversation, user, .. } => {
                self.cancel(&conversation, &Origin::unknown(client));
                let why = "more questions than Basic can answer";
                tracing::info!(target: "doorward::login", %address, %user, why, "login refused");
                if let Ok(attempt) =
                    self.throttle.admit(client, user.as_str(), origin.device_of(user.as_str()), None)
                {
                    attempt.with(credential).fail();
                }
                self.pay(submitted, Duration::ZERO).await;
                Reply::Refused(Vec::new())
            }
            other => other,
        }
    }

    /// Drops conversations whose time is up, which frees their PAM children.
    pub fn sweep(&self) {
        self.pending.sweep();
    }

    /// Asked before anybody looks at the password.
    async fn admit(
        &self,
        submitted: Instant,
        origin: &Origin,
        user: &str,
        transcript: Transcript,
    ) -> Result<Attempt, Reply> {
        match self.throttle.admit(origin.client, user, origin.device_of(user), Some(transcript)) {
            Ok(attempt) => Ok(attempt.relayed(origin.is_relayed)),
            Err(wait) => Err(self.throttled(submitted, origin.client.address, user, wait).await),
        }
    }

    fn transcript(&self, user: &str, password: Option<&str>) -> Transcript {
        let begun = self.throttle.transcript(user);
        password.map_or(begun, |password| self.throttle.answered(begun, password))
    }

    /// Dropped early: no place is taken and none waited for. Told at once, whoever guesses would come again at once.
    async fn busy(&self, submitted: Instant) -> Reply {
        self.pay(submitted, Duration::ZERO).await;
        Reply::Busy(Duration::from_secs(2))
    }

    async fn throttled(&self, submitted: Instant, address: IpAddr, user: &str, wait: Duration) -> Reply {
        // A name that cannot be one is not written down: it may be anything, and long.
        let user = Username::parse(user).ok().map_or_else(String::new, String::from);
        let why = "too many failures";
        tracing::info!(target: "doorward::login", %address, user, why, "login refused");
        self.pay(submitted, Duration::ZERO).await;
        Reply::Throttled(wait.saturating_sub(submitted.elapsed()).max(Duration::from_secs(1)))
    }

    async fn settle(
        &self,
        submitted: Instant,
        mut attempt: Attempt,
        user: &Username,
        address: IpAddr,
        waiting: Option<Waiting>,
        step: Step,
    ) -> Reply {
        // A spelling that PAM knows for another's name is an attempt on that one: where that is banned, nobody learns what
        // came of it.
        if let Some(Err(wait)) = step.user().map(|name| attempt.on(name.as_str())) {
            drop((waiting, step));
            attempt.fail();
            return self.throttled(submitted, address, user.as_str(), wait).await;
        }
        let has_answered = waiting.as_ref().is_some_and(|waiting| waiting.has_answered);
        // Before the delay is paid, which a client may not wait for.
        match &step {
            Step::Ask(..) => attempt.go_on(),
            Step::Done(_) => attempt.succeed(),
            Step::Refused { .. } => attempt.fail(),
            Step::Unavailable(outage) if has_answered => {
                attempt.fail_without_verdict(outage.code.map(|(_, code)| code.0));
            }
            // Nothing was looked at.
            Step::Busy(_) | Step::Unavailable(_) => attempt.release(),
        }
        match (step, waiting) {
            (Step::Ask(prompt, messages), Some(waiting)) => self.store_pending(waiting, prompt, messages),
            (Step::Ask(..), None) => Reply::Unavailable,
            (Step::Busy(retry_after), waiting) => {
                drop(waiting);
                self.pay(submitted, Duration::ZERO).await;
                Reply::Busy(retry_after)
            }
            (Step::Done(verified), _) => {
                tracing::info!(target: "doorward::login", %address, user = %verified.user, "login accepted");
                if let Some(accounts) = &self.accounts {
                    accounts.logged_in(&verified, address);
                }
                Reply::Done(Verified { typed: user.clone(), ..verified })
            }
            (Step::Refused { delay, why, messages, .. }, waiting) => {
                // The child goes before the delay is paid: a failure holds no process.
                drop(waiting);
                tracing::info!(target: "doorward::login", %address, %user, why, "login refused");
                self.pay(submitted, delay).await;
                Reply::Refused(messages)
            }
            (Step::Unavailable(outage), waiting) => {
                drop(waiting);
                let (reason, counted) = (outage.reason, has_answered);
                tracing::error!(target: "doorward::login", %address, %user, reason, counted, "login unavailable");
                // A stack that refuses in this way must not be asked faster than others.
                self.pay(submitted, outage.delay).await;
                Reply::Unavailable
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

    /// Every refusal is answered at one time after the submission, give or take a quarter: unknown, locked and wrong
    /// would otherwise differ by the cost of a hash. A module that asks for a much longer delay gets it.
    async fn pay(&self, submitted: Instant, asked: Duration) {
        let mut byte = [0_u8; 1];
        let spread = if rand::fill(&mut byte).is_ok() { f64::from(byte[0]) / 255.0 } else { 0.5 };
        let floor = self.failure_delay.mul_f64(0.75 + spread / 2.0);
        let delay = if asked > self.failure_delay.mul_f64(1.6) { asked } else { floor };
        tokio::time::sleep_until(submitted + delay).await;
    }
}

/// A password given at once answers the first secret prompt, whenever that comes.
async fn prefill(waiting: Option<Waiting>, step: Step) -> (Option<Waiting>, Step) {
    match (waiting, step) {
        (Some(mut waiting), Step::Ask(prompt, _))
            if prompt.style == PromptStyle::Secret && waiting.password.is_some() =>
        {
            let password = waiting.password.take();
            waiting.has_answered = true;
            let next = waiting.dialogue.answer(password.as_ref().map_or("", Password::expose)).await;
            (Some(waiting), next)
        }
        other => other,
    }
}

/// Names one login in the broker's log. All zeros if the machine has no randomness: it is only a label.
fn trace_id() -> [u8; 16] {
    let mut bytes = [0; 16];
    let _ = rand::fill(&mut bytes);
    bytes
}

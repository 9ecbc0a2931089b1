//! Login conversations under way: who is asked what, for how long, and what a refusal costs.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::domain::{Clients, Clock, Password, Username};
use crate::identity::accounts::Accounts;
use crate::identity::authenticator::Authenticator;
use crate::identity::decoy::FirstQuestion;
use crate::identity::exchange::{Begin, Limits, Reply};
use crate::identity::origin::Origin;
use crate::identity::pending::{Missing, Pending};
use crate::identity::replays::{Entered, Outcome, Publisher, Replays, Settled};
use crate::identity::room::Running;
use crate::throttle::Throttle;

/// All conversations of this process. One conversation belongs to one client, each of its steps has an id of its own
/// that works once, and it ends by itself.
///
/// Each step is checked by a task of its own. A client that leaves neither ends the check nor counts as wrong: only the
/// verdict counts, and what comes of the step is kept for a client that asks again.
pub struct Conversations {
    pub(super) authenticator: Authenticator,
    pub(super) throttle: Arc<Throttle>,
    pub(super) failure_delay: Duration,
    pub(super) running: Arc<Running>,
    pub(super) pending: Pending,
    replays: Replays,
    pub(super) first_question: FirstQuestion,
    pub(super) clock: Clock,
    /// Told of every login.
    pub(super) accounts: Option<Arc<Accounts>>,
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
            replays: Replays::new(limits, clients.clone(), clock.clone()),
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

    /// Whether the first question takes a password, as far as is known. Where it asks for a code, a page that asked for
    /// the password first would ask in the wrong order.
    #[must_use]
    pub fn begins_with_password(&self) -> bool {
        self.first_question.takes_password()
    }

    /// Begins a login. A form that a browser sends twice begins one.
    pub async fn begin(self: &Arc<Self>, begin: Begin) -> Reply {
        let submitted = Instant::now();
        let (key, origin) = (self.replays.of_page(&begin), begin.origin.clone());
        match self.replays.enter(key, (&origin, true), || Ok::<_, Missing>(())) {
            Ok(Entered::First((), publisher, outcome)) => {
                let this = Arc::clone(self);
                check((publisher, outcome), async move { this.begin_step(submitted, begin, None).await })
                    .await
            }
            Ok(Entered::Again(outcome)) => outcome.collect().await,
            Err(missing) => self.missing(missing, &origin),
        }
    }

    /// Goes on with a login. The same answers to the same step get the same reply for a while. Any other answer to a step
    /// that is over, used or of another client is not looked at, and costs nothing.
    pub async fn answer(self: &Arc<Self>, conversation: &str, answers: Vec<String>, origin: Origin) -> Reply {
        let (submitted, answers) = (Instant::now(), Zeroizing::new(answers));
        let key = self.replays.of_answer(conversation, &answers, &origin);
        let take = || self.pending.take(conversation, &origin);
        match self.replays.enter(key, (&origin, false), take) {
            Ok(Entered::First(waiting, publisher, outcome)) => {
                let this = Arc::clone(self);
                let step = async move { this.answer_step(submitted, waiting, &answers, &origin).await };
                check((publisher, outcome), step).await
            }
            Ok(Entered::Again(outcome)) => outcome.collect().await,
            Err(missing) => self.missing(missing, &origin),
        }
    }

    /// Ids cannot be guessed, so that there is no price to pay: an honest client meets this after a restart.
    fn missing(&self, missing: Missing, origin: &Origin) -> Reply {
        let address = origin.client.address;
        match missing {
            Missing::Expired => {
                tracing::info!(target: "doorward::login", %address, "a login step took too long");
                Reply::Expired
            }
            Missing::Unknown => {
                // Anybody can make ids up, as many as they like: not for the usual log.
                tracing::debug!(target: "doorward::login", %address, "a login step is over or unknown");
                Reply::Unknown
            }
        }
    }

    /// Ends a login that its person gave up, which frees its PAM child at once.
    pub fn cancel(&self, conversation: &str, origin: &Origin) {
        drop(self.pending.take(conversation, origin));
    }

    /// One prompt, one answer, for doors that cannot ask (Basic): a second question is a refusal.
    ///
    /// `credential` names the pair, so that a program which sends it again and again is noticed as such.
    pub async fn check(
        self: &Arc<Self>,
        user: Username,
        password: Password,
        credential: &[u8],
        origin: Origin,
    ) -> Reply {
        let (submitted, credential, this) = (Instant::now(), credential.to_vec(), Arc::clone(self));
        let (publisher, outcome) = self.replays.apart();
        let step = async move { this.check_step(submitted, user, password, &credential, origin).await };
        check((publisher, outcome), step).await
    }

    /// Forgets what came of the steps of a browser that has signed out, known by the key of its login cookie.
    pub fn forget(&self, browser: [u8; 32]) {
        self.replays.forget(browser);
    }

    /// Drops conversations and results whose time is up, which frees PAM children.
    pub fn sweep(&self) {
        self.pending.sweep();
        self.replays.sweep();
    }
}

/// Checks a step in a task of its own, and waits for what comes of it.
async fn check(
    (publisher, outcome): (Publisher, Outcome),
    step: impl Future<Output = Settled> + Send + 'static,
) -> Reply {
    tokio::spawn(async move { publisher.publish(step.await) });
    outcome.collect().await
}

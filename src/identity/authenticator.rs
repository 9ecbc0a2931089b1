//! Whoever checks passwords: the PAM broker, or the embedded user file where PAM does not serve.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::{Level, Message, Password, Prompt, PromptStyle, Username};
use crate::identity::credential::Identity;
use crate::pam::{Mode, Outage, PamClient, PamConversation, PamError, PamEvent, PamRequest, Phase};
use crate::users::{UserFile, Users, Verdict};

/// How passwords are checked here.
#[derive(Clone)]
pub enum Authenticator {
    /// Nobody can log in with a password (`--no-login`).
    Off,
    /// A PAM stack behind the broker.
    Pam(PamClient),
    /// `--users FILE`.
    Users(Arc<Users>),
}

/// One conversation under way.
pub enum Dialogue {
    /// With nobody: the stack has refused before it asked, and this is what comes of any answer.
    Decoy(Box<Step>),
    /// With a PAM stack, and how the open question is answered.
    Pam(PamConversation, PromptStyle),
    /// With the user file, which asks one question.
    Users(Arc<Users>, Username),
}

/// What the conversation says next.
#[derive(Debug)]
pub enum Step {
    /// A question, and texts to show before it.
    Ask(Prompt, Vec<Message>),
    /// More logins are under way than this machine takes.
    Busy(Duration),
    /// Proven.
    Done(Verified),
    /// Not proven; the answer must not come sooner than the delay that the stack asked for. `why` is for the log.
    Refused {
        /// Delay that PAM modules asked for (`pam_fail_delay(3)`).
        delay: Duration,
        /// Phase and code, for the log only: it tells unknown from locked users.
        why: String,
        /// Texts that may be shown.
        messages: Vec<Message>,
        /// The name that the stack came to, if it is not the one that was typed.
        user: Option<Username>,
        /// The person is who they say, but the account or a change of password was refused.
        proven: bool,
    },
    /// The stack could not decide. Never to be shown as "wrong password".
    Unavailable(Outage),
}

/// Who proved to be whom.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The name after the account phase: a module may have mapped it.
    pub user: Username,
    /// The name as typed.
    pub typed: Username,
    /// Their groups.
    pub groups: Vec<String>,
    /// Texts to show after success, such as an expiry warning.
    pub messages: Vec<Message>,
}

impl Step {
    /// The name that the stack came to, where it said one: modules may have made another of what was typed.
    pub(super) const fn user(&self) -> Option<&Username> {
        match self {
            Self::Done(verified) => Some(&verified.user),
            Self::Refused { user, .. } => user.as_ref(),
            Self::Unavailable(outage) => outage.user.as_ref(),
            Self::Ask(..) | Self::Busy(_) => None,
        }
    }
}

impl Authenticator {
    /// Begins a conversation about `user` and gives its first step.
    pub async fn begin(&self, user: &Username, address: IpAddr, trace: [u8; 16]) -> (Option<Dialogue>, Step) {
        match self {
            Self::Off => (None, unavailable(&"password login is switched off")),
            Self::Pam(client) => begin_pam(client, user, address, trace).await,
            Self::Users(users) => {
                let prompt = Prompt { style: PromptStyle::Secret, text: "Password: ".to_owned() };
                (Some(Dialogue::Users(Arc::clone(users), user.clone())), Step::Ask(prompt, Vec::new()))
            }
        }
    }

    /// Whether the user file does not let this credential in any more: its user is gone, disabled, or was logged out
    /// since. Gives one that it lets in the groups that its user has now.
    ///
    /// PAM is not asked here: its answer takes time, and account modules may count, log, or (like `pam_faillock`) forgive
    /// failures each time they run. [`super::Accounts`] asks it now and then.
    #[must_use]
    pub fn has_lost(&self, identity: &Identity) -> bool {
        let Some(file) = self.user_file() else { return false };
        let (user, credential) = (identity.user(), identity.credential());
        if !file.is_active(user) || file.valid_from(user).is_some_and(|from| credential.created() <= from) {
            return true;
        }
        if let Some(groups) = file.groups(user) {
            credential.set_groups(&Arc::from(groups));
        }
        false
    }

    /// The user file as it is now; `None` where there is none.
    #[must_use]
    pub fn user_file(&self) -> Option<Arc<UserFile>> {
        match self {
            Self::Users(users) => Some(users.current()),
            Self::Off | Self::Pam(_) => None,
        }
    }

    /// Whether logins can work right now; for `readyz`.
    ///
    /// # Errors
    /// What is wrong, for the log.
    pub async fn ping(&self) -> Result<(), String> {
        match self {
            Self::Pam(client) => client.ping().await.map_err(|error| error.to_string()),
            Self::Off | Self::Users(_) => Ok(()),
        }
    }
}

async fn begin_pam(
    client: &PamClient,
    user: &Username,
    rhost: IpAddr,
    trace: [u8; 16],
) -> (Option<Dialogue>, Step) {
    let request = PamRequest { user: Some(user.clone()), rhost, trace, mode: Mode::Login };
    match client.start(request).await {
        Ok(conversation) => {
            let mut dialogue = Dialogue::Pam(conversation, PromptStyle::Secret);
            let step = dialogue.next().await;
            (Some(dialogue), step)
        }
        Err(error) => (None, unavailable(&error)),
    }
}

impl Dialogue {
    /// Whether the other side ended it while it waited for an answer: its own deadline, or the end of the broker.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self, Self::Pam(conversation, _) if conversation.has_ended())
    }

    /// Answers the open question and gives the next step. What cannot be an answer ends the login.
    pub async fn answer(&mut self, answer: &str) -> Step {
        let password = Password::parse(answer.to_owned()).ok();
        match self {
            Self::Decoy(step) => std::mem::replace(&mut **step, refused("no answer")),
            Self::Pam(conversation, style) => {
                let sent = match (*style, password) {
                    (PromptStyle::Secret, Some(password)) => conversation.answer(Some(&password)).await,
                    // Refused before PAM; the stack learns of it by the end of the conversation.
                    (PromptStyle::Secret, None) => Err(PamError::InvalidAnswer),
                    (PromptStyle::Echo | PromptStyle::Radio, _) => conversation.answer_text(answer).await,
                };
                match sent {
                    Ok(()) => self.next().await,
                    Err(PamError::InvalidAnswer) => refused("no answer"),
                    Err(error) => unavailable(&error),
                }
            }
            Self::Users(users, user) => match password {
                Some(password) => verify(Arc::clone(users), user.clone(), password).await,
                None => refused("no answer"),
            },
        }
    }

    async fn next(&mut self) -> Step {
        let Self::Pam(conversation, style) = self else {
            return unavailable(&"out of order");
        };
        let mut messages = Vec::new();
        loop {
            let event = conversation.next().await;
            messages.extend_from_slice(event.public_messages());
            return match event {
                PamEvent::Ask { prompt, .. } => {
                    *style = prompt.style;
                    Step::Ask(prompt, messages)
                }
                // An expired password is changed at once, in the same conversation: there is no session before. Why it
                // must be changed is said with the first question.
                PamEvent::NeedChange { .. } => match conversation.change_expired().await {
                    Ok(()) => continue,
                    Err(error) => unavailable(&error),
                },
                PamEvent::Done(done) => {
                    let typed = done.user.clone();
                    Step::Done(Verified { user: done.user, typed, groups: done.groups, messages })
                }
                PamEvent::Refused { phase, code, user, delay, .. } => {
                    if phase == Phase::Chauthtok && messages.is_empty() {
                        let text = "The password was not changed.".to_owned();
                        messages.push(Message { level: Level::Error, text });
                    }
                    let proven = matches!(phase, Phase::Acct | Phase::Chauthtok);
                    Step::Refused { delay, why: format!("{phase:?} {code}"), messages, user, proven }
                }
                PamEvent::Unavailable(outage) => Step::Unavailable(outage),
                PamEvent::Busy { retry_after } => Step::Busy(retry_after),
            };
        }
    }
}

/// Argon2 takes tens of milliseconds: off the event loop, and in turn.
async fn verify(users: Arc<Users>, user: Username, password: Password) -> Step {
    let name = user.clone();
    let Some(turn) = users.turn().await else {
        return unavailable(&"password checks have ended");
    };
    // The turn goes with the work: a client that leaves frees its place only when the work is done.
    let check = move || {
        let _turn = turn;
        users.verify(&name, &password)
    };
    match tokio::task::spawn_blocking(check).await {
        Ok(Verdict::Ok { groups }) => {
            Step::Done(Verified { typed: user.clone(), user, groups, messages: Vec::new() })
        }
        Ok(Verdict::Refused) => refused("users file"),
        Err(_) => unavailable(&"the password check ended early"),
    }
}

/// Nobody decided, and there is no code that says why.
fn unavailable(reason: &impl ToString) -> Step {
    Step::Unavailable(Outage { reason: reason.to_string(), ..Outage::default() })
}

fn refused(why: &str) -> Step {
    Step::Refused {
        delay: Duration::ZERO,
        why: why.to_owned(),
        messages: Vec::new(),
        user: None,
        proven: false,
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Future, poll_fn};
    use std::sync::Arc;
    use std::task::Poll;

    use super::verify;
    use crate::domain::{Password, Username};
    use crate::users::{IfMissing, Users, change, hash_password};

    #[tokio::test]
    async fn a_client_that_leaves_does_not_make_room_for_a_further_hash() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        let (bob, password) = (Username::parse("bob").unwrap(), Password::parse("x".into()).unwrap());
        let hash = hash_password(&password).unwrap();
        change(&path, IfMissing::Create(None), |users| users.add(&bob, &hash, &[])).unwrap();
        let users = Arc::new(Users::open(&path).unwrap());
        let all = users.free_turns();
        assert!(all >= 1);
        let mut check = Box::pin(verify(Arc::clone(&users), bob, password));
        let begun = poll_fn(|context| Poll::Ready(check.as_mut().poll(context).is_pending())).await;
        assert!(begun);
        drop(check);
        assert_eq!(users.free_turns(), all - 1, "the hash is still being computed");
        while users.free_turns() < all {
            tokio::task::yield_now().await;
        }
    }
}

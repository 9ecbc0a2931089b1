//! What doors and conversations say to each other.

use std::time::Duration;

use crate::domain::{Message, Prompt, Username};
use crate::identity::authenticator::Verified;
use crate::identity::origin::Origin;

/// What a client says to begin.
pub struct Begin {
    /// The name as typed.
    pub user: String,
    /// The password, if it was given at once; it answers the first question that is for it.
    pub password: Option<String>,
    /// The secret of the page that the form stands on, by which a form that is sent twice is known; `None` for programs.
    pub page: Option<String>,
    /// Where the client is.
    pub origin: Origin,
}

/// What the client is told.
#[derive(Clone, Debug)]
pub enum Reply {
    /// A question.
    Ask {
        /// Id of this step; works once, for the same client.
        conversation: String,
        /// Who is logging in.
        user: Username,
        /// The questions.
        prompts: Vec<Prompt>,
        /// Texts to show before them.
        messages: Vec<Message>,
    },
    /// Too many logins under way.
    Busy(Duration),
    /// Proven.
    Done(Verified),
    /// The answer came after its deadline: nobody looked at it, and it costs nothing.
    Expired,
    /// Wrong, and nothing more precise than that. Its price in time has been paid.
    Refused(Vec<Message>),
    /// Too many failures before: the password was not looked at. The same price in time has been paid.
    Throttled(Duration),
    /// Nothing is known of this step: it was answered, given up, of another client, or began at another process. It costs
    /// nothing.
    Unknown,
    /// The stack could not decide.
    Unavailable,
}

/// How long and how many.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most conversations waiting, and most being computed.
    pub max_logins: usize,
    /// Longest wait for one answer.
    pub prompt_deadline: Duration,
    /// Longest whole conversation.
    pub login_deadline: Duration,
    /// What a refusal costs in time, give or take a quarter.
    pub failure_delay: Duration,
}

//! Going in and going out.

use askama::Template;

use super::{MessageView, PromptKind, PromptView, assets};

/// Where a login stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// The server asks something more: fields `conversation`, `next` and one for each prompt.
    Continue,
    /// User name and password are asked for: fields `user`, `password` and `next`.
    Start,
}

/// The login page; its form is posted to `/_doorward/login`.
#[derive(Debug, Template)]
#[template(path = "login.html")]
pub struct LoginPage<'a> {
    /// The host that is signed in to, as the browser named it.
    pub host: &'a str,
    /// Where to go after login (a checked `ReturnTo`); the field `next`.
    pub return_to: &'a str,
    /// The page's secret; the field `csrf_token`.
    pub csrf_token: String,
    /// The name typed before, if any.
    pub user: Option<&'a str>,
    /// Which login is gone on with; the field `conversation` of [`Step::Continue`].
    pub conversation: Option<&'a str>,
    /// What is asked in [`Step::Continue`]; empty when there is only something to read.
    pub prompts: Vec<PromptView>,
    /// What the server says.
    pub messages: Vec<MessageView>,
    /// Why the last attempt failed.
    pub error: Option<&'a str>,
    /// Where the login stands.
    pub step: Step,
    /// Whether the user has just signed out.
    pub signed_out: bool,
    /// Whether there is a password to be asked for.
    pub has_passwords: bool,
    /// Whether [`Step::Start`] asks for it; if not, the stack asks for something else first.
    pub asks_password: bool,
    /// Where a certificate lets in, if one does.
    pub certificate_link: Option<String>,
}

impl LoginPage<'_> {
    fn is_start(&self) -> bool {
        self.step == Step::Start
    }

    fn title(&self) -> &'static str {
        if self.prompts.iter().any(|prompt| prompt.autocomplete == "new-password") {
            "Choose a new password"
        } else if self.is_start() {
            "Sign in"
        } else {
            "One more step"
        }
    }
}

/// Asks before signing out, for browsers that come to `/_doorward/logout` by a link.
#[derive(Debug, Template)]
#[template(path = "logout.html")]
pub struct LogoutPage<'a> {
    /// The host that is signed out of, as the browser named it.
    pub host: &'a str,
    /// Who is signed in.
    pub user: &'a str,
    /// The page's secret; the field `csrf_token`.
    pub csrf_token: String,
}

/// Shows what the stack said while it let somebody in.
#[derive(Debug, Template)]
#[template(path = "welcome.html")]
pub struct WelcomePage<'a> {
    /// The host that was signed in to, as the browser named it.
    pub host: &'a str,
    /// Who is signed in.
    pub user: &'a str,
    /// Where to go on (a checked `ReturnTo`).
    pub return_to: &'a str,
    /// What the stack said.
    pub messages: Vec<MessageView>,
}

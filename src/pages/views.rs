//! Doorward's own pages as plain data: fill in a struct, call [`Template::render`], send the text as `text/html`.
//!
//! The pages need no script and no style beside the stylesheet of [`super::assets`], so they work under
//! `default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'`.
//! Everything that is filled in is text: the templates escape it. What comes from a PAM module is also bounded and
//! freed of control characters, by [`PromptView::list`] and [`MessageView::from`].

pub use askama::{Error as RenderError, Template};

mod account;
mod device;
mod login;
mod prompt;
#[cfg(test)]
mod tests;

pub use account::{AccountPage, CliBlock, ClientCertificateView, Moment, SessionRow, TokenRow};
pub use device::{DeviceDonePage, DevicePage, DeviceQuestionPage};
pub use login::{LoginPage, LogoutPage, Step, WelcomePage};
pub use prompt::{MessageView, PromptKind, PromptView};

use crate::pages::assets;

/// What a browser is shown when a request failed.
#[derive(Debug, Template)]
#[template(path = "error.html")]
pub struct ErrorPage<'a> {
    /// The HTTP status, shown small.
    pub status: u16,
    /// What happened, in a few words.
    pub title: &'a str,
    /// What it means and what to do.
    pub text: &'a str,
    /// Found in the request log; empty when there is none.
    pub request_id: &'a str,
    /// Where to go from here: path and words.
    pub action: Option<(&'a str, &'a str)>,
}

impl<'a> ErrorPage<'a> {
    /// The page for a status in our own words. The fields may be replaced where more is known.
    #[must_use]
    pub const fn standard(status: u16, request_id: &'a str) -> Self {
        let (title, text) = words(status);
        let action = match status {
            401 => Some(("/_doorward/login", "Sign in")),
            429 => Some(("/_doorward/login", "Back to the sign-in page")),
            400 | 403 | 404 => Some(("/_doorward/account", "Go to your account")),
            _ => Some(("/", "Try again")),
        };
        Self { status, title, text, request_id, action }
    }
}

const fn words(status: u16) -> (&'static str, &'static str) {
    match status {
        400 => (
            "This request makes no sense here",
            "Something in it is malformed or could be read in two ways, so it was not passed on.",
        ),
        401 => ("Please sign in", "Your login ended or was never there. Sign in to go on."),
        403 => (
            "You may not do this",
            "You are signed in, but the rules of this host do not allow it. Whoever runs the host can tell you more.",
        ),
        404 => ("There is nothing here", "The address may be mistyped, or what stood here is gone."),
        429 => {
            ("Too many attempts", "Wait a little before you try again. Who is signed in already stays so.")
        }
        502 => (
            "The engine does not answer",
            "Doorward is running, but the engine behind it cannot be reached. It may be restarting: try again in a moment.",
        ),
        503 => ("Not available right now", "Doorward cannot serve this at the moment. Try again shortly."),
        _ => (
            "Something went wrong",
            "That was not your fault. If it happens again, tell whoever runs this host.",
        ),
    }
}

/// What a browser is shown that a link of another site brought here. A person goes on from this page; then the browser says
/// that it was this site that made the request.
#[derive(Clone, Copy, Debug, Template)]
#[template(path = "foreign_link.html")]
pub struct ForeignLinkPage<'a> {
    /// Where the link leads: path and query on this very site, as parsed from the request.
    pub path: &'a str,
    /// Found in the request log.
    pub request_id: &'a str,
}

/// What the sample engine of `doorward demo` shows at `/`: proof of who came through, as an engine sees it.
#[derive(Debug, Template)]
#[template(path = "sample.html")]
pub struct SampleEnginePage<'a> {
    /// The identity headers that the gateway added: name and value.
    pub identity: &'a [(String, String)],
}

//! The sign-in page as one browser is shown it: with the cookie that the form belongs to, and the form's secret.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;

use crate::domain::{Message, Prompt, ReturnTo, Username};
use crate::identity::Reply;
use crate::pages::app::PagesState;
use crate::pages::context::PageContext;
use crate::pages::moments::span;
use crate::pages::refusals::page;
use crate::pages::views::{LoginPage, MessageView, PromptView, Step};
use crate::pages::{certificate, form};
use crate::session::LoginKey;

/// One sentence for whatever was wrong, also for accounts that may not come in: who guesses passwords from where their
/// owner may not sign in shall not learn that a guess was right.
const WRONG: &str =
    "Wrong user name or password. If both are right, this account may not sign in from here or at this time.";
/// Above the reason that a module gave once the password was proven.
const BECAUSE: &str = "You are not signed in, and this is why:";
/// To a form without its page's secret. Nothing was looked at.
const NOT_OURS: &str = "This page had been open for too long, or your browser sent no cookie, which signing in needs. \
    Please sign in again.";

/// Also said to who shows who they are once more.
pub(super) const BUSY: &str = "Too many people are signing in at this moment. Try again in a few seconds.";

/// To an answer after its deadline. Nothing was looked at.
pub(super) const EXPIRED: &str =
    "That step took too long and has ended. Nothing was checked, and no failure was counted. Begin again.";
/// To an answer to a step of which nothing is known.
pub(super) const UNKNOWN: &str = "That step is over: it was answered already, was given up, or the server was restarted. \
    Nothing was checked, and no failure was counted. Begin again.";

/// The same of too many failures.
pub(super) fn too_many_failures(wait: Duration) -> String {
    format!("Too many failed logins. Try again in {}.", span(wait.as_secs().max(1)))
}

/// What makes the sign-in page of one browser.
pub(super) struct Sheet<'a> {
    state: &'a PagesState,
    context: &'a PageContext,
    return_to: ReturnTo,
    key: LoginKey,
    /// The browser has the key's cookie already.
    is_known: bool,
}

impl<'a> Sheet<'a> {
    /// For the browser of this request; `None` if the system gives no random bytes.
    pub(super) fn new(state: &'a PagesState, context: &'a PageContext, return_to: ReturnTo) -> Option<Self> {
        let shown = LoginKey::read(&context.headers, state.doors.cookie_key.names());
        let is_known = shown.is_some();
        let key = shown.or_else(|| LoginKey::generate().ok())?;
        Some(Self { state, context, return_to, key, is_known })
    }

    /// Where to go after the login.
    pub(super) const fn return_to(&self) -> &ReturnTo {
        &self.return_to
    }

    /// What the browser is known by.
    pub(super) const fn key(&self) -> &LoginKey {
        &self.key
    }

    /// Whether a form with this secret was sent from such a page. Without the cookie, the key is a new one.
    pub(super) fn made(&self, secret: &str) -> bool {
        form::is_of_login_page(self.state, &self.key, secret)
    }

    /// The page with the first step.
    pub(super) fn first_step<'p>(&'p self, user: Option<&'p str>, error: Option<&'p str>) -> LoginPage<'p> {
        LoginPage {
            host: self.context.host(),
            return_to: self.return_to.as_str(),
            csrf_token: form::login_secret(self.state, &self.key),
            user: user.filter(|user| user.len() <= 256),
            conversation: None,
            prompts: Vec::new(),
            messages: Vec::new(),
            error,
            step: Step::Start,
            signed_out: false,
            has_passwords: self.state.has_passwords,
            asks_password: self.state.doors.conversations.begins_with_password(),
            certificate_link: certificate::link(
                self.state,
                self.context.authority.as_deref(),
                &self.return_to,
            ),
        }
    }

    /// The page with the next question.
    pub(super) fn ask(
        &self,
        conversation: &str,
        user: &Username,
        prompts: &[Prompt],
        messages: &[Message],
    ) -> HttpResponse {
        let view = LoginPage {
            user: Some(user.as_str()),
            conversation: Some(conversation),
            prompts: PromptView::list(prompts),
            messages: messages.iter().map(MessageView::from).collect(),
            step: Step::Continue,
            ..self.first_step(None, None)
        };
        self.answer(StatusCode::OK, &view)
    }

    /// Says what came of a step that let nobody in, to whoever typed this name.
    pub(super) fn refuse(&self, reply: &Reply, typed: Option<&str>) -> HttpResponse {
        match reply {
            Reply::Refused(messages) => {
                let why = if messages.is_empty() { WRONG } else { BECAUSE };
                let mut view = self.first_step(typed, Some(why));
                view.messages = messages.iter().map(MessageView::from).collect();
                self.answer(StatusCode::UNAUTHORIZED, &view)
            }
            Reply::Throttled(wait) => {
                let seconds = wait.as_secs().max(1);
                let mut response = self.say(StatusCode::TOO_MANY_REQUESTS, &too_many_failures(*wait), typed);
                response.headers_mut().insert(RETRY_AFTER, seconds.into());
                response
            }
            Reply::Busy(_) => self.say(StatusCode::TOO_MANY_REQUESTS, BUSY, typed),
            Reply::Expired => self.say(StatusCode::GONE, EXPIRED, typed),
            Reply::Unknown => self.say(StatusCode::GONE, UNKNOWN, typed),
            Reply::Unavailable | Reply::Done(_) | Reply::Ask { .. } => {
                let text = "Login is not available right now. Try again in a moment.";
                self.say(StatusCode::SERVICE_UNAVAILABLE, text, typed)
            }
        }
    }

    /// To a form that no such page sent.
    pub(super) fn refuse_foreign(&self, typed: Option<&str>) -> HttpResponse {
        self.say(StatusCode::FORBIDDEN, NOT_OURS, typed)
    }

    fn say(&self, status: StatusCode, text: &str, typed: Option<&str>) -> HttpResponse {
        self.answer(status, &self.first_step(typed, Some(text)))
    }

    /// The page, with the cookie that its form belongs to where the browser has none yet.
    pub(super) fn answer(&self, status: StatusCode, view: &LoginPage<'_>) -> HttpResponse {
        let mut response = page(status, view);
        if !self.is_known {
            // It fails only for a cookie that cannot be written, and then the form is refused.
            let _ = response.add_cookie(&self.key.cookie(self.state.doors.cookie_key.names()));
        }
        response
    }
}

//! The page on which a person lets a program in: they type the code that it shows, see what asked, and say yes or no.
//!
//! Somebody may have sent them here (RFC 8628 section 5.4). So the code is never taken from the address, the page says
//! what it is about, and yes takes a second step. A script on a page of the engine, which shares our origin, could send
//! both forms as the visitor; but it can read neither page, and the second form needs a secret that stands in the first
//! one's answer.

use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use actix_web::{HttpResponse, web};
use serde::Deserialize;

use crate::domain::{Door, ReturnTo};
use crate::identity::Identity;
use crate::pages::app::PagesState;
use crate::pages::context::PageContext;
use crate::pages::device_answer;
use crate::pages::form::{self, refuse_foreign, refuse_script, refuse_without_secret};
use crate::pages::login::{refuse_without_login, see_other, with_next};
use crate::pages::moments::span;
use crate::pages::refusals::page;
use crate::pages::views::DevicePage;
use crate::session::PageForm;

/// Where the page is.
pub(super) const PATH: &str = "/_doorward/device";
/// A code that nobody waits with: mistyped, over, used, or guessed.
const UNKNOWN: &str = "No program waits with this code. Codes last ten minutes and work once: compare the letters, or have \
    the program begin again.";

/// `code` as it was typed. No `Debug`: it lets somebody in.
#[derive(Deserialize)]
pub(super) struct CodeForm {
    code: String,
    #[serde(default)]
    csrf_token: String,
}

/// Asks for the code.
pub(super) async fn show(context: PageContext, state: web::Data<PagesState>) -> HttpResponse {
    match person(&context, &state) {
        Ok(identity) => code_page(&context, &state, identity, (StatusCode::OK, None)),
        Err(refusal) => refusal,
    }
}

/// Takes the code and shows what asked.
pub(super) async fn look(
    context: PageContext,
    form: web::Form<CodeForm>,
    state: web::Data<PagesState>,
) -> HttpResponse {
    let identity = match person_who_sent(&context, &state, PageForm::Device, &form.csrf_token) {
        Ok(identity) => identity,
        Err(refusal) => return refusal,
    };
    // A guess counts as a failed login of this person: it must not find other people's programs.
    let (throttle, user) = (&state.doors.throttle, identity.user().as_str());
    let origin = context.origin(&state.doors);
    let attempt = match throttle.admit(origin.client, user, origin.device_of(user), None) {
        Ok(attempt) => attempt,
        Err(wait) => {
            let seconds = wait.as_secs().max(1);
            let text = format!("Too many wrong codes. Try again in {}.", span(seconds));
            let said = (StatusCode::TOO_MANY_REQUESTS, Some(&*text));
            let mut response = code_page(&context, &state, identity, said);
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
            return response;
        }
    };
    let Some(shown) = state.devices.look(&form.code, identity.credential().key()) else {
        attempt.fail();
        return code_page(&context, &state, identity, (StatusCode::BAD_REQUEST, Some(UNKNOWN)));
    };
    attempt.release();
    let view = device_answer::question(&context, &state, identity, &shown);
    page(StatusCode::OK, &view)
}

/// The same for a form, which our own page must have sent.
#[expect(clippy::result_large_err, reason = "the refusal is the answer, moved once")]
pub(super) fn person_who_sent<'a>(
    context: &'a PageContext,
    state: &PagesState,
    form: PageForm,
    secret: &str,
) -> Result<&'a Identity, HttpResponse> {
    if let Some(refusal) = refuse_foreign(context) {
        return Err(refusal);
    }
    let identity = person(context, state)?;
    let way = (PATH, "Type the code again");
    refuse_without_secret(context, state, identity, (form, secret), way).map_or(Ok(identity), Err)
}

/// The person in front of a browser, who has signed in there; others are sent to do so.
#[expect(clippy::result_large_err, reason = "the refusal is the answer, moved once")]
fn person<'a>(context: &'a PageContext, state: &PagesState) -> Result<&'a Identity, HttpResponse> {
    if let Some(refusal) = refuse_without_login(state, context) {
        return Err(refusal);
    }
    let session = context.identity.as_ref().filter(|identity| identity.door() == Door::Session);
    let Some(identity) = session else {
        return Err(see_other(&with_next("/_doorward/login", &ReturnTo::parse(PATH))));
    };
    refuse_script(context).map_or(Ok(identity), Err)
}

/// Answers with the page for the code.
pub(super) fn code_page(
    context: &PageContext,
    state: &PagesState,
    identity: &Identity,
    (status, error): (StatusCode, Option<&str>),
) -> HttpResponse {
    let csrf_token = form::secret(state, PageForm::Device, identity);
    let user = identity.user().as_str();
    page(status, &DevicePage { host: context.host(), user, csrf_token: &csrf_token, error })
}

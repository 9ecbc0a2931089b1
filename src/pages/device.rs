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
use crate::pages::login::{refuse_foreign, refuse_without_login, see_other, with_next};
use crate::pages::moments::{moment, span};
use crate::pages::refusals::page;
use crate::pages::views::{DeviceDonePage, DevicePage, DeviceQuestionPage, ErrorPage};

/// Where the page is.
pub(super) const PATH: &str = "/_doorward/device";
/// A code that nobody waits with: mistyped, over, used, or guessed.
const UNKNOWN: &str = "No program waits with this code. Codes last ten minutes and work once: compare the letters, or have \
    the program begin again.";

/// `code` as it was typed. No `Debug`: it lets somebody in.
#[derive(Deserialize)]
pub(super) struct CodeForm {
    code: String,
}

/// The page's secret, and the person's choice.
#[derive(Deserialize)]
pub(super) struct AnswerForm {
    request: String,
    choice: String,
}

/// Asks for the code.
pub(super) async fn show(context: PageContext, state: web::Data<PagesState>) -> HttpResponse {
    match person(&context, &state) {
        Ok(identity) => page(StatusCode::OK, &code_page(&context, identity, None)),
        Err(refusal) => refusal,
    }
}

/// Takes the code and shows what asked.
pub(super) async fn look(
    context: PageContext,
    form: web::Form<CodeForm>,
    state: web::Data<PagesState>,
) -> HttpResponse {
    let identity = match person_who_sent(&context, &state) {
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
            let mut response =
                page(StatusCode::TOO_MANY_REQUESTS, &code_page(&context, identity, Some(&text)));
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
            return response;
        }
    };
    let Some(shown) = state.devices.look(&form.code, identity.credential().key()) else {
        attempt.fail();
        return page(StatusCode::BAD_REQUEST, &code_page(&context, identity, Some(UNKNOWN)));
    };
    attempt.release();
    let view = DeviceQuestionPage {
        host: context.host(),
        user: identity.user().as_str(),
        request: &shown.page,
        code: &shown.code,
        name: &shown.name,
        address: shown.address.to_string(),
        asked: moment(shown.at, state.doors.clock.now()),
        lifetime: span(state.token_lifetime.as_secs()),
    };
    page(StatusCode::OK, &view)
}

/// Takes the yes or no.
pub(super) async fn answer(
    context: PageContext,
    form: web::Form<AnswerForm>,
    state: web::Data<PagesState>,
) -> HttpResponse {
    let identity = match person_who_sent(&context, &state) {
        Ok(identity) => identity,
        Err(refusal) => return refusal,
    };
    // Whatever is not a yes is a no.
    let approved = form.choice == "approve";
    let Some(address) = state.devices.answer(&form.request, identity.credential(), approved) else {
        // Also said to who loads the page again after a yes.
        let text =
            "That question was answered already, or is over. What was let in stands on your account page.";
        return page(StatusCode::BAD_REQUEST, &code_page(&context, identity, Some(text)));
    };
    tracing::info!(
        target: "doorward::login",
        %address, user = %identity.user(), by = identity.credential_id(), approved,
        "answered a program that wants to be let in"
    );
    page(StatusCode::OK, &DeviceDonePage { host: context.host(), approved })
}

/// The same for a form, which our own page must have sent.
#[expect(clippy::result_large_err, reason = "the refusal is the answer, moved once")]
fn person_who_sent<'a>(context: &'a PageContext, state: &PagesState) -> Result<&'a Identity, HttpResponse> {
    refuse_foreign(context).map_or_else(|| person(context, state), Err)
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
    if context.is_by_script() {
        return Err(page(StatusCode::FORBIDDEN, &ErrorPage::standard(403, &context.request_id)));
    }
    Ok(identity)
}

fn code_page<'a>(context: &'a PageContext, identity: &'a Identity, error: Option<&'a str>) -> DevicePage<'a> {
    DevicePage { host: context.host(), user: identity.user().as_str(), error }
}

//! The way out of a browser's session.

use actix_session::Session;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{HttpResponse, web};
use serde::Deserialize;

use crate::domain::Door;
use crate::identity::Identity;
use crate::pages::app::PagesState;
use crate::pages::context::PageContext;
use crate::pages::form::{self, refuse_foreign, refuse_script};
use crate::pages::login::see_other;
use crate::pages::refusals::{self, page};
use crate::pages::views::LogoutPage;
use crate::session::{self, CookieOutcome, LoginKey, PageForm};

/// The form's only field. Without one, the form is asked for anew.
#[derive(Deserialize)]
pub(super) struct Form {
    #[serde(default)]
    csrf_token: String,
}

/// Asks for confirmation: a link to `logout` must not log anybody out.
pub(super) async fn ask(context: PageContext, state: web::Data<PagesState>) -> HttpResponse {
    if let Some(refusal) = refuse_script(&context) {
        return refusal;
    }
    match &context.identity {
        Some(identity) => question(StatusCode::OK, &context, &state, identity),
        None => see_other("/_doorward/login"),
    }
}

fn question(
    status: StatusCode,
    context: &PageContext,
    state: &PagesState,
    identity: &Identity,
) -> HttpResponse {
    let csrf_token = form::secret(state, PageForm::Logout, identity);
    page(status, &LogoutPage { host: context.host(), user: identity.user().as_str(), csrf_token })
}

/// Ends the session on the server, cuts its streams, and removes the cookie.
pub(super) async fn submit(
    context: PageContext,
    session: Session,
    form: Option<web::Form<Form>>,
    state: web::Data<PagesState>,
) -> HttpResponse {
    if let Some(refusal) = refuse_foreign(&context) {
        return refusal;
    }
    let secret = form.map(|form| form.into_inner().csrf_token).unwrap_or_default();
    if let Some(identity) = &context.identity
        && !form::is_of_page(&state, PageForm::Logout, identity, &secret)
    {
        // A page of the engine that has a button for this gets the question, as by a link.
        return question(StatusCode::FORBIDDEN, &context, &state, identity);
    }
    if let Err(refusal) = end_session(&state, &context).await {
        return refusal;
    }
    session.purge();
    signed_out(&state, &context)
}

/// The sign-in page, after the end of the browser's session.
pub(super) fn signed_out(state: &PagesState, context: &PageContext) -> HttpResponse {
    if let Some(key) = LoginKey::read(&context.headers, state.doors.cookie_key.names()) {
        state.doors.conversations.forget(key.hash());
    }
    let mut response = see_other("/_doorward/login?out=1");
    clear_storage(&mut response);
    response
}

/// Has the browser forget what scripts of this origin have left in it, service workers above all: one of an engine's page
/// could stand in for the sign-in page. Cookies and the cache are left alone.
pub(super) fn clear_storage(response: &mut HttpResponse) {
    let name = HeaderName::from_static("clear-site-data");
    response.headers_mut().insert(name, HeaderValue::from_static("\"storage\""));
}

/// Forgets the session of the request's cookie: first in the store, then in this process (the registry's rule).
///
/// The cookie itself is read, since another credential beside it may be who the request is from.
pub(super) async fn end_session(state: &PagesState, context: &PageContext) -> Result<(), HttpResponse> {
    let CookieOutcome::Key(text) = session::read(&context.headers, &state.doors.cookie_key) else {
        return Ok(());
    };
    let key = text.hash();
    if let Err(error) = state.doors.store.delete_session(key).await {
        tracing::error!(%error, "cannot end a session");
        return Err(refusals::later(
            StatusCode::SERVICE_UNAVAILABLE,
            "the session store is not available",
            2,
        ));
    }
    state.doors.registry.revoke(Door::Session, key);
    Ok(())
}

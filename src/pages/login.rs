//! The login form, in as many steps as the stack asks for.

use actix_session::Session;
use actix_web::http::StatusCode;
use actix_web::http::header::{LOCATION, SET_COOKIE};
use actix_web::{HttpResponse, web};
use serde::Deserialize;

use crate::domain::{ClientCertificate, Message, ReturnTo, Username};
use crate::identity::{Begin, Origin, Reply, Verified};
use crate::pages::app::PagesState;
use crate::pages::context::PageContext;
use crate::pages::displaced;
use crate::pages::form::{refuse_foreign, refuse_script};
use crate::pages::logout::{clear_storage, end_session};
use crate::pages::refusals::{self, page};
use crate::pages::sheet::Sheet;
use crate::pages::views::{ErrorPage, LoginPage};
use crate::pages::welcome;
use crate::session::{self, ADDRESS, CERTIFICATE, Device, GROUPS, USER};

/// `login?next=/path`.
#[derive(Debug, Deserialize)]
pub(super) struct Query {
    #[serde(default)]
    next: String,
    #[serde(default)]
    out: String,
}

/// The form's fields, of the first step or of a later one. No `Debug`: it holds what was typed.
#[derive(Deserialize)]
pub(super) struct Form {
    #[serde(default)]
    next: String,
    user: Option<String>,
    password: Option<String>,
    conversation: Option<String>,
    answer0: Option<String>,
    /// The page's secret.
    #[serde(default)]
    csrf_token: String,
    /// The person starts again.
    #[serde(default)]
    again: String,
}

/// Shows the first step.
pub(super) async fn show(
    context: PageContext,
    query: web::Query<Query>,
    state: web::Data<PagesState>,
) -> HttpResponse {
    if let Some(refusal) = refuse_insecure(&context).or_else(|| refuse_without_login(&state, &context)) {
        return refusal;
    }
    if let Some(refusal) = refuse_script(&context) {
        return refusal;
    }
    let Some(sheet) = Sheet::new(&state, &context, ReturnTo::parse(&query.next)) else {
        return page(StatusCode::INTERNAL_SERVER_ERROR, &ErrorPage::standard(500, &context.request_id));
    };
    sheet.answer(StatusCode::OK, &LoginPage { signed_out: query.out == "1", ..sheet.first_step(None, None) })
}

/// Takes a step. One submission is one attempt: nothing here repeats it.
pub(super) async fn submit(
    context: PageContext,
    session: Session,
    form: web::Form<Form>,
    state: web::Data<PagesState>,
) -> HttpResponse {
    if let Some(refusal) = refuse_insecure(&context)
        .or_else(|| refuse_without_passwords(&state, &context))
        .or_else(|| refuse_foreign(&context))
    {
        return refusal;
    }
    let form = form.into_inner();
    let Some(sheet) = Sheet::new(&state, &context, ReturnTo::parse(&form.next)) else {
        return page(StatusCode::INTERNAL_SERVER_ERROR, &ErrorPage::standard(500, &context.request_id));
    };
    let typed = form.user.clone();
    let origin = context.origin(&state.doors).in_browser(Some(sheet.key().hash()));
    let is_ours = sheet.made(&form.csrf_token);
    if !form.again.is_empty() {
        if is_ours {
            state.doors.conversations.cancel(form.conversation.as_deref().unwrap_or_default(), &origin);
        }
        return see_other(&with_next("/_doorward/login", sheet.return_to()));
    }
    // Else a script of the engine's page could sign its visitor in as somebody else, or guess in their name.
    if !is_ours {
        return sheet.refuse_foreign(typed.as_deref());
    }
    match step(&state, form, origin).await {
        Reply::Done(verified) => enter(&state, &context, &session, verified, sheet.return_to()).await,
        Reply::Ask { conversation, user, prompts, messages } => {
            sheet.ask(&conversation, &user, &prompts, &messages)
        }
        refused => sheet.refuse(&refused, typed.as_deref()),
    }
}

/// A name without the spaces around it. Line breaks and other controls stay, and make it no name.
fn typed_name(text: &str) -> &str {
    text.trim_matches([' ', '\u{a0}', '\u{3000}'])
}

/// Begins a conversation, or answers its open question.
async fn step(state: &PagesState, form: Form, origin: Origin) -> Reply {
    let conversations = &state.doors.conversations;
    match form.conversation {
        Some(id) => conversations.answer(&id, vec![form.answer0.unwrap_or_default()], origin).await,
        None => {
            let begin = Begin {
                // Phones add a space after a name that they complete.
                user: typed_name(&form.user.unwrap_or_default()).to_owned(),
                // An empty field starts the conversation, which then asks: a stack may want a code first, or no password.
                password: form.password.filter(|password| !password.is_empty()),
                page: Some(form.csrf_token),
                origin,
            };
            conversations.begin(begin).await
        }
    }
}

async fn enter(
    state: &PagesState,
    context: &PageContext,
    session: &Session,
    verified: Verified,
    return_to: &ReturnTo,
) -> HttpResponse {
    let entrant = Entrant {
        user: &verified.user,
        groups: &verified.groups,
        certificate: None,
        messages: &verified.messages,
    };
    let mut response = match begin_session(state, context, session, &entrant).await {
        Ok(Begun::HasMessages) => see_other(&with_next(welcome::PATH, return_to)),
        Ok(Begun::Quietly) => see_other(landing(state, return_to)),
        Err(refusal) => return refusal,
    };
    remember_device(state, context, &verified, &mut response);
    remove_former_cookies(context, &mut response);
    clear_storage(&mut response);
    response
}

/// Who comes in, and how.
pub(super) struct Entrant<'a> {
    pub(super) user: &'a Username,
    pub(super) groups: &'a [String],
    /// What they proved it by, unless by a password: the session ends with it.
    pub(super) certificate: Option<&'a ClientCertificate>,
    /// What there is to tell them.
    pub(super) messages: &'a [Message],
}

/// A session that has begun.
pub(super) enum Begun {
    /// There is something to tell its owner on the welcome page.
    HasMessages,
    /// There is nothing to tell.
    Quietly,
}

/// The session gets a new key (session fixation), and the one that was there before dies with its streams.
pub(super) async fn begin_session(
    state: &PagesState,
    context: &PageContext,
    session: &Session,
    entrant: &Entrant<'_>,
) -> Result<Begun, HttpResponse> {
    end_session(state, context).await?;
    // Room is made before there is a session to tell it to. Should another login take the room in the meantime, the store
    // makes room again when it keeps this one.
    displaced::note_uses(state).await;
    let ended = match state.doors.store.make_room(entrant.user, state.live_at()).await {
        Ok(ended) => ended,
        Err(error) => {
            tracing::error!(%error, "cannot begin a session");
            return Err(refusals::later(
                StatusCode::SERVICE_UNAVAILABLE,
                "the session store is not available",
                2,
            ));
        }
    };
    displaced::cut(&state.doors, entrant.user, &ended);
    let messages: Vec<Message> = entrant.messages.iter().cloned().chain(displaced::told(&ended)).collect();
    session.clear();
    session.renew();
    let stored = session
        .insert(USER, entrant.user)
        .and_then(|()| session.insert(GROUPS, entrant.groups))
        .and_then(|()| session.insert(ADDRESS, context.client))
        .and_then(|()| welcome::keep(session, &messages))
        .and_then(|()| match entrant.certificate {
            Some(certificate) => session.insert(CERTIFICATE, certificate),
            None => Ok(()),
        });
    if stored.is_err() {
        session.purge();
        return Err(page(StatusCode::INTERNAL_SERVER_ERROR, &ErrorPage::standard(500, &context.request_id)));
    }
    Ok(if messages.is_empty() { Begun::Quietly } else { Begun::HasMessages })
}

/// So that others, by failing under this name from elsewhere, cannot lock this browser out. Without the cookie a login is
/// as good.
fn remember_device(
    state: &PagesState,
    context: &PageContext,
    verified: &Verified,
    response: &mut HttpResponse,
) {
    let (doors, now) = (&state.doors, state.doors.clock.now());
    let known = Device::read(&context.headers, &doors.cookie_key, now);
    if doors.throttle.is_on()
        && let Ok(cookie) = Device::set_cookie(known, &verified.typed, &doors.cookie_key, now)
        && let Ok(value) = cookie.parse()
    {
        response.headers_mut().append(SET_COOKIE, value);
    }
}

/// Cookies of before an update mean nothing any more; a login is a good moment to take them out of the browser.
pub(super) fn remove_former_cookies(context: &PageContext, response: &mut HttpResponse) {
    for name in session::former_names(&context.headers) {
        let removal = format!("{name}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0");
        if let Ok(value) = removal.parse() {
            response.headers_mut().append(SET_COOKIE, value);
        }
    }
}

/// The terminator says that the browser came over plain HTTP: a `Secure` cookie would be thrown away and the login
/// would loop. Better to name the cause.
pub(super) fn refuse_insecure(context: &PageContext) -> Option<HttpResponse> {
    context.is_insecure.then(|| {
        let view = ErrorPage {
            title: "This page must be reached over https",
            text: "The proxy in front of Doorward says that you came over plain http. Sign-in cookies are only sent \
                over https: open the address with https://, or have the proxy redirect to it.",
            action: None,
            ..ErrorPage::standard(400, &context.request_id)
        };
        page(StatusCode::BAD_REQUEST, &view)
    })
}

/// There are no such pages where nobody logs in.
pub(super) fn refuse_without_login(state: &PagesState, context: &PageContext) -> Option<HttpResponse> {
    (!state.has_login).then(|| page(StatusCode::NOT_FOUND, &ErrorPage::standard(404, &context.request_id)))
}

fn refuse_without_passwords(state: &PagesState, context: &PageContext) -> Option<HttpResponse> {
    let is_off = !state.has_login || !state.has_passwords;
    is_off.then(|| page(StatusCode::NOT_FOUND, &ErrorPage::standard(404, &context.request_id)))
}

/// Where a browser goes on after a login. An engine without pages has nothing for people at its root.
pub(super) fn landing<'a>(state: &PagesState, return_to: &'a ReturnTo) -> &'a str {
    match return_to.as_str() {
        "/" if !state.engine_ui => "/_doorward/account",
        other => other,
    }
}

/// One of our own pages, told where to go from there.
pub(super) fn with_next(path: &str, return_to: &ReturnTo) -> String {
    let query =
        url::form_urlencoded::Serializer::new(String::new()).append_pair("next", return_to.as_str()).finish();
    format!("{path}?{query}")
}

/// Relative, so that no header of the request can steer it (behaviour R4).
pub(super) fn see_other(location: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((LOCATION, location)).finish()
}

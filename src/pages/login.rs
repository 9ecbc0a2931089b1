//! The login form, in as many steps as the stack asks for, and the way out.

use actix_session::Session;
use actix_web::http::StatusCode;
use actix_web::http::header::{LOCATION, RETRY_AFTER, SET_COOKIE};
use actix_web::{HttpResponse, web};
use serde::Deserialize;

use crate::domain::{ClientCertificate, Door, Message, Prompt, ReturnTo, Username};
use crate::identity::{Begin, Origin, Reply, Verified};
use crate::pages::app::PagesState;
use crate::pages::certificate;
use crate::pages::context::PageContext;
use crate::pages::displaced;
use crate::pages::moments::span;
use crate::pages::refusals::{self, page};
use crate::pages::views::{ErrorPage, LoginPage, LogoutPage, MessageView, PromptView, Step};
use crate::pages::welcome;
use crate::policy;
use crate::session::{self, ADDRESS, CERTIFICATE, CookieOutcome, Device, GROUPS, LoginKey, USER};

/// One sentence for whatever was wrong, also for accounts that may not come in: who guesses passwords from where their
/// owner may not sign in shall not learn that a guess was right.
const WRONG: &str =
    "Wrong user name or password. If both are right, this account may not sign in from here or at this time.";
/// Above the reason that a module gave once the password was proven.
const BECAUSE: &str = "You are not signed in, and this is why:";

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
    let return_to = ReturnTo::parse(&query.next);
    page(StatusCode::OK, &first_step(&state, &context, &return_to, None, None, query.out == "1"))
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
    let return_to = ReturnTo::parse(&form.next);
    let typed = form.user.clone();
    let names = state.doors.cookie_key.names();
    let key = LoginKey::read(&context.headers, names);
    if !form.again.is_empty() {
        let origin = context.origin(&state.doors).in_browser(key.as_ref().map(LoginKey::hash));
        state.doors.conversations.cancel(form.conversation.as_deref().unwrap_or_default(), &origin);
        return see_other(&with_next("/_doorward/login", &return_to));
    }
    let Some(key) = key.or_else(|| LoginKey::generate().ok()) else {
        return page(StatusCode::INTERNAL_SERVER_ERROR, &ErrorPage::standard(500, &context.request_id));
    };
    let origin = context.origin(&state.doors).in_browser(Some(key.hash()));
    match step(&state, form, origin).await {
        Reply::Done(verified) => enter(&state, &context, &session, verified, &return_to).await,
        Reply::Ask { conversation, user, prompts, messages } => {
            let mut response = ask(&state, &context, &return_to, &conversation, &user, &prompts, &messages);
            // It fails only for a cookie that cannot be written, and then the next step is refused.
            let _ = response.add_cookie(&key.cookie(names));
            response
        }
        Reply::Refused(messages) => {
            let why = if messages.is_empty() { WRONG } else { BECAUSE };
            let mut view = first_step(&state, &context, &return_to, typed.as_deref(), Some(why), false);
            view.messages = messages.iter().map(MessageView::from).collect();
            page(StatusCode::UNAUTHORIZED, &view)
        }
        Reply::Busy(_) => {
            let text = "Too many people are signing in at this moment. Try again in a few seconds.";
            page(
                StatusCode::TOO_MANY_REQUESTS,
                &first_step(&state, &context, &return_to, typed.as_deref(), Some(text), false),
            )
        }
        Reply::Throttled(wait) => {
            let text = format!("Too many failed logins. Try again in {}.", span(wait.as_secs().max(1)));
            let view = first_step(&state, &context, &return_to, typed.as_deref(), Some(&text), false);
            let mut response = page(StatusCode::TOO_MANY_REQUESTS, &view);
            response.headers_mut().insert(RETRY_AFTER, wait.as_secs().max(1).into());
            response
        }
        Reply::Unavailable => {
            let text = "Login is not available right now. Try again in a moment.";
            page(
                StatusCode::SERVICE_UNAVAILABLE,
                &first_step(&state, &context, &return_to, typed.as_deref(), Some(text), false),
            )
        }
    }
}

/// Begins a conversation, or answers its open question.
async fn step(state: &PagesState, form: Form, origin: Origin) -> Reply {
    let conversations = &state.doors.conversations;
    match form.conversation {
        Some(id) => conversations.answer(&id, vec![form.answer0.unwrap_or_default()], origin).await,
        None => {
            let begin = Begin {
                user: form.user.unwrap_or_default(),
                // An empty field starts the conversation, which then asks: a stack may want a code first, or no password.
                password: form.password.filter(|password| !password.is_empty()),
                origin,
            };
            conversations.begin(begin).await
        }
    }
}

/// The page with the next question.
fn ask(
    state: &PagesState,
    context: &PageContext,
    return_to: &ReturnTo,
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
        ..first_step(state, context, return_to, None, None, false)
    };
    page(StatusCode::OK, &view)
}

/// Asks for confirmation: a link to `logout` must not log anybody out.
pub(super) async fn ask_logout(context: PageContext) -> HttpResponse {
    match &context.identity {
        Some(identity) => {
            let view = LogoutPage { host: context.host(), user: identity.user().as_str() };
            page(StatusCode::OK, &view)
        }
        None => see_other("/_doorward/login"),
    }
}

/// Ends the session on the server, cuts its streams, and removes the cookie.
pub(super) async fn logout(
    context: PageContext,
    session: Session,
    state: web::Data<PagesState>,
) -> HttpResponse {
    if let Some(refusal) = refuse_foreign(&context) {
        return refusal;
    }
    if let Err(refusal) = end_session(&state, &context).await {
        return refusal;
    }
    session.purge();
    see_other("/_doorward/login?out=1")
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
        Ok(Begun::Quietly) => see_other(return_to.as_str()),
        Err(refusal) => return refusal,
    };
    remember_device(state, context, &verified, &mut response);
    remove_former_cookies(context, &mut response);
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

fn first_step<'a>(
    state: &PagesState,
    context: &'a PageContext,
    return_to: &'a ReturnTo,
    user: Option<&'a str>,
    error: Option<&'a str>,
    signed_out: bool,
) -> LoginPage<'a> {
    LoginPage {
        host: context.host(),
        return_to: return_to.as_str(),
        user: user.filter(|user| user.len() <= 256),
        conversation: None,
        prompts: Vec::new(),
        messages: Vec::new(),
        error,
        step: Step::Start,
        signed_out,
        has_passwords: state.has_passwords,
        certificate_link: certificate::link(state, context.authority.as_deref(), return_to),
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

/// A form that another site sent, or something that did not say where it came from (behaviour S5).
pub(super) fn refuse_foreign(context: &PageContext) -> Option<HttpResponse> {
    policy::check_same_origin(&context.method, &context.headers, context.authority.as_deref()).err().map(|_| {
        let view = ErrorPage {
            title: "This form was not sent by this site",
            text: "Doorward takes forms only from its own pages. Open the page here and try again; programs use the \
                API under /_doorward/api/v1/ instead.",
            ..ErrorPage::standard(403, &context.request_id)
        };
        page(StatusCode::FORBIDDEN, &view)
    })
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

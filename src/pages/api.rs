//! The API for programs: log in, who am I, log out, and the question that other proxies ask (`auth`).

use actix_session::Session;
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use http::HeaderValue;
use serde::Deserialize;
use serde_json::json;

use crate::domain::{ClientCertificate, Door, Message};
use crate::identity::{Begin, Reply, Verified};
use crate::pages::app::PagesState;
use crate::pages::context::PageContext;
use crate::pages::displaced;
use crate::pages::logout::{clear_storage, end_session};
use crate::pages::moments::iso;
use crate::pages::refusals::{later, refuse, too_many_failures};
use crate::policy;
use crate::store::{Admission, TokenKind};
use crate::token::{self, IssueError, TokenRequest};

/// To an answer after its deadline.
const EXPIRED: &str = "this step took too long and has ended; nothing was checked: begin the login again";
/// To an answer to a step of which nothing is known.
const UNKNOWN: &str = "this step is over, used or not known here; nothing was checked: begin the login again";
/// Most characters of what modules say in one error.
const MOST_SAID: usize = 1000;

/// `{"user", "password"?, "name"?}` to begin, `{"conversation", "answers"}` to go on, `{"conversation", "cancel": true}`
/// to give up. No `Debug`: it holds what was typed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LoginBody {
    user: Option<String>,
    password: Option<String>,
    conversation: Option<String>,
    answers: Option<Vec<String>>,
    name: Option<String>,
    #[serde(default)]
    cancel: bool,
}

/// Takes a step of a login and ends with a token.
pub(super) async fn login(
    context: PageContext,
    body: web::Bytes,
    state: web::Data<PagesState>,
) -> HttpResponse {
    if let Some(refusal) = refuse_call(&state, &context) {
        return refusal;
    }
    if !state.has_passwords {
        return refuse(
            StatusCode::NOT_FOUND,
            "nobody logs in with a password here: show a client certificate",
        );
    }
    // serde's own message may quote what was sent, and that may be a password.
    let Ok(body) = serde_json::from_slice::<LoginBody>(&body) else {
        return refuse(
            StatusCode::BAD_REQUEST,
            "the body must be {\"user\": \"…\", \"password\": \"…\"} or {\"conversation\": \"…\", \"answers\": [\"…\"]}",
        );
    };
    let name = body.name.unwrap_or_else(|| "login".to_owned());
    // Before the login: a password should not be spent on a token that cannot be made.
    if !token::is_name(&name) {
        return refuse(StatusCode::BAD_REQUEST, &IssueError::Name.to_string());
    }
    let (conversations, origin) = (&state.doors.conversations, context.origin(&state.doors));
    if body.cancel {
        let (None, None, Some(id), None) = (body.user, body.password, body.conversation, body.answers) else {
            return refuse(StatusCode::BAD_REQUEST, "give cancel with conversation and nothing else");
        };
        conversations.cancel(&id, &origin);
        return HttpResponse::NoContent().finish();
    }
    let reply = match (body.user, body.password, body.conversation, body.answers) {
        (Some(user), password, None, None) => {
            let password = password.filter(|password| !password.is_empty());
            conversations.begin(Begin { user, password, page: None, origin }).await
        }
        (None, None, Some(id), answers) => {
            conversations.answer(&id, answers.unwrap_or_default(), origin).await
        }
        _ => {
            let text = "give either user, with or without password, or conversation and answers";
            return refuse(StatusCode::BAD_REQUEST, text);
        }
    };
    match reply {
        Reply::Ask { conversation, prompts, messages, .. } => {
            let answer = json!({ "conversation": conversation, "prompts": prompts, "messages": messages });
            answer_json(&answer)
        }
        Reply::Done(verified) => give_token(&state, &context, verified, name, None).await,
        Reply::Refused(messages) => refuse(StatusCode::UNAUTHORIZED, &refusal(&messages)),
        Reply::Expired => refuse(StatusCode::GONE, EXPIRED),
        Reply::Unknown => refuse(StatusCode::GONE, UNKNOWN),
        Reply::Busy(retry) => {
            later(StatusCode::TOO_MANY_REQUESTS, "too many logins at this moment", retry.as_secs().max(1))
        }
        Reply::Throttled(wait) => {
            later(StatusCode::TOO_MANY_REQUESTS, &too_many_failures(wait), wait.as_secs().max(1))
        }
        Reply::Unavailable => later(StatusCode::SERVICE_UNAVAILABLE, "login is not available right now", 5),
    }
}

/// What is no call of a program that wants to log in.
pub(super) fn refuse_call(state: &PagesState, context: &PageContext) -> Option<HttpResponse> {
    if !state.has_login {
        return Some(refuse(StatusCode::NOT_FOUND, "login is switched off here"));
    }
    // A page elsewhere can make a browser post a form or plain text here, but not JSON, and not without saying so.
    if policy::check_same_origin(&context.method, &context.headers, context.authority.as_deref()).is_err()
        && policy::is_by_browser(&context.headers)
    {
        return Some(refuse(StatusCode::FORBIDDEN, "this request came from another site"));
    }
    let text = "send JSON with Content-Type: application/json";
    (!context.is_json()).then(|| refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, text))
}

/// One sentence for whatever was wrong; the modules' own words once the password was proven.
fn refusal(messages: &[Message]) -> String {
    if messages.is_empty() {
        return "wrong user name or password".to_owned();
    }
    let said: Vec<&str> = messages.iter().flat_map(|message| message.text.split_whitespace()).collect();
    let said: String = said.join(" ").chars().take(MOST_SAID).collect();
    format!("login refused: {said}")
}

/// Ends a login. The token ends with the `certificate` that it was got by, if any.
pub(super) async fn give_token(
    state: &PagesState,
    context: &PageContext,
    verified: Verified,
    name: String,
    certificate: Option<ClientCertificate>,
) -> HttpResponse {
    let request = TokenRequest {
        name,
        user: verified.user.clone(),
        groups: verified.groups.clone(),
        address: Some(context.client),
        certificate,
        lifetime: None,
        scope: None,
    };
    let now = state.doors.clock.now();
    let (token, record) = match token::issue(TokenKind::Login, request, state.token_lifetime, now) {
        Ok(issued) => issued,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let expires = record.expires;
    displaced::note_uses(state).await;
    let ended = match state.doors.store.put_token(record, state.live_at()).await {
        Ok(Admission::Kept(ended)) => ended,
        Ok(_) => return displaced::refuse_full(),
        Err(error) => {
            tracing::error!(%error, "cannot keep a token");
            return later(StatusCode::SERVICE_UNAVAILABLE, "the token store is not available", 2);
        }
    };
    displaced::cut(&state.doors, &verified.user, &ended);
    let messages: Vec<Message> = verified.messages.into_iter().chain(displaced::told(&ended)).collect();
    answer_json(&json!({
        "token": token.expose(),
        "user": verified.user,
        "groups": verified.groups,
        "expires": iso(expires),
        "messages": messages,
    }))
}

/// Who the caller is, as the gateway sees it.
pub(super) async fn whoami(context: PageContext) -> HttpResponse {
    let Some(identity) = &context.identity else { return unauthorized() };
    let credential = identity.credential();
    answer_json(&json!({
        "user": identity.user(),
        "groups": *identity.groups(),
        "door": identity.door(),
        "credential": identity.credential_id(),
        "scope": credential.scope(),
        "expires": iso(credential.expires()),
    }))
}

/// Ends the credential that the request came with, and everything that is open under it.
pub(super) async fn logout(
    context: PageContext,
    session: Session,
    state: web::Data<PagesState>,
) -> HttpResponse {
    let Some(identity) = &context.identity else { return unauthorized() };
    let by_itself = identity.door().opens_by_itself() && policy::is_by_browser(&context.headers);
    if by_itself
        && policy::check_same_origin(&context.method, &context.headers, context.authority.as_deref()).is_err()
    {
        return refuse(StatusCode::FORBIDDEN, "this request came from another site");
    }
    let result = match identity.door() {
        Door::Session => {
            let foreign =
                policy::check_same_origin(&context.method, &context.headers, context.authority.as_deref())
                    .is_err();
            if foreign {
                return refuse(StatusCode::FORBIDDEN, "this request came from another site");
            }
            // The engine's pages are of the same origin; this call carries no secret of a page of ours.
            if state.engine_ui {
                let text = "a browser's session ends on /_doorward/logout";
                return refuse(StatusCode::FORBIDDEN, text);
            }
            if let Err(refusal) = end_session(&state, &context).await {
                return refusal;
            }
            session.purge();
            let mut response = HttpResponse::NoContent().finish();
            clear_storage(&mut response);
            return response;
        }
        Door::Token => end_token(&state, identity).await,
        Door::Certificate if identity.credential().login().is_some() => {
            end_certificate(&state, identity).await
        }
        // Its streams are cut; a client that goes on showing it comes in again.
        door @ (Door::Basic | Door::Certificate) => {
            state.doors.registry.revoke(door, identity.credential().key());
            Ok(())
        }
        Door::None => Ok(()),
    };
    result.map_or_else(|refusal| refusal, |()| HttpResponse::NoContent().finish())
}

/// A certificate of a token ends alone; its login goes on.
async fn end_certificate(
    state: &PagesState,
    identity: &crate::identity::Identity,
) -> Result<(), HttpResponse> {
    if let Err(error) = state.doors.store.delete_certificate(identity.user(), identity.credential_id()).await
    {
        tracing::error!(%error, "cannot revoke a certificate");
        return Err(later(StatusCode::SERVICE_UNAVAILABLE, "the token store is not available", 2));
    }
    state.doors.registry.revoke(Door::Certificate, identity.credential().key());
    Ok(())
}

async fn end_token(state: &PagesState, identity: &crate::identity::Identity) -> Result<(), HttpResponse> {
    if let Err(error) = state.doors.store.delete_token(identity.user(), identity.credential_id()).await {
        tracing::error!(%error, "cannot revoke a token");
        return Err(later(StatusCode::SERVICE_UNAVAILABLE, "the token store is not available", 2));
    }
    state.doors.registry.revoke(Door::Token, identity.credential().key());
    Ok(())
}

/// Forward authentication: nginx `auth_request`, Traefik `forwardAuth`, Caddy `forward_auth`.
///
/// The other proxy passes the headers of the request that it holds. A cookie proves who sent that request, not that
/// they meant it, so that the same proof of origin is asked for as on our own way to the engine.
pub(super) async fn forward_auth(context: PageContext) -> HttpResponse {
    let Some(identity) = &context.identity else { return unauthorized() };
    let is_by_browser = identity.door().opens_by_itself() && policy::is_by_browser(&context.headers);
    if (identity.door() == Door::Session || is_by_browser) && is_foreign(&context) {
        return refuse(StatusCode::FORBIDDEN, "this request came from another site");
    }
    // What reading is, is known of the engine only.
    if identity.credential().scope().is_some() {
        return refuse(StatusCode::FORBIDDEN, "a token with a scope is good for the engine only");
    }
    HttpResponse::NoContent()
        .insert_header(("x-forwarded-user", identity.user_header().as_bytes()))
        .insert_header(("x-forwarded-groups", identity.groups_header().as_bytes()))
        .finish()
}

/// Whether the request that the other proxy holds may have been caused by another site.
fn is_foreign(context: &PageContext) -> bool {
    // Proxies drop `Upgrade`, as it belongs to the hop; what else marks a WebSocket's beginning they pass on.
    let is_upgrade = context.headers.contains_key("sec-websocket-key")
        || context.header("sec-fetch-mode") == Some("websocket");
    let ours = |site: &HeaderValue| site == "same-origin" || site == "none";
    let foreign_site = !context.headers.get_all("sec-fetch-site").iter().all(ours);
    let method = match named_method(&context.headers) {
        _ if is_upgrade => http::Method::POST,
        Some(method) => method,
        // A method that is not told: browsers name the origin with a form or a script's request, not with a link.
        None if context.headers.contains_key("origin") => http::Method::POST,
        None if foreign_site && context.header("sec-fetch-mode") != Some("navigate") => return true,
        None => http::Method::GET,
    };
    policy::check_same_origin(&method, &context.headers, context.authority.as_deref()).is_err()
}

/// The method that the other proxy tells. Of several, and of one that cannot be read, the one that needs most proof.
fn named_method(headers: &http::HeaderMap) -> Option<http::Method> {
    let names = ["x-forwarded-method", "x-original-method"];
    let told = names.into_iter().flat_map(|name| headers.get_all(name));
    let methods = told.map(|name| http::Method::from_bytes(name.as_bytes()).unwrap_or(http::Method::POST));
    methods.reduce(|first, other| if first.is_safe() { other } else { first })
}

/// The description of this API.
pub(super) async fn openapi() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(("content-type", "application/json"))
        .body(include_str!("../../static/openapi.json"))
}

pub(super) fn unauthorized() -> HttpResponse {
    let mut response = refuse(StatusCode::UNAUTHORIZED, "login required");
    let challenge = actix_web::http::header::HeaderValue::from_static("Bearer realm=\"doorward\"");
    response.headers_mut().insert(actix_web::http::header::WWW_AUTHENTICATE, challenge);
    response
}

pub(super) fn answer_json(value: &serde_json::Value) -> HttpResponse {
    HttpResponse::Ok().insert_header(("content-type", "application/json")).body(format!("{value}\n"))
}

//! A person's own tokens and sessions over the API.
//!
//! A session cookie is not enough here: pages of the engine share our origin, and a script among them could use the
//! visitor's cookie to make itself a token (CVE-2024-39315). A password or the token of a login is asked for.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::domain::Door;
use crate::identity::Identity;
use crate::pages::api::{answer_json, unauthorized};
use crate::pages::app::PagesState;
use crate::pages::context::PageContext;
use crate::pages::moments::iso;
use crate::pages::refusals::{later, refuse};
use crate::policy;
use crate::store::{StoreError, TokenKind};
use crate::token::{self, TokenRequest};

/// `{"name": "ci", "expires_in": 3600}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    name: String,
    /// Seconds.
    expires_in: Option<u64>,
}

/// Lists the caller's tokens.
pub(super) async fn list(context: PageContext, state: web::Data<PagesState>) -> HttpResponse {
    let identity = match owner(&context) {
        Ok(identity) => identity,
        Err(refusal) => return refusal,
    };
    let now = state.doors.clock.now();
    match state.doors.store.tokens_of(identity.user()).await {
        Ok(records) => {
            let rows = records.into_iter().filter(|record| record.expires > now);
            answer_json(&Value::Array(rows.map(|record| token_json(&record)).collect()))
        }
        Err(error) => unavailable(&error),
    }
}

/// Makes a token. Its text is in this answer and nowhere else.
pub(super) async fn create(
    context: PageContext,
    body: web::Bytes,
    state: web::Data<PagesState>,
) -> HttpResponse {
    let identity = match owner(&context) {
        Ok(identity) => identity,
        Err(refusal) => return refusal,
    };
    // No page elsewhere can make a browser send this type without asking first.
    if !context.is_json() {
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send JSON with Content-Type: application/json");
    }
    let Ok(wish) = serde_json::from_slice::<Wish>(&body) else {
        return refuse(
            StatusCode::BAD_REQUEST,
            "the body must be {\"name\": \"…\", \"expires_in\": SECONDS}",
        );
    };
    let lifetime = wish.expires_in.map(std::time::Duration::from_secs);
    if lifetime.is_some_and(|lifetime| lifetime.is_zero()) {
        return refuse(StatusCode::BAD_REQUEST, "expires_in must be at least 1");
    }
    let now = state.doors.clock.now();
    let longest = state.token_lifetime;
    let made = if identity.door() == Door::Token {
        match state.doors.store.token(identity.credential().key()).await {
            Ok(Some(maker)) => token::mint(&maker, wish.name, Some(context.client), lifetime, longest, now),
            Ok(None) => return unauthorized(),
            Err(error) => return unavailable(&error),
        }
    } else {
        let request = TokenRequest {
            name: wish.name,
            user: identity.user().clone(),
            groups: identity.groups().to_vec(),
            address: Some(context.client),
            certificate: identity.credential().certificate().map(|certificate| (**certificate).clone()),
            lifetime,
        };
        token::issue(TokenKind::Minted, request, longest, now)
    };
    let (token, record) = match made {
        Ok(made) => made,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let mut answer = token_json(&record);
    if let Err(error) = state.doors.store.put_token(record).await {
        return unavailable(&error);
    }
    if let Some(object) = answer.as_object_mut() {
        object.insert("token".to_owned(), token.expose().into());
    }
    let mut response = answer_json(&answer);
    *response.status_mut() = StatusCode::CREATED;
    response
}

/// Revokes one of the caller's tokens and cuts its streams.
pub(super) async fn revoke(
    context: PageContext,
    id: web::Path<String>,
    state: web::Data<PagesState>,
) -> HttpResponse {
    let identity = match owner(&context) {
        Ok(identity) => identity,
        Err(refusal) => return refusal,
    };
    match state.doors.store.delete_token(identity.user(), &id).await {
        Ok(true) => {
            state.doors.registry.revoke_id(Door::Token, identity.user(), &id);
            HttpResponse::NoContent().finish()
        }
        Ok(false) => refuse(StatusCode::NOT_FOUND, "no such token"),
        Err(error) => unavailable(&error),
    }
}

/// Lists the caller's browser sessions.
pub(super) async fn list_sessions(context: PageContext, state: web::Data<PagesState>) -> HttpResponse {
    let identity = match owner(&context) {
        Ok(identity) => identity,
        Err(refusal) => return refusal,
    };
    let now = state.doors.clock.now();
    let idle = i64::try_from(state.limits.idle.as_secs()).unwrap_or(i64::MAX);
    match state.doors.store.sessions_of(identity.user()).await {
        Ok(records) => {
            let live = records
                .into_iter()
                .filter(|record| record.expires > now && record.last_seen.saturating_add(idle) > now);
            let rows = live.map(|record| {
                json!({
                    "id": record.id,
                    "address": record.address,
                    "created": iso(record.created),
                    "last_seen": iso(record.last_seen),
                    "expires": iso(record.expires),
                })
            });
            answer_json(&Value::Array(rows.collect()))
        }
        Err(error) => unavailable(&error),
    }
}

/// Ends one of the caller's browser sessions and cuts its streams.
pub(super) async fn revoke_session(
    context: PageContext,
    id: web::Path<String>,
    state: web::Data<PagesState>,
) -> HttpResponse {
    let identity = match owner(&context) {
        Ok(identity) => identity,
        Err(refusal) => return refusal,
    };
    match state.doors.store.delete_session_by_id(identity.user(), &id).await {
        Ok(true) => {
            state.doors.registry.revoke_id(Door::Session, identity.user(), &id);
            HttpResponse::NoContent().finish()
        }
        Ok(false) => refuse(StatusCode::NOT_FOUND, "no such session"),
        Err(error) => unavailable(&error),
    }
}

/// The caller, if they came with a credential that may look after others.
#[expect(clippy::result_large_err, reason = "the refusal is the answer, moved once")]
fn owner(context: &PageContext) -> Result<&Identity, HttpResponse> {
    let Some(identity) = &context.identity else { return Err(unauthorized()) };
    match (identity.door(), identity.credential().token_kind()) {
        (Door::Basic | Door::Certificate, _) if policy::is_by_browser(&context.headers) => Err(refuse(
            StatusCode::FORBIDDEN,
            "a browser adds passwords and certificates by itself: use a token from /_doorward/api/v1/login",
        )),
        (Door::Basic | Door::Certificate, _) | (Door::Token, Some(TokenKind::Login)) => Ok(identity),
        (Door::Session, _) => Err(refuse(
            StatusCode::FORBIDDEN,
            "a browser session is not enough here: use a token from /_doorward/api/v1/login, or your password",
        )),
        (Door::Token | Door::None, _) => {
            Err(refuse(StatusCode::FORBIDDEN, "this token may not look after tokens or sessions"))
        }
    }
}

fn token_json(record: &crate::store::TokenRecord) -> Value {
    json!({
        "id": record.id,
        "name": record.name,
        "kind": record.kind,
        "created": iso(record.created),
        "last_used": record.last_used.map(iso),
        "expires": iso(record.expires),
    })
}

fn unavailable(error: &StoreError) -> HttpResponse {
    tracing::error!(%error, "the store failed");
    later(StatusCode::SERVICE_UNAVAILABLE, "the store is not available", 2)
}

//! Tokens over the API: a person's own, and everybody's for administrators. See [`super::caretaker`].

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::domain::{Door, Scope};
use crate::identity::Identity;
use crate::pages::api::{answer_json, unauthorized};
use crate::pages::app::PagesState;
use crate::pages::caretaker::{self, Belonging, Caretaker, Which, Whose, last_use, unavailable};
use crate::pages::context::PageContext;
use crate::pages::displaced;
use crate::pages::moments::iso;
use crate::pages::refusals::refuse;
use crate::store::{Admission, TokenKind, TokenRecord};
use crate::token::{self, IssueError, MintRequest, Token, TokenRequest};

/// `{"name": "ci", "expires_in": 3600, "scope": "read"}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    name: String,
    /// Seconds.
    expires_in: Option<u64>,
    scope: Option<String>,
}

/// Lists the caller's tokens, or all.
pub(super) async fn list(
    context: PageContext,
    which: web::Query<Which>,
    state: web::Data<PagesState>,
) -> HttpResponse {
    let caretaker = match Caretaker::of(&context, &state) {
        Ok(caretaker) => caretaker,
        Err(refusal) => return refusal,
    };
    let store = &state.doors.store;
    let records = match caretaker.listed(&which) {
        Ok(Some(user)) => store.tokens_of(user).await,
        Ok(None) => store.all_tokens().await,
        Err(refusal) => return refusal,
    };
    let now = state.doors.clock.now();
    match records {
        Ok(records) => {
            let rows = records.into_iter().filter(|record| record.expires > now).map(|mut record| {
                record.last_used = last_use(&state, Door::Token, record.key, record.last_used);
                token_json(&record)
            });
            answer_json(&Value::Array(rows.collect()))
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
    let caretaker = match Caretaker::of(&context, &state) {
        Ok(caretaker) => caretaker,
        Err(refusal) => return refusal,
    };
    // No page elsewhere can make a browser send this type without asking first.
    if !context.is_json() {
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send JSON with Content-Type: application/json");
    }
    let wish = match read_wish(&body, &context) {
        Ok(wish) => wish,
        Err(text) => return refuse(StatusCode::BAD_REQUEST, text),
    };
    let (token, record) = match make(&state, caretaker.identity, wish).await {
        Ok(made) => made,
        Err(refusal) => return refusal,
    };
    let mut answer = token_json(&record);
    match state.doors.store.put_token(record, state.live_at()).await {
        Ok(Admission::Kept(_)) => {}
        Ok(_) => return displaced::refuse_full(),
        Err(error) => return unavailable(&error),
    }
    if let Some(object) = answer.as_object_mut() {
        object.insert("token".to_owned(), token.expose().into());
    }
    let mut response = answer_json(&answer);
    *response.status_mut() = StatusCode::CREATED;
    response
}

fn read_wish(body: &[u8], context: &PageContext) -> Result<MintRequest, &'static str> {
    let wish: Wish = serde_json::from_slice(body)
        .map_err(|_| "the body must be {\"name\": \"…\", \"expires_in\": SECONDS, \"scope\": \"read\"}")?;
    let lifetime = wish.expires_in.map(std::time::Duration::from_secs);
    if lifetime.is_some_and(|lifetime| lifetime.is_zero()) {
        return Err("expires_in must be at least 1");
    }
    // A scope that is not known must not count as none.
    let known = |word: String| Scope::parse(&word).ok_or("there is one scope: read");
    let scope = wish.scope.map(known).transpose()?;
    Ok(MintRequest { name: wish.name, address: Some(context.client), lifetime, scope })
}

async fn make(
    state: &PagesState,
    identity: &Identity,
    wish: MintRequest,
) -> Result<(Token, TokenRecord), HttpResponse> {
    let (now, longest) = (state.doors.clock.now(), state.token_lifetime);
    let made = if identity.door() == Door::Token {
        match state.doors.store.token(identity.credential().key()).await {
            Ok(Some(maker)) => token::mint(&maker, wish, longest, now),
            Ok(None) => return Err(unauthorized()),
            Err(error) => return Err(unavailable(&error)),
        }
    } else {
        let request = TokenRequest {
            name: wish.name,
            user: identity.user().clone(),
            groups: identity.groups().to_vec(),
            address: wish.address,
            lifetime: wish.lifetime,
            scope: wish.scope,
            certificate: identity.credential().certificate().map(|certificate| (**certificate).clone()),
        };
        token::issue(TokenKind::Minted, request, longest, now)
    };
    made.map_err(|error: IssueError| refuse(StatusCode::BAD_REQUEST, &error.to_string()))
}

/// Revokes a token of the caller, or for administrators of anybody, and cuts its streams.
pub(super) async fn revoke(
    context: PageContext,
    id: web::Path<String>,
    state: web::Data<PagesState>,
) -> HttpResponse {
    caretaker::revoke(Belonging::Token, &context, &state, &id).await
}

/// Revokes all tokens of one person, the one of this request too if it is theirs.
pub(super) async fn revoke_all(
    context: PageContext,
    whose: web::Query<Whose>,
    state: web::Data<PagesState>,
) -> HttpResponse {
    caretaker::revoke_all(Belonging::Token, &context, &state, &whose).await
}

fn token_json(record: &TokenRecord) -> Value {
    json!({
        "id": record.id,
        "name": record.name,
        "user": record.user,
        "kind": record.kind,
        "scope": record.scope,
        "address": record.address,
        "created": iso(record.created),
        "last_used": record.last_used.map(iso),
        "expires": iso(record.expires),
    })
}

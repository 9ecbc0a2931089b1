//! Browser sessions over the API: a person's own, and everybody's for administrators. See [`super::caretaker`].

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use crate::domain::{Door, Username};
use crate::pages::api::answer_json;
use crate::pages::app::PagesState;
use crate::pages::caretaker::{Caretaker, Which, Whose, last_use, revoked, unavailable};
use crate::pages::context::PageContext;
use crate::pages::moments::iso;
use crate::pages::refusals::refuse;
use crate::store::{SessionRecord, StoreError};

/// Lists the caller's browser sessions, or all.
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
        Ok(Some(user)) => store.sessions_of(user).await,
        Ok(None) => store.all_sessions().await,
        Err(refusal) => return refusal,
    };
    let now = state.doors.clock.now();
    let idle = i64::try_from(state.limits.idle.as_secs()).unwrap_or(i64::MAX);
    match records {
        Ok(records) => {
            let rows = records.into_iter().filter_map(|mut record| {
                let seen = last_use(&state, Door::Session, record.key, Some(record.last_seen));
                record.last_seen = seen.unwrap_or(record.last_seen);
                let is_live = record.expires > now && record.last_seen.saturating_add(idle) > now;
                is_live.then(|| session_json(&record))
            });
            answer_json(&Value::Array(rows.collect()))
        }
        Err(error) => unavailable(&error),
    }
}

/// Ends a browser session of the caller, or for administrators of anybody, and cuts its streams.
pub(super) async fn revoke(
    context: PageContext,
    id: web::Path<String>,
    state: web::Data<PagesState>,
) -> HttpResponse {
    let caretaker = match Caretaker::of(&context, &state) {
        Ok(caretaker) => caretaker,
        Err(refusal) => return refusal,
    };
    match revoke_one(&state, &caretaker, &id).await {
        Ok(Some(owner)) => {
            state.doors.registry.revoke_id(Door::Session, &owner, &id);
            caretaker.note("session", &owner, &id, 1);
            HttpResponse::NoContent().finish()
        }
        Ok(None) => refuse(StatusCode::NOT_FOUND, "no such session"),
        Err(error) => unavailable(&error),
    }
}

/// Whose session it was.
async fn revoke_one(
    state: &PagesState,
    caretaker: &Caretaker<'_>,
    id: &str,
) -> Result<Option<Username>, StoreError> {
    let (store, me) = (&state.doors.store, caretaker.identity.user());
    if store.delete_session_by_id(me, id).await? {
        return Ok(Some(me.clone()));
    }
    if !caretaker.is_admin() {
        return Ok(None);
    }
    let found = store.all_sessions().await?.into_iter().find(|record| record.id == id);
    let Some(owner) = found.and_then(|record| record.user) else { return Ok(None) };
    Ok(store.delete_session_by_id(&owner, id).await?.then_some(owner))
}

/// Ends all browser sessions of one person.
pub(super) async fn revoke_all(
    context: PageContext,
    whose: web::Query<Whose>,
    state: web::Data<PagesState>,
) -> HttpResponse {
    let caretaker = match Caretaker::of(&context, &state) {
        Ok(caretaker) => caretaker,
        Err(refusal) => return refusal,
    };
    let user = match caretaker.named(&whose) {
        Ok(user) => user,
        Err(refusal) => return refusal,
    };
    match state.doors.store.delete_sessions_of(&user).await {
        Ok(count) => {
            state.doors.registry.revoke_door(Door::Session, &user);
            caretaker.note("all sessions", &user, "", count);
            revoked(count)
        }
        Err(error) => unavailable(&error),
    }
}

fn session_json(record: &SessionRecord) -> Value {
    json!({
        "id": record.id,
        "user": record.user,
        "address": record.address,
        "created": iso(record.created),
        "last_seen": iso(record.last_seen),
        "expires": iso(record.expires),
    })
}

//! Browser sessions over the API: a person's own, and everybody's for administrators. See [`super::caretaker`].

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use crate::domain::Door;
use crate::pages::api::answer_json;
use crate::pages::app::PagesState;
use crate::pages::caretaker::{self, Belonging, Caretaker, Which, Whose, last_use, unavailable};
use crate::pages::context::PageContext;
use crate::pages::moments::iso;
use crate::store::SessionRecord;

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
    caretaker::revoke(Belonging::Session, &context, &state, &id).await
}

/// Ends all browser sessions of one person.
pub(super) async fn revoke_all(
    context: PageContext,
    whose: web::Query<Whose>,
    state: web::Data<PagesState>,
) -> HttpResponse {
    caretaker::revoke_all(Belonging::Session, &context, &state, &whose).await
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

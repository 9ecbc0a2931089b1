//! `healthz` and `readyz`: for machines, without login and without details.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use serde_json::json;

use crate::pages::app::PagesState;
use crate::pages::context::PageContext;
use crate::pages::readiness::Report;

/// The gateway answers.
pub(super) async fn alive() -> HttpResponse {
    HttpResponse::Ok().insert_header(("content-type", "application/json")).body("{\"status\":\"ok\"}\n")
}

/// The gateway can do its work: engine, store, password checker and log, and it is not about to end. What is wrong in
/// detail stands in the server's log.
pub(super) async fn ready(state: web::Data<PagesState>, context: PageContext) -> HttpResponse {
    let Report { engine, store, login } = report(&state).await;
    let log = (state.log_is_well)();
    let ready = engine && store && login && log && !context.is_stopping;
    let word = |ok: bool| if ok { "ok" } else { "unavailable" };
    let body = json!({
        "status": if context.is_stopping { "stopping" } else if ready { "ok" } else { "unavailable" },
        "engine": word(engine),
        "store": word(store),
        "login": word(login),
        "log": word(log),
    });
    let mut response = if ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.insert_header(("content-type", "application/json")).body(format!("{body}\n"))
}

/// What works, as of the last second.
pub(super) async fn report(state: &web::Data<PagesState>) -> Report {
    let for_check = Arc::clone(state);
    state.readiness.report(|| check(for_check)).await
}

async fn check(state: Arc<PagesState>) -> Report {
    let (engine, store, login) = tokio::join!(
        (state.engine)(),
        state.doors.store.ping(),
        state.doors.conversations.authenticator().ping(),
    );
    if let Err(error) = &engine {
        tracing::warn!(%error, "not ready: engine");
    }
    if let Err(error) = &store {
        tracing::warn!(%error, "not ready: store");
    }
    if let Err(error) = &login {
        tracing::warn!(%error, "not ready: login");
    }
    Report { engine: engine.is_ok(), store: store.is_ok(), login: login.is_ok() }
}

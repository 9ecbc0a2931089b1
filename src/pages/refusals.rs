//! What is said when something cannot be had: to programs in the engine's own shape, to people as a page.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, RETRY_AFTER};
use serde_json::json;

use crate::pages::moments::span;
use crate::pages::views::{ErrorPage, ForeignLinkPage, Template};

/// Largest body that our own pages and API take.
pub const MOST_BODY_BYTES: usize = 64 * 1024;

/// The body of an error to a program, exactly as the engine writes it.
#[must_use]
pub fn message(text: &str) -> String {
    format!("{}\n", json!({ "message": text }))
}

/// What is said after too many failures, to everybody and of every name alike.
#[must_use]
pub fn too_many_failures(wait: Duration) -> String {
    format!("too many failed logins: try again in {}", span(wait.as_secs().max(1)))
}

/// The page for an error.
#[must_use]
pub fn error_page(status: u16, request_id: &str) -> String {
    render(&ErrorPage::standard(status, request_id))
}

/// The page for a browser that a link of another site brought to `path` (path and query, as parsed from the request).
#[must_use]
pub fn link_page(path: &str, request_id: &str) -> String {
    render(&ForeignLinkPage { path, request_id })
}

/// An error to a program. `Content-Type` has no charset: the docker CLI prints raw JSON otherwise.
pub(super) fn refuse(status: StatusCode, text: &str) -> HttpResponse {
    HttpResponse::build(status).insert_header((CONTENT_TYPE, "application/json")).body(message(text))
}

/// The same, with a time to come back.
pub(super) fn later(status: StatusCode, text: &str, seconds: u64) -> HttpResponse {
    let mut response = refuse(status, text);
    response.headers_mut().insert(RETRY_AFTER, seconds.into());
    response
}

/// A page.
pub(super) fn page(status: StatusCode, view: &impl Template) -> HttpResponse {
    HttpResponse::build(status).insert_header((CONTENT_TYPE, "text/html; charset=utf-8")).body(render(view))
}

/// Rendering fails only if memory does; a plain sentence is then better than nothing.
fn render(view: &impl Template) -> String {
    view.render().unwrap_or_else(|_| "Something went wrong.".to_owned())
}

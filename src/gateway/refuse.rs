//! The gateway's own refusals: to programs in the engine's shape, to browsers as pages or a way to the login.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::BodyExt;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::gateway::body::GatewayBody;
use crate::gateway::entry::Facts;
use crate::pages;
use crate::policy::Target;
use crate::proxy::{ForwardError, Incoming, with_causes};

/// Longest that a refused upload is read on, so that its sender gets to read why.
const DRAIN: Duration = Duration::from_secs(30);

/// `next=` carries a path as one value.
const QUERY_VALUE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A browser that goes to a page, as opposed to a script, a program, or an upgrade: only that one is shown pages.
pub(super) fn is_navigation(method: &Method, headers: &HeaderMap) -> bool {
    let accepts_html = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    (method == Method::GET || method == Method::HEAD)
        && accepts_html
        && !headers.contains_key(header::UPGRADE)
}

/// An error, in the shape that its reader understands.
pub(super) fn error(
    status: StatusCode,
    text: &str,
    request_id: &str,
    for_browser: bool,
) -> Response<GatewayBody> {
    let body =
        if for_browser { pages::error_page(status.as_u16(), request_id) } else { pages::message(text) };
    let mut response = Response::new(GatewayBody::from(Bytes::from(body)));
    *response.status_mut() = status;
    let kind = if for_browser { "text/html; charset=utf-8" } else { "application/json" };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::try_from(request_id) {
        headers.insert("x-request-id", id);
    }
    response
}

/// 429: too many failures before. It tells neither whose nor which.
pub(super) fn throttled(wait: Duration, facts: &Facts) -> Response<GatewayBody> {
    let text = pages::too_many_failures(wait);
    let mut response = error(StatusCode::TOO_MANY_REQUESTS, &text, &facts.id.text(), facts.for_browser);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
    response
}

/// 401 with the ways to come in; for a browser on its way to a page, the way to the login and back.
pub(super) fn unauthorized(
    target: &Target,
    headers: &HeaderMap,
    text: &str,
    request_id: &str,
    for_browser: bool,
    api_version: Option<HeaderValue>,
) -> Response<GatewayBody> {
    if for_browser {
        return to_login(target);
    }
    let mut response = error(StatusCode::UNAUTHORIZED, text, request_id, false);
    let challenges = response.headers_mut();
    challenges.append(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"doorward\""));
    // Browsers answer a Basic challenge with a password window over the engine's page; programs want to know.
    if !headers.contains_key("sec-fetch-mode") && !headers.contains_key(header::ORIGIN) {
        challenges.append(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Basic realm=\"doorward\", charset=\"UTF-8\""),
        );
    }
    // Clients choose their protocol version by it, even when they are refused.
    if let Some(version) = api_version {
        challenges.insert("api-version", version);
    }
    response
}

fn to_login(target: &Target) -> Response<GatewayBody> {
    let next = utf8_percent_encode(target.forwarded().as_str(), QUERY_VALUE);
    let mut response = Response::new(GatewayBody::from(Bytes::new()));
    *response.status_mut() = StatusCode::SEE_OTHER;
    if let Ok(location) = HeaderValue::try_from(format!("/_doorward/login?next={next}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Reads a refused upload on for a while: closing with unread input would reset the connection, and the sender would
/// see "connection reset" in place of our words. A client that waits for `100 Continue` sends nothing, and gets none.
pub(super) fn drain(incoming: &mut Incoming) {
    let Some(mut body) = incoming.body.take() else { return };
    if incoming.parts.headers.contains_key(header::EXPECT) || http_body::Body::is_end_stream(&body) {
        return;
    }
    tokio::task::spawn_local(async move {
        let drained = async { while let Some(Ok(_)) = body.frame().await {} };
        let _ = tokio::time::timeout(DRAIN, drained).await;
    });
}

/// Why there is no answer, with all causes, for the log.
pub(super) fn failure_reason(failure: &ForwardError) -> Cow<'static, str> {
    Cow::Owned(with_causes(failure))
}

/// Clients hear that it failed, the log says why.
pub(super) fn failed(failure: &ForwardError, facts: &Facts) -> Response<GatewayBody> {
    match failure {
        ForwardError::Cut => {
            error(StatusCode::UNAUTHORIZED, "the login has ended", &facts.id.text(), facts.for_browser)
        }
        ForwardError::Engine(_) => error(
            StatusCode::BAD_GATEWAY,
            "the engine cannot be reached",
            &facts.id.text(),
            facts.for_browser,
        ),
        ForwardError::BadBody(_) => {
            let text = "the body of the request is broken";
            let mut refusal = error(StatusCode::BAD_REQUEST, text, &facts.id.text(), facts.for_browser);
            refusal.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            refusal
        }
        ForwardError::NoAnswer(_) | ForwardError::Unasked => {
            error(StatusCode::BAD_GATEWAY, "the engine did not answer", &facts.id.text(), facts.for_browser)
        }
    }
}

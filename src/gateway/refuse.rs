//! The gateway's own refusals: to programs in the engine's shape, to browsers as pages or a way to the login.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::gateway::body::GatewayBody;
use crate::gateway::entry::Facts;
use crate::pages;
use crate::policy::{Denied, Target};
use crate::proxy::{ForwardError, Incoming, with_causes};
use crate::streams::drain as drain_body;

/// `next=` carries a path as one value.
const QUERY_VALUE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Methods that pass to an engine.
const ALLOWED: HeaderValue = HeaderValue::from_static("DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT");

/// An error, in the shape that its reader understands.
pub(super) fn error(
    status: StatusCode,
    text: &str,
    request_id: &str,
    for_browser: bool,
) -> Response<GatewayBody> {
    if for_browser {
        let page = pages::error_page(status.as_u16(), request_id);
        return whole(status, "text/html; charset=utf-8", page, request_id);
    }
    whole(status, "application/json", pages::message(text), request_id)
}

fn whole(status: StatusCode, kind: &'static str, body: String, request_id: &str) -> Response<GatewayBody> {
    let mut response = Response::new(GatewayBody::from(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Ok(id) = HeaderValue::try_from(request_id) {
        headers.insert("x-request-id", id);
    }
    response
}

/// A request that was refused before anybody looked at who sent it.
pub(super) fn malformed(status: StatusCode, text: &str, facts: &Facts) -> Response<GatewayBody> {
    let mut refusal = error(status, text, &facts.id.text(), facts.for_browser);
    // What follows on this connection may be read in two ways.
    refusal.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        // RFC 9110 section 15.5.6 demands it.
        refusal.headers_mut().insert(header::ALLOW, ALLOWED);
    }
    refusal
}

/// 403 by policy. Who came by a link of another site is shown where it leads (`path`), and may go on from here.
pub(super) fn denied(reason: &Denied, path: Option<&PathAndQuery>, facts: &Facts) -> Response<GatewayBody> {
    match path.filter(|_| matches!(reason, Denied::ForeignReading(_)) && facts.fetch.is_window()) {
        Some(path) => {
            let page = pages::link_page(path.as_str(), &facts.id.text());
            whole(StatusCode::FORBIDDEN, "text/html; charset=utf-8", page, &facts.id.text())
        }
        None => error(StatusCode::FORBIDDEN, &reason.to_string(), &facts.id.text(), facts.for_browser),
    }
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
    // A query of which we do not hold all is no way back.
    let path = if target.rest().is_some() { target.path() } else { target.forwarded().as_str() };
    let next = utf8_percent_encode(path, QUERY_VALUE);
    let mut response = Response::new(GatewayBody::from(Bytes::new()));
    *response.status_mut() = StatusCode::SEE_OTHER;
    if let Ok(location) = HeaderValue::try_from(format!("/_doorward/login?next={next}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// Reads a refused upload on for a while: closing with unread input would reset the connection, and the sender would
/// see "connection reset" in place of our words. A client that waits for `100 Continue` sends nothing, and gets none.
pub(super) fn drain(incoming: &mut Incoming) {
    let Some(body) = incoming.body.take() else { return };
    if incoming.parts.headers.contains_key(header::EXPECT) || http_body::Body::is_end_stream(&body) {
        return;
    }
    drain_body(body);
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

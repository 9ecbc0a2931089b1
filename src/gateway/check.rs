//! What a request must be before anybody looks at who sent it.

use std::sync::Arc;

use http::request::Parts;
use http::{Method, Request, StatusCode, Version};
use http_body::Body;

use crate::domain::ClientCertificate;
use crate::domain::hijack::is_hijack;
use crate::gateway::hop::check_hop;
use crate::gateway::host::check_host;
use crate::listener::{BadHead, Connection, Forwarded, Malformed, Proto, TrustedProxies};
use crate::policy::{FetchMetadata, Target};
use crate::token::{self, Token};

const TOKEN_IN_ADDRESS: &str =
    "a token must not stand in the address: send it as Authorization: Bearer, and revoke this one";

/// Compares an HTTP/1 request with the bytes that it was read from; see [`crate::listener::HeadLog::check`].
pub(super) fn check_framing<B: Body>(
    connection: &Connection,
    request: &Request<B>,
) -> Result<Option<String>, BadHead> {
    if connection.is_http2 {
        return Ok(None);
    }
    let has_body = !request.body().is_end_stream();
    connection.head_log.check(request.method(), request.uri(), request.headers(), has_body)
}

/// Refuses a request whose head was not read to its end: of such a one nothing else counts.
///
/// # Errors
/// The status and the sentence to refuse it with.
pub(super) fn check_size(framing: &Result<Option<String>, BadHead>) -> Result<(), (StatusCode, String)> {
    match framing {
        Err(large @ (BadHead::TooLarge(_) | BadHead::NoRoom)) => {
            Err((StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, large.to_string()))
        }
        _ => Ok(()),
    }
}

/// Refuses what could be read in two ways, and gives the target in its one meaning. `framing` is what
/// [`check_framing`] said.
///
/// # Errors
/// The status and the sentence to refuse it with.
pub(super) fn check(
    request: &Parts,
    framing: Result<Option<String>, BadHead>,
    fetch: &FetchMetadata,
) -> Result<Target, (StatusCode, String)> {
    let bad = |text: &str| (StatusCode::BAD_REQUEST, text.to_owned());
    let method = &request.method;
    if method == Method::CONNECT || method == Method::TRACE {
        return Err((StatusCode::METHOD_NOT_ALLOWED, format!("the method {method} is not allowed here")));
    }
    if !method.as_str().bytes().all(|b| b.is_ascii_uppercase() || b == b'-') {
        return Err(bad("the method must be written in capital letters"));
    }
    check_host(request)?;
    // Queries stand in the histories and logs of everybody on the way: a token there is a token lost.
    if request.uri.query().is_some_and(holds_token) {
        return Err(bad(TOKEN_IN_ADDRESS));
    }
    let is_http2 = request.version == Version::HTTP_2;
    let target = Target::parse(&request.uri, is_http2).map_err(|invalid| bad(&invalid.to_string()))?;
    let rest = framing.map_err(|framing| bad(&framing.to_string()))?;
    let target = match rest {
        None => target,
        Some(rest) => long(request, target, rest)?,
    };
    check_hop(request, &target)?;
    check_worker(fetch, target.is_own())?;
    Ok(target)
}

/// A target of which the library knows the beginning only: nothing but an engine's query may be so long.
fn long(request: &Parts, target: Target, rest: String) -> Result<Target, (StatusCode, String)> {
    let query = request.uri.query().map(|query| format!("{query}{rest}"));
    let Some(query) = query.filter(|_| !target.is_own() && !is_hijack(&request.method, target.path())) else {
        let text = "the request's address is too long: only a query may be longer than 60 KiB";
        return Err((StatusCode::URI_TOO_LONG, text.to_owned()));
    };
    if holds_token(&query) {
        return Err((StatusCode::BAD_REQUEST, TOKEN_IN_ADDRESS.to_owned()));
    }
    Ok(target.with_rest(rest))
}

/// A service worker stands between the browser and every page of its origin, ours among them, also after a sign-out. So no
/// script of one is given out, whoever asks, and none is helped to read our pages. Other workers end with the page that
/// made them, and could do no more than that page.
fn check_worker(fetch: &FetchMetadata, is_own: bool) -> Result<(), (StatusCode, String)> {
    let refused = |text: &str| Err((StatusCode::FORBIDDEN, text.to_owned()));
    if fetch.is_service_worker() {
        return refused("service workers are not served here");
    }
    if is_own && fetch.is_navigation_preload() {
        return refused("these pages are not given to service workers");
    }
    Ok(())
}

/// The client's certificate: the one that a believed terminator passes on, or the connection's own.
///
/// # Errors
/// What the terminator passes on cannot be read. Such a request is refused, not taken for one without a certificate:
/// another door would open to whoever was meant by it.
pub(super) fn certificate(
    trusted: &TrustedProxies,
    connection: &Connection,
    request: &Parts,
    forwarded: &Forwarded,
) -> Result<Option<Arc<ClientCertificate>>, Malformed> {
    if connection.is_inner {
        return Ok(connection.certificate.clone());
    }
    let Some(passed_on) = trusted.certificate(connection.peer, &request.headers)? else {
        return Ok(connection.certificate.clone());
    };
    if forwarded.proto == Some(Proto::Http) {
        return Err(Malformed::InTheClear);
    }
    Ok(Some(Arc::new(passed_on)))
}

fn holds_token(query: &str) -> bool {
    query.match_indices(token::PREFIX).any(|(start, _)| {
        let rest = query.get(start..).unwrap_or_default();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        rest.get(..end).is_some_and(|text| Token::parse(text).is_ok())
    })
}

#[cfg(test)]
mod tests {
    use super::holds_token;
    use crate::token::Token;

    #[test]
    fn k1_a_token_in_the_query_is_noticed_and_what_only_looks_like_one_is_not() {
        let token = Token::generate().unwrap();
        assert!(holds_token(&format!("a=1&token={}&b", token.expose())));
        assert!(holds_token(token.expose()));
        assert!(!holds_token("name=dwt_something&all=1"));
    }
}

//! Same-origin proof for requests that a browser authenticates on its own (by cookie).
//!
//! A bearer token or a typed Basic header is put there by the caller; a cookie is sent by the browser whoever made
//! the page. So a cookie proves who, but not that they meant it.

use http::{HeaderMap, HeaderName, Method, header};
use thiserror::Error;

use crate::policy::fetch::FetchMetadata;

/// Fetch metadata: how the page that made a request stands to us (W3C Fetch Metadata, section 2.3).
static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// A cookie request that changes state, or an upgrade, without proof that this site's own page made it.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("the request came from another site, or did not say from where")]
pub struct ForeignOrigin;

/// Passes safe methods; for everything else, and for every upgrade, asks for Fetch metadata (`Sec-Fetch-Site`) or,
/// from browsers without it, an `Origin` that names `authority` over https.
///
/// # Errors
/// [`ForeignOrigin`] if neither header gives the proof.
pub fn check_same_origin(
    method: &Method,
    headers: &HeaderMap,
    authority: Option<&str>,
) -> Result<(), ForeignOrigin> {
    let is_upgrade = headers.contains_key(header::UPGRADE);
    let twice = |name: &HeaderName| headers.get_all(name).iter().count() > 1;
    if twice(&header::ORIGIN) || twice(&SEC_FETCH_SITE) {
        return Err(ForeignOrigin);
    }
    if method.is_safe() && !is_upgrade {
        return Ok(());
    }
    // Sec-Fetch-Site is a forbidden header name: no script can set it. "none" is a person typing or a bookmark.
    // WebSocket handshakes carry it too in current browsers, yet Origin is checked beside it when present.
    let origin = headers.get(header::ORIGIN).map(|value| value.as_bytes());
    match headers.get(&SEC_FETCH_SITE).map(|value| value.as_bytes()) {
        Some(b"same-origin") => match origin {
            Some(origin) if !is_this_site(origin, authority) => Err(ForeignOrigin),
            _ => Ok(()),
        },
        Some(b"none") if !is_upgrade && origin.is_none_or(|origin| is_this_site(origin, authority)) => Ok(()),
        Some(_) => Err(ForeignOrigin),
        None if origin.is_some_and(|origin| is_this_site(origin, authority)) => Ok(()),
        None => Err(ForeignOrigin),
    }
}

/// Whether a browser made this request: programs send neither header. Older browsers, and some for WebSockets, send only
/// `Origin`. What a browser adds by itself, be it a cookie or a password that it was once told, does not prove intent.
#[must_use]
pub fn is_by_browser(headers: &HeaderMap) -> bool {
    headers.contains_key(&SEC_FETCH_SITE) || headers.contains_key(header::ORIGIN)
}

/// A page of another origin makes the browser read what its visitor may read.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("a page of another site made the browser ask for this")]
pub struct ForeignReading;

/// Refuses what a page of another origin makes a browser ask for, changing or not: a container's output would be shown
/// as if this site had written it, and times and sizes tell about what cannot be read. Where the engine has pages
/// (`--engine-ui`), links from elsewhere lead to them; frames and parts of pages are refused all the same.
///
/// Browsers without Fetch metadata say nothing of links. They are told by the answer's headers not to show it.
///
/// # Errors
/// [`ForeignReading`].
pub(super) fn check_foreign_reading(
    fetch: &FetchMetadata,
    headers: &HeaderMap,
    authority: Option<&str>,
    engine_ui: bool,
) -> Result<(), ForeignReading> {
    let is_own =
        || headers.get(header::ORIGIN).is_some_and(|origin| is_this_site(origin.as_bytes(), authority));
    let is_foreign = fetch.is_foreign(fetch.has_origin() && is_own());
    if is_foreign && !(engine_ui && fetch.is_window()) { Err(ForeignReading) } else { Ok(()) }
}

fn is_this_site(origin: &[u8], authority: Option<&str>) -> bool {
    let Some(authority) = authority else { return false };
    let Some(host) = std::str::from_utf8(origin).ok().and_then(|text| text.strip_prefix("https://")) else {
        return false;
    };
    host.eq_ignore_ascii_case(authority.strip_suffix(":443").unwrap_or(authority))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, Method};

    use super::check_same_origin;

    fn allowed(method: &Method, pairs: &[(&'static str, &'static str)]) -> bool {
        let headers: HeaderMap = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        check_same_origin(method, &headers, Some("gate.example:8100")).is_ok()
    }

    #[test]
    fn s5_a_cookie_request_that_changes_state_needs_a_same_origin_proof() {
        assert!(allowed(&Method::POST, &[("sec-fetch-site", "same-origin")]));
        assert!(allowed(&Method::POST, &[("origin", "https://gate.example:8100")]));
        for pairs in [
            &[][..],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[("origin", "https://evil.example")],
            &[("origin", "http://gate.example:8100")],
            &[("origin", "https://gate.example")],
            &[("origin", "null")],
            &[("sec-fetch-site", "cross-site"), ("origin", "https://gate.example:8100")],
            &[("sec-fetch-site", "same-origin"), ("origin", "https://evil.example")],
        ] {
            assert!(!allowed(&Method::POST, pairs), "{pairs:?}");
            assert!(!allowed(&Method::DELETE, pairs), "{pairs:?}");
        }
    }

    #[test]
    fn s6_an_upgrade_with_a_cookie_needs_the_proof_even_as_get() {
        assert!(allowed(&Method::GET, &[]));
        assert!(!allowed(&Method::GET, &[("upgrade", "websocket")]));
        assert!(!allowed(&Method::GET, &[("upgrade", "websocket"), ("origin", "https://evil.example")]));
        assert!(!allowed(&Method::GET, &[("upgrade", "tcp"), ("sec-fetch-site", "none")]));
        assert!(allowed(&Method::GET, &[("upgrade", "websocket"), ("origin", "https://gate.example:8100")]));
    }

    #[test]
    fn s5_a_second_origin_is_never_overlooked() {
        let mut headers = HeaderMap::new();
        headers.append("origin", "https://gate.example:8100".parse().unwrap());
        headers.append("origin", "https://evil.example".parse().unwrap());
        assert!(check_same_origin(&Method::POST, &headers, Some("gate.example:8100")).is_err());
    }

    #[test]
    fn the_default_port_may_be_left_out_of_origin() {
        let mut headers = HeaderMap::new();
        headers.insert("origin", "https://gate.example".parse().unwrap());
        assert!(check_same_origin(&Method::POST, &headers, Some("gate.example:443")).is_ok());
    }
}

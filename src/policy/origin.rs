//! Same-origin proof for requests that a browser authenticates on its own (by cookie).
//!
//! A bearer token or a typed Basic header is put there by the caller; a cookie is sent by the browser whoever made
//! the page. So a cookie proves who, but not that they meant it.

use http::{HeaderMap, HeaderName, Method, header};
use thiserror::Error;

use crate::domain::authority::has_port;
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

/// The same for the forms of our own pages, which carry a secret besides. The browser's own word that it is this site, which
/// it judges by the address that it sees, is enough where a terminator has it say no more: `Referrer-Policy: no-referrer`
/// makes the origin of a form `null` (Fetch, section 3.1), and some leave the port out of `Host`. A sandboxed page, whose
/// origin is `null` too, is never the same origin as anything.
///
/// # Errors
/// [`ForeignOrigin`].
pub fn check_own_form(
    method: &Method,
    headers: &HeaderMap,
    authority: Option<&str>,
) -> Result<(), ForeignOrigin> {
    let only = |name: &HeaderName| {
        let mut values = headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none()).map(|value| value.as_bytes())
    };
    let is_told = only(&SEC_FETCH_SITE) == Some(b"same-origin") && !headers.contains_key(header::UPGRADE);
    let origin = only(&header::ORIGIN).filter(|_| is_told);
    match origin {
        Some(b"null") => Ok(()),
        Some(origin) if is_but_for_the_port(origin, authority) => Ok(()),
        _ => check_same_origin(method, headers, authority),
    }
}

/// Whether an origin with a port is this site, whose host came without one.
fn is_but_for_the_port(origin: &[u8], authority: Option<&str>) -> bool {
    let site = std::str::from_utf8(origin).ok().and_then(|text| text.rsplit_once(':'));
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit());
    authority.is_some_and(|authority| !has_port(authority))
        && site.is_some_and(|(site, port)| is_port(port) && is_this_site(site.as_bytes(), authority))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, Method};

    use super::{check_own_form, check_same_origin};

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
    fn w9_what_a_terminator_takes_away_is_no_other_site_where_the_browser_says_that_it_is_this_one() {
        let told = |origin: &'static str, host: &str, more: &[(&'static str, &'static str)]| {
            let pairs = [&[("sec-fetch-site", "same-origin"), ("origin", origin)], more].concat();
            let headers: HeaderMap = pairs
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
                .collect();
            check_own_form(&Method::POST, &headers, Some(host)).is_ok()
        };
        assert!(told("null", "gate.example:8100", &[]));
        assert!(told("https://gate.example:8443", "gate.example", &[]));
        assert!(told("https://[2001:db8::1]:8443", "[2001:db8::1]", &[]));
        for (origin, host) in [
            ("https://gate.example:8443", "gate.example:8100"),
            ("https://evil.example:8443", "gate.example"),
            ("https://gate.example:", "gate.example"),
            ("https://gate.example:x", "gate.example"),
            ("https://gate.example:1:2", "gate.example"),
            ("http://gate.example:8443", "gate.example"),
            ("https://[2001:db8::1]", "[2001:db8:]"),
            ("NULL", "gate.example"),
        ] {
            assert!(!told(origin, host, &[]), "{origin} {host}");
        }
        for origin in ["null", "https://gate.example:8443"] {
            assert!(!told(origin, "gate.example", &[("upgrade", "websocket")]), "{origin}");
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

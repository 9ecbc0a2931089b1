//! Which host a request is for.

use http::request::Parts;
use http::{HeaderValue, StatusCode, Version, header};

use crate::domain::authority::is_authority;
use crate::domain::hop::values;

/// One host, named once (RFC 9112 section 3.2). An empty one is fine: BuildKit sends it.
pub(super) fn check_host(request: &Parts) -> Result<(), (StatusCode, String)> {
    let bad = |text: &str| (StatusCode::BAD_REQUEST, text.to_owned());
    let odd = || Err(bad("the request's host holds a character that is not allowed"));
    let mut hosts = values(&request.headers, &header::HOST);
    match (hosts.next(), hosts.next(), request.uri.authority()) {
        (Some(_), Some(_), _) => Err(bad("the request names its host twice")),
        (Some(host), None, Some(authority))
            if !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()) =>
        {
            Err(bad("the Host header and the request target name different hosts"))
        }
        (None, _, None) if request.version == Version::HTTP_11 => Err(bad("the request names no host")),
        (Some(host), None, _) if !is_authority(host.as_bytes()) => odd(),
        (None, _, Some(authority)) if !is_authority(authority.as_str().as_bytes()) => odd(),
        _ => Ok(()),
    }
}

/// The host that the request itself names. Over HTTP/2 it is `:authority`, else `Host` (RFC 9113 section 8.3.1).
pub(super) fn named_host(request: &Parts) -> Option<HeaderValue> {
    let authority = request.uri.authority().filter(|_| request.version == Version::HTTP_2);
    match authority {
        Some(authority) => HeaderValue::try_from(authority.as_str()).ok(),
        None => values(&request.headers, &header::HOST).next().cloned(),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::check_host;

    #[test]
    fn p5_an_authority_is_held_to_the_same_rule_as_the_header() {
        let request = |uri: &str| {
            let request = Request::builder().version(http::Version::HTTP_2).uri(uri).body(()).unwrap();
            request.into_parts().0
        };
        assert!(check_host(&request("https://gate.example/x")).is_ok());
        assert!(check_host(&request("https://user@gate.example/x")).is_err());
    }
}

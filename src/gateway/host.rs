//! Which host a request is for.

use http::request::Parts;
use http::{StatusCode, Version, header};

/// One host, named once (RFC 9112 section 3.2). An empty one is fine: BuildKit sends it.
pub(super) fn check_host(request: &Parts) -> Result<(), (StatusCode, String)> {
    let bad = |text: &str| (StatusCode::BAD_REQUEST, text.to_owned());
    let odd = || Err(bad("the request's host holds a character that is not allowed"));
    let mut hosts = request.headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next(), request.uri.authority()) {
        (Some(_), Some(_), _) => Err(bad("the request names its host twice")),
        (Some(host), None, Some(authority))
            if !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()) =>
        {
            Err(bad("the Host header and the request target name different hosts"))
        }
        (None, _, None) if request.version == Version::HTTP_11 => Err(bad("the request names no host")),
        (Some(host), None, _) if !is_host(host.as_bytes()) => odd(),
        (None, _, Some(authority)) if !is_host(authority.as_str().as_bytes()) => odd(),
        _ => Ok(()),
    }
}

/// A name or an address, and perhaps a port. No user: the engine and its pages may build links from it.
fn is_host(host: &[u8]) -> bool {
    // A plain name, as nearly all are, needs no closer look.
    let name = host
        .iter()
        .position(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-')))
        .unwrap_or(host.len());
    if let Some([] | [b':']) | Some([b':', b'0'..=b'9', ..]) = host.get(name..)
        && host.iter().skip(name + 1).all(u8::is_ascii_digit)
    {
        return true;
    }
    // Clients of socket files write the file's path here, escaped; the zone of an IPv6 address stands behind a '%'
    // (RFC 6874). Nobody escapes a control character for a good purpose.
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'~' | b'%');
    let is_address = |b: &u8| is_name(b) || *b == b':';
    let is_whole = |rest: &[u8]| rest.len() >= 2 && rest.iter().take(2).all(u8::is_ascii_hexdigit);
    if !host.split(|b| *b == b'%').skip(1).all(is_whole)
        || percent_encoding::percent_decode(host).any(|b| b.is_ascii_control())
    {
        return false;
    }
    let length = match host.strip_prefix(b"[") {
        Some(rest) => match rest.iter().position(|b| !is_address(b)) {
            Some(end) if rest.get(end) == Some(&b']') => end + 2,
            _ => return false,
        },
        None => host.iter().position(|b| !is_name(b)).unwrap_or(host.len()),
    };
    match host.get(length..) {
        Some([b':', port @ ..]) => port.iter().all(u8::is_ascii_digit),
        rest => rest.is_some_and(<[u8]>::is_empty),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::{check_host, is_host};

    #[test]
    fn r5_a_host_is_a_name_or_an_address_and_a_port() {
        for host in [
            "",
            "gate",
            "my_host",
            "gate.example:8100",
            "127.0.0.1:1",
            "[::1]",
            "[fe80::1%25eth0]:80",
            "a:",
            "%2Fvar%2Frun%2Fdocker.sock",
        ] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in [
            "a%0d%0aSet-Cookie:x",
            "a b",
            "a/b",
            "u@a",
            "a:1:2",
            "a:x",
            "[::1",
            "[::1]x",
            "::1",
            "a\r\nb",
            "ä",
        ] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }

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

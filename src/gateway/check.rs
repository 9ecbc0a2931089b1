//! What a request must be before anybody looks at who sent it: one meaning, one host, one length.

use http::{Method, Request, StatusCode, Version, header};
use hyper::body::Incoming;

use crate::listener::{Connection, check_framing};
use crate::policy::Target;

/// The request's target, if the request has one meaning.
///
/// # Errors
/// The status and the words to refuse it with.
pub(super) fn check(
    connection: &Connection,
    request: &Request<Incoming>,
) -> Result<Target, (StatusCode, String)> {
    let bad = |text: &str| (StatusCode::BAD_REQUEST, text.to_owned());
    let method = request.method();
    if method == Method::CONNECT || method == Method::TRACE {
        return Err((StatusCode::METHOD_NOT_ALLOWED, format!("the method {method} is not allowed here")));
    }
    if !method.as_str().bytes().all(|b| b.is_ascii_uppercase() || b == b'-') {
        return Err(bad("the method must be written in capital letters"));
    }
    check_host(request)?;
    if !connection.is_http2 {
        let framing = connection
            .head_log
            .with(|read| check_framing(request.method(), request.uri(), request.headers(), read));
        connection.head_log.forget();
        framing.map_err(|framing| bad(&framing.to_string()))?;
    }
    let is_http2 = request.version() == Version::HTTP_2;
    Target::parse(request.uri(), is_http2).map_err(|invalid| bad(&invalid.to_string()))
}

/// One host, named once (RFC 9112 section 3.2). An empty one is fine: BuildKit sends it.
fn check_host(request: &Request<Incoming>) -> Result<(), (StatusCode, String)> {
    let bad = |text: &str| (StatusCode::BAD_REQUEST, text.to_owned());
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next(), request.uri().authority()) {
        (Some(_), Some(_), _) => Err(bad("the request names its host twice")),
        (Some(host), None, Some(authority))
            if !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()) =>
        {
            Err(bad("the Host header and the request target name different hosts"))
        }
        (None, _, None) if request.version() == Version::HTTP_11 => Err(bad("the request names no host")),
        (Some(host), None, _) if !is_host(host.as_bytes()) => {
            Err(bad("the Host header holds a character that is not allowed"))
        }
        _ => Ok(()),
    }
}

/// Clients of unix sockets and of scoped IPv6 addresses escape what stands in their host; nobody escapes a control
/// character for a good purpose.
fn is_host(host: &[u8]) -> bool {
    let escapes_are_whole = host
        .split(|b| *b == b'%')
        .skip(1)
        .all(|rest| rest.len() >= 2 && rest.iter().take(2).all(u8::is_ascii_hexdigit));
    host.iter().all(|b| is_host_byte(*b))
        && escapes_are_whole
        && !percent_encoding::percent_decode(host).any(|b| b.is_ascii_control())
}

const fn is_host_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']' | b'%' | b'~')
}

#[cfg(test)]
mod tests {
    use super::is_host;

    #[test]
    fn r5_a_host_holds_no_control_character_not_even_escaped() {
        for good in
            ["", "a", "gate.example:8100", "[::1]:80", "%2Fvar%2Frun%2Fdocker.sock", "[fe80::1%25eth0]"]
        {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in
            ["a%0d%0ab", "a%0Ab", "a%00", "a%7F", "a%", "a%2", "a%zz", "a b", "a/b", "a@b", "a\\b", "\u{fc}"]
        {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }
}

//! The host and port that a request is for: `Host`, `:authority`, `X-Forwarded-Host` (RFC 9110 section 7.2).

use memchr::memchr;

/// Longest authority: a host name has at most 253 characters, the escaped path of a socket file some more.
const MAX_BYTES: usize = 512;

/// Whether this is a name or an address, and perhaps a port; or nothing at all. No user: the engine and its pages may
/// build links from it.
#[must_use]
pub fn is_authority(host: &[u8]) -> bool {
    // A plain name, as nearly all are, needs no closer look.
    let (name, port) = host.split_at(memchr(b':', host).unwrap_or(host.len()));
    // No early end: so the compiler looks at many bytes at once.
    let is_name = name.iter().fold(true, |plain, b| {
        plain
            & (b.is_ascii_lowercase()
                | b.is_ascii_uppercase()
                | b.is_ascii_digit()
                | (*b == b'.')
                | (*b == b'-'))
    });
    if is_name && host.len() <= MAX_BYTES && port.iter().skip(1).all(u8::is_ascii_digit) {
        return true;
    }
    host.len() <= MAX_BYTES && split(host).is_some_and(|(_, port)| port.iter().all(u8::is_ascii_digit))
}

/// The host without its port; an IPv6 address without its brackets, a zone without its address. `None` if it is no
/// authority.
#[must_use]
pub fn host_of(authority: &[u8]) -> Option<&str> {
    if !is_authority(authority) {
        return None;
    }
    let host = std::str::from_utf8(split(authority)?.0).ok()?;
    let Some(address) = host.strip_prefix('[') else { return Some(host) };
    let address = address.strip_suffix(']')?;
    Some(address.split('%').next().unwrap_or(address))
}

/// Whether a host is followed by a port; the colons within brackets are an address's.
#[must_use]
pub fn has_port(authority: &str) -> bool {
    authority.rsplit(']').next().is_some_and(|rest| rest.contains(':'))
}

/// The host, and the port without its colon.
fn split(host: &[u8]) -> Option<(&[u8], &[u8])> {
    // Clients of socket files write the file's path here, escaped; the zone of an IPv6 address stands behind a '%'
    // (RFC 6874). Nobody escapes a control character for a good purpose.
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'~' | b'%');
    let is_address = |b: &u8| is_name(b) || *b == b':';
    let is_whole = |rest: &[u8]| rest.len() >= 2 && rest.iter().take(2).all(u8::is_ascii_hexdigit);
    if !host.split(|b| *b == b'%').skip(1).all(is_whole)
        || percent_encoding::percent_decode(host).any(|b| b.is_ascii_control())
    {
        return None;
    }
    let length = match host.strip_prefix(b"[") {
        Some(rest) => match rest.iter().position(|b| !is_address(b)) {
            Some(end) if rest.get(end) == Some(&b']') => end + 2,
            _ => return None,
        },
        None => host.iter().position(|b| !is_name(b)).unwrap_or(host.len()),
    };
    match (host.get(..length)?, host.get(length..)?) {
        (name, [b':', port @ ..]) => Some((name, port)),
        (name, []) => Some((name, &[])),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{host_of, is_authority};

    #[test]
    fn r5_a_host_is_a_name_or_an_address_and_a_port() {
        for (host, name) in [
            ("", ""),
            ("gate", "gate"),
            ("my_host", "my_host"),
            ("gate.example:8100", "gate.example"),
            ("127.0.0.1:1", "127.0.0.1"),
            ("[::1]", "::1"),
            ("[fe80::1%25eth0]:80", "fe80::1"),
            ("a:", "a"),
            ("%2Fvar%2Frun%2Fdocker.sock", "%2Fvar%2Frun%2Fdocker.sock"),
        ] {
            assert!(is_authority(host.as_bytes()), "{host}");
            assert_eq!(host_of(host.as_bytes()), Some(name));
        }
        let long = format!("{}.example", "a".repeat(600));
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
            "a%",
            "a%zz",
            "a,b",
            &long,
        ] {
            assert!(!is_authority(host.as_bytes()), "{host}");
            assert_eq!(host_of(host.as_bytes()), None);
        }
        assert!(!is_authority(b"\xff"));
    }
}

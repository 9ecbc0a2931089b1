//! Headers that belong to one hop (RFC 9110 section 7.6.1). Pure functions over header maps.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

/// RFC 9110 section 7.6.1, and the historical ones.
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// The `Upgrade` value, if the request truly asks for it: `Connection` must name it (RFC 9110 section 7.8).
#[must_use]
pub fn requested_upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let protocol = headers.get(header::UPGRADE)?;
    let names_upgrade = connection_tokens(headers).any(|token| token.eq_ignore_ascii_case(b"upgrade"));
    names_upgrade.then(|| protocol.clone())
}

/// Whether the sender wants the connection closed behind its message (RFC 9112 section 9.6).
#[must_use]
pub fn asks_close(headers: &HeaderMap) -> bool {
    headers.contains_key(header::CONNECTION)
        && connection_tokens(headers).any(|token| token.eq_ignore_ascii_case(b"close"))
}

/// Bytes and not text: an element that cannot be read must not hide the others.
fn connection_tokens(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let values = headers.get_all(header::CONNECTION).iter();
    values.flat_map(|value| value.as_bytes().split(|b| *b == b',')).map(<[u8]>::trim_ascii)
}

/// Deletes what belongs to this hop alone, and what `Connection` names.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    strip_named_by_connection(headers);
    strip_where(headers, is_hop_by_hop);
}

/// Deletes what `Connection` names.
pub fn strip_named_by_connection(headers: &mut HeaderMap) {
    if !headers.contains_key(header::CONNECTION) {
        return;
    }
    let named: Vec<HeaderName> =
        connection_tokens(headers).filter_map(|token| HeaderName::from_bytes(token).ok()).collect();
    for name in named {
        // `Content-Length` and `Host` are not the hop's to take away: a request would change its meaning.
        if name != header::CONTENT_LENGTH && name != header::HOST {
            headers.remove(name);
        }
    }
}

/// Whether a header belongs to one hop by its name.
#[must_use]
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    // Quick no for nearly all headers by their first letters: this runs for every header of every message.
    let name = name.as_str();
    let is_candidate = matches!(
        name.as_bytes(),
        [b'c', b'o', b'n', b'n', ..]
            | [b'k', b'e', ..]
            | [b'p', b'r', b'o', ..]
            | [b't', b'e']
            | [b't', b'r', b'a', ..]
            | [b'u', b'p', ..]
    );
    is_candidate && HOP_BY_HOP.contains(&name)
}

/// Deletes all headers of these names.
///
/// One pass over the names that are there is cheaper than a look-up for each name that might be.
pub fn strip_where(headers: &mut HeaderMap, is_doomed: impl Fn(&HeaderName) -> bool) {
    let mut doomed = SmallVec::<[HeaderName; 8]>::new();
    for name in headers.keys() {
        if is_doomed(name) {
            doomed.push(name.clone());
        }
    }
    if !doomed.is_empty() {
        for name in doomed {
            headers.remove(name);
        }
    }
}

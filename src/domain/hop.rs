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

/// All values of a header, in their order. To look through the few headers of a message is cheaper than to hash the name,
/// as the map's own look-up does; most messages are asked for many names that they do not have.
pub fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a HeaderValue> {
    headers.iter().filter(move |(known, _)| *known == name).map(|(_, value)| value)
}

/// Whether a message has a header; see [`values`].
#[must_use]
pub fn has(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers.keys().any(|known| known == name)
}

/// Whether the sender wants the connection closed behind its message (RFC 9112 section 9.6).
#[must_use]
pub fn asks_close(headers: &HeaderMap) -> bool {
    connection_tokens(headers).any(|token| token.eq_ignore_ascii_case(b"close"))
}

/// Bytes and not text: an element that cannot be read must not hide the others.
fn connection_tokens(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let values = values(headers, &header::CONNECTION);
    values.flat_map(|value| value.as_bytes().split(|b| *b == b',')).map(<[u8]>::trim_ascii)
}

/// Deletes what belongs to this hop alone, and what `Connection` names.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    strip_hop_and(headers, |_| false);
}

/// Deletes what belongs to this hop alone, what `Connection` names, and what else is doomed.
pub fn strip_hop_and(headers: &mut HeaderMap, is_doomed: impl Fn(&HeaderName) -> bool) {
    let mut has_connection = false;
    let mut doomed = SmallVec::<[HeaderName; 8]>::new();
    for name in headers.keys() {
        has_connection |= *name == header::CONNECTION;
        if is_hop_by_hop(name) || is_doomed(name) {
            doomed.push(name.clone());
        }
    }
    if has_connection {
        let named = connection_tokens(headers).filter_map(|token| HeaderName::from_bytes(token).ok());
        // `Content-Length` and `Host` are not the hop's to take away: a request would change its meaning.
        doomed.extend(named.filter(|name| *name != header::CONTENT_LENGTH && *name != header::HOST));
    }
    for name in doomed {
        headers.remove(name);
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

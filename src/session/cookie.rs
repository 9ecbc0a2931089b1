//! Our cookie on a request: found, refused when doubtful, decrypted, and taken out before the engine sees it.
//!
//! Browsers promise that a cookie whose name starts with `__Host-` was set by this very host over TLS. The promise is
//! about the exact bytes. A sibling site can plant ` __Host-…` with a Unicode space or `%5F_Host-…`, which lenient
//! servers (actix-web among them) read as the same name. Here only the exact name counts, two of it are refused, and
//! look-alikes reach neither the pages nor the engine; refusing them instead would let a sibling lock everyone out.

use std::borrow::Cow;

use cookie::{Cookie, CookieJar};
use http::header::{COOKIE, Entry};
use http::{HeaderMap, HeaderValue};
use percent_encoding::percent_decode;

use super::device::DEVICE_COOKIE;
use super::{CookieKey, LOGIN_COOKIE, SessionKeyText};

/// The session cookie's name. `__Host-`: only over TLS, only this host, whole site (RFC 6265bis, 4.1.3.2).
pub const COOKIE_NAME: &str = "__Host-doorward";

/// Longest value worth decrypting; browsers keep no longer cookie, ours has about 110 bytes.
const MAX_VALUE_BYTES: usize = 4096;

/// What a request's cookies say.
pub enum CookieOutcome {
    /// No session cookie.
    Absent,
    /// One that we did not write, or several: treated as a failed credential.
    Invalid,
    /// The key of a session, which may be over.
    Key(SessionKeyText),
}

/// The cookie as it was sent, encrypted; a key for caches, so that a known cookie need not be decrypted again.
#[derive(Clone, Copy, Eq, PartialEq)]
pub enum RawCookie<'a> {
    /// No session cookie.
    Absent,
    /// Several with the exact name: no browser sends that unless someone has planted one.
    Many,
    /// Exactly one. Not checked in any way yet.
    One(&'a [u8]),
}

/// Finds and decrypts the session cookie. Never looks at the store.
#[must_use]
pub fn read(headers: &HeaderMap, key: &CookieKey) -> CookieOutcome {
    match raw_value(headers) {
        RawCookie::Absent => CookieOutcome::Absent,
        RawCookie::Many => CookieOutcome::Invalid,
        RawCookie::One(value) => open(value, key).map_or(CookieOutcome::Invalid, CookieOutcome::Key),
    }
}

/// Finds the session cookie without decrypting it.
#[must_use]
pub fn raw_value(headers: &HeaderMap) -> RawCookie<'_> {
    let mut found = RawCookie::Absent;
    for pair in pairs(headers) {
        match (whose(pair), found) {
            (Whose::Ours(value), RawCookie::Absent) => found = RawCookie::One(value),
            (Whose::Ours(_), _) => return RawCookie::Many,
            (Whose::Device(_) | Whose::Lookalike | Whose::Other, _) => {}
        }
    }
    found
}

/// The device cookie, if there is exactly one with the exact name. Not checked in any way yet.
pub(super) fn raw_device(headers: &HeaderMap) -> Option<&[u8]> {
    let mut found = pairs(headers).filter_map(|pair| match whose(pair) {
        Whose::Device(value) => Some(value),
        Whose::Lookalike | Whose::Other | Whose::Ours(_) => None,
    });
    let first = found.next();
    if found.next().is_some() { None } else { first }
}

/// Decrypts a raw value: authenticated (AES-256-GCM, bound to the cookie's name), so whatever comes out is a key that
/// this gateway handed out. `None` for everything else.
#[must_use]
pub fn open(raw: &[u8], key: &CookieKey) -> Option<SessionKeyText> {
    if raw.len() > MAX_VALUE_BYTES {
        return None;
    }
    let value = percent_decode(raw).decode_utf8().ok()?.into_owned();
    let decrypted = CookieJar::new().private(key.plain()).decrypt(Cookie::new(COOKIE_NAME, value))?;
    Some(SessionKeyText::new(decrypted.value().to_owned()))
}

/// Takes our cookies, and every look-alike, out of a request that goes to the engine. All other cookies keep their bytes;
/// a header that held nothing else is dropped.
pub fn strip(headers: &mut HeaderMap) {
    retain(headers, |whose| matches!(whose, Whose::Other));
}

/// For the pages, before actix-session reads the cookies in its own, more lenient way: look-alikes go, and unless there
/// is exactly one session cookie with the exact name, all of them go.
pub fn drop_doubtful(headers: &mut HeaderMap) {
    if raw_value(headers) == RawCookie::Many {
        strip(headers);
    } else {
        retain(headers, |whose| !matches!(whose, Whose::Lookalike));
    }
}

/// All `name=value` pairs of all `Cookie` headers (HTTP/2 may send several: RFC 9113, 8.2.3).
pub(super) fn pairs(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers.get_all(COOKIE).iter().flat_map(|header| header.as_bytes().split(|byte| *byte == b';'))
}

fn retain(headers: &mut HeaderMap, keep: fn(&Whose<'_>) -> bool) {
    let (mut count, mut kept) = (0, 0);
    for pair in pairs(headers) {
        count += 1;
        kept += usize::from(keep(&whose(pair)));
    }
    if kept == count {
        return;
    }
    if kept == 0 {
        headers.remove(COOKIE);
        return;
    }
    let Entry::Occupied(entry) = headers.entry(COOKIE) else {
        return;
    };
    let (name, values) = entry.remove_entry_mult();
    let kept: Vec<HeaderValue> = values.filter_map(|value| retain_pairs(value, keep)).collect();
    for value in kept {
        headers.append(name.clone(), value);
    }
}

/// Whose a `name=value` pair is.
enum Whose<'a> {
    Device(&'a [u8]),
    Lookalike,
    Other,
    Ours(&'a [u8]),
}

fn whose(pair: &[u8]) -> Whose<'_> {
    let pair = trim_start(pair);
    let value_of = |name: &str| pair.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
    if let Some(value) = value_of(COOKIE_NAME) {
        return Whose::Ours(value.trim_ascii_end());
    }
    if let Some(value) = value_of(DEVICE_COOKIE) {
        return Whose::Device(value.trim_ascii_end());
    }
    let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
    if could_be_ours(name) { Whose::Lookalike } else { Whose::Other }
}

/// Whether some reader, after trimming and decoding, would take this name for ours.
fn could_be_ours(name: &[u8]) -> bool {
    // As short as ours, it can only be so letter by letter.
    if name.len() < COOKIE_NAME.len() {
        return false;
    }
    let text = String::from_utf8_lossy(name);
    let decoded: Cow<'_, [u8]> = percent_decode(text.trim().as_bytes()).into();
    let text = String::from_utf8_lossy(&decoded);
    let name = text.trim();
    [COOKIE_NAME, DEVICE_COOKIE, LOGIN_COOKIE].iter().any(|ours| name.eq_ignore_ascii_case(ours))
}

/// The header with the pairs to keep; `None` if nothing is left of it.
fn retain_pairs(header: HeaderValue, keep: fn(&Whose<'_>) -> bool) -> Option<HeaderValue> {
    let pairs: Vec<&[u8]> = header.as_bytes().split(|byte| *byte == b';').collect();
    let kept: Vec<&[u8]> = pairs.iter().copied().filter(|pair| keep(&whose(pair))).collect();
    if kept.len() == pairs.len() {
        return Some(header);
    }
    let joined = kept.join(&b';');
    let rest = trim_start(&joined);
    if rest.trim_ascii().is_empty() {
        return None;
    }
    // A part of a valid value is valid; were it not, no cookie is the safe answer.
    let mut value = HeaderValue::from_bytes(rest).ok()?;
    value.set_sensitive(header.is_sensitive());
    Some(value)
}

/// Optional white space of HTTP: space and tab, nothing else.
pub(super) fn trim_start(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(bytes.len());
    bytes.get(start..).unwrap_or_default()
}

#[cfg(test)]
mod tests;

//! Our cookie on a request: found, refused when doubtful, decrypted, and taken out before the engine sees it.
//!
//! Browsers promise that a cookie whose name starts with `__Host-` was set by this very host over TLS. The promise is
//! about the exact bytes. A sibling site can plant ` __Host-…` with a Unicode space or `%5F_Host-…`, which lenient
//! servers (actix-web among them) read as the same name. Here only the exact name counts, two of it are refused, and
//! look-alikes reach neither the pages nor the engine; refusing them instead would let a sibling lock everyone out.

use std::borrow::Cow;

use cookie::{Cookie, CookieJar};
use data_encoding::BASE64;
use http::header::{COOKIE, Entry};
use http::{HeaderMap, HeaderValue};
use memchr::memchr;
use percent_encoding::percent_decode;

use crate::domain::hop::values;

use super::names::FORMER_NAMES;
use super::{COOKIE_PREFIX, CookieKey, CookieNames, SessionKeyText};

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
    match raw_value(headers, key.names()) {
        RawCookie::Absent => CookieOutcome::Absent,
        RawCookie::Many => CookieOutcome::Invalid,
        RawCookie::One(value) => open(value, key).map_or(CookieOutcome::Invalid, CookieOutcome::Key),
    }
}

/// Finds the session cookie without decrypting it.
#[must_use]
pub fn raw_value<'a>(headers: &'a HeaderMap, names: &CookieNames) -> RawCookie<'a> {
    let mut found = RawCookie::Absent;
    for pair in pairs(headers) {
        match (whose(pair, names), found) {
            (Whose::Ours(value), RawCookie::Absent) => found = RawCookie::One(value),
            (Whose::Ours(_), _) => return RawCookie::Many,
            (Whose::Device(_) | Whose::Lookalike | Whose::Other, _) => {}
        }
    }
    found
}

/// The device cookie, if there is exactly one with the exact name. Not checked in any way yet.
pub(super) fn raw_device<'a>(headers: &'a HeaderMap, names: &CookieNames) -> Option<&'a [u8]> {
    let mut found = pairs(headers).filter_map(|pair| match whose(pair, names) {
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
    let sealed = Cookie::new(key.names().session().to_owned(), value);
    let decrypted = CookieJar::new().private(key.plain()).decrypt(sealed)?;
    Some(SessionKeyText::new(decrypted.value().to_owned()))
}

/// Whether a raw value is spelled exactly as actix-session writes it: padded base64 in which `/` and `=` are escaped. The
/// same cookie has many other spellings that decrypt as well, so that only this one may be a key.
#[must_use]
pub fn is_canonical(raw: &[u8]) -> bool {
    let Ok(text) = percent_decode(raw).decode_utf8() else { return false };
    // Strict: no spare bits, no other padding.
    BASE64.decode(text.as_bytes()).is_ok() && text.replace('/', "%2F").replace('=', "%3D").as_bytes() == raw
}

/// Takes the cookies of every gateway on this host name, and every look-alike, out of a request that goes to the engine.
/// All other cookies keep their bytes; a header that held nothing else is dropped.
pub fn strip(headers: &mut HeaderMap) {
    retain(headers, is_foreign);
}

/// For the pages, before actix-session reads the cookies in its own way: only the session cookie stays, if there is
/// exactly one with the exact name. actix-web is more lenient about names, and finds no cookie at all where another
/// application has set one that it cannot read.
pub fn drop_doubtful(headers: &mut HeaderMap, names: &CookieNames) {
    if raw_value(headers, names) == RawCookie::Many {
        headers.remove(COOKIE);
    } else {
        retain(headers, |pair| matches!(whose(pair, names), Whose::Ours(_)));
    }
}

/// Names of cookies that this request carries and that gateways used before names carried an identifier.
pub fn former_names(headers: &HeaderMap) -> impl Iterator<Item = &'static str> {
    let is_there = |name: &&str| {
        pairs(headers).any(|pair| {
            trim_start(pair).strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"="))
        })
    };
    FORMER_NAMES.into_iter().filter(is_there)
}

/// All `name=value` pairs of all `Cookie` headers (HTTP/2 may send several: RFC 9113, 8.2.3).
pub(super) fn pairs(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    values(headers, &COOKIE).flat_map(|header| Pairs(Some(header.as_bytes())))
}

/// The parts between semicolons. Values are long, and this finds their ends many bytes at a time.
struct Pairs<'a>(Option<&'a [u8]>);

impl<'a> Iterator for Pairs<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.0.take()?;
        let Some((pair, behind)) = memchr(b';', rest).and_then(|end| rest.split_at_checked(end)) else {
            return Some(rest);
        };
        self.0 = behind.get(1..);
        Some(pair)
    }
}

fn retain(headers: &mut HeaderMap, keep: impl Fn(&[u8]) -> bool) {
    let (mut count, mut kept) = (0, 0);
    for pair in pairs(headers) {
        count += 1;
        kept += usize::from(keep(pair));
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
    let kept: Vec<HeaderValue> = values.filter_map(|value| retain_pairs(value, &keep)).collect();
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

fn whose<'a>(pair: &'a [u8], names: &CookieNames) -> Whose<'a> {
    if is_foreign(pair) {
        return Whose::Other;
    }
    let pair = trim_start(pair);
    let value_of = |name: &str| pair.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
    if let Some(value) = value_of(names.session()) {
        return Whose::Ours(value.trim_ascii_end());
    }
    value_of(names.device()).map_or(Whose::Lookalike, |value| Whose::Device(value.trim_ascii_end()))
}

/// Whether a pair belongs neither to this gateway nor to another one on the same host name, and looks like none of theirs.
fn is_foreign(pair: &[u8]) -> bool {
    let pair = trim_start(pair);
    if pair.starts_with(COOKIE_PREFIX.as_bytes()) {
        return false;
    }
    let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
    !could_be_a_gateways(name)
}

/// Whether some reader, after trimming and decoding, would take this name for a gateway's.
fn could_be_a_gateways(name: &[u8]) -> bool {
    // As short as the prefix, it can only be so letter by letter.
    if name.len() < COOKIE_PREFIX.len() {
        return false;
    }
    let text = String::from_utf8_lossy(name);
    let decoded: Cow<'_, [u8]> = percent_decode(text.trim().as_bytes()).into();
    let text = String::from_utf8_lossy(&decoded);
    let start = text.trim().as_bytes().get(..COOKIE_PREFIX.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(COOKIE_PREFIX.as_bytes()))
}

/// The header with the pairs to keep; `None` if nothing is left of it.
fn retain_pairs(header: HeaderValue, keep: impl Fn(&[u8]) -> bool) -> Option<HeaderValue> {
    let pairs: Vec<&[u8]> = header.as_bytes().split(|byte| *byte == b';').collect();
    let kept: Vec<&[u8]> = pairs.iter().copied().filter(|pair| keep(pair)).collect();
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

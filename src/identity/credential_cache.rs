//! One event loop's memory of credentials that were found good, so that a known one costs no lock and no I/O.
//!
//! A client must not be able to fill it by writing one credential in many ways. So only the canonical spelling is a key:
//! a token without the scheme and the spaces before it, a cookie exactly as the gateway set it, a certificate by its
//! hash. Other spellings of a good credential are admitted too, by a look-up each, and are never kept.

use std::cell::Cell;
use std::collections::HashMap;
use std::net::IpAddr;

use http::{HeaderMap, header};

use crate::domain::UnixSeconds;
use crate::domain::hop::values;
use crate::identity::credential::Identity;
use crate::session::{self, CookieNames, RawCookie};
use crate::token;

/// Most memory of one kind of credential in one event loop, in bytes. Past it the cache starts again, which costs one
/// look-up for each credential in use.
const MAX_BYTES: usize = 4 << 20;
/// What an entry takes beside its key: slot, allocations, the event loop's own identity.
const ENTRY_BYTES: usize = 512;

/// A credential as a request presents it: where it stands, and its canonical bytes.
#[derive(Clone, Copy)]
pub(super) enum Presented<'a> {
    /// A bearer token in its one spelling.
    Token(&'a [u8]),
    /// A certificate's hash.
    Certificate(&'a [u8]),
    /// A session cookie's value.
    Cookie(&'a [u8]),
    /// A credential that is not cached: Basic has a cache of its own, whatever else there is fails.
    Uncached,
}

/// A map for each kind, so that a value is good only where it was found good.
#[derive(Default)]
pub(super) struct CredentialCache {
    tokens: Entries,
    certificates: Entries,
    cookies: Entries,
}

#[derive(Default)]
struct Entries {
    /// Only what was found good is a key, so nobody can choose keys that collide: a fast hash will do.
    entries: HashMap<Box<[u8]>, CacheEntry, foldhash::fast::RandomState>,
    bytes: usize,
}

/// What a credential proved, and where it came from last.
struct CacheEntry {
    identity: Identity,
    address: Cell<IpAddr>,
}

impl CredentialCache {
    /// Who presents this, and whether they come from another address than before. Live or not: that changes while it is
    /// cached.
    pub(super) fn find(&self, presented: Presented<'_>, address: IpAddr) -> Option<(&Identity, bool)> {
        let entry = match presented {
            Presented::Token(key) => self.tokens.entries.get(key),
            Presented::Certificate(key) => self.certificates.entries.get(key),
            Presented::Cookie(key) => self.cookies.entries.get(key),
            Presented::Uncached => None,
        }?;
        Some((&entry.identity, entry.address.replace(address) != address))
    }

    /// Forgets one.
    pub(super) fn forget(&mut self, presented: Presented<'_>) {
        if let Some((entries, key)) = self.entries(presented) {
            entries.forget(key);
        }
    }

    /// Keeps one that was found good.
    pub(super) fn keep(
        &mut self,
        presented: Presented<'_>,
        identity: &Identity,
        address: IpAddr,
        now: UnixSeconds,
    ) {
        if matches!(presented, Presented::Cookie(value) if !session::is_canonical(value)) {
            return;
        }
        if let Some((entries, key)) = self.entries(presented) {
            entries.keep(key, CacheEntry { identity: identity.clone(), address: Cell::new(address) }, now);
        }
    }

    /// Forgets what has ended: an entry holds its credential's names and groups.
    pub(super) fn sweep(&mut self, now: UnixSeconds) {
        for entries in [&mut self.tokens, &mut self.certificates, &mut self.cookies] {
            entries.sweep(now);
        }
    }

    const fn entries<'a>(&mut self, presented: Presented<'a>) -> Option<(&mut Entries, &'a [u8])> {
        match presented {
            Presented::Token(key) => Some((&mut self.tokens, key)),
            Presented::Certificate(key) => Some((&mut self.certificates, key)),
            Presented::Cookie(key) => Some((&mut self.cookies, key)),
            Presented::Uncached => None,
        }
    }
}

impl Entries {
    fn keep(&mut self, key: &[u8], entry: CacheEntry, now: UnixSeconds) {
        let bytes = key.len() + ENTRY_BYTES;
        if self.bytes + bytes > MAX_BYTES {
            self.sweep(now);
        }
        if self.bytes + bytes > MAX_BYTES {
            *self = Self::default();
        }
        if self.entries.insert(key.into(), entry).is_none() {
            self.bytes += bytes;
        }
    }

    fn forget(&mut self, key: &[u8]) {
        if self.entries.remove(key).is_some() {
            self.bytes -= key.len() + ENTRY_BYTES;
        }
    }

    fn sweep(&mut self, now: UnixSeconds) {
        self.entries.retain(|key, entry| {
            let is_live = entry.identity.credential().is_live(now);
            if !is_live {
                self.bytes -= key.len() + ENTRY_BYTES;
            }
            is_live
        });
    }
}

/// What the headers present: the single `Authorization` value, else the single session cookie.
pub(super) fn presented<'a>(headers: &'a HeaderMap, names: &CookieNames) -> Option<Presented<'a>> {
    let mut values = values(headers, &header::AUTHORIZATION);
    match (values.next(), values.next()) {
        (Some(value), None) => Some(canonical_token(value.as_bytes()).unwrap_or(Presented::Uncached)),
        (Some(_), Some(_)) => None,
        (None, _) => match session::raw_value(headers, names) {
            RawCookie::One(value) => Some(Presented::Cookie(value)),
            RawCookie::Absent | RawCookie::Many => None,
        },
    }
}

/// The token of `Bearer TOKEN`. RFC 9110 section 11.4: the scheme in any case, any number of spaces behind it.
///
/// Whether it is a good one is not said: only good ones are kept, so that others are not found.
fn canonical_token(value: &[u8]) -> Option<Presented<'_>> {
    // As nearly everybody writes it: this is asked for every request.
    if let Some(token) = value.strip_prefix(b"Bearer ").filter(|token| token.len() == token::CHARS) {
        return Some(Presented::Token(token));
    }
    let (scheme, rest) = value.split_at_checked(b"Bearer ".len())?;
    let token = rest.trim_ascii();
    let is_token = scheme.eq_ignore_ascii_case(b"Bearer ") && token.len() == token::CHARS;
    is_token.then_some(Presented::Token(token))
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;

    use http::{HeaderMap, HeaderValue, header};

    use super::{CredentialCache, ENTRY_BYTES, MAX_BYTES, Presented, presented};
    use crate::domain::Username;
    use crate::identity::credential::{Credential, Identity};
    use crate::session::CookieKey;
    use crate::token::Token;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn identity(expires: i64) -> Identity {
        let bob = Username::parse("bob").unwrap();
        Identity::new(Arc::new(Credential::from_password([1; 32], bob, Vec::new(), 0, expires)))
    }

    #[test]
    fn i13_every_spelling_of_a_token_is_one_key_and_no_other_value_is_any() {
        let token = Token::generate().unwrap();
        let token = token.expose();
        let key = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            match presented(&headers, CookieKey::generate().unwrap().names()) {
                Some(Presented::Token(key)) => Some(String::from_utf8(key.to_vec()).unwrap()),
                _ => None,
            }
        };
        for spaces in [1, 2, 60_000] {
            let spaces = " ".repeat(spaces);
            for scheme in ["Bearer", "bearer", "BEARER", "bEARER"] {
                assert_eq!(key(&format!("{scheme}{spaces}{token}{spaces}")).as_deref(), Some(token));
                assert_eq!(key(&format!("{scheme}{spaces}\t {token}\t")).as_deref(), Some(token));
            }
        }
        for other in [
            format!("Bearer\t{token}"),
            format!("Bearer{token}"),
            format!("Basic {token}"),
            format!("Bearer {token}0"),
            format!("Bearer \u{a0}{token}"),
            format!("Bearer {}", "x".repeat(59)),
            format!("Bearer   {}", "x".repeat(61)),
            "Bearer ".to_owned(),
            "B".to_owned(),
        ] {
            assert_eq!(key(&other), None, "{other}");
        }
    }

    #[test]
    fn i13_the_cache_is_bounded_in_bytes_and_forgets_what_has_ended_first() {
        let mut cache = CredentialCache::default();
        let most = MAX_BYTES / (ENTRY_BYTES + 8);
        let keep = |cache: &mut CredentialCache, number: u64, identity: &Identity, now| {
            let key = number.to_le_bytes();
            cache.keep(Presented::Token(&key), identity, HERE, now);
            assert!(cache.tokens.bytes <= MAX_BYTES);
        };
        let (short, long) = (identity(100), identity(1000));
        (0..5).for_each(|number| keep(&mut cache, number, &long, 50));
        (5..most as u64).for_each(|number| keep(&mut cache, number, &short, 50));
        assert_eq!(cache.tokens.entries.len(), most);
        keep(&mut cache, u64::MAX, &long, 100);
        assert_eq!(cache.tokens.entries.len(), 6, "the live ones and the new one");
        assert!(cache.find(Presented::Token(&3_u64.to_le_bytes()), HERE).is_some());
        keep(&mut cache, 3, &long, 100);
        assert_eq!(cache.tokens.bytes, 6 * (ENTRY_BYTES + 8), "kept again, it is counted once");
        cache.forget(Presented::Token(&3_u64.to_le_bytes()));
        cache.forget(Presented::Token(&3_u64.to_le_bytes()));
        assert_eq!(cache.tokens.bytes, 5 * (ENTRY_BYTES + 8));
        (100..2 * most as u64).for_each(|number| keep(&mut cache, number, &long, 100));
        cache.sweep(1000);
        assert_eq!((cache.tokens.bytes, cache.tokens.entries.len()), (0, 0));
    }

    #[test]
    fn a_value_is_good_only_where_it_was_found_good() {
        let mut cache = CredentialCache::default();
        let bob = identity(1000);
        cache.keep(Presented::Token(b"x"), &bob, HERE, 0);
        assert!(cache.find(Presented::Cookie(b"x"), HERE).is_none());
        assert!(cache.find(Presented::Certificate(b"x"), HERE).is_none());
        assert!(cache.find(Presented::Uncached, HERE).is_none());
        assert!(cache.find(Presented::Token(b"x"), HERE).is_some_and(|(_, has_moved)| !has_moved));
        let there = IpAddr::V4(Ipv4Addr::BROADCAST);
        assert!(cache.find(Presented::Token(b"x"), there).is_some_and(|(_, has_moved)| has_moved));
        assert!(cache.find(Presented::Token(b"x"), there).is_some_and(|(_, has_moved)| !has_moved));
    }
}

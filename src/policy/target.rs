//! One meaning per request: the target is decoded once, and what is decided on is what is forwarded.
//!
//! Proxies that decide on one reading of a path and forward another have been bypassed again and again
//! (CVE-2025-66490, CVE-2026-48020, CVE-2026-27587). Here ambiguous forms are refused instead of cleaned up.

use std::borrow::Cow;

use http::Uri;
use http::uri::PathAndQuery;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use thiserror::Error;

use crate::policy::version;

/// First path segment of the gateway's own pages and API; never forwarded, in any spelling.
pub const OWN_PREFIX: &str = "_doorward";

/// RFC 3986 `pchar` without percent: everything else is written as `%XX`.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// A request target in its one meaning.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target {
    /// Path and query as forwarded. The path part is canonical; the query is kept byte for byte.
    forwarded: PathAndQuery,
    /// Whether the first segment is [`OWN_PREFIX`], whatever its case.
    own: bool,
}

/// Why a target is refused with 400.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum InvalidTarget {
    /// `GET http://host/path`: two places could name the host.
    #[error("the request target must be a path, not an absolute address")]
    AbsoluteForm,
    /// `//`, which the engine would redirect and others would read as one slash.
    #[error("the path holds an empty segment ('//')")]
    EmptySegment,
    /// Control characters, `\`, `%2f`, `%00` or bytes that are not UTF-8.
    #[error("the path holds an encoded separator or a character that is not allowed")]
    Character,
    /// `.` or `..`, plain or encoded.
    #[error("the path holds a '.' or '..' segment")]
    DotSegment,
    /// `OPTIONS *`, authority form or nothing at all.
    #[error("the request target must be a path that starts with '/'")]
    NotAPath,
    /// A first segment that an engine takes for the version of its API, in a form that is none.
    #[error("the version in the path must be written like v1.41: numbers with dots, without leading zeros")]
    Version,
}

impl Target {
    /// Reads a request target. Over HTTP/1 only the origin form of RFC 9112 section 3.2.1 is taken; HTTP/2 always
    /// carries scheme and authority, which are checked elsewhere.
    ///
    /// # Errors
    /// [`InvalidTarget`] if the target could be read in two ways.
    pub fn parse(uri: &Uri, is_http2: bool) -> Result<Self, InvalidTarget> {
        if !is_http2 && (uri.scheme().is_some() || (uri.authority().is_some() && !uri.path().is_empty())) {
            return Err(InvalidTarget::AbsoluteForm);
        }
        let path = uri.path();
        let Some(relative) = path.strip_prefix('/') else { return Err(InvalidTarget::NotAPath) };
        let canonical = if is_plain(relative) { check_plain(relative)? } else { Some(rewrite(relative)?) };
        let relative = canonical.as_deref().map_or(relative, |path| path.strip_prefix('/').unwrap_or(path));
        let own = is_own(relative);
        if version::is_odd(relative) {
            return Err(InvalidTarget::Version);
        }
        let forwarded = match (canonical, uri.path_and_query()) {
            (None, Some(kept)) => kept.clone(),
            (None, None) => PathAndQuery::from_static("/"),
            (Some(path), _) => with_query(&path, uri.query()).ok_or(InvalidTarget::Character)?,
        };
        Ok(Self { forwarded, own })
    }

    /// The canonical path, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.forwarded.path()
    }

    /// The path as the engine routes it: without the version of its API, if it begins with one. Starts with a slash.
    #[must_use]
    pub fn route(&self) -> &str {
        version::without(self.path())
    }

    /// Whether the gateway answers this itself.
    #[must_use]
    pub const fn is_own(&self) -> bool {
        self.own
    }

    /// What the engine is asked for.
    #[must_use]
    pub const fn forwarded(&self) -> &PathAndQuery {
        &self.forwarded
    }
}

/// Whether the first segment is [`OWN_PREFIX`].
fn is_own(path: &str) -> bool {
    path.get(..OWN_PREFIX.len()).is_some_and(|segment| segment.eq_ignore_ascii_case(OWN_PREFIX))
        && matches!(path.as_bytes().get(OWN_PREFIX.len()), None | Some(b'/'))
}

/// Most paths hold only unreserved characters and need no rewriting.
fn is_plain(path: &str) -> bool {
    path.bytes().all(|b| {
        b.is_ascii_alphanumeric() || matches!(b, b'/' | b'-' | b'.' | b'_' | b'~' | b':' | b'@' | b'=')
    })
}

/// Checks a path that is already canonical; `None` says "keep the bytes".
fn check_plain(path: &str) -> Result<Option<String>, InvalidTarget> {
    // Only an empty segment, and one that begins with a dot, can be wrong with such a path.
    let is_suspect = |pair: &[u8]| matches!(pair, [b'/', b'/' | b'.']);
    if !path.starts_with(['/', '.']) && !path.as_bytes().windows(2).any(is_suspect) {
        return Ok(None);
    }
    let mut segments = path.split('/').peekable();
    while let Some(segment) = segments.next() {
        check_segment(segment, segments.peek().is_none())?;
    }
    Ok(None)
}

fn rewrite(path: &str) -> Result<String, InvalidTarget> {
    let mut canonical = String::with_capacity(path.len() + 1);
    let mut segments = path.split('/').peekable();
    while let Some(raw) = segments.next() {
        if has_broken_escape(raw) {
            return Err(InvalidTarget::Character);
        }
        let decoded: Cow<'_, str> =
            percent_decode_str(raw).decode_utf8().map_err(|_| InvalidTarget::Character)?;
        check_segment(&decoded, segments.peek().is_none())?;
        canonical.push('/');
        canonical.extend(utf8_percent_encode(&decoded, SEGMENT));
    }
    Ok(canonical)
}

/// A `%` that two hexadecimal digits do not follow means different things to different readers.
fn has_broken_escape(raw: &str) -> bool {
    raw.split('%').skip(1).any(|rest| {
        let digits = rest.as_bytes();
        !(digits.len() >= 2 && digits.iter().take(2).all(u8::is_ascii_hexdigit))
    })
}

fn check_segment(segment: &str, is_last: bool) -> Result<(), InvalidTarget> {
    if segment.is_empty() && !is_last {
        return Err(InvalidTarget::EmptySegment);
    }
    if segment == "." || segment == ".." {
        return Err(InvalidTarget::DotSegment);
    }
    // A second '%' layer or a separator inside one segment would be decoded again by somebody further in.
    if segment.chars().any(|c| c.is_control() || matches!(c, '/' | '\\' | '%')) {
        return Err(InvalidTarget::Character);
    }
    Ok(())
}

fn with_query(path: &str, query: Option<&str>) -> Option<PathAndQuery> {
    match query {
        Some(query) => PathAndQuery::try_from(format!("{path}?{query}")).ok(),
        None => PathAndQuery::try_from(path).ok(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{InvalidTarget, Target};

    fn parse(text: &str) -> Result<Target, InvalidTarget> {
        Target::parse(&text.parse().unwrap(), false)
    }

    #[test]
    fn p1_ambiguous_paths_are_refused() {
        for (text, why) in [
            ("/v1.47/../_ping", InvalidTarget::DotSegment),
            ("/%2e%2e/x", InvalidTarget::DotSegment),
            ("/a/./b", InvalidTarget::DotSegment),
            ("//x", InvalidTarget::EmptySegment),
            ("/a//b", InvalidTarget::EmptySegment),
            ("/a/b//", InvalidTarget::EmptySegment),
            ("/a/b/..", InvalidTarget::DotSegment),
            ("/.", InvalidTarget::DotSegment),
            ("/a/../b", InvalidTarget::DotSegment),
            ("/a%2Fb", InvalidTarget::Character),
            ("/a%5Cb", InvalidTarget::Character),
            ("/a%00", InvalidTarget::Character),
            ("/a%0d%0ab", InvalidTarget::Character),
            ("/a%252fb", InvalidTarget::Character),
            ("/a%zz", InvalidTarget::Character),
            ("/a%f", InvalidTarget::Character),
            ("/%ff", InvalidTarget::Character),
        ] {
            assert_eq!(parse(text).unwrap_err(), why, "{text}");
        }
    }

    #[test]
    fn p1_the_decision_and_the_forwarded_bytes_are_one() {
        for (text, forwarded) in [
            ("/%61uth", "/auth"),
            ("/a;x", "/a;x"),
            ("/images/a/b:1@sha256:0/json", "/images/a/b:1@sha256:0/json"),
            ("/a%20b/%C3%BC", "/a%20b/%C3%BC"),
            ("/", "/"),
            ("/ui/", "/ui/"),
        ] {
            let target = parse(text).unwrap();
            assert_eq!(target.forwarded().as_str(), forwarded);
            assert_eq!(target.path(), forwarded);
        }
    }

    #[test]
    fn p2_the_query_never_becomes_part_of_the_path() {
        let target = parse("/private?x=/_ping&y=%2F..%2f").unwrap();
        assert_eq!(target.path(), "/private");
        assert_eq!(target.forwarded().as_str(), "/private?x=/_ping&y=%2F..%2f");
    }

    #[test]
    fn p3_the_gateways_own_prefix_is_its_own_in_every_spelling() {
        for text in ["/_doorward/login", "/_DoorWard/login", "/%5fdoorward/x", "/_doorward"] {
            assert!(parse(text).unwrap().is_own(), "{text}");
        }
        assert!(!parse("/_doorwardx").unwrap().is_own());
    }

    #[test]
    fn i11_a_version_has_a_form_and_a_length_in_every_spelling() {
        for text in
            ["/v1.41/info", "/v9/events", "/v1.41", "/%761.41/info", "/v5.0.0/libpod/info", "/volumes", "/v"]
        {
            assert!(parse(text).is_ok(), "{text}");
        }
        let long = format!("/v{}1.41/containers/create", "0".repeat(600));
        for text in
            [&long, "/v01.41/info", "/v1..41/info", "/%76000001.41/info", "/v1%2e.41/info", "/v./info"]
        {
            assert_eq!(parse(text).unwrap_err(), InvalidTarget::Version, "{text}");
        }
        assert_eq!(parse("/v1.41/containers/json?all=1").unwrap().route(), "/containers/json");
        assert_eq!(parse("/containers/v1.41/json").unwrap().route(), "/containers/v1.41/json");
    }

    #[test]
    fn p4_absolute_and_asterisk_forms_are_refused() {
        assert_eq!(parse("http://evil/x").unwrap_err(), InvalidTarget::AbsoluteForm);
        assert_eq!(parse("*").unwrap_err(), InvalidTarget::NotAPath);
        assert!(Target::parse(&"https://gate/x".parse().unwrap(), true).is_ok());
    }

    proptest! {
        #[test]
        fn p1_parsing_what_is_forwarded_changes_nothing(text in "/[a-z0-9%./;:_A-F-]{0,24}") {
            if let Ok(uri) = text.parse::<http::Uri>()
                && let Ok(target) = Target::parse(&uri, false) {
                let again = parse(target.forwarded().as_str()).unwrap();
                prop_assert_eq!(again, target);
            }
        }
    }
}

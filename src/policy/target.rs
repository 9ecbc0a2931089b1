//! One meaning per request: the target is decoded once, and what is decided on is what is forwarded.
//!
//! Proxies that decide on one reading of a path and forward another have been bypassed again and again
//! (CVE-2025-66490, CVE-2026-48020, CVE-2026-27587). Here ambiguous forms are refused instead of cleaned up.
//!
//! Names hold more than letters: podman-remote writes `docker.io%2Flibrary%2Fbusybox` for an image, people name networks
//! `50%`. An encoded separator is part of a name, and forwarded encoded. To dockerd, which decodes before it routes, it
//! separates all the same: where that could make another route of the path, the target is refused; what a name's bearer
//! may do is decided on both readings ([`Target::readings`]).

use std::borrow::Cow;
use std::sync::Arc;

use http::Uri;
use http::uri::PathAndQuery;
use memchr::memchr_iter;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use smallvec::SmallVec;
use thiserror::Error;

use crate::policy::version;

/// First path segment of the gateway's own pages and API; never forwarded, in any spelling.
pub const OWN_PREFIX: &str = "_doorward";

/// Most times that a segment is decoded to look for what it hides; the last time must change nothing.
const MOST_LAYERS: usize = 4;

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
    /// What follows the query of `forwarded`, which can hold no more.
    rest: Option<Arc<str>>,
    /// Whether the first segment is [`OWN_PREFIX`], whatever its case.
    own: bool,
}

/// Why a target is refused with 400.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum InvalidTarget {
    /// `GET http://host/path`: two places could name the host.
    #[error("the request target must be a path, not an absolute address")]
    AbsoluteForm,
    /// Control characters, broken escapes or bytes that are not UTF-8.
    #[error("the path holds a character that is not allowed, or an escape that is not one")]
    Character,
    /// `.` or `..`, plain or encoded, once or more than once.
    #[error("the path holds a '.' or '..' segment")]
    DotSegment,
    /// `//host/…`: in a link, what stands behind it is a host (RFC 3986 section 4.2).
    #[error("the path begins with '//'")]
    DoubleSlash,
    /// `OPTIONS *`, authority form or nothing at all.
    #[error("the request target must be a path that starts with '/'")]
    NotAPath,
    /// `%2f` or `%5c` where an engine expects one of its own words and no name.
    #[error("the path holds an encoded separator outside of a name")]
    Separator,
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
        if relative.starts_with('/') {
            return Err(InvalidTarget::DoubleSlash);
        }
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
        Ok(Self { forwarded, rest: None, own })
    }

    /// The same, whose query goes on with this.
    #[must_use]
    pub fn with_rest(self, rest: String) -> Self {
        Self { rest: Some(rest.into()), ..self }
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

    /// Each way in which an engine may take the route apart; decided words of its segments. The first is Podman's, to which
    /// an encoded separator is a part of a name. To dockerd it separates. Both answer `//` with a redirect to the path
    /// without it, and other servers take it for that path.
    #[must_use]
    pub fn readings(&self) -> SmallVec<[Cow<'_, str>; 2]> {
        let route = self.route();
        let mut readings = SmallVec::new();
        readings.push(without_empty(Cow::Borrowed(route)));
        if route.contains('%') {
            readings.push(without_empty(Cow::Owned(decode_wholly(route))));
        }
        readings
    }

    /// Whether the gateway answers this itself.
    #[must_use]
    pub const fn is_own(&self) -> bool {
        self.own
    }

    /// What the engine is asked for; [`Target::rest`] follows it.
    #[must_use]
    pub const fn forwarded(&self) -> &PathAndQuery {
        &self.forwarded
    }

    /// The end of a query that is longer than `PathAndQuery` holds (65,534 bytes, with the path).
    #[must_use]
    pub const fn rest(&self) -> Option<&Arc<str>> {
        self.rest.as_ref()
    }
}

/// Whether the first segment is [`OWN_PREFIX`].
fn is_own(path: &str) -> bool {
    path.get(..OWN_PREFIX.len()).is_some_and(|segment| segment.eq_ignore_ascii_case(OWN_PREFIX))
        && matches!(path.as_bytes().get(OWN_PREFIX.len()), None | Some(b'/'))
}

/// Most paths hold only unreserved characters and need no rewriting.
fn is_plain(path: &str) -> bool {
    // No early end: so the compiler looks at many bytes at once.
    path.bytes().fold(true, |plain, b| {
        plain
            & (b.is_ascii_lowercase()
                | b.is_ascii_uppercase()
                | (b'-'..=b':').contains(&b)
                | (b == b'_')
                | (b == b'=')
                | (b == b'@')
                | (b == b'~'))
    })
}

/// Checks a path that is already canonical; `None` says "keep the bytes".
fn check_plain(path: &str) -> Result<Option<String>, InvalidTarget> {
    // Only a segment that begins with a dot can be wrong with such a path.
    let begins_segment =
        |dot: usize| dot.checked_sub(1).is_none_or(|at| path.as_bytes().get(at) == Some(&b'/'));
    if !memchr_iter(b'.', path.as_bytes()).any(begins_segment) {
        return Ok(None);
    }
    path.split('/').try_for_each(check_segment)?;
    Ok(None)
}

fn rewrite(path: &str) -> Result<String, InvalidTarget> {
    let mut canonical = String::with_capacity(path.len() + 1);
    for raw in path.split('/') {
        if has_broken_escape(raw) {
            return Err(InvalidTarget::Character);
        }
        let decoded: Cow<'_, str> =
            percent_decode_str(raw).decode_utf8().map_err(|_| InvalidTarget::Character)?;
        check_segment(&decoded)?;
        canonical.push('/');
        canonical.extend(utf8_percent_encode(&decoded, SEGMENT));
    }
    if has_separator(word(&canonical)) { Err(InvalidTarget::Separator) } else { Ok(canonical) }
}

/// The first segment behind the version and Podman's prefix: an engine's word for the kind of object, and never a name.
fn word(canonical: &str) -> &str {
    let route = version::without(canonical);
    let route = route.strip_prefix("/libpod").filter(|rest| rest.starts_with('/')).unwrap_or(route);
    route.trim_start_matches('/').split('/').next().unwrap_or_default()
}

fn has_separator(canonical: &str) -> bool {
    canonical.contains("%2F") || canonical.contains("%5C")
}

/// Decodes until nothing is left to decode, and takes every separator for a slash.
fn decode_wholly(text: &str) -> String {
    let mut decoded = text.to_owned();
    for _ in 0..MOST_LAYERS {
        decoded = percent_decode_str(&decoded).decode_utf8_lossy().into_owned();
    }
    decoded.replace('\\', "/")
}

fn without_empty(route: Cow<'_, str>) -> Cow<'_, str> {
    if !route.contains("//") {
        return route;
    }
    let mut kept = String::with_capacity(route.len());
    for c in route.chars() {
        if c != '/' || !kept.ends_with('/') {
            kept.push(c);
        }
    }
    Cow::Owned(kept)
}

/// A `%` that two hexadecimal digits do not follow means different things to different readers.
fn has_broken_escape(raw: &str) -> bool {
    raw.split('%').skip(1).any(|rest| {
        let digits = rest.as_bytes();
        !(digits.len() >= 2 && digits.iter().take(2).all(u8::is_ascii_hexdigit))
    })
}

/// Checks a decoded segment, also for those further in who decode it again, or take a backslash for a slash.
fn check_segment(segment: &str) -> Result<(), InvalidTarget> {
    let mut text = Cow::Borrowed(segment);
    for _ in 0..MOST_LAYERS {
        if text.chars().any(char::is_control) {
            return Err(InvalidTarget::Character);
        }
        if text.split(['/', '\\']).any(|part| matches!(part, "." | "..")) {
            return Err(InvalidTarget::DotSegment);
        }
        let decoded = percent_decode_str(&text).decode_utf8_lossy();
        if decoded == text {
            return Ok(());
        }
        text = Cow::Owned(decoded.into_owned());
    }
    // Nobody names anything so.
    Err(InvalidTarget::Character)
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
            ("//x", InvalidTarget::DoubleSlash),
            ("//_doorward/login", InvalidTarget::DoubleSlash),
            ("/a/b/..", InvalidTarget::DotSegment),
            ("/.", InvalidTarget::DotSegment),
            ("/a/../b", InvalidTarget::DotSegment),
            ("/a//../b", InvalidTarget::DotSegment),
            ("/a%2Fb", InvalidTarget::Separator),
            ("/a%5Cb", InvalidTarget::Separator),
            ("/v1.41%2Finfo", InvalidTarget::Separator),
            ("/v1.41/containers%2fjson", InvalidTarget::Separator),
            ("/v1.41//containers%2fjson", InvalidTarget::Separator),
            ("/v5.0.0/libpod/images%2Fx/json", InvalidTarget::Separator),
            ("/_doorward%2Flogin", InvalidTarget::Separator),
            ("/%2F_doorward/login", InvalidTarget::Separator),
            ("/a%00", InvalidTarget::Character),
            ("/images/a%2500/json", InvalidTarget::Character),
            ("/a%0d%0ab", InvalidTarget::Character),
            ("/containers/a%2F..%2Fb/json", InvalidTarget::DotSegment),
            ("/containers/a%2f%2e%2e%2fb/json", InvalidTarget::DotSegment),
            ("/containers/..%5Cb/json", InvalidTarget::DotSegment),
            ("/containers/%252e%252e/json", InvalidTarget::DotSegment),
            ("/containers/a%252F%252e%252e/json", InvalidTarget::DotSegment),
            ("/containers/a%25252525252f/json", InvalidTarget::Character),
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
            ("/networks/50%25", "/networks/50%25"),
            ("/networks/a%5cb%2fc", "/networks/a%5Cb%2Fc"),
            ("/images/docker.io%2flibrary%2Fx:1/json", "/images/docker.io%2Flibrary%2Fx:1/json"),
            ("/v5.0.0/libpod/images/a%2Fb/json", "/v5.0.0/libpod/images/a%2Fb/json"),
            ("/containers//web/json", "/containers//web/json"),
            ("/containers/a%252fb/json", "/containers/a%252fb/json"),
            ("/a//b//", "/a//b//"),
            ("/containers/%3C%22%3e%7b/json", "/containers/%3C%22%3E%7B/json"),
            ("/", "/"),
            ("/ui/", "/ui/"),
        ] {
            let target = parse(text).unwrap();
            assert_eq!(target.forwarded().as_str(), forwarded);
            assert_eq!(target.path(), forwarded);
        }
    }

    #[test]
    fn w5_an_encoded_separator_and_an_empty_segment_have_each_reading_that_an_engine_may_have() {
        for (text, readings) in [
            ("/v1.41/containers/web/json", &["/containers/web/json"][..]),
            ("/containers//web/json", &["/containers/web/json"]),
            ("/containers/a%2Fb/json", &["/containers/a%2Fb/json", "/containers/a/b/json"]),
            ("/containers/a%2F%2Fb%5cc/json", &["/containers/a%2F%2Fb%5Cc/json", "/containers/a/b/c/json"]),
            ("/containers/a%25252fb/json", &["/containers/a%25252fb/json", "/containers/a/b/json"]),
            ("/v1.41/networks/50%25", &["/networks/50%25", "/networks/50%"]),
        ] {
            assert_eq!(parse(text).unwrap().readings().as_slice(), readings, "{text}");
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

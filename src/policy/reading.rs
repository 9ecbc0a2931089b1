//! What a token of the scope `read` may ask the engine for. Pure.
//!
//! A list of what is allowed and not of what is not: a route or a parameter that a new engine adds is refused until
//! somebody has looked at it. Left out although they change nothing: what hands out the content of containers and images
//! (`archive`, `export`, `get`), an attached terminal, join tokens and unlock key of a swarm, the data of configs, Go's
//! profiles (`/debug/`), and what has the engine talk to registries (`distribution`, `images/search`,
//! `plugins/privileges`).
//!
//! The query is judged as well, since engines answer more for some parameters: Podman's `secrets/x?showsecret=true` tells
//! the secret, `top?ps_args=e` shows every process's environment. What is allowed is written here in one spelling; a name
//! in other letters or with escapes may be the same to an engine.

use http::Method;
use percent_encoding::percent_decode_str;
use thiserror::Error;

/// Longest name of a parameter that is repeated to the client.
const MAX_SHOWN: usize = 40;

/// Why a request is not reading.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum NotReading {
    /// Reading has no body, and what an engine makes of one nobody has looked at.
    #[error("it has a body")]
    Body,
    /// Twice the same parameter: engines differ in which one counts.
    #[error("its query names {0} more than once")]
    Doubled(&'static str),
    /// A query that could be read in two ways.
    #[error("its query is not written in plain form")]
    Form,
    /// A parameter that is not known to be for reading.
    #[error("reading has no parameter {0} there")]
    Parameter(String),
    /// A method or path that is not known to be reading.
    #[error("this is more")]
    Route,
}

/// Checks that this is reading, as of the Docker Engine API 1.24 to 1.54. `route` is canonical and without a version.
///
/// # Errors
/// [`NotReading`] says why not.
pub(super) fn check_reading(
    method: &Method,
    route: &str,
    query: Option<&str>,
    has_body: bool,
) -> Result<(), NotReading> {
    let is_head = method == Method::HEAD;
    if !is_head && method != Method::GET {
        return Err(NotReading::Route);
    }
    let segments: Vec<&str> = route.trim_start_matches('/').split('/').collect();
    let known = parameters(&segments, is_head).ok_or(NotReading::Route)?;
    if has_body {
        return Err(NotReading::Body);
    }
    check_query(query.unwrap_or_default(), known)
}

/// The parameters of a route that reads, in the engine's own spelling; `None` for all other routes. Two of them are no
/// engine's any more: docker's library for Python sends `trunc_cmd` and `only_ids` with each list.
fn parameters(route: &[&str], is_head: bool) -> Option<&'static [&'static str]> {
    Some(match route {
        ["_ping" | "version" | "info"] => &[],
        ["events"] => &["since", "until", "filters"],
        ["system", "df"] => &["type", "verbose"],
        ["containers", "json"] => &["all", "limit", "size", "filters", "since", "before", "trunc_cmd"],
        ["containers", _, "json"] => &["size"],
        ["containers", _, "logs"] => {
            &["follow", "stdout", "stderr", "since", "until", "timestamps", "tail", "details"]
        }
        ["containers", _, "stats"] => &["stream", "one-shot"],
        ["containers", _, "top" | "changes"] | ["exec", _, "json"] => &[],
        // How a file is called and how large it is; `docker cp` asks so before it fetches.
        ["containers", _, "archive"] if is_head => &["path"],
        ["images", "json"] => {
            &["all", "filters", "filter", "digests", "shared-size", "manifests", "identity", "only_ids"]
        }
        // Names of images and plugins hold slashes.
        ["images", _, .., "json"] => &["manifests", "platform"],
        ["images", _, .., "history"] => &["platform"],
        ["plugins", _, .., "json"] => &[],
        ["services"] => &["filters", "status"],
        ["networks" | "volumes" | "nodes" | "tasks" | "secrets" | "plugins"] => &["filters"],
        ["services" | "tasks", _, "logs"] => {
            &["details", "follow", "stdout", "stderr", "since", "timestamps", "tail"]
        }
        ["networks" | "volumes" | "nodes" | "services" | "tasks" | "secrets", ""] => return None,
        ["networks", _] => &["verbose", "scope"],
        ["services", _] => &["insertDefaults"],
        ["volumes" | "nodes" | "tasks" | "secrets", _] => &[],
        _ => return None,
    })
}

/// Each pair one of the known names, once, and a value that every reader decodes in the same way.
fn check_query(query: &str, known: &'static [&'static str]) -> Result<(), NotReading> {
    if query.is_empty() {
        return Ok(());
    }
    let mut seen: Vec<&str> = Vec::new();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let Some(name) = known.iter().copied().find(|known| *known == name) else {
            return Err(unknown(name));
        };
        if !is_plain(value) {
            return Err(NotReading::Form);
        }
        // A list of kinds: `docker system df` may ask for several.
        if seen.contains(&name) && name != "type" {
            return Err(NotReading::Doubled(name));
        }
        seen.push(name);
    }
    Ok(())
}

fn unknown(name: &str) -> NotReading {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if (1..=MAX_SHOWN).contains(&name.len()) && name.bytes().all(is_word) {
        NotReading::Parameter(name.to_owned())
    } else {
        NotReading::Form
    }
}

/// A value without a second separator (`;` is one to old Go and to CGI), with whole escapes, that is text.
fn is_plain(value: &str) -> bool {
    let is_whole = |rest: &str| {
        let digits = rest.as_bytes();
        digits.len() >= 2 && digits.iter().take(2).all(u8::is_ascii_hexdigit)
    };
    value.bytes().all(|b| b.is_ascii_graphic() && b != b';' && b != b'#')
        && value.split('%').skip(1).all(is_whole)
        && percent_decode_str(value).decode_utf8().is_ok_and(|text| !text.chars().any(char::is_control))
}

#[cfg(test)]
mod tests {
    use http::Method;

    use crate::policy::version::without;

    use super::{NotReading, check_reading};

    fn is_reading(method: &Method, path: &str) -> bool {
        check(method, path).is_ok()
    }

    fn check(method: &Method, target: &str) -> Result<(), NotReading> {
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        check_reading(method, without(path), query, false)
    }

    #[test]
    fn gc5_reading_is_what_a_dashboard_asks_for() {
        for path in [
            "/_ping",
            "/version",
            "/v1.41/info",
            "/v9/events",
            "/v1.54/system/df",
            "/containers/json",
            "/v1.41/containers/web/json",
            "/containers/web/logs",
            "/containers/web/stats",
            "/containers/web/top",
            "/containers/web/changes",
            "/images/json",
            "/images/library/busybox:1/json",
            "/images/busybox/history",
            "/networks",
            "/networks/bridge",
            "/volumes/data",
            "/services/web/logs",
            "/tasks",
            "/secrets/key",
            "/plugins/vieux/sshfs/json",
            "/exec/0f/json",
        ] {
            assert!(is_reading(&Method::GET, path), "{path}");
            for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::TRACE] {
                assert!(!is_reading(&method, path), "{method} {path}");
            }
        }
        assert!(
            is_reading(&Method::HEAD, "/_ping") && is_reading(&Method::HEAD, "/v1.41/containers/a/archive")
        );
    }

    #[test]
    fn ge4_reading_is_not_what_hands_out_content_or_secrets_or_is_not_known() {
        for path in [
            "/containers/web/attach/ws",
            "/containers/web/archive",
            "/containers/web/export",
            "/v1.41/containers/web/export",
            "/images/get",
            "/images/busybox/get",
            "/images/search",
            "/distribution/busybox/json",
            "/plugins/privileges",
            "/swarm",
            "/swarm/unlockkey",
            "/configs",
            "/configs/nginx",
            "/debug/pprof/heap",
            "/debug/vars",
            "/session",
            "/grpc",
            "/libpod/secrets/x/json",
            "/v5.0.0/libpod/secrets/x/json",
            "/",
            "/v1.41",
            "/v/version",
            "/v1.41/v1.41/version",
            "/version/",
            "/secrets/",
            "/Containers/json",
            "/containers",
        ] {
            assert!(!is_reading(&Method::GET, path), "{path}");
        }
    }

    #[test]
    fn i15_what_dockers_own_clients_ask_with_is_reading() {
        for target in [
            "/events?since=1&until=2.000000003&filters=%7B%22type%22%3A%5B%22container%22%5D%7D",
            "/v1.54/system/df?type=container&type=image&verbose=1",
            "/containers/json?all=1&limit=5&size=1&filters=%7B%7D&trunc_cmd=0",
            "/containers/json?",
            "/containers/web/json?size=true",
            "/containers/web/logs?follow=1&stdout=1&stderr=1&tail=all&since=&until=&timestamps=1&details=0",
            "/containers/web/stats?stream=false&one-shot=1",
            "/images/json?all=0&only_ids=0&digests=1&shared-size=1&manifests=1&filters={}",
            "/images/a/b:1/json?platform=%7B%22os%22%3A%22linux%22%7D",
            "/images/a/history?platform=x",
            "/networks?filters=%7B%22name%22%3A%7B%22a+b%22%3Atrue%7D%7D",
            "/networks/bridge?verbose=true&scope=local",
            "/services?status=true&filters=%7B%7D",
            "/services/web?insertDefaults=false",
            "/services/web/logs?stdout=1&follow=1&tail=5",
            "/secrets?filters=%7B%7D",
        ] {
            assert_eq!(check(&Method::GET, target), Ok(()), "{target}");
        }
        assert_eq!(check(&Method::HEAD, "/containers/a/archive?path=%2Fetc%2Fm%C3%BCll"), Ok(()));
    }

    #[test]
    fn i15_a_parameter_that_nobody_knows_to_be_reading_is_refused() {
        for (target, name) in [
            ("/secrets/x?showsecret=true", "showsecret"),
            ("/secrets/x?ShowSecret=true", "ShowSecret"),
            ("/v1.41/secrets?showsecret=1", "showsecret"),
            ("/containers/x/top?ps_args=e", "ps_args"),
            ("/containers/x/top?ps_args=", "ps_args"),
            ("/containers/x/top?stream=true", "stream"),
            ("/containers/json?All=1", "All"),
            ("/containers/json?all=1&external=true", "external"),
            ("/containers/x/json?_method=DELETE", "_method"),
            ("/version?x", "x"),
            ("/events?stream=false", "stream"),
            ("/images/a/json?size=1", "size"),
            ("/info?all=1", "all"),
        ] {
            assert_eq!(check(&Method::GET, target), Err(NotReading::Parameter(name.to_owned())), "{target}");
        }
        assert_eq!(
            check(&Method::HEAD, "/containers/a/archive?path=x&rename=y"),
            Err(NotReading::Parameter("rename".into()))
        );
        assert_eq!(
            check(&Method::HEAD, "/secrets/x?showsecret=1"),
            Err(NotReading::Parameter("showsecret".into()))
        );
    }

    #[test]
    fn i15_a_query_that_could_be_read_in_two_ways_is_refused() {
        for query in [
            "%61ll=1",
            "all%3D1",
            "+all=1",
            "all=1&",
            "&all=1",
            "all=1&&size=1",
            "all=1;showsecret=1",
            "all;size=1",
            "all=%",
            "all=%4",
            "all=%zz",
            "all=%ff",
            "all=%00",
            "all=%0a",
            "all=\u{fc}",
            "all[]=1",
            "=1",
            "all=1#x",
            &"a".repeat(5_000),
        ] {
            let refused = check(&Method::GET, &format!("/containers/json?{query}"));
            assert_eq!(refused, Err(NotReading::Form), "{query}");
        }
        for (query, name) in [("all=1&all=0", "all"), ("size=0&all=1&size=0", "size")] {
            let refused = check(&Method::GET, &format!("/containers/json?{query}"));
            assert_eq!(refused, Err(NotReading::Doubled(name)), "{query}");
        }
    }

    #[test]
    fn i15_reading_has_no_body() {
        assert_eq!(check_reading(&Method::GET, "/version", None, true), Err(NotReading::Body));
        assert_eq!(check_reading(&Method::GET, "/build", None, true), Err(NotReading::Route));
    }
}

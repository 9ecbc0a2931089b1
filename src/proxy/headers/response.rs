//! The one filter of what the engine answers: each status, each protocol, heads and trailers. Pure.
//!
//! The engine, and with it each container, shares the origin of the gateway's own pages. So a header of the engine may
//! speak of its own answer, never of the origin or the host; and unless the operator says that the engine has pages
//! (`--engine-ui`), no browser shows an answer as anything but text or a file to save.

use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode;
use smallvec::SmallVec;

use crate::domain::hop::{has, is_hop_by_hop, strip_hop_and, strip_where, values};
use crate::policy::{AnswerRules, Keeping};
use crate::session;

/// Headers that are added to most answers, the one that tells how long the connection is kept among them.
const ADDED: usize = 4;

/// No script, no style, no image, no form, and an origin of nobody.
const SANDBOX: HeaderValue = HeaderValue::from_static("sandbox; default-src 'none'");
/// No browser shows this.
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");
/// With a charset: without one, old browsers guess, and some guesses have markup where the text has none.
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Headers that never pass, whoever asked. All of them speak of more than their own answer.
const NEVER: [&str; 25] = [
    // They choose what browsers tell about themselves on each request to this origin.
    "accept-ch",
    "accept-ch-lifetime",
    "critical-ch",
    // It gives cookies of this origin to frames on other sites.
    "activate-storage-access",
    // They move the origin's traffic to another host or port.
    "alt-svc",
    "alternate-protocol",
    // Signs people out of this origin, and wipes what is kept for it.
    "clear-site-data",
    // With it, a page of the engine would keep hold of a window of our own pages, which share its origin.
    "cross-origin-opener-policy",
    "cross-origin-opener-policy-report-only",
    // They bind the host, on all of its ports. What browsers are told of HTTPS is the gateway's to say (`--hsts`).
    "expect-ct",
    "public-key-pins",
    "public-key-pins-report-only",
    "strict-transport-security",
    // They have browsers report on each request to this origin, with its address.
    "nel",
    "report-to",
    // A worker with this could stand between the browser and our own pages.
    "service-worker-allowed",
    // Says whether people are signed in to this origin.
    "set-login",
    // The forgotten sibling of `Set-Cookie`.
    "set-cookie2",
    // It would let other sites measure what they may not read.
    "timing-allow-origin",
    // It offers one answer as a dictionary to unpack others with.
    "use-as-dictionary",
    // Its challenge can be answered with our credential only, as `Authorization` ends here: browsers would show a window
    // in which people type their password, and send it to whatever path the engine likes.
    "www-authenticate",
    // They have a server in front of us answer with something else: a file, or another address.
    "x-accel-redirect",
    "x-sendfile",
    "x-sendfile2",
    "x-lighttpd-send-file",
];

/// Families of such names.
const NEVER_PREFIXES: [&str; 8] = [
    // They would let other sites read answers. A page of another site gets none with what a browser adds by itself.
    "access-control-",
    // Sessions that are bound to a device: they make and change cookies of this origin.
    "sec-session-",
    "secure-session-",
    // See `x-accel-redirect`. `X-Accel-Buffering` is harmless, and streams need it.
    "x-accel-charset",
    "x-accel-expires",
    "x-accel-limit-",
    "x-lighttpd-",
    "x-reproxy-",
];

/// Headers that make something of an answer that is shown as a page: they lead elsewhere, load, run or report.
const OF_PAGES: [&str; 11] = [
    "content-disposition",
    "content-security-policy-report-only",
    "default-style",
    "document-policy",
    "link",
    "location",
    "origin-trial",
    "refresh",
    "reporting-endpoints",
    "sourcemap",
    "speculation-rules",
];

/// Makes the engine's head fit for the client.
///
/// A `101` keeps what says which protocol follows, and browsers show none.
pub fn prepare_response(status: StatusCode, headers: &mut HeaderMap, rules: AnswerRules) {
    let is_upgrade = status == StatusCode::SWITCHING_PROTOCOLS;
    let is_page = rules.is_rendered && !rules.engine_ui;
    let is_kept = rules.keeping != Keeping::AsTold;
    let is_doomed = |name: &HeaderName| {
        is_never(name.as_str())
            || (is_page && OF_PAGES.contains(&name.as_str()))
            || (is_kept && is_for_other_caches(name))
    };
    if is_upgrade {
        strip_where(headers, is_doomed);
    } else {
        strip_hop_and(headers, is_doomed);
    }
    strip_own_set_cookie(headers);
    if is_upgrade {
        return;
    }
    headers.reserve(ADDED);
    // All of one kind go with it: a second value may be the one that counts.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !rules.engine_ui {
        headers.insert(header::CONTENT_SECURITY_POLICY, SANDBOX);
    }
    set_type(status, headers, is_page);
    match rules.keeping {
        Keeping::AsTold => {}
        Keeping::Asked if is_never_stored(headers) => keep(headers, "no-store"),
        Keeping::Asked => keep(headers, "private, no-cache"),
        Keeping::Nothing => keep(headers, "no-store"),
    }
}

/// Makes the fields that come after a body fit for the client: what may not stand in a head may not follow it.
pub fn prepare_trailers(trailers: &mut HeaderMap) {
    strip_where(trailers, |name| {
        is_hop_by_hop(name)
            || is_never(name.as_str())
            || matches!(
                *name,
                header::CONTENT_TYPE
                    | header::CONTENT_SECURITY_POLICY
                    | header::X_CONTENT_TYPE_OPTIONS
                    | header::CACHE_CONTROL
                    | header::SET_COOKIE
            )
            || OF_PAGES.contains(&name.as_str())
    });
}

fn is_never(name: &str) -> bool {
    // Quick no for most headers by their first letters: this runs for every header of every answer.
    let is_candidate = match name.as_bytes() {
        [first, second, third, ..] => matches!(
            (first, second, third),
            (b'a', b'c' | b'l', _)
                | (b'c', b'l', b'e')
                | (b'c', b'r', _)
                | (b'e', b'x', b'p')
                | (b'n', b'e', b'l')
                | (b'p', b'u', _)
                | (b'r', b'e', _)
                | (b's', b'e', b'c' | b't')
                | (b's', b'e', b'r')
                | (b's', b't', _)
                | (b't', b'i', _)
                | (b'u', b's', _)
                | (b'w', b'w', _)
                | (b'x', b'-', b'a' | b'l' | b'r' | b's')
        ),
        _ => false,
    };
    is_candidate && (NEVER.contains(&name) || NEVER_PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
}

/// Whether a header tells caches on the way what `Cache-Control` does not (RFC 9213, and what was there before it).
fn is_for_other_caches(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.ends_with("-cache-control") || matches!(name, "edge-control" | "surrogate-control")
}

/// A type that is missing, or not exactly one, has browsers guess; and what they guess, whoever wrote the body chooses.
fn set_type(status: StatusCode, headers: &mut HeaderMap, is_page: bool) {
    let (first, second) = {
        let mut types = values(headers, &header::CONTENT_TYPE);
        (types.next(), types.next())
    };
    let has_body = !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if first.is_none() && !has_body {
        return;
    }
    let essence = first.filter(|_| second.is_none()).and_then(|value| essence(value.as_bytes()));
    match essence {
        Some(_) if !is_page => {}
        Some(essence) if is_text(essence) => {
            headers.insert(header::CONTENT_TYPE, TEXT);
        }
        _ => {
            headers.insert(header::CONTENT_TYPE, BYTES);
            if is_page {
                headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
            }
        }
    }
}

/// `type/subtype`, if the value is one media type (RFC 9110 section 8.3.1). Browsers read a comma as the beginning of
/// another type, and the last one counts (Fetch standard, "extract a MIME type").
fn essence(value: &[u8]) -> Option<&[u8]> {
    // What an engine's API answers nearly always.
    if value == b"application/json" {
        return Some(value);
    }
    let is_token = |part: &[u8]| {
        !part.is_empty() && part.iter().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(b))
    };
    if !value.iter().all(|b| (b' '..=b'~').contains(b) && *b != b',' || *b == b'\t') {
        return None;
    }
    let essence = value.split(|b| *b == b';').next()?.trim_ascii();
    let mut parts = essence.splitn(2, |b| *b == b'/');
    (is_token(parts.next()?) && is_token(parts.next()?)).then_some(essence)
}

/// Whether people can read it as it is.
fn is_text(essence: &[u8]) -> bool {
    let essence = essence.to_ascii_lowercase();
    essence.starts_with(b"text/") || essence == b"application/json" || essence.ends_with(b"+json")
}

fn is_never_stored(headers: &HeaderMap) -> bool {
    headers.get_all(header::CACHE_CONTROL).iter().any(|value| {
        let words = value.as_bytes().split(|b| !b.is_ascii_alphanumeric() && *b != b'-');
        words.into_iter().any(|word| word.eq_ignore_ascii_case(b"no-store"))
    })
}

fn keep(headers: &mut HeaderMap, what: &'static str) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(what));
}

/// The engine must not be able to set or delete a cookie of the gateway, in any spelling that some browser takes for one.
fn strip_own_set_cookie(headers: &mut HeaderMap) {
    if !has(headers, &header::SET_COOKIE) {
        return;
    }
    let kept: SmallVec<[HeaderValue; 4]> = headers
        .get_all(header::SET_COOKIE)
        .iter()
        .filter(|value| !is_own_cookie(value.as_bytes()))
        .cloned()
        .collect();
    headers.remove(header::SET_COOKIE);
    for value in kept {
        headers.append(header::SET_COOKIE, value);
    }
}

/// Whether a `Set-Cookie` is for a name of ours. Browsers trim the name, and a cookie without a name is sent back as its
/// value alone: `=__Host-doorward=x` comes back as `__Host-doorward=x`. Some readers trim more than others, or decode.
fn is_own_cookie(value: &[u8]) -> bool {
    let pair = value.split(|b| *b == b';').next().unwrap_or_default();
    let decoded: Vec<u8> = percent_decode(pair).collect();
    let is_noise = |b: &u8| !b.is_ascii_graphic() || matches!(b, b'=' | b'"');
    let start = decoded.iter().position(|b| !is_noise(b)).unwrap_or(decoded.len());
    let ours = session::COOKIE_PREFIX.as_bytes();
    decoded.get(start..start + ours.len()).is_some_and(|name| name.eq_ignore_ascii_case(ours))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

    use super::{
        NEVER, NEVER_PREFIXES, OF_PAGES, essence, is_never, is_own_cookie, prepare_response, prepare_trailers,
    };
    use crate::policy::{AnswerRules, Keeping};

    const PROGRAM: AnswerRules =
        AnswerRules { engine_ui: false, is_rendered: false, keeping: Keeping::AsTold };
    const WINDOW: AnswerRules =
        AnswerRules { engine_ui: false, is_rendered: true, keeping: Keeping::Nothing };
    const UI: AnswerRules = AnswerRules { engine_ui: true, ..WINDOW };

    fn prepared(status: u16, rules: AnswerRules, pairs: &[(&str, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        prepare_response(StatusCode::from_u16(status).unwrap(), &mut headers, rules);
        headers
    }

    fn all<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a HeaderValue> {
        headers.get_all(name).iter().collect()
    }

    #[test]
    fn i1_every_answer_says_once_that_its_type_is_not_to_be_guessed() {
        for status in [200, 206, 301, 304, 401, 404, 500] {
            for rules in [PROGRAM, WINDOW, UI] {
                let headers = prepared(
                    status,
                    rules,
                    &[("x-content-type-options", b"sniff"), ("x-content-type-options", b"\xff")],
                );
                assert_eq!(all(&headers, "x-content-type-options"), ["nosniff"], "{status} {rules:?}");
            }
        }
    }

    #[test]
    fn i1_a_type_that_is_missing_doubled_or_cannot_be_read_is_one_that_no_browser_shows() {
        let odd: [&[&[u8]]; 12] = [
            &[],
            &[b""],
            &[b"  "],
            &[b"html"],
            &[b"text/"],
            &[b"/html"],
            &[b"text/html/x"],
            &[b"text/ht ml"],
            &[b"text/html\xff"],
            &[b"text/plain, text/html"],
            &[b"text/plain;a=b,text/html"],
            &[b"text/plain", b"text/html"],
        ];
        for values in odd {
            for rules in [PROGRAM, WINDOW, UI] {
                let pairs: Vec<(&str, &[u8])> = values.iter().map(|value| ("content-type", *value)).collect();
                let headers = prepared(200, rules, &pairs);
                assert_eq!(all(&headers, "content-type"), ["application/octet-stream"], "{values:?}");
            }
        }
        for status in [204, 304] {
            assert!(all(&prepared(status, PROGRAM, &[]), "content-type").is_empty(), "{status}");
        }
        assert!(prepared(101, PROGRAM, &[]).is_empty());
    }

    #[test]
    fn i1_a_program_is_told_the_engines_own_type() {
        for kind in [
            "application/json",
            "text/html; charset=utf-8",
            "application/vnd.docker.raw-stream",
            "application/vnd.docker.multiplexed-stream",
            "application/x-tar",
            "multipart/form-data; boundary=x-y",
            "Text/Plain ; charset=\"utf-8\"",
        ] {
            let headers = prepared(200, PROGRAM, &[("content-type", kind.as_bytes())]);
            assert_eq!(headers["content-type"], kind);
            assert!(!headers.contains_key("content-disposition") && !headers.contains_key("cache-control"));
        }
    }

    #[test]
    fn i1_what_would_be_a_page_is_text_or_a_file_and_belongs_to_no_origin() {
        for kind in
            ["text/html", "TEXT/HTML; charset=utf-7", "text/xml", "application/json", "application/hal+json"]
        {
            let headers = prepared(
                200,
                WINDOW,
                &[("content-type", kind.as_bytes()), ("content-security-policy", b"script-src *")],
            );
            assert_eq!(headers["content-type"], "text/plain; charset=utf-8", "{kind}");
            assert_eq!(all(&headers, "content-security-policy"), ["sandbox; default-src 'none'"]);
        }
        for kind in [
            "application/xhtml+xml",
            "image/svg+xml",
            "application/pdf",
            "application/xml",
            "image/png",
            "multipart/x-mixed-replace; boundary=x",
            "application/x-tar",
            "no type",
        ] {
            let headers = prepared(
                200,
                WINDOW,
                &[("content-type", kind.as_bytes()), ("content-disposition", b"inline; filename=x.html")],
            );
            assert_eq!(headers["content-type"], "application/octet-stream", "{kind}");
            assert_eq!(all(&headers, "content-disposition"), ["attachment"], "{kind}");
        }
        let page = prepared(200, UI, &[("content-type", b"text/html"), ("content-security-policy", b"x")]);
        assert_eq!(
            (&page["content-type"], &page["content-security-policy"]),
            (&"text/html".parse().unwrap(), &"x".parse().unwrap())
        );
    }

    #[test]
    fn i1_what_speaks_of_more_than_its_own_answer_passes_nowhere() {
        let names = NEVER.iter().map(ToString::to_string);
        let families =
            NEVER_PREFIXES.iter().flat_map(|prefix| [format!("{prefix}x"), format!("{prefix}allow-origin")]);
        for name in names.chain(families).chain(["access-control-allow-credentials".to_owned()]) {
            for status in [101, 200, 304, 404, 500] {
                for rules in [PROGRAM, WINDOW, UI] {
                    let headers = prepared(status, rules, &[(&name, b"*"), (&name, b"\xff"), ("etag", b"x")]);
                    assert!(!headers.contains_key(&name), "{name} {status}");
                    assert!(headers.contains_key("etag"));
                }
            }
        }
    }

    #[test]
    fn i1_a_page_that_is_none_leads_nowhere_and_a_program_is_told_where() {
        for name in OF_PAGES {
            let headers = prepared(302, WINDOW, &[(name, b"https://evil.example")]);
            assert!(headers.get(name).is_none_or(|value| value == "attachment"), "{name}");
            for rules in [PROGRAM, UI] {
                assert_eq!(prepared(302, rules, &[(name, b"x")])[name], "x", "{name}");
            }
        }
    }

    #[test]
    fn names_that_engines_use_pass() {
        for name in [
            "api-version",
            "docker-experimental",
            "expires",
            "libpod-api-version",
            "ostype",
            "retry-after",
            "sec-websocket-accept",
            "server",
            "server-timing",
            "x-accel-buffering",
            "x-docker-container-path-stat",
            "x-reference-id",
            "x-registry-auth",
        ] {
            assert!(!is_never(name), "{name}");
        }
    }

    #[test]
    fn i10_no_spelling_sets_or_deletes_a_cookie_of_ours() {
        let own: [&[u8]; 16] = [
            b"__Host-doorward=x; Path=/; Secure",
            b"__Host-doorward",
            b"__Host-doorward-device=x",
            b"__Host-doorward-login=; Max-Age=0",
            b"__Host-doorward-0badcafe=x",
            b" \t__Host-doorward=x",
            b"=__Host-doorward=x",
            b" = __Host-doorward=x",
            b"==__Host-doorward=x",
            b"__HOST-Doorward=x",
            b"__host-doorward=x",
            b"\xa0__Host-doorward=x",
            b"\xe2\x80\x80__Host-doorward=x",
            b"__Host-doorward\xff=x",
            b"\"__Host-doorward\"=x",
            b"%5F_Host%2ddoorward=x",
        ];
        for value in own {
            assert!(is_own_cookie(value), "{:?}", String::from_utf8_lossy(value));
            for status in [101, 200, 204, 304, 401, 502] {
                for rules in [PROGRAM, WINDOW, UI] {
                    let headers = prepared(status, rules, &[("set-cookie", value), ("set-cookie", b"ui=1")]);
                    assert_eq!(all(&headers, "set-cookie"), ["ui=1"], "{status}");
                }
            }
        }
        for value in
            [&b"ui=__Host-doorward"[..], b"__Host-other=x", b"doorward=x", b"=", b"", b"a; __Host-doorward=x"]
        {
            assert!(!is_own_cookie(value), "{:?}", String::from_utf8_lossy(value));
        }
    }

    #[test]
    fn f6_an_upgrade_keeps_what_says_which_protocol_follows() {
        let kept: [(&str, &[u8]); 5] = [
            ("connection", b"Upgrade"),
            ("upgrade", b"tcp"),
            ("content-type", b"application/vnd.docker.raw-stream"),
            ("sec-websocket-accept", b"x"),
            ("api-version", b"1.41"),
        ];
        let headers = prepared(101, WINDOW, &kept);
        assert_eq!(headers.len(), kept.len());
        assert!(kept.iter().all(|(name, value)| headers[*name].as_bytes() == *value));
        let headers = prepared(200, PROGRAM, &[("connection", b"close, x-hop"), ("x-hop", b"1")]);
        assert!(!headers.contains_key("connection") && !headers.contains_key("x-hop"));
    }

    #[test]
    fn i23_what_a_browser_may_keep_is_for_the_gateway_to_say() {
        let told: [(&str, &[u8]); 3] = [
            ("cache-control", b"public, max-age=9"),
            ("cdn-cache-control", b"max-age=9"),
            ("surrogate-control", b"max-age=9"),
        ];
        let asked = AnswerRules { keeping: Keeping::Asked, ..UI };
        for (rules, said) in [(WINDOW, "no-store"), (UI, "no-store"), (asked, "private, no-cache")] {
            let headers = prepared(200, rules, &told);
            assert_eq!(all(&headers, "cache-control"), [said]);
            assert!(!headers.contains_key("cdn-cache-control") && !headers.contains_key("surrogate-control"));
        }
        let strict =
            prepared(200, asked, &[("cache-control", b"private"), ("cache-control", b"max-age=0,No-Store")]);
        assert_eq!(all(&strict, "cache-control"), ["no-store"]);
        assert_eq!(prepared(200, PROGRAM, &told)["cache-control"], "public, max-age=9");
    }

    #[test]
    fn i10_trailers_say_no_more_than_a_head() {
        let mut trailers = HeaderMap::new();
        for name in ["set-cookie", "clear-site-data", "content-type", "location", "grpc-status"] {
            trailers.insert(HeaderName::from_static(name), HeaderValue::from_static("x"));
        }
        prepare_trailers(&mut trailers);
        assert_eq!(trailers.keys().collect::<Vec<_>>(), ["grpc-status"]);
    }

    #[test]
    fn a_media_type_is_two_words_and_parameters() {
        assert_eq!(essence(b"text/html ; charset=x"), Some(&b"text/html"[..]));
        assert_eq!(
            essence(b"application/vnd.oci.image.manifest.v1+json"),
            Some(&b"application/vnd.oci.image.manifest.v1+json"[..])
        );
    }
}

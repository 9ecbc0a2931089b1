use actix_web::test::TestRequest;
use cookie::{Cookie, CookieJar};
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;

use super::{CookieOutcome, RawCookie, drop_doubtful, former_names, is_canonical, raw_value, read, strip};
use crate::session::{CookieKey, CookieNames};

/// The session cookie's name under [`names`].
const NAME: &str = "__Host-doorward-c33d8163";

/// The names of a gateway whose key is known.
fn names() -> CookieNames {
    CookieNames::of(&[1; 64])
}

const UNICODE_SPACES: [&str; 4] = ["\u{a0}", "\u{2000}", "\u{3000}", "\u{85}"];

#[test]
fn a_cookie_that_we_wrote_is_read() {
    let key = CookieKey::generate().unwrap();
    assert_eq!(outcome(&[&sealed(&key, "the key")], &key), Ok(Some("the key".to_owned())));
    let among = format!("a=b; {}; c=d", sealed(&key, "the key"));
    assert_eq!(outcome(&["x=y", &among], &key), Ok(Some("the key".to_owned())));
}

#[test]
fn i13_of_all_spellings_of_a_cookie_only_the_one_that_actix_session_writes_is_a_key() {
    let key = CookieKey::generate().unwrap();
    let of = |value: &str| {
        let mut jar = actix_web::cookie::CookieJar::new();
        let cookie = actix_web::cookie::Cookie::new(NAME, value.to_owned());
        jar.private_mut(&key.actix()).add(cookie);
        let set = jar.get(NAME).unwrap().encoded().to_string();
        set.split_once('=').unwrap().1.to_owned()
    };
    for length in 40..60 {
        let value = of(&"k".repeat(length));
        assert!(is_canonical(value.as_bytes()), "{value}");
        let mut others: Vec<String> = (0..value.len())
            .filter(|at| {
                !value[..*at].ends_with('%') && !value[..*at].ends_with("%2") && !value[..*at].ends_with("%3")
            })
            .map(|at| {
                let byte = value.as_bytes()[at];
                if byte == b'%' {
                    format!("{}{}", &value[..at], value[at..].to_lowercase())
                } else {
                    format!("{}%{byte:02X}{}", &value[..at], &value[at + 1..])
                }
            })
            .filter(|other| *other != value)
            .collect();
        others.extend(
            [value.replace("%3D", "="), value.replace("%2F", "/")].into_iter().filter(|o| *o != value),
        );
        for other in others {
            assert!(!is_canonical(other.as_bytes()), "{other}");
        }
    }
    assert!(!is_canonical(b"\xff") && !is_canonical(b"%FF") && !is_canonical(b"QUJ"));
}

#[test]
fn no_cookie_of_ours_is_absent() {
    let key = CookieKey::generate().unwrap();
    for cookies in
        [&[][..], &[""], &["a=b"], &["doorward=x"], &["__Host-doorward2=x"], &["a=__Host-doorward"]]
    {
        assert_eq!(outcome(cookies, &key), Ok(None), "{cookies:?}");
    }
    // Of another gateway on this host name, and of this one before names carried an identifier.
    for name in [CookieKey::generate().unwrap().names().session(), "__Host-doorward"] {
        let moved = sealed(&key, "k").replace(key.names().session(), name);
        assert_eq!(outcome(&[&moved], &key), Ok(None), "{moved}");
    }
}

#[test]
fn b2_the_engine_does_not_see_the_device_cookie_in_any_spelling() {
    for planted in [
        "__Host-doorward-device",
        "__host-doorward-Device",
        "%5F_Host-doorward-device",
        "\u{a0}__Host-doorward-device",
    ] {
        let mut headers = HeaderMap::new();
        let value = format!("a=b; {planted}=secret; c=d");
        headers.append(COOKIE, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        strip(&mut headers);
        assert_eq!(headers[COOKIE], "a=b; c=d", "{planted}");
    }
}

#[test]
fn i16_cookies_of_every_gateway_on_the_host_name_are_kept_from_the_engine() {
    for name in [
        NAME,
        "__Host-doorward-c33d8163-device",
        "__Host-doorward-c33d8163-login",
        "__Host-doorward-0badcafe",
        "__HOST-DOORWARD-0badcafe-Device",
        "__Host-doorward",
        "__Host-doorward-login",
        "__Host-doorward-of-a-later-version",
        "%5f_Host%2Ddoorward-0badcafe",
        "\u{a0}__Host-doorward-0badcafe",
    ] {
        let mut headers = headers(&[format!("a=b; {name}=secret; c=d").as_bytes()]);
        strip(&mut headers);
        assert_eq!(headers[COOKIE], "a=b; c=d", "{name}");
    }
}

#[test]
fn i16_former_names_are_found_only_exactly() {
    let found = |cookie: &str| former_names(&headers(&[cookie.as_bytes()])).collect::<Vec<_>>();
    assert_eq!(
        found("a=b; __Host-doorward=x; __Host-doorward-login=y"),
        ["__Host-doorward", "__Host-doorward-login"]
    );
    assert!(found(&format!("{NAME}=x; __host-doorward-device=x; __Host-doorwards=x")).is_empty());
}

#[test]
fn s3_two_cookies_of_one_name_are_refused() {
    let key = CookieKey::generate().unwrap();
    let (good, name) = (sealed(&key, "good"), key.names().session());
    for cookies in [
        &[&*format!("{good}; {name}=planted")][..],
        &[&*format!("{name}=planted; {good}")],
        &[&*good, &*good],
        &[&*good, &*format!("{name}=")],
    ] {
        assert_eq!(outcome(cookies, &key), Err(()), "{cookies:?}");
    }
}

#[test]
fn s3_a_name_that_a_sibling_site_could_plant_is_not_ours() {
    let key = CookieKey::generate().unwrap();
    let good = sealed(&key, "mine");
    for planted in disguises(&sealed(&key, "the attacker's own session")) {
        assert_eq!(outcome(&[&planted], &key), Ok(None), "{planted:?}");
        let both = format!("{planted}; {good}");
        assert_eq!(outcome(&[&both], &key), Ok(Some("mine".to_owned())), "{planted:?}");
    }
}

#[test]
fn s4_a_cookie_that_we_did_not_write_is_invalid() {
    let key = CookieKey::generate().unwrap();
    let good = sealed(&key, "k");
    let name = key.names().session();
    let other = sealed_as(name, &CookieKey::generate().unwrap(), "k");
    let huge = format!("{name}={}", "A".repeat(64 * 1024));
    let truncated = &good[..good.len() - 1];
    let swapped = sealed_as("other", &key, "k").replacen("other", name, 1);
    let mut flipped = good.clone().into_bytes();
    let last = flipped.len() - 6;
    flipped[last] = if flipped[last] == b'A' { b'B' } else { b'A' };
    let flipped = String::from_utf8(flipped).unwrap();
    for value in [
        &format!("{name}="),
        &format!("{name}=%ff%00"),
        &format!("{name}=é"),
        &other,
        &huge,
        truncated,
        &swapped,
        &flipped,
    ] {
        assert_eq!(outcome(&[value], &key), Err(()), "{value:?}");
    }
}

#[test]
fn the_raw_value_is_what_was_sent() {
    let headers = headers(&[format!("a=b;\t{NAME}=x%3D=y \t; c=d").as_bytes()]);
    assert!(raw_value(&headers, &names()) == RawCookie::One(b"x%3D=y"));
}

#[test]
fn s12_our_cookie_is_taken_out_and_the_others_keep_their_bytes() {
    for (before, after) in [
        ("a=1; __Host-doorward=x; b=2", Some("a=1; b=2")),
        ("__Host-doorward=x; a=1", Some("a=1")),
        ("a=1;__Host-doorward=x", Some("a=1")),
        ("a=\"1, 2\"  ; __Host-doorward=x;b = 2; ", Some("a=\"1, 2\"  ;b = 2; ")),
        ("__Host-doorward=x", None),
        (" __Host-doorward=x ; ; __Host-doorward=y", None),
        ("%5F_Host-doorward=x; \u{a0}__Host-doorward=y; z", Some("z")),
        ("a=1;  b=__Host-doorward", Some("a=1;  b=__Host-doorward")),
    ] {
        let mut headers = headers(&[before.as_bytes()]);
        strip(&mut headers);
        let left = headers.get(COOKIE).map(HeaderValue::as_bytes);
        assert_eq!(left, after.map(str::as_bytes), "{before:?}");
    }
}

#[test]
fn s12_all_cookie_headers_are_searched() {
    let mut headers = headers(&[b"a=1", b"__Host-doorward=x", b"b=\xff; __Host-doorward=y"]);
    headers.insert("x-other", HeaderValue::from_static("__Host-doorward=x"));
    strip(&mut headers);
    let left: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    assert_eq!(left, [&b"a=1"[..], b"b=\xff"]);
    assert_eq!(headers.len(), 3);
}

#[test]
fn s3_the_pages_see_one_certain_cookie_or_none() {
    let good = &*format!("{NAME}=x");
    for (before, after) in [
        (format!("a=1; {good}"), Some(good)),
        (format!("a=1; {good}; {good}"), None),
        (format!("a=1; __Host-doorward=x; {good}"), Some(good)),
        ("a=1; __Host-doorward-0badcafe=x".to_owned(), None),
    ] {
        let mut headers = headers(&[before.as_bytes()]);
        drop_doubtful(&mut headers, &names());
        assert_eq!(headers.get(COOKIE).map(HeaderValue::as_bytes), after.map(str::as_bytes));
    }
    for planted in disguises(&format!("{NAME}=evil")) {
        let mut only = headers(&[planted.as_bytes()]);
        drop_doubtful(&mut only, &names());
        assert_eq!(only.get(COOKIE), None, "{planted:?}");
        let mut both = headers(&[format!("{planted}; {good}").as_bytes()]);
        drop_doubtful(&mut both, &names());
        assert_eq!(both.get(COOKIE).map(HeaderValue::as_bytes), Some(good.as_bytes()), "{planted:?}");
    }
}

proptest! {
    #[test]
    fn s4_no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let key = CookieKey::generate().unwrap();
        let mut value = format!("{}=", key.names().session()).into_bytes();
        value.extend(bytes.iter().filter(|byte| **byte >= 32 && **byte != 127 && **byte != b';'));
        let mut headers = headers(&[&value]);
        prop_assert!(!matches!(read(&headers, &key), CookieOutcome::Key(_)));
        strip(&mut headers);
        prop_assert!(!headers.contains_key(COOKIE));
    }

    #[test]
    fn what_was_sealed_comes_back(text in ".{0,60}") {
        let key = CookieKey::generate().unwrap();
        prop_assert_eq!(outcome(&[&sealed(&key, &text)], &key), Ok(Some(text)));
    }

    #[test]
    fn s12_strip_keeps_every_pair_that_is_not_ours(
        pairs in proptest::collection::vec("(a=1|b|__Host-doorwar=3|\u{e9}=x y|c=\"=\"|__Host-doorward=z)", 1..8),
    ) {
        let mut headers = headers(&[pairs.join("; ").as_bytes()]);
        strip(&mut headers);
        let kept: Vec<&str> =
            pairs.iter().map(String::as_str).filter(|pair| *pair != "__Host-doorward=z").collect();
        let expected = kept.join("; ");
        let left = headers.get(COOKIE).map_or(&b""[..], HeaderValue::as_bytes);
        prop_assert_eq!(left, expected.as_bytes());
    }

    /// The pages must not take for our cookie what the data plane does not.
    #[test]
    fn s3_actix_finds_no_cookie_of_ours_but_the_certain_one(
        name in "(%5F|%5f|_|\u{a0}|\u{2000}| |\t|%20){0,4}(__|%5F_|_)(H|h|%48)ost(-|%2D)doorward-c33d8163(%20| |\u{3000}|\"){0,2}",
        before in "(a=b;|;| ;){0,2}",
    ) {
        let mut headers = headers(&[format!("{before}{name}=v").as_bytes()]);
        drop_doubtful(&mut headers, &names());
        let mut request = TestRequest::default();
        if let Some(left) = headers.get(COOKIE) {
            let value = actix_web::http::header::HeaderValue::from_bytes(left.as_bytes()).unwrap();
            request = request.insert_header(("cookie", value));
        }
        let seen = request.to_http_request().cookie(NAME).map(|cookie| cookie.value().to_owned());
        let certain = match raw_value(&headers, &names()) {
            RawCookie::One(value) => Some(String::from_utf8(value.to_vec()).unwrap()),
            _ => None,
        };
        prop_assert_eq!(seen, certain);
    }
}

/// Names that a server may read as ours and for which browsers keep no promise.
fn disguises(cookie: &str) -> Vec<String> {
    let mut disguises = vec![
        cookie.replacen("__", "%5F%5f", 1),
        cookie.replacen("__", "_%5F", 1),
        cookie.replacen('=', " =", 1),
        cookie.replacen("__Host", "__host", 1),
        cookie.replacen("__", "%20__", 1),
    ];
    for space in UNICODE_SPACES {
        disguises.push(format!("{space}{cookie}"));
        disguises.push(cookie.replacen('=', &format!("{space}="), 1));
    }
    disguises
}

fn headers(cookies: &[&[u8]]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for cookie in cookies {
        headers.append(COOKIE, HeaderValue::from_bytes(cookie).unwrap());
    }
    headers
}

/// `Ok(None)` absent, `Ok(Some)` the key, `Err` invalid.
fn outcome(cookies: &[&str], key: &CookieKey) -> Result<Option<String>, ()> {
    let bytes: Vec<&[u8]> = cookies.iter().map(|cookie| cookie.as_bytes()).collect();
    match read(&headers(&bytes), key) {
        CookieOutcome::Absent => Ok(None),
        CookieOutcome::Invalid => Err(()),
        CookieOutcome::Key(text) => Ok(Some(text.expose().to_owned())),
    }
}

fn sealed(key: &CookieKey, text: &str) -> String {
    sealed_as(key.names().session(), key, text)
}

fn sealed_as(name: &str, key: &CookieKey, text: &str) -> String {
    let mut jar = CookieJar::new();
    jar.private_mut(key.plain()).add(Cookie::new(name.to_owned(), text.to_owned()));
    jar.get(name).unwrap().stripped().encoded().to_string()
}

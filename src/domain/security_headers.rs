//! The security headers of every answer that the gateway makes itself: pages, refusals, redirects to the login.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// No script, no style but the gateway's own, no frame around the page, forms only to the gateway.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
    frame-ancestors 'none'; base-uri 'none'";

/// `Referrer-Policy` is not `no-referrer`: browsers would then send `Origin: null` with the login form.
/// The opener policy keeps a page of the engine, which shares the gateway's origin, from holding on to a window of it.
const SECURITY_HEADERS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
];

/// Adds the headers, but leaves what was chosen before: static files may be kept by browsers.
pub fn add_security_headers(headers: &mut HeaderMap) {
    for (name, value) in SECURITY_HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

/// The same as lines of a response head, for an answer that is written without an HTTP library.
#[must_use]
pub fn security_header_lines() -> String {
    SECURITY_HEADERS.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::{add_security_headers, security_header_lines};

    #[test]
    fn i17_what_was_chosen_before_stays_and_the_lines_say_the_same() {
        let mut headers = HeaderMap::new();
        headers.insert("cache-control", "public".parse().unwrap());
        add_security_headers(&mut headers);
        assert_eq!(headers["cache-control"], "public");
        assert_eq!(headers["x-frame-options"], "DENY");
        let lines = security_header_lines();
        assert_eq!(lines.matches("\r\n").count(), headers.len());
        assert!(lines.contains("x-content-type-options: nosniff\r\n"), "{lines}");
    }
}

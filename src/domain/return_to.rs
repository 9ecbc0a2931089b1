//! Where a browser goes after login. An open redirect here hands a fresh login to a phishing page.

use std::fmt;

use percent_encoding::percent_decode_str;

const MAX_BYTES: usize = 4096;

/// A path (and query) on this very site, kept byte for byte; anything doubtful becomes `/`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReturnTo(String);

impl ReturnTo {
    /// The site's root.
    #[must_use]
    pub fn root() -> Self {
        Self("/".to_owned())
    }

    /// Accepts `text` if it is a local path that every browser reads as one, else gives [`ReturnTo::root`].
    #[must_use]
    pub fn parse(text: &str) -> Self {
        if is_local(text) { Self(text.to_owned()) } else { Self::root() }
    }

    /// The path and query, fit for a `Location` header.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReturnTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Only visible ASCII, one leading slash, and no segment that a browser, after decoding, could read as a host, a
/// scheme-relative address or a step upwards. Browsers drop tabs and line breaks and read `\` as `/` (WHATWG URL).
fn is_local(text: &str) -> bool {
    let path = text.split(['?', '#']).next().unwrap_or_default();
    let decoded: Vec<u8> = percent_decode_str(path).collect();
    text.len() <= MAX_BYTES
        && text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
        && path.starts_with('/')
        && !decoded.iter().any(|b| b.is_ascii_control() || *b == b'\\')
        && !decoded.windows(2).any(|pair| pair == b"//")
        && !decoded.split(|b| *b == b'/').any(|segment| segment == b"." || segment == b"..")
        && !is_login_or_logout(&decoded)
}

/// Returning to a page that lets in or out would loop.
fn is_login_or_logout(path: &[u8]) -> bool {
    let path = path.to_ascii_lowercase();
    let own: [&[u8]; 5] =
        [b"/_doorward/login", b"/_doorward/logout", b"/_doorward/certificate", b"/login", b"/logout"];
    own.iter().any(|prefix| {
        path.strip_prefix(*prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::ReturnTo;

    #[test]
    fn r1_next_never_leaves_the_site() {
        for evil in [
            "",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil",
            "/%09/evil.example",
            "/%0d%0a/evil.example",
            "/.//evil",
            "https:evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "/\t/evil",
            "/%5cevil",
            "/%2fevil.example",
            "/a/..//evil",
            "/../evil",
            "/%2e%2e/x",
            " /x",
            "evil",
            "?x",
            "/a b",
            "/ü",
        ] {
            assert_eq!(ReturnTo::parse(evil).as_str(), "/", "{evil:?}");
        }
    }

    #[test]
    fn r2_a_local_path_is_kept_byte_for_byte() {
        for path in
            ["/", "/containers?x=%2F%2Fevil", "/a%20b/c?d=e&f=%0A", "/x?next=https://y", "/v1.41/info"]
        {
            assert_eq!(ReturnTo::parse(path).as_str(), path);
        }
    }

    #[test]
    fn r3_login_and_logout_are_replaced_by_the_root() {
        for path in
            ["/_doorward/login", "/_doorward/login?next=/x", "/_doorward/logout", "/login", "/LOGOUT?x"]
        {
            assert_eq!(ReturnTo::parse(path).as_str(), "/");
        }
    }

    proptest! {
        #[test]
        fn r1_whatever_is_kept_stays_on_its_host(text in "[/\\\\.:%0-9a-fA-F?#@\\t ]{0,24}") {
            let kept = ReturnTo::parse(&text);
            let base = url::Url::parse("https://gate.example/x/y").unwrap();
            let joined = base.join(kept.as_str()).unwrap();
            prop_assert_eq!(joined.host_str(), Some("gate.example"));
            prop_assert_eq!(joined.scheme(), "https");
        }
    }
}

//! What belongs to one hop, to the gateway, or to the client. Pure functions over header maps.
//!
//! Order matters (behaviour H4): first the hop's own headers go, with those that `Connection` names; then every
//! spelling of our identity headers; last ours are added, so that nothing a client wrote can remove or shadow them.

mod response;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

pub use self::response::{prepare_response, prepare_trailers};
use crate::domain::hop::{has, strip_hop_and, strip_where};
use crate::identity::Identity;
use crate::session;

/// `X-Forwarded-User`: who was let in.
pub const FORWARDED_USER: HeaderName = HeaderName::from_static("x-forwarded-user");
/// `X-Forwarded-Groups`: their groups, separated by commas.
pub const FORWARDED_GROUPS: HeaderName = HeaderName::from_static("x-forwarded-groups");
/// `X-Forwarded-For`: the client's address, as the gateway knows it.
pub const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// `X-Forwarded-Proto`: how the client came.
pub const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// `X-Forwarded-Host`: the host that the client asked for.
pub const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Headers that the gateway adds to a request.
const ADDED: usize = 7;

/// What a client might write to be taken for somebody else, with every separator read as `-`.
const IDENTITY: [&str; 19] = [
    "authenticated-user",
    "forwarded",
    // Goes with a change to HTTP/2 that this gateway lets nobody but BuildKit make, which sends none.
    "http2-settings",
    "remote-addr",
    "remote-email",
    "remote-groups",
    "remote-name",
    "remote-user",
    "true-client-ip",
    "via-user",
    "x-auth-request-user",
    "x-authenticated-user",
    "x-client-ip",
    // These name another method than the one that was judged.
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-real-ip",
    "x-remote-user",
    "x-webauth-user",
];

/// Headers that count in their exact spelling only, in canonical form.
const MEANT_EXACTLY: [&str; 18] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "origin",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-registry-auth",
];

/// Families of such names.
const IDENTITY_PREFIXES: [&str; 22] = [
    // What terminators say of client certificates. One that the gateway believed has been read by then.
    "cf-client-cert",
    "client-cert",
    "ssl-",
    "tls-client-",
    "x-amzn-mtls-",
    "x-arr-",
    "x-client-cert",
    "x-client-dn",
    "x-client-s-dn",
    "x-client-subject",
    "x-client-verif",
    "x-ssl",
    "x-tls-client",
    "x-auth-request-",
    "x-authentik-",
    "x-cluster-client-",
    "x-forwarded-",
    // These two name another path than the one that was judged.
    "x-original-",
    "x-rewrite-",
    "x-originating-",
    "x-remote-",
    "x-webauth-",
];

/// What the gateway says of a request.
#[derive(Debug)]
pub struct Facts<'a> {
    /// Who was let in.
    pub identity: &'a Identity,
    /// Where they are.
    pub client: &'a HeaderValue,
    /// `https` or `http`.
    pub proto: &'static str,
    /// The host they asked for.
    pub host: Option<&'a HeaderValue>,
}

/// Makes a client's headers fit for the engine. `upgrade` keeps the request to change protocol, in canonical form.
///
/// `Authorization` is ours. Trailers are not passed on. `Expect` has been answered on this hop: hyper sends 100 as soon as the engine's side wants
/// the body.
pub fn prepare_request(headers: &mut HeaderMap, facts: &Facts<'_>, upgrade: Option<&HeaderValue>) {
    strip_request(headers);
    add_facts(headers, facts, upgrade);
}

/// The first half of [`prepare_request`]: what is left is the client's own.
pub(super) fn strip_request(headers: &mut HeaderMap) {
    strip_hop_and(headers, |name| {
        name == header::AUTHORIZATION
            || name == header::EXPECT
            || name == header::TRAILER
            || is_forged(name.as_str())
    });
    if has(headers, &header::COOKIE) {
        session::strip(headers);
        join_cookies(headers);
    }
}

/// The second half: what the gateway says.
pub(super) fn add_facts(headers: &mut HeaderMap, facts: &Facts<'_>, upgrade: Option<&HeaderValue>) {
    // Once, and not as each of them comes.
    headers.reserve(ADDED);
    if let Some(protocol) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, protocol.clone());
    }
    if facts.identity.door() != crate::domain::Door::None {
        headers.insert(FORWARDED_USER, facts.identity.user_header().clone());
        headers.insert(FORWARDED_GROUPS, facts.identity.groups_header());
    }
    headers.insert(FORWARDED_FOR, facts.client.clone());
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(facts.proto));
    if let Some(host) = facts.host {
        headers.insert(FORWARDED_HOST, host.clone());
    }
}

/// Deletes whatever a client might write to be taken for somebody else, or to be somewhere else.
pub fn strip_identity(headers: &mut HeaderMap) {
    strip_where(headers, |name| is_forged(name.as_str()));
}

/// Over HTTP/2 each cookie may come in a header of its own; HTTP/1.1 knows one (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        headers.insert(header::COOKIE, joined);
    }
}

/// Whether a backend might read this name as who the visitor is, or, if it takes every separator for the same, as one that
/// says how long the request is or where it goes: many (CGI, WSGI, frameworks) take `Remote_User` and `Remote.User` for
/// `Remote-User`. Judged was the header of the exact name.
fn is_forged(name: &str) -> bool {
    // Quick no for nearly every header: all such names begin like one of these, or with a separator.
    let is_candidate = match name.as_bytes() {
        [first, second, ..] if first.is_ascii_alphanumeric() => {
            matches!(
                (first, second),
                (b'a', b'u')
                    | (b'c', b'f' | b'l' | b'o')
                    | (b'e', b'x')
                    | (b'f', b'o')
                    | (b'h', b'o' | b't')
                    | (b'k', b'e')
                    | (b'o', b'r')
                    | (b'p', b'r')
                    | (b'r', b'e')
                    | (b's', b's')
                    | (b't', b'e' | b'l' | b'r')
                    | (b'u', b'p')
                    | (b'v', b'i')
                    | (b'x', _)
            )
        }
        _ => true,
    };
    if !is_candidate {
        return false;
    }
    if is_canonical(name) {
        return is_identity(name);
    }
    let canonical = canonical(name);
    is_identity(&canonical) || MEANT_EXACTLY.contains(&canonical.as_str())
}

fn is_identity(canonical: &str) -> bool {
    IDENTITY.contains(&canonical) || IDENTITY_PREFIXES.iter().any(|prefix| canonical.starts_with(prefix))
}

/// Whether [`canonical`] would change nothing.
fn is_canonical(name: &str) -> bool {
    let mut last = b'-';
    for byte in name.bytes() {
        if !(byte.is_ascii_alphanumeric() || (byte == b'-' && last != b'-')) {
            return false;
        }
        last = byte;
    }
    last != b'-'
}

/// A name as CGI, WSGI and many frameworks tell names apart: whatever is no letter or digit is a separator.
fn canonical(name: &str) -> String {
    let mut canonical = String::with_capacity(name.len());
    for c in name.chars() {
        let c = if c.is_ascii_alphanumeric() { c } else { '-' };
        if c != '-' || !(canonical.is_empty() || canonical.ends_with('-')) {
            canonical.push(c);
        }
    }
    if canonical.ends_with('-') {
        canonical.pop();
    }
    canonical
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::{Facts, prepare_request};
    use crate::domain::Username;
    use crate::domain::hop::requested_upgrade;
    use crate::identity::{Credential, Identity};

    fn prepared(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let credential =
            Credential::from_password([0; 32], Username::parse("bob").unwrap(), vec!["ops".into()], 0, 9);
        let identity = Identity::new(Arc::new(credential));
        let host = headers.get("host").cloned();
        let upgrade = requested_upgrade(&headers);
        let facts = Facts {
            identity: &identity,
            client: &HeaderValue::from_static("198.51.100.7"),
            proto: "https",
            host: host.as_ref(),
        };
        prepare_request(&mut headers, &facts, upgrade.as_ref());
        headers
    }

    #[test]
    fn h3_identity_headers_in_any_spelling_are_deleted() {
        for name in [
            "remote-user",
            "remote_user",
            "remote.user",
            "remote--user",
            "remote_user_",
            "x-forwarded-user",
            "x_forwarded_user",
            "x-forwarded-prefix",
            "x-remote-group",
            "x-real-ip",
            "forwarded",
            "x-ssl-client-cn",
            "ssl_client_s_dn",
            "x-auth-request-email",
            "x-webauth-user",
            "_remote-user",
            "x-original-url",
            "x_rewrite_url",
            ".remote-user",
            "authenticated_user",
            "x-http-method-override",
            "x_http_method_override",
            "x-http-method",
            "x.method.override",
            "x-original-method",
            "true-client-ip",
            "via-user",
            "client-cert",
            "client-cert-chain",
            "client_cert",
            "client.cert_chain",
            "cf-client-cert-der-base64",
            "ssl-client-cert",
            "ssl_clientcert",
            "tls-client-subject",
            "x-amzn-mtls-clientcert",
            "x-arr-clientcert",
            "x_arr_clientcert",
            "x-client-cert",
            "x-client-cert-chain",
            "x-client-certificate",
            "x-client-dn",
            "x-client-verify",
            "x-client-verified",
            "x-forwarded-client-cert",
            "x_forwarded_client_cert",
            "x-forwarded-ssl-client-s-dn",
            "x-forwarded-tls-client-cert",
            "x-forwarded-tls-client-cert-info",
            "x-ssl",
            "x-ssl-cert",
            "x-ssl-client-cert",
            "x_ssl_client_chain_der",
            "x-ssl-client-der",
            "-x-ssl-client-der",
            "x-tls-client-cert-der-base64",
        ] {
            let headers = prepared(&[(name, "root")]);
            assert!(!headers.values().any(|value| value == "root"), "{name}");
            assert_eq!(headers["x-forwarded-user"], "bob");
            assert_eq!(headers.get_all("x-forwarded-user").iter().count(), 1);
        }
    }

    #[test]
    fn i18_a_name_that_some_backend_takes_for_the_framing_is_deleted() {
        for name in [
            "transfer_encoding",
            "transfer.encoding",
            "transfer--encoding",
            "transfer-encoding-",
            "-content-length",
            "content_length",
            "content_length_",
            "content~length",
            "host_",
            "_host",
            "connection_",
            "up_grade_",
            "upgrade_",
            "cookie_",
            "authorization_",
            "content_type",
            "te.",
            "http2-settings",
            "http2_settings",
        ] {
            let is_kept = prepared(&[(name, "chunked")]).contains_key(name);
            assert_eq!(is_kept, name == "up_grade_", "{name}");
        }
        for name in ["content-length", "content-type", "host", "x_custom", "x.y"] {
            assert_eq!(prepared(&[(name, "5")])[name], "5", "{name}");
        }
    }

    #[test]
    fn names_that_only_begin_like_an_identity_header_are_passed_on() {
        for name in [
            "client",
            "client-id",
            "clientid",
            "cf-ray",
            "tls-version",
            "x-client-version",
            "x-registry-auth",
        ] {
            assert_eq!(prepared(&[(name, "kept")])[name], "kept", "{name}");
        }
    }

    #[test]
    fn h4_a_connection_header_cannot_remove_what_the_gateway_adds() {
        let headers =
            prepared(&[("connection", "x-forwarded-user, X-Forwarded-For, x-foo, close"), ("x-foo", "1")]);
        assert_eq!(headers["x-forwarded-user"], "bob");
        assert_eq!(headers["x-forwarded-for"], "198.51.100.7");
        assert!(!headers.contains_key("x-foo") && !headers.contains_key("connection"));
    }

    #[test]
    fn h4_a_connection_header_cannot_remove_framing() {
        let headers =
            prepared(&[("connection", "content-length, host"), ("content-length", "5"), ("host", "gate")]);
        assert_eq!(headers["content-length"], "5");
        assert_eq!(headers["host"], "gate");
    }

    #[test]
    fn s12_the_gateways_credentials_never_reach_the_engine() {
        let headers = prepared(&[
            ("authorization", "Bearer dwt_x"),
            ("cookie", "a=1; __Host-doorward=secret; b=2"),
            ("x-registry-auth", "kept"),
        ]);
        assert!(!headers.contains_key("authorization"));
        assert_eq!(headers["cookie"], "a=1; b=2");
        assert_eq!(headers["x-registry-auth"], "kept");
    }

    #[test]
    fn s12_cookies_in_pieces_become_one_header() {
        let pieces = [("cookie", "a=1"), ("cookie", "__Host-doorward=secret"), ("cookie", "b=2; c=3")];
        let headers = prepared(&pieces);
        assert_eq!(headers.get_all("cookie").iter().collect::<Vec<_>>(), ["a=1; b=2; c=3"]);
    }

    #[test]
    fn f6_an_upgrade_is_passed_on_and_other_hop_headers_are_not() {
        let headers =
            prepared(&[("connection", "keep-alive, Upgrade"), ("upgrade", "tcp"), ("te", "trailers")]);
        assert_eq!(headers["connection"], "Upgrade");
        assert_eq!(headers["upgrade"], "tcp");
        assert!(!headers.contains_key("te"));
        assert!(!prepared(&[("upgrade", "tcp")]).contains_key("upgrade"));
    }
}

//! What a request says to this hop alone (RFC 9110 section 7.6): `Connection`, `Upgrade`, `Expect`. What cannot be read
//! there is refused, since taking it for absent could pass on what it was to hold back.

use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};

use crate::policy::Target;

/// Refuses a request whose hop-by-hop headers or length cannot be read in exactly one way.
///
/// # Errors
/// The status and the sentence to refuse it with.
pub(super) fn check_hop(request: &Parts, target: &Target) -> Result<(), (StatusCode, String)> {
    let bad = |text: &str| Err((StatusCode::BAD_REQUEST, text.to_owned()));
    let (mut lengths, mut upgrades, mut expectations) = (0, 0, 0);
    // One pass over the headers: this runs for each request.
    for (name, value) in &request.headers {
        match *name {
            header::CONNECTION if !is_list(value, is_token) => {
                return bad("the Connection header is not a list of names");
            }
            // Some readers take a leading zero for octal.
            header::CONTENT_LENGTH if matches!(value.as_bytes(), [b'0', _, ..]) => {
                return bad("the request's length begins with a zero");
            }
            header::CONTENT_LENGTH => lengths += 1,
            header::EXPECT => {
                if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") {
                    let text = "the Expect header asks for something else than 100-continue";
                    return Err((StatusCode::EXPECTATION_FAILED, text.to_owned()));
                }
                expectations += 1;
            }
            header::UPGRADE => {
                if !is_list(value, is_protocol) {
                    return bad("the Upgrade header is not a list of protocols");
                }
                if !may_follow(value, &request.method, target.route()) {
                    return bad("only POST to /session and /grpc may change to HTTP/2 (Upgrade: h2c)");
                }
                upgrades += 1;
            }
            _ => {}
        }
    }
    if lengths > 1 {
        return bad("the request gives its length more than once");
    }
    if upgrades > 1 || expectations > 1 {
        return bad("the request holds Upgrade or Expect more than once");
    }
    Ok(())
}

/// Within HTTP/2 any number of requests would follow that nobody judges or writes down. BuildKit's two paths speak gRPC
/// there; whatever else would answer is no engine's.
fn may_follow(protocols: &HeaderValue, method: &Method, route: &str) -> bool {
    let is_http2 = |text: &[u8]| {
        let name = text.split(|b| *b == b'/').next().unwrap_or_default().to_ascii_lowercase();
        name.starts_with(b"h2") || name.starts_with(b"h3") || name == b"http"
    };
    let mut elements = protocols.as_bytes().split(|b| *b == b',').map(<[u8]>::trim_ascii);
    !elements.any(is_http2)
        || (method == Method::POST
            && matches!(route, "/session" | "/grpc")
            && protocols.as_bytes().eq_ignore_ascii_case(b"h2c"))
}

/// A comma-separated list; empty elements are allowed (RFC 9110 section 5.6.1).
fn is_list(value: &HeaderValue, is_element: fn(&[u8]) -> bool) -> bool {
    let mut elements = value.as_bytes().split(|b| *b == b',').map(<[u8]>::trim_ascii);
    elements.all(|element| element.is_empty() || is_element(element))
}

/// A name, and perhaps its version (section 7.8).
fn is_protocol(text: &[u8]) -> bool {
    let mut parts = text.splitn(2, |b| *b == b'/');
    parts.all(is_token)
}

fn is_token(text: &[u8]) -> bool {
    let is_symbol = |b: &u8| b"!#$%&'*+-.^_`|~".contains(b);
    !text.is_empty() && text.iter().all(|b| b.is_ascii_alphanumeric() || is_symbol(b))
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Request};

    use super::check_hop;
    use crate::policy::Target;

    fn status_of(headers: &[(&str, &[u8])]) -> u16 {
        status("GET", "/", headers)
    }

    fn status(method: &str, path: &str, headers: &[(&str, &[u8])]) -> u16 {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, HeaderValue::from_bytes(value).unwrap());
        }
        let request = request.body(()).unwrap().into_parts().0;
        let target = Target::parse(&request.uri, false).unwrap();
        check_hop(&request, &target).map_or_else(|(status, _)| status.as_u16(), |()| 200)
    }

    #[test]
    fn i3_what_a_request_says_to_this_hop_is_read_or_refused() {
        for good in [
            &[("connection", &b"keep-alive, Upgrade"[..]), ("upgrade", b"websocket")][..],
            &[("connection", b""), ("connection", b"x-foo,,\tclose ")],
            &[("upgrade", b"websocket, IRC/6.9")],
            &[("expect", b"100-Continue"), ("content-length", b"5")],
        ] {
            assert_eq!(status_of(good), 200, "{good:?}");
        }
        for bad in [
            &[("connection", &b"x-foo, \xff"[..])][..],
            &[("connection", b"x foo")],
            &[("connection", b"close"), ("connection", b"\"x\"")],
            &[("upgrade", b"tc\xe4p")],
            &[("upgrade", b"tcp/")],
            &[("upgrade", b"tcp/1/2")],
            &[("upgrade", b"tcp"), ("upgrade", b"h2c")],
            &[("expect", b"100-continue"), ("expect", b"100-continue")],
            &[("content-length", b"5"), ("content-length", b"5")],
        ] {
            assert_eq!(status_of(bad), 400, "{bad:?}");
        }
        for unknown in [&b"\xff"[..], b"", b"100-continue, x", b"200-ok"] {
            assert_eq!(status_of(&[("expect", unknown)]), 417, "{unknown:?}");
        }
    }

    #[test]
    fn i18_only_two_paths_may_change_to_http2() {
        for (method, path, protocol, expected) in [
            ("POST", "/session", &b"h2c"[..], 200),
            ("POST", "/v1.41/session", b"h2c", 200),
            ("POST", "/grpc", b"H2C", 200),
            ("POST", "/v1.54/grpc", b"h2c", 200),
            ("POST", "/containers/x/attach", b"tcp", 200),
            ("GET", "/containers/x/attach/ws", b"websocket", 200),
            ("POST", "/containers/x/attach", b"h2c", 400),
            ("POST", "/containers/x/attach", b"tcp, h2c", 400),
            ("POST", "/containers/x/attach", b"tcp,H2C/1", 400),
            ("GET", "/version", b"h2c", 400),
            ("GET", "/session", b"h2c", 400),
            ("POST", "/session/x", b"h2c", 400),
            ("POST", "/x/grpc", b"h2c", 400),
            ("POST", "/v1/v1/grpc", b"h2c", 400),
            ("POST", "/session", b"h2c, tcp", 400),
            ("POST", "/_doorward/stream", b"h2c", 400),
            ("POST", "/x", b"HTTP/2.0", 400),
            ("POST", "/x", b"h2", 400),
        ] {
            assert_eq!(status(method, path, &[("upgrade", protocol)]), expected, "{method} {path}");
        }
    }
}

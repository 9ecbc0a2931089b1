//! What a request says to this hop alone (RFC 9110 section 7.6): `Connection`, `Upgrade`, `Expect`. What cannot be read
//! there is refused, since taking it for absent could pass on what it was to hold back.

use http::request::Parts;
use http::{HeaderValue, StatusCode, header};

/// Refuses a request whose hop-by-hop headers or length cannot be read in exactly one way.
///
/// # Errors
/// The status and the sentence to refuse it with.
pub(super) fn check_hop(request: &Parts) -> Result<(), (StatusCode, String)> {
    let bad = |text: &str| Err((StatusCode::BAD_REQUEST, text.to_owned()));
    let (mut lengths, mut upgrades, mut expectations) = (0, 0, 0);
    // One pass over the headers: this runs for each request.
    for (name, value) in &request.headers {
        match *name {
            header::CONNECTION if !is_list(value, is_token) => {
                return bad("the Connection header is not a list of names");
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

    fn status_of(headers: &[(&str, &[u8])]) -> u16 {
        let mut request = Request::builder().uri("/");
        for (name, value) in headers {
            request = request.header(*name, HeaderValue::from_bytes(value).unwrap());
        }
        check_hop(&request.body(()).unwrap().into_parts().0)
            .map_or_else(|(status, _)| status.as_u16(), |()| 200)
    }

    #[test]
    fn i3_what_a_request_says_to_this_hop_is_read_or_refused() {
        for good in [
            &[("connection", &b"keep-alive, Upgrade"[..]), ("upgrade", b"websocket")][..],
            &[("connection", b""), ("connection", b"x-foo,,\tclose ")],
            &[("upgrade", b"h2c, HTTP/2.0")],
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
}

//! One length per message. A request that gives two is how request smuggling begins (RFC 9112 section 6.1).
//!
//! hyper takes `Transfer-Encoding` and drops `Content-Length` when both are there, in either order, so that what we
//! forward is whole; but a sender that gives both is broken or hostile, and is refused. The dropped header is only in
//! the bytes, so requests with `Transfer-Encoding` are looked at there.

use http::{HeaderMap, Method, Uri, header};
use thiserror::Error;

/// A message whose end could be read in two ways.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("the request gives its length in more than one way")]
pub struct AmbiguousFraming;

/// Checks an HTTP/1 request against the bytes that it was read from.
///
/// # Errors
/// [`AmbiguousFraming`] if it has a transfer coding that is not exactly `chunked`, or a `Content-Length` beside it, or
/// if its bytes cannot be found.
pub fn check_framing(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    read: &[u8],
) -> Result<(), AmbiguousFraming> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(()) };
    if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
        return Err(AmbiguousFraming);
    }
    let head = find_head(method, uri, read).ok_or(AmbiguousFraming)?;
    let mut names = 0;
    for line in head.split(|b| *b == b'\n').skip(1) {
        let name_length = line.iter().position(|b| *b == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(name_length);
        if name.eq_ignore_ascii_case(b"content-length") {
            return Err(AmbiguousFraming);
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            names += 1;
            // A tab or other padding behind the word is what parsers differ on.
            let value = value.strip_prefix(b":").unwrap_or(value);
            let value = value.strip_suffix(b"\r").unwrap_or(value);
            if !value.strip_prefix(b" ").unwrap_or(value).eq_ignore_ascii_case(b"chunked") {
                return Err(AmbiguousFraming);
            }
        }
    }
    if names == 1 { Ok(()) } else { Err(AmbiguousFraming) }
}

/// The head that begins with this request line. Bytes of an earlier body may stand before it.
fn find_head<'a>(method: &Method, uri: &Uri, read: &'a [u8]) -> Option<&'a [u8]> {
    let target = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let line = format!("{method} {target} HTTP/1.");
    let start = find(read, line.as_bytes())?;
    let head = read.get(start..)?;
    let end = find(head, b"\n\r\n").or_else(|| find(head, b"\n\n"))?;
    head.get(..end)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method, Uri};

    use super::check_framing;

    /// As hyper hands it over: `Content-Length` is gone, `Transfer-Encoding` is there.
    fn check(head: &str) -> bool {
        let mut headers = HeaderMap::new();
        for line in head.lines().filter(|line| line.to_ascii_lowercase().starts_with("transfer-encoding:")) {
            headers.append("transfer-encoding", line.split_once(':').unwrap().1.trim().parse().unwrap());
        }
        let bytes = format!("junk{}\r\n\r\n5\r\nhello", head.replace('\n', "\r\n"));
        check_framing(&Method::POST, &Uri::from_static("/build?t=x"), &headers, bytes.as_bytes()).is_ok()
    }

    #[test]
    fn f1_two_lengths_are_refused_in_either_order() {
        assert!(check("POST /build?t=x HTTP/1.1\nHost: x\nTransfer-Encoding: chunked"));
        assert!(check("POST /build?t=x HTTP/1.1\ntransfer-encoding:CHUNKED\nHost: x"));
        assert!(check("POST /build?t=x HTTP/1.1\nHost: x\nContent-Length: 5"));
        for head in [
            "Transfer-Encoding: chunked\nContent-Length: 5",
            "Content-Length: 5\nTransfer-Encoding: chunked",
            "Content-Length: 5\nX: y\ntransfer-encoding: chunked",
            "Transfer-Encoding: chunked\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\t",
            "Transfer-Encoding: \tchunked",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding: gzip, chunked",
        ] {
            assert!(!check(&format!("POST /build?t=x HTTP/1.1\n{head}")), "{head:?}");
        }
    }

    #[test]
    fn f1_a_chunked_request_whose_bytes_are_not_found_is_refused() {
        assert!(!check("POST /other HTTP/1.1\nTransfer-Encoding: chunked"));
    }
}

//! One length per message. A request that gives two is how request smuggling begins (RFC 9112 section 6.1).
//!
//! hyper takes `Transfer-Encoding` and drops `Content-Length` when both are there, in either order, so that what we
//! forward is whole; but a sender that gives both is broken or hostile, and is refused. The dropped header is only in
//! the bytes, so requests with `Transfer-Encoding` are looked at there.

use std::ops::Range;
use std::sync::LazyLock;

use http::{HeaderMap, Method, Uri, header};
use memchr::memmem::Finder;
use thiserror::Error;

/// The empty line behind a head; built once, since it is looked for in every request.
static HEAD_END: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n\r\n"));

/// A message whose end could be read in two ways.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("the request gives its length in more than one way")]
pub struct AmbiguousFraming;

/// Checks an HTTP/1 request against the bytes that it was read from, and gives how many of them are done with: those
/// up to the end of its head. Heads of pipelined requests may stand behind it.
///
/// Bytes of an earlier body may stand before it, and may look like it; so every head in `read` that begins with this
/// request's line must be in order.
///
/// # Errors
/// [`AmbiguousFraming`] if it has a transfer coding that is not exactly `chunked`, or a `Content-Length` beside it, or
/// if its bytes cannot be found.
pub fn check_framing(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    read: &[u8],
) -> Result<usize, AmbiguousFraming> {
    let target = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else {
        return Ok(plain_end(method, target, read));
    };
    let line = format!("{method} {target} HTTP/1.");
    if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
        return Err(AmbiguousFraming);
    }
    let first = find_head(&line, read, 0).ok_or(AmbiguousFraming)?;
    let mut next = Some(first.clone());
    while let Some(head) = next {
        check_head(read.get(head.clone()).unwrap_or_default())?;
        next = find_head(&line, read, head.end);
    }
    Ok(first.end)
}

/// Where the head of a request without a transfer coding ends. Nearly always it is all that was read.
fn plain_end(method: &Method, target: &str, read: &[u8]) -> usize {
    let after_line = read
        .strip_prefix(method.as_str().as_bytes())
        .and_then(|rest| rest.strip_prefix(b" "))
        .and_then(|rest| rest.strip_prefix(target.as_bytes()))
        .and_then(|rest| rest.strip_prefix(b" HTTP/1."));
    if after_line.is_some()
        && let Some(end) = HEAD_END.find(read)
    {
        return end + 4;
    }
    find_head(&format!("{method} {target} HTTP/1."), read, 0).map_or(read.len(), |head| head.end)
}

/// One `Transfer-Encoding: chunked` and no `Content-Length`.
fn check_head(head: &[u8]) -> Result<(), AmbiguousFraming> {
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

/// The next whole head, with its empty line, that begins with this request line.
fn find_head(line: &str, read: &[u8], from: usize) -> Option<Range<usize>> {
    let start = from + find(read.get(from..)?, line.as_bytes())?;
    let head = read.get(start..)?;
    // hyper takes a lone line feed for a line's end, so that either empty line may be the first.
    let ends = [find(head, b"\n\r\n").map(|end| end + 3), find(head, b"\n\n").map(|end| end + 2)];
    ends.into_iter().flatten().min().map(|end| start..start + end)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    // Most logs begin with the head that is looked for.
    if haystack.starts_with(needle) {
        return Some(0);
    }
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
    fn f1_what_looks_like_the_head_in_an_earlier_body_does_not_hide_it() {
        let headers = [("transfer-encoding", "chunked")];
        let headers: HeaderMap = headers
            .into_iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        let good = "POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let bad = "POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n";
        let check =
            |read: &str| check_framing(&Method::POST, &Uri::from_static("/x"), &headers, read.as_bytes());
        assert_eq!(check(&format!("{good}0\r\n\r\n{good}")), Ok(good.len()));
        assert!(check(&format!("{good}{bad}")).is_err());
        assert!(check(&format!("{bad}{good}")).is_err());
        // The rest of a head that has not come in yet is looked at when it has.
        assert_eq!(check(&format!("{good}0\r\n\r\nPOST /x HTTP/1.1\r\nTrans")), Ok(good.len()));
    }

    #[test]
    fn a_request_without_a_coding_gives_up_its_head_and_keeps_what_is_pipelined() {
        let read = b"GET /x HTTP/1.1\r\nHost: x\r\n\r\nPOST /y HTTP/1.1\r\n";
        let done = check_framing(&Method::GET, &Uri::from_static("/x"), &HeaderMap::new(), read).unwrap();
        assert!(read[done..].starts_with(b"POST /y"));
        let unseen = check_framing(&Method::GET, &Uri::from_static("/z"), &HeaderMap::new(), read);
        assert_eq!(unseen, Ok(read.len()));
    }

    #[test]
    fn f1_a_chunked_request_whose_bytes_are_not_found_is_refused() {
        assert!(!check("POST /other HTTP/1.1\nTransfer-Encoding: chunked"));
    }
}

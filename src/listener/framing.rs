//! One length per message, one target per request. A request that gives two lengths is how request smuggling begins
//! (RFC 9112 section 6.1).
//!
//! hyper takes `Transfer-Encoding` and drops `Content-Length` when both are there, in either order, so that what we
//! forward is whole; but a sender that gives both is broken or hostile, and is refused. It also drops the `#fragment` of
//! a target: whoever judged the target before us may have read it to its end. What was dropped is only in the bytes.

use http::{HeaderMap, Method, Uri, header};
use memchr::{memchr, memchr_iter};
use thiserror::Error;

/// A head that was not read as it was written.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum BadHead {
    /// A character that may stand in no target, beyond what hyper has seen of it.
    #[error("the request target holds a character that is not allowed")]
    Character,
    /// A part of the target that hyper cuts off.
    #[error("the request target must not hold a fragment ('#')")]
    Fragment,
    /// No memory is left for the head of who has not authenticated.
    #[error("the gateway is busy with others who have not logged in: try again")]
    NoRoom,
    /// More bytes than are taken, which are so many: 64 KiB of who has not authenticated on the connection yet.
    #[error("the request's head is larger than {0} bytes")]
    TooLarge(usize),
    /// The bytes of this request are not where they must be.
    #[error("the request does not begin where the one before it ended")]
    Lost,
    /// A message whose end could be read in two ways.
    #[error("the request gives its length in more than one way")]
    TwoLengths,
}

/// The body that a head announces.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Body {
    None,
    Sized(u64),
    Chunked,
}

/// Checks a request against `bytes`, which begin with its head, and gives the head's length and its body. `has_body` is
/// what hyper says.
///
/// # Errors
/// [`BadHead`] if these are not its bytes, if its target is longer than hyper says, or if it has a transfer coding that
/// is not exactly `chunked`, or a `Content-Length` beside it.
pub(super) fn check_head(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    has_body: bool,
    bytes: &[u8],
) -> Result<(usize, Body), BadHead> {
    // hyper passes over empty lines before a request (RFC 9112 section 2.2).
    let start = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n')).ok_or(BadHead::Lost)?;
    let head = bytes.get(start..).ok_or(BadHead::Lost)?;
    let target = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let behind = head
        .strip_prefix(method.as_str().as_bytes())
        .and_then(|rest| rest.strip_prefix(b" "))
        .and_then(|rest| rest.strip_prefix(target.as_bytes()))
        .ok_or(BadHead::Lost)?;
    if behind.first() == Some(&b'#') {
        return Err(BadHead::Fragment);
    }
    if !behind.starts_with(b" HTTP/1.") {
        return Err(BadHead::Lost);
    }
    let length = head_length(head)?;
    // hyper makes a body of every transfer coding, and of every length but zero.
    if !has_body {
        return Ok((start + length, Body::None));
    }
    if !headers.contains_key(header::TRANSFER_ENCODING) {
        return Ok((start + length, sized(headers)?));
    }
    match codings(head.get(..length).ok_or(BadHead::Lost)?)? {
        1 => Ok((start + length, Body::Chunked)),
        _ => Err(BadHead::TwoLengths),
    }
}

/// hyper has taken the header apart already, and refuses what is no number and lengths that differ.
fn sized(headers: &HeaderMap) -> Result<Body, BadHead> {
    let Some(length) = headers.get(header::CONTENT_LENGTH) else { return Ok(Body::None) };
    let length = length.to_str().ok().and_then(|text| text.trim().parse().ok());
    match length.ok_or(BadHead::TwoLengths)? {
        0 => Ok(Body::None),
        length => Ok(Body::Sized(length)),
    }
}

/// The head's length with its empty line. A lone line feed ends a line too, since hyper takes it for one.
pub(super) fn head_length(head: &[u8]) -> Result<usize, BadHead> {
    for end in memchr_iter(b'\n', head) {
        match head.get(end + 1..) {
            Some([b'\n', ..]) => return Ok(end + 2),
            Some([b'\r', b'\n', ..]) => return Ok(end + 3),
            _ => {}
        }
    }
    Err(BadHead::Lost)
}

/// How many transfer codings a head names.
fn codings(head: &[u8]) -> Result<usize, BadHead> {
    let mut codings = 0;
    for line in head.split(|b| *b == b'\n').skip(1) {
        codings += usize::from(is_coding(line)?);
    }
    Ok(codings)
}

/// Whether a line of a request with a transfer coding is that coding, exactly `chunked`.
fn is_coding(line: &[u8]) -> Result<bool, BadHead> {
    let name_length = memchr(b':', line).unwrap_or(line.len());
    let (name, value) = line.split_at(name_length);
    if name.eq_ignore_ascii_case(b"content-length") {
        return Err(BadHead::TwoLengths);
    }
    if !name.eq_ignore_ascii_case(b"transfer-encoding") {
        return Ok(false);
    }
    // A tab or other padding around the word is what parsers differ on.
    let value = value.strip_prefix(b":").unwrap_or(value);
    let value = value.strip_suffix(b"\r").unwrap_or(value);
    let is_chunked = value.strip_prefix(b" ").unwrap_or(value).eq_ignore_ascii_case(b"chunked");
    if is_chunked { Ok(true) } else { Err(BadHead::TwoLengths) }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method, Uri};

    use super::{BadHead, Body, check_head};

    /// As hyper hands it over: `Content-Length` is gone, `Transfer-Encoding` is there.
    fn check(target: &'static str, head: &str) -> Result<Body, BadHead> {
        let mut headers = HeaderMap::new();
        for line in head.lines().filter(|line| line.to_ascii_lowercase().starts_with("transfer-encoding:")) {
            headers.append("transfer-encoding", line.split_once(':').unwrap().1.trim().parse().unwrap());
        }
        let bytes = format!("\r\n{}\r\n\r\n", head.replace('\n', "\r\n"));
        let checked = check_head(
            &Method::POST,
            &Uri::from_static(target),
            &headers,
            true,
            format!("{bytes}5\r\nhello").as_bytes(),
        );
        checked.map(|(length, body)| {
            assert_eq!(length, bytes.len());
            body
        })
    }

    #[test]
    fn f1_two_lengths_are_refused_in_either_order() {
        let check = |head: &str| check("/build?t=x", head);
        assert_eq!(check("POST /build?t=x HTTP/1.1\nHost: x\nTransfer-Encoding: chunked"), Ok(Body::Chunked));
        assert_eq!(check("POST /build?t=x HTTP/1.1\ntransfer-encoding:CHUNKED\nHost: x"), Ok(Body::Chunked));
        assert_eq!(check("POST /build?t=x HTTP/1.1\nHost: x"), Ok(Body::None));
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
            let refused = check(&format!("POST /build?t=x HTTP/1.1\n{head}"));
            assert_eq!(refused, Err(BadHead::TwoLengths), "{head:?}");
        }
    }

    #[test]
    fn i3_a_head_ends_at_the_first_empty_line_of_either_form() {
        let length = |bytes: &str| {
            check_head(&Method::GET, &Uri::from_static("/"), &HeaderMap::new(), false, bytes.as_bytes())
                .map(|(end, _)| end)
        };
        for head in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\n\n",
            "GET / HTTP/1.1\n\r\n",
            "\nGET / HTTP/1.1\nA: b\r\n\n",
        ] {
            for behind in ["", "\n\n", "\r\n\r\n", "POST / HTTP/1.1\r\n\r\n", "x\n\nx"] {
                assert_eq!(length(&format!("{head}{behind}")), Ok(head.len()), "{head:?} {behind:?}");
            }
        }
        for partial in ["GET / HTTP/1.1\r\n\r", "GET / HTTP/1.1\n", "\r\n\r\n", ""] {
            assert_eq!(length(partial), Err(BadHead::Lost), "{partial:?}");
        }
    }

    #[test]
    fn i3_a_target_that_hyper_shortened_is_refused() {
        assert_eq!(check("/a?b", "POST /a?b HTTP/1.1\nHost: x"), Ok(Body::None));
        for (read, written) in [("/a?b", "/a?b#c"), ("/a", "/a#"), ("/", "/#/_ping"), ("/a?b", "/a?b#c#d?e")]
        {
            assert_eq!(check(read, &format!("POST {written} HTTP/1.1\nHost: x")), Err(BadHead::Fragment));
        }
        for head in [
            "POST /other HTTP/1.1\nTransfer-Encoding: chunked",
            "POST /a HTTP/2.0",
            "GET /a HTTP/1.1",
            "POST /a",
        ] {
            assert_eq!(check("/a", head), Err(BadHead::Lost), "{head}");
        }
    }
}

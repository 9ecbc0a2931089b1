//! The head of the request that a client is sending, byte for byte.
//!
//! hyper drops parts of what it reads: a `Content-Length` beside `Transfer-Encoding`, the `#fragment` of a target. They
//! can only be seen in the bytes. So this keeps the bytes of a head from its first to its last, and follows the bodies
//! between heads without keeping them. If a request as hyper read it does not begin exactly where the last one ended,
//! it is refused; nothing is searched for, so no body that looks like a head can take a head's place.

use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, Method, Uri};

use crate::listener::chunks::ChunkReader;
use crate::listener::framing::{BadHead, Body, check_head};

/// Most bytes kept: hyper refuses heads of 64 KiB, and may have read as much again behind one.
const MAX_BYTES: usize = 256 * 1024;
/// An idle connection keeps no larger buffer than this.
const IDLE_BYTES: usize = 2 * 1024;

/// The bytes of an HTTP/1 connection that wait to be compared with what hyper made of them. One thread uses it; the lock
/// is there because hyper wants streams that could move.
#[derive(Clone, Debug, Default)]
pub struct HeadLog(Arc<Mutex<Reader>>);

/// What the next byte belongs to.
#[derive(Debug, Default)]
enum Part {
    #[default]
    Head,
    /// A body of a length, of which so many bytes are left.
    Sized(u64),
    Chunked(ChunkReader),
    /// No request can follow.
    End,
}

#[derive(Debug, Default)]
struct Reader {
    part: Part,
    head: Vec<u8>,
}

impl HeadLog {
    /// Compares the request that hyper has just read with its bytes. To be called for each request at the moment when hyper
    /// hands it over: later, bytes of its body may have been read.
    ///
    /// # Errors
    /// [`BadHead`]; the connection must be closed, since no further request on it will be accepted.
    pub fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), BadHead> {
        self.lock().check(method, uri, headers)
    }

    /// Whether a part of a head is there.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        !self.lock().head.is_empty()
    }

    /// Keeps nothing from now on: what follows is not HTTP/1.
    pub fn stop(&self) {
        self.lock().end();
    }

    pub(crate) fn note(&self, bytes: &[u8]) {
        self.lock().note(bytes);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Reader> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader {
    fn check(&mut self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), BadHead> {
        let mut head = std::mem::take(&mut self.head);
        let checked = if matches!(self.part, Part::Head) {
            check_head(method, uri, headers, &head)
        } else {
            Err(BadHead::Lost)
        };
        let (end, body) = match checked {
            Ok(checked) => checked,
            Err(bad) => {
                self.end();
                return Err(bad);
            }
        };
        self.part = match body {
            Body::None => Part::Head,
            Body::Sized(length) => Part::Sized(length),
            Body::Chunked => Part::Chunked(ChunkReader::default()),
        };
        match head.get(end..) {
            Some(behind) if !behind.is_empty() => self.note(behind),
            _ if head.capacity() <= IDLE_BYTES => {
                head.clear();
                self.head = head;
            }
            _ => {}
        }
        Ok(())
    }

    fn note(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let used = match &mut self.part {
                Part::Head => {
                    if self.head.len() + bytes.len() > MAX_BYTES {
                        return self.end();
                    }
                    self.head.extend_from_slice(bytes);
                    return;
                }
                Part::End => return,
                Part::Sized(left) => {
                    let used = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= used as u64;
                    if *left == 0 {
                        self.part = Part::Head;
                    }
                    used
                }
                Part::Chunked(chunks) => match chunks.skip(bytes) {
                    Ok(used) => {
                        if chunks.has_ended() {
                            self.part = Part::Head;
                        }
                        used
                    }
                    // hyper will not accept it either, and then closes the connection.
                    Err(_) => return self.end(),
                },
            };
            bytes = bytes.get(used..).unwrap_or_default();
        }
    }

    fn end(&mut self) {
        *self = Self { part: Part::End, head: Vec::new() };
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

    use super::{HeadLog, MAX_BYTES};
    use crate::listener::BadHead;

    /// Checks a request with these headers, as hyper hands it over.
    fn check(log: &HeadLog, method: &str, target: &str, headers: &[(&str, &str)]) -> Result<(), BadHead> {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect();
        log.check(&method.parse::<Method>().unwrap(), &target.parse::<Uri>().unwrap(), &headers)
    }

    const CHUNKED: [(&str, &str); 1] = [("transfer-encoding", "chunked")];

    /// A connection's bytes, in pieces of each size.
    fn in_pieces(bytes: &str, then: impl Fn(&HeadLog)) {
        for size in [1, 2, 7, 100, bytes.len()] {
            let log = HeadLog::default();
            bytes.as_bytes().chunks(size).for_each(|piece| log.note(piece));
            then(&log);
        }
    }

    #[test]
    fn i3_requests_follow_one_another_whatever_their_bodies_look_like() {
        let chunked = "POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let lure = "GET /c HTTP/1.1\r\n\r\n";
        let bytes = format!(
            "POST /a HTTP/1.1\r\nContent-Length: {}\r\n\r\n{lure}{chunked}{:X};a=b\r\n{lure}\r\n1 \r\n\n\r\n0\r\nX: y\r\n\r\n\
             \r\nGET /c HTTP/1.1\nHost: x\n\nGET /d HTTP/1.1\r\nH",
            lure.len(),
            lure.len()
        );
        in_pieces(&bytes, |log| {
            let length = lure.len().to_string();
            assert_eq!(check(log, "POST", "/a", &[("content-length", &length)]), Ok(()));
            assert_eq!(check(log, "POST", "/b", &CHUNKED), Ok(()));
            assert_eq!(check(log, "GET", "/c", &[("host", "x")]), Ok(()));
            log.note(b"ost: x\r\n\r\n");
            assert_eq!(check(log, "GET", "/d", &[("host", "x")]), Ok(()));
            assert_eq!(log.0.lock().unwrap().head, b"");
        });
    }

    #[test]
    fn i3_a_head_that_is_not_where_it_must_be_is_refused_and_so_is_all_behind_it() {
        let bytes = "GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\nGET /a HTTP/1.1\r\n\r\n";
        in_pieces(bytes, |log| {
            assert_eq!(check(log, "GET", "/a", &[]), Ok(()));
            assert_eq!(check(log, "GET", "/a", &[]), Err(BadHead::Lost));
            assert_eq!(check(log, "GET", "/b", &[]), Err(BadHead::Lost));
        });
    }

    #[test]
    fn i3_a_length_beside_a_coding_is_seen_wherever_it_stands_in_a_large_head() {
        let pad = format!("X-Pad: {}\r\n", "x".repeat(30_000));
        for lines in [
            format!("Content-Length: 5\r\n{pad}Transfer-Encoding: chunked\r\n"),
            format!("{pad}Content-Length: 5\r\n{pad}Transfer-Encoding: chunked\r\n"),
            format!("Transfer-Encoding: chunked\r\n{pad}Content-Length: 5\r\n"),
        ] {
            let log = HeadLog::default();
            log.note(format!("POST /a HTTP/1.1\r\n{lines}\r\n").as_bytes());
            assert_eq!(check(&log, "POST", "/a", &CHUNKED), Err(BadHead::TwoLengths));
        }
        let log = HeadLog::default();
        log.note(format!("POST /a HTTP/1.1\r\n{pad}Transfer-Encoding: chunked\r\n{pad}\r\n").as_bytes());
        assert_eq!(check(&log, "POST", "/a", &CHUNKED), Ok(()));
    }

    #[test]
    fn i13_bodies_are_not_kept_and_heads_have_an_end() {
        let log = HeadLog::default();
        log.note(b"POST /a HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n");
        assert_eq!(check(&log, "POST", "/a", &[("content-length", "1000000")]), Ok(()));
        log.note(&[b'x'; 900_000]);
        assert!(log.0.lock().unwrap().head.capacity() < 4096);
        log.note(&[b'x'; 100_000]);
        log.note(&vec![b'x'; MAX_BYTES + 1]);
        assert_eq!(log.0.lock().unwrap().head.capacity(), 0);
        assert_eq!(check(&log, "GET", "/", &[]), Err(BadHead::Lost));
    }
}

//! The head of the request that a client is sending, byte for byte.
//!
//! hyper drops parts of what it reads: a `Content-Length` beside `Transfer-Encoding`, the `#fragment` of a target. They
//! can only be seen in the bytes. So this keeps the bytes of a head from its first to its last, and follows the bodies
//! between heads without keeping them. If a request as hyper read it does not begin exactly where the last one ended,
//! it is refused; nothing is searched for, so no body that looks like a head can take a head's place.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, Method, Uri};
use memchr::memchr;

use crate::listener::chunks::ChunkReader;
use crate::listener::framing::{BadHead, Body, check_head};
use crate::listener::head_gate::{self, Admitted, HeadGate};

/// Most bytes kept: a head, and as much again that may have been read behind it.
const MAX_BYTES: usize = 2 * head_gate::MOST;
/// An idle connection keeps no larger buffer than this.
const IDLE_BYTES: usize = 2 * 1024;

/// Says whether a connection's certificate is one that lets somebody in.
pub type CertificateJudge = Box<dyn Fn() -> bool + Send>;

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

#[derive(Default)]
struct Reader {
    part: Part,
    head: Vec<u8>,
    gate: HeadGate,
    /// Why the head was ended before it was whole.
    refusal: Option<BadHead>,
    /// Asked once, when a head is large.
    judge: Option<CertificateJudge>,
    is_judged_good: bool,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("part", &self.part)
            .field("refusal", &self.refusal)
            .finish_non_exhaustive()
    }
}

impl HeadLog {
    /// Compares the request that hyper has just read with its bytes. To be called for each request at the moment when hyper
    /// hands it over: later, bytes of its body may have been read.
    ///
    /// Gives the end of the target, if it is longer than hyper takes it.
    ///
    /// # Errors
    /// [`BadHead`]; the connection must be closed, since no further request on it will be accepted.
    pub fn check(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        has_body: bool,
    ) -> Result<Option<String>, BadHead> {
        self.lock().check(method, uri, headers, has_body)
    }

    /// Whose heads may be large before anybody has authenticated on this connection.
    pub fn judge_by(&self, judge: CertificateJudge) {
        self.lock().judge = Some(judge);
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

    /// Takes what was read, and gives what HTTP is to get in its place, if it is something else.
    pub(crate) fn admit(&self, bytes: &[u8], is_known: bool) -> Option<Vec<u8>> {
        self.lock().admit(bytes, is_known)
    }

    /// Ends the head under way, and gives what HTTP is to get for that; `None` if there is none.
    pub(super) fn refuse(&self, why: BadHead) -> Option<Vec<u8>> {
        let mut reader = self.lock();
        let has_begun = matches!(reader.part, Part::Head) && !reader.head.is_empty();
        has_begun.then(|| {
            let ending = head_gate::ending(&reader.head);
            reader.refuse(why);
            ending
        })
    }

    /// Whether a head was ended before it was whole: no more is read.
    pub(super) fn is_refused(&self) -> bool {
        self.lock().refusal.is_some()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Reader> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader {
    fn check(
        &mut self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        has_body: bool,
    ) -> Result<Option<String>, BadHead> {
        if let Some(refusal) = self.refusal {
            return Err(refusal);
        }
        let rest = self.gate.end();
        let mut head = std::mem::take(&mut self.head);
        let checked = if matches!(self.part, Part::Head) {
            check_head(method, uri, headers, has_body, &head)
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
        if let Err(bad) = check_rest(&rest) {
            self.end();
            return Err(bad);
        }
        self.part = match body {
            Body::None => Part::Head,
            Body::Sized(length) => Part::Sized(length),
            Body::Chunked => Part::Chunked(ChunkReader::default()),
        };
        match head.get(end..) {
            Some(behind) if !behind.is_empty() => self.keep(behind),
            _ if head.capacity() <= IDLE_BYTES => {
                head.clear();
                self.head = head;
            }
            _ => {}
        }
        // The gate has made ASCII of it.
        Ok((!rest.is_empty()).then(|| String::from_utf8_lossy(&rest).into_owned()))
    }

    fn admit(&mut self, all: &[u8], is_known: bool) -> Option<Vec<u8>> {
        let bytes = self.skip(all)?;
        let body = all.len() - bytes.len();
        let mut most =
            if is_known || self.is_judged_good { head_gate::MOST } else { head_gate::MOST_OF_STRANGERS };
        if self.head.len() + bytes.len() > most
            && let Some(judge) = self.judge.take()
        {
            self.is_judged_good = judge();
            most = if self.is_judged_good { head_gate::MOST } else { most };
        }
        let changed = match self.gate.admit(&mut self.head, bytes, most) {
            Admitted::AsItIs => return None,
            Admitted::Changed(changed) => changed,
            Admitted::Refused(why, ending) => {
                self.refuse(why);
                ending
            }
        };
        Some([all.get(..body).unwrap_or_default(), &changed].concat())
    }

    fn refuse(&mut self, why: BadHead) {
        self.end();
        self.refusal = Some(why);
    }

    /// Keeps what was read behind a head, and given to HTTP with it.
    fn keep(&mut self, bytes: &[u8]) {
        match self.skip(bytes) {
            Some(head) if self.head.len() + head.len() > MAX_BYTES => self.end(),
            Some(head) => self.head.extend_from_slice(head),
            None => {}
        }
    }

    /// Follows the body, and gives what belongs to a head.
    fn skip<'a>(&mut self, mut bytes: &'a [u8]) -> Option<&'a [u8]> {
        while !bytes.is_empty() {
            let used = match &mut self.part {
                Part::Head => return Some(bytes),
                Part::End => return None,
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
                    Err(_) => {
                        self.end();
                        return None;
                    }
                },
            };
            bytes = bytes.get(used..).unwrap_or_default();
        }
        None
    }

    fn end(&mut self) {
        *self = Self { part: Part::End, refusal: self.refusal, ..Self::default() };
    }
}

/// What hyper would have said of the end of a target, which it has not seen: it is written to the engine as it is.
fn check_rest(rest: &[u8]) -> Result<(), BadHead> {
    if memchr(b'#', rest).is_some() {
        return Err(BadHead::Fragment);
    }
    if rest.iter().all(u8::is_ascii_graphic) { Ok(()) } else { Err(BadHead::Character) }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

    use super::{HeadLog, MAX_BYTES};
    use crate::listener::BadHead;
    use crate::listener::head_gate::{MOST, MOST_OF_STRANGERS};

    /// Checks a request with these headers, as hyper hands it over.
    fn check(log: &HeadLog, method: &str, target: &str, headers: &[(&str, &str)]) -> Result<(), BadHead> {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect();
        let has_body = !headers.is_empty();
        log.check(&method.parse::<Method>().unwrap(), &target.parse::<Uri>().unwrap(), &headers, has_body)
            .map(|rest| assert_eq!(rest, None))
    }

    fn note(log: &HeadLog, bytes: &[u8]) {
        assert_eq!(log.admit(bytes, true), None, "nothing is changed");
    }

    const CHUNKED: [(&str, &str); 1] = [("transfer-encoding", "chunked")];

    /// A connection's bytes, in pieces of each size.
    fn in_pieces(bytes: &str, then: impl Fn(&HeadLog)) {
        for size in [1, 2, 7, 100, bytes.len()] {
            let log = HeadLog::default();
            bytes.as_bytes().chunks(size).for_each(|piece| note(&log, piece));
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
            note(log, b"ost: x\r\n\r\n");
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
            note(&log, format!("POST /a HTTP/1.1\r\n{lines}\r\n").as_bytes());
            assert_eq!(check(&log, "POST", "/a", &CHUNKED), Err(BadHead::TwoLengths));
        }
        let log = HeadLog::default();
        note(&log, format!("POST /a HTTP/1.1\r\n{pad}Transfer-Encoding: chunked\r\n{pad}\r\n").as_bytes());
        assert_eq!(check(&log, "POST", "/a", &CHUNKED), Ok(()));
    }

    #[test]
    fn i13_bodies_are_not_kept_and_heads_have_an_end() {
        let log = HeadLog::default();
        note(&log, b"POST /a HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n");
        assert_eq!(check(&log, "POST", "/a", &[("content-length", "1000000")]), Ok(()));
        note(&log, &[b'x'; 900_000]);
        assert!(log.0.lock().unwrap().head.capacity() < 4096);
        note(&log, &[b'x'; 100_000]);
        assert!(log.admit(&vec![b'x'; MAX_BYTES + 1], true).is_some(), "it is ended");
        assert_eq!(log.0.lock().unwrap().head.capacity(), 0);
        assert_eq!(check(&log, "GET", "/", &[]), Err(BadHead::TooLarge(MOST)));
        assert_eq!(log.admit(b"GET / HTTP/1.1\r\n\r\n", true), None);
        assert_eq!(check(&log, "GET", "/", &[]), Err(BadHead::TooLarge(MOST)));
    }

    #[test]
    fn w4_large_heads_are_for_those_who_have_authenticated_or_show_a_good_certificate() {
        let head = format!("GET /a HTTP/1.1\r\nX-Pad: {}\r\n\r\n", "x".repeat(900_000));
        for (is_known, is_good, is_taken) in
            [(false, false, false), (true, false, true), (false, true, true), (true, true, true)]
        {
            let log = HeadLog::default();
            log.judge_by(Box::new(move || is_good));
            let mut pieces = head.as_bytes().chunks(4096);
            assert_eq!(pieces.all(|piece| log.admit(piece, is_known).is_none()), is_taken);
            let expected = if is_taken { Ok(()) } else { Err(BadHead::TooLarge(MOST_OF_STRANGERS)) };
            assert_eq!(check(&log, "GET", "/a", &[]), expected);
        }
    }
}

//! What HTTP gets of a head, where it must not be what came.
//!
//! Engines take heads of a megabyte, and targets in which a client has escaped too little (`curl -g`, Node). The HTTP
//! library takes no target of 64 KiB, nor one with `"`, `<`, `>` or bytes beyond ASCII, and answers heads that it cannot
//! take with nothing. So the gate escapes what stands for itself in a target, keeps the end of a long one aside, and ends a
//! head that is too large: then it is a request like any other, which is refused with a sentence and a line in the log.

use memchr::{memchr, memrchr};
use percent_encoding::percent_encode_byte;

use crate::listener::framing::{BadHead, head_length};

/// Largest head of who has not authenticated.
pub(super) const MOST_OF_STRANGERS: usize = 64 * 1024;
/// Largest head at all: dockerd's bound (`net/http` of Go, `DefaultMaxHeaderBytes`, and what it allows beyond).
pub(super) const MOST: usize = (1 << 20) + 4 * 1024;
/// Most of a target that the library is given. It takes 65,534 bytes.
const MOST_TARGET: usize = 60 * 1024;

/// The state of one head.
#[derive(Debug, Default)]
pub(super) struct HeadGate {
    /// The request line is whole.
    is_past_line: bool,
    /// The end of the target, of which the library knows the beginning.
    rest: Vec<u8>,
}

/// What HTTP gets in place of what came.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Admitted {
    AsItIs,
    Changed(Vec<u8>),
    /// The head is refused, and this ends it.
    Refused(BadHead, Vec<u8>),
}

/// Where in the request line a byte stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Position {
    Method,
    Target,
    Version,
}

impl HeadGate {
    /// Takes `bytes` that came behind `head`, and adds to it what HTTP gets. `most` is how large a head may be.
    pub(super) fn admit(&mut self, head: &mut Vec<u8>, bytes: &[u8], most: usize) -> Admitted {
        self.is_past_line = self.is_past_line || has_line(head);
        let (is_plain, ends) = if self.is_past_line { (true, true) } else { look_at_line(head, bytes) };
        if is_plain && head.len() + self.rest.len() + bytes.len() <= MOST_TARGET {
            self.is_past_line = ends;
            head.extend_from_slice(bytes);
            return Admitted::AsItIs;
        }
        let given = self.rewritten(head, bytes);
        if head.len() + self.rest.len() + given.len() > most && !self.ends_within(head, &given, most) {
            return Admitted::Refused(BadHead::TooLarge(most), ending(head));
        }
        head.extend_from_slice(&given);
        if given == bytes { Admitted::AsItIs } else { Admitted::Changed(given) }
    }

    /// The end of the target that HTTP has not been given, if the head is over.
    pub(super) fn end(&mut self) -> Vec<u8> {
        std::mem::take(self).rest
    }

    /// `bytes` as the library takes them; the end of a long target goes to the rest.
    fn rewritten(&mut self, head: &[u8], bytes: &[u8]) -> Vec<u8> {
        let mut given = Vec::with_capacity(bytes.len());
        let mut left = bytes.iter();
        let mut position = position(head);
        let mut has_begun = !is_blank(head);
        let mut target = match (position, memchr(b' ', head)) {
            (Position::Target, Some(space)) => head.len() - space - 1,
            _ => 0,
        };
        while !self.is_past_line
            && let Some(&byte) = left.next()
        {
            has_begun |= !matches!(byte, b'\r' | b'\n');
            self.is_past_line = byte == b'\n' && has_begun;
            let is_of_target = position == Position::Target && !matches!(byte, b' ' | b'\r' | b'\n');
            if is_of_target && (target + 3 > MOST_TARGET || !self.rest.is_empty()) {
                push(&mut self.rest, byte);
                continue;
            }
            let before = given.len();
            if is_of_target {
                push(&mut given, byte)
            } else {
                given.push(byte)
            }
            target += if is_of_target { given.len() - before } else { 0 };
            position = match (byte, position) {
                (b' ', Position::Method) => Position::Target,
                (b' ', Position::Target) => Position::Version,
                _ => position,
            };
        }
        given.extend_from_slice(left.as_slice());
        given
    }

    /// Whether the head ends in what came, and is not too large.
    fn ends_within(&self, head: &[u8], given: &[u8], most: usize) -> bool {
        // The empty line may have begun before.
        let start = head.len().saturating_sub(3);
        let joined = [head.get(start..).unwrap_or_default(), given].concat();
        self.is_past_line && head_length(&joined).is_ok_and(|end| start + end + self.rest.len() <= most)
    }
}

/// Whether nothing in the request line needs another spelling, as far as it is there, and whether it ends in `bytes`.
fn look_at_line(head: &[u8], bytes: &[u8]) -> (bool, bool) {
    let blank =
        if is_blank(head) { bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count() } else { 0 };
    let line = bytes.get(blank..).unwrap_or_default();
    let end = memchr(b'\n', line);
    let line = end.and_then(|end| line.get(..end)).unwrap_or(line);
    // No early end: so the compiler looks at many bytes at once.
    (line.iter().fold(true, |plain, b| plain & !must_be_escaped(*b)), end.is_some())
}

/// What makes a whole head of one that has begun.
pub(super) fn ending(head: &[u8]) -> Vec<u8> {
    if !has_line(head) {
        let version = b" HTTP/1.1\r\n\r\n";
        return match (position(head), head.last()) {
            (_, Some(b'\r')) if is_blank(head) => [b"\nGET /", &version[..]].concat(),
            _ if is_blank(head) => [b"GET /", &version[..]].concat(),
            (Position::Method, _) => [b" /", &version[..]].concat(),
            (Position::Target, Some(b' ')) => [b"/", &version[..]].concat(),
            (Position::Target, _) => version.to_vec(),
            (Position::Version, Some(b'\r')) => b"\n\r\n".to_vec(),
            (Position::Version, _) => b"\r\n\r\n".to_vec(),
        };
    }
    let line = memrchr(b'\n', head).and_then(|end| head.get(end + 1..)).unwrap_or_default();
    let end: &[u8] = match line {
        [] => b"\r\n",
        [b'\r'] => b"\n",
        [.., b'\r'] => b"\n\r\n",
        line if memchr(b':', line).is_some() => b"\r\n\r\n",
        _ => b":\r\n\r\n",
    };
    end.to_vec()
}

/// Where the next byte of a request line stands.
fn position(head: &[u8]) -> Position {
    match head.iter().filter(|b| **b == b' ').count() {
        0 => Position::Method,
        1 => Position::Target,
        _ => Position::Version,
    }
}

/// Nothing but empty lines, which may come before a request (RFC 9112 section 2.2).
fn is_blank(head: &[u8]) -> bool {
    head.iter().all(|b| matches!(b, b'\r' | b'\n'))
}

fn has_line(head: &[u8]) -> bool {
    let begun = head.iter().position(|b| !matches!(b, b'\r' | b'\n'));
    begun.is_some_and(|start| head.get(start..).is_some_and(|line| memchr(b'\n', line).is_some()))
}

/// What stands for itself in a target as clients write it, and not as the library takes it. To an engine the escape is the
/// same (Go, `url.ParseRequestURI`).
const fn must_be_escaped(byte: u8) -> bool {
    (byte >= 0x80) | (byte == b'"') | (byte == b'<') | (byte == b'>') | (byte == b'`')
}

fn push(target: &mut Vec<u8>, byte: u8) {
    if must_be_escaped(byte) {
        target.extend_from_slice(percent_encode_byte(byte).as_bytes());
    } else {
        target.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::{Admitted, HeadGate, MOST, MOST_OF_STRANGERS, MOST_TARGET, ending};
    use crate::listener::BadHead;

    /// What HTTP gets of a head that comes in pieces of this size, and the rest of its target.
    fn given(bytes: &[u8], size: usize, most: usize) -> Result<(Vec<u8>, Vec<u8>), BadHead> {
        let (mut gate, mut head, mut given) = (HeadGate::default(), Vec::new(), Vec::new());
        for piece in bytes.chunks(size) {
            match gate.admit(&mut head, piece, most) {
                Admitted::AsItIs => given.extend_from_slice(piece),
                Admitted::Changed(changed) => given.extend_from_slice(&changed),
                Admitted::Refused(bad, end) => {
                    given.extend_from_slice(&end);
                    assert!(is_whole(&given), "{:?}", String::from_utf8_lossy(&given));
                    return Err(bad);
                }
            }
            assert_eq!(given, head, "what is compared is what HTTP gets");
        }
        Ok((given, gate.end()))
    }

    fn is_whole(head: &[u8]) -> bool {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        httparse::Request::new(&mut headers).parse(head).is_ok_and(|status| status.is_complete())
    }

    const SIZES: [usize; 5] = [1, 2, 7, 1000, usize::MAX];

    #[test]
    fn w5_what_clients_do_not_escape_is_escaped_in_the_target_and_nowhere_else() {
        let bytes =
            b"\r\nGET /a<b>?f={\"x\":[\"\xfc\"]}&g=`\xc3\xbc HTTP/1.1\r\nX-A: \"<\xfc>\"\r\n\r\nbody <\xfc>";
        let wanted =
            b"\r\nGET /a%3Cb%3E?f={%22x%22:[%22%FC%22]}&g=%60%C3%BC HTTP/1.1\r\nX-A: \"<\xfc>\"\r\n\r\nbody <\xfc>";
        for size in SIZES {
            assert_eq!(given(bytes, size, MOST), Ok((wanted.to_vec(), Vec::new())), "{size}");
        }
    }

    #[test]
    fn w4_the_end_of_a_long_target_is_kept_aside() {
        let query = format!("buildargs={}\"{}", "a".repeat(MOST_TARGET), "b".repeat(900_000));
        let bytes = format!("POST /build?{query} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes();
        for size in [7, 4096, usize::MAX] {
            let (head, rest) = given(&bytes, size, MOST).unwrap();
            let head = String::from_utf8(head).unwrap();
            let target = head.split(' ').nth(1).unwrap();
            assert!(target.len() <= MOST_TARGET && is_whole(head.as_bytes()) && head.ends_with("\r\n\r\n"));
            let whole = format!("{target}{}", String::from_utf8(rest).unwrap());
            assert!(whole == format!("/build?{}", query.replace('"', "%22")), "{size}");
        }
    }

    #[test]
    fn w4_a_head_that_is_too_large_ends_wherever_it_is_cut() {
        let long = "a".repeat(MOST_OF_STRANGERS);
        for start in
            ["GET /", "GET /?", "GET / HTTP/1.1\r\nX", "GET / HTTP/1.1\r\nX: ", "GET / HTTP/1.1\r\nX: 1\r\n"]
        {
            for size in SIZES {
                let bytes = format!("{start}{long}").into_bytes();
                let refused = given(&bytes, size, MOST_OF_STRANGERS);
                assert_eq!(refused, Err(BadHead::TooLarge(MOST_OF_STRANGERS)), "{start} {size}");
            }
        }
        for head in [
            "",
            "\r",
            "\r\n",
            "G",
            "GET ",
            "GET /",
            "GET / HTTP/1.1\r",
            "GET / HTTP/1.1\r\n",
            "GET / HTTP/1.1\r\nA",
        ] {
            let whole = [head.as_bytes(), &ending(head.as_bytes())].concat();
            assert!(is_whole(&whole), "{head:?}: {:?}", String::from_utf8_lossy(&whole));
        }
        for line in ["\r", "A:", "A: b", "A: b\r", "A: b\r\n", "A: b\r\n\r"] {
            let head = format!("GET / HTTP/1.1\r\n{line}");
            let whole = [head.as_bytes(), &ending(head.as_bytes())].concat();
            assert!(is_whole(&whole), "{head:?}");
        }
    }

    #[test]
    fn w4_a_body_behind_a_head_does_not_count() {
        let head = b"POST /images/load HTTP/1.1\r\nContent-Length: 900000\r\n\r\n".to_vec();
        let bytes = [head, vec![b'<'; 900_000]].concat();
        let (given, _) = given(&bytes, usize::MAX, MOST_OF_STRANGERS).unwrap();
        assert!(given == bytes);
    }
}

//! HTTP/2 by the frame (RFC 9113), for what no library sends.

use super::process::{HOST, TestGateway};
use super::wire::Wire;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// A field of a request, with any bytes as its value.
pub(super) type Field<'a> = (&'a str, &'a [u8]);

/// A connection that has sent its preface.
pub(super) struct Frames {
    wire: Wire,
    next_stream: u32,
}

impl Frames {
    pub(super) fn connect(gateway: &TestGateway) -> Self {
        let mut config = (*gateway.trust()).clone();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let mut wire = Wire::connect(gateway.address, Some(config.into()));
        wire.send([&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, b"")].concat());
        Self { wire, next_stream: 1 }
    }

    /// Sends a request with a good token and gives its status; `None` if the stream or the connection was reset.
    pub(super) fn ask(
        &mut self,
        gateway: &TestGateway,
        fields: &[Field<'_>],
        body: Option<&[u8]>,
    ) -> Option<u16> {
        let token = format!("Bearer {}", gateway.token());
        self.send(&[fields, &[("authorization", token.as_bytes())]].concat(), body)
    }

    /// The same without a token.
    pub(super) fn send(&mut self, fields: &[Field<'_>], body: Option<&[u8]>) -> Option<u16> {
        let block: Vec<u8> = fields.iter().flat_map(|(name, value)| literal(name, value)).collect();
        let stream = self.next_stream;
        self.next_stream += 2;
        let end = if body.is_none() { END_STREAM } else { 0 };
        self.wire.send(frame(HEADERS, END_HEADERS | end, stream, &block));
        if let Some(body) = body {
            self.wire.send(frame(DATA, END_STREAM, stream, body));
        }
        self.status(stream)
    }

    /// The first answer on a stream; settings are acknowledged on the way.
    fn status(&mut self, wanted: u32) -> Option<u16> {
        loop {
            let head = self.wire.read_exact(9);
            let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let payload = self.wire.read_exact(length);
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            match (head[3], stream) {
                (SETTINGS, 0) if head[4] & ACK == 0 => self.wire.send(frame(SETTINGS, ACK, 0, b"")),
                (HEADERS, stream) if stream == wanted => return Some(status_of(&payload)),
                // RST_STREAM, GOAWAY.
                (3, stream) if stream == wanted => return None,
                (7, 0) => return None,
                _ => {}
            }
        }
    }
}

/// The fields that every request has.
pub(super) fn pseudo<'a>(method: &'a str, path: &'a [u8]) -> Vec<Field<'a>> {
    pseudo_for(method, path, HOST)
}

/// The same for another host.
pub(super) fn pseudo_for<'a>(method: &'a str, path: &'a [u8], host: &'a str) -> Vec<Field<'a>> {
    vec![
        (":method", method.as_bytes()),
        (":scheme", b"https"),
        (":path", path),
        (":authority", host.as_bytes()),
    ]
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A literal field without indexing and without Huffman coding (RFC 7541 section 6.2.2).
fn literal(name: &str, value: &[u8]) -> Vec<u8> {
    let text = |bytes: &[u8]| {
        let mut out = Vec::new();
        match bytes.len() {
            short @ 0..127 => out.push(u8::try_from(short).unwrap()),
            long => {
                out.push(127);
                let mut rest = long - 127;
                while rest >= 128 {
                    out.push(u8::try_from(rest % 128 + 128).unwrap());
                    rest /= 128;
                }
                out.push(u8::try_from(rest).unwrap());
            }
        }
        out.extend_from_slice(bytes);
        out
    };
    [&[0][..], &text(name.as_bytes()), &text(value)].concat()
}

/// `:status` stands first: an entry of the static table, or a literal whose name is one (RFC 7541 appendix A).
fn status_of(block: &[u8]) -> u16 {
    match block {
        [indexed @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(*indexed - 0x88)],
        [0x48 | 0x08 | 0x18, 3, digits @ ..] => std::str::from_utf8(&digits[..3]).unwrap().parse().unwrap(),
        [0x48 | 0x08 | 0x18, length @ 0x81..=0x83, coded @ ..] => {
            digits(&coded[..usize::from(*length - 0x80)])
        }
        other => panic!("a status is not understood: {:x?}", &other[..other.len().min(8)]),
    }
}

/// Three digits in Huffman coding (RFC 7541 appendix B).
fn digits(coded: &[u8]) -> u16 {
    const CODES: [&str; 10] =
        ["00000", "00001", "00010", "011001", "011010", "011011", "011100", "011101", "011110", "011111"];
    let bits: String = coded.iter().map(|byte| format!("{byte:08b}")).collect();
    let mut rest = bits.as_str();
    let next = |_| {
        let digit = CODES.iter().position(|code| rest.starts_with(code)).expect("a digit");
        rest = &rest[CODES[digit].len()..];
        u16::try_from(digit).unwrap()
    };
    (0..3).map(next).fold(0, |number, digit| number * 10 + digit)
}

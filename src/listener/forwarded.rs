//! The header `Forwarded` (RFC 7239), and how addresses of hops are written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::{HeaderMap, header};

use crate::domain::authority::is_authority;
use crate::listener::address::{Proto, Unreadable, proto};

/// Longest address of a hop: an IPv6 address in brackets, and a port.
const MAX_HOP_BYTES: usize = 53;

/// What the nearest terminator says in `Forwarded`.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Element {
    pub(super) client: Option<Node>,
    pub(super) host: Option<Vec<u8>>,
    pub(super) proto: Option<Proto>,
}

/// Who is meant by `for` (section 6).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Node {
    Address(IpAddr),
    /// `unknown`, or a name of the terminator's own.
    Hidden,
}

/// The last element of the header, `None` where there is no such header.
///
/// # Errors
/// [`Unreadable::Forwarded`] if the header is not written as section 4 says, in whatever element.
pub(super) fn last(headers: &HeaderMap) -> Result<Option<Element>, Unreadable> {
    let mut last = None;
    for value in headers.get_all(header::FORWARDED) {
        let elements = split(value.as_bytes(), b',').ok_or(Unreadable::Forwarded)?;
        for text in elements {
            last = Some(element(text).ok_or(Unreadable::Forwarded)?);
        }
    }
    Ok(last)
}

/// `1.2.3.4`, `1.2.3.4:567`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:567`; in canonical form.
pub(super) fn parse_address(hop: &[u8]) -> Option<IpAddr> {
    if hop.len() > MAX_HOP_BYTES {
        return None;
    }
    let text = std::str::from_utf8(hop).ok()?;
    let (address, port): (IpAddr, _) = if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        (address.parse::<Ipv6Addr>().ok()?.into(), port)
    } else if let Ok(address) = text.parse::<Ipv6Addr>() {
        (address.into(), "")
    } else {
        let (address, port) = text.split_at(text.find(':').unwrap_or(text.len()));
        (address.parse::<Ipv4Addr>().ok()?.into(), port)
    };
    let is_port = |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)).then(|| address.to_canonical())
}

fn element(text: &[u8]) -> Option<Element> {
    let mut read = Element::default();
    let mut names: Vec<Vec<u8>> = Vec::new();
    for pair in split(text, b';')? {
        let at = pair.iter().position(|b| *b == b'=')?;
        let (name, value) = (pair.get(..at)?.to_ascii_lowercase(), value(pair.get(at + 1..)?)?);
        // Each parameter once in an element (section 4).
        if !is_token(&name) || names.contains(&name) {
            return None;
        }
        match name.as_slice() {
            b"for" => read.client = Some(node(&value)?),
            b"by" => _ = node(&value)?,
            b"host" if is_authority(&value) => read.host = Some(value),
            b"host" => return None,
            b"proto" => read.proto = Some(proto(&value).ok()?),
            _ => {}
        }
        names.push(name);
    }
    Some(read)
}

fn node(text: &[u8]) -> Option<Node> {
    let is_hidden = |name: &[u8]| {
        name.eq_ignore_ascii_case(b"unknown")
            || name.strip_prefix(b"_").is_some_and(|rest| {
                !rest.is_empty()
                    && rest.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
            })
    };
    let name = text.split(|b| *b == b':').next().unwrap_or_default();
    if is_hidden(name) {
        return Some(Node::Hidden);
    }
    // A bare IPv6 address is not allowed here, and a port may be a name.
    let (address, port) = match text.iter().rposition(|b| *b == b':') {
        Some(at) if !text.ends_with(b"]") => (text.get(..at)?, text.get(at + 1..)),
        _ => (text, None),
    };
    let is_bare = address.contains(&b':') && !address.starts_with(b"[");
    let address = parse_address(address).filter(|_| !is_bare)?;
    let is_port =
        |port: &[u8]| is_hidden(port) || (matches!(port.len(), 1..=5) && port.iter().all(u8::is_ascii_digit));
    port.is_none_or(is_port).then_some(Node::Address(address))
}

/// A token, or what a quoted string says (RFC 9110 section 5.6).
fn value(text: &[u8]) -> Option<Vec<u8>> {
    let Some(quoted) = text.strip_prefix(b"\"") else { return is_token(text).then(|| text.to_vec()) };
    let mut bytes = quoted.strip_suffix(b"\"")?.iter();
    let mut read = Vec::with_capacity(quoted.len());
    while let Some(byte) = bytes.next() {
        let byte = if *byte == b'\\' { bytes.next()? } else { byte };
        if !(*byte == b'\t' || *byte == b' ' || byte.is_ascii_graphic()) {
            return None;
        }
        read.push(*byte);
    }
    Some(read)
}

fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))
}

/// Parts between separators that stand outside quotes, without the white space around them; `None` if a quote is left
/// open.
fn split(text: &[u8], separator: u8) -> Option<Vec<&[u8]>> {
    let mut parts = Vec::new();
    let (mut start, mut in_quotes, mut is_escaped) = (0, false, false);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_quotes => is_escaped = true,
            b'"' => in_quotes = !in_quotes,
            _ if *byte == separator && !in_quotes => {
                parts.push(text.get(start..at)?.trim_ascii());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(start..)?.trim_ascii());
    (!in_quotes).then_some(parts)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header};

    use super::{Element, Node, last, parse_address};
    use crate::listener::address::{Proto, Unreadable};

    fn read(values: &[&[u8]]) -> Result<Option<Element>, Unreadable> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::FORWARDED, HeaderValue::from_bytes(value).unwrap());
        }
        last(&headers)
    }

    #[test]
    fn i3_forwarded_is_read_as_rfc_7239_has_it() {
        assert_eq!(read(&[]), Ok(None));
        let element = |client: &str, proto| Element {
            client: Some(Node::Address(client.parse().unwrap())),
            host: None,
            proto,
        };
        for (values, expected) in [
            (
                &[&b"for=192.0.2.60;proto=http;by=203.0.113.43"[..]][..],
                element("192.0.2.60", Some(Proto::Http)),
            ),
            (&[b"for=192.0.2.43, FOR=\"[2001:db8:cafe::17]:4711\""], element("2001:db8:cafe::17", None)),
            (
                &[b"for=unknown;secret=\"a,b;c\\\"\"", b"for=\"198.51.100.17:_port\""],
                element("198.51.100.17", None),
            ),
        ] {
            assert_eq!(read(values), Ok(Some(expected)), "{values:?}");
        }
        for hidden in [&b"for=unknown"[..], b"For=\"_gazonk\"", b"for=_SEVKISEK;ext=1"] {
            assert_eq!(read(&[hidden]).unwrap().unwrap().client, Some(Node::Hidden));
        }
        let host = read(&[b"host=\"gate.example:8100\""]).unwrap().unwrap().host;
        assert_eq!(host.as_deref(), Some(&b"gate.example:8100"[..]));
        for broken in [
            &b""[..],
            b"for",
            b"for=",
            b"=1",
            b"for=1.2.3.4,",
            b"for=1.2.3.4;",
            b"for=1.2.3.4;for=1.2.3.4",
            b"for=\"1.2.3.4",
            b"for=2001:db8::1",
            b"for=\"2001:db8::1\"",
            b"for=1.2.3",
            b"for=1.2.3.4 x=1",
            b"for=\xff",
            b"for=\"\xe4\"",
            b"proto=ftp",
            b"host=\"a b\"",
            b"f\xf6r=1.2.3.4",
            b"for=_",
            b"for=\"[::1]:x\"",
        ] {
            assert_eq!(read(&[broken]), Err(Unreadable::Forwarded), "{broken:?}");
            assert_eq!(read(&[broken, b"for=1.2.3.4"]), Err(Unreadable::Forwarded), "{broken:?}");
        }
    }

    #[test]
    fn i3_an_address_of_a_hop_has_five_forms_and_no_other() {
        for (text, address) in [
            ("1.2.3.4", "1.2.3.4"),
            ("1.2.3.4:65535", "1.2.3.4"),
            ("::ffff:1.2.3.4", "1.2.3.4"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:1", "2001:db8::1"),
        ] {
            assert_eq!(parse_address(text.as_bytes()), Some(address.parse().unwrap()), "{text}");
        }
        for text in [
            "",
            "unknown",
            "_hidden",
            "1.2.3",
            "1.2.3.4.5",
            "01.2.3.4",
            "0x1.2.3.4",
            "1.2.3.4:",
            "1.2.3.4:x",
            "1.2.3.4:65536",
            "1.2.3.4:+1",
            "1.2.3.4:1:2",
            "1.2.3.4 ",
            "[1.2.3.4]",
            "[::1",
            "::1]",
            "[::1]1",
            "[::1]:",
            "[::1]:x",
            "fe80::1%eth0",
            "[fe80::1%1]:2",
            "[fe80::1%25eth0]",
            "::1/64",
            "1.2.3.4/32",
            "host.example",
            "[]",
            ":",
            "\u{ff11}.2.3.4",
        ] {
            assert_eq!(parse_address(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse_address(b"\xff"), None);
        assert_eq!(parse_address(format!("1.2.3.4:{}1", "0".repeat(80)).as_bytes()), None);
    }
}

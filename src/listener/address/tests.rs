use http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::CertHeader;

use super::{Forwarded, Proto, TrustedProxies, Unreadable, is_relayed_unbelieved};

fn read(peer: &str, pairs: &[(&'static str, &'static str)]) -> Forwarded {
    let networks = vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
    let trusted = TrustedProxies::new(networks, None);
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(HeaderName::from_static(name), value.parse().unwrap());
    }
    trusted.read(peer.parse().unwrap(), &headers).unwrap()
}

#[test]
fn h1_an_untrusted_peer_is_not_believed() {
    let headers =
        [("x-forwarded-for", "1.2.3.4"), ("x-forwarded-proto", "http"), ("x-forwarded-host", "evil")];
    assert_eq!(read("192.0.2.1", &headers), Forwarded::default());
}

#[test]
fn c9_a_certificate_is_taken_from_a_trusted_peer_and_the_header_that_was_switched_on() {
    let read = |form: Option<CertHeader>, peer: &str, name: &'static str| {
        let trusted = TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()], form);
        let mut headers = HeaderMap::new();
        // An empty SEQUENCE: what is in it is for whoever checks it.
        headers.insert(HeaderName::from_static(name), "MAA=".parse().unwrap());
        trusted.certificate(peer.parse().unwrap(), &headers).unwrap().is_some()
    };
    let (haproxy, header) = (Some(CertHeader::Haproxy), "x-ssl-client-der");
    assert!(read(haproxy, "10.1.1.1", header) && read(haproxy, "::ffff:10.1.1.1", header));
    assert!(!read(haproxy, "192.0.2.1", header) && !read(haproxy, "0.0.0.0", header));
    assert!(!read(haproxy, "10.1.1.1", "x-forwarded-tls-client-cert"));
    assert!(!read(None, "10.1.1.1", header));
}

#[test]
fn h2_the_first_untrusted_hop_from_the_right_is_the_client() {
    for (value, client) in [
        ("1.2.3.4, 198.51.100.7", "198.51.100.7"),
        ("1.2.3.4, 198.51.100.7, 10.9.9.9", "198.51.100.7"),
        ("198.51.100.7:4711", "198.51.100.7"),
        ("evil, 2001:db8::5", "2001:db8::5"),
        ("[2001:db8::5]:443", "2001:db8::5"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
    ] {
        assert_eq!(
            read("10.1.1.1", &[("x-forwarded-for", value)]).client,
            Some(client.parse().unwrap()),
            "{value}"
        );
    }
    let split = [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "198.51.100.7, 10.2.2.2")];
    assert_eq!(read("10.1.1.1", &split).client, Some("198.51.100.7".parse().unwrap()));
}

#[test]
fn forwarded_headers_that_are_not_believed_are_noticed() {
    let is_noticed = |value: &'static str| {
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", value.parse().unwrap());
        is_relayed_unbelieved(&headers, [198, 51, 100, 7].into())
    };
    assert!(is_noticed("1.2.3.4") && is_noticed("junk") && is_noticed(""));
    assert!(!is_noticed("1.2.3.4, 198.51.100.7:4711"));
    assert!(!is_relayed_unbelieved(&HeaderMap::new(), [198, 51, 100, 7].into()));
}

#[test]
fn an_ipv4_peer_on_a_dual_stack_socket_counts_as_ipv4() {
    let headers = [("x-forwarded-for", "198.51.100.7")];
    assert_eq!(read("::ffff:10.1.1.1", &headers).client, Some("198.51.100.7".parse().unwrap()));
}

/// The same with values that are no text, in the order in which they came.
fn try_read(pairs: &[(&'static str, &[u8])]) -> Result<Forwarded, Unreadable> {
    let trusted = TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()], None);
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
    }
    trusted.read([10, 1, 1, 1].into(), &headers)
}

#[test]
fn i3_the_nearest_hop_counts_or_the_request_is_refused() {
    let read = |values: &[&'static [u8]]| {
        let pairs: Vec<_> = values.iter().map(|value| ("x-forwarded-for", *value)).collect();
        try_read(&pairs).map(|read| read.client.map(|client| client.to_string()))
    };
    for values in [
        &[&b"198.51.100.7"[..]][..],
        &[b"\xff, 198.51.100.7"],
        &[b"\xff,198.51.100.7, 10.2.2.2"],
        &[b"\xe4\xf6", b"junk, ,198.51.100.7:1"],
        &[b"", b"198.51.100.7"],
        &[b"unknown\t,\t198.51.100.7\t"],
    ] {
        assert_eq!(read(values), Ok(Some("198.51.100.7".to_owned())), "{values:?}");
    }
    assert_eq!(read(&[]), Ok(None));
    assert_eq!(read(&[b"10.3.3.3, 10.2.2.2"]), Ok(Some("10.3.3.3".to_owned())));
    for values in [
        &[&b"\xff"[..]][..],
        &[b""],
        &[b" "],
        &[b"198.51.100.7,"],
        &[b"198.51.100.7", b""],
        &[b"198.51.100.7, \xff"],
        &[b"198.51.100.7, unknown"],
        &[b"198.51.100.7, _hidden, 10.2.2.2"],
        &[b"junk, 10.2.2.2"],
        &[b", 10.2.2.2"],
        &[b"fe80::1%eth0"],
        &[b"198.51.100.7:http"],
        &[b"\"198.51.100.7\""],
        &[b"198.51.100.7 10.2.2.2"],
        &[b"for=198.51.100.7"],
    ] {
        assert_eq!(read(values), Err(Unreadable::Client), "{values:?}");
    }
}

#[test]
fn i3_a_host_and_a_protocol_are_read_or_the_request_is_refused() {
    let host = |value: &[u8]| try_read(&[("x-forwarded-host", value)]).map(|read| read.host.unwrap());
    for (value, expected) in
        [(&b"ui.example:1"[..], "ui.example:1"), (b"\xff, [::1]:1", "[::1]:1"), (b"a, b ", "b")]
    {
        assert_eq!(host(value).unwrap(), expected);
    }
    let long = format!("{}.example", "a".repeat(600));
    for value in
        [&b""[..], b"a b", b"a/b", b"u@a", b"\xff", b"a,", b"a:b", b"https://a", b"*", long.as_bytes()]
    {
        assert_eq!(host(value), Err(Unreadable::Host), "{value:?}");
    }
    let proto = |value: &[u8]| try_read(&[("x-forwarded-proto", value)]).map(|read| read.proto.unwrap());
    for value in [&b"https"[..], b"HTTPS", b"http, https", b"\xff, https", b"wss"] {
        assert_eq!(proto(value), Ok(Proto::Https), "{value:?}");
    }
    assert_eq!((proto(b"http"), proto(b"https,http")), (Ok(Proto::Http), Ok(Proto::Http)));
    for value in
        [&b""[..], b"ftp", b"httpss", b"https\xff", b"https,", b"https://", b"1", b"on", b"https http"]
    {
        assert_eq!(proto(value), Err(Unreadable::Proto), "{value:?}");
    }
}

#[test]
fn i3_what_rfc_7239_says_beside_the_other_headers_takes_away_and_never_gives() {
    const FOR: (&str, &[u8]) = ("x-forwarded-for", b"1.2.3.4, 198.51.100.7");
    for said in [
        &b"for=198.51.100.7;proto=https;host=ui.example"[..],
        b"for=1.2.3.4",
        b"for=10.2.2.2",
        b"for=203.0.113.9, for=unknown",
        b"for=_hidden;by=_gate",
        b"proto=https",
    ] {
        let rest: [(_, &[u8]); 2] = [("x-forwarded-proto", b"https"), ("x-forwarded-host", b"UI.example")];
        let read = try_read(&[FOR, rest[0], rest[1], ("forwarded", said)]).unwrap();
        assert_eq!(
            (read.client, read.proto),
            (Some([198, 51, 100, 7].into()), Some(Proto::Https)),
            "{said:?}"
        );
    }
    // Nobody is believed to be where only this header says.
    for said in [&b"for=203.0.113.9"[..], b"proto=https"] {
        assert_eq!(try_read(&[("forwarded", said)]), Err(Unreadable::Missing));
    }
    for said in
        [&b"for=203.0.113.9"[..], b"proto=http", b"host=evil.example", b"for=1.2.3.4, for=203.0.113.9"]
    {
        let rest: [(_, &[u8]); 2] = [("x-forwarded-proto", b"https"), ("x-forwarded-host", b"ui.example")];
        let read = try_read(&[FOR, rest[0], rest[1], ("forwarded", said)]);
        assert_eq!(read, Err(Unreadable::Contradiction), "{said:?}");
    }
    assert_eq!(try_read(&[FOR, ("forwarded", b"\xff")]), Err(Unreadable::Forwarded));
    // That the client came in the clear is believed of whoever says it, that it came by TLS is not.
    assert_eq!(try_read(&[FOR, ("forwarded", b"proto=http")]).unwrap().proto, Some(Proto::Http));
    assert_eq!(try_read(&[FOR, ("forwarded", b"proto=https")]).unwrap().proto, None);
}

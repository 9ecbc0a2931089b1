//! Values as the terminators write them, made from certificates of the test's own.

use data_encoding::BASE64;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::{CADDY_UNSET, MOST_BYTES, Malformed};
use crate::config::CertHeader;
use crate::config::CertHeader::{Caddy, Envoy, Haproxy, Nginx, Rfc9440, Traefik};

/// A leaf, an intermediate CA and a root, in DER.
fn chain() -> [Vec<u8>; 3] {
    let params = |name: &str, ca: bool| {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        params
    };
    let key = || KeyPair::generate().unwrap();
    let root = CertifiedIssuer::self_signed(params("root", true), key()).unwrap();
    let middle = CertifiedIssuer::signed_by(params("middle", true), key(), &root).unwrap();
    let leaf = params("leaf", false).signed_by(&key(), &middle).unwrap();
    [leaf.der().to_vec(), middle.der().to_vec(), root.der().to_vec()]
}

fn pem(der: &[u8]) -> String {
    let body = BASE64.encode(der);
    let lines: Vec<&str> =
        body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// As nginx and Envoy escape: all but unreserved characters.
fn escaped(text: &str) -> String {
    const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, UNRESERVED).to_string()
}

fn binary(der: &[u8]) -> String {
    format!(":{}:", BASE64.encode(der))
}

fn headers(pairs: &[(&'static str, String)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    headers
}

type Read = Result<Option<Vec<Vec<u8>>>, Malformed>;

/// The chain that is read.
fn read(form: CertHeader, pairs: &[(&'static str, String)]) -> Read {
    let certificate = form.read(&headers(pairs))?;
    Ok(certificate.map(|certificate| certificate.chain().map(|der| der.to_vec()).collect()))
}

/// The name in the error, and what kind it is.
fn kind(read: Read) -> String {
    let text = format!("{:?}", read.unwrap_err());
    text.split('(').next().unwrap().to_owned()
}

/// One header of each form with `der` alone in it.
fn alone(form: CertHeader, der: &[u8]) -> (&'static str, String) {
    match form {
        Rfc9440 => ("client-cert", binary(der)),
        Nginx => ("x-ssl-client-cert", escaped(&pem(der))),
        Haproxy | Caddy => ("x-ssl-client-der", BASE64.encode(der)),
        Traefik => ("x-forwarded-tls-client-cert", BASE64.encode(der)),
        Envoy => ("x-forwarded-client-cert", format!("Hash=0f;Cert=\"{}\"", escaped(&pem(der)))),
    }
}

fn forms() -> [CertHeader; 6] {
    CertHeader::ALL.map(|(_, form)| form)
}

#[test]
fn each_form_gives_the_certificate_that_was_put_in() {
    let [leaf, ..] = chain();
    for form in forms() {
        assert_eq!(read(form, &[alone(form, &leaf)]), Ok(Some(vec![leaf.clone()])), "{form:?}");
    }
}

#[test]
fn nothing_an_empty_value_and_a_dash_are_no_certificate() {
    for form in forms() {
        let (name, _) = alone(form, b"");
        assert_eq!(read(form, &[]), Ok(None), "{form:?}");
        for nothing in ["", " ", "-"] {
            assert_eq!(read(form, &[(name, nothing.to_owned())]), Ok(None), "{form:?} {nothing:?}");
        }
    }
    assert_eq!(read(Caddy, &[("x-ssl-client-der", CADDY_UNSET.to_owned())]), Ok(None));
    assert_eq!(kind(read(Haproxy, &[("x-ssl-client-der", CADDY_UNSET.to_owned())])), "Encoding");
}

#[test]
fn c9_no_form_reads_the_header_of_another() {
    let [leaf, ..] = chain();
    let all: Vec<_> = forms().map(|form| alone(form, &leaf)).into_iter().collect();
    for form in forms() {
        let (own, _) = alone(form, b"");
        let others: Vec<_> = all.iter().filter(|(name, _)| *name != own).cloned().collect();
        assert_eq!(read(form, &others), Ok(None), "{form:?}");
    }
}

#[test]
fn chains_come_leaf_first_in_each_form_that_has_them() {
    let [leaf, middle, root] = chain();
    let whole = Ok(Some(vec![leaf.clone(), middle.clone(), root.clone()]));
    let list = format!("{}, {}", binary(&middle), binary(&root));
    assert_eq!(read(Rfc9440, &[alone(Rfc9440, &leaf), ("client-cert-chain", list)]), whole);
    let lines =
        [alone(Rfc9440, &leaf), ("client-cert-chain", binary(&middle)), ("client-cert-chain", binary(&root))];
    assert_eq!(read(Rfc9440, &lines), whole);
    let joined = BASE64.encode(&[middle.clone(), root.clone()].concat());
    assert_eq!(read(Haproxy, &[alone(Haproxy, &leaf), ("x-ssl-client-chain-der", joined)]), whole);
    let parts = [&leaf, &middle, &root].map(|der| BASE64.encode(der));
    assert_eq!(read(Traefik, &[("x-forwarded-tls-client-cert", parts.join(","))]), whole);
    // As Traefik before 2.4 wrote it.
    let parts = parts.map(|part| escaped(&part)).join(",");
    assert_eq!(read(Traefik, &[("x-forwarded-tls-client-cert", parts)]), whole);
    let all = escaped(&[&leaf, &middle, &root].map(|der| pem(der)).concat());
    for element in [
        format!("By=spiffe://x/y;Hash=0f;Chain=\"{all}\";Subject=\"CN=leaf, O=\\\"a;b\\\"\""),
        format!("Cert=\"{}\";Chain=\"{all}\"", escaped(&pem(&leaf))),
    ] {
        assert_eq!(read(Envoy, &[("x-forwarded-client-cert", element)]), whole);
    }
}

#[test]
fn a_leaf_that_stands_in_its_chain_too_counts_once() {
    let [leaf, middle, _] = chain();
    let whole = Ok(Some(vec![leaf.clone(), middle.clone()]));
    let joined = BASE64.encode(&[leaf.clone(), middle.clone()].concat());
    assert_eq!(read(Haproxy, &[alone(Haproxy, &leaf), ("x-ssl-client-chain-der", joined)]), whole);
    let list = format!("{}, {}", binary(&leaf), binary(&middle));
    assert_eq!(read(Rfc9440, &[alone(Rfc9440, &leaf), ("client-cert-chain", list)]), whole);
}

#[test]
fn c9_a_header_that_came_twice_is_refused() {
    let [leaf, middle, _] = chain();
    for form in forms() {
        for second in [&leaf, &middle] {
            assert_eq!(kind(read(form, &[alone(form, &leaf), alone(form, second)])), "Twice", "{form:?}");
        }
        let (name, value) = alone(form, &leaf);
        assert_eq!(kind(read(form, &[(name, String::new()), (name, value)])), "Twice", "{form:?}");
    }
    let chain = ("x-ssl-client-chain-der", BASE64.encode(&middle));
    assert_eq!(kind(read(Haproxy, &[alone(Haproxy, &leaf), chain.clone(), chain])), "Twice");
}

#[test]
fn a_second_element_of_envoys_header_is_refused() {
    let [leaf, middle, _] = chain();
    let value = format!("{},{}", alone(Envoy, &middle).1, alone(Envoy, &leaf).1);
    let error = read(Envoy, &[("x-forwarded-client-cert", value)]).unwrap_err();
    assert!(error.to_string().contains("SANITIZE_SET"), "{error}");
}

#[test]
fn what_is_cut_off_added_to_or_not_a_certificate_is_refused() {
    let [leaf, ..] = chain();
    let longer = [&leaf[..], b"\0"].concat();
    for form in forms() {
        // Empty base64 is no value at all, and so no certificate.
        for der in [&leaf[..leaf.len() - 1], &longer, b"\x30", b"\x04\x01\x00", b"\x30\x80\0\0", b"text"] {
            assert!(
                read(form, &[alone(form, der)]).is_err_and(|error| error.to_string().len() > 10),
                "{form:?} {der:?}"
            );
        }
    }
}

#[test]
fn encodings_with_something_before_behind_or_inside_are_refused() {
    let [leaf, middle, _] = chain();
    let (base64, pem_text) = (BASE64.encode(&leaf), pem(&leaf));
    for value in [
        format!("{base64}="),
        format!(" x{base64}"),
        format!("{base64}\t{base64}"),
        base64.replacen('M', "%", 1),
        format!("::{base64}::"),
        format!(":{base64}"),
        format!(":{base64}:;a=1"),
        format!("{base64},"),
        "{http.request.tls.client.certificate_pem}".to_owned(),
    ] {
        for form in [Haproxy, Caddy, Traefik, Rfc9440] {
            let (name, _) = alone(form, b"");
            let refused = kind(read(form, &[(name, value.clone())]));
            assert!(matches!(refused.as_str(), "Encoding" | "NotDer"), "{form:?} {value} {refused}");
        }
    }
    let key = pem_text.replace("CERTIFICATE", "PRIVATE KEY");
    let other = pem_text.replace("CERTIFICATE", "THING");
    for value in [
        base64,
        escaped(&format!("text\n{pem_text}")),
        escaped(&format!("{pem_text}text")),
        escaped(&format!("{pem_text}{key}{pem_text}")),
        escaped(&format!("{pem_text}{other}{pem_text}")),
        escaped(&format!("{pem_text}{}", pem(&middle))),
        escaped(&pem_text).replacen("%0A", "%0", 1),
        escaped(&pem_text).replacen("%0A", "%FF", 1),
        escaped(&escaped(&pem_text)),
        escaped(&key),
    ] {
        assert_eq!(kind(read(Nginx, &[("x-ssl-client-cert", value.clone())])), "Encoding", "{value}");
        let element = format!("Cert=\"{value}\"");
        assert_eq!(kind(read(Envoy, &[("x-forwarded-client-cert", element)])), "Encoding", "{value}");
    }
}

#[test]
fn a_chain_without_its_leaf_or_with_another_one_is_refused() {
    let [leaf, middle, root] = chain();
    assert_eq!(kind(read(Rfc9440, &[("client-cert-chain", binary(&middle))])), "Stray");
    assert_eq!(kind(read(Haproxy, &[("x-ssl-client-chain-der", BASE64.encode(&middle))])), "Stray");
    let chain = escaped(&format!("{}{}", pem(&middle), pem(&root)));
    let element = format!("Cert=\"{}\";Chain=\"{chain}\"", escaped(&pem(&leaf)));
    assert_eq!(kind(read(Envoy, &[("x-forwarded-client-cert", element)])), "Stray");
    assert_eq!(
        kind(read(Envoy, &[("x-forwarded-client-cert", "Hash=0f;Subject=\"CN=leaf\"".into())])),
        "Absent"
    );
}

#[test]
fn more_than_ten_certificates_or_16_kib_are_refused() {
    let [leaf, middle, _] = chain();
    let small = b"\x30\x00".to_vec();
    let many = |count: usize| vec![small.clone(); count].concat();
    let haproxy = |count| {
        read(Haproxy, &[alone(Haproxy, &leaf), ("x-ssl-client-chain-der", BASE64.encode(&many(count)))])
    };
    assert_eq!(haproxy(9).unwrap().unwrap().len(), 10);
    assert_eq!(kind(haproxy(10)), "TooMany");
    let rfc = |count| {
        let list = vec![binary(&small); count].join(", ");
        read(Rfc9440, &[alone(Rfc9440, &leaf), ("client-cert-chain", list)])
    };
    assert_eq!(rfc(9).unwrap().unwrap().len(), 10);
    assert_eq!(kind(rfc(10)), "TooMany");
    let traefik = |count| {
        read(Traefik, &[("x-forwarded-tls-client-cert", vec![BASE64.encode(&small); count].join(","))])
    };
    assert_eq!(traefik(10).unwrap().unwrap().len(), 10);
    assert_eq!(kind(traefik(11)), "TooMany");
    let envoy = |count| {
        let chain = escaped(&vec![pem(&small); count].concat());
        read(Envoy, &[("x-forwarded-client-cert", format!("Chain=\"{chain}\""))])
    };
    assert_eq!(envoy(10).unwrap().unwrap().len(), 10);
    assert_eq!(kind(envoy(11)), "TooMany");
    for form in forms() {
        let (name, value) = alone(form, &leaf);
        let long = format!("{value}{}", "A".repeat(MOST_BYTES));
        assert_eq!(kind(read(form, &[(name, long)])), "TooLong", "{form:?}");
    }
    let lines: Vec<_> = std::iter::repeat_with(|| ("client-cert-chain", binary(&middle))).take(60).collect();
    assert!(matches!(kind(read(Rfc9440, &lines)).as_str(), "TooLong" | "TooMany"));
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    for form in forms() {
        let mut headers = HeaderMap::new();
        headers.insert(alone(form, b"").0, HeaderValue::from_bytes(b"\xff\xfe").unwrap());
        assert!(form.read(&headers).is_err(), "{form:?}");
    }
}

proptest! {
    #[test]
    fn no_value_makes_it_panic(value in "[ -~]{0,200}", which in 0_usize..6) {
        let form = forms()[which];
        let _ = read(form, &[(alone(form, b"").0, value)]);
    }

    #[test]
    fn no_bytes_behind_the_encoding_make_it_panic(der in proptest::collection::vec(any::<u8>(), 0..200), which in 0_usize..6) {
        let form = forms()[which];
        let _ = read(form, &[alone(form, &der)]);
    }

    #[test]
    fn whatever_follows_a_certificate_is_noticed(more in proptest::collection::vec(any::<u8>(), 1..20), which in 0_usize..6) {
        let [leaf, ..] = chain();
        let form = forms()[which];
        prop_assert!(read(form, &[alone(form, &[leaf, more].concat())]).is_err());
    }
}

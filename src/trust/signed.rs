//! Who signed something: a DER structure of the form `SIGNED{…}` (X.509 section 6.2) and a public key.

use rustls::crypto::aws_lc_rs::default_provider;
use x509_parser::asn1_rs::{Any, FromDer as _};

/// Whether this key (a `SubjectPublicKeyInfo`) signed this structure. Knows the algorithms that certificates may have.
pub(super) fn is_signed_by(signed: &[u8], key: &[u8]) -> bool {
    let (Some(parts), Some((key_algorithm, key))) = (Parts::of(signed), key_of(key)) else { return false };
    let algorithms = default_provider().signature_verification_algorithms;
    algorithms.all.iter().any(|algorithm| {
        algorithm.signature_alg_id().as_ref() == parts.algorithm
            && algorithm.public_key_alg_id().as_ref() == key_algorithm
            && algorithm.verify_signature(key, parts.content, parts.signature).is_ok()
    })
}

struct Parts<'a> {
    content: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(signed: &'a [u8]) -> Option<Self> {
        let (_, outer) = Any::from_der(signed).ok()?;
        let (rest, _) = Any::from_der(outer.data).ok()?;
        let content = outer.data.get(..outer.data.len() - rest.len())?;
        let (rest, algorithm) = Any::from_der(rest).ok()?;
        let (rest, signature) = Any::from_der(rest).ok()?;
        rest.is_empty().then_some(())?;
        Some(Self { content, algorithm: algorithm.data, signature: bits(signature.data)? })
    }
}

/// Algorithm and key of a `SubjectPublicKeyInfo`.
fn key_of(info: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_, outer) = Any::from_der(info).ok()?;
    let (rest, algorithm) = Any::from_der(outer.data).ok()?;
    let (_, key) = Any::from_der(rest).ok()?;
    Some((algorithm.data, bits(key.data)?))
}

/// The content of a BIT STRING of whole bytes.
fn bits(data: &[u8]) -> Option<&[u8]> {
    data.split_first().filter(|(unused, _)| **unused == 0).map(|(_, bits)| bits)
}

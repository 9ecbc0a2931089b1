//! From the text of a header to certificates. Libraries decode; what is here says no to what they would let pass.

use data_encoding::BASE64;
use http::HeaderMap;
use memchr::memmem;
use percent_encoding::percent_decode_str;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{PemObject, SectionKind};
use x509_parser::asn1_rs::{Any, Class, FromDer, Tag};

use super::{Chain, MOST_BYTES, Malformed, Name, at_most};

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
const END: &[u8] = b"-----END CERTIFICATE-----";

/// The one value of a header; `None` where it is missing, empty or `-`, as terminators write "nothing".
pub(super) fn single(headers: &HeaderMap, name: Name) -> Result<Option<&str>, Malformed> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Malformed::Twice(name));
    }
    if value.len() > MOST_BYTES {
        return Err(Malformed::TooLong(name));
    }
    let text = value.to_str().map_err(|_| Malformed::Encoding(name))?.trim();
    Ok((!is_nothing(text)).then_some(text))
}

fn is_nothing(text: &str) -> bool {
    matches!(text, "" | "-")
}

/// A structured list of byte sequences (RFC 8941 section 3.1), over one line or several.
pub(super) fn list(headers: &HeaderMap, name: Name) -> Result<Chain, Malformed> {
    let mut chain = Chain::new();
    let mut length = 0;
    for value in headers.get_all(name) {
        length += value.len();
        if length > MOST_BYTES {
            return Err(Malformed::TooLong(name));
        }
        let text = value.to_str().map_err(|_| Malformed::Encoding(name))?.trim();
        for item in text.split(',').filter(|_| !is_nothing(text)) {
            chain.append(&mut certificates(&binary(item.trim(), name)?, name)?);
            at_most(chain.len(), name)?;
        }
    }
    Ok(chain)
}

/// `:base64:` (RFC 8941 section 3.3.5).
pub(super) fn binary(text: &str, name: Name) -> Result<Vec<u8>, Malformed> {
    let inner = text.strip_prefix(':').and_then(|text| text.strip_suffix(':'));
    base64(inner.ok_or(Malformed::Encoding(name))?, name)
}

/// Canonical base64 with its padding: one text for one value.
pub(super) fn base64(text: &str, name: Name) -> Result<Vec<u8>, Malformed> {
    BASE64.decode(text.as_bytes()).map_err(|_| Malformed::Encoding(name))
}

/// Takes the escapes of a URL out. Neither PEM nor base64 has a percent sign, so one that is left is a broken escape,
/// which the library passes over.
pub(super) fn percent(text: &str, name: Name) -> Result<String, Malformed> {
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| Malformed::Encoding(name))?;
    if decoded.contains('%') { Err(Malformed::Encoding(name)) } else { Ok(decoded.into_owned()) }
}

/// One certificate or more in PEM, leaf first, and nothing else before, behind or among them.
pub(super) fn pem(text: &str, name: Name) -> Result<Chain, Malformed> {
    let text = text.trim().as_bytes();
    if !text.starts_with(BEGIN) || !text.ends_with(END) {
        return Err(Malformed::Encoding(name));
    }
    let mut chain = Chain::new();
    for block in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
        let Ok((SectionKind::Certificate, der)) = block else { return Err(Malformed::Encoding(name)) };
        chain.append(&mut certificates(&der, name)?);
        at_most(chain.len(), name)?;
    }
    // The library passes over blocks of kinds that it does not know.
    if memmem::find_iter(text, b"-----BEGIN ").count() != chain.len() {
        return Err(Malformed::Encoding(name));
    }
    Ok(chain)
}

/// One certificate or more in DER, one right after the other. Only where each begins and ends is looked at: what stands in
/// it is for whoever checks it.
pub(super) fn certificates(der: &[u8], name: Name) -> Result<Chain, Malformed> {
    let mut chain = Chain::new();
    let mut rest = der;
    while !rest.is_empty() || chain.is_empty() {
        let (behind, any) = Any::from_der(rest).map_err(|_| Malformed::NotDer(name))?;
        if any.header.tag() != Tag::Sequence || any.header.class() != Class::Universal {
            return Err(Malformed::NotDer(name));
        }
        let length = rest.len() - behind.len();
        let certificate = rest.get(..length).ok_or(Malformed::NotDer(name))?;
        chain.push(CertificateDer::from(certificate.to_vec()));
        at_most(chain.len(), name)?;
        rest = behind;
    }
    Ok(chain)
}

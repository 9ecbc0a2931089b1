//! What a client certificate says of itself. Nothing of it counts before its chain is verified.

use std::net::{Ipv4Addr, Ipv6Addr};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use rustls::pki_types::CertificateDer;
use x509_parser::asn1_rs::{Any, FromDer as _, Oid, Utf8String, oid};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use super::refusal::Refusal;
use crate::domain::{UnixSeconds, is_unsafe};

/// Microsoft's user principal name (MS-WCCE section 2.2.2.7.7.4), an `otherName`.
const UPN: Oid<'static> = oid!(1.3.6.1.4.1.311.20.2.3);

/// The facts about one client certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CertificateFacts {
    /// Its holder's name as RFC 4514 writes it: `CN=bob,O=Example`.
    pub subject: String,
    /// Its issuer's, in the same form.
    pub issuer: String,
    /// Its serial number, the content of the DER form.
    pub serial: Vec<u8>,
    /// Last second of its validity.
    pub expires: UnixSeconds,
    /// SHA-256 of its public key (`SubjectPublicKeyInfo`).
    pub public_key: [u8; 32],
    /// Whether it says that it is for clients: the extended key usage `clientAuth`, and a key usage that does not keep its
    /// key from signing handshakes.
    pub is_for_clients: bool,
    /// Common names; `None` for one that is no readable text.
    pub common_names: Vec<Option<String>>,
    /// Subject alternative names: kind and value, `None` for one that is no readable text.
    pub alternatives: Vec<(Alternative, Option<String>)>,
}

/// Kinds of subject alternative names (RFC 5280 section 4.2.1.6).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Alternative {
    /// `dNSName`.
    Dns,
    /// `rfc822Name`.
    Email,
    /// `iPAddress`.
    Ip,
    /// User principal name.
    Upn,
    /// `uniformResourceIdentifier`.
    Uri,
}

impl CertificateFacts {
    /// Reads a certificate.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] if it is not exactly one certificate, or one of its parts is broken or there twice.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, Refusal> {
        Self::parse(certificate).ok_or(Refusal::Malformed)
    }

    fn parse(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (rest, parsed) = X509Certificate::from_der(certificate).ok()?;
        if !rest.is_empty() {
            return None;
        }
        // Twice the same extension is an error of these, and ends here.
        let (purposes, usage) = (parsed.extended_key_usage().ok()?, parsed.key_usage().ok()?);
        let names = parsed.subject_alternative_name().ok()?;
        let public_key = digest(&SHA256, parsed.public_key().raw);
        Some(Self {
            subject: describe(parsed.subject()),
            issuer: describe(parsed.issuer()),
            serial: parsed.raw_serial().to_vec(),
            expires: parsed.validity().not_after.timestamp(),
            public_key: public_key.as_ref().try_into().ok()?,
            is_for_clients: purposes.is_some_and(|found| found.value.client_auth)
                && usage.is_none_or(|found| found.value.digital_signature() || found.value.key_agreement()),
            common_names: parsed.subject().iter_common_name().map(text).collect(),
            alternatives: names
                .map(|names| names.value.general_names.iter().filter_map(alternative).collect())
                .unwrap_or_default(),
        })
    }

    /// The serial number as `openssl x509 -serial` writes it, in lower case.
    #[must_use]
    pub fn serial_text(&self) -> String {
        HEXLOWER.encode(&self.serial)
    }
}

fn text(part: &AttributeTypeAndValue<'_>) -> Option<String> {
    part.as_str().ok().map(str::to_owned)
}

fn alternative(name: &GeneralName<'_>) -> Option<(Alternative, Option<String>)> {
    Some(match name {
        GeneralName::DNSName(name) => (Alternative::Dns, Some((*name).to_owned())),
        GeneralName::RFC822Name(name) => (Alternative::Email, Some((*name).to_owned())),
        GeneralName::URI(name) => (Alternative::Uri, Some((*name).to_owned())),
        GeneralName::IPAddress(bytes) => (Alternative::Ip, address(bytes)),
        GeneralName::OtherName(kind, value) if *kind == UPN => (Alternative::Upn, principal(value)),
        // Its place must be known: beside a second name of its kind it must not count as none.
        GeneralName::Invalid(tag, _) => (invalid(tag.0)?, None),
        _ => return None,
    })
}

/// The kind of a name that is broken, by its tag (RFC 5280 section 4.2.1.6). Of `otherName` nobody knows which it is.
const fn invalid(tag: u32) -> Option<Alternative> {
    Some(match tag {
        0 => Alternative::Upn,
        1 => Alternative::Email,
        2 => Alternative::Dns,
        6 => Alternative::Uri,
        7 => Alternative::Ip,
        _ => return None,
    })
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|bytes| Ipv4Addr::from(bytes).to_string());
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|bytes| Ipv6Addr::from(bytes).to_string())).ok()
}

/// `[0] EXPLICIT UTF8String`.
fn principal(value: &[u8]) -> Option<String> {
    let (rest, outer) = Any::from_der(value).ok()?;
    let (inner_rest, name) = Utf8String::from_der(outer.data).ok()?;
    (rest.is_empty() && inner_rest.is_empty()).then(|| name.string())
}

/// A name as RFC 4514 writes it, and `openssl x509 -nameopt RFC2253`: the last part first.
pub(super) fn describe(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> =
        name.iter().map(|part| part.iter().map(attribute).collect::<Vec<_>>().join("+")).collect();
    parts.reverse();
    parts.join(",")
}

fn attribute(part: &AttributeTypeAndValue<'_>) -> String {
    let kind = part.attr_type();
    let kind = oid2abbrev(kind, oid_registry()).map_or_else(|_| kind.to_id_string(), str::to_owned);
    match part.as_str() {
        Ok(value) => format!("{kind}={}", escape(value)),
        Err(_) => format!("{kind}=#{}", HEXLOWER.encode(part.attr_value().data)),
    }
}

/// RFC 4514 section 2.4; control characters too, since the text goes into logs.
fn escape(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut escaped = String::with_capacity(value.len());
    for (at, letter) in value.chars().enumerate() {
        let is_special = matches!(letter, '"' | '+' | ',' | ';' | '<' | '>' | '\\')
            || (at == 0 && matches!(letter, ' ' | '#'))
            || (at == last && letter == ' ');
        if is_unsafe(letter) {
            let mut bytes = [0; 4];
            for byte in letter.encode_utf8(&mut bytes).bytes() {
                escaped.push_str(&format!("\\{byte:02X}"));
            }
            continue;
        }
        if is_special {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

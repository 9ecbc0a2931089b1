//! What a CA's certificate says that the CA may do.

use rustls::pki_types::{CertificateDer, TrustAnchor};
use x509_parser::asn1_rs::{Any, FromDer as _, Oid, oid};
use x509_parser::certificate::X509Certificate;

use super::constraints::Bound;
use super::subject::describe;

const NAME_CONSTRAINTS: Oid<'static> = oid!(2.5.29.30);

/// A CA, in between or trusted.
#[derive(Clone, Debug)]
pub(super) struct Authority {
    /// Its name in DER.
    pub(super) subject: Vec<u8>,
    /// Its name for people.
    pub(super) name: String,
    /// Its `SubjectPublicKeyInfo` in DER.
    pub(super) key: Vec<u8>,
    /// How many CAs may follow below it.
    pub(super) path_length: Option<u32>,
    /// Key usage `keyCertSign`, or no key usage at all (RFC 5280 section 6.1.4 (n)).
    pub(super) may_sign_certificates: bool,
    /// Key usage `cRLSign`, or no key usage at all (RFC 5280 section 6.3.3 (f)).
    pub(super) may_sign_lists: bool,
    /// Extended key usage with `clientAuth` or `anyExtendedKeyUsage`, or none at all.
    pub(super) is_for_clients: bool,
    /// What its name constraints bind.
    pub(super) bound: Bound,
}

impl Authority {
    /// Reads a CA's certificate; `None` if an extension is broken or there twice. Whether it is a CA is for others to say.
    pub(super) fn of(certificate: &X509Certificate<'_>) -> Option<Self> {
        let usage = certificate.key_usage().ok()?;
        let purposes = certificate.extended_key_usage().ok()?;
        let basic = certificate.basic_constraints().ok()?;
        let constraints = certificate.get_extension_unique(&NAME_CONSTRAINTS).ok()?;
        Some(Self {
            subject: certificate.subject().as_raw().to_vec(),
            name: describe(certificate.subject()),
            key: certificate.public_key().raw.to_vec(),
            path_length: basic.and_then(|basic| basic.value.path_len_constraint),
            may_sign_certificates: usage.as_ref().is_none_or(|usage| usage.value.key_cert_sign()),
            may_sign_lists: usage.as_ref().is_none_or(|usage| usage.value.crl_sign()),
            is_for_clients: purposes.is_none_or(|found| found.value.any || found.value.client_auth),
            bound: constraints.map_or(Bound::FREE, |found| {
                Bound::of(Any::from_der(found.value).map_or(&[][..], |(_, sequence)| sequence.data))
            }),
        })
    }

    /// Why what this CA issues can never be a client's certificate; the file that names it is wrong then.
    pub(super) fn useless(&self) -> Option<&'static str> {
        if !self.may_sign_certificates {
            return Some("may not issue certificates (key usage without keyCertSign)");
        }
        (!self.is_for_clients).then_some("is not for clients (extended key usage without clientAuth)")
    }
}

/// CAs that are trusted, in the form that path building takes, each with what it may do.
#[derive(Clone, Default)]
pub(super) struct Anchors {
    anchors: Vec<TrustAnchor<'static>>,
    facts: Vec<Authority>,
}

impl Anchors {
    /// Adds a CA.
    pub(super) fn add(&mut self, der: &CertificateDer<'_>, facts: Authority) -> Result<(), webpki::Error> {
        self.anchors.push(webpki::anchor_from_trusted_cert(der)?.to_owned());
        self.facts.push(facts);
        Ok(())
    }

    pub(super) fn as_slice(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }

    pub(super) fn facts(&self) -> &[Authority] {
        &self.facts
    }

    /// What is known of the CA that a path ends at: one of this very slice.
    pub(super) fn facts_of(&self, anchor: &TrustAnchor<'_>) -> Option<&Authority> {
        let at = self.anchors.iter().position(|known| std::ptr::addr_eq(known, anchor))?;
        self.facts.get(at)
    }
}

//! One revocation list (RFC 5280 section 5): whose it is, when it is in force, what it covers and what it revokes.

use std::collections::HashSet;
use std::sync::OnceLock;

use webpki::BorrowedCertRevocationList;
use x509_parser::asn1_rs::{Any, FromDer as _, Oid, oid};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{DistributionPointName, GeneralName, ParsedExtension};
use x509_parser::revocation_list::CertificateRevocationList;

use super::constraints::elements;
use super::error::Place;
use super::signed::is_signed_by;
use super::subject::describe;
use crate::domain::UnixSeconds;

const ISSUING_DISTRIBUTION_POINT: Oid<'static> = oid!(2.5.29.28);
/// How far a CA's clock may be ahead of ours, in seconds.
const SKEW: i64 = 300;

/// A revocation list.
pub(super) struct RevocationList {
    /// Where it stands.
    pub(super) place: Place,
    /// Its issuer's name in DER.
    pub(super) issuer: Vec<u8>,
    /// Its issuer's name for people.
    pub(super) name: String,
    der: Vec<u8>,
    this_update: UnixSeconds,
    next_update: UnixSeconds,
    /// Its number, without zeros in front; larger ones are newer (RFC 5280 section 5.2.3).
    number: Option<Vec<u8>>,
    scope: Scope,
    revoked: HashSet<Box<[u8]>>,
    /// The key that signed it, once that was found out. There is only one.
    signer: OnceLock<Box<[u8]>>,
}

/// Which certificates of its issuer a list speaks of (RFC 5280 section 5.2.5).
#[derive(Default)]
struct Scope {
    only_users: bool,
    only_authorities: bool,
    /// Addresses of the distribution point, if the list is of one.
    addresses: Option<Vec<Vec<u8>>>,
}

impl RevocationList {
    /// Reads a list. webpki refuses what nobody could judge by it: lists of version 1 or without `nextUpdate`, delta and
    /// indirect lists, lists of some reasons only, and critical extensions that nobody knows.
    pub(super) fn parse(der: &[u8], place: Place) -> Result<Self, String> {
        let unfit = |error: webpki::Error| {
            format!(
                "the list cannot be used ({error}); it must be a whole one, of version 2, and say when the next one comes"
            )
        };
        let list = BorrowedCertRevocationList::from_der(der).map_err(unfit)?;
        let mut revoked = HashSet::new();
        for entry in &list {
            revoked.insert(without_zeros(entry.map_err(unfit)?.serial_number).into());
        }
        let broken = || "is no revocation list".to_owned();
        let (_, parsed) = CertificateRevocationList::from_der(der).map_err(|_| broken())?;
        let point = parsed.tbs_cert_list.find_extension(&ISSUING_DISTRIBUTION_POINT);
        let scope = point.map_or_else(|| Some(Scope::default()), |point| Scope::of(point.value));
        Ok(Self {
            place,
            issuer: parsed.issuer().as_raw().to_vec(),
            name: describe(parsed.issuer()),
            der: der.to_vec(),
            this_update: parsed.last_update().timestamp(),
            next_update: parsed.next_update().ok_or_else(broken)?.timestamp(),
            number: parsed.crl_number().map(|number| without_zeros(&number.to_bytes_be()).to_vec()),
            scope: scope.ok_or_else(broken)?,
            revoked,
            signer: OnceLock::new(),
        })
    }

    /// Whether the holder of this key (a `SubjectPublicKeyInfo`) signed it. Costs a signature check the first time.
    pub(super) fn is_signed_by(&self, key: &[u8]) -> bool {
        if let Some(signer) = self.signer.get() {
            return **signer == *key;
        }
        let is_signed = is_signed_by(&self.der, key);
        if is_signed {
            self.signer.get_or_init(|| key.into());
        }
        is_signed
    }

    /// Whether it says so of this serial number, whatever its scope: one issuer gives a number once.
    pub(super) fn revokes(&self, serial: &[u8]) -> bool {
        self.revoked.contains(without_zeros(serial))
    }

    /// Whether its time has come.
    pub(super) const fn has_begun(&self, now: UnixSeconds) -> bool {
        self.this_update <= now.saturating_add(SKEW)
    }

    /// Whether the next one should be there.
    pub(super) const fn is_over(&self, now: UnixSeconds) -> bool {
        now >= self.next_update
    }

    /// When it begins and ends to be in force.
    pub(super) const fn changes(&self) -> [UnixSeconds; 2] {
        [self.this_update.saturating_sub(SKEW), self.next_update]
    }

    /// Whether it was certainly made after `other`: neither its date nor its number is behind. A CA that lost its counter
    /// begins again at 1, so one of them alone proves nothing.
    pub(super) fn is_newer_than(&self, other: &Self) -> bool {
        let by_number = match (&self.number, &other.number) {
            (Some(ours), Some(theirs)) => (ours.len(), ours) >= (theirs.len(), theirs),
            _ => true,
        };
        self.this_update >= other.this_update && by_number
    }

    /// Whether a certificate of its issuer that is not in it is not revoked.
    pub(super) fn covers(&self, certificate: &X509Certificate<'_>, is_authority: bool) -> bool {
        let is_kind = if is_authority { !self.scope.only_users } else { !self.scope.only_authorities };
        is_kind && self.scope.addresses.as_ref().is_none_or(|addresses| is_at(certificate, addresses))
    }
}

/// Whether a certificate names one of these addresses as where its revocation stands, or none at all. One that stands in
/// a list of another issuer, or of some reasons only, stands in none of these.
fn is_at(certificate: &X509Certificate<'_>, addresses: &[Vec<u8>]) -> bool {
    let mut points =
        certificate.extensions().iter().filter_map(|extension| match extension.parsed_extension() {
            ParsedExtension::CRLDistributionPoints(points) => Some(Some(points)),
            _ if extension.oid == oid!(2.5.29.31) => Some(None),
            _ => None,
        });
    let Some(points) = points.next() else { return true };
    points.is_some_and(|points| {
        points.iter().filter(|point| point.crl_issuer.is_none() && point.reasons.is_none()).any(|point| {
            let Some(DistributionPointName::FullName(names)) = &point.distribution_point else {
                return false;
            };
            names.iter().any(|name| match name {
                GeneralName::URI(uri) => addresses.iter().any(|address| address == uri.as_bytes()),
                _ => false,
            })
        })
    })
}

impl Scope {
    /// From an `IssuingDistributionPoint`, whose form webpki has checked.
    fn of(value: &[u8]) -> Option<Self> {
        let (_, sequence) = Any::from_der(value).ok()?;
        let mut scope = Self::default();
        for part in elements(sequence.data)? {
            let is_set = part.data != [0];
            match part.tag().0 {
                0 => scope.addresses = Some(addresses(part.data)?),
                1 => scope.only_users = is_set,
                2 => scope.only_authorities = is_set,
                // Of some reasons, indirect, or for attribute certificates: refused before, unless they say no.
                _ if is_set => return None,
                _ => {}
            }
        }
        Some(scope)
    }
}

/// The addresses in a `DistributionPointName` that is a full name.
fn addresses(name: &[u8]) -> Option<Vec<Vec<u8>>> {
    const FULL_NAME: u32 = 0;
    const URI: u32 = 6;
    let (_, name) = Any::from_der(name).ok().filter(|(_, name)| name.tag().0 == FULL_NAME)?;
    let names = elements(name.data)?;
    Some(names.iter().filter(|name| name.tag().0 == URI).map(|name| name.data.to_vec()).collect())
}

/// DER puts a zero in front of numbers that would look negative; some CAs forget it in one of the two places.
fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

//! What stands in the certificates: usages, names and life times. Pure.

use std::net::IpAddr;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyUsagePurpose, SanType, date_time_ymd,
};
use time::OffsetDateTime;

use super::error::CaError;
use super::index::Kind;
use super::serial::Serial;
use crate::domain::{UnixSeconds, Username};

pub(super) const DAY: UnixSeconds = 24 * 3600;
/// Clients whose clocks are a little behind.
const HEAD_START: UnixSeconds = 3600;

/// Life of a CA, if nothing is said.
pub const CA_DAYS: u32 = 3650;
/// Longest life of a CA.
pub const MAX_CA_DAYS: u32 = 7300;
/// Life of a server's certificate, if nothing is said. Clients take no more than 398 days (CA/Browser Forum baseline
/// requirements §6.3.2), the head start included.
pub const SERVER_DAYS: u32 = 397;
/// Longest life of a server's certificate.
pub const MAX_SERVER_DAYS: u32 = 397;
/// Life of a client's certificate, if nothing is said.
pub const CLIENT_DAYS: u32 = 90;
/// Longest life of a client's certificate.
pub const MAX_CLIENT_DAYS: u32 = 825;
/// Life of a revocation list, if nothing is said. Each command that signs makes a new one once half of it is over.
pub const CRL_DAYS: u32 = 180;
/// Longest life of a revocation list.
pub const MAX_CRL_DAYS: u32 = 3650;

/// ub-common-name (RFC 5280, appendix A) counts letters; bytes are never fewer, and a file name has to hold them too.
const MAX_COMMON_NAME: usize = 64;

/// Whom a certificate is for. That the names can stand in it has been checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Subject(Inner);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Inner {
    Client(Username),
    Server { common: String, names: Vec<String> },
}

impl Subject {
    /// A person or a machine that logs in under this name.
    ///
    /// # Errors
    /// [`CaError::Name`] if the name is too long.
    pub fn client(user: &Username) -> Result<Self, CaError> {
        common_name(user.as_str())?;
        Ok(Self(Inner::Client(user.clone())))
    }

    /// A server that is reached under these names and addresses, none twice. The first is its common name, or the first
    /// that is short enough to be one.
    ///
    /// # Errors
    /// [`CaError::Name`] if a name cannot stand in a certificate, or there is none.
    pub fn server(names: &[String]) -> Result<Self, CaError> {
        let mut all: Vec<String> = Vec::new();
        for name in names {
            alternative_name(name)
                .map_err(|_| CaError::Name { name: name.clone(), detail: "it is not ASCII" })?;
            if !all.contains(name) {
                all.push(name.clone());
            }
        }
        let none =
            || CaError::Name { name: String::new(), detail: "a server has at least one name or address" };
        let first = all.first().ok_or_else(none)?;
        let common = all.iter().find(|name| name.len() <= MAX_COMMON_NAME).unwrap_or(first);
        common_name(common)?;
        Ok(Self(Inner::Server { common: common.clone(), names: all }))
    }

    /// The common name.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.0 {
            Inner::Client(user) => user.as_str(),
            Inner::Server { common, .. } => common,
        }
    }

    /// What the certificate is for.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match &self.0 {
            Inner::Client(_) => Kind::Client,
            Inner::Server { .. } => Kind::Server,
        }
    }

    /// Names and addresses of a server.
    #[must_use]
    pub fn names(&self) -> &[String] {
        match &self.0 {
            Inner::Client(_) => &[],
            Inner::Server { names, .. } => names,
        }
    }

    /// Life time of such a certificate, if nothing is said, and the longest.
    pub(super) fn days(&self) -> (u32, u32) {
        match self.kind() {
            Kind::Client => (CLIENT_DAYS, MAX_CLIENT_DAYS),
            Kind::Server => (SERVER_DAYS, MAX_SERVER_DAYS),
        }
    }
}

/// What a certificate says, from an hour ago until `expires`.
pub(super) fn leaf(
    subject: &Subject,
    serial: Serial,
    now: UnixSeconds,
    expires: UnixSeconds,
) -> Result<CertificateParams, rcgen::Error> {
    let mut parameters = common(subject.name(), serial, now, expires);
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.subject_alt_names =
        subject.names().iter().map(|name| alternative_name(name)).collect::<Result<_, _>>()?;
    // No key encipherment, not even for RSA: the suites that used it have no forward secrecy and are not offered.
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![match subject.kind() {
        Kind::Client => ExtendedKeyUsagePurpose::ClientAuth,
        Kind::Server => ExtendedKeyUsagePurpose::ServerAuth,
    }];
    Ok(parameters)
}

/// What the CA's own certificate says: it signs certificates of servers and clients and revocation lists, and makes no
/// further CAs.
pub(super) fn authority(
    name: &str,
    serial: Serial,
    now: UnixSeconds,
    expires: UnixSeconds,
) -> CertificateParams {
    let mut parameters = common(name, serial, now, expires);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters
}

fn common(name: &str, serial: Serial, now: UnixSeconds, expires: UnixSeconds) -> CertificateParams {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = subject;
    parameters.serial_number = Some(serial.into());
    parameters.use_authority_key_identifier_extension = true;
    parameters.not_before = moment(now - HEAD_START);
    parameters.not_after = moment(expires);
    parameters
}

/// Checks a text that shall be a common name.
pub(super) fn common_name(name: &str) -> Result<(), CaError> {
    let bad = |detail| Err(CaError::Name { name: name.to_owned(), detail });
    match name {
        "" => bad("it is empty"),
        _ if name.len() > MAX_COMMON_NAME => bad("it is longer than 64 bytes (RFC 5280, appendix A)"),
        _ if name.chars().any(char::is_control) => bad("it holds a control character"),
        _ => Ok(()),
    }
}

/// The end of so many days from now. `days` must be at least one and at most `most`.
pub(super) fn end_of(
    days: u32,
    most: u32,
    what: &'static str,
    now: UnixSeconds,
) -> Result<UnixSeconds, CaError> {
    if (1..=most).contains(&days) {
        Ok(now + DAY * i64::from(days))
    } else {
        Err(CaError::Days { days, what, most })
    }
}

/// A name or an address as a subject alternative name.
pub(crate) fn alternative_name(name: &str) -> Result<SanType, rcgen::Error> {
    Ok(match name.parse::<IpAddr>() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) => SanType::DnsName(name.try_into()?),
    })
}

/// As rcgen wants it.
pub(crate) fn moment(since_epoch: UnixSeconds) -> OffsetDateTime {
    date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(since_epoch).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::{Subject, common_name, end_of};
    use crate::domain::Username;

    #[test]
    fn names_that_a_certificate_cannot_hold_are_refused() {
        assert!(Subject::client(&Username::parse(&"x".repeat(65)).unwrap()).is_err());
        assert!(Subject::server(&[]).is_err() && Subject::server(&["bücher".into()]).is_err());
        assert!(common_name("a\0b").is_err() && common_name("").is_err() && common_name("jürgen").is_ok());
    }

    #[test]
    fn a_long_first_name_leaves_the_common_name_to_the_next() {
        let long = format!("{}.example", "a".repeat(60));
        let subject = Subject::server(&[long.clone(), "10.0.0.1".into(), long.clone()]).unwrap();
        assert_eq!((subject.name(), subject.names().len()), ("10.0.0.1", 2));
        assert!(Subject::server(&[long]).is_err());
    }

    #[test]
    fn days_have_limits() {
        assert_eq!(end_of(1, 397, "x", 0).unwrap(), 86_400);
        assert!(end_of(0, 397, "x", 0).is_err() && end_of(398, 397, "x", 0).is_err());
    }
}

//! Why a certificate lets nobody in.

use rustls::CertificateError;
use thiserror::Error;

/// What is wrong with a client certificate. For the log and for its holder: it tells nothing about other people.
#[derive(Clone, Copy, Debug, Eq, Error, Hash, PartialEq)]
#[error("{}", self.as_str())]
pub enum Refusal {
    /// Two entries of the mapping file say different things about it.
    Ambiguous,
    /// A CA in its chain may issue for certain names only, and the field that would name its user is none of them.
    Constrained,
    /// An extension that must be understood is not understood here (RFC 5280 section 4.2).
    Critical,
    /// Its revocation list is over.
    CrlExpired,
    /// Its revocation list is of the future.
    CrlNotYetValid,
    /// More intermediate CAs than are allowed.
    Depth,
    /// The field that would name its user is there twice, or cannot be a name.
    Name,
    /// The field that would name its user is not there.
    NoName,
    /// Its time is over.
    Expired,
    /// It is no X.509 certificate, or is not written as one must be.
    Malformed,
    /// Its time has not come.
    NotYetValid,
    /// The mapping file says that only its entries count.
    NotMapped,
    /// What issued it, or a CA in its chain, may not issue certificates.
    NotACa,
    /// It was revoked, or its own CA does not know of having issued it.
    Revoked,
    /// A signature in its chain is of a kind that is not checked here.
    Signature,
    /// Nobody can tell whether it was revoked.
    StatusUnknown,
    /// No CA that is trusted here issued it.
    UnknownCa,
    /// It is not for clients (RFC 5280 section 4.2.1.12).
    Usage,
}

impl Refusal {
    /// The words used in logs and to its holder.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ambiguous => {
                "client certificate: entries of the mapping file contradict each other about it"
            }
            Self::Constrained => {
                "client certificate: a CA in its chain has name constraints, which do not bind the field that names its \
                 user"
            }
            Self::Critical => {
                "client certificate: it, or a CA in its chain, has a critical extension that is not understood here: \
                 certificate policies, for instance, must not be critical"
            }
            Self::CrlNotYetValid => {
                "client certificate: the revocation list of its CA is of the future; compare the clocks"
            }
            Self::CrlExpired => "client certificate: the revocation list of its CA is out of date",
            Self::Depth => {
                "client certificate: there are too many CAs between it and the one that is trusted here"
            }
            Self::Name => {
                "client certificate: the field that names its user is there twice or is not a user name"
            }
            Self::NoName => "client certificate: the field that names its user is not in it",
            Self::Expired => "client certificate: it has expired",
            Self::Malformed => "client certificate: it cannot be read",
            Self::NotYetValid => "client certificate: it is not valid yet",
            Self::NotACa => "client certificate: a CA in its chain may not issue certificates",
            Self::NotMapped => "client certificate: the mapping file does not know it",
            Self::Revoked => "client certificate: it was revoked",
            Self::Signature => {
                "client certificate: a signature in its chain is of a kind that is not checked here: RSA-PSS needs a salt as \
                 long as its hash, and SHA-1 and DSA are too weak"
            }
            Self::StatusUnknown => "client certificate: there is no revocation list by the key of its CA",
            Self::UnknownCa => "client certificate: no CA that is trusted here issued it",
            Self::Usage => {
                "client certificate: it does not say that it is for clients (extended key usage clientAuth)"
            }
        }
    }

    /// What a TLS handshake that fails for it says (RFC 8446 section 6.2).
    #[must_use]
    pub fn alert(self) -> CertificateError {
        match self {
            Self::Expired => CertificateError::Expired,
            Self::NotYetValid => CertificateError::NotValidYet,
            Self::Revoked => CertificateError::Revoked,
            Self::CrlExpired | Self::CrlNotYetValid | Self::StatusUnknown => {
                CertificateError::UnknownRevocationStatus
            }
            Self::UnknownCa | Self::Depth | Self::NotACa => CertificateError::UnknownIssuer,
            Self::Usage => CertificateError::InvalidPurpose,
            Self::Critical => CertificateError::UnhandledCriticalExtension,
            Self::Malformed | Self::Signature => CertificateError::BadEncoding,
            Self::Ambiguous | Self::Constrained | Self::Name | Self::NoName | Self::NotMapped => {
                CertificateError::ApplicationVerificationFailure
            }
        }
    }
}

impl From<webpki::Error> for Refusal {
    fn from(error: webpki::Error) -> Self {
        use webpki::Error;
        match error {
            Error::CertExpired { .. } => Self::Expired,
            Error::CertNotValidYet { .. } => Self::NotYetValid,
            Error::CertRevoked => Self::Revoked,
            Error::NameConstraintViolation => Self::Constrained,
            Error::EndEntityUsedAsCa => Self::NotACa,
            Error::MaximumPathDepthExceeded | Error::PathLenConstraintViolated => Self::Depth,
            Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => Self::Usage,
            Error::UnsupportedCriticalExtension => Self::Critical,
            // Whatever key the CA has.
            Error::UnsupportedSignatureAlgorithmContext(_) => Self::Signature,
            Error::UnknownIssuer
            | Error::InvalidSignatureForPublicKey
            | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => Self::UnknownCa,
            _ => Self::Malformed,
        }
    }
}

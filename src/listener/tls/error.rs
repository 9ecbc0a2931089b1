//! What can be wrong with a certificate, said so that the operator knows which file and what to do.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::domain::UnixSeconds;
use crate::domain::pem::PemError;

/// Why there is no certificate to serve with.
#[derive(Debug, Error)]
pub enum TlsError {
    /// One file cannot be used.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: FileProblem,
    },
    /// `--certfile .` found nothing.
    #[error("found no file with a certificate and its key; looked at {looked_at}")]
    NothingFound {
        /// The places, each with what is wrong with it.
        looked_at: String,
    },
    /// rustls does not take the certificate or the key.
    #[error("the certificate cannot be served")]
    Tls(#[source] rustls::Error),
    /// The certificate could not be made.
    #[error("the self-signed certificate could not be made")]
    Make(#[source] rcgen::Error),
    /// The system gave no random numbers.
    #[error("the system gave no random numbers")]
    Random,
    /// The thread that watches the files could not be started.
    #[error("cannot watch the certificate's files")]
    Watch(#[source] io::Error),
}

/// What is wrong with one file.
#[derive(Debug, Error)]
pub enum FileProblem {
    /// A certificate block that is no X.509 certificate.
    #[error("certificate block {0} does not hold an X.509 certificate")]
    BadCertificate(usize),
    /// A private key of an unknown or broken kind.
    #[error(
        "the private key is broken or of a kind that is not known (RSA, P-256, P-384, P-521 and Ed25519 are)"
    )]
    BadKey,
    /// The PEM form is broken, or holds what does not belong into it.
    #[error(transparent)]
    BadPem(PemError),
    /// The private key needs a password.
    #[error(
        "the private key is encrypted, and nobody is there to type its password; write it without: \
             openssl pkey -in FILE -out NEW-FILE"
    )]
    EncryptedKey,
    /// The certificate's time is over.
    #[error("the certificate expired on {}", date(*.0))]
    Expired(UnixSeconds),
    /// The certificate belongs to another key.
    #[error("the private key does not belong to any certificate in the file")]
    KeyMismatch,
    /// No certificate in the file.
    #[error("there is no certificate in it (no '-----BEGIN CERTIFICATE-----')")]
    NoCertificate,
    /// No key in the file.
    #[error(
        "there is no private key in it; certificate and key belong in one file: cat cert.pem key.pem > FILE"
    )]
    NoKey,
    /// The certificate's time has not come.
    #[error("the certificate is not valid before {}; is the clock right?", date(*.0))]
    NotYetValid(UnixSeconds),
    /// More than one private key.
    #[error("there are {0} private keys in it; leave only the certificate's")]
    SeveralKeys(usize),
    /// Larger than any certificate chain.
    #[error("it is larger than 1 MiB, so it is no certificate file")]
    TooLarge,
    /// It could not be read.
    #[error("cannot be read ({0})")]
    Unreadable(io::Error),
    /// Others can read or write the key.
    #[error("others may have {what} the private key; run: chmod o-rwx,g-w {}", path.display())]
    OpenToOthers {
        /// What they may do.
        what: &'static str,
        /// With which file.
        path: PathBuf,
    },
    /// It could not be written.
    #[error("cannot be written ({0})")]
    Unwritable(io::Error),
}

impl From<PemError> for FileProblem {
    fn from(error: PemError) -> Self {
        match error {
            // What to do about it is said here, where it is known what the file is for.
            PemError::Encrypted(_) => Self::EncryptedKey,
            other => Self::BadPem(other),
        }
    }
}

impl FileProblem {
    /// The problem with its file's name.
    pub(super) fn of(self, path: impl Into<PathBuf>) -> TlsError {
        TlsError::File { path: path.into(), problem: self }
    }

    /// Whether the file was evidently meant to be used although it cannot be.
    pub(super) fn is_of_a_real_certfile(&self) -> bool {
        matches!(
            self,
            Self::Expired(_) | Self::NotYetValid(_) | Self::OpenToOthers { .. } | Self::EncryptedKey
        )
    }
}

/// A point in time as people read it; RFC 3339.
pub(super) fn date(seconds: UnixSeconds) -> String {
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| format!("second {seconds}"), |time| time.to_string())
}

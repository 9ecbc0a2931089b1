//! What can go wrong with the CA, said so that it can be put right.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::serial::Serial;
use crate::domain::UnixSeconds;
use crate::store::NoEntropy;

/// Why the CA did not do what it was asked for.
#[derive(Debug, Error)]
pub enum CaError {
    /// The certificate has not the form that this CA makes, or does not belong to the key.
    #[error("{path}: {detail}")]
    BadFile {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// A life time that is not allowed.
    #[error("{days} days are too many; {what} lives for 1 to {most} days")]
    Days {
        /// What was asked for.
        days: u32,
        /// For what.
        what: &'static str,
        /// The limit.
        most: u32,
    },
    /// There is a CA already.
    #[error("there is a CA in {0} already; give another folder with --dir")]
    Exists(PathBuf),
    /// The CA's own time is over.
    #[error("the CA's certificate ended on {}; make a new CA in another folder: doorward ca init --dir DIR", date(*.0))]
    Expired(UnixSeconds),
    /// A line of the index that makes no sense.
    #[error("{path}:{line}: {detail}")]
    Index {
        /// Which file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        detail: String,
    },
    /// A key or a folder that others can read or change, or that is somebody else's.
    #[error("{path}: {detail}")]
    KeyOpen {
        /// Which file.
        path: PathBuf,
        /// What is wrong and what to do.
        detail: String,
    },
    /// Another command is at it.
    #[error("{0} is being changed by another command; try again when that has ended")]
    Locked(PathBuf),
    /// The library could not make or sign something.
    #[error("cannot make the {what}")]
    Make {
        /// What was to be made.
        what: &'static str,
        /// Why.
        source: rcgen::Error,
    },
    /// No CA where one was looked for.
    #[error("there is no CA in {0}; make one with: doorward ca init --dir {0}")]
    Missing(PathBuf),
    /// A name that cannot stand in a certificate.
    #[error("{name:?} cannot be the name in a certificate: {detail}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong.
        detail: &'static str,
    },
    /// No random bytes.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
    /// The key is encrypted and no passphrase was given.
    #[error("the CA's key is encrypted; its passphrase is needed")]
    PassphraseNeeded,
    /// The passphrase opens nothing.
    #[error("this is not the passphrase of the CA's key")]
    PassphraseWrong,
    /// PKCS#12 could not be made.
    #[error("cannot make the PKCS#12 file")]
    Pkcs12(#[source] p12_keystore::error::Error),
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A request for a certificate that cannot be granted.
    #[error("the certificate request is refused: {0}")]
    Request(&'static str),
    /// It was revoked already.
    #[error("certificate {0} is revoked already")]
    RevokedAlready(Serial),
    /// No certificate of that name or number.
    #[error("the CA has issued no certificate {0:?} that is still valid; see: doorward ca list")]
    Unknown(String),
    /// A file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl CaError {
    pub(super) fn make(what: &'static str) -> impl FnOnce(rcgen::Error) -> Self {
        move |source| Self::Make { what, source }
    }
}

/// A day, for people: `2027-01-31`.
pub(super) fn date(seconds: UnixSeconds) -> String {
    let time = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
    time.strftime("%Y-%m-%d").to_string()
}

//! The CA for logins: certificates that belong to a token and end with it.
//!
//! It is not the CA of `doorward ca`, whose key is root's and out of the gateway's reach: what this one signs is worth
//! nothing by its signature. A certificate of it counts as long as the store knows it, under the hash of all of it, beside
//! the token that it was got by. So whoever steals this key can make no certificate that lets anybody in, and there is no
//! list that grows: what is over leaves the store. The signature is there for clients, which choose a certificate by its
//! issuer, and for handshakes that demand one.

use std::fs;
use std::path::Path;

use super::authority::{Authority, Issued, NewCa, short};
use super::error::CaError;
use super::folder::{CA_KEY, CaFolder};
use super::key::Algorithm;
use super::profile::{DAY, MAX_CLIENT_DAYS, Subject};
use super::request::PublicKeyRequest;
use super::serial::Serial;
use crate::domain::{UnixSeconds, Username};

/// The folder's name, in the state folder.
pub const LOGIN_CA_FOLDER: &str = "login-ca";
/// With less time than this it is made anew at start: none of its certificates shall be cut short by it.
const LEAST: UnixSeconds = 2 * 365 * DAY;

/// The CA, ready to sign.
pub struct LoginCa(Authority);

impl LoginCa {
    /// Opens the CA in a folder that is the gateway's alone; makes it where there is none, or where it ends too soon.
    ///
    /// # Errors
    /// [`CaError`]: its files cannot be read or written, or others could read or change them.
    pub fn open_or_create(path: &Path, now: UnixSeconds) -> Result<Self, CaError> {
        match Self::open(path) {
            Ok(ca) if ca.0.folder().expires() - now >= LEAST => return Ok(ca),
            Ok(_) => {
                fs::remove_dir_all(path)
                    .map_err(|source| CaError::Write { path: path.to_owned(), source })?;
            }
            Err(CaError::Missing(_)) => {}
            Err(error) => return Err(error),
        }
        match Self::create(path, now) {
            // Another process of this gateway was quicker.
            Err(CaError::Exists(_)) => Self::open(path),
            // A start that was cut off before the certificate was written: nothing was signed with that key.
            Err(CaError::BadFile { path: key, .. }) if key.ends_with(CA_KEY) => {
                fs::remove_file(&key).map_err(|source| CaError::Write { path: key, source })?;
                Self::create(path, now)
            }
            made => made,
        }
    }

    fn open(path: &Path) -> Result<Self, CaError> {
        Authority::unlock(CaFolder::open(path)?, None).map(Self)
    }

    fn create(path: &Path, now: UnixSeconds) -> Result<Self, CaError> {
        let name = format!("Doorward login CA {}", short(Serial::random()?));
        let new = NewCa { name: Some(name), days: None, algorithm: Algorithm::P256, group: None };
        Authority::create(path, &new, None, now).map(Self)
    }

    /// A certificate for a client that logged in as `user` and keeps its key, until `expires` at the latest. Of the request
    /// nothing but the public key counts. Nothing is written down here.
    ///
    /// # Errors
    /// [`CaError`]: the name cannot stand in a certificate, the time is over already, or the CA's is.
    pub fn issue(
        &self,
        user: &Username,
        request: &PublicKeyRequest,
        expires: UnixSeconds,
        now: UnixSeconds,
    ) -> Result<Issued, CaError> {
        let most = now.saturating_add(DAY * i64::from(MAX_CLIENT_DAYS));
        self.0.issue_unlisted(&Subject::client(user)?, request, expires.min(most), now)
    }

    /// Its own certificate as PEM, to be sent along.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        self.0.folder().certificate_pem()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use rcgen::{CertificateParams, KeyPair};
    use x509_parser::certificate::X509Certificate;
    use x509_parser::prelude::FromDer;

    use super::{CA_KEY, DAY, LoginCa, PublicKeyRequest};
    use crate::domain::Username;

    fn request(key: &KeyPair) -> PublicKeyRequest {
        let mut parameters = CertificateParams::new(["evil.example".to_owned()]).unwrap();
        parameters.distinguished_name.push(rcgen::DnType::CommonName, "root");
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        PublicKeyRequest::from_pem(&parameters.serialize_request(key).unwrap().pem().unwrap()).unwrap()
    }

    #[test]
    fn a_certificate_says_who_logged_in_and_nothing_that_the_client_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let ca = LoginCa::open_or_create(&folder.path().join("login-ca"), 1_000_000).unwrap();
        let (key, bob) = (KeyPair::generate().unwrap(), Username::parse("bob").unwrap());
        let issued = ca.issue(&bob, &request(&key), 1_000_600, 1_000_000).unwrap();
        let (_, leaf) = X509Certificate::from_der(&issued.der).unwrap();
        assert_eq!(leaf.subject().to_string(), "CN=bob");
        assert_eq!(leaf.validity().not_after.timestamp(), 1_000_600);
        assert!(!leaf.is_ca() && leaf.subject_alternative_name().unwrap().is_none());
        let usage = leaf.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.client_auth && !usage.server_auth && !usage.any);
        assert_eq!(leaf.public_key().raw, rcgen::PublicKeyData::subject_public_key_info(&key));
        assert!(ca.issue(&bob, &request(&key), 1_000_000, 1_000_000).is_err(), "it would end at once");
        let index = fs::read_to_string(folder.path().join("login-ca/index")).unwrap();
        assert_eq!(index.lines().count(), 1, "nothing grows: {index}");
    }

    #[test]
    fn it_is_made_once_closed_to_others_and_anew_before_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("login-ca");
        let pem = |now| LoginCa::open_or_create(&path, now).unwrap().certificate_pem().to_owned();
        let first = pem(0);
        let mode = |name: &str| fs::metadata(path.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(""), mode(CA_KEY)), (0o700, 0o600));
        assert_eq!(pem(DAY), first);
        let renewed = pem(9 * 365 * DAY);
        assert_ne!(renewed, first);
        assert_eq!(pem(9 * 365 * DAY), renewed);
        // Cut off before its certificate was there.
        fs::remove_file(path.join("ca.pem")).unwrap();
        assert_ne!(pem(DAY), renewed);
        fs::set_permissions(path.join(CA_KEY), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(LoginCa::open_or_create(&path, DAY).is_err(), "a key that others could read is not used");
    }
}

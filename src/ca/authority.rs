//! The CA at work: whatever needs its key.

use std::path::Path;

use rcgen::{
    CertificateParams, CertificateRevocationListParams, Issuer, KeyIdMethod, KeyPair, PublicKeyData,
    RevokedCertParams,
};

use super::error::CaError;
use super::folder::{self, CA_KEY, CaFolder, Locked};
use super::index::{Index, Kind, Reason, Record, Revocation};
use super::key::{self, Algorithm, LeafKey};
use super::profile::{self, CA_DAYS, DAY, MAX_CA_DAYS, MAX_CRL_DAYS, Subject};
use super::request::PublicKeyRequest;
use super::serial::Serial;
use crate::domain::{Password, UnixSeconds};

/// The CA with its key unlocked. Changes lock the folder for as long as they take; they do blocking file I/O.
pub struct Authority {
    folder: CaFolder,
    issuer: Issuer<'static, KeyPair>,
}

/// What a new CA shall be like.
#[derive(Debug)]
pub struct NewCa {
    /// Its common name; with some random digits, if nothing is said, so that no two have one name.
    pub name: Option<String>,
    /// Its life time, [`CA_DAYS`] if nothing is said.
    pub days: Option<u32>,
    /// The kind of its key.
    pub algorithm: Algorithm,
    /// The group that may read all but the key.
    pub group: Option<u32>,
}

/// A new certificate.
#[derive(Debug)]
pub struct Issued {
    /// As it stands in the index.
    pub record: Record,
    /// The certificate as PEM.
    pub pem: String,
    /// The certificate as DER.
    pub der: Vec<u8>,
    /// Whether it ends sooner than was asked for, because the CA does.
    pub shortened: bool,
}

/// What a revocation has done.
#[derive(Debug)]
pub struct Revoked {
    /// The certificates, as they stand in the index now.
    pub records: Vec<Record>,
    /// The number of the revocation list that names them.
    pub crl_number: u64,
}

impl Authority {
    /// Makes a CA in a folder that has none yet.
    ///
    /// # Errors
    /// [`CaError`]; there may then be a folder, but no CA in it.
    pub fn create(
        path: &Path,
        new: &NewCa,
        passphrase: Option<&Password>,
        now: UnixSeconds,
    ) -> Result<Self, CaError> {
        let serial = Serial::random()?;
        let name = new.name.clone().unwrap_or_else(|| format!("Doorward CA {}", short(serial)));
        profile::common_name(&name)?;
        let expires = profile::end_of(new.days.unwrap_or(CA_DAYS), MAX_CA_DAYS, "a CA", now)?;
        let key = key::generate(new.algorithm)?;
        let parameters = profile::authority(&name, serial, now, expires);
        let certificate = parameters.self_signed(&key).map_err(CaError::make("CA's certificate"))?;
        let text = key::to_disk(&key, passphrase).map_err(|_| CaError::BadFile {
            path: path.join(CA_KEY),
            detail: "cannot be encrypted".to_owned(),
        })?;
        folder::create(path, new.group, &text, &Index::new(), &certificate.pem())?;
        let authority = Self::with_key(CaFolder::open(path)?, key)?;
        authority.renew_crl(None, now)?;
        Ok(authority)
    }

    /// Unlocks the CA's key. The passphrase is needed if [`CaFolder::is_encrypted`] says so.
    ///
    /// # Errors
    /// [`CaError`]: the key cannot be read, the passphrase is wrong, or key and certificate do not belong together.
    pub fn unlock(folder: CaFolder, passphrase: Option<&Password>) -> Result<Self, CaError> {
        let key = folder.key()?.open(passphrase)?;
        Self::with_key(folder, key)
    }

    fn with_key(folder: CaFolder, key: KeyPair) -> Result<Self, CaError> {
        let certificate = folder.certificate();
        if key::public_key(&key) != certificate.public_key {
            return Err(CaError::BadFile {
                path: folder.path().join(CA_KEY),
                detail: "is not the key of the certificate in ca.pem".to_owned(),
            });
        }
        let issuer = Issuer::from_ca_cert_der(&certificate.der, key).map_err(CaError::make("issuer"))?;
        Ok(Self { folder, issuer })
    }

    /// The folder, for what needs no key.
    #[must_use]
    pub fn folder(&self) -> &CaFolder {
        &self.folder
    }

    /// Issues a certificate for a key that was made here. `days` is the usual life time if nothing is said.
    ///
    /// # Errors
    /// [`CaError`]: too many days, the CA has ended, or its files cannot be read or written.
    pub fn issue(
        &self,
        subject: &Subject,
        key: &LeafKey,
        days: Option<u32>,
        now: UnixSeconds,
    ) -> Result<Issued, CaError> {
        let (usual, most) = subject.days();
        let what = match subject.kind() {
            Kind::Client => "a client's certificate",
            Kind::Server => "a server's certificate",
        };
        let expires = profile::end_of(days.unwrap_or(usual), most, what, now)?;
        self.sign(subject, key.pair(), expires, now)
    }

    /// Issues a certificate for a key that stays with whoever made the request, until `expires` at the latest. Only the
    /// public key of the request counts: `subject` says for whom the certificate is.
    ///
    /// # Errors
    /// [`CaError`]: the time is over already or too long, or as for [`Authority::issue`].
    pub fn issue_for(
        &self,
        subject: &Subject,
        request: &PublicKeyRequest,
        expires: UnixSeconds,
        now: UnixSeconds,
    ) -> Result<Issued, CaError> {
        let (_, most) = subject.days();
        if expires <= now || expires > now + DAY * i64::from(most) {
            return Err(CaError::Request("it would end before it begins, or live too long"));
        }
        self.sign(subject, request.public_key(), expires, now)
    }

    /// The same without an entry in the index: for whoever keeps the record elsewhere.
    pub(super) fn issue_unlisted(
        &self,
        subject: &Subject,
        request: &PublicKeyRequest,
        expires: UnixSeconds,
        now: UnixSeconds,
    ) -> Result<Issued, CaError> {
        if expires <= now {
            return Err(CaError::Request("it would end before it begins"));
        }
        self.make(subject, request.public_key(), expires, now)
    }

    fn sign(
        &self,
        subject: &Subject,
        key: &impl PublicKeyData,
        wanted: UnixSeconds,
        now: UnixSeconds,
    ) -> Result<Issued, CaError> {
        let issued = self.make(subject, key, wanted, now)?;
        let locked = self.folder.lock()?;
        let mut index = self.folder.index()?;
        index.add(issued.record.clone());
        // Before anybody has it: what is not in the index could not be revoked by name.
        if self.crl_is_old(&index, now) {
            self.publish(&locked, index, None, now)?;
        } else {
            locked.write_index(&index)?;
        }
        Ok(issued)
    }

    /// Signs, and writes nothing down.
    fn make(
        &self,
        subject: &Subject,
        key: &impl PublicKeyData,
        wanted: UnixSeconds,
        now: UnixSeconds,
    ) -> Result<Issued, CaError> {
        let end = self.folder.expires();
        if now >= end {
            return Err(CaError::Expired(end));
        }
        let expires = wanted.min(end);
        let serial = Serial::random()?;
        let certificate = profile::leaf(subject, serial, now, expires)
            .and_then(|parameters: CertificateParams| parameters.signed_by(key, &self.issuer))
            .map_err(CaError::make("certificate"))?;
        let record = Record {
            serial,
            kind: subject.kind(),
            name: subject.name().to_owned(),
            names: subject.names().to_vec(),
            issued: now,
            expires,
            revoked: None,
        };
        let shortened = expires < wanted;
        Ok(Issued { record, pem: certificate.pem(), der: certificate.der().to_vec(), shortened })
    }

    /// Revokes the certificates with these serial numbers, or all of these names that still count: all of them or, on an
    /// error, none. From the moment when this returns, index and revocation list name them.
    ///
    /// # Errors
    /// [`CaError`]: there is none, it was revoked before, or the files cannot be read or written.
    pub fn revoke(
        &self,
        wanted: &[impl AsRef<str>],
        reason: Reason,
        now: UnixSeconds,
    ) -> Result<Revoked, CaError> {
        let locked = self.folder.lock()?;
        let mut index = self.folder.index()?;
        let records = index.revoke_all(wanted, Revocation { at: now, reason })?;
        let crl_number = self.publish(&locked, index, None, now)?;
        Ok(Revoked { records, crl_number })
    }

    /// Makes a new revocation list, valid for so many days; for as many as the last one if nothing is said. Gives its
    /// number.
    ///
    /// # Errors
    /// [`CaError`]: too many days, or the files cannot be read or written.
    pub fn renew_crl(&self, days: Option<u32>, now: UnixSeconds) -> Result<u64, CaError> {
        let locked = self.folder.lock()?;
        let index = self.folder.index()?;
        self.publish(&locked, index, days, now)
    }

    /// Whether half of the list's time is over, or a crash has left it behind the index.
    fn crl_is_old(&self, index: &Index, now: UnixSeconds) -> bool {
        let half = DAY * i64::from(index.crl_days()) / 2;
        now > index.crl_expires() - half || self.folder.crl_number_on_disk() != Some(index.crl_number())
    }

    /// The index first: it is the truth, and a list that names more than it does would let a revoked certificate come
    /// back with the next list.
    fn publish(
        &self,
        locked: &Locked<'_>,
        mut index: Index,
        days: Option<u32>,
        now: UnixSeconds,
    ) -> Result<u64, CaError> {
        let days = days.unwrap_or_else(|| index.crl_days());
        let expires = profile::end_of(days, MAX_CRL_DAYS, "a revocation list", now)?;
        index.next_crl(days, expires);
        let pem = self.sign_crl(&index, now)?;
        locked.write_index(&index)?;
        locked.write_crl(&pem)?;
        Ok(index.crl_number())
    }

    fn sign_crl(&self, index: &Index, now: UnixSeconds) -> Result<String, CaError> {
        let revoked = |record: &Record| {
            let revocation = record.revoked?;
            Some(RevokedCertParams {
                serial_number: record.serial.into(),
                revocation_time: profile::moment(revocation.at),
                reason_code: revocation.reason.in_crl(),
                invalidity_date: None,
            })
        };
        let list = CertificateRevocationListParams {
            this_update: profile::moment(now),
            next_update: profile::moment(index.crl_expires()),
            crl_number: index.crl_number().into(),
            issuing_distribution_point: None,
            revoked_certs: index.records().iter().filter_map(revoked).collect(),
            // As the CA's certificate was made with.
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).and_then(|list| list.pem()).map_err(CaError::make("revocation list"))
    }
}

pub(super) fn short(serial: Serial) -> String {
    serial.to_string().chars().rev().take(8).collect()
}

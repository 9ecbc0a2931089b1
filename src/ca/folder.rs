//! The CA's folder: the one seam between the rules and the disk.

use std::ffi::OsString;
use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::unistd::geteuid;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use zeroize::Zeroizing;

use super::error::CaError;
use super::index::{Index, Record, Revocation};
use super::key::KeyText;
use crate::domain::UnixSeconds;
use crate::fs::Folder;
use crate::store::{Place, Readers};

/// The usual folder's name, in the state folder.
pub const CA_FOLDER: &str = "ca";

const CERTIFICATE: &str = "ca.pem";
/// The file with the CA's key. Root's stays root's, unlike all else in the state folder.
pub const CA_KEY: &str = "ca-key.pem";
const INDEX: &str = "index";
const CRL: &str = "crl.pem";

/// Longest wait for another command. Each holds the lock for milliseconds, no one while it asks.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);
/// Larger is no key and no certificate.
const MOST_PEM: u64 = 1024 * 1024;
/// Some two million certificates.
const MOST_INDEX: u64 = 512 * 1024 * 1024;

/// A folder with a CA in it, to be looked at without its key.
pub struct CaFolder {
    path: PathBuf,
    /// The certificate's place; all others are found from it, so that one folder is meant throughout.
    place: Place,
    certificate: CaCertificate,
}

/// The CA's own certificate.
pub(super) struct CaCertificate {
    pub(super) pem: String,
    pub(super) der: CertificateDer<'static>,
    pub(super) name: String,
    pub(super) expires: UnixSeconds,
    pub(super) public_key: Vec<u8>,
}

/// Held while the index is read, changed and written.
pub(super) struct Locked<'a> {
    folder: &'a CaFolder,
    _lock: File,
}

impl CaFolder {
    /// Opens the folder and reads the CA's certificate.
    ///
    /// # Errors
    /// [`CaError`]: there is no CA in it, or it cannot be read.
    pub fn open(path: &Path) -> Result<Self, CaError> {
        let missing = |error: io::Error| match error.kind() {
            ErrorKind::NotFound => CaError::Missing(path.to_owned()),
            _ => CaError::Read { path: path.to_owned(), source: error },
        };
        let place = Place::of(&path.join(CERTIFICATE)).map_err(missing)?;
        let file = place.open().map_err(missing)?;
        let at = path.join(CERTIFICATE);
        let pem = read(&file, MOST_PEM).map_err(|source| CaError::Read { path: at.clone(), source })?;
        let certificate = CaCertificate::parse(&pem)
            .map_err(|detail| CaError::BadFile { path: at, detail: detail.to_owned() })?;
        Ok(Self { path: path.to_owned(), place, certificate })
    }

    /// The files under `path` that say which certificates of the CA count.
    #[must_use]
    pub fn files_of_trust(path: &Path) -> [PathBuf; 2] {
        [path.join(CERTIFICATE), path.join(INDEX)]
    }

    /// Whether a folder without a CA's certificate has other parts of a CA in it, or may have: then there was one, and what
    /// it revoked is not known.
    #[must_use]
    pub fn has_parts(path: &Path) -> bool {
        let is_absent = |name: &str| {
            fs::symlink_metadata(path.join(name)).is_err_and(|error| error.kind() == ErrorKind::NotFound)
        };
        ![CA_KEY, INDEX, CRL].into_iter().all(is_absent)
    }

    /// Whether the CA's key asks for a passphrase.
    ///
    /// # Errors
    /// [`CaError`]: the key cannot be read, or others can.
    pub fn is_encrypted(&self) -> Result<bool, CaError> {
        self.key().map(|key| key.is_encrypted())
    }

    /// What was issued. Needs no lock: the file is always whole.
    ///
    /// # Errors
    /// [`CaError`]: it cannot be read, or a line of it is broken.
    pub fn index(&self) -> Result<Index, CaError> {
        Index::parse(&self.text(INDEX, MOST_INDEX)?, &self.path.join(INDEX))
    }

    /// The CA's certificate as PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate.pem
    }

    /// The CA's common name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.certificate.name
    }

    /// When the CA's certificate ends.
    #[must_use]
    pub fn expires(&self) -> UnixSeconds {
        self.certificate.expires
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The revocation list's file.
    #[must_use]
    pub fn crl_path(&self) -> PathBuf {
        self.path.join(CRL)
    }

    /// The number of the revocation list on disk, which is behind the index if that names another. `None` if there is no
    /// list, or none that can be read.
    #[must_use]
    pub fn crl_number_on_disk(&self) -> Option<u64> {
        super::revocations::crl_number(&self.text(CRL, MOST_INDEX).ok()?)
    }

    /// Revokes without the key, in the index alone: for whoever asks that it counts at once, for others once a command
    /// that has the key makes the next list. All of them or, on an error, none.
    ///
    /// # Errors
    /// As for [`super::Authority::revoke`].
    pub fn revoke_in_index(
        &self,
        wanted: &[impl AsRef<str>],
        revocation: Revocation,
    ) -> Result<Vec<Record>, CaError> {
        must_be_ours(&self.path, self.place.folder(), 0o022)?;
        let locked = self.lock()?;
        let mut index = self.index()?;
        let records = index.revoke_all(wanted, revocation)?;
        index.outdate_crl();
        locked.write_index(&index)?;
        Ok(records)
    }

    pub(super) fn certificate(&self) -> &CaCertificate {
        &self.certificate
    }

    /// The CA's key, which must be this user's or root's, and nobody else's to read.
    pub(super) fn key(&self) -> Result<KeyText, CaError> {
        let path = self.path.join(CA_KEY);
        let failed = |source| CaError::Read { path: path.clone(), source };
        let file = self.place.sibling(CA_KEY).and_then(|place| place.open()).map_err(failed)?;
        must_be_ours(&self.path, self.place.folder(), 0o022)?;
        must_be_ours(&path, &file, 0o077)?;
        let text = read(&file, MOST_PEM).map(Zeroizing::new).map_err(failed)?;
        KeyText::parse(&text).ok_or_else(|| CaError::BadFile {
            path: path.clone(),
            detail: "is no private key in PKCS#8 form".to_owned(),
        })
    }

    /// Waits for other commands, then keeps them out until it is dropped.
    pub(super) fn lock(&self) -> Result<Locked<'_>, CaError> {
        let failed = |source| CaError::Read { path: self.path.clone(), source };
        let lock = self.place.folder_anew().map_err(failed)?;
        take(&lock, &self.path)?;
        Ok(Locked { folder: self, _lock: lock })
    }

    fn text(&self, name: &str, most: u64) -> Result<String, CaError> {
        let failed = |source| CaError::Read { path: self.path.join(name), source };
        let file = self.place.sibling(name).and_then(|place| place.open()).map_err(failed)?;
        read(&file, most).map_err(failed)
    }

    /// Writes a file that the gateway may read if it could read the old one or the certificate.
    fn put(&self, name: &str, text: &str) -> Result<(), CaError> {
        let failed = |source| CaError::Write { path: self.path.join(name), source };
        let like = self.place.open().and_then(|file| file.metadata()).map_err(failed)?;
        let readers = if like.mode() & 0o040 == 0 { Readers::Owner } else { Readers::Group(like.gid()) };
        self.place.sibling(name).and_then(|place| place.put(text.as_bytes(), readers)).map_err(failed)
    }
}

impl Locked<'_> {
    /// Puts a new index in the place of the old one.
    pub(super) fn write_index(&self, index: &Index) -> Result<(), CaError> {
        let failed =
            |error| CaError::Write { path: self.folder.path.join(INDEX), source: io::Error::other(error) };
        self.folder.put(INDEX, &index.to_text().map_err(failed)?)
    }

    /// Puts a new revocation list in the place of the old one.
    pub(super) fn write_crl(&self, pem: &str) -> Result<(), CaError> {
        self.folder.put(CRL, pem)
    }
}

/// Makes the folder of a new CA. `group` may read what is not secret; without one nobody but the owner may.
///
/// The certificate comes last and makes the folder a CA: what a crash leaves behind without it can be made anew.
pub(super) fn create(
    path: &Path,
    group: Option<u32>,
    key: &str,
    index: &Index,
    certificate: &str,
) -> Result<(), CaError> {
    let failed = |name: &str| {
        let path = path.join(name);
        move |source| CaError::Write { path, source }
    };
    let folder = Folder::make(path, 0o700, 0o700).map_err(failed(""))?;
    if group.is_some() {
        must_hold_nothing_else(&folder, path)?;
    }
    let place = Place::within(folder, CERTIFICATE).map_err(failed(""))?;
    let lock = place.folder_anew().map_err(failed(""))?;
    take(&lock, path)?;
    must_be_ours(path, &lock, 0o022)?;
    if place.is_taken().map_err(failed(CERTIFICATE))? {
        return Err(CaError::Exists(path.to_owned()));
    }
    if place.sibling(CA_KEY).and_then(|place| place.is_taken()).map_err(failed(CA_KEY))? {
        let detail = "is a key without its certificate; move it away if nothing needs it".to_owned();
        return Err(CaError::BadFile { path: path.join(CA_KEY), detail });
    }
    if let Some(group) = group {
        fchown(place.folder(), None, Some(group)).map_err(failed(""))?;
        place.folder().set_permissions(Permissions::from_mode(0o750)).map_err(failed(""))?;
    }
    let readers = group.map_or(Readers::Owner, Readers::Group);
    let put = |name: &str, text: &str, readers| {
        place.sibling(name).and_then(|place| place.put(text.as_bytes(), readers)).map_err(failed(name))
    };
    let text = index.to_text().map_err(io::Error::other).map_err(failed(INDEX))?;
    put(CA_KEY, key, Readers::Owner)?;
    put(INDEX, &text, readers)?;
    put(CERTIFICATE, certificate, readers)
}

/// A folder that is used for something else must not get the CA's group and mode.
fn must_hold_nothing_else(folder: &Folder, path: &Path) -> Result<(), CaError> {
    let ours = [CERTIFICATE, CA_KEY, INDEX, CRL];
    let names = folder.names().map_err(|source| CaError::Read { path: path.to_owned(), source })?;
    // What a crash left behind begins with the name that it was to get.
    let is_ours =
        |name: &OsString| name.to_str().is_some_and(|name| ours.iter().any(|our| name.starts_with(our)));
    let Some(other) = names.iter().find(|name| !is_ours(name)) else { return Ok(()) };
    let detail = format!("holds {other:?}, which is no part of a CA; name a folder of its own with --dir");
    Err(CaError::BadFile { path: path.to_owned(), detail })
}

impl CaCertificate {
    /// Says what is wrong with a text that is not one CA certificate.
    fn parse(pem: &str) -> Result<Self, &'static str> {
        let all: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        let [Ok(der)] = all.as_slice() else {
            return Err("does not hold exactly one certificate");
        };
        let Ok((rest, parsed)) = X509Certificate::from_der(der) else {
            return Err("holds no X.509 certificate");
        };
        let name = parsed.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        let (true, true, Some(name)) = (rest.is_empty(), parsed.is_ca(), name) else {
            return Err("holds a certificate that is not a CA's");
        };
        Ok(Self {
            pem: pem.to_owned(),
            name: name.to_owned(),
            expires: parsed.validity().not_after.timestamp(),
            public_key: parsed.public_key().raw.to_vec(),
            der: der.clone(),
        })
    }
}

/// Refuses what is another user's, or has one of these permission bits: a key could be read, or exchanged.
fn must_be_ours(path: &Path, file: &File, too_open: u32) -> Result<(), CaError> {
    let metadata = file.metadata().map_err(|source| CaError::Read { path: path.to_owned(), source })?;
    let (mode, owner, name) = (metadata.mode() & 0o777, metadata.uid(), path.display());
    let detail = if ![0, geteuid().as_raw()].contains(&owner) {
        format!("belongs to another user (uid {owner}); run the command as that user, or use another folder")
    } else if mode & too_open != 0 {
        format!(
            "is open to others (mode {mode:03o}); run: chmod go-{} {name}",
            if too_open == 0o022 { "w" } else { "rwx" }
        )
    } else {
        return Ok(());
    };
    Err(CaError::KeyOpen { path: path.to_owned(), detail })
}

fn take(lock: &File, path: &Path) -> Result<(), CaError> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            Err(TryLockError::Error(source)) => return Err(CaError::Read { path: path.to_owned(), source }),
        }
    }
    Err(CaError::Locked(path.to_owned()))
}

fn read(file: &File, most: u64) -> io::Result<String> {
    let metadata: fs::Metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    if metadata.len() > most {
        return Err(io::Error::from(ErrorKind::FileTooLarge));
    }
    // With room for all of it, no half of a key stays behind in a buffer that was outgrown.
    let room = usize::try_from(metadata.len()).unwrap_or_default().saturating_add(4096);
    let mut text = String::with_capacity(room);
    file.take(most).read_to_string(&mut text)?;
    Ok(text)
}

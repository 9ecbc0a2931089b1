//! The folder that a certificate and its key are written to.

use std::fs::{File, Permissions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use anyhow::Context;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use zeroize::Zeroizing;

use crate::ca::{Bundle, Index, Kind, LeafKey, Record, Serial};
use crate::fs::Folder;
use crate::store::{Place, Readers};

const CERTIFICATE: &str = "cert.pem";
const KEY: &str = "key.pem";
const CA: &str = "ca.pem";
/// Larger is no certificate and no key.
const MOST_BYTES: u64 = 1024 * 1024;

/// A folder that was opened once; whatever becomes of its path, all files go there.
pub(super) struct Output {
    path: PathBuf,
    /// Whether the folder is new, and goes again if nothing comes into it.
    made: bool,
    /// The gateway's group, which may read a server's new `server.pem`: a gateway that has left root renews it from there.
    gateway: Option<u32>,
    certificate: Place,
}

/// What goes into the folder.
pub(super) struct Files<'a> {
    pub(super) bundle: &'a Bundle,
    pub(super) kind: Kind,
    pub(super) name: &'a str,
    pub(super) pkcs12: Option<Zeroizing<Vec<u8>>>,
}

impl Output {
    /// Opens the folder, and makes it, 0700, if there is none. With the gateway's group, which servers of root have, a
    /// new folder is 0750 for that; one that was there stays as it is.
    pub(super) fn open(wanted: Option<&Path>, name: &str, gateway: Option<u32>) -> anyhow::Result<Self> {
        let path = wanted.map_or_else(|| PathBuf::from(folder_name(name)), Path::to_owned);
        let failed = || format!("cannot make {}", path.display());
        // Folders above are as open as any that people make if the gateway has to come through, else as closed as this one.
        let above = if gateway.is_some() { 0o755 } else { 0o700 };
        let folder = Folder::make(&path, 0o700, above).with_context(failed)?;
        let made = folder.is_new();
        let certificate = Place::within(folder, CERTIFICATE).with_context(failed)?;
        if let (true, Some(group)) = (made, gateway) {
            open_to(certificate.folder(), group).with_context(failed)?;
        }
        Ok(Self { path, made, gateway, certificate })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Refuses a folder in which a key would be lost.
    pub(super) fn must_have_no_key(&self, name: &str, kind: Kind) -> anyhow::Result<()> {
        for file in [KEY, CERTIFICATE, CA, &concatenated_name(name, kind)] {
            let taken = self.certificate.sibling(file).and_then(|place| place.is_taken());
            if taken.with_context(|| format!("cannot look into {}", self.path.display()))? {
                anyhow::bail!(
                    "{} is there already; write --out with another folder, or renew what is there: doorward ca renew {name}",
                    self.path.join(file).display()
                );
            }
        }
        Ok(())
    }

    /// Refuses to replace anything but a certificate of ours for the same name. Gives the certificate's number, if there
    /// is one.
    pub(super) fn must_be_of(&self, record: &Record, index: &Index) -> anyhow::Result<Option<Serial>> {
        let path = self.path.join(CERTIFICATE);
        let Some(text) = self.read(CERTIFICATE)? else {
            self.must_have_no_key(&record.name, record.kind)?;
            return Ok(None);
        };
        let serial = serial_of(&text);
        let old = index.records().iter().find(|old| Some(old.serial) == serial);
        if !old.is_some_and(|old| (old.kind, &old.name) == (record.kind, &record.name)) {
            anyhow::bail!(
                "{} is no certificate of this CA for {}; write --out with the folder to renew, or with a new one",
                path.display(),
                record.name
            );
        }
        Ok(serial)
    }

    /// The key that is there.
    pub(super) fn key(&self) -> anyhow::Result<LeafKey> {
        let path = self.path.join(KEY);
        let text = self.read(KEY)?.map(Zeroizing::new);
        let text =
            text.with_context(|| format!("{} is not there; write --new-key for a new one", path.display()))?;
        LeafKey::from_pem(&text).with_context(|| format!("{} holds no key that can be used", path.display()))
    }

    /// Writes all files; the keys first, so that there is never a certificate without its key. Files that are renewed
    /// keep their readers. Gives their names.
    pub(super) fn write(&self, files: &Files<'_>) -> anyhow::Result<Vec<String>> {
        let concatenated = files.bundle.concatenated();
        let (concatenated_name, pkcs12_name) =
            (concatenated_name(files.name, files.kind), pkcs12_name(files.name));
        let mut all: Vec<(&str, &[u8], Readers)> = vec![(KEY, files.bundle.key.as_bytes(), Readers::Owner)];
        let readers = self.gateway.map_or(Readers::Owner, Readers::Group);
        all.push((&concatenated_name, concatenated.as_bytes(), readers));
        if let Some(bytes) = &files.pkcs12 {
            all.push((&pkcs12_name, bytes, Readers::Owner));
        }
        all.push((CA, files.bundle.ca.as_bytes(), Readers::Everybody));
        all.push((CERTIFICATE, files.bundle.certificate.as_bytes(), Readers::Everybody));
        for (name, bytes, readers) in &all {
            let place = self.certificate.sibling(name);
            place
                .and_then(|place| place.renew(bytes, *readers))
                .with_context(|| format!("cannot write {}", self.path.join(name).display()))?;
        }
        Ok(all.iter().map(|(name, ..)| (*name).to_owned()).collect())
    }

    /// Whether an older PKCS#12 file is there.
    pub(super) fn has_pkcs12(&self, name: &str) -> bool {
        self.certificate.sibling(&pkcs12_name(name)).and_then(|place| place.is_taken()).unwrap_or_default()
    }

    fn read(&self, name: &str) -> anyhow::Result<Option<String>> {
        let failed = || format!("cannot read {}", self.path.join(name).display());
        let file = match self.certificate.sibling(name).and_then(|place| place.open()) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.with_context(failed)?,
        };
        let mut text = String::with_capacity(16 * 1024);
        file.take(MOST_BYTES).read_to_string(&mut text).with_context(failed)?;
        Ok(Some(text))
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if self.made {
            // Fails, as it should, if there is something in it.
            let _ = std::fs::remove_dir(&self.path);
        }
    }
}

fn open_to(folder: &File, group: u32) -> io::Result<()> {
    fchown(folder, None, Some(group))?;
    folder.set_permissions(Permissions::from_mode(0o750))
}

/// `*` would have to be quoted in every shell, and a dot in front hides the folder.
fn folder_name(name: &str) -> String {
    let name = name.replace('*', "_");
    if name.starts_with('.') { format!("_{name}") } else { name }
}

/// `server.pem` for servers, the user's name for clients.
pub(super) fn concatenated_name(name: &str, kind: Kind) -> String {
    match (kind, name) {
        (Kind::Server, _) => "server.pem".to_owned(),
        // Users of these names would overwrite what has a fixed one.
        (Kind::Client, "ca" | "cert" | "key") => format!("{name}-client.pem"),
        (Kind::Client, _) => format!("{}.pem", folder_name(name)),
    }
}

fn pkcs12_name(name: &str) -> String {
    format!("{}.p12", folder_name(name))
}

fn serial_of(pem: &str) -> Option<Serial> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let (_, parsed) = X509Certificate::from_der(&der).ok()?;
    Serial::from_der(parsed.raw_serial())
}

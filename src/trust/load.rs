//! Reads the files of the certificate door.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, TrustAnchor};
use webpki::{CertRevocationList, OwnedCertRevocationList};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::error::TrustError;
use super::map::Map;
use super::rules::NameRules;
use super::subject::describe;
use crate::ca::{CaError, CaFolder, Revocations};
use crate::config::{ClientCa, ClientCertSettings};
use crate::domain::UnixSeconds;

/// Larger than every bundle of public CAs.
const MOST_CA_BYTES: u64 = 8 * 1024 * 1024;
/// Some million of revoked certificates.
const MOST_CRL_BYTES: u64 = 64 * 1024 * 1024;
/// Some ten thousand entries.
const MOST_MAP_BYTES: u64 = 4 * 1024 * 1024;

/// What the files said at one reading.
pub(super) struct Loaded {
    /// CAs of files.
    pub(super) anchors: Vec<TrustAnchor<'static>>,
    /// CAs of our own.
    pub(super) own: Vec<OwnCa>,
    /// The CA for logins.
    pub(super) login: Option<OwnCa>,
    /// Revocation lists for the CAs of files.
    pub(super) crls: Arc<[Crl]>,
    /// Who is who.
    pub(super) rules: NameRules,
    subjects: Vec<Vec<u8>>,
    names: Vec<String>,
}

/// A CA of our own.
#[derive(Clone)]
pub(super) struct OwnCa {
    pub(super) anchor: TrustAnchor<'static>,
    /// When its certificate ends: unlike that of others, it is not believed after that.
    pub(super) expires: UnixSeconds,
    /// `None` if its index cannot be read: nobody knows then what was revoked.
    pub(super) revocations: Option<Revocations>,
    subject: Vec<u8>,
    name: String,
}

/// A revocation list and its end.
pub(super) struct Crl {
    pub(super) list: CertRevocationList<'static>,
    next_update: Option<UnixSeconds>,
}

/// All files that [`Loaded::read`] reads.
pub(super) fn files(settings: &ClientCertSettings, own: &[PathBuf]) -> Vec<PathBuf> {
    let authorities = settings.authorities.iter().filter_map(|authority| match authority {
        ClientCa::File(path) => Some(path.clone()),
        ClientCa::Own => None,
    });
    // The CA for logins changes at start only.
    let own = own.iter().flat_map(|folder| CaFolder::files_of_trust(folder));
    authorities.chain(settings.crls.iter().cloned()).chain(settings.map.clone()).chain(own).collect()
}

impl Loaded {
    pub(super) fn read(
        settings: &ClientCertSettings,
        own: &[PathBuf],
        login: Option<&Path>,
    ) -> Result<Self, TrustError> {
        let mut loaded = Self {
            anchors: Vec::new(),
            own: own
                .iter()
                .filter_map(|folder| OwnCa::read_if_there(folder).transpose())
                .collect::<Result<_, _>>()?,
            login: login.map(OwnCa::read).transpose()?,
            crls: Arc::from([]),
            rules: NameRules::default(),
            subjects: Vec::new(),
            names: Vec::new(),
        };
        for authority in &settings.authorities {
            if let ClientCa::File(path) = authority {
                loaded.add_authorities(path)?;
            }
        }
        let mut lists = Vec::new();
        for path in &settings.crls {
            lists.extend(crls(path, &read_file("client-crl", path, MOST_CRL_BYTES)?)?);
        }
        loaded.crls = lists.into();
        if let Some(path) = &settings.map {
            let bytes = read_file("cert-map", path, MOST_MAP_BYTES)?;
            loaded.rules.map = Some(Map::parse(path, &bytes)?);
        }
        Ok(loaded)
    }

    /// The same with our own CAs as they are now, where another file cannot be used: revocations must not wait for its
    /// repair.
    pub(super) fn with_own_of_now(&self, folders: &[PathBuf]) -> Option<Self> {
        let own: Vec<OwnCa> = folders.iter().filter_map(|folder| OwnCa::read(folder).ok()).collect();
        if folders.is_empty() {
            return None;
        }
        Some(Self {
            anchors: self.anchors.clone(),
            own,
            login: self.login.clone(),
            crls: Arc::clone(&self.crls),
            rules: self.rules.clone(),
            subjects: self.subjects.clone(),
            names: self.names.clone(),
        })
    }

    fn add_authorities(&mut self, path: &Path) -> Result<(), TrustError> {
        let problem = |text: String| TrustError::file("client-ca", path, text);
        let bytes = read_file("client-ca", path, MOST_CA_BYTES)?;
        let before = self.anchors.len();
        for (at, found) in CertificateDer::pem_slice_iter(&bytes).enumerate() {
            let number = at + 1;
            let der = found.map_err(|error| problem(format!("certificate {number} is broken ({error})")))?;
            let (_, parsed) = X509Certificate::from_der(&der)
                .map_err(|_| problem(format!("certificate {number} is no X.509 certificate")))?;
            // Whoever holds the key of what is listed here can make certificates for everybody.
            if !parsed.is_ca() {
                let name = describe(parsed.subject());
                return Err(problem(format!(
                    "certificate {number} ({name}) is not a CA's (basic constraints, CA:TRUE); name the one that issued it"
                )));
            }
            let anchor = webpki::anchor_from_trusted_cert(&der)
                .map_err(|error| problem(format!("certificate {number} cannot be used ({error})")))?;
            self.subjects.push(parsed.subject().as_raw().to_vec());
            self.names.push(describe(parsed.subject()));
            self.anchors.push(anchor.to_owned());
        }
        if self.anchors.len() == before {
            return Err(problem("there is no certificate in it ('-----BEGIN CERTIFICATE-----')".to_owned()));
        }
        Ok(())
    }

    pub(super) fn subjects(&self) -> Vec<Vec<u8>> {
        let own = self.own.iter().chain(&self.login).map(|own| own.subject.clone());
        own.chain(self.subjects.iter().cloned()).collect()
    }

    pub(super) fn next_end(&self, now: UnixSeconds) -> Option<UnixSeconds> {
        self.crls.iter().filter_map(|crl| crl.next_update).filter(|end| *end >= now).min()
    }

    pub(super) fn announce(&self) {
        let own = self.own.iter().chain(&self.login).map(|own| own.name.as_str());
        let names: Vec<&str> = own.chain(self.names.iter().map(String::as_str)).collect();
        tracing::info!(
            target: "doorward::trust",
            authorities = names.join("; "), revocation_lists = self.crls.len(),
            "client certificates are believed of these CAs"
        );
    }
}

impl OwnCa {
    /// `None` where `doorward ca init` was not run yet: logins get their certificates without it, and it is noticed when it
    /// was.
    fn read_if_there(folder: &Path) -> Result<Option<Self>, TrustError> {
        match Self::read(folder) {
            Err(TrustError::Own(CaError::Missing(path))) => {
                tracing::info!(
                    target: "doorward::trust", folder = %path.display(),
                    "no CA of 'doorward ca' is there yet: certificates are those of logins, and of other files"
                );
                Ok(None)
            }
            read => read.map(Some),
        }
    }

    fn read(folder: &Path) -> Result<Self, TrustError> {
        let opened = CaFolder::open(folder).map_err(TrustError::Own)?;
        let der = CertificateDer::from_pem_slice(opened.certificate_pem().as_bytes()).ok();
        let broken = || TrustError::file("client-ca", folder, "ca.pem is no certificate");
        let der = der.ok_or_else(broken)?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| broken())?;
        let revocations = Revocations::load(&opened).inspect_err(|error| {
            tracing::error!(
                target: "doorward::trust", error = error as &dyn std::error::Error,
                "what was revoked cannot be read: no certificate of this CA counts until it can"
            );
        });
        Ok(Self {
            anchor: webpki::anchor_from_trusted_cert(&der).map_err(|_| broken())?.to_owned(),
            expires: opened.expires(),
            revocations: revocations.ok(),
            subject: parsed.subject().as_raw().to_vec(),
            name: describe(parsed.subject()),
        })
    }
}

/// PEM blocks, or one list in DER form, as CAs publish it.
fn crls(path: &Path, bytes: &[u8]) -> Result<Vec<Crl>, TrustError> {
    let problem = |text: String| TrustError::file("client-crl", path, text);
    let lists: Vec<CertificateRevocationListDer<'_>> = if bytes.first() == Some(&0x30) {
        vec![CertificateRevocationListDer::from(bytes)]
    } else {
        CertificateRevocationListDer::pem_slice_iter(bytes)
            .collect::<Result<_, _>>()
            .map_err(|error| problem(format!("a PEM block is broken ({error})")))?
    };
    if lists.is_empty() {
        return Err(problem("there is no revocation list in it ('-----BEGIN X509 CRL-----')".to_owned()));
    }
    lists.iter().map(|list| crl(list).map_err(problem)).collect()
}

fn crl(der: &[u8]) -> Result<Crl, String> {
    let list = OwnedCertRevocationList::from_der(der).map_err(|error| {
        format!(
            "a list in it cannot be used ({error}); it must be of version 2 and say when the next one comes"
        )
    })?;
    let (_, parsed) = CertificateRevocationList::from_der(der)
        .map_err(|_| "a list in it is no revocation list".to_owned())?;
    let next_update = parsed.next_update().map(|time| time.timestamp());
    Ok(Crl { list: CertRevocationList::Owned(list), next_update })
}

/// Whoever may write these files may let in anybody.
fn read_file(option: &'static str, path: &Path, most: u64) -> Result<Vec<u8>, TrustError> {
    let unreadable = |error: std::io::Error| TrustError::unreadable(option, path, &error);
    let file = File::open(path).map_err(unreadable)?;
    let found = file.metadata().map_err(unreadable)?;
    if !found.is_file() {
        return Err(TrustError::file(option, path, "is not a file"));
    }
    if found.mode() & 0o002 != 0 {
        let problem = format!("may be written by everybody; run: chmod o-w {}", path.display());
        return Err(TrustError::file(option, path, problem));
    }
    if found.len() > most {
        return Err(TrustError::file(option, path, format!("is larger than {} MiB", most / 1024 / 1024)));
    }
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

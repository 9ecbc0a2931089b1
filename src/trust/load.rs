//! Reads the files of the certificate door.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::authority::{Anchors, Authority};
use super::error::{Place, TrustError};
use super::list::RevocationList;
use super::map::Map;
use super::public;
use super::rules::NameRules;
use super::subject::describe;
use crate::ca::{CaError, CaFolder, Revocations};
use crate::config::{CertField, ClientCa, ClientCertSettings};
use crate::domain::UnixSeconds;
use crate::domain::pem::{CERTIFICATE, REVOCATION_LIST, pem_blocks, pem_certificates};
use crate::fs::open_to_read;

/// Larger than every bundle of public CAs.
const MOST_CA_BYTES: u64 = 8 * 1024 * 1024;
/// Some million of revoked certificates.
const MOST_CRL_BYTES: u64 = 64 * 1024 * 1024;
/// Some ten thousand entries.
const MOST_MAP_BYTES: u64 = 4 * 1024 * 1024;

/// What the files said at one reading.
pub(super) struct Loaded {
    /// CAs of files.
    pub(super) anchors: Anchors,
    /// CAs of our own.
    pub(super) own: Vec<OwnCa>,
    /// The CA for logins.
    pub(super) login: Option<OwnCa>,
    /// Revocation lists for the CAs of files.
    pub(super) crls: Arc<[RevocationList]>,
    /// Who is who.
    pub(super) rules: NameRules,
}

/// A CA of our own.
#[derive(Clone)]
pub(super) struct OwnCa {
    /// It alone.
    pub(super) anchors: Anchors,
    /// When its certificate ends: unlike that of others, it is not believed after that.
    pub(super) expires: UnixSeconds,
    /// `None` if its index cannot be read: nobody knows then what was revoked.
    pub(super) revocations: Option<Revocations>,
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
            anchors: Anchors::default(),
            own: own
                .iter()
                .filter_map(|folder| OwnCa::read_if_there(folder).transpose())
                .collect::<Result<_, _>>()?,
            login: login.map(OwnCa::read).transpose()?,
            crls: Arc::from([]),
            rules: NameRules::default(),
        };
        for authority in &settings.authorities {
            if let ClientCa::File(path) = authority {
                loaded.must_know_what_was_revoked(own)?;
                loaded.add_authorities(path)?;
            }
        }
        let mut lists = Vec::new();
        for path in &settings.crls {
            lists.extend(revocation_lists(path, &read_file("client-crl", path, MOST_CRL_BYTES)?)?);
        }
        loaded.crls = lists.into();
        if let Some(path) = &settings.map {
            let bytes = read_file("cert-map", path, MOST_MAP_BYTES)?;
            loaded.rules.map = Some(Map::parse(path, &bytes)?);
        }
        loaded.must_not_be_for_everybody(settings)?;
        Ok(loaded)
    }

    /// Refuses a folder in which a CA of ours was, beside a file that may name the very same: what was revoked would count
    /// again.
    fn must_know_what_was_revoked(&self, own: &[PathBuf]) -> Result<(), TrustError> {
        let lost = own.iter().find(|folder| self.own.is_empty() && CaFolder::has_parts(folder));
        lost.map_or(Ok(()), |folder| {
            let problem = "holds a CA without its ca.pem, so nobody knows what it revoked; put ca.pem back, or move the folder \
                           away if its certificates are to count no more";
            Err(TrustError::file("client-ca", folder, problem))
        })
    }

    /// Whether only the mapping file says who comes in.
    fn is_closed(&self) -> bool {
        self.rules.map.as_ref().is_some_and(Map::is_whole)
    }

    fn must_not_be_for_everybody(&self, settings: &ClientCertSettings) -> Result<(), TrustError> {
        if self.is_closed() || self.anchors.facts().len() <= public::FEW {
            return Ok(());
        }
        let count = public::of_the_system(&self.anchors).len();
        if count <= public::FEW {
            return Ok(());
        }
        let mut files = settings.authorities.iter().filter_map(|authority| match authority {
            ClientCa::File(path) => Some(path.as_path()),
            ClientCa::Own => None,
        });
        let problem = format!(
            "{count} CAs in it issue for everybody: this host trusts them for web sites, and whoever has a certificate of \
             theirs would come in; name the CA that issues your clients' certificates, or write others = \"refuse\" in \
             --cert-map"
        );
        Err(TrustError::file("client-ca", files.next_back().unwrap_or(Path::new("")), problem))
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
        })
    }

    fn add_authorities(&mut self, path: &Path) -> Result<(), TrustError> {
        let problem = |text: String| TrustError::file("client-ca", path, text);
        let bytes = read_file("client-ca", path, MOST_CA_BYTES)?;
        let before = self.anchors.facts().len();
        let certificates = pem_certificates(&bytes).map_err(|error| problem(error.to_string()))?;
        for (at, der) in certificates.into_iter().enumerate() {
            let number = at + 1;
            let (_, parsed) = X509Certificate::from_der(&der)
                .map_err(|_| problem(format!("certificate {number} is no X.509 certificate")))?;
            // Whoever holds the key of what is listed here can make certificates for everybody.
            if !parsed.is_ca() {
                let name = describe(parsed.subject());
                return Err(problem(format!(
                    "certificate {number} ({name}) is not a CA's (basic constraints, CA:TRUE); name the one that issued it"
                )));
            }
            let facts = Authority::of(&parsed)
                .ok_or_else(|| problem(format!("certificate {number} has a broken extension")))?;
            if let Some(why) = facts.useless() {
                return Err(problem(format!(
                    "certificate {number} ({}) {why}; name a CA that issues certificates for clients",
                    facts.name
                )));
            }
            self.anchors
                .add(&der, facts)
                .map_err(|error| problem(format!("certificate {number} cannot be used ({error})")))?;
        }
        if self.anchors.facts().len() == before {
            return Err(problem("there is no certificate in it ('-----BEGIN CERTIFICATE-----')".to_owned()));
        }
        Ok(())
    }

    pub(super) fn subjects(&self) -> Vec<Vec<u8>> {
        self.authorities().map(|authority| authority.subject.clone()).collect()
    }

    /// All CAs that are trusted.
    fn authorities(&self) -> impl Iterator<Item = &Authority> {
        let own = self.own.iter().chain(&self.login).flat_map(|own| own.anchors.facts());
        own.chain(self.anchors.facts())
    }

    /// When the next revocation list begins or ends to be in force.
    pub(super) fn next_change(&self, now: UnixSeconds) -> Option<UnixSeconds> {
        self.crls.iter().flat_map(RevocationList::changes).filter(|change| *change >= now).min()
    }

    /// Lists by the name of a trusted CA that this CA did not sign, or may not have signed. They count for nothing.
    pub(super) fn foreign_lists(&self) -> Vec<TrustError> {
        let is_foreign = |list: &RevocationList| {
            let mut of_name = self.authorities().filter(|known| known.subject == list.issuer).peekable();
            of_name.peek()?;
            let problem = match of_name.find(|known| list.is_signed_by(&known.key)) {
                Some(known) if known.may_sign_lists => return None,
                Some(_) => "but this CA may not sign lists (key usage without cRLSign); remove it",
                None => {
                    "but no CA of this name in --client-ca signed it, by an algorithm that is taken (not SHA-1); remove it, or add \
                     the CA whose key signed it"
                }
            };
            let problem = format!("the list is of {}, {problem}", list.name);
            Some(TrustError::line("client-crl", list.place.clone(), problem))
        };
        self.crls.iter().filter_map(is_foreign).collect()
    }

    /// What is allowed and probably not what was meant, one sentence each.
    pub(super) fn warnings(&self, field: CertField) -> Vec<String> {
        let is_unknown =
            |list: &&RevocationList| self.authorities().all(|known| known.subject != list.issuer);
        let lists = self.crls.iter().filter(is_unknown).map(|list| {
            let (place, name) = (&list.place, &list.name);
            format!(
                "--client-crl {place}: the list is of {name}, which is not in --client-ca: it counts for clients that show \
                 an intermediate CA of this name, and for nobody else"
            )
        });
        let is_unbound =
            |ca: &&Authority| ca.bound.is_constrained() && !(field == CertField::Dns && ca.bound.holds_dns());
        let constrained = self.authorities().filter(is_unbound).map(|ca| {
            format!(
                "--client-ca: {} has name constraints, which do not bind the field of --cert-user: its certificates are \
                 refused; use --cert-user san-dns, or entries with spki-sha256 in --cert-map",
                ca.name
            )
        });
        let public = if self.is_closed() { Vec::new() } else { public::of_the_system(&self.anchors) };
        let public = public.iter().map(|ca| {
            format!(
                "--client-ca: this host trusts {} for web sites too: if it issues for everybody, everybody comes in; write \
                 others = \"refuse\" in --cert-map then",
                ca.name
            )
        });
        lists.chain(constrained).chain(public).collect()
    }

    /// Keeps CAs of our own that were there before and are no more, as CAs of which nobody knows what was revoked: a file
    /// of `--client-ca` may name the same CA, and would admit what was revoked.
    pub(super) fn keep_closed(&mut self, before: &Self) {
        let keys: Vec<&Authority> = self.own.iter().flat_map(|own| own.anchors.facts()).collect();
        let is_gone = |own: &&OwnCa| {
            !own.anchors.facts().iter().any(|gone| keys.iter().any(|known| known.key == gone.key))
        };
        let gone: Vec<OwnCa> = before.own.iter().filter(is_gone).cloned().collect();
        self.own.extend(gone.into_iter().map(|own| OwnCa { revocations: None, ..own }));
    }

    pub(super) fn announce(&self) {
        let names: Vec<&str> = self.authorities().map(|authority| authority.name.as_str()).collect();
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
        let mut anchors = Anchors::default();
        anchors.add(&der, Authority::of(&parsed).ok_or_else(broken)?).map_err(|_| broken())?;
        Ok(Self { anchors, expires: opened.expires(), revocations: revocations.ok() })
    }
}

/// PEM blocks, or lists in DER form, one after the other.
fn revocation_lists(path: &Path, bytes: &[u8]) -> Result<Vec<RevocationList>, TrustError> {
    let at = |line| Place { path: path.to_owned(), line };
    let problem = |(line, text): (usize, String)| TrustError::line("client-crl", at(line), text);
    let is_binary = bytes.first() == Some(&0x30);
    let lists = if is_binary { in_der(bytes) } else { in_pem(bytes) }.map_err(problem)?;
    if lists.is_empty() {
        let text = "there is no revocation list in it ('-----BEGIN X509 CRL-----')";
        return Err(TrustError::file("client-crl", path, text));
    }
    let read = |list: Block| {
        RevocationList::parse(&list.der, at(list.line)).map_err(|text| problem((list.line, text)))
    };
    lists.into_iter().map(read).collect()
}

/// A list, and the line that it begins in.
struct Block {
    line: usize,
    der: Vec<u8>,
}

/// The line, and what is wrong there.
type Wrong = (usize, String);

/// Certificates may stand among the lists: files that hold a CA's certificate and its list are common. What else there is
/// might be a list in a spelling that is not understood, and a list that is skipped is a revocation that does not count.
fn in_pem(bytes: &[u8]) -> Result<Vec<Block>, Wrong> {
    let labels = [&REVOCATION_LIST[..], &CERTIFICATE].concat();
    let blocks = pem_blocks(bytes, &labels).map_err(|error| (error.line(), error.to_string()))?;
    let lists = blocks.into_iter().filter(|block| REVOCATION_LIST.contains(&block.label.as_str()));
    Ok(lists.map(|block| Block { line: block.line, der: block.der }).collect())
}

/// DER knows no lines: each list counts as one.
fn in_der(mut bytes: &[u8]) -> Result<Vec<Block>, Wrong> {
    let mut lists: Vec<Block> = Vec::new();
    while !bytes.is_empty() {
        let line = lists.len() + 1;
        let (rest, _) = CertificateRevocationList::from_der(bytes).map_err(|_| {
            (line, "the list cannot be used: it is none in DER form, or something else follows it".to_owned())
        })?;
        let der = bytes.get(..bytes.len() - rest.len()).unwrap_or_default().to_vec();
        lists.push(Block { line, der });
        bytes = rest;
    }
    Ok(lists)
}

/// Whoever may write these files may let in anybody.
fn read_file(option: &'static str, path: &Path, most: u64) -> Result<Vec<u8>, TrustError> {
    let unreadable = |error: std::io::Error| TrustError::unreadable(option, path, &error);
    let file = open_to_read(path).map_err(unreadable)?;
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

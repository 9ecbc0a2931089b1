//! One PEM file with a certificate chain and its private key, blocks in any order.

use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::certificate::Facts;
use super::error::{FileProblem, TlsError};
use super::files::SecretFile;
use crate::domain::pem::{CERTIFICATE, PRIVATE_KEY, pem_blocks};
use crate::domain::{Clock, UnixSeconds};

/// SHA-256 of the files that a chain was read from.
pub(super) type Digest = [u8; 32];

/// A chain, leaf first, and the leaf's private key. That the two belong together has been checked.
pub(super) struct KeyedChain {
    certificates: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    leaf: Facts,
    digest: Digest,
}

/// Reads and checks the file.
pub(super) fn read(path: &Path, clock: &Clock) -> Result<KeyedChain, TlsError> {
    let file = SecretFile::read(path).map_err(|problem| problem.of(path))?;
    parse_file(path, &file, clock).map_err(|problem| problem.of(path))
}

/// As [`read`], whatever the time: what was good when it was stored is better than nothing.
pub(super) fn read_at_any_time(path: &Path) -> Result<KeyedChain, TlsError> {
    let read = || {
        let file = SecretFile::read(path)?;
        let chain = KeyedChain::parse(&file.bytes)?;
        file.must_be_private(path).map(|()| chain)
    };
    read().map_err(|problem: FileProblem| problem.of(path))
}

/// As [`read`], but `None` if the file still holds the bytes that `known` is the digest of.
pub(super) fn read_if_changed(
    path: &Path,
    known: Digest,
    clock: &Clock,
) -> Result<Option<KeyedChain>, TlsError> {
    let file = SecretFile::read(path).map_err(|problem| problem.of(path))?;
    // Looked at first: a certificate that expired while in use is not a broken new one.
    if digest_of(&[&file.bytes]) == known {
        return Ok(None);
    }
    parse_file(path, &file, clock).map(Some).map_err(|problem| problem.of(path))
}

fn parse_file(path: &Path, file: &SecretFile, clock: &Clock) -> Result<KeyedChain, FileProblem> {
    let chain = KeyedChain::parse(&file.bytes)?;
    file.must_be_private(path)?;
    chain.must_be_valid_at(clock.now())?;
    Ok(chain)
}

impl KeyedChain {
    /// Finds the one key, the certificate that it belongs to, and the chain from there.
    pub(super) fn parse(pem: &[u8]) -> Result<Self, FileProblem> {
        let (certificates, mut keys) = blocks(pem)?;
        if certificates.is_empty() {
            return Err(FileProblem::NoCertificate);
        }
        let count = keys.len();
        let (Some(key), true) = (keys.pop(), count <= 1) else {
            return Err(if count == 0 { FileProblem::NoKey } else { FileProblem::SeveralKeys(count) });
        };
        Self::assemble(certificates, key, digest_of(&[pem]))
    }

    /// Checks that the key belongs to one of the certificates and puts the chain in order.
    pub(super) fn assemble(
        certificates: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        digest: Digest,
    ) -> Result<Self, FileProblem> {
        let public_key = public_key_of(&key)?;
        let mut unused = Vec::new();
        for (at, certificate) in certificates.into_iter().enumerate() {
            let facts = Facts::of(&certificate).ok_or(FileProblem::BadCertificate(at + 1))?;
            unused.push((certificate, facts));
        }
        let leaf =
            take(&mut unused, |facts| facts.public_key == public_key).ok_or(FileProblem::KeyMismatch)?;
        let (certificate, leaf) = leaf;
        let mut chain = vec![certificate];
        let mut last = leaf.clone();
        // A self-signed certificate ends the chain. Clients verify the signatures; names are enough to sort by.
        while last.issuer != last.subject {
            let Some((certificate, facts)) = take(&mut unused, |facts| facts.subject == last.issuer) else {
                break;
            };
            chain.push(certificate);
            last = facts;
        }
        if !unused.is_empty() {
            tracing::warn!(
                count = unused.len(),
                "the certificate file holds certificates outside the leaf's chain"
            );
        }
        Ok(Self { certificates: chain, key, leaf, digest })
    }

    fn must_be_valid_at(&self, now: UnixSeconds) -> Result<(), FileProblem> {
        if now > self.leaf.not_after {
            return Err(FileProblem::Expired(self.leaf.not_after));
        }
        if now < self.leaf.not_before {
            return Err(FileProblem::NotYetValid(self.leaf.not_before));
        }
        Ok(())
    }

    /// The chain, leaf first.
    pub(super) fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    /// DER of the leaf.
    pub(super) fn leaf(&self) -> &[u8] {
        self.certificates.first().map_or(&[], |leaf| leaf)
    }

    /// The leaf's private key.
    pub(super) fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }

    /// Names and addresses of the leaf.
    pub(super) fn names(&self) -> &[String] {
        &self.leaf.names
    }

    /// First second of the leaf's validity.
    pub(super) fn not_before(&self) -> UnixSeconds {
        self.leaf.not_before
    }

    /// Last second of the leaf's validity.
    pub(super) fn not_after(&self) -> UnixSeconds {
        self.leaf.not_after
    }

    /// What the files held.
    pub(super) fn digest(&self) -> Digest {
        self.digest
    }
}

/// DER of the public key that belongs to a private key.
pub(super) fn public_key_of(key: &PrivateKeyDer<'_>) -> Result<Vec<u8>, FileProblem> {
    let key = any_supported_type(key).map_err(|_| FileProblem::BadKey)?;
    Ok(key.public_key().ok_or(FileProblem::BadKey)?.as_ref().to_vec())
}

/// One digest over all parts; the lengths keep apart what stands in one part from what stands in the next.
pub(super) fn digest_of(parts: &[&[u8]]) -> Digest {
    let mut context = aws_lc_rs::digest::Context::new(&SHA256);
    for part in parts {
        context.update(&part.len().to_be_bytes());
        context.update(digest(&SHA256, part).as_ref());
    }
    let mut digest = Digest::default();
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

type Blocks = (Vec<CertificateDer<'static>>, Vec<PrivateKeyDer<'static>>);

/// Certificates and keys, all of them or none: half a chain would be served, and nobody would learn why.
fn blocks(pem: &[u8]) -> Result<Blocks, FileProblem> {
    let labels = [&CERTIFICATE[..], &PRIVATE_KEY].concat();
    let mut certificates = Vec::new();
    let mut keys = Vec::new();
    for block in pem_blocks(pem, &labels)? {
        match block.private_key() {
            Some(key) => keys.push(key),
            None => certificates.push(CertificateDer::from(block.der)),
        }
    }
    Ok((certificates, keys))
}

fn take<T>(from: &mut Vec<(T, Facts)>, fits: impl Fn(&Facts) -> bool) -> Option<(T, Facts)> {
    let at = from.iter().position(|(_, facts)| fits(facts))?;
    Some(from.remove(at))
}

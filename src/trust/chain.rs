//! From a chain to a CA that is trusted, by webpki (RFC 5280 section 6).

use std::time::Duration;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, RevocationCheckDepth,
    RevocationOptionsBuilder, UnknownStatusPolicy, VerifiedPath,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::load::Loaded;
use super::refusal::Refusal;
use super::subject::CertificateFacts;
use crate::config::ClientCertSettings;
use crate::domain::{ClientCertificate, UnixSeconds};

/// Most certificates that may come beside a leaf.
const MOST_BETWEEN: usize = 8;
const MOST_OF_ONE_NAME: usize = 2;

/// Finds a path to a trusted CA, and gives the time until which all of it is valid.
pub(super) fn verify(
    loaded: &Loaded,
    settings: &ClientCertSettings,
    certificate: &ClientCertificate,
    facts: &CertificateFacts,
    now: UnixSeconds,
) -> Result<UnixSeconds, Refusal> {
    if !facts.is_for_clients {
        return Err(Refusal::Usage);
    }
    match by_own(loaded, certificate, facts, now) {
        Err(Refusal::UnknownCa) => by_files(loaded, settings, certificate, facts, now),
        decided => decided,
    }
}

/// Whether the CA for logins signed this. Not whether it counts: that is known where its token is.
pub(super) fn is_of_login(
    loaded: &Loaded,
    certificate: &ClientCertificate,
    facts: &CertificateFacts,
    now: UnixSeconds,
) -> Result<bool, Refusal> {
    let Some(ca) = &loaded.login else { return Ok(false) };
    let anchors = std::slice::from_ref(&ca.anchor);
    match path(anchors, certificate.leaf(), &[], 0, &[], ExpirationPolicy::Enforce, now) {
        Ok(_) if facts.is_for_clients => Ok(true),
        Ok(_) => Err(Refusal::Usage),
        Err(Refusal::UnknownCa) => Ok(false),
        Err(refusal) => Err(refusal),
    }
}

/// A CA of our own issues without intermediates, and its index is asked in place of a list: it needs no key to be
/// written, so that a revocation counts at once.
fn by_own(
    loaded: &Loaded,
    certificate: &ClientCertificate,
    facts: &CertificateFacts,
    now: UnixSeconds,
) -> Result<UnixSeconds, Refusal> {
    for own in &loaded.own {
        let anchors = std::slice::from_ref(&own.anchor);
        match path(anchors, certificate.leaf(), &[], 0, &[], ExpirationPolicy::Enforce, now) {
            Ok(_) if own.revocations.as_ref().is_some_and(|known| known.allows(&facts.serial)) => {
                return Ok(facts.expires.min(own.expires));
            }
            Ok(_) => return Err(Refusal::Revoked),
            Err(Refusal::UnknownCa) => {}
            Err(refusal) => return Err(refusal),
        }
    }
    Err(Refusal::UnknownCa)
}

fn by_files(
    loaded: &Loaded,
    settings: &ClientCertSettings,
    certificate: &ClientCertificate,
    facts: &CertificateFacts,
    now: UnixSeconds,
) -> Result<UnixSeconds, Refusal> {
    let between = certificate.intermediates();
    if is_a_maze(between) {
        return Err(Refusal::Depth);
    }
    let lists: Vec<&CertRevocationList<'_>> = loaded.crls.iter().map(|crl| &crl.list).collect();
    let expiry =
        if settings.accept_expired_crl { ExpirationPolicy::Ignore } else { ExpirationPolicy::Enforce };
    let leaf = certificate.leaf();
    let intermediates_end = path(&loaded.anchors, leaf, between, settings.depth, &lists, expiry, now)?;
    Ok(facts.expires.min(intermediates_end))
}

/// More certificates than any chain has, or more than two of one name (an old and a new one, or a cross-certificate). Paths
/// through CAs of one name grow with each of them, and looking for one through a dozen takes a tenth of a second: strangers
/// would stop the event loop with it.
fn is_a_maze(between: &[CertificateDer<'_>]) -> bool {
    if between.len() > MOST_BETWEEN {
        return true;
    }
    // Those that cannot be read have one name, the empty one: the verifier may read them all the same.
    let name = |ca: &CertificateDer<'_>| {
        X509Certificate::from_der(ca).map_or_else(|_| Vec::new(), |(_, ca)| ca.subject().as_raw().to_vec())
    };
    let names: Vec<Vec<u8>> = between.iter().map(name).collect();
    names.iter().any(|name| names.iter().filter(|other| *other == name).count() > MOST_OF_ONE_NAME)
}

/// Builds a path and gives when the first of its intermediate CAs ends. Of a CA that is trusted only name and key count,
/// as everywhere: whoever put it into the file trusts it until they take it out.
fn path(
    anchors: &[TrustAnchor<'static>],
    leaf: &CertificateDer<'_>,
    between: &[CertificateDer<'_>],
    depth: usize,
    lists: &[&CertRevocationList<'_>],
    expiry: ExpirationPolicy,
    now: UnixSeconds,
) -> Result<UnixSeconds, Refusal> {
    let leaf = EndEntityCert::try_from(leaf).map_err(|_| Refusal::Malformed)?;
    // None but an empty list is refused, and without lists nothing is asked.
    let revocation = RevocationOptionsBuilder::new(lists).ok().map(|options| {
        options
            .with_depth(RevocationCheckDepth::Chain)
            .with_status_policy(UnknownStatusPolicy::Deny)
            .with_expiration_policy(expiry)
            .build()
    });
    let time = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now).unwrap_or_default()));
    let is_short = |path: &VerifiedPath<'_>| {
        let within = path.intermediate_certificates().count() <= depth;
        within.then_some(()).ok_or(webpki::Error::MaximumPathDepthExceeded)
    };
    let verified = leaf.verify_for_usage(
        default_provider().signature_verification_algorithms.all,
        anchors,
        between,
        time,
        KeyUsage::client_auth(),
        revocation,
        Some(&is_short),
    )?;
    let ends = verified.intermediate_certificates().map(|ca| {
        let parsed = X509Certificate::from_der(&ca.der()).ok().map(|(_, ca)| ca.validity().not_after);
        parsed.map_or(UnixSeconds::MIN, |end| end.timestamp())
    });
    Ok(ends.min().unwrap_or(UnixSeconds::MAX))
}

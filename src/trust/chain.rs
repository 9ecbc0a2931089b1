//! From a chain to a CA that is trusted (RFC 5280 section 6). webpki finds the path and checks signatures, dates, usages and
//! name constraints; what it leaves open is checked here.

use std::cell::Cell;
use std::time::Duration;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::authority::{Anchors, Authority};
use super::constraints::Bound;
use super::load::Loaded;
use super::refusal::Refusal;
use super::revocation::Lists;
use super::subject::CertificateFacts;
use crate::config::ClientCertSettings;
use crate::domain::{ClientCertificate, UnixSeconds};

/// Most certificates that may come beside a leaf.
const MOST_BETWEEN: usize = 8;
const MOST_OF_ONE_NAME: usize = 2;

/// What a good chain gives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verified {
    /// Until when all of it is valid.
    pub(super) expires: UnixSeconds,
    /// Which of the leaf's names its CAs vouch for.
    pub(super) bound: Bound,
}

/// Finds a path to a trusted CA.
pub(super) fn verify(
    loaded: &Loaded,
    settings: &ClientCertSettings,
    certificate: &ClientCertificate,
    facts: &CertificateFacts,
    now: UnixSeconds,
) -> Result<Verified, Refusal> {
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
    match Way::to(&ca.anchors, now).find(certificate.leaf(), &[]) {
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
) -> Result<Verified, Refusal> {
    for own in &loaded.own {
        match Way::to(&own.anchors, now).find(certificate.leaf(), &[]) {
            Ok(found) if own.revocations.as_ref().is_some_and(|known| known.allows(&facts.serial)) => {
                return Ok(Verified { expires: facts.expires.min(own.expires), ..found });
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
) -> Result<Verified, Refusal> {
    let between = certificate.intermediates();
    if is_a_maze(between) {
        return Err(Refusal::Depth);
    }
    let lists = Lists { lists: &loaded.crls, accepts_expired: settings.accept_expired_crl, now };
    // Without lists nothing is asked; a file without any is refused.
    let lists = (!loaded.crls.is_empty()).then_some(lists);
    let way = Way { depth: settings.depth, lists, ..Way::to(&loaded.anchors, now) };
    let found = way.find(certificate.leaf(), between)?;
    Ok(Verified { expires: facts.expires.min(found.expires), ..found })
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

/// What a path must be like.
struct Way<'a> {
    anchors: &'a Anchors,
    depth: usize,
    lists: Option<Lists<'a>>,
    now: UnixSeconds,
}

impl<'a> Way<'a> {
    /// To one of these, without CAs in between, and nothing asked about revocation.
    const fn to(anchors: &'a Anchors, now: UnixSeconds) -> Self {
        Self { anchors, depth: 0, lists: None, now }
    }

    /// Builds a path. Gives when the first of its intermediate CAs ends, and what their name constraints bind. The dates of
    /// a CA that is trusted do not count, as everywhere: whoever put it into the file trusts it until they take it out.
    fn find(&self, leaf: &CertificateDer<'_>, between: &[CertificateDer<'_>]) -> Result<Verified, Refusal> {
        let end = EndEntityCert::try_from(leaf).map_err(Refusal::from)?;
        let now =
            UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(self.now).unwrap_or_default()));
        // The path that was judged last: the one that is taken, or why none is.
        let judged = Cell::new(Err(Refusal::UnknownCa));
        let judge = |path: &VerifiedPath<'_>| {
            let outcome = self.judge(leaf, path);
            judged.set(outcome);
            outcome.map(drop).map_err(|_| webpki::Error::CertRevoked)
        };
        let found = end.verify_for_usage(
            default_provider().signature_verification_algorithms.all,
            self.anchors.as_slice(),
            between,
            now,
            KeyUsage::client_auth(),
            None,
            Some(&judge),
        );
        match found {
            Ok(_) => judged.get(),
            // Only the judge says so, as webpki was given no list.
            Err(webpki::Error::CertRevoked) => Err(judged.get().err().unwrap_or(Refusal::Revoked)),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a path that webpki takes is good.
    fn judge(&self, leaf: &CertificateDer<'_>, path: &VerifiedPath<'_>) -> Result<Verified, Refusal> {
        let between: Vec<CertificateDer<'_>> = path.intermediate_certificates().map(|ca| ca.der()).collect();
        if between.len() > self.depth {
            return Err(Refusal::Depth);
        }
        let certificates: Vec<X509Certificate<'_>> = std::iter::once(leaf)
            .chain(&between)
            .map(|der| X509Certificate::from_der(der).map(|(_, certificate)| certificate))
            .collect::<Result<_, _>>()
            .map_err(|_| Refusal::Malformed)?;
        let trusted = self.anchors.facts_of(path.anchor()).ok_or(Refusal::UnknownCa)?;
        let mut issuers = Vec::with_capacity(certificates.len());
        for ca in certificates.iter().skip(1) {
            issuers.push(Authority::of(ca).ok_or(Refusal::Malformed)?);
        }
        issuers.push(trusted.clone());
        // What webpki does not look at: whether a CA may sign, and what the trusted one said of the length below it.
        if !issuers.iter().all(|issuer| issuer.may_sign_certificates) {
            return Err(Refusal::NotACa);
        }
        let most = trusted.path_length.map(|most| usize::try_from(most).unwrap_or(usize::MAX));
        if most.is_some_and(|most| between.len() > most) {
            return Err(Refusal::Depth);
        }
        for (at, (certificate, issuer)) in certificates.iter().zip(&issuers).enumerate() {
            self.lists.as_ref().map_or(Ok(()), |lists| lists.check(certificate, at > 0, issuer))?;
        }
        let ends = certificates.iter().skip(1).map(|ca| ca.validity().not_after.timestamp());
        let bound = issuers.iter().fold(Bound::FREE, |bound, issuer| bound.and(issuer.bound));
        Ok(Verified { expires: ends.min().unwrap_or(UnixSeconds::MAX), bound })
    }
}

//! One order: name the domains, prove them, hand in a request, take the certificate (RFC 8555 section 7.4).

use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationHandle, AuthorizationStatus, CertificateIdentifier, ChallengeHandle, ChallengeType,
    Error, Identifier, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use zeroize::Zeroizing;

use super::challenges::{Challenges, Pending, challenge_certificate};
use super::error::AcmeError;
use super::kept::Kept;
use crate::domain::UnixSeconds;

/// Longest wait for the server to verify, and again to issue.
const PATIENCE: Duration = Duration::from_secs(150);

/// What to order and how to prove it.
pub(super) struct Wish<'a> {
    pub(super) domains: &'a [String],
    /// The kinds of challenge that can be answered, the preferred one first.
    pub(super) kinds: &'a [ChallengeType],
    /// The certificate that the new one takes the place of (RFC 9773 section 5).
    pub(super) replaces: Option<CertificateIdentifier<'static>>,
}

/// Key and certificate chain, in one PEM text.
pub(super) async fn obtain(
    account: &Account,
    wish: &Wish<'_>,
    challenges: &Arc<Challenges>,
    now: UnixSeconds,
) -> Result<Zeroizing<String>, AcmeError> {
    let mut order = begin(account, wish).await?;
    prove(&mut order, wish.kinds, challenges).await?;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(AcmeError::Make)?;
    let chain = finish(&mut order, wish.domains, &key).await?;
    must_be_certificates(&chain)?;
    let got = Kept::parse(chain.as_bytes())?;
    must_be_of_use(&got, wish.domains, &key, now)?;
    let mut pem = Zeroizing::new(String::with_capacity(chain.len().saturating_add(4096)));
    pem.push_str(&Zeroizing::new(key.serialize_pem()));
    pem.push_str(&chain);
    Ok(pem)
}

async fn begin(account: &Account, wish: &Wish<'_>) -> Result<Order, AcmeError> {
    let identifiers: Vec<Identifier> = wish.domains.iter().map(|domain| identifier(domain)).collect();
    let new = NewOrder::new(&identifiers);
    let Some(replaces) = wish.replaces.clone() else {
        return account.new_order(&new).await.map_err(AcmeError::Order);
    };
    match account.new_order(&new.replaces(replaces)).await {
        Ok(order) => Ok(order),
        // That it replaces another is only a courtesy; servers refuse it for reasons of their own (RFC 9773 section 5).
        Err(error) => {
            tracing::debug!(%error, "ordering again without naming the certificate that is replaced");
            account.new_order(&NewOrder::new(&identifiers)).await.map_err(AcmeError::Order)
        }
    }
}

fn identifier(domain: &str) -> Identifier {
    domain.parse().map_or_else(|_| Identifier::Dns(domain.to_owned()), Identifier::Ip)
}

/// Puts up an answer for each domain that the server has yet to verify, and waits until it has.
async fn prove(
    order: &mut Order,
    kinds: &[ChallengeType],
    challenges: &Arc<Challenges>,
) -> Result<(), AcmeError> {
    if order.state().status != OrderStatus::Pending {
        return must_be_ready(order).await;
    }
    let mut pending = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let authorization = authorization.map_err(AcmeError::Order)?;
        match authorization.status {
            // Verified lately, for another order.
            AuthorizationStatus::Valid => {}
            AuthorizationStatus::Pending => pending.push(answer(authorization, kinds, challenges).await?),
            _ => return Err(AcmeError::Unproven(reasons(&authorization))),
        }
    }
    let polled = order.poll_ready(&patience()).await;
    drop(pending);
    match polled {
        Ok(OrderStatus::Ready) => Ok(()),
        Ok(_) => Err(unproven(order).await),
        Err(Error::Timeout(_)) => Err(AcmeError::Slow(PATIENCE.as_secs())),
        // Some servers put the reason into the order, others into the challenge; the challenge's says more.
        Err(error) => Err(match unproven(order).await {
            AcmeError::Unproven(text) if !text.is_empty() => AcmeError::Unproven(text),
            _ => AcmeError::Order(error),
        }),
    }
}

async fn must_be_ready(order: &mut Order) -> Result<(), AcmeError> {
    match order.state().status {
        OrderStatus::Ready => Ok(()),
        _ => Err(unproven(order).await),
    }
}

async fn answer(
    mut authorization: AuthorizationHandle<'_>,
    kinds: &[ChallengeType],
    challenges: &Arc<Challenges>,
) -> Result<Pending, AcmeError> {
    let domain = authorization.identifier().to_string();
    let offered: Vec<ChallengeType> =
        authorization.challenges.iter().map(|challenge| challenge.r#type.clone()).collect();
    let kind = kinds.iter().find(|kind| offered.contains(kind)).cloned();
    let missing = || AcmeError::NoChallenge {
        domain: domain.clone(),
        offered: offered.iter().map(kind_name).collect::<Vec<_>>().join(", "),
    };
    let mut challenge = kind.and_then(|kind| authorization.challenge(kind)).ok_or_else(missing)?;
    let pending = put_up(&challenge, &domain, challenges)?;
    challenge.set_ready().await.map_err(AcmeError::Order)?;
    Ok(pending)
}

fn put_up(
    challenge: &ChallengeHandle<'_>,
    domain: &str,
    challenges: &Arc<Challenges>,
) -> Result<Pending, AcmeError> {
    let authorization = challenge.key_authorization();
    if challenge.r#type == ChallengeType::Http01 {
        return Ok(challenges.put_text(&challenge.token, authorization.as_str().to_owned()));
    }
    let digest = authorization.digest();
    let digest: [u8; 32] = digest.as_ref().try_into().map_err(|_| AcmeError::Order(Error::Crypto))?;
    Ok(challenges.put_certificate(domain, challenge_certificate(domain, digest)?))
}

/// Asks the server once more which domains it could not verify, and why.
async fn unproven(order: &mut Order) -> AcmeError {
    let mut texts = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        if authorization.refresh().await.is_ok() && authorization.status != AuthorizationStatus::Valid {
            texts.push(reasons(&authorization));
        }
    }
    AcmeError::Unproven(texts.join("; "))
}

/// `DOMAIN by KIND: what the server says`.
fn reasons(authorization: &AuthorizationHandle<'_>) -> String {
    let domain = authorization.identifier().to_string();
    let said = authorization.challenges.iter().filter_map(|challenge| {
        let error = challenge.error.as_ref()?;
        let detail = error.detail.as_deref().or(error.r#type.as_deref()).unwrap_or("no reason given");
        Some(format!("{domain} by {}: {detail}", kind_name(&challenge.r#type)))
    });
    let said: Vec<String> = said.collect();
    if said.is_empty() { domain } else { said.join("; ") }
}

fn kind_name(kind: &ChallengeType) -> String {
    match kind {
        ChallengeType::Http01 => "http-01".to_owned(),
        ChallengeType::Dns01 => "dns-01".to_owned(),
        ChallengeType::TlsAlpn01 => "tls-alpn-01".to_owned(),
        ChallengeType::Unknown(name) => super::error::harmless(name),
        other => format!("{other:?}"),
    }
}

async fn finish(order: &mut Order, domains: &[String], key: &KeyPair) -> Result<String, AcmeError> {
    let mut parameters = CertificateParams::new(domains.to_vec()).map_err(AcmeError::Make)?;
    parameters.distinguished_name = DistinguishedName::new();
    let request = parameters.serialize_request(key).map_err(AcmeError::Make)?;
    order.finalize_csr(request.der()).await.map_err(AcmeError::Order)?;
    order.poll_certificate(&patience()).await.map_err(|error| match error {
        Error::Timeout(_) => AcmeError::Slow(PATIENCE.as_secs()),
        error => AcmeError::Order(error),
    })
}

/// Certificates and nothing else: a key among them would leave in doubt which one counts.
fn must_be_certificates(chain: &str) -> Result<(), AcmeError> {
    let certificates = CertificateDer::pem_slice_iter(chain.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| AcmeError::BadCertificate("a PEM block is broken"))?;
    let are_certificates = certificates
        .iter()
        .all(|certificate| X509Certificate::from_der(certificate).is_ok_and(|(rest, _)| rest.is_empty()));
    if are_certificates && chain.matches("-----BEGIN ").count() == certificates.len() {
        return Ok(());
    }
    Err(AcmeError::BadCertificate("something among the certificates is none"))
}

/// What is wrong here must not take a good certificate's place.
fn must_be_of_use(got: &Kept, domains: &[String], key: &KeyPair, now: UnixSeconds) -> Result<(), AcmeError> {
    let bad = |what| Err(AcmeError::BadCertificate(what));
    if got.public_key != key.subject_public_key_info() {
        return bad("it is for another key");
    }
    if !got.is_for(domains) {
        return bad("it is not for the domains that were asked for");
    }
    if now > got.not_after {
        return bad("it has expired already");
    }
    Ok(())
}

fn patience() -> RetryPolicy {
    RetryPolicy::new().initial_delay(Duration::from_millis(250)).backoff(1.5).timeout(PATIENCE)
}

//! What the pages know of client certificates.

use anyhow::Context;

use crate::ca::{LOGIN_CA_FOLDER, LoginCa};
use crate::config::{ClientCa, ClientCertSettings, Settings};
use crate::domain::Clock;
use crate::pages::CertificatePort;
use crate::startup::listeners::{Bound, Listening};

/// The CA for logins, where client certificates of our own are believed.
pub(super) fn login_ca(settings: &Settings, clock: &Clock) -> anyhow::Result<Option<LoginCa>> {
    let believes = |asked: &ClientCertSettings| asked.authorities.contains(&ClientCa::Own);
    if !settings.client_certs.as_ref().is_some_and(believes) {
        return Ok(None);
    }
    let folder = settings.state.join(LOGIN_CA_FOLDER);
    let ca = LoginCa::open_or_create(&folder, clock.now());
    ca.map(Some).with_context(|| format!("--client-ca own: the CA for logins in {}", folder.display()))
}

/// Where browsers are asked for a certificate, if they are.
pub(super) fn certificate_port(settings: &Settings, sockets: &[Listening]) -> Option<CertificatePort> {
    let asked = settings.client_certs.as_ref()?;
    if let Some(url) = &asked.url {
        return Some(CertificatePort::Url(url.clone()));
    }
    let bound = sockets.iter().filter(|socket| socket.asks && !asked.listen.is_empty());
    let mut ports = bound.filter_map(|socket| match &socket.bound {
        Bound::Tcp(listener) => listener.local_addr().ok().map(|address| address.port()),
        Bound::Unix(..) => None,
    });
    Some(ports.next().map_or(CertificatePort::Here, CertificatePort::Port))
}

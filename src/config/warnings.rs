//! Settings that are allowed and probably not what was meant.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::checked::{EngineAddress, ListenAddress, LoginMode, Settings, TlsMode};
use super::reach::Reach;

const NEVER_ASKED: &str = "--account-recheck never: whoever is locked, expired or deleted keeps their sessions and tokens until these end \
     by themselves";

impl Settings {
    /// What an operator should hear at start, one sentence each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        [
            self.about_proxies(),
            self.about_allowed(),
            self.about_login(),
            self.about_engine(),
            self.about_acme(),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Whether forwarded headers are believed from more of the Internet than one organisation has.
    #[must_use]
    pub fn believes_everybody(&self) -> bool {
        Reach::of(&self.trusted_proxies).is_wide()
    }

    fn about_proxies(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.tls == TlsMode::AssumeSecure && self.trusted_proxies.is_empty() {
            warnings.push(
                "--assume-secure without --trusted-proxy believes no forwarded header from anyone: every client is \
                 logged under the terminator's address, and a stranger's failed logins ban all of them together"
                    .to_owned(),
            );
        }
        if self.tls == TlsMode::AssumeSecure && self.is_open_to_the_network() {
            warnings.push(
                "--assume-secure listens on more than this host: whoever reaches the port past the terminator sends \
                 passwords in the clear; listen on 127.0.0.1 or on a private network"
                    .to_owned(),
            );
        }
        if self.tls == TlsMode::AssumeSecure && self.trusted_proxies.is_empty() && self.session_bind_network {
            warnings.push(
                "--session-bind-network without --trusted-proxy knows the terminator's address only: it ends no session"
                    .to_owned(),
            );
        }
        if self.believes_everybody() {
            warnings.push(
                "--trusted-proxy believes everybody's forwarded headers: any client can claim any address"
                    .to_owned(),
            );
        }
        let reads_certificates = self.client_certs.as_ref().is_some_and(|certs| certs.header.is_some());
        for network in self.trusted_proxies.iter().filter(|network| reads_certificates && !is_small(network))
        {
            warnings.push(format!(
                "--client-cert-header believes every host in {network} whose certificate a request has: name the \
                 terminator's own address in --trusted-proxy"
            ));
        }
        warnings
    }

    fn about_allowed(&self) -> Vec<String> {
        let has = |address: IpAddr| self.allow_from.iter().any(|network| network.contains(&address));
        if self.allow_from.is_empty() || has(Ipv4Addr::LOCALHOST.into()) || has(Ipv6Addr::LOCALHOST.into()) {
            return Vec::new();
        }
        vec![
            "--allow-from leaves out this host itself: 'doorward healthcheck' gets no answer over TCP"
                .to_owned(),
        ]
    }

    fn about_login(&self) -> Vec<String> {
        if self.login == LoginMode::NoLogin {
            return vec!["--no-login lets everybody who reaches the port use the engine".to_owned()];
        }
        [self.about_throttle(), self.about_accounts()].into_iter().flatten().collect()
    }

    fn about_accounts(&self) -> Vec<String> {
        let LoginMode::Pam(pam) = &self.login else { return Vec::new() };
        let mut warnings = Vec::new();
        if pam.allow_without_proof {
            warnings.push(
                "--allow-pam-without-proof: the PAM service may let in anybody as anybody without a password"
                    .to_owned(),
            );
        }
        if pam.account_recheck.is_zero() {
            warnings.push(NEVER_ASKED.to_owned());
        }
        warnings
    }

    fn about_throttle(&self) -> Vec<String> {
        if self.throttle.is_none() {
            return vec!["--no-throttle lets everybody guess passwords as often as they like".to_owned()];
        }
        Vec::new()
    }

    /// The server verifies from many places that it does not name.
    fn about_acme(&self) -> Vec<String> {
        let TlsMode::Acme(acme) = &self.tls else { return Vec::new() };
        let is_tcp = self.listen.iter().any(|address| matches!(address, ListenAddress::Tcp(_)));
        let mut warnings = Vec::new();
        if acme.http_listen.is_none() && !self.allow_from.is_empty() {
            warnings.push(
                "--allow-from keeps an ACME server out that is not in it, and it verifies on the same port: answer it on \
                 another with --acme-http-listen :80"
                    .to_owned(),
            );
        }
        if acme.http_listen.is_none() && !is_tcp {
            warnings.push(
                "--acme verifies on a TCP port, and --listen names none: add one, or --acme-http-listen :80"
                    .to_owned(),
            );
        }
        warnings
    }

    fn about_engine(&self) -> Vec<String> {
        match &self.engine {
            EngineAddress::Http(authority) if !is_loopback(authority) => {
                vec![format!("--engine http://{authority} is reached over the network without encryption")]
            }
            _ => Vec::new(),
        }
    }

    fn is_open_to_the_network(&self) -> bool {
        let open = |address: &ListenAddress| match address {
            ListenAddress::Tcp(address) => !address.ip().to_canonical().is_loopback(),
            ListenAddress::Unix(_) => false,
        };
        self.listen.iter().any(open)
    }
}

/// No more hosts than share a link.
fn is_small(network: &IpNet) -> bool {
    network.max_prefix_len() - network.prefix_len() <= 8
}

fn is_loopback(authority: &str) -> bool {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host).trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

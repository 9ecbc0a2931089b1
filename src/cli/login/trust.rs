//! Who the gateway is, before anything is said to it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::Context;

use super::TrustArgs;
use crate::cli::failure::Failure;
use crate::cli::shown::shown_in_line;
use crate::cli::terminal::{has_person, read_line};
use crate::cli::{remote, report};
use crate::client::{ConnectError, Fingerprint, GatewayUrl, Seen, ServerTrust, connect, probe};
use crate::listener::tls::CertificateSummary;

/// Largest bundle of CAs that is read.
const MOST_BYTES: u64 = 1024 * 1024;
/// How often an answer that is neither yes nor no is asked for again.
const TRIES: usize = 3;

/// How this gateway has to prove itself: as the command line says, as the last time, or as a person says.
pub(super) fn find(
    url: &GatewayUrl,
    args: &TrustArgs,
    before: Option<&ServerTrust>,
) -> Result<ServerTrust, Failure> {
    if !url.is_secure() {
        if args.ca.is_some() || args.fingerprint.is_some() {
            return Err(Failure::Usage("without TLS there is no certificate; write https://".to_owned()));
        }
        remote::wait_for(connect(url, &ServerTrust::Plain))??;
        report::complain(format_args!(
            "warning: {url} is not encrypted; whoever can listen on the way learns password and token"
        ));
        return Ok(ServerTrust::Plain);
    }
    if let Some(path) = &args.ca {
        return settled(url, by_file(path)?);
    }
    if let Some(wanted) = args.fingerprint {
        return by_fingerprint(url, wanted);
    }
    if let Some(before) = before {
        return settled(url, before.clone());
    }
    match remote::wait_for(connect(url, &ServerTrust::System))? {
        Ok(_) => Ok(ServerTrust::System),
        Err(ConnectError::Untrusted { seen, .. }) if seen.is_of_unknown_issuer() => ask(url, &seen),
        Err(error) => Err(error.into()),
    }
}

/// Nobody is asked anything before the server has proven who it is.
fn settled(url: &GatewayUrl, trust: ServerTrust) -> Result<ServerTrust, Failure> {
    remote::wait_for(connect(url, &trust))??;
    Ok(trust)
}

fn by_file(path: &Path) -> Result<ServerTrust, Failure> {
    let name = path.display();
    let read = || {
        let mut text = String::new();
        File::open(path)?.take(MOST_BYTES).read_to_string(&mut text)?;
        Ok::<_, io::Error>(text)
    };
    let text = read().with_context(|| format!("cannot read {name}"))?;
    Ok(ServerTrust::in_cas(&text).with_context(|| format!("{name} holds no certificate in PEM form"))?)
}

fn by_fingerprint(url: &GatewayUrl, wanted: Fingerprint) -> Result<ServerTrust, Failure> {
    let seen = remote::wait_for(probe(url))??;
    if Fingerprint::parse(&seen.fingerprint()) != Some(wanted) {
        return Err(Failure::Identity(format!(
            "the certificate of {url} has another fingerprint than --fingerprint; nothing was sent\n  \
             wanted {wanted}\n  shown  {}",
            seen.fingerprint()
        )));
    }
    pin(url, &seen)
}

fn pin(url: &GatewayUrl, seen: &Seen) -> Result<ServerTrust, Failure> {
    seen.pin().ok_or_else(|| Failure::Identity(format!("the certificate of {url} cannot be read")))
}

/// Shows the fingerprint; only a person may say that it is the right one.
fn ask(url: &GatewayUrl, seen: &Seen) -> Result<ServerTrust, Failure> {
    let fingerprint = seen.fingerprint();
    if !has_person() {
        return Err(Failure::Identity(format!(
            "nobody whom this machine trusts vouches for the certificate of {url}; write --ca FILE, or compare the \
             fingerprint with what the gateway printed at start and write\n  --fingerprint {fingerprint}"
        )));
    }
    report::complain(format_args!("Nobody whom this machine trusts vouches for the certificate of {url}."));
    if let Some(summary) = CertificateSummary::of_der(seen.leaf()) {
        let names = shown_in_line(&summary.names.join(", "));
        report::complain(format_args!("It says that it is for {names}. Its SHA-256 fingerprint is"));
        report::complain(format_args!("  {fingerprint}"));
        if !summary.covers(&url.host()) {
            report::complain(format_args!(
                "warning: it is not for {}, so docker will not believe it even if you do; have the gateway run with\n\
                 --autocert {}, or use a name that the certificate is for",
                url.host(),
                url.host()
            ));
        }
    } else {
        return Err(Failure::Identity(format!("the certificate of {url} cannot be read")));
    }
    report::complain("The gateway prints its fingerprint when it starts. Compare all of it.");
    for _ in 0..TRIES {
        report::ask("Is it the same? (yes/no, or paste the one that you were given)");
        let typed = read_line().context("the answer cannot be read")?;
        let Some(typed) = typed else { break };
        let typed = typed.trim();
        if typed.eq_ignore_ascii_case("yes") || is_same(typed, &fingerprint) {
            return pin(url, seen);
        }
        if typed.eq_ignore_ascii_case("no") || Fingerprint::parse(typed).is_some() {
            break;
        }
    }
    Err(Failure::Identity(format!("{url} is not trusted; nothing was sent to it")))
}

fn is_same(typed: &str, fingerprint: &str) -> bool {
    let typed = Fingerprint::parse(typed);
    typed.is_some() && typed == Fingerprint::parse(fingerprint)
}

//! What stands in front: is the public URL this very gateway, and what does the gateway believe of headers that a client
//! forged? Two requests go through the terminator, an honest one and a forged one, and the gateway tells what it made of
//! them, for a proof that only who may write into its state folder can give ([`Nonce`]).

use std::net::IpAddr;
use std::path::Path;

use http::{HeaderMap, HeaderValue};
use serde::Deserialize;

use super::finding::Finding;
use super::http::{self as client, Answer};
use super::public::{self, Connection, PublicUrl};
use super::{certificate, clock};
use crate::config::{Settings, TlsMode};
use crate::domain::Clock;
use crate::listener::tls::CertificateSummary;
use crate::store::Nonce;

/// An address for documentation (RFC 5737): nobody comes from there.
const FORGED_ADDRESS: &str = "203.0.113.77";
const FORGED_HOST: &str = "forged.invalid";
const FORGED_USER: &str = "root";

/// What the gateway believes of a request (`pages/doctor.rs`).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub(super) struct Echo {
    client: IpAddr,
    /// Whether `client` is what a trusted terminator said, and not just the other end.
    is_forwarded: bool,
    /// `X-Forwarded-For` as it arrived.
    forwarded_for: String,
    host: Option<String>,
    /// A trusted terminator said that there was no TLS.
    is_insecure: bool,
    user: Option<String>,
    /// `Referrer-Policy` as the terminator passed it on, all values.
    #[serde(skip)]
    referrer_policy: String,
}

/// Checks the settings alone: a network that is too wide.
pub(super) fn trusted(settings: &Settings) -> Vec<Finding> {
    let id = "terminator.trusted-proxy";
    let mut findings = Vec::new();
    let fix = "name the terminator's own address, or the one network that only terminators are in";
    if settings.believes_everybody() {
        let text = "--trusted-proxy believes everybody: any client can claim any address";
        findings.push(Finding::problem(id, text, fix));
    }
    for network in settings.trusted_proxies.iter().filter(|_| !settings.believes_everybody()) {
        let (length, most) = (network.prefix_len(), network.max_prefix_len());
        if length < most / 4 {
            let text =
                format!("--trusted-proxy {network} is very wide: every client in it can claim any address");
            findings.push(Finding::warning(id, text, fix));
        }
    }
    if settings.tls == TlsMode::AssumeSecure && settings.trusted_proxies.is_empty() {
        let text = "--assume-secure without --trusted-proxy: every client is logged, and slowed down, under the terminator's address";
        findings.push(Finding::warning(id, text, "name the terminator's address with --trusted-proxy"));
    }
    if findings.is_empty() && !settings.trusted_proxies.is_empty() {
        findings.push(Finding::ok(id, "no network of --trusted-proxy is too wide"));
    }
    findings
}

/// Goes through the public URL.
pub(super) async fn probe(url: &PublicUrl, settings: &Settings, clock: &Clock) -> Vec<Finding> {
    let connection = match public::connect(url).await {
        Ok(connection) => connection,
        Err(error) => return vec![unreachable(url, &error)],
    };
    let local = connection.local;
    let mut findings = shown(url, &connection, settings, clock);
    match client::get(connection.stream, url.authority(), "/_doorward/healthz", HeaderMap::new()).await {
        Ok(answer) if is_gateway(&answer) => {
            let text = format!("{} leads to a Doorward gateway", url.authority());
            findings.push(Finding::ok("terminator.reachable", text));
            findings.extend(
                answer.date().map(|date| clock::compare("clock.public", "the public URL", date, clock.now())),
            );
        }
        Ok(answer) => {
            let text = format!(
                "{} answers with status {}, and not as a Doorward gateway does",
                url.authority(),
                answer.status
            );
            findings.push(Finding::problem(
                "terminator.reachable",
                text,
                "pass everything on to the gateway, /_doorward/ included",
            ));
            return findings;
        }
        Err(error) => {
            findings.push(unreachable(url, &error));
            return findings;
        }
    }
    match both(url, &settings.state).await {
        Ok((honest, forged)) => findings.extend(judge(url, settings, local, &honest, &forged)),
        Err(finding) => findings.push(finding),
    }
    findings
}

fn is_gateway(answer: &Answer) -> bool {
    answer.status == 200 && answer.body.starts_with(b"{\"status\":")
}

fn unreachable(url: &PublicUrl, error: &str) -> Finding {
    let text = format!("{} cannot be reached from here: {error}", url.authority());
    Finding::problem(
        "terminator.reachable",
        text,
        "start the terminator; check the name, the port and the firewall",
    )
}

/// What TLS showed, if somebody else than the gateway speaks it; the gateway's own certificate is checked as a file.
fn shown(url: &PublicUrl, connection: &Connection, settings: &Settings, clock: &Clock) -> Vec<Finding> {
    let who = format!("the certificate at {}", url.authority());
    let Some(shown) = &connection.shown else {
        let text = format!("{} is plain HTTP: passwords are sent in the clear", url.authority());
        return vec![Finding::problem(
            "tls.public",
            text,
            "have the terminator speak TLS, and give the https address",
        )];
    };
    let Some(summary) = CertificateSummary::of_der(&shown.leaf) else {
        return vec![Finding::problem("tls.public", format!("{who} cannot be read"), "replace it")];
    };
    let mut findings = vec![certificate::names("tls.public", &who, &summary, &[url.host().to_owned()])];
    findings.extend(certificate::ending("tls.public-expiry", &who, &summary, clock.now()));
    if shown.is_of_unknown_issuer && !matches!(settings.tls, TlsMode::Autocert(_)) {
        let text = format!("{who} is signed by none of the CAs that this host trusts");
        let fix = "send the intermediate certificates too, and give clients the CA's certificate";
        findings.push(Finding::warning("tls.public-issuer", text, fix));
    }
    findings
}

/// An honest request and a forged one, each with a proof of its own.
async fn both(url: &PublicUrl, state: &Path) -> Result<(Echo, Echo), Finding> {
    let honest = ask(url, state, &[]).await?;
    let forged = [
        ("x-forwarded-for", FORGED_ADDRESS),
        ("x-forwarded-host", FORGED_HOST),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-user", FORGED_USER),
    ];
    Ok((honest, ask(url, state, &forged).await?))
}

async fn ask(
    url: &PublicUrl,
    state: &Path,
    headers: &[(&'static str, &'static str)],
) -> Result<Echo, Finding> {
    let id = "terminator.forged-address";
    let unchecked =
        |why: String| Finding::unchecked(id, format!("whether forged headers pass is not known: {why}"));
    let nonce = Nonce::issue(state).map_err(|error| {
        unchecked(format!(
            "{}: {error}; run as root, on the gateway's host or in its container",
            state.display()
        ))
    })?;
    let mut map: HeaderMap = headers
        .iter()
        .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
    let proof = HeaderValue::try_from(nonce.text()).map_err(|error| unchecked(error.to_string()))?;
    map.insert("doorward-doctor", proof);
    let connection = public::connect(url).await.map_err(unchecked)?;
    let answer =
        client::get(connection.stream, url.authority(), "/_doorward/doctor", map).await.map_err(unchecked)?;
    if answer.status != 200 {
        return Err(unchecked(format!(
            "the gateway behind the URL does not know {} (status {}); is it another one, or of an older version?",
            state.display(),
            answer.status
        )));
    }
    let policies = answer.headers.get_all(http::header::REFERRER_POLICY).iter();
    let referrer_policy: Vec<_> = policies.filter_map(|value| value.to_str().ok()).collect();
    let referrer_policy = referrer_policy.join(", ");
    let echo: Echo = serde_json::from_slice(&answer.body)
        .map_err(|_| unchecked("its answer cannot be read".to_owned()))?;
    Ok(Echo { referrer_policy, ..echo })
}

/// What the two answers say about the terminator.
fn judge(url: &PublicUrl, settings: &Settings, local: IpAddr, honest: &Echo, forged: &Echo) -> Vec<Finding> {
    let is_direct = settings.tls != TlsMode::AssumeSecure;
    let mut findings = vec![address(local, is_direct, forged)];
    if !is_direct {
        findings.extend(believed(honest));
    }
    findings.push(others(url, honest, forged));
    findings
}

/// The address: replaced, added to, passed on, or left out by the terminator; believed or not by the gateway.
fn address(local: IpAddr, is_direct: bool, forged: &Echo) -> Finding {
    let id = "terminator.forged-address";
    let fix = "nginx: proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; (HAProxy: option forwardfor; \
               Traefik and Caddy: trust no client's header)";
    let last = forged.forwarded_for.rsplit(',').next().unwrap_or_default().trim();
    let is_passed_on = last == FORGED_ADDRESS;
    let is_believed = forged.client.to_string() == FORGED_ADDRESS;
    match (is_believed, is_passed_on) {
        (true, true) if is_direct => {
            let text = format!(
                "a client that connects to the gateway itself from {local} is believed whatever X-Forwarded-For it writes"
            );
            Finding::problem(
                id,
                text,
                "leave --trusted-proxy away, or narrow it to the terminator's own address",
            )
        }
        (true, true) => {
            let text = "the terminator passes on X-Forwarded-For as the client wrote it, and the gateway believed a forged address";
            Finding::problem(id, text, fix)
        }
        // Behind the forged one stand addresses that the terminator added, and all of them are trusted.
        (true, false) if last == local.to_string() => {
            let text = "the terminator adds the real address to X-Forwarded-For, so that a forged one is not believed \
                        (but from this host, which --trusted-proxy covers)";
            Finding::ok(id, text)
        }
        (true, false) => {
            let text = format!(
                "--trusted-proxy also covers {last}, from where this request came: clients there can claim any address"
            );
            Finding::warning(id, text, "narrow --trusted-proxy to the terminator's own address")
        }
        (false, true) if !is_direct && !forged.is_forwarded => {
            let text = "the terminator passes on X-Forwarded-For as the client wrote it; only because --trusted-proxy does not name \
                        the terminator was it not believed";
            Finding::warning(id, text, fix)
        }
        (false, _) => Finding::ok(
            id,
            format!("a forged X-Forwarded-For is not believed: the gateway saw {}", forged.client),
        ),
    }
}

/// Whether the gateway learns where clients are.
fn believed(honest: &Echo) -> Vec<Finding> {
    let id = "terminator.client-address";
    let (client, chain) = (honest.client, &honest.forwarded_for);
    if chain.is_empty() {
        let text = format!(
            "the terminator sends no X-Forwarded-For: every client is logged, and slowed down, as {client}"
        );
        let fix = "nginx: proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; a terminator of TCP cannot say it";
        return vec![Finding::warning(id, text, fix)];
    }
    if honest.is_forwarded {
        return vec![Finding::ok(
            id,
            format!("the gateway believes the terminator, and saw this request come from {client}"),
        )];
    }
    let text = format!(
        "the gateway does not believe the terminator at {client}: every client is logged, and slowed down, under this address"
    );
    vec![Finding::warning(id, text, format!("--trusted-proxy {client}"))]
}

/// Host, protocol and user.
fn others(url: &PublicUrl, honest: &Echo, forged: &Echo) -> Finding {
    let id = "terminator.headers";
    if forged.user != honest.user {
        let text = format!(
            "the gateway took the request for one of '{}'",
            forged.user.as_deref().unwrap_or("nobody")
        );
        return Finding::problem(id, text, "do not use this gateway, and report it (SECURITY.md)");
    }
    if honest.is_insecure && url.is_tls() {
        let text =
            "the terminator says X-Forwarded-Proto: http although TLS was spoken, so nobody can log in";
        return Finding::problem(id, text, "nginx: proxy_set_header X-Forwarded-Proto $scheme;");
    }
    let is_host = |wanted: &str| honest.host.as_deref().is_some_and(|host| host.eq_ignore_ascii_case(wanted));
    if !is_host(url.authority()) && is_host(url.host()) {
        let text = "the terminator leaves the port out of the host: old browsers cannot log in, and the lines that the \
            account page and docker show lead to another port";
        return Finding::warning(id, text, "nginx: proxy_set_header Host $http_host;");
    }
    if !is_host(url.authority()) {
        let host = client::harmless(honest.host.as_deref().unwrap_or("none"));
        let text = format!(
            "the terminator changes the host to '{host}': what a logged-in browser changes is refused as from another site"
        );
        return Finding::problem(id, text, "nginx: proxy_set_header Host $http_host;");
    }
    if forged.host.as_deref() == Some(FORGED_HOST) {
        let text =
            "the terminator passes on X-Forwarded-Host as the client wrote it, and the gateway believed it";
        return Finding::warning(id, text, "nginx: proxy_set_header X-Forwarded-Host $http_host;");
    }
    if honest.referrer_policy.split(',').any(|policy| policy.trim().eq_ignore_ascii_case("no-referrer")) {
        let text = "the terminator adds Referrer-Policy: no-referrer, so that browsers say 'Origin: null' with the sign-in \
            form: old browsers cannot log in";
        return Finding::warning(
            id,
            text,
            "nginx: remove add_header Referrer-Policy; the gateway sends its own",
        );
    }
    if forged.is_insecure {
        let text =
            "the terminator passes on X-Forwarded-Proto as the client wrote it, and the gateway believed it";
        return Finding::warning(id, text, "nginx: proxy_set_header X-Forwarded-Proto $scheme;");
    }
    Finding::ok(id, "forged X-Forwarded-Host, -Proto and -User are not believed, and the host is right")
}

#[cfg(test)]
mod tests;

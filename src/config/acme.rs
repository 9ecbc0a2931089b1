//! `--acme`: a certificate from an ACME server (RFC 8555), and what that server has to be told.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use url::Url;

use super::address::parse_listen;
use super::check::{Checker, list};
use super::checked::ListenAddress;
use super::names::certificate_name;

/// Let's Encrypt's production service.
const DEFAULT_DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// Let's Encrypt and others put no more names into one certificate.
const MAX_DOMAINS: usize = 100;

/// How a certificate is got and renewed by ACME.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AcmeSettings {
    /// Names and addresses of the one certificate, in lower case, at least one.
    pub domains: Vec<String>,
    /// The server's directory (RFC 8555 section 7.1.1), always `https`.
    pub directory: Url,
    /// Where the server may write to about the account.
    pub email: Option<String>,
    /// Certificates (PEM) that the directory's own certificate may be signed by, besides the system's.
    pub ca: Option<PathBuf>,
    /// Where HTTP-01 challenges are answered; `None` leaves TLS-ALPN-01.
    pub http_listen: Option<SocketAddr>,
    /// The account at the CA that the ACME account is bound to (RFC 8555 section 7.3.4).
    pub binding: Option<AcmeBinding>,
}

/// External account binding.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AcmeBinding {
    /// The key's name, given by the CA.
    pub kid: String,
    /// File with the key, in base64url, given by the CA.
    pub key_file: PathBuf,
}

/// The settings of `--acme`; `None` after a problem.
pub(super) fn acme(checker: &mut Checker<'_>) -> Option<AcmeSettings> {
    let raw = checker.raw;
    let domains = domains(checker)?;
    Some(AcmeSettings {
        domains,
        directory: directory(checker)?,
        email: email(checker),
        ca: checker.path("acme-ca", raw.acme_ca.as_ref()),
        http_listen: http_listen(checker),
        binding: binding(checker),
    })
}

/// Options that mean nothing without `--acme`.
pub(super) fn without_acme(checker: &mut Checker<'_>) {
    let raw = checker.raw;
    let given = [
        ("acme-directory", &raw.acme_directory),
        ("acme-email", &raw.acme_email),
        ("acme-ca", &raw.acme_ca),
        ("acme-http-listen", &raw.acme_http_listen),
        ("acme-eab-kid", &raw.acme_eab_kid),
        ("acme-eab-key", &raw.acme_eab_key),
    ];
    for (option, _) in given.into_iter().filter(|(_, value)| value.is_some()) {
        checker.problem(option, "only means something with --acme DOMAIN");
    }
}

fn domains(checker: &mut Checker<'_>) -> Option<Vec<String>> {
    let mut domains = Vec::new();
    let mut complete = true;
    for text in list(&checker.raw.acme) {
        match domain(&text) {
            Ok(name) if domains.contains(&name) => {}
            Ok(name) => domains.push(name),
            Err(message) => {
                complete = false;
                checker.problem("acme", message);
            }
        }
    }
    if domains.len() > MAX_DOMAINS {
        checker.problem("acme", format!("names more than {MAX_DOMAINS} domains, which no certificate holds"));
        complete = false;
    }
    complete.then_some(domains)
}

/// A DNS name or an address (RFC 8738), in lower case.
fn domain(text: &str) -> Result<String, String> {
    let name = certificate_name(text)?;
    if name.starts_with('*') {
        return Err(format!(
            "'{text}' is a wildcard, which servers give for a DNS-01 challenge only; name each domain, or get the \
             certificate with another client and use --certfile FILE"
        ));
    }
    Ok(name.parse::<IpAddr>().map_or(name, |address| address.to_string()))
}

/// RFC 8555 section 6.1: always over HTTPS.
fn directory(checker: &mut Checker<'_>) -> Option<Url> {
    let text = checker.raw.acme_directory.as_ref().map_or(DEFAULT_DIRECTORY, |text| text.as_str());
    match Url::parse(text) {
        Ok(url) if url.scheme() == "https" && url.has_host() && url.username().is_empty() => Some(url),
        _ => {
            let message = format!("'{text}' is not the https:// address of an ACME directory");
            checker.problem("acme-directory", message);
            None
        }
    }
}

/// It becomes a `mailto:` address without headers and with one recipient (RFC 8555 section 7.3).
fn email(checker: &mut Checker<'_>) -> Option<String> {
    let text = checker.raw.acme_email.as_ref()?.as_str();
    let text = text.strip_prefix("mailto:").unwrap_or(text);
    let fits =
        |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, ',' | '?' | '<' | '>' | '&' | '#');
    let (name, host) = text.rsplit_once('@').unwrap_or_default();
    if name.is_empty() || host.is_empty() || !text.chars().all(fits) {
        checker.problem("acme-email", format!("'{text}' is not one mail address"));
        return None;
    }
    Some(text.to_owned())
}

fn http_listen(checker: &mut Checker<'_>) -> Option<SocketAddr> {
    match parse_listen(checker.raw.acme_http_listen.as_ref()?.as_str()) {
        Ok(ListenAddress::Tcp(address)) => Some(address),
        Ok(ListenAddress::Unix(_)) => {
            checker.problem(
                "acme-http-listen",
                "is no TCP address; the CA connects to port 80, write for example :80",
            );
            None
        }
        Err(message) => {
            checker.problem("acme-http-listen", message);
            None
        }
    }
}

fn binding(checker: &mut Checker<'_>) -> Option<AcmeBinding> {
    let raw = checker.raw;
    let key_file = checker.path("acme-eab-key", raw.acme_eab_key.as_ref());
    match (raw.acme_eab_kid.as_ref(), key_file) {
        (Some(kid), Some(key_file)) => Some(AcmeBinding { kid: kid.as_str().to_owned(), key_file }),
        (Some(_), None) => {
            checker.problem("acme-eab-kid", "needs --acme-eab-key FILE with the key that belongs to it");
            None
        }
        (None, Some(_)) => {
            checker.problem("acme-eab-key", "needs --acme-eab-kid with the key's name");
            None
        }
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::environment::Environment;
    use super::super::raw::RawSettings;
    use super::super::{Settings, TlsMode};

    fn check(text: &str) -> Result<Settings, String> {
        let raw: RawSettings = toml::from_str(&format!("use-login = true\n{text}")).unwrap();
        Settings::check(raw, &Environment { root: true, ..Environment::default() })
            .map_err(|problems| problems.iter().map(|problem| format!("{problem}\n")).collect())
    }

    #[test]
    fn acme_alone_is_lets_encrypt_by_tls() {
        let TlsMode::Acme(acme) = check("acme = 'A.example., b.example, a.example'").unwrap().tls else {
            panic!()
        };
        assert_eq!(acme.domains, ["a.example", "b.example"]);
        assert_eq!(acme.directory.host_str(), Some("acme-v02.api.letsencrypt.org"));
        assert_eq!((acme.http_listen, acme.email, acme.binding), (None, None, None));
    }

    #[test]
    fn what_no_acme_server_could_do_is_refused() {
        for (text, said) in [
            ("acme = '*.a.example'", "wildcard"),
            ("acme = '*'", "wildcard"),
            ("acme = 'https://a.example'", "only the host"),
            ("acme = 'a.example'\nacme-directory = 'http://ca.example/'", "https://"),
            ("acme = 'a.example'\nacme-email = 'a@b.example,c@d.example'", "mail address"),
            ("acme = 'a.example'\nacme-http-listen = 'unix:/x'", "TCP"),
            ("acme = 'a.example'\nacme-eab-kid = 'k'", "--acme-eab-key"),
            ("acme = 'a.example'\nacme-eab-key = '/k'", "--acme-eab-kid"),
            ("acme = 'a.example'\nautocert = 'a.example'", "contradicts"),
            ("autocert = 'a.example'\nacme-email = 'a@b.example'", "only means something with --acme"),
        ] {
            let problems = check(text).unwrap_err();
            assert!(problems.contains(said), "{text}: {problems}");
        }
    }
}

//! The mapping file: who the holders of certain certificates are.
//!
//! ```toml
//! others = "refuse"               # or "field", the default: those without an entry go by --cert-user
//!
//! [[certificate]]
//! subject = "CN=deploy,O=Example" # as openssl x509 -noout -subject -nameopt RFC2253 prints it
//! user = "deploy"
//! groups = ["ci"]
//! machine = true                  # no account is asked about
//! ```

use std::path::Path;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use serde::Deserialize;
use toml::Spanned;

use super::constraints::Bound;
use super::error::{Place, TrustError};
use super::refusal::Refusal;
use super::subject::{Alternative, CertificateFacts};
use crate::config::line_of;
use crate::domain::Username;

/// The entries of a mapping file.
#[derive(Clone, Debug)]
pub(super) struct Map {
    entries: Vec<Entry>,
    is_whole: bool,
}

/// Which certificates, and who they are.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    subject: Option<String>,
    issuer: Option<String>,
    alternative: Option<(Alternative, String)>,
    serial: Option<Vec<u8>>,
    public_key: Option<[u8; 32]>,
    pub(super) user: Username,
    pub(super) groups: Option<Arc<[String]>>,
    pub(super) is_machine: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMap {
    #[serde(default)]
    others: Others,
    #[serde(default)]
    certificate: Vec<Spanned<RawEntry>>,
}

#[derive(Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Others {
    #[default]
    Field,
    Refuse,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawEntry {
    subject: Option<String>,
    issuer: Option<String>,
    san: Option<String>,
    serial: Option<String>,
    spki_sha256: Option<String>,
    user: String,
    groups: Option<Vec<String>>,
    #[serde(default)]
    machine: bool,
}

impl Map {
    /// Reads the file's content.
    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, TrustError> {
        let line = |line, problem: String| {
            TrustError::line("cert-map", Place { path: path.to_owned(), line }, problem)
        };
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            line(1 + before.iter().filter(|byte| **byte == b'\n').count(), "is not UTF-8".to_owned())
        })?;
        let raw: RawMap = toml::from_str(text)
            .map_err(|error| line(line_of(text, error.span()), error.message().to_owned()))?;
        let entries = raw.certificate.into_iter().map(|entry| {
            let at = line_of(text, Some(entry.span()));
            Entry::check(entry.into_inner()).map_err(|problem| line(at, problem))
        });
        Ok(Self { entries: entries.collect::<Result<_, _>>()?, is_whole: raw.others == Others::Refuse })
    }

    /// Whether only its entries count.
    pub(super) const fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// The entry for a certificate. Entries that say the same are one; others contradict each other, and an order among
    /// them would only be a guess at what was meant.
    pub(super) fn find(&self, facts: &CertificateFacts) -> Result<Option<&Entry>, Refusal> {
        let mut fitting = self.entries.iter().filter(|entry| entry.fits(facts));
        let Some(first) = fitting.next() else { return Ok(None) };
        let same = |other: &Entry| {
            (&other.user, &other.groups, other.is_machine) == (&first.user, &first.groups, first.is_machine)
        };
        if fitting.all(same) { Ok(Some(first)) } else { Err(Refusal::Ambiguous) }
    }
}

impl Entry {
    fn check(raw: RawEntry) -> Result<Self, String> {
        let RawEntry { subject, issuer, san, serial, spki_sha256, user, groups, machine } = raw;
        if subject.is_none() && san.is_none() && serial.is_none() && spki_sha256.is_none() {
            let text = "says of no certificate which one it is; write subject, san, serial with issuer, or spki-sha256";
            return Err(text.to_owned());
        }
        if serial.is_some() && issuer.is_none() {
            let text =
                "a serial number is one of its CA's only; write issuer beside it, as --cert-map's subject";
            return Err(text.to_owned());
        }
        let user = Username::parse(&user).map_err(|error| format!("user: {error}"))?;
        let alternative = san.as_deref().map(alternative).transpose()?;
        let serial = serial.map(|text| hex("serial", &text)).transpose()?;
        let public_key = spki_sha256.map(|text| pin(&text)).transpose()?;
        let groups = groups.map(Arc::from);
        Ok(Self { subject, issuer, alternative, serial, public_key, user, groups, is_machine: machine })
    }

    /// Whether something that it names is bound by the name constraints of the certificate's chain, or is the very key.
    pub(super) fn is_within(&self, bound: Bound) -> bool {
        let holds = |(kind, _): &(Alternative, String)| match kind {
            Alternative::Dns => bound.holds_dns(),
            Alternative::Ip => bound.holds_ip(),
            Alternative::Email | Alternative::Upn | Alternative::Uri => false,
        };
        !bound.is_constrained() || self.public_key.is_some() || self.alternative.as_ref().is_some_and(holds)
    }

    /// Everything that it names must fit.
    fn fits(&self, facts: &CertificateFacts) -> bool {
        let has = |kind: Alternative, wanted: &str| {
            facts.alternatives.iter().any(|(is, value)| {
                let same = |value: &String| {
                    // Domain names know no case (RFC 4343); the rest may.
                    if kind == Alternative::Dns {
                        value.eq_ignore_ascii_case(wanted)
                    } else {
                        value == wanted
                    }
                };
                *is == kind && value.as_ref().is_some_and(same)
            })
        };
        self.subject.as_ref().is_none_or(|subject| *subject == facts.subject)
            && self.issuer.as_ref().is_none_or(|issuer| *issuer == facts.issuer)
            && self.alternative.as_ref().is_none_or(|(kind, wanted)| has(*kind, wanted))
            && self.serial.as_ref().is_none_or(|serial| *serial == without_zeros(&facts.serial))
            && self.public_key.is_none_or(|key| key == facts.public_key)
    }
}

fn alternative(text: &str) -> Result<(Alternative, String), String> {
    let (kind, value) = text.split_once(':').unwrap_or_default();
    let kind = match kind {
        "dns" => Alternative::Dns,
        "email" => Alternative::Email,
        "ip" => Alternative::Ip,
        "upn" => Alternative::Upn,
        "uri" => Alternative::Uri,
        _ => return Err(format!("san: '{text}' does not begin with dns:, email:, ip:, upn: or uri:")),
    };
    Ok((kind, value.to_owned()))
}

/// With colons and capitals too, as openssl and browsers write it.
fn hex(key: &str, text: &str) -> Result<Vec<u8>, String> {
    let digits: String = text.chars().filter(|c| *c != ':').collect::<String>().to_ascii_lowercase();
    let digits = if digits.len().is_multiple_of(2) { digits } else { format!("0{digits}") };
    let bytes = HEXLOWER.decode(digits.as_bytes()).ok().filter(|bytes| !bytes.is_empty());
    bytes
        .map(|bytes| without_zeros(&bytes))
        .ok_or_else(|| format!("{key}: '{text}' is not a hexadecimal number"))
}

/// DER puts a zero in front of numbers that would look negative; people leave it out.
fn without_zeros(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().skip_while(|byte| *byte == 0).collect()
}

fn pin(text: &str) -> Result<[u8; 32], String> {
    let digits: String = text.chars().filter(|c| *c != ':').collect::<String>().to_ascii_lowercase();
    let bytes = HEXLOWER.decode(digits.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| {
        "spki-sha256: is not 64 hex digits; get them with: openssl x509 -in cert.pem -noout -pubkey | openssl pkey \
         -pubin -outform DER | sha256sum"
            .to_owned()
    })
}

//! The index: which certificates were issued, and which of them do not count any more. JSON lines, one a certificate,
//! behind a first line about the revocation list; made to be read by people and by `jq`.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::Path;

use clap::ValueEnum;
use rcgen::RevocationReason;
use serde::{Deserialize, Serialize};

use super::error::CaError;
use super::profile::CRL_DAYS;
use super::serial::Serial;
use crate::domain::UnixSeconds;

const FORMAT: u32 = 1;

/// Everything that the CA has issued.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Index {
    head: Head,
    records: Vec<Record>,
}

/// The first line.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Head {
    doorward_ca: u32,
    crl_number: u64,
    crl_days: u32,
    #[serde(with = "rfc3339")]
    crl_expires: UnixSeconds,
}

/// One certificate.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Its number.
    pub serial: Serial,
    /// What it is for.
    pub kind: Kind,
    /// The common name: a user, or a server's first name.
    pub name: String,
    /// Names and addresses of a server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// When it was made.
    #[serde(with = "rfc3339")]
    pub issued: UnixSeconds,
    /// When its time ends.
    #[serde(with = "rfc3339")]
    pub expires: UnixSeconds,
    /// Set once it does not count any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Revocation>,
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A person or a machine that logs in.
    Client,
    /// A gateway or an engine.
    Server,
}

/// That a certificate does not count any more.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// Since when.
    #[serde(with = "rfc3339")]
    pub at: UnixSeconds,
    /// Why.
    pub reason: Reason,
}

/// Why a certificate does not count any more (RFC 5280 §5.3.1). Those that can be taken back are left out.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Not said.
    #[default]
    Unspecified,
    /// Somebody else has or may have the key.
    KeyCompromise,
    /// The person went to another place.
    AffiliationChanged,
    /// A newer certificate took its place.
    Superseded,
    /// The server or account is no more.
    CessationOfOperation,
    /// The person may not come in any more.
    PrivilegeWithdrawn,
}

/// What has become of a certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It counts.
    Valid,
    /// Its time is over.
    Expired,
    /// It was revoked.
    Revoked,
}

impl Index {
    /// Of a CA that has issued nothing.
    pub(super) fn new() -> Self {
        let head = Head { doorward_ca: FORMAT, crl_number: 0, crl_days: CRL_DAYS, crl_expires: 0 };
        Self { head, records: Vec::new() }
    }

    /// Reads the text of an index; `path` is for messages. One bad line makes all of it worthless: what cannot be read
    /// may be a revocation.
    pub(super) fn parse(text: &str, path: &Path) -> Result<Self, CaError> {
        let bad = |line: usize, detail: String| CaError::Index { path: path.to_owned(), line, detail };
        let mut lines = text.lines().enumerate();
        let first = lines.next().map_or("", |(_, line)| line);
        let head: Head = serde_json::from_str(first).map_err(|error| bad(1, error.to_string()))?;
        if head.doorward_ca != FORMAT {
            return Err(bad(1, format!("is of form {}, this program knows {FORMAT}", head.doorward_ca)));
        }
        let mut records: Vec<Record> = Vec::new();
        let mut seen = HashSet::new();
        for (at, line) in lines {
            let record: Record =
                serde_json::from_str(line).map_err(|error| bad(at + 1, error.to_string()))?;
            if !seen.insert(record.serial) {
                return Err(bad(at + 1, format!("serial number {} stands there twice", record.serial)));
            }
            records.push(record);
        }
        Ok(Self { head, records })
    }

    /// As [`Index::parse`] reads it.
    pub(super) fn to_text(&self) -> Result<String, serde_json::Error> {
        let mut text = serde_json::to_string(&self.head)?;
        text.push('\n');
        for record in &self.records {
            let _ = writeln!(text, "{}", serde_json::to_string(record)?);
        }
        Ok(text)
    }

    /// All certificates, oldest first.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Those that a serial number, or the name of a certificate that still counts, stands for; oldest first.
    pub fn find(&self, wanted: &str, now: UnixSeconds) -> Vec<&Record> {
        let serial = wanted.parse().ok();
        let fits = |record: &&Record| match serial {
            Some(serial) => record.serial == serial,
            None => record.name == wanted && record.state(now) == State::Valid,
        };
        self.records.iter().filter(fits).collect()
    }

    /// What [`Index::find`] finds, for revoking it.
    ///
    /// # Errors
    /// [`CaError`]: there is none, or the one was revoked already.
    pub fn to_revoke(&self, wanted: &str, now: UnixSeconds) -> Result<Vec<Serial>, CaError> {
        match self.find(wanted, now).as_slice() {
            [] => Err(CaError::Unknown(wanted.to_owned())),
            [one] if one.revoked.is_some() => Err(CaError::RevokedAlready(one.serial)),
            found => Ok(found.iter().map(|record| record.serial).collect()),
        }
    }

    /// The certificate with this serial number, or the newest of this name that was not revoked, expired or not.
    #[must_use]
    pub fn newest(&self, wanted: &str) -> Option<&Record> {
        let serial = wanted.parse().ok();
        self.records.iter().rev().find(|record| match serial {
            Some(serial) => record.serial == serial,
            None => record.name == wanted && record.revoked.is_none(),
        })
    }

    /// Whether there is such a certificate, and it was revoked.
    #[must_use]
    pub fn is_revoked(&self, serial: Serial) -> bool {
        self.records.iter().any(|record| record.serial == serial && record.revoked.is_some())
    }

    /// When the revocation list ends.
    #[must_use]
    pub fn crl_expires(&self) -> UnixSeconds {
        self.head.crl_expires
    }

    /// The number of the newest revocation list.
    #[must_use]
    pub fn crl_number(&self) -> u64 {
        self.head.crl_number
    }

    /// For how many days a revocation list is made.
    pub(super) fn crl_days(&self) -> u32 {
        self.head.crl_days
    }

    /// Counts a new revocation list. A number is used once, even if its list never comes to be.
    pub(super) fn next_crl(&mut self, days: u32, expires: UnixSeconds) {
        self.head.crl_number = self.head.crl_number.saturating_add(1);
        self.head.crl_days = days;
        self.head.crl_expires = expires;
    }

    pub(super) fn add(&mut self, record: Record) {
        self.records.push(record);
    }

    /// Says that there has to be a new list, which nobody could sign yet.
    pub(super) fn outdate_crl(&mut self) {
        self.head.crl_number = self.head.crl_number.saturating_add(1);
    }

    /// Marks all that these names and serial numbers stand for.
    pub(super) fn revoke_all(
        &mut self,
        wanted: &[impl AsRef<str>],
        revocation: Revocation,
    ) -> Result<Vec<Record>, CaError> {
        let mut records = Vec::new();
        for wanted in wanted {
            for serial in self.to_revoke(wanted.as_ref(), revocation.at)? {
                records.extend(self.revoke(serial, revocation).cloned());
            }
        }
        Ok(records)
    }

    /// Marks a certificate; the first revocation stays.
    fn revoke(&mut self, serial: Serial, revocation: Revocation) -> Option<&Record> {
        let record = self.records.iter_mut().find(|record| record.serial == serial)?;
        record.revoked.get_or_insert(revocation);
        Some(record)
    }
}

impl Record {
    /// What has become of it.
    #[must_use]
    pub fn state(&self, now: UnixSeconds) -> State {
        match self.revoked {
            Some(_) => State::Revoked,
            None if now > self.expires => State::Expired,
            None => State::Valid,
        }
    }
}

impl Kind {
    /// One word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

impl Reason {
    /// As a revocation list says it; nothing for what is not said (RFC 5280 §5.3.1).
    pub(super) fn in_crl(self) -> Option<RevocationReason> {
        match self {
            Self::Unspecified => None,
            Self::KeyCompromise => Some(RevocationReason::KeyCompromise),
            Self::AffiliationChanged => Some(RevocationReason::AffiliationChanged),
            Self::Superseded => Some(RevocationReason::Superseded),
            Self::CessationOfOperation => Some(RevocationReason::CessationOfOperation),
            Self::PrivilegeWithdrawn => Some(RevocationReason::PrivilegeWithdrawn),
        }
    }
}

/// Times as people read them, in whole seconds.
mod rfc3339 {
    use jiff::Timestamp;
    use serde::de::Error as _;
    use serde::ser::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::domain::UnixSeconds;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's `with` asks for it")]
    pub(super) fn serialize<S: Serializer>(time: &UnixSeconds, to: S) -> Result<S::Ok, S::Error> {
        Timestamp::from_second(*time).map_err(S::Error::custom)?.to_string().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<UnixSeconds, D::Error> {
        let text = String::deserialize(from)?;
        text.parse::<Timestamp>().map(Timestamp::as_second).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Index, Kind, Reason, Record, Revocation, State};
    use crate::ca::Serial;

    fn record(name: &str) -> Record {
        Record {
            serial: Serial::random().unwrap(),
            kind: Kind::Client,
            name: name.into(),
            names: Vec::new(),
            issued: 1_000,
            expires: 2_000,
            revoked: None,
        }
    }

    #[test]
    fn the_index_is_read_as_it_was_written() {
        let mut index = Index::new();
        index.next_crl(30, 3_000);
        let [one, other] = [record("bob"), record("jürgen \"x\"")];
        index.add(one.clone());
        index.add(other);
        index.revoke(one.serial, Revocation { at: 1_500, reason: Reason::KeyCompromise });
        let text = index.to_text().unwrap();
        assert_eq!(Index::parse(&text, Path::new("index")).unwrap(), index);
        assert!(
            text.contains(r#""revoked":{"at":"1970-01-01T00:25:00Z","reason":"key-compromise"}"#),
            "{text}"
        );
        assert_eq!(index.records()[0].state(1_600), State::Revoked);
        assert_eq!(index.records()[1].state(2_001), State::Expired);
    }

    #[test]
    fn an_index_of_which_one_line_is_broken_counts_for_nothing() {
        let mut index = Index::new();
        index.add(record("bob"));
        let text = index.to_text().unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let torn = &text[..text.len() - 10];
        let twice = format!("{text}{}\n", lines[1]);
        let blank = format!("{text}\n");
        let newer = text.replace("\"doorward-ca\":1", "\"doorward-ca\":2");
        let unknown = text.replace("\"kind\"", "\"sort\"");
        for bad in ["", torn, &twice, &blank, &newer, &unknown, lines[1]] {
            let error = Index::parse(bad, Path::new("index")).unwrap_err().to_string();
            assert!(error.starts_with("index:"), "{error}");
        }
    }

    #[test]
    fn a_name_stands_for_what_still_counts_and_a_number_for_one() {
        let mut index = Index::new();
        let [one, two] = [record("bob"), record("bob")];
        index.add(one.clone());
        index.add(two.clone());
        assert_eq!(index.find("bob", 1_500).len(), 2);
        assert_eq!(index.find("bob", 2_500).len(), 0);
        index.revoke(one.serial, Revocation { at: 1_500, reason: Reason::default() });
        assert_eq!(index.find("bob", 1_500), [&two]);
        assert_eq!(index.find(&one.serial.to_string(), 1_500)[0].serial, one.serial);
        assert_eq!(index.find("eve", 1_500).len(), 0);
    }
}

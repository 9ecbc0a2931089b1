//! Who the holder of a good certificate is.

use std::sync::Arc;

use super::chain::Verified;
use super::field;
use super::map::Map;
use super::refusal::Refusal;
use super::subject::CertificateFacts;
use crate::config::CertField;
use crate::domain::{UnixSeconds, Username};

/// Whom a certificate proves.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Person {
    /// Their name.
    pub user: Username,
    /// Their groups, where the mapping file gives them; else the account's count.
    pub groups: Option<Arc<[String]>>,
    /// Not a person: there is no account to be checked.
    pub is_machine: bool,
    /// Until when the whole chain is valid.
    pub expires: UnixSeconds,
    /// The certificate's serial number, in hex.
    pub serial: String,
}

/// The mapping file, if there is one.
#[derive(Clone, Debug, Default)]
pub(super) struct NameRules {
    pub(super) map: Option<Map>,
}

impl NameRules {
    /// The mapping file's entry, else the configured field.
    pub(super) fn person(
        &self,
        facts: &CertificateFacts,
        by: CertField,
        verified: Verified,
    ) -> Result<Person, Refusal> {
        let (serial, Verified { expires, bound }) = (facts.serial_text(), verified);
        if let Some(entry) = self.map.as_ref().map(|map| map.find(facts)).transpose()?.flatten() {
            if !entry.is_within(bound) {
                return Err(Refusal::Constrained);
            }
            let (user, groups, is_machine) = (entry.user.clone(), entry.groups.clone(), entry.is_machine);
            return Ok(Person { user, groups, is_machine, expires, serial });
        }
        if self.map.as_ref().is_some_and(Map::is_whole) {
            return Err(Refusal::NotMapped);
        }
        // Which CA said the name counts only as far as that CA may name people.
        if bound.is_constrained() && !(by == CertField::Dns && bound.holds_dns()) {
            return Err(Refusal::Constrained);
        }
        let user = field::user(facts, by)?;
        Ok(Person { user, groups: None, is_machine: false, expires, serial })
    }
}

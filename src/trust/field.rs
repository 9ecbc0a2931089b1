//! One configured field decides who somebody is; all others are ignored (behaviour C5).

use super::refusal::Refusal;
use super::subject::{Alternative, CertificateFacts};
use crate::config::CertField;
use crate::domain::Username;

/// The user's name by a field. A field that is there twice must say the same twice: which of two values was checked by the
/// CA, and which one another program would take, nobody knows.
pub(super) fn user(facts: &CertificateFacts, field: CertField) -> Result<Username, Refusal> {
    let values: Vec<&Option<String>> = match field {
        CertField::CommonName => facts.common_names.iter().collect(),
        CertField::Dns => of_kind(facts, Alternative::Dns),
        CertField::Email => of_kind(facts, Alternative::Email),
        CertField::Upn => of_kind(facts, Alternative::Upn),
        CertField::Uri => of_kind(facts, Alternative::Uri),
    };
    let (first, others) = values.split_first().ok_or(Refusal::NoName)?;
    let is_plain = others.iter().all(|other| other == first);
    let name = first.as_ref().filter(|_| is_plain).ok_or(Refusal::Name)?;
    // The rest of such a URI is a name already (RFC 7565); others, as SPIFFE's, are for the mapping file.
    let name = if field == CertField::Uri { name.strip_prefix("acct:").unwrap_or(name) } else { name };
    // NUL and other control characters, and names that look like options, end here.
    Username::parse(name).map_err(|_| Refusal::Name)
}

fn of_kind(facts: &CertificateFacts, wanted: Alternative) -> Vec<&Option<String>> {
    facts.alternatives.iter().filter(|(kind, _)| *kind == wanted).map(|(_, value)| value).collect()
}

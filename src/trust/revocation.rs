//! Whether a certificate was revoked, by all revocation lists together.
//!
//! There may be several lists of one CA: an old and a new one, one of users and one of CAs, one a distribution point. What
//! counts is the key that signed them, not the CA's name: after a change of keys two CAs have one name.
//!
//! * Not revoked is only what a list in force covers, that is: begun, not over, and made for such certificates.
//! * Revoked is what any list says, whether it covers the certificate or not. A list that is over is not asked once a
//!   newer one is in force: with it ends, for instance, a certificate's being on hold.

use x509_parser::certificate::X509Certificate;

use super::authority::Authority;
use super::list::RevocationList;
use super::refusal::Refusal;
use crate::domain::UnixSeconds;

/// All lists, and what is done about those that are over.
pub(super) struct Lists<'a> {
    pub(super) lists: &'a [RevocationList],
    /// Lists that are over count as if they were in force.
    pub(super) accepts_expired: bool,
    pub(super) now: UnixSeconds,
}

impl Lists<'_> {
    /// Whether nothing speaks against this certificate of `issuer`. `is_authority`: it is a CA's.
    pub(super) fn check(
        &self,
        certificate: &X509Certificate<'_>,
        is_authority: bool,
        issuer: &Authority,
    ) -> Result<(), Refusal> {
        let name = certificate.issuer().as_raw();
        let of_issuer = |list: &&RevocationList| {
            issuer.may_sign_lists && list.issuer == name && list.is_signed_by(&issuer.key)
        };
        let theirs: Vec<&RevocationList> = self.lists.iter().filter(of_issuer).collect();
        let covering: Vec<&RevocationList> =
            theirs.iter().copied().filter(|list| list.covers(certificate, is_authority)).collect();
        let in_force: Vec<&RevocationList> =
            covering.iter().copied().filter(|list| self.is_in_force(list)).collect();
        let is_replaced = |list: &RevocationList| {
            self.is_over(list) && in_force.iter().any(|newer| newer.is_newer_than(list))
        };
        let serial = certificate.raw_serial();
        if theirs.iter().any(|list| list.revokes(serial) && !is_replaced(list)) {
            return Err(Refusal::Revoked);
        }
        if !in_force.is_empty() {
            return Ok(());
        }
        Err(if covering.is_empty() {
            Refusal::StatusUnknown
        } else if covering.iter().all(|list| !list.has_begun(self.now)) {
            Refusal::CrlNotYetValid
        } else {
            Refusal::CrlExpired
        })
    }

    fn is_in_force(&self, list: &RevocationList) -> bool {
        list.has_begun(self.now) && !self.is_over(list)
    }

    fn is_over(&self, list: &RevocationList) -> bool {
        !self.accepts_expired && list.is_over(self.now)
    }
}

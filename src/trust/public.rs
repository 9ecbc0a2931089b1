//! CAs that issue for everybody. Their certificates prove who somebody is to a web site, not to this gateway: whoever can
//! buy one would come in under the name that it has.

use std::collections::HashSet;

use super::authority::{Anchors, Authority};

/// More of them than these are a bundle of the operating system, named by mistake. A company's own CA may be among the
/// system's.
pub(super) const FEW: usize = 8;

/// The CAs among these that this host trusts for web sites. Reads the system's certificates.
pub(super) fn of_the_system(anchors: &Anchors) -> Vec<&Authority> {
    let system = rustls_native_certs::load_native_certs().certs;
    let keys: HashSet<Vec<u8>> = system
        .iter()
        .filter_map(|certificate| webpki::anchor_from_trusted_cert(certificate).ok())
        .map(|anchor| anchor.subject_public_key_info.to_vec())
        .collect();
    let known = anchors.as_slice().iter().zip(anchors.facts());
    known
        .filter(|(anchor, _)| keys.contains(anchor.subject_public_key_info.as_ref()))
        .map(|(_, ca)| ca)
        .collect()
}

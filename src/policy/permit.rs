//! The decision, and the proof of it.

use http::{HeaderMap, Method};
use thiserror::Error;

use crate::domain::Door;
use crate::identity::Identity;
use crate::policy::origin::{ForeignOrigin, check_same_origin};
use crate::policy::target::Target;

/// Proof that this identity may send this request. Its fields are private and only [`decide`] builds one, so a
/// forwarding path that skips the decision does not compile.
#[derive(Debug)]
#[must_use = "a permit that is not used forwards nothing"]
pub struct Permit {
    identity: Identity,
    target: Target,
}

impl Permit {
    /// Who was permitted.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What was permitted.
    #[must_use]
    pub const fn target(&self) -> &Target {
        &self.target
    }
}

/// Why a request of a known person is refused with 403.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Denied {
    /// See [`ForeignOrigin`].
    #[error(transparent)]
    ForeignOrigin(#[from] ForeignOrigin),
}

/// Decides. Without a policy file everyone who proved who they are may do everything, as with the engine's own TLS
/// mode; what remains is that a cookie alone does not prove intent.
///
/// # Errors
/// [`Denied`] says why not.
pub fn decide(
    identity: Identity,
    target: Target,
    method: &Method,
    headers: &HeaderMap,
    authority: Option<&str>,
) -> Result<Permit, Denied> {
    // Programs send no Fetch metadata. A browser that does, and that was once told a password for this site, adds it
    // by itself to whatever a page makes it send, as it does with a cookie.
    let is_by_browser = identity.door() == Door::Basic && headers.contains_key("sec-fetch-site");
    if identity.door() == Door::Session || is_by_browser {
        check_same_origin(method, headers, authority)?;
    }
    Ok(Permit { identity, target })
}

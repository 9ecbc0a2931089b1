//! The decision, and the proof of it.

use http::{HeaderMap, Method, header};
use thiserror::Error;

use crate::domain::{Door, Scope};
use crate::identity::Identity;
use crate::policy::origin::{ForeignOrigin, check_same_origin, is_by_browser};
use crate::policy::reading::{NotReading, check_reading};
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
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Denied {
    /// See [`ForeignOrigin`].
    #[error(transparent)]
    ForeignOrigin(#[from] ForeignOrigin),
    /// A token of the scope `read`, for something else than reading.
    #[error("this token may only read (scope read), and {0}: make a token without a scope for it")]
    OnlyReading(NotReading),
}

/// Decides. Without a policy file everyone who proved who they are may do everything, as with the engine's own TLS
/// mode; what remains is that a cookie alone does not prove intent, and what a token was narrowed to. `has_body` says
/// whether the request has a body.
///
/// # Errors
/// [`Denied`] says why not.
pub fn decide(
    identity: Identity,
    target: Target,
    method: &Method,
    headers: &HeaderMap,
    authority: Option<&str>,
    has_body: bool,
) -> Result<Permit, Denied> {
    // A token is put on a request by whoever makes it. All else a browser adds by itself to whatever a page makes it
    // send: a cookie, a password that it was once told, a certificate, and the nothing that `--no-login` asks for.
    let by_itself = identity.door().opens_by_itself() && is_by_browser(headers);
    if identity.door() == Door::Session || by_itself {
        check_same_origin(method, headers, authority)?;
    }
    if identity.credential().scope() == Some(Scope::Read) {
        if headers.contains_key(header::UPGRADE) {
            return Err(Denied::OnlyReading(NotReading::Route));
        }
        check_reading(method, target.route(), target.forwarded().query(), has_body)
            .map_err(Denied::OnlyReading)?;
    }
    Ok(Permit { identity, target })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{HeaderMap, Method};

    use super::decide;
    use crate::domain::Username;
    use crate::identity::{Credential, Identity};
    use crate::policy::Target;

    fn allowed(credential: Credential, method: &Method, headers: &[(&'static str, &'static str)]) -> bool {
        let identity = Identity::new(Arc::new(credential));
        let target = Target::parse(&"/containers/create".parse().unwrap(), false).unwrap();
        let headers: HeaderMap =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        decide(identity, target, method, &headers, Some("gate.example"), false).is_ok()
    }

    fn basic() -> Credential {
        Credential::from_password([0; 32], Username::parse("bob").unwrap(), Vec::new(), 0, 9)
    }

    fn everybody() -> Credential {
        Credential::for_everybody(Username::parse("anonymous").unwrap(), 0)
    }

    #[test]
    fn s5_what_a_browser_adds_by_itself_does_not_prove_intent() {
        for made in [basic, everybody] {
            assert!(allowed(made(), &Method::POST, &[]), "a program");
            assert!(allowed(made(), &Method::POST, &[("origin", "https://gate.example")]));
            assert!(
                !allowed(made(), &Method::POST, &[("origin", "https://evil.example")]),
                "an older browser"
            );
            assert!(!allowed(made(), &Method::POST, &[("sec-fetch-site", "cross-site")]));
        }
    }

    #[test]
    fn s6_a_cross_origin_websocket_is_refused_whatever_the_browser_adds() {
        let upgrade = [("upgrade", "websocket"), ("origin", "https://evil.example")];
        assert!(!allowed(basic(), &Method::GET, &upgrade));
        assert!(!allowed(everybody(), &Method::GET, &upgrade));
        assert!(allowed(basic(), &Method::GET, &[("upgrade", "tcp")]), "the docker client");
    }
}

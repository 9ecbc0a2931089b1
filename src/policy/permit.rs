//! The decision, and the proof of it.

use http::{HeaderMap, Method, header};
use thiserror::Error;

use crate::domain::{Door, Scope, UnixSeconds};
use crate::identity::Identity;
use crate::policy::answer::AnswerRules;
use crate::policy::fetch::FetchMetadata;
use crate::policy::origin::{ForeignOrigin, ForeignReading, check_foreign_reading, check_same_origin};
use crate::policy::reading::{NotReading, check_reading};
use crate::policy::target::Target;

/// Longest way of a browser from the port where it showed its certificate back to the page that it wanted.
const WAY_BACK_SECONDS: UnixSeconds = 30;

/// Proof that this identity may send this request. Its fields are private and only [`decide`] builds one, so a
/// forwarding path that skips the decision does not compile.
#[derive(Debug)]
#[must_use = "a permit that is not used forwards nothing"]
pub struct Permit {
    identity: Identity,
    target: Target,
    answer: AnswerRules,
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

    /// How the answer is to be treated.
    #[must_use]
    pub const fn answer(&self) -> AnswerRules {
        self.answer
    }
}

/// What is decided about, besides who asks and for which target.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The request's method.
    pub method: &'a Method,
    /// Its headers, as they came.
    pub headers: &'a HeaderMap,
    /// What the browser says of it, read from these headers.
    pub fetch: &'a FetchMetadata,
    /// The host that it is for.
    pub authority: Option<&'a str>,
    /// Whether it has a body.
    pub has_body: bool,
}

/// Why a request of a known person is refused with 403.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Denied {
    /// See [`ForeignOrigin`].
    #[error(transparent)]
    ForeignOrigin(#[from] ForeignOrigin),
    /// A WebSocket that says it is of another site's page. Chromium sends no Fetch metadata with the handshake, so that a
    /// program that makes an `Origin` up cannot be told from such a page.
    #[error(
        "a WebSocket with an Origin is taken for a page's, and this Origin is not this site: \
         programs use a token (Authorization: Bearer) or doorward tunnel, which both work"
    )]
    ForeignWebSocket,
    /// A page of another site asked with what the browser adds by itself.
    #[error(transparent)]
    ForeignReading(#[from] ForeignReading),
    /// A token of the scope `read`, for something else than reading.
    #[error("this token may only read (scope read), and {0}: make a token without a scope for it")]
    OnlyReading(NotReading),
}

/// Decides. Without a policy file everyone who proved who they are may do everything, as with the engine's own TLS
/// mode; what remains is that a cookie alone does not prove intent, and what a token was narrowed to. `engine_ui` says
/// whether the engine has pages of its own.
///
/// # Errors
/// [`Denied`] says why not.
pub fn decide(
    identity: Identity,
    target: Target,
    asked: &Asked<'_>,
    engine_ui: bool,
) -> Result<Permit, Denied> {
    let Asked { method, headers, fetch, authority, has_body } = *asked;
    // A token is put on a request by whoever makes it. All else a browser adds by itself to whatever a page makes it
    // send: a cookie, a password that it was once told, a certificate, and the nothing that `--no-login` asks for.
    let door = identity.door();
    if door == Door::Session || (door.opens_by_itself() && fetch.is_by_browser()) {
        check_same_origin(method, headers, authority).map_err(|foreign| named(foreign, headers))?;
        if !is_way_back(&identity, fetch) {
            check_foreign_reading(fetch, headers, authority, engine_ui)?;
        }
    }
    if identity.credential().scope() == Some(Scope::Read) {
        if headers.contains_key(header::UPGRADE) {
            return Err(Denied::OnlyReading(NotReading::Route));
        }
        if target.rest().is_some() {
            return Err(Denied::OnlyReading(NotReading::Form));
        }
        let query = target.forwarded().query();
        // Whichever way the engine takes its path.
        let mut readings = target.readings().into_iter();
        readings
            .try_for_each(|route| check_reading(method, &route, query, has_body))
            .map_err(Denied::OnlyReading)?;
    }
    let answer = AnswerRules::of(fetch, door, engine_ui);
    Ok(Permit { identity, target, answer })
}

/// What its sender can do about it, where it may be a program.
fn named(foreign: ForeignOrigin, headers: &HeaderMap) -> Denied {
    let asks =
        headers.get(header::UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if asks && headers.contains_key(header::ORIGIN) {
        Denied::ForeignWebSocket
    } else {
        Denied::ForeignOrigin(foreign)
    }
}

/// Whether the browser is on its way back from `--client-cert-listen`, which is another port of this host, with the
/// session that it has just got there.
fn is_way_back(identity: &Identity, fetch: &FetchMetadata) -> bool {
    let credential = identity.credential();
    let is_new = credential.last_seen().is_some_and(|seen| seen - credential.created() < WAY_BACK_SECONDS);
    is_new
        && identity.door() == Door::Session
        && credential.certificate().is_some()
        && fetch.is_window_from_same_site()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{HeaderMap, Method};

    use super::{Asked, Denied, Permit, decide};
    use crate::domain::Username;
    use crate::identity::{Credential, Identity};
    use crate::policy::{FetchMetadata, Target};

    fn allowed(credential: Credential, method: &Method, headers: &[(&'static str, &'static str)]) -> bool {
        allowed_before(credential, method, headers, false)
    }

    fn allowed_before(
        credential: Credential,
        method: &Method,
        headers: &[(&'static str, &'static str)],
        engine_ui: bool,
    ) -> bool {
        decided(credential, method, headers, engine_ui).is_ok()
    }

    fn decided(
        credential: Credential,
        method: &Method,
        headers: &[(&'static str, &'static str)],
        engine_ui: bool,
    ) -> Result<Permit, Denied> {
        let identity = Identity::new(Arc::new(credential));
        let target = Target::parse(&"/containers/create".parse().unwrap(), false).unwrap();
        let headers: HeaderMap =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let fetch = FetchMetadata::read(&headers);
        let asked = Asked {
            method,
            headers: &headers,
            fetch: &fetch,
            authority: Some("gate.example"),
            has_body: false,
        };
        decide(identity, target, &asked, engine_ui)
    }

    fn basic() -> Credential {
        Credential::from_password([0; 32], Username::parse("bob").unwrap(), Vec::new(), 0, 9)
    }

    fn everybody() -> Credential {
        Credential::for_everybody(Username::parse("anonymous").unwrap(), 0)
    }

    #[test]
    fn w6_a_websocket_of_a_made_up_origin_is_refused_with_the_ways_that_work() {
        for made in [basic, everybody] {
            for upgrade in ["websocket", "WebSocket"] {
                let headers = [("upgrade", upgrade), ("origin", "http://localhost")];
                let Err(denied) = decided(made(), &Method::GET, &headers, false) else { panic!("allowed") };
                assert_eq!(denied, Denied::ForeignWebSocket);
                let text = denied.to_string();
                assert!(text.contains("Bearer") && text.contains("doorward tunnel"), "{text}");
            }
            assert!(
                allowed(made(), &Method::GET, &[("upgrade", "websocket")]),
                "a program without an Origin"
            );
        }
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
    fn i1_what_a_foreign_page_makes_a_browser_read_is_refused_and_links_reach_pages_of_the_engine() {
        let window =
            |site| [("sec-fetch-site", site), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        let frame =
            |site| [("sec-fetch-site", site), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
        let part =
            |site| [("sec-fetch-site", site), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "script")];
        for made in [basic, everybody] {
            for site in ["cross-site", "same-site", "", "Same-Origin"] {
                for (asked, passes_ui) in [(window(site), true), (frame(site), false), (part(site), false)] {
                    assert!(!allowed(made(), &Method::GET, &asked), "{asked:?}");
                    assert_eq!(allowed_before(made(), &Method::GET, &asked, true), passes_ui, "{asked:?}");
                    assert!(!allowed_before(made(), &Method::POST, &asked, true), "{asked:?}");
                }
            }
            for site in ["same-origin", "none"] {
                for asked in [window(site), frame(site), part(site)] {
                    assert!(allowed(made(), &Method::GET, &asked), "{asked:?}");
                }
            }
            assert!(
                !allowed(made(), &Method::GET, &[("origin", "https://evil.example")]),
                "an older browser"
            );
            assert!(allowed(made(), &Method::GET, &[("origin", "https://gate.example")]));
            assert!(allowed(made(), &Method::GET, &[]), "a program");
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

//! A certificate for a session: where certificates are asked for on a port of their own, a browser shows it there once and
//! goes on with an ordinary session, so that signing out works and no other page brings up the certificate dialog.

use actix_session::Session;
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use http::Uri;
use serde::Deserialize;

use crate::domain::{Door, ReturnTo};
use crate::identity::Identity;
use crate::pages::app::PagesState;
use crate::pages::context::PageContext;
use crate::pages::login::{
    Begun, Entrant, begin_session, landing, refuse_insecure, remove_former_cookies, see_other, with_next,
};
use crate::pages::logout::clear_storage;
use crate::pages::refusals::page;
use crate::pages::views::ErrorPage;
use crate::pages::welcome;

/// Where certificates are exchanged.
pub const PATH: &str = "/_doorward/certificate";

/// Where browsers are asked for a certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CertificatePort {
    /// On every port.
    Here,
    /// On this port of the host.
    Port(u16),
    /// There: `https://HOST[:PORT]`.
    Url(String),
}

/// `certificate?next=/path&back=https://host:port`.
#[derive(Debug, Deserialize)]
pub(super) struct Query {
    #[serde(default)]
    next: String,
    #[serde(default)]
    back: String,
}

/// The way to [`exchange`] and back, for a page that was reached under `authority`.
pub(super) fn link(state: &PagesState, authority: Option<&str>, return_to: &ReturnTo) -> Option<String> {
    let here = with_next(PATH, return_to);
    if state.certificate_port == Some(CertificatePort::Here) {
        return Some(here);
    }
    let base = elsewhere(state, authority)?;
    let mut link = url::Url::parse(&base).ok()?.join(&here).ok()?;
    link.query_pairs_mut().append_pair("back", &format!("https://{}", authority?));
    Some(link.into())
}

/// Where certificates let in, if not on the very port that was reached under `authority`: `https://HOST[:PORT]`.
pub(super) fn elsewhere(state: &PagesState, authority: Option<&str>) -> Option<String> {
    match state.certificate_port.as_ref()? {
        CertificatePort::Here => None,
        CertificatePort::Url(url) => Some(url.clone()),
        CertificatePort::Port(port) => Some(format!("https://{}:{port}", host_of(authority?)?)),
    }
}

/// Makes a session for whoever showed a good certificate, and sends them back.
pub(super) async fn exchange(
    context: PageContext,
    session: Session,
    query: web::Query<Query>,
    state: web::Data<PagesState>,
) -> HttpResponse {
    if state.certificate_port.is_none() {
        return page(StatusCode::NOT_FOUND, &ErrorPage::standard(404, &context.request_id));
    }
    if let Some(refusal) = refuse_insecure(&context) {
        return refusal;
    }
    // A script could hold on to what a link makes; and a link from elsewhere would end the session that is there. Another
    // port of this host is not elsewhere.
    if context.is_by_script() || context.is_cross_site() {
        return page(StatusCode::FORBIDDEN, &ErrorPage::standard(403, &context.request_id));
    }
    let return_to = ReturnTo::parse(&query.next);
    let back = back(&query.back, context.authority.as_deref());
    // A certificate of a token may use the engine only, and makes no session that could do more.
    let may =
        |identity: &Identity| identity.door() == Door::Certificate && identity.credential().login().is_none();
    let Some(identity) = context.identity.clone().filter(may) else {
        return refuse(&context, &back, &return_to);
    };
    let Some(certificate) = identity.credential().certificate() else {
        return refuse(&context, &back, &return_to);
    };
    let entrant = Entrant {
        user: identity.user(),
        groups: &identity.groups(),
        certificate: Some(certificate),
        messages: &[],
    };
    match begin_session(&state, &context, &session, &entrant).await {
        Ok(begun) => {
            let way = match begun {
                Begun::HasMessages => with_next(welcome::PATH, &return_to),
                Begun::Quietly => landing(&state, &return_to).to_owned(),
            };
            let mut response = see_other(&format!("{back}{way}"));
            remove_former_cookies(&context, &mut response);
            clear_storage(&mut response);
            response
        }
        Err(refusal) => refusal,
    }
}

/// Says what is wrong with the certificate, or that there was none.
fn refuse(context: &PageContext, back: &str, return_to: &ReturnTo) -> HttpResponse {
    let login = format!("{back}{}", with_next("/_doorward/login", return_to));
    let text = context.refused.map(sentence).unwrap_or_else(|| {
        "Your browser showed no certificate. Import it into the browser, then close all of its windows and try again: \
         browsers remember the answer to their certificate question."
            .to_owned()
    });
    let view = ErrorPage {
        title: if context.refused.is_some() {
            "This certificate does not let you in"
        } else {
            "No certificate"
        },
        text: &text,
        action: Some((&login, "Back to the sign-in page")),
        ..ErrorPage::standard(401, &context.request_id)
    };
    page(StatusCode::UNAUTHORIZED, &view)
}

/// A reason as the log has it, for the person who reads it under a heading that speaks of a certificate already.
fn sentence(reason: &'static str) -> String {
    let reason = reason.strip_prefix("client certificate: ").unwrap_or(reason);
    let mut letters = reason.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}. Whoever gave it to you can help.", letters.as_str())
}

/// The site to go back to: another port of this very host, or this one. Anywhere else, a fresh login would be led to
/// whoever made the link.
fn back(wanted: &str, authority: Option<&str>) -> String {
    let found = wanted.parse::<Uri>().ok().filter(|uri| uri.scheme_str() == Some("https"));
    let found = found.as_ref().and_then(Uri::authority).map(http::uri::Authority::as_str);
    let is_here = |found: &&str| {
        let same = authority.and_then(host_of).zip(host_of(found));
        !found.contains('@')
            && has_a_port_if_any(found)
            && same.is_some_and(|(own, other)| own.eq_ignore_ascii_case(other))
    };
    found.filter(is_here).map(|found| format!("https://{found}")).unwrap_or_default()
}

/// Whether what stands behind the host, if anything, is a port. Else browsers could not read the address.
fn has_a_port_if_any(authority: &str) -> bool {
    let rest = host_of(authority).and_then(|host| authority.get(host.len()..)).unwrap_or_default();
    rest.is_empty()
        || rest.strip_prefix(':').is_some_and(|port| {
            port.bytes().all(|digit| digit.is_ascii_digit())
                && port.parse::<u16>().is_ok_and(|port| port != 0)
        })
}

/// The host without its port; brackets stay.
fn host_of(authority: &str) -> Option<&str> {
    let end = match authority.rfind(']') {
        Some(bracket) => bracket + 1,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    authority.get(..end).filter(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{back, sentence};
    use crate::trust::Refusal;

    #[test]
    fn a_reason_is_read_as_a_sentence() {
        assert_eq!(sentence(Refusal::Revoked.as_str()), "It was revoked. Whoever gave it to you can help.");
        assert_eq!(
            sentence("the account is refused"),
            "The account is refused. Whoever gave it to you can help."
        );
    }

    #[test]
    fn w13_one_goes_back_to_another_port_of_this_host_and_nowhere_else() {
        let own = Some("gate.example:8143");
        for (wanted, expected) in [
            ("https://gate.example:8100", "https://gate.example:8100"),
            ("https://GATE.example", "https://GATE.example"),
            ("https://gate.example:8100/x/../y", "https://gate.example:8100"),
            ("http://gate.example:8100", ""),
            ("https://evil.example", ""),
            ("https://gate.example.evil.example", ""),
            ("https://gate.example:31840.evil.example/", ""),
            ("https://gate.example:65536", ""),
            ("https://gate.example:0", ""),
            ("https://gate.example:", ""),
            ("https://gate.example:+1", ""),
            ("https://gate.example:1@evil.example", ""),
            ("https://bob@gate.example", ""),
            ("//evil.example", ""),
            ("/x", ""),
            ("", ""),
        ] {
            assert_eq!(back(wanted, own), expected, "{wanted}");
        }
        assert_eq!(back("https://[::1]:1", Some("[::1]:2")), "https://[::1]:1");
        assert_eq!(back("https://gate.example", None), "");
    }
}

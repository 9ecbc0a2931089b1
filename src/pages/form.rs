//! The forms of our own pages. One is taken only from the very page that it stands on: by the browser's word (behaviour
//! S5), and by the page's secret, which no page of the engine can read ([`PageForm`]).

use actix_web::HttpResponse;
use actix_web::http::StatusCode;

use crate::identity::Identity;
use crate::pages::app::PagesState;
use crate::pages::context::PageContext;
use crate::pages::logout::clear_storage;
use crate::pages::refusals::page;
use crate::pages::views::ErrorPage;
use crate::policy;
use crate::session::{LoginKey, PageForm};

/// The secret for a page that is shown to `identity`. Without randomness it is empty, and the form will be refused.
pub(super) fn secret(state: &PagesState, form: PageForm, identity: &Identity) -> String {
    state.doors.cookie_key.pages().make(form, &identity.credential().key()).unwrap_or_default()
}

/// The same for the login page, before there is a credential: the secret belongs to the browser's login cookie.
pub(super) fn login_secret(state: &PagesState, key: &LoginKey) -> String {
    state.doors.cookie_key.pages().make(PageForm::Login, &key.hash()).unwrap_or_default()
}

/// Whether a form was sent from a page that was made for `identity`.
pub(super) fn is_of_page(state: &PagesState, form: PageForm, identity: &Identity, secret: &str) -> bool {
    state.doors.cookie_key.pages().is_ours(form, &identity.credential().key(), secret)
}

/// The same of the login form, made for this browser.
pub(super) fn is_of_login_page(state: &PagesState, key: &LoginKey, secret: &str) -> bool {
    state.doors.cookie_key.pages().is_ours(PageForm::Login, &key.hash(), secret)
}

/// A page of ours that a script asks for, which could then read its secrets. Where a service worker of an earlier engine
/// or server stands in between, all that a browser asks for comes from a script: this answer removes it.
pub(super) fn refuse_script(context: &PageContext) -> Option<HttpResponse> {
    context.is_by_script().then(|| {
        let view = ErrorPage {
            title: "A script asked for this page",
            text: "Doorward shows its pages to people only. If you came here yourself, something that was stored in your \
                browser stood in between, and has just been removed: load the page again.",
            action: Some(("/_doorward/login", "Go to the sign-in page")),
            ..ErrorPage::standard(403, &context.request_id)
        };
        let mut response = page(StatusCode::FORBIDDEN, &view);
        clear_storage(&mut response);
        response
    })
}

/// A form that another site sent, or a script, or something that did not say where it came from (behaviour S5).
pub(super) fn refuse_foreign(context: &PageContext) -> Option<HttpResponse> {
    let is_ours =
        policy::check_own_form(&context.method, &context.headers, context.authority.as_deref()).is_ok();
    (!is_ours || context.is_by_script()).then(|| {
        let view = ErrorPage {
            title: "This form was not sent by this site",
            text: "Doorward takes forms only from its own pages. Open the page here and try again; programs use the \
                API under /_doorward/api/v1/ instead.",
            ..ErrorPage::standard(403, &context.request_id)
        };
        page(StatusCode::FORBIDDEN, &view)
    })
}

/// A form without the secret of its page: sent by a page of the engine, or shown before somebody signed in anew.
/// `way` leads to the page, with words for the link.
pub(super) fn refuse_without_secret(
    context: &PageContext,
    state: &PagesState,
    identity: &Identity,
    (form, secret): (PageForm, &str),
    way: (&str, &str),
) -> Option<HttpResponse> {
    (!is_of_page(state, form, identity, secret)).then(|| {
        let view = ErrorPage {
            title: "This form is not of this page",
            text: "The page that it was sent from is not Doorward's own, or was opened before you last signed in. Open \
                it again here. Nothing was changed.",
            action: Some(way),
            ..ErrorPage::standard(403, &context.request_id)
        };
        page(StatusCode::FORBIDDEN, &view)
    })
}

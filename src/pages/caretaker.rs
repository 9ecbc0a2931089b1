//! Who may look after tokens, sessions and certificates, their own or everybody's.
//!
//! A session cookie is not enough here: pages of the engine share our origin, and a script among them could use the
//! visitor's cookie to make itself a token (CVE-2024-39315). A password or the token of a login is asked for, of
//! administrators no less.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde::Deserialize;

use crate::domain::{Door, UnixSeconds, Username};
use crate::identity::Identity;
use crate::pages::api::unauthorized;
use crate::pages::app::PagesState;
use crate::pages::context::PageContext;
use crate::pages::refusals::{later, refuse};
use crate::policy;
use crate::store::{KeyHash, StoreError, TokenKind};

/// `?all=true`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    #[serde(default)]
    pub(super) all: bool,
}

/// `?user=bob`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Whose {
    pub(super) user: Option<String>,
}

/// A caller with a credential that may look after others.
pub(super) struct Caretaker<'a> {
    pub(super) identity: &'a Identity,
    is_admin: bool,
}

impl<'a> Caretaker<'a> {
    /// The caller, if their credential is good enough. Groups are those of now: they change while a credential lives.
    #[expect(clippy::result_large_err, reason = "the refusal is the answer, moved once")]
    pub(super) fn of(context: &'a PageContext, state: &PagesState) -> Result<Self, HttpResponse> {
        let identity = owner(context)?;
        let is_admin = identity.groups().iter().any(|group| state.admin_groups.contains(group));
        Ok(Self { identity, is_admin })
    }

    /// Whether they may look after what belongs to others.
    pub(super) const fn is_admin(&self) -> bool {
        self.is_admin
    }

    /// `None` for everybody's, which only administrators may see.
    #[expect(clippy::result_large_err, reason = "the refusal is the answer, moved once")]
    pub(super) fn listed(&self, which: &Which) -> Result<Option<&Username>, HttpResponse> {
        match (which.all, self.is_admin) {
            (false, _) => Ok(Some(self.identity.user())),
            (true, true) => Ok(None),
            (true, false) => Err(not_an_administrator()),
        }
    }

    /// The person all of whose things shall end: the caller, or anybody for administrators.
    #[expect(clippy::result_large_err, reason = "the refusal is the answer, moved once")]
    pub(super) fn named(&self, whose: &Whose) -> Result<Username, HttpResponse> {
        let Some(name) = &whose.user else {
            return Err(refuse(StatusCode::BAD_REQUEST, "say whose shall end: ?user=NAME"));
        };
        let Ok(user) = Username::parse(name) else {
            return Err(refuse(StatusCode::BAD_REQUEST, "this is not a user name"));
        };
        if user == *self.identity.user() || self.is_admin { Ok(user) } else { Err(not_an_administrator()) }
    }

    /// Writes down who ended what of whom. Names of things and not their secrets.
    pub(super) fn note(&self, what: &str, owner: &Username, id: &str, count: usize) {
        tracing::info!(
            target: "doorward::revoke",
            by = %self.identity.user(), credential = self.identity.credential_id(),
            user = %owner, what, id, count,
            "revoked"
        );
    }
}

fn not_an_administrator() -> HttpResponse {
    refuse(StatusCode::FORBIDDEN, "only administrators may do this: who is in a group of --admin-group")
}

#[expect(clippy::result_large_err, reason = "the refusal is the answer, moved once")]
fn owner(context: &PageContext) -> Result<&Identity, HttpResponse> {
    let Some(identity) = &context.identity else { return Err(unauthorized()) };
    match (identity.door(), identity.credential().token_kind()) {
        (Door::Basic | Door::Certificate, _) if policy::is_by_browser(&context.headers) => Err(refuse(
            StatusCode::FORBIDDEN,
            "a browser adds passwords and certificates by itself: use a token from /_doorward/api/v1/login",
        )),
        (Door::Basic | Door::Certificate, None) | (Door::Token, Some(TokenKind::Login)) => Ok(identity),
        (Door::Session, _) => Err(refuse(
            StatusCode::FORBIDDEN,
            "a browser session is not enough here: use a token from /_doorward/api/v1/login, or your password",
        )),
        _ => Err(refuse(StatusCode::FORBIDDEN, "this token may not look after tokens or sessions")),
    }
}

/// When something was used last: the store learns of it up to a second or two later than this process.
pub(super) fn last_use(
    state: &PagesState,
    door: Door,
    key: KeyHash,
    stored: Option<UnixSeconds>,
) -> Option<UnixSeconds> {
    let live = state.doors.registry.find(door, key);
    stored.max(live.and_then(|credential| credential.last_seen()))
}

/// How many ended, to a program.
pub(super) fn revoked(count: usize) -> HttpResponse {
    crate::pages::api::answer_json(&serde_json::json!({ "revoked": count }))
}

pub(super) fn unavailable(error: &StoreError) -> HttpResponse {
    tracing::error!(%error, "the store failed");
    later(StatusCode::SERVICE_UNAVAILABLE, "the store is not available", 2)
}

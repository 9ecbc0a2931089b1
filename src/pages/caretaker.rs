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
use crate::store::{KeyHash, Store, StoreError, TokenKind};

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

/// What people have, and can end.
#[derive(Clone, Copy)]
pub(super) enum Belonging {
    /// A certificate of a login.
    Certificate,
    /// A browser's session.
    Session,
    /// A token.
    Token,
}

impl Belonging {
    const fn door(self) -> Door {
        match self {
            Self::Certificate => Door::Certificate,
            Self::Session => Door::Session,
            Self::Token => Door::Token,
        }
    }

    async fn delete(self, store: &dyn Store, user: &Username, id: &str) -> Result<bool, StoreError> {
        match self {
            Self::Certificate => store.delete_certificate(user, id).await,
            Self::Session => store.delete_session_by_id(user, id).await,
            Self::Token => store.delete_token(user, id).await,
        }
    }

    async fn delete_all(self, store: &dyn Store, user: &Username) -> Result<usize, StoreError> {
        match self {
            Self::Certificate => store.delete_certificates_of(user).await,
            Self::Session => store.delete_sessions_of(user).await,
            Self::Token => store.delete_tokens_of(user).await,
        }
    }

    async fn owner(self, store: &dyn Store, id: &str) -> Result<Option<Username>, StoreError> {
        Ok(match self {
            Self::Certificate => {
                let all = store.all_certificates().await?;
                all.into_iter().find(|(made, _)| made.id == id).map(|(_, token)| token.user)
            }
            Self::Session => {
                let all = store.all_sessions().await?;
                all.into_iter().find(|record| record.id == id).and_then(|record| record.user)
            }
            Self::Token => {
                let all = store.all_tokens().await?;
                all.into_iter().find(|record| record.id == id).map(|record| record.user)
            }
        })
    }
}

/// Ends one thing of the caller, or for administrators of anybody, and cuts its streams.
pub(super) async fn revoke(
    what: Belonging,
    context: &PageContext,
    state: &PagesState,
    id: &str,
) -> HttpResponse {
    let caretaker = match Caretaker::of(context, state) {
        Ok(caretaker) => caretaker,
        Err(refusal) => return refusal,
    };
    match delete_one(what, &caretaker, &*state.doors.store, id).await {
        Ok(Some(owner)) => {
            state.doors.registry.revoke_id(what.door(), &owner, id);
            caretaker.note(what.door().as_str(), &owner, id, 1);
            HttpResponse::NoContent().finish()
        }
        Ok(None) => refuse(StatusCode::NOT_FOUND, &format!("no such {}", what.door().as_str())),
        Err(error) => unavailable(&error),
    }
}

/// Whose it was, if it was anybody's.
async fn delete_one(
    what: Belonging,
    caretaker: &Caretaker<'_>,
    store: &dyn Store,
    id: &str,
) -> Result<Option<Username>, StoreError> {
    let me = caretaker.identity.user();
    if what.delete(store, me, id).await? {
        return Ok(Some(me.clone()));
    }
    if !caretaker.is_admin() {
        return Ok(None);
    }
    let Some(owner) = what.owner(store, id).await? else { return Ok(None) };
    Ok(what.delete(store, &owner, id).await?.then_some(owner))
}

/// Ends all things of one kind of one person.
pub(super) async fn revoke_all(
    what: Belonging,
    context: &PageContext,
    state: &PagesState,
    whose: &Whose,
) -> HttpResponse {
    let caretaker = match Caretaker::of(context, state) {
        Ok(caretaker) => caretaker,
        Err(refusal) => return refusal,
    };
    let user = match caretaker.named(whose) {
        Ok(user) => user,
        Err(refusal) => return refusal,
    };
    match what.delete_all(&*state.doors.store, &user).await {
        Ok(count) => {
            match what {
                Belonging::Certificate => state.doors.registry.revoke_issued(&user),
                Belonging::Session | Belonging::Token => state.doors.registry.revoke_door(what.door(), &user),
            }
            caretaker.note(&format!("all {}s", what.door().as_str()), &user, "", count);
            revoked(count)
        }
        Err(error) => unavailable(&error),
    }
}

/// How many ended, to a program.
fn revoked(count: usize) -> HttpResponse {
    crate::pages::api::answer_json(&serde_json::json!({ "revoked": count }))
}

pub(super) fn unavailable(error: &StoreError) -> HttpResponse {
    tracing::error!(%error, "the store failed");
    later(StatusCode::SERVICE_UNAVAILABLE, "the store is not available", 2)
}

//! What ends because its owner has as much as one person may have: cut, written down, and told.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;

use crate::domain::{Door, Level, Message, Username};
use crate::identity::Shared;
use crate::pages::app::PagesState;
use crate::pages::moments::iso;
use crate::pages::refusals::refuse;
use crate::store::{Ended, LiveAt, MAX_CERTIFICATES_PER_TOKEN, MAX_PER_USER};

impl PagesState {
    /// What is live at this moment.
    pub(super) fn live_at(&self) -> LiveAt {
        LiveAt::new(self.doors.clock.now(), self.limits.idle)
    }
}

/// Has the store know what was used up to now, so that it can tell what was used least recently.
pub(super) async fn note_uses(state: &PagesState) {
    let uses = state.doors.registry.sweep(state.doors.clock.now());
    if !uses.is_empty()
        && let Err(error) = state.doors.store.touch(uses).await
    {
        tracing::error!(%error, "cannot note last uses");
    }
}

/// Ends in this process what the store has forgotten.
pub(super) fn cut(doors: &Shared, user: &Username, ended: &[Ended]) {
    for Ended { door, key, id, name, used } in ended {
        doors.registry.revoke(*door, *key);
        tracing::warn!(
            target: "doorward::revoke", %user, what = door.as_str(), id, name, last_used = iso(*used),
            "ended to make room for a new login: this person has {MAX_PER_USER} logins and tokens"
        );
    }
}

/// What the person is told.
pub(super) fn told(ended: &[Ended]) -> Option<Message> {
    let (first, others) = ended.split_first()?;
    let kind = if first.door == Door::Session { "browser session" } else { "token" };
    let name = first.name.as_ref().map(|name| format!(" \"{name}\"")).unwrap_or_default();
    let more = match others.len() {
        0 => String::new(),
        count => format!(" and {count} more"),
    };
    let text = format!(
        "You had {MAX_PER_USER} logins and tokens, as many as one person may have. What you used least recently has \
         ended: {kind}{name} {}, last used {}{more}.",
        first.id,
        iso(first.used),
    );
    Some(Message { level: Level::Info, text })
}

/// A token made from a login, or a further certificate of one, for which there is no room.
pub(super) fn refuse_full() -> HttpResponse {
    let text = format!(
        "you have {MAX_PER_USER} logins, tokens and certificates, as many as one person may have: end some first, on the \
         account page or with doorward token revoke, doorward session revoke or doorward logout"
    );
    refuse(StatusCode::CONFLICT, &text)
}

/// A further certificate of a token that has as many as one may have.
pub(super) fn refuse_token_full() -> HttpResponse {
    let text =
        format!("this login has {MAX_CERTIFICATES_PER_TOKEN} certificates already: revoke some of them");
    refuse(StatusCode::CONFLICT, &text)
}

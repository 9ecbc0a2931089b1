//! What the stack said while it let somebody in ("your password will expire in 5 days"), shown once, before they go on.

use actix_session::{Session, SessionInsertError};
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde::Deserialize;

use crate::domain::{Door, Message, ReturnTo};
use crate::pages::app::PagesState;
use crate::pages::context::PageContext;
use crate::pages::form::refuse_script;
use crate::pages::login::{landing, see_other, with_next};
use crate::pages::refusals::page;
use crate::pages::views::{MessageView, WelcomePage};

/// Where the page is.
pub(super) const PATH: &str = "/_doorward/welcome";
/// Name of the texts in the session's state.
const MESSAGES: &str = "messages";

/// `welcome?next=/path`.
#[derive(Debug, Deserialize)]
pub(super) struct Query {
    #[serde(default)]
    next: String,
}

/// Keeps the texts of a login for the page. They are bounded by the broker.
pub(super) fn keep(session: &Session, messages: &[Message]) -> Result<(), SessionInsertError> {
    if messages.is_empty() { Ok(()) } else { session.insert(MESSAGES, messages) }
}

/// Shows the texts; without any, or the second time, goes on at once.
pub(super) async fn show(
    context: PageContext,
    session: Session,
    query: web::Query<Query>,
    state: web::Data<PagesState>,
) -> HttpResponse {
    let return_to = ReturnTo::parse(&query.next);
    let Some(identity) = context.identity.as_ref().filter(|identity| identity.door() == Door::Session) else {
        return see_other(&with_next("/_doorward/login", &return_to));
    };
    if let Some(refusal) = refuse_script(&context) {
        return refusal;
    }
    let Some(Ok(messages)) = session.remove_as::<Vec<Message>>(MESSAGES) else {
        return see_other(landing(&state, &return_to));
    };
    let view = WelcomePage {
        host: context.host(),
        user: identity.user().as_str(),
        return_to: landing(&state, &return_to),
        messages: messages.iter().map(MessageView::from).collect(),
    };
    page(StatusCode::OK, &view)
}

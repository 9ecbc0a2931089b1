//! The yes or no to a program. Where the engine has pages, a yes needs the password too, through all steps of the stack:
//! those pages share our origin, and a script among them that got round all else still does not know it.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde::Deserialize;

use crate::identity::{Begin, Identity, Reply, ShownDevice};
use crate::pages::app::PagesState;
use crate::pages::context::PageContext;
use crate::pages::device::{code_page, person_who_sent};
use crate::pages::form;
use crate::pages::moments::{moment, span};
use crate::pages::refusals::page;
use crate::pages::sheet::{BUSY, EXPIRED, UNKNOWN, too_many_failures};
use crate::pages::views::{DeviceDonePage, DeviceQuestionPage, ErrorPage, MessageView, PromptView};
use crate::session::PageForm;

/// Also said to who loads the page again after a yes.
const ANSWERED: &str =
    "That question was answered already, or is over. What was let in stands on your account page.";

/// What is answered, the person's choice, and what shows who they are. No `Debug`: it holds what was typed.
#[derive(Deserialize)]
pub(super) struct Form {
    request: String,
    choice: String,
    #[serde(default)]
    csrf_token: String,
    password: Option<String>,
    conversation: Option<String>,
    answer0: Option<String>,
}

/// Takes the yes or no.
pub(super) async fn submit(
    context: PageContext,
    form: web::Form<Form>,
    state: web::Data<PagesState>,
) -> HttpResponse {
    let identity = match person_who_sent(&context, &state, PageForm::DeviceAnswer, &form.csrf_token) {
        Ok(identity) => identity,
        Err(refusal) => return refusal,
    };
    let form = form.into_inner();
    // Whatever is not a yes is a no.
    let approved = form.choice == "approve";
    let request = form.request.clone();
    if approved
        && state.engine_ui
        && let Err(answer) = prove(&context, &state, identity, form).await
    {
        return answer;
    }
    let Some(address) = state.devices.answer(&request, identity.credential(), approved) else {
        return code_page(&context, &state, identity, (StatusCode::BAD_REQUEST, Some(ANSWERED)));
    };
    tracing::info!(
        target: "doorward::login",
        %address, user = %identity.user(), by = identity.credential_id(), approved,
        "answered a program that wants to be let in"
    );
    page(StatusCode::OK, &DeviceDonePage { host: context.host(), approved })
}

/// Has the person show that they are still there: a login of their own name, of which nothing comes but this yes. It costs
/// and counts what any login does.
async fn prove(
    context: &PageContext,
    state: &PagesState,
    identity: &Identity,
    form: Form,
) -> Result<(), HttpResponse> {
    if !state.has_passwords {
        let view = ErrorPage {
            title: "Programs cannot be let in here",
            text: "The engine behind this host has pages of its own, so that letting a program in takes a password, and \
                nobody has one here. Give the program a client certificate instead.",
            ..ErrorPage::standard(403, &context.request_id)
        };
        return Err(page(StatusCode::FORBIDDEN, &view));
    }
    let Some(shown) = state.devices.shown(&form.request, identity.credential().key()) else {
        return Err(code_page(context, state, identity, (StatusCode::BAD_REQUEST, Some(ANSWERED))));
    };
    let origin = context.origin(&state.doors).in_browser(Some(identity.credential().key()));
    let conversations = &state.doors.conversations;
    let reply = match form.conversation {
        Some(id) => conversations.answer(&id, vec![form.answer0.unwrap_or_default()], origin).await,
        None => {
            let password = form.password.filter(|password| !password.is_empty());
            let user = identity.user().as_str().to_owned();
            conversations.begin(Begin { user, password, page: Some(form.csrf_token), origin }).await
        }
    };
    let view = question(context, state, identity, &shown);
    match reply {
        Reply::Done(verified) if verified.user == *identity.user() => Ok(()),
        Reply::Ask { conversation, prompts, messages, .. } => {
            let view = DeviceQuestionPage {
                conversation: Some(&conversation),
                prompts: PromptView::list(&prompts),
                messages: messages.iter().map(MessageView::from).collect(),
                ..view
            };
            Err(page(StatusCode::OK, &view))
        }
        other => {
            let (status, error) = said(&other);
            let messages = match &other {
                Reply::Refused(messages) => messages.iter().map(MessageView::from).collect(),
                _ => Vec::new(),
            };
            Err(page(status, &DeviceQuestionPage { error: Some(&error), messages, ..view }))
        }
    }
}

/// What is said of a proof that failed.
fn said(reply: &Reply) -> (StatusCode, String) {
    match reply {
        Reply::Throttled(wait) => (StatusCode::TOO_MANY_REQUESTS, too_many_failures(*wait)),
        Reply::Busy(_) => (StatusCode::TOO_MANY_REQUESTS, BUSY.to_owned()),
        Reply::Unavailable => {
            let text = "Passwords cannot be checked right now. Try again in a moment.";
            (StatusCode::SERVICE_UNAVAILABLE, text.to_owned())
        }
        Reply::Expired => (StatusCode::GONE, format!("{EXPIRED} The program is still waiting.")),
        Reply::Unknown => (StatusCode::GONE, format!("{UNKNOWN} The program is still waiting.")),
        Reply::Refused(_) | Reply::Done(_) | Reply::Ask { .. } => {
            (StatusCode::UNAUTHORIZED, "Wrong password or answer. The program is still waiting.".to_owned())
        }
    }
}

/// The page that shows what asked.
pub(super) fn question<'a>(
    context: &'a PageContext,
    state: &PagesState,
    identity: &'a Identity,
    shown: &'a ShownDevice,
) -> DeviceQuestionPage<'a> {
    DeviceQuestionPage {
        host: context.host(),
        user: identity.user().as_str(),
        csrf_token: form::secret(state, PageForm::DeviceAnswer, identity),
        request: &shown.page,
        code: &shown.code,
        name: &shown.name,
        address: shown.address.to_string(),
        asked: moment(shown.at, state.doors.clock.now()),
        lifetime: span(state.token_lifetime.as_secs()),
        asks_password: state.engine_ui,
        conversation: None,
        prompts: Vec::new(),
        messages: Vec::new(),
        error: None,
    }
}

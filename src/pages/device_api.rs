//! A program asks for a login that a person approves in a browser (RFC 8628). The person's side is [`super::device`].

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::json;

use crate::identity::{DEVICE_SECONDS, DevicePoll, POLL_SECONDS, Verified};
use crate::pages::api::{answer_json, give_token, refuse_call};
use crate::pages::app::PagesState;
use crate::pages::context::PageContext;
use crate::pages::device::PATH;
use crate::pages::refusals::{later, refuse, too_many_failures};
use crate::token::{self, IssueError};

/// `{"name": "laptop"}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BeginBody {
    name: String,
}

/// `{"device": "…"}`. No `Debug`: it is a secret.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PollBody {
    device: String,
}

/// Begins such a login.
pub(super) async fn begin(
    context: PageContext,
    body: web::Bytes,
    state: web::Data<PagesState>,
) -> HttpResponse {
    if let Some(refusal) = refuse_call(&state, &context) {
        return refusal;
    }
    let Ok(body) = serde_json::from_slice::<BeginBody>(&body) else {
        return refuse(StatusCode::BAD_REQUEST, "the body must be {\"name\": \"…\"}");
    };
    if !token::is_name(&body.name) {
        return refuse(StatusCode::BAD_REQUEST, &IssueError::Name.to_string());
    }
    let Some(authority) = context.authority.as_deref() else {
        return refuse(StatusCode::BAD_REQUEST, "the request does not say which host it is for");
    };
    let Some(begun) = state.devices.begin(body.name, context.origin(&state.doors).client) else {
        let text = "too many logins wait for a browser at this moment";
        return later(StatusCode::TOO_MANY_REQUESTS, text, 30);
    };
    answer_json(&json!({
        "device": begun.device,
        "code": begun.code,
        // Nothing of the code in it: whoever is sent a link must still be told the code (RFC 8628 section 5.4).
        "url": format!("https://{authority}{PATH}"),
        "interval": POLL_SECONDS,
        "expires_in": DEVICE_SECONDS,
    }))
}

/// Gives the token once the person has said yes.
pub(super) async fn poll(
    context: PageContext,
    body: web::Bytes,
    state: web::Data<PagesState>,
) -> HttpResponse {
    if let Some(refusal) = refuse_call(&state, &context) {
        return refusal;
    }
    let Ok(body) = serde_json::from_slice::<PollBody>(&body) else {
        return refuse(StatusCode::BAD_REQUEST, "the body must be {\"device\": \"…\"}");
    };
    let over = "this login was denied, is over, or has been taken: begin again";
    match state.devices.poll(&body.device, context.client) {
        DevicePoll::Approved(credential, name) => {
            let user = credential.user().clone();
            let groups = credential.group_names().to_vec();
            let verified = Verified { typed: user.clone(), user, groups, messages: Vec::new() };
            // A session that was got by a certificate gives no more than that.
            let certificate = credential.certificate().map(|certificate| (**certificate).clone());
            let answer = give_token(&state, &context, verified, name, certificate).await;
            tracing::info!(
                target: "doorward::login",
                address = %context.client, user = %credential.user(), by = credential.id(),
                "login accepted: approved in a browser"
            );
            answer
        }
        DevicePoll::Pending => HttpResponse::Accepted()
            .insert_header(("content-type", "application/json"))
            .body(format!("{}\n", json!({ "status": "pending" }))),
        DevicePoll::TooFast => {
            let seconds = POLL_SECONDS.unsigned_abs();
            later(StatusCode::TOO_MANY_REQUESTS, "asked again too soon", seconds)
        }
        DevicePoll::Denied => refuse(StatusCode::GONE, over),
        DevicePoll::Unknown => {
            match state
                .doors
                .throttle
                .bad_credential(context.origin(&state.doors).client, body.device.as_bytes())
            {
                Ok(_) => refuse(StatusCode::GONE, over),
                Err(wait) => {
                    later(StatusCode::TOO_MANY_REQUESTS, &too_many_failures(wait), wait.as_secs().max(1))
                }
            }
        }
    }
}

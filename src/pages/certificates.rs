//! Certificates of logins over the API: a client keeps its key, and gets a certificate that lives as long as its token.
//! For programs that cannot send tokens, such as the docker client's own connections. See [`super::caretaker`].

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::ca::{CaError, Issued, LoginCa, PublicKeyRequest};
use crate::domain::{ClientCertificate, Door};
use crate::pages::api::{answer_json, unauthorized};
use crate::pages::app::PagesState;
use crate::pages::caretaker::{self, Belonging, Caretaker, Which, Whose, last_use, unavailable};
use crate::pages::certificate::elsewhere;
use crate::pages::context::PageContext;
use crate::pages::displaced;
use crate::pages::moments::iso;
use crate::pages::refusals::refuse;
use crate::store::{Admission, CertificateRecord, TokenRecord};
use crate::token::{self, IssueError};

/// `{"csr": "-----BEGIN CERTIFICATE REQUEST-----…", "name": "laptop"}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    csr: String,
    name: String,
}

/// Issues a certificate for the key of the request. It belongs to the token that asks.
pub(super) async fn create(
    context: PageContext,
    body: web::Bytes,
    state: web::Data<PagesState>,
) -> HttpResponse {
    let (caretaker, ca) = match open(&context, &state) {
        Ok(open) => open,
        Err(refusal) => return refusal,
    };
    if caretaker.identity.door() != Door::Token {
        let text = "a certificate belongs to the token of a login and ends with it: get one from /_doorward/api/v1/login";
        return refuse(StatusCode::FORBIDDEN, text);
    }
    if !context.is_json() {
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send JSON with Content-Type: application/json");
    }
    let Ok(wish) = serde_json::from_slice::<Wish>(&body) else {
        let text = "the body must be {\"csr\": \"-----BEGIN CERTIFICATE REQUEST-----…\", \"name\": \"…\"}";
        return refuse(StatusCode::BAD_REQUEST, text);
    };
    if !token::is_name(&wish.name) {
        return refuse(StatusCode::BAD_REQUEST, &IssueError::Name.to_string());
    }
    let token = match state.doors.store.token(caretaker.identity.credential().key()).await {
        Ok(Some(token)) => token,
        Ok(None) => return unauthorized(),
        Err(error) => return unavailable(&error),
    };
    issue(&context, &state, ca, wish, &token).await
}

async fn issue(
    context: &PageContext,
    state: &PagesState,
    ca: &LoginCa,
    wish: Wish,
    token: &TokenRecord,
) -> HttpResponse {
    let now = state.doors.clock.now();
    let issued = PublicKeyRequest::from_pem(&wish.csr)
        .and_then(|request| ca.issue(&token.user, &request, token.expires, now));
    let Issued { record, pem, der, .. } = match issued {
        Ok(issued) => issued,
        Err(error @ (CaError::Request(_) | CaError::Name { .. })) => {
            return refuse(StatusCode::BAD_REQUEST, &error.to_string());
        }
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "cannot issue a certificate");
            return refuse(StatusCode::INTERNAL_SERVER_ERROR, "the certificate could not be made");
        }
    };
    let Some(key) = ClientCertificate::new(vec![der.into()]).map(|made| made.key()) else {
        return refuse(StatusCode::INTERNAL_SERVER_ERROR, "the certificate could not be made");
    };
    let kept = CertificateRecord {
        key,
        id: record.serial.to_string(),
        name: wish.name,
        token: token.key,
        address: Some(context.client),
        created: now,
        last_used: None,
        expires: record.expires,
    };
    // Before anybody has it: what the store does not know counts for nothing.
    displaced::note_uses(state).await;
    let ended = match state.doors.store.put_certificate(kept.clone(), state.live_at()).await {
        Ok(Admission::Kept(ended)) => ended,
        Ok(Admission::Full) => return displaced::refuse_full(),
        Ok(Admission::TokenFull) => return displaced::refuse_token_full(),
        Ok(Admission::Orphaned) => return unauthorized(),
        Err(error) => return unavailable(&error),
    };
    displaced::cut(&state.doors, &token.user, &ended);
    tracing::info!(
        target: "doorward::certificate",
        user = %token.user, token = token.id, serial = kept.id, address = %context.client, "certificate issued"
    );
    let mut answer = json!({
        "id": kept.id,
        "certificate": format!("{pem}{}", ca.certificate_pem()),
        "expires": iso(kept.expires),
        "messages": displaced::told(&ended).into_iter().collect::<Vec<_>>(),
    });
    if let (Some(url), Some(object)) =
        (elsewhere(state, context.authority.as_deref()), answer.as_object_mut())
    {
        object.insert("url".to_owned(), url.into());
    }
    answer_json(&answer)
}

/// Lists the caller's certificates, or all.
pub(super) async fn list(
    context: PageContext,
    which: web::Query<Which>,
    state: web::Data<PagesState>,
) -> HttpResponse {
    let caretaker = match open(&context, &state) {
        Ok((caretaker, _)) => caretaker,
        Err(refusal) => return refusal,
    };
    let store = &state.doors.store;
    let records = match caretaker.listed(&which) {
        Ok(Some(user)) => store.certificates_of(user).await,
        Ok(None) => store.all_certificates().await,
        Err(refusal) => return refusal,
    };
    let now = state.doors.clock.now();
    match records {
        Ok(records) => {
            let live = records.into_iter().filter(|(made, of)| made.expires > now && of.expires > now);
            let rows = live.map(|(mut made, of)| {
                made.last_used = last_use(&state, Door::Certificate, made.key, made.last_used);
                row(&made, &of)
            });
            answer_json(&Value::Array(rows.collect()))
        }
        Err(error) => unavailable(&error),
    }
}

/// Revokes a certificate of the caller, or for administrators of anybody, and cuts its streams.
pub(super) async fn revoke(
    context: PageContext,
    id: web::Path<String>,
    state: web::Data<PagesState>,
) -> HttpResponse {
    match open(&context, &state) {
        Ok(_) => caretaker::revoke(Belonging::Certificate, &context, &state, &id).await,
        Err(refusal) => refusal,
    }
}

/// Revokes all certificates of one person's logins.
pub(super) async fn revoke_all(
    context: PageContext,
    whose: web::Query<Whose>,
    state: web::Data<PagesState>,
) -> HttpResponse {
    match open(&context, &state) {
        Ok(_) => caretaker::revoke_all(Belonging::Certificate, &context, &state, &whose).await,
        Err(refusal) => refusal,
    }
}

/// Who may look after certificates, where there are any.
#[expect(clippy::result_large_err, reason = "the refusal is the answer, moved once")]
fn open<'a>(
    context: &'a PageContext,
    state: &'a PagesState,
) -> Result<(Caretaker<'a>, &'a LoginCa), HttpResponse> {
    let caretaker = Caretaker::of(context, state)?;
    let text = "this gateway issues no certificates: it runs without --client-ca own";
    let ca = state.login_ca.as_deref().ok_or_else(|| refuse(StatusCode::NOT_FOUND, text))?;
    Ok((caretaker, ca))
}

fn row(made: &CertificateRecord, token: &TokenRecord) -> Value {
    json!({
        "id": made.id,
        "name": made.name,
        "user": token.user,
        "token": token.id,
        "address": made.address,
        "created": iso(made.created),
        "last_used": made.last_used.map(iso),
        "expires": iso(made.expires.min(token.expires)),
    })
}

//! The account page: who am I here, how did I get in, until when, and what do I type.

use actix_session::Session;
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde::Deserialize;

use crate::domain::authority::has_port;
use crate::domain::{Door, Scope, UnixSeconds};
use crate::identity::Identity;
use crate::pages::app::PagesState;
use crate::pages::context::PageContext;
use crate::pages::form::{self, refuse_foreign, refuse_script, refuse_without_secret};
use crate::pages::health;
use crate::pages::login::see_other;
use crate::pages::logout::signed_out;
use crate::pages::moments::{moment, span};
use crate::pages::refusals::page;
use crate::pages::views::{AccountPage, CliBlock, ClientCertificateView, ErrorPage, SessionRow, TokenRow};
use crate::session::PageForm;
use crate::store::{StoreError, TokenKind};
use crate::trust::CertificateFacts;

/// Shows the page to whoever proved who they are; others are sent to the login.
pub(super) async fn show(context: PageContext, state: web::Data<PagesState>) -> HttpResponse {
    let Some(identity) = context.identity.clone().filter(|identity| identity.door() != Door::None) else {
        return see_other("/_doorward/login?next=/_doorward/account");
    };
    if let Some(refusal) = refuse_script(&context) {
        return refusal;
    }
    if !may_look_after(&identity) {
        return page(StatusCode::FORBIDDEN, &ErrorPage::standard(403, &context.request_id));
    }
    match gather(&context, &state, &identity).await {
        Ok(response) => response,
        Err(error) => {
            tracing::error!(%error, "cannot show an account");
            page(StatusCode::SERVICE_UNAVAILABLE, &ErrorPage::standard(503, &context.request_id))
        }
    }
}

/// `kind` and `id` of what is to end.
#[derive(Deserialize)]
pub(super) struct Revocation {
    kind: String,
    id: String,
    #[serde(default)]
    csrf_token: String,
}

/// Ends one of the person's own sessions or tokens.
pub(super) async fn revoke(
    context: PageContext,
    session: Session,
    form: web::Form<Revocation>,
    state: web::Data<PagesState>,
) -> HttpResponse {
    if let Some(refusal) = refuse_foreign(&context) {
        return refusal;
    }
    let Some(identity) = &context.identity else { return see_other("/_doorward/login") };
    if !may_look_after(identity) {
        return page(StatusCode::FORBIDDEN, &ErrorPage::standard(403, &context.request_id));
    }
    let of_page = (PageForm::Account, &*form.csrf_token);
    let way = ("/_doorward/account", "Go to your account");
    if let Some(refusal) = refuse_without_secret(&context, &state, identity, of_page, way) {
        return refusal;
    }
    let (store, registry, user) = (&state.doors.store, &state.doors.registry, identity.user());
    let (door, result) = match form.kind.as_str() {
        "session" => (Door::Session, store.delete_session_by_id(user, &form.id).await),
        "token" => (Door::Token, store.delete_token(user, &form.id).await),
        _ => return page(StatusCode::BAD_REQUEST, &ErrorPage::standard(400, &context.request_id)),
    };
    if let Err(error) = result {
        tracing::error!(%error, "cannot revoke");
        return page(StatusCode::SERVICE_UNAVAILABLE, &ErrorPage::standard(503, &context.request_id));
    }
    registry.revoke_id(door, user, &form.id);
    if door == Door::Session && identity.credential_id() == form.id {
        session.purge();
        return signed_out(&state, &context);
    }
    see_other("/_doorward/account")
}

/// Whether this credential stands for the person, and not only for a part of what they may do: a token that was made for a
/// program, or only reads, must not end the others, nor may a certificate of a login.
fn may_look_after(identity: &Identity) -> bool {
    let credential = identity.credential();
    let is_part = credential.token_kind() == Some(TokenKind::Minted)
        || credential.scope().is_some()
        || credential.login().is_some();
    identity.door() != Door::None && !is_part
}

async fn gather(
    context: &PageContext,
    state: &web::Data<PagesState>,
    identity: &Identity,
) -> Result<HttpResponse, StoreError> {
    let doors = &state.doors;
    let now = doors.clock.now();
    let engine_ok = health::report(state).await.engine;
    let credential = identity.credential();
    let certificate = (state.certificate)();
    let idle = span(state.limits.idle.as_secs());
    let view = AccountPage {
        host: context.host(),
        engine_ui: state.engine_ui,
        logout_token: form::secret(state, PageForm::Logout, identity),
        csrf_token: form::secret(state, PageForm::Account, identity),
        user: identity.user().as_str(),
        groups: &identity.groups(),
        door_text: door_text(identity),
        client_certificate: client_certificate(identity, now),
        credential_id: identity.credential_id(),
        since: moment(credential.created(), now),
        expires: moment(credential.expires(), now),
        idle_text: if identity.door() == Door::Session { &idle } else { "" },
        certificate_fingerprint: certificate.as_ref().map(|(fingerprint, _)| fingerprint.as_str()),
        tokens: token_rows(doors.store.tokens_of(identity.user()).await?, now),
        sessions: session_rows(state, identity, now).await?,
        cli_lines: cli_lines(state, context, identity, certificate.is_some()),
        engine_text: if engine_ok { "The engine answers" } else { "The engine does not answer" },
        engine_ok,
    };
    Ok(page(StatusCode::OK, &view))
}

fn client_certificate(identity: &Identity, now: UnixSeconds) -> Option<ClientCertificateView> {
    let shown = identity.credential().certificate()?;
    // It was judged, so it can be read.
    let facts = CertificateFacts::of(shown.leaf()).ok()?;
    let (serial, expires) = (facts.serial_text(), moment(facts.expires, now));
    Some(ClientCertificateView { subject: facts.subject, issuer: facts.issuer, serial, expires })
}

fn door_text(identity: &Identity) -> &'static str {
    match identity.door() {
        Door::Session if identity.credential().certificate().is_some() => {
            "client certificate, exchanged for this browser's session"
        }
        Door::Basic => "password, with each request",
        Door::Certificate => "client certificate, with each connection",
        Door::None => "nothing: login is switched off",
        Door::Session => "password, in this browser",
        Door::Token => "token",
    }
}

fn token_rows(records: Vec<crate::store::TokenRecord>, now: UnixSeconds) -> Vec<TokenRow> {
    records
        .into_iter()
        .filter(|record| record.expires > now)
        .map(|record| TokenRow {
            id: record.id,
            name: record.name,
            kind: match (record.kind, record.scope) {
                (TokenKind::Login, _) => "login",
                (TokenKind::Minted, None) => "minted",
                (TokenKind::Minted, Some(Scope::Read)) => "minted, only reads",
            }
            .to_owned(),
            created: moment(record.created, now),
            last_used: record.last_used.map(|used| moment(used, now)),
            expires: moment(record.expires, now),
        })
        .collect()
}

async fn session_rows(
    state: &PagesState,
    identity: &Identity,
    now: UnixSeconds,
) -> Result<Vec<SessionRow>, StoreError> {
    let idle = i64::try_from(state.limits.idle.as_secs()).unwrap_or(i64::MAX);
    let records = state.doors.store.sessions_of(identity.user()).await?;
    Ok(records
        .into_iter()
        .filter(|record| record.expires > now && record.last_seen.saturating_add(idle) > now)
        .map(|record| SessionRow {
            current: record.key == identity.credential().key(),
            id: record.id,
            created: moment(record.created, now),
            last_seen: moment(record.last_seen, now),
            address: record.address.map(|address| address.to_string()).unwrap_or_default(),
        })
        .collect())
}

/// Lines to copy, for who has `doorward` on their machine and for who has not.
fn cli_lines(
    state: &PagesState,
    context: &PageContext,
    identity: &Identity,
    is_pinned: bool,
) -> Vec<CliBlock> {
    let block = |title: &str, text: String| CliBlock { title: title.to_owned(), text };
    // Only a plain host and port may stand in a line that people paste into a shell.
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    let authority = context.authority.as_deref().filter(|text| text.chars().all(safe)).unwrap_or("HOST:8100");
    let with_port = if has_port(authority) { authority.to_owned() } else { format!("{authority}:443") };
    let own = "docker --tlsverify --tlscacert ca.pem --tlscert cert.pem --tlskey key.pem";
    if !state.has_passwords {
        let text = format!("{own} -H tcp://{with_port} ps");
        return vec![block("Use docker with the files of your certificate", text)];
    }
    let user = identity.user().as_str();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '@');
    let user = if user.chars().all(plain) { user } else { "USER" };
    let login = format!("doorward login https://{authority} --user {user}");
    let host = with_port.rsplit_once(':').map_or(authority, |(host, _)| host);
    let docker = if state.login_ca.is_some() {
        format!("docker --context {host} ps")
    } else {
        "doorward tunnel --detach\neval \"$(doorward env)\"\ndocker ps".to_owned()
    };
    let title = if is_pinned {
        "Sign in on the command line; it shows a fingerprint, which must be this host’s"
    } else {
        "Sign in on the command line"
    };
    let ca = if is_pinned {
        format!("openssl s_client -connect {with_port} </dev/null 2>/dev/null | openssl x509 > ca.pem\n")
    } else {
        String::new()
    };
    let trust = if is_pinned { "--cacert ca.pem " } else { "" };
    let curl = format!(
        "{ca}curl {trust}-u {user} -X POST --json '{{\"name\":\"curl\"}}' https://{authority}/_doorward/api/v1/tokens"
    );
    vec![
        block(title, login),
        block("Then use docker as ever", docker),
        block("Or get a token with curl, for Authorization: Bearer", curl),
    ]
}

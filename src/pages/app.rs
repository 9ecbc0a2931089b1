//! The application: which path is answered by what.

use std::path::PathBuf;
use std::sync::Arc;

use actix_service::{IntoServiceFactory, ServiceFactory};
use actix_web::dev::AppConfig;
use actix_web::http::StatusCode;
use actix_web::{App, HttpMessage, HttpRequest, HttpResponse, web};
use futures_util::future::BoxFuture;

use crate::ca::LoginCa;
use crate::config::SessionLimits;
use crate::identity::{Devices, Shared};
use crate::pages::bridge::PageService;
use crate::pages::certificate::{self, CertificatePort};
use crate::pages::context::PageContext;
use crate::pages::readiness::Readiness;
use crate::pages::views::ErrorPage;
use crate::pages::{
    account, api, assets, certificates, device, device_answer, device_api, displaced, doctor, health, login,
    logout, refusals, sessions, tokens, welcome,
};
use crate::policy::FetchMetadata;
use crate::session::{self, StoreAdapter};

/// To a program that asks for what is not there.
const NOT_FOUND: &str = "page not found";

/// What all pages share, across threads.
pub struct PagesState {
    /// Doors, store, registry and clock.
    pub doors: Arc<Shared>,
    /// Whether the engine can be reached, for `readyz` and the account page; what is wrong is for the log.
    pub engine: Box<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>,
    /// Whether all of it works, as of the last second.
    pub readiness: Readiness,
    /// Session life times.
    pub limits: SessionLimits,
    /// Whether the engine has pages, which share our origin.
    pub engine_ui: bool,
    /// Longest life of a token.
    pub token_lifetime: std::time::Duration,
    /// The certificate's fingerprint and file, where the gateway made it itself; follows renewals.
    pub certificate: Box<dyn Fn() -> Option<(String, String)> + Send + Sync>,
    /// Whether the request log can be written.
    pub log_is_well: Box<dyn Fn() -> bool + Send + Sync>,
    /// Signs certificates for logins, where there are such.
    pub login_ca: Option<Arc<LoginCa>>,
    /// Who is in one of these groups looks after everybody's tokens and sessions.
    pub admin_groups: Vec<String>,
    /// Programs that wait for a person to let them in.
    pub devices: Devices,
    /// Whether people log in at all.
    pub has_login: bool,
    /// Whether anybody can log in with a password.
    pub has_passwords: bool,
    /// Where browsers are asked for a certificate; `None` where certificates are no login.
    pub certificate_port: Option<CertificatePort>,
    /// The state folder, where `doorward doctor` proves itself.
    pub folder: PathBuf,
}

/// Builds the application for the calling thread.
///
/// # Errors
/// If actix-web cannot build it, which it does not say more about.
pub async fn build(state: Arc<PagesState>) -> Result<PageService, anyhow::Error> {
    let doors = &state.doors;
    let for_ended = Arc::clone(doors);
    let adapter = StoreAdapter {
        store: Arc::clone(&doors.store),
        limits: state.limits,
        clock: doors.clock.clone(),
        on_ended: Arc::new(move |user, ended| displaced::cut(&for_ended, user, ended)),
    };
    let app = App::new()
        .app_data(web::Data::from(Arc::clone(&state)))
        // The causes may quote what was typed, and are not told.
        .app_data(
            web::FormConfig::default()
                .limit(refusals::MOST_BODY_BYTES)
                .error_handler(|_, request| unreadable(request, "the form cannot be read")),
        )
        .app_data(
            web::QueryConfig::default()
                .error_handler(|_, request| unreadable(request, "the query cannot be read")),
        )
        .wrap(session::middleware(adapter, &doors.cookie_key))
        .service(
            web::scope("/_doorward")
                .service(
                    web::scope("/api/v1")
                        .route("/login", web::post().to(api::login))
                        .route("/logout", web::post().to(api::logout))
                        .route("/device", web::post().to(device_api::begin))
                        .route("/device/token", web::post().to(device_api::poll))
                        .route("/whoami", web::get().to(api::whoami))
                        .route("/openapi.json", web::get().to(api::openapi))
                        .route("/tokens", web::get().to(tokens::list))
                        .route("/tokens", web::post().to(tokens::create))
                        .route("/tokens", web::delete().to(tokens::revoke_all))
                        .route("/tokens/{id}", web::delete().to(tokens::revoke))
                        .route("/certificates", web::get().to(certificates::list))
                        .route("/certificates", web::post().to(certificates::create))
                        .route("/certificates", web::delete().to(certificates::revoke_all))
                        .route("/certificates/{id}", web::delete().to(certificates::revoke))
                        .route("/sessions", web::get().to(sessions::list))
                        .route("/sessions", web::delete().to(sessions::revoke_all))
                        .route("/sessions/{id}", web::delete().to(sessions::revoke))
                        .default_service(web::to(unknown_api)),
                )
                .route("/login", web::get().to(login::show))
                .route("/login", web::post().to(login::submit))
                .route("/certificate", web::get().to(certificate::exchange))
                .route("/welcome", web::get().to(welcome::show))
                .route("/logout", web::get().to(logout::ask))
                .route("/logout", web::post().to(logout::submit))
                .route("/account", web::get().to(account::show))
                .route("/account/revoke", web::post().to(account::revoke))
                .route("/device", web::get().to(device::show))
                .route("/device", web::post().to(device::look))
                .route("/device/answer", web::post().to(device_answer::submit))
                .route("/auth", web::get().to(api::forward_auth))
                .route("/doctor", web::get().to(doctor::echo))
                .route("/healthz", web::get().to(health::alive))
                .route("/readyz", web::get().to(health::ready))
                .route("/static/{name}", web::get().to(asset))
                .default_service(web::to(unknown_page)),
        )
        .default_service(web::to(unknown_page));
    let service = IntoServiceFactory::into_factory(app)
        .new_service(AppConfig::default())
        .await
        .map_err(|()| anyhow::anyhow!("the pages cannot be built"))?;
    Ok(actix_service::boxed::service(service))
}

/// A form or query that cannot be read.
fn unreadable(request: &HttpRequest, text: &str) -> actix_web::Error {
    let response = match request.extensions().get::<PageContext>() {
        Some(context) => refuse_reader(context, StatusCode::BAD_REQUEST, text),
        None => refusals::refuse(StatusCode::BAD_REQUEST, text),
    };
    actix_web::error::InternalError::from_response("", response).into()
}

/// A page for a browser, a sentence for a program.
fn refuse_reader(context: &PageContext, status: StatusCode, text: &str) -> HttpResponse {
    if FetchMetadata::read(&context.headers).reads_pages() {
        refusals::page(status, &ErrorPage::standard(status.as_u16(), &context.request_id))
    } else {
        refusals::refuse(status, text)
    }
}

async fn asset(path: web::Path<String>) -> HttpResponse {
    match assets::find(&format!("{}{path}", assets::PREFIX)) {
        Some(asset) => HttpResponse::Ok()
            .insert_header(("content-type", asset.content_type))
            .insert_header(("cache-control", assets::CACHE_CONTROL))
            .body(asset.bytes),
        None => unknown_api().await,
    }
}

async fn unknown_api() -> HttpResponse {
    refusals::refuse(StatusCode::NOT_FOUND, NOT_FOUND)
}

/// Also for what is there for some and not for others.
pub(super) async fn unknown_page(context: PageContext) -> HttpResponse {
    refuse_reader(&context, StatusCode::NOT_FOUND, NOT_FOUND)
}

use std::sync::Arc;
use std::time::Duration;

use actix_session::Session;
use actix_web::body::BoxBody;
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{COOKIE, SET_COOKIE};
use actix_web::test::{TestRequest, init_service};
use actix_web::{App, Error, HttpResponse, web};
use http::HeaderMap;

use super::{StoreAdapter, middleware};
use crate::config::SessionLimits;
use crate::domain::{Clock, Username};
use crate::session::{CookieKey, CookieOutcome, SessionKeyText, read};
use crate::store::{MemoryStore, SessionRecord, Store};

const HOUR: i64 = 3600;

#[actix_web::test]
async fn s2_gb4_the_cookie_has_every_protection() {
    let house = House::new();
    let set = house.request("/visit", None).await.set_cookie.unwrap();
    let (pair, attributes) = set.split_once("; ").unwrap();
    assert!(pair.starts_with(&format!("{}=", house.key.names().session())), "{pair}");
    let mut attributes: Vec<&str> = attributes.split("; ").collect();
    attributes.sort_unstable();
    assert_eq!(attributes, ["HttpOnly", "Max-Age=28800", "Path=/", "SameSite=Lax", "Secure"]);
}

#[actix_web::test]
async fn the_data_plane_reads_the_cookie_that_the_pages_wrote() {
    let house = House::new();
    let cookie = house.login("bob").await;
    let record = house.record(&cookie).await.unwrap();
    assert_eq!(record.user, Some(Username::parse("bob").unwrap()));
    assert_eq!(record.groups, ["ops"]);
    assert_eq!(record.address.unwrap().to_string(), "192.0.2.1");
    assert_eq!((record.created, record.expires), (1_000_000, 1_000_000 + 8 * HOUR));
    assert_ne!(record.key, [0; 32]);
    assert_eq!(record.id.len(), 12);
}

#[actix_web::test]
async fn s10_the_key_itself_is_nowhere_in_the_record() {
    let house = House::new();
    let cookie = house.login("bob").await;
    let key = house.key(&cookie);
    let record = house.record(&cookie).await.unwrap();
    assert!(!format!("{record:?}").contains(key.expose()));
}

#[actix_web::test]
async fn s1_a_login_gets_a_fresh_key_and_the_old_one_is_dead() {
    let house = House::new();
    let before = house.visit().await;
    let after = house.request("/login/bob", Some(&before)).await.cookie().unwrap();
    assert!(house.key(&before) != house.key(&after));
    assert!(house.record(&before).await.is_none());
    assert_eq!(house.request("/who", Some(&before)).await.body, "nobody");
    assert_eq!(house.request("/who", Some(&after)).await.body, "bob");
}

#[actix_web::test]
async fn s1_a_login_that_forgets_to_renew_is_refused() {
    let house = House::new();
    let before = house.visit().await;
    let answer = house.request("/login-without-renew/bob", Some(&before)).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.body, "");
    assert_eq!(house.record(&before).await.unwrap().user, None);
}

#[actix_web::test]
async fn s7_logout_removes_the_record_and_the_cookie() {
    let house = House::new();
    let cookie = house.login("bob").await;
    let answer = house.request("/logout", Some(&cookie)).await;
    assert!(answer.set_cookie.unwrap().contains("Max-Age=0"));
    assert!(house.record(&cookie).await.is_none());
    assert_eq!(house.request("/who", Some(&cookie)).await.body, "nobody");
}

#[actix_web::test]
async fn gb4_the_absolute_end_never_moves() {
    let house = House::new();
    let cookie = house.login("bob").await;
    let end = house.record(&cookie).await.unwrap().expires;
    for _ in 0..15 {
        house.clock.advance(HOUR / 2 - 1);
        assert_eq!(house.request("/visit", Some(&cookie)).await.status, StatusCode::OK);
        assert_eq!(house.record(&cookie).await.unwrap().expires, end);
        assert_eq!(house.request("/who", Some(&cookie)).await.body, "bob");
    }
    house.clock.advance(HOUR / 2 + 15);
    assert_eq!(house.request("/who", Some(&cookie)).await.body, "nobody");
}

#[actix_web::test]
async fn s8_an_idle_session_is_over() {
    let house = House::new();
    let cookie = house.login("bob").await;
    house.clock.advance(HOUR - 1);
    assert_eq!(house.request("/who", Some(&cookie)).await.body, "bob");
    house.clock.advance(1);
    assert_eq!(house.request("/who", Some(&cookie)).await.body, "nobody");
}

#[actix_web::test]
async fn a_session_without_a_user_is_short() {
    let house = House::new();
    let cookie = house.visit().await;
    let record = house.record(&cookie).await.unwrap();
    assert_eq!(record.expires - record.created, 15 * 60);
}

#[actix_web::test]
async fn s7_a_session_revoked_during_a_request_stays_revoked() {
    let house = House::new();
    let cookie = house.login("bob").await;
    let answer = house.request("/revoke-then-write", Some(&cookie)).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(house.record(&cookie).await.is_none());
}

#[actix_web::test]
async fn a_login_with_a_name_that_is_none_is_not_saved() {
    let house = House::new();
    let answer = house.request("/login/a:b", None).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(answer.set_cookie.is_none());
}

#[actix_web::test]
async fn s9_five_tabs_that_log_in_with_one_old_cookie_all_end_logged_in() {
    let house = House::new();
    let before = house.visit().await;
    for _ in 0..5 {
        let after = house.request("/login/bob", Some(&before)).await.cookie().unwrap();
        assert_eq!(house.request("/who", Some(&after)).await.body, "bob");
    }
}

/// A small application with the real middleware.
struct House {
    adapter: StoreAdapter,
    key: CookieKey,
    clock: Clock,
}

struct Answer {
    status: StatusCode,
    set_cookie: Option<String>,
    body: String,
}

impl Answer {
    fn cookie(&self) -> Option<String> {
        self.set_cookie.as_ref()?.split(';').next().map(str::to_owned)
    }
}

impl House {
    fn new() -> Self {
        let clock = Clock::manual(1_000_000);
        let limits =
            SessionLimits { idle: Duration::from_secs(3600), absolute: Duration::from_secs(8 * 3600) };
        let adapter = StoreAdapter {
            store: Arc::new(MemoryStore::new()),
            limits,
            clock: clock.clone(),
            on_ended: Arc::new(|_, _| {}),
        };
        Self { adapter, key: CookieKey::generate().unwrap(), clock }
    }

    async fn visit(&self) -> String {
        self.request("/visit", None).await.cookie().unwrap()
    }

    async fn login(&self, name: &str) -> String {
        self.request(&format!("/login/{name}"), None).await.cookie().unwrap()
    }

    fn key(&self, cookie: &str) -> SessionKeyText {
        let mut headers = HeaderMap::new();
        headers.insert("cookie", cookie.parse().unwrap());
        match read(&headers, &self.key) {
            CookieOutcome::Key(key) => key,
            _ => panic!("no readable cookie"),
        }
    }

    async fn record(&self, cookie: &str) -> Option<SessionRecord> {
        self.adapter.store.session(self.key(cookie).hash()).await.unwrap()
    }

    async fn request(&self, path: &str, cookie: Option<&str>) -> Answer {
        let app = App::new()
            .app_data(web::Data::from(Arc::clone(&self.adapter.store)))
            .wrap(middleware(self.adapter.clone(), &self.key))
            .route("/visit", web::get().to(visit))
            .route("/login/{name}", web::get().to(login))
            .route("/login-without-renew/{name}", web::get().to(login_without_renew))
            .route("/logout", web::get().to(logout))
            .route("/revoke-then-write", web::get().to(revoke_then_write))
            .route("/who", web::get().to(who));
        let service = init_service(app).await;
        let mut request = TestRequest::get().uri(path);
        if let Some(cookie) = cookie {
            request = request.insert_header((COOKIE, cookie));
        }
        answer(service.call(request.to_request()).await).await
    }
}

async fn answer(result: Result<ServiceResponse<BoxBody>, Error>) -> Answer {
    let response = match result {
        Ok(response) => response.into_parts().1,
        Err(error) => error.error_response(),
    };
    let header = response.headers().get(SET_COOKIE).map(|value| value.to_str().unwrap().to_owned());
    let status = response.status();
    let body = actix_web::body::to_bytes(response.into_body()).await.unwrap();
    Answer { status, set_cookie: header, body: String::from_utf8(body.to_vec()).unwrap() }
}

async fn visit(session: Session) -> HttpResponse {
    // Not `update`: that does not mark the session as changed (actix-session 0.11), so nothing would be saved.
    let visits: u32 = session.get("visits").unwrap().unwrap_or_default();
    session.insert("visits", visits + 1).unwrap();
    HttpResponse::Ok().finish()
}

async fn login(session: Session, name: web::Path<String>) -> HttpResponse {
    session.renew();
    session.insert(super::USER, name.as_str()).unwrap();
    session.insert(super::GROUPS, ["ops"]).unwrap();
    session.insert(super::ADDRESS, "192.0.2.1").unwrap();
    HttpResponse::Ok().finish()
}

async fn login_without_renew(session: Session, name: web::Path<String>) -> HttpResponse {
    session.insert(super::USER, name.as_str()).unwrap();
    HttpResponse::Ok().finish()
}

async fn logout(session: Session) -> HttpResponse {
    session.purge();
    HttpResponse::Ok().finish()
}

async fn revoke_then_write(session: Session, store: web::Data<dyn Store>) -> HttpResponse {
    let bob = Username::parse("bob").unwrap();
    for record in store.sessions_of(&bob).await.unwrap() {
        store.delete_session(record.key).await.unwrap();
    }
    session.insert("late", true).unwrap();
    HttpResponse::Ok().finish()
}

async fn who(session: Session) -> String {
    session.get::<String>(super::USER).unwrap().unwrap_or_else(|| "nobody".to_owned())
}

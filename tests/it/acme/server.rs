//! A small ACME server (RFC 8555) that means it: nonces count once, signatures are checked, domains are verified by really
//! connecting, and certificates are issued. It can be told to misbehave.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;
use doorward::domain::Clock;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, IsCa, KeyPair,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::verify;

/// How the server behaves; a test changes it as it goes.
#[derive(Clone, Debug)]
pub(super) struct Behaviour {
    /// So many of the next requests are told that their nonce is stale.
    pub(super) stale_nonces: usize,
    /// The kinds of challenge on offer.
    pub(super) kinds: &'static [&'static str],
    /// New orders are refused with this error.
    pub(super) refuse: Option<(u16, &'static str)>,
    /// Certificates are for this name, whatever was asked for.
    pub(super) other_name: Option<&'static str>,
    /// What stands behind each chain of certificates.
    pub(super) behind: String,
    /// Seconds from the first to the last of a certificate's life.
    pub(super) life: i64,
    /// When a certificate should be renewed, as seconds from now.
    pub(super) window: Option<(i64, i64)>,
    /// Accounts must be bound with this key.
    pub(super) binding: Option<(&'static str, &'static [u8])>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            stale_nonces: 0,
            kinds: &["http-01", "tls-alpn-01", "dns-01"],
            refuse: None,
            other_name: None,
            behind: String::new(),
            life: 90 * 24 * 3600,
            window: None,
            binding: None,
        }
    }
}

/// What was asked of the server.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Asked {
    pub(crate) accounts: usize,
    pub(crate) contacts: Vec<String>,
    pub(crate) orders: usize,
    pub(crate) issued: usize,
    /// Kinds of the challenges that were verified.
    pub(crate) verified: Vec<String>,
    /// What orders said that they replace.
    pub(crate) replaced: Vec<String>,
}

/// A running server; ends when dropped, with the runtime that it was started on.
pub(crate) struct AcmeServer {
    state: Arc<State>,
    /// Its own certificate, in PEM form.
    pub(crate) certificate: String,
    task: tokio::task::JoinHandle<()>,
}

/// Where domains are verified, instead of ports 443 and 80 of wherever their name leads. Verification waits while a port
/// is zero.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ports {
    pub(crate) tls: u16,
    pub(crate) http: u16,
}

struct State {
    url: String,
    ports: watch::Sender<Ports>,
    clock: Clock,
    issuer: CertifiedIssuer<'static, KeyPair>,
    behaviour: Mutex<Behaviour>,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    asked: Asked,
    nonces: HashSet<String>,
    count: usize,
    /// Public keys as JWK, by the account's URL.
    accounts: HashMap<String, Value>,
    orders: HashMap<String, Order>,
}

struct Order {
    identifiers: Vec<Value>,
    replaces: Option<String>,
    token: String,
    kinds: Vec<String>,
    /// By place in the order: `None` until verified, else what was wrong, if anything.
    results: Vec<Option<(String, Result<(), String>)>>,
    certificate: Option<String>,
}

type Answer = Result<(StatusCode, Vec<(&'static str, String)>, Bytes), Problem>;

struct Problem(u16, &'static str, String);

impl AcmeServer {
    /// Listens on a port of its own.
    pub(crate) async fn start(ports: Ports, clock: &Clock) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![own.cert.der().clone()], key).unwrap();
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
        let state = Arc::new(State {
            url,
            ports: watch::Sender::new(ports),
            clock: clock.clone(),
            issuer,
            behaviour: Mutex::default(),
            books: Mutex::default(),
        });
        let task = tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(config)), Arc::clone(&state)));
        Self { state, certificate: own.cert.pem(), task }
    }

    pub(crate) fn directory(&self) -> String {
        format!("{}/directory", self.state.url)
    }

    /// The CA that clients have to trust.
    pub(crate) fn root(&self) -> CertificateDer<'static> {
        self.state.issuer.der().clone()
    }

    pub(super) fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.state.behaviour.lock().unwrap());
    }

    pub(crate) fn asked(&self) -> Asked {
        self.state.books().asked.clone()
    }

    /// Says where to verify from now on.
    pub(crate) fn look_at(&self, ports: Ports) {
        self.state.ports.send_replace(ports);
    }

    /// Forgets all accounts.
    pub(super) fn forget_accounts(&self) {
        self.state.books().accounts.clear();
    }
}

impl Drop for AcmeServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, state) = (acceptor.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(move |request| {
                let state = Arc::clone(&state);
                async move { Ok::<_, Infallible>(state.answer(request).await) }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

impl State {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }

    async fn port(&self, of: impl Fn(&Ports) -> u16) -> u16 {
        let mut ports = self.ports.subscribe();
        let known = ports.wait_for(|ports| of(ports) != 0).await.unwrap();
        of(&known)
    }

    fn behaviour(&self) -> Behaviour {
        self.behaviour.lock().unwrap().clone()
    }

    async fn answer(self: Arc<Self>, request: Request<hyper::body::Incoming>) -> Response<Full<Bytes>> {
        let answer = self.route(request).await;
        let mut response = Response::builder().header("Replay-Nonce", self.new_nonce());
        let body = match answer {
            Ok((status, headers, body)) => {
                response = response.status(status);
                for (name, value) in headers {
                    response = response.header(name, value);
                }
                body
            }
            Err(Problem(status, kind, detail)) => {
                response = response.status(status).header("Content-Type", "application/problem+json");
                let kind = format!("urn:ietf:params:acme:error:{kind}");
                Bytes::from(json!({"type": kind, "detail": detail, "status": status}).to_string())
            }
        };
        response.body(Full::new(body)).unwrap()
    }

    fn new_nonce(&self) -> String {
        let mut books = self.books();
        books.count += 1;
        let nonce = format!("nonce-{}", books.count);
        books.nonces.insert(nonce.clone());
        nonce
    }

    async fn route(self: &Arc<Self>, request: Request<hyper::body::Incoming>) -> Answer {
        let path = request.uri().path().to_owned();
        let url = format!("{}{path}", self.url);
        match (request.method().clone(), path.as_str()) {
            (Method::GET, "/directory") => return Ok(self.directory()),
            (Method::HEAD, "/new-nonce") => return Ok((StatusCode::OK, Vec::new(), Bytes::new())),
            (Method::GET, path) if path.starts_with("/renewal-info/") => return Ok(self.renewal_info()),
            _ => {}
        }
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let (account, jwk, payload) = self.open(&url, &body)?;
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match parts.as_slice() {
            ["new-account"] => self.new_account(&jwk, &payload),
            ["account", _] => {
                self.books().asked.contacts.extend(contacts(&payload));
                Ok(found(&json!({"status": "valid"})))
            }
            _ if account.is_none() => Err(Problem(400, "malformed", "this needs an account".to_owned())),
            ["new-order"] => self.new_order(&payload),
            ["order", id] => self.order(id),
            ["authorization", id, at] => self.authorization(id, at.parse().unwrap()),
            ["challenge", id, at, kind] => self.challenge(id, at.parse().unwrap(), kind, &jwk),
            ["finalize", id] => self.finalize(id, &payload),
            ["certificate", id] => self.certificate(id),
            _ => Err(Problem(404, "malformed", path.clone())),
        }
    }

    fn directory(&self) -> (StatusCode, Vec<(&'static str, String)>, Bytes) {
        let at = |name: &str| format!("{}/{name}", self.url);
        let mut directory = json!({
            "newNonce": at("new-nonce"), "newAccount": at("new-account"), "newOrder": at("new-order"),
            "meta": {"externalAccountRequired": self.behaviour().binding.is_some()},
        });
        if self.behaviour().window.is_some() {
            directory["renewalInfo"] = at("renewal-info").into();
        }
        found(&directory)
    }

    fn renewal_info(&self) -> (StatusCode, Vec<(&'static str, String)>, Bytes) {
        let (start, end) = self.behaviour().window.unwrap();
        let time =
            |seconds: i64| jiff::Timestamp::from_second(self.clock.now() + seconds).unwrap().to_string();
        let body = json!({"suggestedWindow": {"start": time(start), "end": time(end)}});
        let (status, mut headers, body) = found(&body);
        headers.push(("Retry-After", "21600".to_owned()));
        (status, headers, body)
    }

    /// Checks the signed request (RFC 8555 section 6.2): URL, nonce, signature. Gives account, key and payload.
    fn open(&self, url: &str, body: &[u8]) -> Result<(Option<String>, Value, Value), Problem> {
        let malformed = |why: &str| Problem(400, "malformed", why.to_owned());
        let text: Value = serde_json::from_slice(body).map_err(|_| malformed("no JSON"))?;
        let part = |name: &str| text[name].as_str().unwrap_or_default().to_owned();
        let protected: Value = serde_json::from_slice(&BASE64.decode(part("protected")).unwrap()).unwrap();
        if protected["url"] != url || protected["alg"] != "ES256" {
            return Err(malformed("for another address or of another kind"));
        }
        let nonce = protected["nonce"].as_str().unwrap_or_default();
        let stale = {
            let mut behaviour = self.behaviour.lock().unwrap();
            let stale = behaviour.stale_nonces > 0;
            behaviour.stale_nonces = behaviour.stale_nonces.saturating_sub(1);
            stale
        };
        if !self.books().nonces.remove(nonce) || stale {
            return Err(Problem(400, "badNonce", "try another".to_owned()));
        }
        let account = protected["kid"].as_str().map(str::to_owned);
        let jwk = match &account {
            Some(account) => self.books().accounts.get(account).cloned(),
            None => Some(protected["jwk"].clone()),
        };
        let unknown = || Problem(400, "accountDoesNotExist", "never heard of it".to_owned());
        let jwk = jwk.ok_or_else(unknown)?;
        let signed = format!("{}.{}", part("protected"), part("payload"));
        let signature = BASE64.decode(part("signature")).unwrap();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point(&jwk))
            .verify(signed.as_bytes(), &signature)
            .map_err(|_| malformed("the signature is wrong"))?;
        let payload = BASE64.decode(part("payload")).unwrap();
        let payload =
            if payload.is_empty() { Value::Null } else { serde_json::from_slice(&payload).unwrap() };
        Ok((account, jwk, payload))
    }

    fn new_account(&self, jwk: &Value, payload: &Value) -> Answer {
        if payload["termsOfServiceAgreed"] != true {
            return Err(Problem(403, "userActionRequired", "agree to the terms".to_owned()));
        }
        if let Some((kid, key)) = self.behaviour().binding {
            let url = format!("{}/new-account", self.url);
            must_be_bound(&payload["externalAccountBinding"], jwk, kid, key, &url)
                .map_err(|why| Problem(403, "externalAccountRequired", why.to_owned()))?;
        }
        let mut books = self.books();
        books.asked.accounts += 1;
        books.asked.contacts.extend(contacts(payload));
        let url = format!("{}/account/{}", self.url, books.asked.accounts);
        books.accounts.insert(url.clone(), jwk.clone());
        let (_, mut headers, body) = found(&json!({"status": "valid"}));
        headers.push(("Location", url));
        Ok((StatusCode::CREATED, headers, body))
    }

    fn new_order(&self, payload: &Value) -> Answer {
        let behaviour = self.behaviour();
        let mut books = self.books();
        books.asked.orders += 1;
        if let Some((status, kind)) = behaviour.refuse {
            return Err(Problem(status, kind, "not today".to_owned()));
        }
        let replaces = payload["replaces"].as_str().map(str::to_owned);
        books.asked.replaced.extend(replaces.clone());
        let identifiers = payload["identifiers"].as_array().unwrap().clone();
        let id = books.asked.orders.to_string();
        let order = Order {
            results: vec![None; identifiers.len()],
            identifiers,
            replaces,
            token: format!("token-{id}"),
            kinds: behaviour.kinds.iter().map(|kind| (*kind).to_owned()).collect(),
            certificate: None,
        };
        let shown = order.show(&self.url, &id);
        books.orders.insert(id.clone(), order);
        let (_, mut headers, body) = found(&shown);
        headers.push(("Location", format!("{}/order/{id}", self.url)));
        Ok((StatusCode::CREATED, headers, body))
    }

    fn order(&self, id: &str) -> Answer {
        Ok(found(&self.books().orders[id].show(&self.url, id)))
    }

    fn authorization(&self, id: &str, at: usize) -> Answer {
        Ok(found(&self.books().orders[id].show_authorization(&self.url, id, at)))
    }

    fn challenge(self: &Arc<Self>, id: &str, at: usize, kind: &str, jwk: &Value) -> Answer {
        let (domain, token) = {
            let books = self.books();
            let order = &books.orders[id];
            (order.identifiers[at]["value"].as_str().unwrap().to_owned(), format!("{}-{at}", order.token))
        };
        let wanted = format!("{token}.{}", thumbprint(jwk));
        let (state, id, kind) = (Arc::clone(self), id.to_owned(), kind.to_owned());
        let url = format!("{}/challenge/{id}/{at}/{kind}", self.url);
        let shown = json!({"type": kind, "url": url, "token": token, "status": "processing"});
        tokio::spawn(async move {
            let result = match kind.as_str() {
                "http-01" => {
                    verify::by_http(state.port(|ports| ports.http).await, &domain, &token, &wanted).await
                }
                "tls-alpn-01" => verify::by_tls(state.port(|ports| ports.tls).await, &domain, &wanted).await,
                other => Err(format!("{other} is not verified here")),
            };
            let mut books = state.books();
            books.asked.verified.extend(result.is_ok().then(|| kind.clone()));
            books.orders.get_mut(&id).unwrap().results[at] = Some((kind, result));
        });
        Ok(found(&shown))
    }

    fn finalize(&self, id: &str, payload: &Value) -> Answer {
        let behaviour = self.behaviour();
        let mut books = self.books();
        let order = books.orders.get_mut(id).unwrap();
        if order.status() != "ready" {
            return Err(Problem(403, "orderNotReady", order.status().to_owned()));
        }
        let request = BASE64.decode(payload["csr"].as_str().unwrap()).unwrap();
        let request = CertificateSigningRequestDer::from(request);
        let mut request = CertificateSigningRequestParams::from_der(&request).unwrap();
        if let Some(name) = behaviour.other_name {
            request.params.subject_alt_names =
                CertificateParams::new([name.to_owned()]).unwrap().subject_alt_names;
        }
        let time = |seconds| time::OffsetDateTime::from_unix_timestamp(seconds).unwrap();
        // As CAs do, for clients whose clocks are behind.
        request.params.not_before = time(self.clock.now() - 3600);
        request.params.not_after = time(self.clock.now() + behaviour.life);
        request.params.use_authority_key_identifier_extension = true;
        let leaf = request.signed_by(&self.issuer).unwrap();
        order.certificate = Some(format!("{}{}{}", leaf.pem(), self.issuer.pem(), behaviour.behind));
        let shown = order.show(&self.url, id);
        books.asked.issued += 1;
        Ok(found(&shown))
    }

    fn certificate(&self, id: &str) -> Answer {
        let chain = self.books().orders[id].certificate.clone().unwrap();
        let kind = vec![("Content-Type", "application/pem-certificate-chain".to_owned())];
        Ok((StatusCode::OK, kind, Bytes::from(chain)))
    }
}

impl Order {
    fn status(&self) -> &'static str {
        let failed = |result: &Option<(String, Result<(), String>)>| matches!(result, Some((_, Err(_))));
        if self.certificate.is_some() {
            "valid"
        } else if self.results.iter().any(failed) {
            "invalid"
        } else if self.results.iter().all(Option::is_some) {
            "ready"
        } else {
            "pending"
        }
    }

    fn show(&self, url: &str, id: &str) -> Value {
        let authorizations: Vec<String> =
            (0..self.identifiers.len()).map(|at| format!("{url}/authorization/{id}/{at}")).collect();
        let mut shown = json!({
            "status": self.status(), "identifiers": self.identifiers, "authorizations": authorizations,
            "finalize": format!("{url}/finalize/{id}"),
        });
        if self.certificate.is_some() {
            shown["certificate"] = format!("{url}/certificate/{id}").into();
        }
        if let Some(replaces) = &self.replaces {
            shown["replaces"] = replaces.as_str().into();
        }
        shown
    }

    fn show_authorization(&self, url: &str, id: &str, at: usize) -> Value {
        let result = &self.results[at];
        let status = |result: &Result<(), String>| if result.is_ok() { "valid" } else { "invalid" };
        let challenges = self.kinds.iter().map(|kind| {
            let mut challenge = json!({
                "type": kind, "url": format!("{url}/challenge/{id}/{at}/{kind}"),
                "token": format!("{}-{at}", self.token), "status": "pending",
            });
            if let Some((tried, result)) = result
                && tried == kind
            {
                challenge["status"] = status(result).into();
                if let Err(detail) = result {
                    let kind = "urn:ietf:params:acme:error:unauthorized";
                    challenge["error"] = json!({"type": kind, "detail": detail});
                }
            }
            challenge
        });
        let challenges: Vec<Value> = challenges.collect();
        let shown = result.as_ref().map_or("pending", |(_, result)| status(result));
        json!({"status": shown, "identifier": self.identifiers[at], "challenges": challenges})
    }
}

fn found(body: &Value) -> (StatusCode, Vec<(&'static str, String)>, Bytes) {
    let kind = vec![("Content-Type", "application/json".to_owned())];
    (StatusCode::OK, kind, Bytes::from(body.to_string()))
}

fn contacts(payload: &Value) -> Vec<String> {
    let contacts = payload["contact"].as_array().cloned().unwrap_or_default();
    contacts.iter().filter_map(|contact| contact.as_str().map(str::to_owned)).collect()
}

/// The uncompressed point (SEC 1 section 2.3.3).
fn point(jwk: &Value) -> Vec<u8> {
    let mut point = vec![4];
    for name in ["x", "y"] {
        point.extend(BASE64.decode(jwk[name].as_str().unwrap()).unwrap());
    }
    point
}

/// RFC 7638: the members that matter, sorted, without white space.
fn thumbprint(jwk: &Value) -> String {
    let text = format!(r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#, jwk["x"], jwk["y"]);
    BASE64.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()))
}

/// RFC 8555 section 7.3.4.
fn must_be_bound(binding: &Value, jwk: &Value, kid: &str, key: &[u8], url: &str) -> Result<(), &'static str> {
    let part = |name: &str| binding[name].as_str().unwrap_or_default();
    let decoded = |name: &str| BASE64.decode(part(name)).unwrap_or_default();
    let protected: Value = serde_json::from_slice(&decoded("protected")).map_err(|_| "no binding")?;
    if protected != json!({"alg": "HS256", "kid": kid, "url": url}) {
        return Err("bound with another key, or elsewhere");
    }
    if serde_json::from_slice::<Value>(&decoded("payload")).ok().as_ref() != Some(jwk) {
        return Err("another account's binding");
    }
    let signed = format!("{}.{}", part("protected"), part("payload"));
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::verify(&key, signed.as_bytes(), &decoded("signature")).map_err(|_| "the binding's key is wrong")
}

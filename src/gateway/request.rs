//! One request, from its head to its answer.

use std::borrow::Cow;
use std::cell::Cell;
use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::audit::{Closing, Line, Sink, clean};
use crate::gateway::body::GatewayBody;
use crate::gateway::host::check_host;
use crate::gateway::refuse::{drain, error, is_navigation, unauthorized};
use crate::gateway::worker::{Mode, Place, Worker};
use crate::identity::{Identity, Outcome};
use crate::listener::{Connection, Forwarded, check_framing};
use crate::pages::{self, MOST_BODY_BYTES, PageContext};
use crate::policy::{self, Target};
use crate::proxy::{self, ForwardError, TunnelReport};

/// What is known of a request before anybody is identified.
struct Facts {
    id: String,
    begun: Instant,
    client: IpAddr,
    forwarded: Forwarded,
    authority: Option<HeaderValue>,
    for_browser: bool,
    method: Method,
    place: Place,
}

/// What the log needs beside the facts.
#[derive(Default)]
struct Noted {
    identity: Option<Identity>,
    path: String,
    reason: Option<Cow<'static, str>>,
}

impl Worker {
    /// Answers one request and writes its line, also if the client leaves before there is an answer.
    pub(super) async fn answer(
        &self,
        connection: &Connection,
        place: &Place,
        request: Request<Incoming>,
    ) -> Response<GatewayBody> {
        let facts = self.facts(connection, place, &request);
        let mut entry = Entry {
            log: &self.gateway.log,
            facts: &facts,
            noted: Noted::default(),
            status: 499,
            bytes: None,
        };
        entry.noted.path = clean(request.uri().path()).into_owned();
        let mut response = match check(connection, &request) {
            Ok(target) => self.route(&facts, target, request, &mut entry.noted).await,
            Err((status, text)) => {
                entry.noted.reason = Some(Cow::Owned(text.clone()));
                let mut refusal = error(status, &text, &facts.id, facts.for_browser);
                // What follows on this connection may be read in two ways.
                refusal.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                refusal
            }
        };
        entry.status = response.status().as_u16();
        entry.bytes = http_body::Body::size_hint(response.body()).exact();
        if connection.is_http2 {
            response.headers_mut().remove(header::CONNECTION);
            // Over HTTP/1 hyper leaves the body of an answer to HEAD away, over HTTP/2 it does not.
            if facts.method == Method::HEAD && matches!(response.body(), GatewayBody::Own(_)) {
                *response.body_mut() = GatewayBody::Own(None);
            }
        }
        response
    }

    fn facts(&self, connection: &Connection, place: &Place, request: &Request<Incoming>) -> Facts {
        let headers = request.headers();
        let forwarded = self.gateway.trusted.read(connection.peer, headers);
        let named = if request.version() == Version::HTTP_2 {
            request.uri().authority().and_then(|authority| HeaderValue::try_from(authority.as_str()).ok())
        } else {
            headers.get(header::HOST).cloned()
        };
        let authority = forwarded.host.as_deref().and_then(|host| HeaderValue::try_from(host).ok()).or(named);
        Facts {
            id: self.ids.next(),
            begun: Instant::now(),
            client: forwarded.client.unwrap_or(connection.peer),
            authority,
            for_browser: is_navigation(request.method(), headers),
            method: request.method().clone(),
            place: place.clone(),
            forwarded,
        }
    }

    async fn route(
        &self,
        facts: &Facts,
        target: Target,
        request: Request<Incoming>,
        noted: &mut Noted,
    ) -> Response<GatewayBody> {
        noted.path = clean(target.path()).into_owned();
        let outcome = self.doors.identify(request.headers(), facts.client).await;
        if let Outcome::Authenticated(identity) = &outcome {
            noted.identity = Some(identity.clone());
        }
        if target.is_own() {
            return self.own(facts, &target, request, outcome, noted).await;
        }
        match outcome {
            Outcome::Authenticated(identity) => self.pass(facts, target, request, identity, noted).await,
            refused => self.turn_away(facts, &target, request, &refused, noted),
        }
    }

    /// Identified: permit and forward.
    async fn pass(
        &self,
        facts: &Facts,
        target: Target,
        mut request: Request<Incoming>,
        identity: Identity,
        noted: &mut Noted,
    ) -> Response<GatewayBody> {
        let authority = facts.authority.as_ref().and_then(|value| value.to_str().ok());
        let permit = match policy::decide(identity, target, request.method(), request.headers(), authority) {
            Ok(permit) => permit,
            Err(denied) => {
                noted.reason = Some(Cow::Owned(denied.to_string()));
                let (parts, body) = request.into_parts();
                drain(&parts.headers, body);
                return error(StatusCode::FORBIDDEN, &denied.to_string(), &facts.id, facts.for_browser);
            }
        };
        let user = permit.identity().clone();
        let has_upgrade =
            request.version() != Version::HTTP_2 && request.headers().contains_key(header::UPGRADE);
        let upgrade = has_upgrade.then(|| hyper::upgrade::on(&mut request));
        let (parts, body) = request.into_parts();
        let proto = if self.gateway.mode == Mode::Plain { "http" } else { "https" };
        let host = facts.authority.clone();
        let incoming = proxy::Incoming { parts, body, upgrade, client: facts.client, proto, host };
        let on_close = self.tunnel_end(facts, &user);
        match proxy::forward(permit, incoming, &self.pool, on_close).await {
            Ok(forwarded) => self.streamed(facts, forwarded, user),
            Err(failure) => {
                noted.reason = Some(failure_reason(&failure));
                failed(&failure, facts)
            }
        }
    }

    /// An answer of unknown length gets a closing line of its own.
    fn streamed(&self, facts: &Facts, forwarded: proxy::Forwarded, user: Identity) -> Response<GatewayBody> {
        let is_tunnel = forwarded.is_tunnel;
        forwarded.response.map(|mut body| {
            let length = http_body::Body::size_hint(&body).exact();
            if length.is_none() && !is_tunnel && self.gateway.log.is_on() {
                let (log, id, begun) = (self.gateway.log.clone(), facts.id.clone(), facts.begun);
                body.on_end(move |bytes| {
                    log.closing(&Closing {
                        time: log.time(),
                        event: "stream-end",
                        id: &id,
                        user: shown_user(&user),
                        bytes_in: None,
                        bytes_out: bytes,
                        duration_ms: millis(begun),
                        end: "closed",
                    });
                });
            }
            GatewayBody::Engine(Box::new(body))
        })
    }

    fn tunnel_end(&self, facts: &Facts, user: &Identity) -> impl FnOnce(TunnelReport) + use<> {
        let (log, id, user) = (self.gateway.log.clone(), facts.id.clone(), user.clone());
        let place = facts.place.clone();
        move |report| {
            let _until_here = place;
            log.closing(&Closing {
                time: log.time(),
                event: "tunnel-end",
                id: &id,
                user: shown_user(&user),
                bytes_in: Some(report.bytes_in),
                bytes_out: report.bytes_out,
                duration_ms: u64::try_from(report.duration.as_millis()).unwrap_or(u64::MAX),
                end: report.end,
            });
        }
    }

    /// Nobody was proven.
    fn turn_away(
        &self,
        facts: &Facts,
        target: &Target,
        request: Request<Incoming>,
        outcome: &Outcome,
        noted: &mut Noted,
    ) -> Response<GatewayBody> {
        let (parts, body) = request.into_parts();
        drain(&parts.headers, body);
        let text = match outcome {
            Outcome::Unavailable => {
                noted.reason = Some(Cow::Borrowed("the login cannot be checked"));
                let text = "the login cannot be checked right now, try again";
                let mut response = error(StatusCode::SERVICE_UNAVAILABLE, text, &facts.id, facts.for_browser);
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
                return response;
            }
            Outcome::Failed(reason) => {
                noted.reason = Some(Cow::Borrowed(reason.as_str()));
                "login failed: the credentials are wrong or no longer good, log in again"
            }
            Outcome::NotRequested | Outcome::Authenticated(_) => {
                noted.reason = Some(Cow::Borrowed("no credential"));
                "login required: this engine is behind Doorward, get a token at /_doorward/account"
            }
        };
        unauthorized(target, &parts.headers, text, &facts.id, facts.for_browser, self.pool.api_version())
    }

    /// Our own pages and API.
    async fn own(
        &self,
        facts: &Facts,
        target: &Target,
        request: Request<Incoming>,
        outcome: Outcome,
        noted: &mut Noted,
    ) -> Response<GatewayBody> {
        let (parts, body) = request.into_parts();
        let wants_body = !(parts.method == Method::GET || parts.method == Method::HEAD);
        let body = if wants_body {
            match Limited::new(body, MOST_BODY_BYTES).collect().await {
                Ok(body) => body.to_bytes(),
                Err(_) => {
                    noted.reason = Some(Cow::Borrowed("body too large or broken off"));
                    return error(
                        StatusCode::PAYLOAD_TOO_LARGE,
                        "the body is too large",
                        &facts.id,
                        facts.for_browser,
                    );
                }
            }
        } else {
            Bytes::new()
        };
        if let Outcome::Failed(reason) = &outcome {
            noted.reason = Some(Cow::Borrowed(reason.as_str()));
        }
        let identity = match outcome {
            Outcome::Authenticated(identity) => Some(identity),
            _ => None,
        };
        let context = PageContext {
            client: facts.client,
            authority: facts.authority.as_ref().and_then(|value| value.to_str().ok()).map(str::to_owned),
            identity,
            is_insecure: self.gateway.mode == Mode::Assumed
                && facts.forwarded.proto.as_deref() == Some("http"),
            is_stopping: self.gateway.stop.gentle.is_cancelled(),
            request_id: facts.id.clone(),
            headers: parts.headers,
            method: parts.method,
        };
        let is_head = context.method == Method::HEAD;
        let uri = Uri::from(target.forwarded().clone());
        let mut response = pages::call(&self.pages, &uri, context, body).await;
        if is_head {
            *response.body_mut() = Bytes::new();
        }
        response.map(GatewayBody::from)
    }
}

/// What a request must be before anybody looks at who sent it.
fn check(connection: &Connection, request: &Request<Incoming>) -> Result<Target, (StatusCode, String)> {
    let bad = |text: &str| (StatusCode::BAD_REQUEST, text.to_owned());
    let method = request.method();
    if method == Method::CONNECT || method == Method::TRACE {
        return Err((StatusCode::METHOD_NOT_ALLOWED, format!("the method {method} is not allowed here")));
    }
    if !method.as_str().bytes().all(|b| b.is_ascii_uppercase() || b == b'-') {
        return Err(bad("the method must be written in capital letters"));
    }
    check_host(request)?;
    if !connection.is_http2 {
        let checked = connection
            .head_log
            .with(|read| check_framing(request.method(), request.uri(), request.headers(), read))
            .map_err(|framing| bad(&framing.to_string()))?;
        connection.head_log.forget(checked);
    }
    let is_http2 = request.version() == Version::HTTP_2;
    Target::parse(request.uri(), is_http2).map_err(|invalid| bad(&invalid.to_string()))
}

fn failure_reason(failure: &ForwardError) -> Cow<'static, str> {
    let mut text = failure.to_string();
    let mut source = std::error::Error::source(failure);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    Cow::Owned(text)
}

/// Clients hear that it failed, the log says why.
fn failed(failure: &ForwardError, facts: &Facts) -> Response<GatewayBody> {
    match failure {
        ForwardError::Cut => {
            error(StatusCode::UNAUTHORIZED, "the login has ended", &facts.id, facts.for_browser)
        }
        ForwardError::Engine(_) => {
            error(StatusCode::BAD_GATEWAY, "the engine cannot be reached", &facts.id, facts.for_browser)
        }
        ForwardError::NoAnswer(_) | ForwardError::Unasked => {
            error(StatusCode::BAD_GATEWAY, "the engine did not answer", &facts.id, facts.for_browser)
        }
    }
}

/// Writes the line when the request is over, in whatever way.
struct Entry<'a> {
    log: &'a Sink,
    facts: &'a Facts,
    noted: Noted,
    status: u16,
    bytes: Option<u64>,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        if !self.log.is_on() {
            return;
        }
        let identity = self.noted.identity.as_ref();
        self.log.request(&Line {
            time: self.log.time(),
            event: "request",
            id: &self.facts.id,
            user: identity.and_then(shown_user),
            door: identity.map(|identity| identity.door().as_str()),
            credential: identity.map(Identity::credential_id),
            address: self.facts.client,
            method: clean(self.facts.method.as_str()),
            path: Cow::Borrowed(&self.noted.path),
            status: self.status,
            bytes: self.bytes,
            duration_ms: (self.facts.begun.elapsed().as_secs_f64() * 1e6).round() / 1e3,
            reason: self.noted.reason.as_deref(),
        });
    }
}

fn shown_user(identity: &Identity) -> Option<&str> {
    (identity.door() != crate::domain::Door::None).then(|| identity.user().as_str())
}

fn millis(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Ids for requests: a random start for each thread, then counted. They are labels, not secrets.
pub(super) struct RequestIds(Cell<u64>);

impl RequestIds {
    pub(super) fn new() -> Self {
        let mut bytes = [0_u8; 8];
        let _ = aws_lc_rs::rand::fill(&mut bytes);
        Self(Cell::new(u64::from_le_bytes(bytes)))
    }

    fn next(&self) -> String {
        let id = self.0.get().wrapping_add(1);
        self.0.set(id);
        format!("{id:016x}")
    }
}

//! One request, from its head to its answer.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use tokio::time::Instant;

use crate::audit::Closing;
use crate::domain::{ClientCertificate, add_security_headers};
use crate::gateway::body::GatewayBody;
use crate::gateway::check::{certificate, check, check_size};
use crate::gateway::entry::{Entry, Facts, Noted, RequestId, millis, shown_user};
use crate::gateway::host::named_host;
use crate::gateway::refuse::{
    denied, drain, error, failed, failure_reason, malformed, throttled, unauthorized,
};
use crate::gateway::stream;
use crate::gateway::worker::{Mode, Place, Worker};
use crate::identity::{Identity, Outcome, Reason};
use crate::listener::{BadHead, Connection, Forwarded, Proto, Unreadable, address_text};
use crate::pages;
use crate::policy::{self, FetchMetadata, Target};
use crate::proxy::{self, Incoming, TunnelReport};

impl Worker {
    /// Answers one request and writes its line, also if the client leaves before there is an answer.
    pub(super) async fn answer(
        &self,
        connection: &Connection,
        place: &Place,
        request: Request<hyper::body::Incoming>,
        framing: Result<Option<String>, BadHead>,
    ) -> Response<GatewayBody> {
        let mut incoming = Incoming::new(request, connection);
        let forwarded = self.forwarded(connection, &incoming.parts.headers);
        let (forwarded, unread) = split(forwarded);
        let trusted = &self.gateway.trusted;
        let (certificate, unclear) = split(certificate(trusted, connection, &incoming.parts, &forwarded));
        let facts = self.facts(connection, &incoming.parts, forwarded, certificate);
        let mut entry = Entry {
            log: &self.gateway.log,
            facts: &facts,
            noted: Noted::default(),
            status: 499,
            bytes: None,
        };
        entry.noted.path = incoming.parts.uri.path_and_query().cloned();
        let checked = if let Err(large) = check_size(&framing) {
            Err(large)
        } else if let Some(unread) = unread {
            // Before anything else: nobody knows whose request it is.
            Err((StatusCode::BAD_REQUEST, unread.to_string()))
        } else if !self.gateway.allowed.serves(facts.client, connection.peer) {
            Err((StatusCode::FORBIDDEN, "clients from this address are not served here".to_owned()))
        } else if let Some(malformed) = unclear {
            Err((StatusCode::BAD_REQUEST, format!("the client certificate cannot be read: {malformed}")))
        } else {
            check(&incoming.parts, framing, &facts.fetch)
                .and_then(|target| self.check_name(connection, &facts, &incoming.parts).map(|()| target))
        };
        let mut response = match checked {
            Ok(target) => {
                self.route(&facts, connection, place, target, &mut incoming, &mut entry.noted).await
            }
            Err((status, text)) => {
                entry.noted.reason = Some(Cow::Owned(text.clone()));
                malformed(status, &text, &facts)
            }
        };
        entry.status = response.status().as_u16();
        entry.bytes = http_body::Body::size_hint(response.body()).exact();
        // Here, where every answer of our own passes. An upgrade is no page.
        if response.body().is_own() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            add_security_headers(response.headers_mut());
        }
        if let Some(hsts) = &self.gateway.hsts
            && !self.is_insecure(&facts)
        {
            hsts.add(facts.authority.as_ref(), response.headers_mut());
        }
        if !connection.is_http2 && self.gateway.stop.is_draining() && entry.status != 101 {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if connection.is_http2 {
            response.headers_mut().remove(header::CONNECTION);
            // Over HTTP/1 hyper leaves the body of an answer to HEAD away, over HTTP/2 it does not.
            if facts.method == Method::HEAD && response.body().is_own() {
                *response.body_mut() = Bytes::new().into();
            }
        }
        response
    }

    /// Where nobody logs in: whether the request is for a name of this gateway. Both names count, that of this hop and the
    /// one that the terminator passes on: a page can write either, if the terminator writes only the other.
    fn check_name(
        &self,
        connection: &Connection,
        facts: &Facts,
        request: &Parts,
    ) -> Result<(), (StatusCode, String)> {
        let Some(names) = &self.gateway.server_names else { return Ok(()) };
        // No browser comes by a socket file; what does writes there the file's path, `docker` or anything.
        if connection.peer.is_unspecified() && !self.gateway.trusted.trusts(connection.peer) {
            return Ok(());
        }
        let named = [named_host(request), facts.forwarded.host.clone()];
        let tls = self.gateway.tls.as_deref();
        if named.iter().flatten().all(|name| names.answer(name, tls)) {
            return Ok(());
        }
        let text = "without a login this gateway answers to addresses, localhost and its own names only; \
                    --server-name NAME adds one";
        Err((StatusCode::MISDIRECTED_REQUEST, text.to_owned()))
    }

    /// What the terminator in front says of a request, if there is one that is believed.
    ///
    /// # Errors
    /// As [`crate::listener::TrustedProxies::read`]; the request must be refused.
    pub(super) fn forwarded(
        &self,
        connection: &Connection,
        headers: &http::HeaderMap,
    ) -> Result<Forwarded, Unreadable> {
        if connection.is_inner {
            return Ok(Forwarded::default());
        }
        self.gateway.trusted.read(connection.peer, headers)
    }

    fn facts(
        &self,
        connection: &Connection,
        request: &Parts,
        forwarded: Forwarded,
        certificate: Option<Arc<ClientCertificate>>,
    ) -> Facts {
        let headers = &request.headers;
        let authority = forwarded.host.clone().or_else(|| named_host(request));
        let fetch = FetchMetadata::read(headers);
        let is_reading = request.method == Method::GET || request.method == Method::HEAD;
        Facts {
            id: self.ids.next(),
            begun: Instant::now(),
            time: self.gateway.doors.clock.now_millis(),
            client: forwarded.client.unwrap_or(connection.peer),
            client_text: forwarded.client.map_or_else(|| connection.peer_text.clone(), address_text),
            authority,
            for_browser: is_reading && fetch.reads_pages(),
            fetch,
            method: request.method.clone(),
            certificate,
            forwarded,
        }
    }

    async fn route(
        &self,
        facts: &Facts,
        connection: &Connection,
        place: &Place,
        target: Target,
        incoming: &mut Incoming,
        noted: &mut Noted,
    ) -> Response<GatewayBody> {
        noted.path = Some(target.forwarded().clone());
        let (now, certificate) = (facts.time.div_euclid(1000), facts.certificate.as_ref());
        let outcome = match certificate {
            Some(certificate) if target.path() == pages::CERTIFICATE_PATH => {
                Box::pin(self.doors.identify_certificate(certificate, facts.client, now)).await
            }
            _ => self.doors.identify(&incoming.parts.headers, certificate, facts.client, now).await,
        };
        if let Outcome::Authenticated(identity) = &outcome {
            noted.identity = Some(identity.clone());
            // Before anything is forwarded: a body is to be read as fast as it comes.
            if let Some(share) = &connection.share {
                share.authenticate();
            }
        }
        if incoming.parts.extensions.get::<stream::Asked>().is_some() {
            return match outcome {
                Outcome::Authenticated(_) => stream::granted(),
                refused => self.turn_away(facts, connection, &target, incoming, &refused, noted),
            };
        }
        if target.is_own() {
            // Boxed: its room would else be made on every request, and it is for the few that are our own.
            return Box::pin(self.own(facts, &target, incoming, outcome, noted)).await;
        }
        match outcome {
            Outcome::Authenticated(identity) => {
                self.pass(facts, place, target, incoming, identity, noted).await
            }
            refused => self.turn_away(facts, connection, &target, incoming, &refused, noted),
        }
    }

    /// Identified: permit and forward.
    async fn pass(
        &self,
        facts: &Facts,
        place: &Place,
        target: Target,
        incoming: &mut Incoming,
        identity: Identity,
        noted: &mut Noted,
    ) -> Response<GatewayBody> {
        if !self.may_act(&incoming.parts) {
            noted.reason = Some(Cow::Borrowed("the request log cannot be written"));
            drain(incoming);
            let text = "requests that change something are refused while the gateway cannot write its log";
            return error(StatusCode::SERVICE_UNAVAILABLE, text, &facts.id.text(), facts.for_browser);
        }
        let authority = facts.authority.as_ref().and_then(|value| value.to_str().ok());
        let parts = &incoming.parts;
        let asked = policy::Asked {
            method: &parts.method,
            headers: &parts.headers,
            fetch: &facts.fetch,
            authority,
            has_body: incoming.body.as_ref().is_some_and(|body| !http_body::Body::is_end_stream(body)),
        };
        let path = (facts.for_browser && target.rest().is_none()).then(|| target.forwarded().clone());
        let permit = match policy::decide(identity, target, &asked, self.gateway.engine_ui) {
            Ok(permit) => permit,
            Err(reason) => {
                noted.reason = Some(Cow::Owned(reason.to_string()));
                drain(incoming);
                return denied(&reason, path.as_ref(), facts);
            }
        };
        let proto = if self.gateway.mode == Mode::Plain { "http" } else { "https" };
        let origin = proxy::Origin { client: &facts.client_text, proto, host: facts.authority.as_ref() };
        let on_close = || self.tunnel_end(facts.id, noted.identity.clone(), place.clone());
        match proxy::forward(permit, incoming, origin, &self.pool, on_close).await {
            Ok(forwarded) => self.streamed(facts, forwarded, noted.identity.as_ref()),
            Err(failure) => {
                noted.reason = Some(failure_reason(&failure));
                failed(&failure, facts)
            }
        }
    }

    /// While nothing can be written down, nobody changes anything (behaviour L3). Looking on is allowed, as far as it is a
    /// plain request: an upgrade may be a shell.
    fn may_act(&self, request: &Parts) -> bool {
        !self.gateway.log_required
            || self.gateway.log.is_well()
            || (request.method.is_safe() && !request.headers.contains_key(header::UPGRADE))
    }

    /// An answer of unknown length gets a closing line of its own.
    fn streamed(
        &self,
        facts: &Facts,
        forwarded: proxy::Forwarded,
        identity: Option<&Identity>,
    ) -> Response<GatewayBody> {
        let is_tunnel = forwarded.is_tunnel;
        forwarded.response.map(|mut body| {
            let length = http_body::Body::size_hint(&body).exact();
            if length.is_none() && !is_tunnel && self.gateway.log.is_on() {
                let (log, id, begun) = (self.gateway.log.clone(), facts.id.text(), facts.begun);
                let identity = identity.cloned();
                body.on_end(move |bytes| {
                    log.closing(&Closing {
                        time: log.time(),
                        event: "stream-end",
                        id: &id,
                        user: identity.as_ref().and_then(shown_user),
                        bytes_in: None,
                        bytes_out: bytes,
                        duration_ms: millis(begun),
                        end: "closed",
                    });
                });
            }
            GatewayBody::from(body)
        })
    }

    fn tunnel_end(
        &self,
        id: RequestId,
        identity: Option<Identity>,
        place: Place,
    ) -> impl FnOnce(TunnelReport) + use<> {
        let log = self.gateway.log.clone();
        move |report| {
            let _until_here = place;
            log.closing(&Closing {
                time: log.time(),
                event: "tunnel-end",
                id: &id.text(),
                user: identity.as_ref().and_then(shown_user),
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
        connection: &Connection,
        target: &Target,
        incoming: &mut Incoming,
        outcome: &Outcome,
        noted: &mut Noted,
    ) -> Response<GatewayBody> {
        // Over HTTP/2 an answer needs no drained upload to be read, and a stranger's upload nobody keeps.
        if connection.is_http2 {
            incoming.body = None;
        } else {
            drain(incoming);
        }
        let text = match outcome {
            Outcome::Unavailable => {
                noted.reason = Some(Cow::Borrowed("the login cannot be checked"));
                return unavailable(facts);
            }
            Outcome::Throttled(wait) => {
                noted.reason = Some(Cow::Borrowed("too many failures"));
                return throttled(*wait, facts);
            }
            Outcome::Failed(Reason::Contradiction) => {
                let text = "the client certificate and the session are of different people: log out, or show no certificate";
                noted.reason = Some(Cow::Borrowed(Reason::Contradiction.as_str()));
                return error(StatusCode::FORBIDDEN, text, &facts.id.text(), facts.for_browser);
            }
            // Its holder may know what is wrong with it: nothing of it is secret to them.
            Outcome::Failed(reason @ Reason::Certificate(_)) => {
                noted.reason = Some(Cow::Borrowed(reason.as_str()));
                // A login's certificate ends with it, and docker shows people nothing but this sentence.
                let way = self.gateway.pages.has_passwords.then(|| format!("; {}", self.way_in(facts)));
                Cow::Owned(format!("{}{}", reason.as_str(), way.unwrap_or_default()))
            }
            Outcome::Failed(reason) => {
                noted.reason = Some(Cow::Borrowed(reason.as_str()));
                let way = self.way_in(facts);
                Cow::Owned(format!("login failed: the credentials are wrong or no longer good; {way}"))
            }
            Outcome::NotRequested | Outcome::Authenticated(_) => {
                noted.reason = Some(Cow::Borrowed("no credential"));
                Cow::Owned(format!("login required, this engine is behind Doorward; {}", self.way_in(facts)))
            }
        };
        unauthorized(
            target,
            &incoming.parts.headers,
            &text,
            &facts.id.text(),
            // Who writes this header knows what it is for, and reads no login page.
            facts.for_browser && !incoming.parts.headers.contains_key(header::AUTHORIZATION),
            self.pool.api_version(),
        )
    }

    /// What people type next; docker shows it to them.
    fn way_in(&self, facts: &Facts) -> String {
        if !self.gateway.pages.has_passwords {
            return "show a client certificate that this gateway believes".to_owned();
        }
        // Only a plain host and port may stand in a line that people type after us.
        let plain = |text: &&str| {
            text.len() < 256 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b))
        };
        let host = facts.authority.as_ref().and_then(|value| value.to_str().ok()).filter(plain);
        let host = host.unwrap_or("HOST:8100");
        format!("run: doorward login https://{host} (then doorward tunnel, for tools without certificates)")
    }

    /// Whether the terminator says that the client came in the clear.
    pub(super) fn is_insecure(&self, facts: &Facts) -> bool {
        self.gateway.mode == Mode::Assumed && facts.forwarded.proto == Some(Proto::Http)
    }
}

fn split<T: Default, E>(read: Result<T, E>) -> (T, Option<E>) {
    match read {
        Ok(value) => (value, None),
        Err(error) => (T::default(), Some(error)),
    }
}

pub(super) fn unavailable(facts: &Facts) -> Response<GatewayBody> {
    let text = "the login cannot be checked right now, try again";
    let mut response = error(StatusCode::SERVICE_UNAVAILABLE, text, &facts.id.text(), facts.for_browser);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
    response
}

//! Request in, answer out. Takes a [`Permit`]: there is no other way to the engine.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};
use http_body::Body as _;
use hyper::upgrade::OnUpgrade;
use thiserror::Error;

use crate::domain::hijack::is_hijack;
use crate::domain::hop;
use crate::listener::{ClientIo, Connection};
use crate::policy::Permit;
use crate::proxy::body::EngineBody;
use crate::proxy::connect::EngineError;
use crate::proxy::headers::{self, Facts};
use crate::proxy::hijack;
use crate::proxy::pool::{self, Lease, Pool};
use crate::proxy::tunnel::{self, TunnelReport};
use crate::streams::{Answering, Exit, Guard, Insertion, Upload};

/// What the engine is told of a client that named no host.
const NO_HOST: HeaderValue = HeaderValue::from_static("doorward");

/// A client's request, taken apart.
pub struct Incoming {
    /// Method and headers; the target is the permit's.
    pub parts: Parts,
    /// Its body; taken out by whoever reads it.
    pub body: Option<hyper::body::Incoming>,
    /// The client's half of a change of protocol.
    pub upgrade: Option<OnUpgrade>,
    /// The client's input, and how its byte stream is had without a change of protocol.
    pub exit: Exit<ClientIo>,
    /// HTTP/1 alone has such a way.
    pub may_leave: bool,
    /// Until its answer is out.
    pub answering: Option<Answering>,
}

impl Incoming {
    /// Takes a request apart, once: all stages work on it where it is, since moving it costs more than most of them.
    #[must_use]
    pub fn new(mut request: Request<hyper::body::Incoming>, connection: &Connection) -> Self {
        // To be ignored on HTTP/1.0 (RFC 9110 section 7.8).
        let has_upgrade =
            request.version() == Version::HTTP_11 && hop::has(request.headers(), &header::UPGRADE);
        let upgrade = has_upgrade.then(|| hyper::upgrade::on(&mut request));
        let (parts, body) = request.into_parts();
        let (may_leave, exit) = (!connection.is_http2, connection.exit.clone());
        let answering = Some(exit.input.answering());
        if body.is_end_stream() {
            exit.input.is_whole();
        }
        Self { parts, body: Some(body), upgrade, exit, may_leave, answering }
    }
}

/// What the engine is told of a client.
pub struct Origin<'a> {
    /// Where the client is, as a header value.
    pub client: &'a HeaderValue,
    /// `https` or `http`.
    pub proto: &'static str,
    /// The host it asked for.
    pub host: Option<&'a HeaderValue>,
}

/// The engine's answer.
pub struct Forwarded {
    /// Head, and a body that is still coming in.
    pub response: Response<EngineBody>,
    /// Whether it became a tunnel: then its closing is reported apart.
    pub is_tunnel: bool,
}

/// Why there is no answer. All are 502 to the client, except a cut.
#[derive(Debug, Error)]
pub enum ForwardError {
    /// The engine cannot be reached.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The engine closed the connection or answered what is not HTTP.
    #[error("the engine did not answer")]
    NoAnswer(#[source] hyper::Error),
    /// The engine answered `101` to a request that did not ask to change protocol. Passed on, nobody would know any
    /// more what the connection speaks.
    #[error("the engine changed protocol unasked")]
    Unasked,
    /// The client's body broke off or was not framed as it said.
    #[error("the body of the request is broken")]
    BadBody(#[source] hyper::Error),
    /// The login ended while the request was under way.
    #[error("the login has ended")]
    Cut,
}

/// Sends a permitted request to the engine.
///
/// Sent again, once and on a new connection, only if a reused connection turned out to be closed and either nothing of
/// the request was sent, or nothing was answered and repeating it changes nothing (RFC 9112 section 9.3.1).
///
/// # Errors
/// [`ForwardError`].
pub async fn forward<F: FnOnce(TunnelReport) + 'static>(
    permit: Permit,
    incoming: &mut Incoming,
    origin: Origin<'_>,
    pool: &Rc<Pool>,
    on_close: impl FnOnce() -> F,
) -> Result<Forwarded, ForwardError> {
    let Incoming { parts, body, upgrade, exit, may_leave, answering } = incoming;
    let answering = answering.take().unwrap_or_else(|| exit.input.answering());
    let identity = permit.identity();
    let mut guard = identity.cut().guard();
    let is_hijack = is_hijack(&parts.method, permit.target().path());
    let protocol = match upgrade {
        // The engine looks at this header alone.
        Some(_) if is_hijack => parts.headers.get(header::UPGRADE).cloned(),
        Some(_) => hop::requested_upgrade(&parts.headers),
        None => None,
    };
    let asks_upgrade = protocol.is_some();
    let facts = Facts { identity, client: origin.client, proto: origin.proto, host: origin.host };
    let body = body.take().filter(|body| !body.is_end_stream());
    let has_body = body.is_some();
    let add = |headers: &mut HeaderMap| {
        headers::add_facts(headers, &facts, protocol.as_ref());
        if !hop::has(headers, &header::HOST) {
            // HTTP/1.1 demands one (RFC 9112 section 3.2), whoever came without.
            headers.insert(header::HOST, origin.host.cloned().unwrap_or(NO_HOST));
        }
    };
    headers::strip_request(&mut parts.headers);
    // What would be needed to send it a second time. It nearly never is: the client's own headers are kept, and no more.
    let own = (!has_body && parts.method.is_idempotent()).then(|| Own::of(&parts.headers));
    add(&mut parts.headers);
    if has_body && !parts.headers.contains_key(header::CONTENT_LENGTH) {
        // hyper leaves the body of a GET away unless it is told how to send it.
        parts.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let body = body.map_or_else(Upload::empty, |body| Upload::new(body, Arc::clone(&exit.input)));
    let headers = std::mem::take(&mut parts.headers);
    let mut request = Some(rebuild(&parts.method, &permit, headers, body));
    let again = own.map(|own| {
        || {
            let mut headers = own.into_map();
            add(&mut headers);
            rebuild(&parts.method, &permit, headers, Upload::empty())
        }
    });

    if is_hijack
        && !asks_upgrade
        && *may_leave
        && let Some(request) = request.take()
    {
        let on_close = on_close();
        return Box::pin(hijack::forward(request, &permit, &exit.takeover, pool, answering, on_close)).await;
    }
    let own_task = has_body || asks_upgrade;
    let rest = permit.target().rest();
    let sent = send(&mut request, again, pool, rest, own_task, &mut guard, &answering);
    let (mut response, lease) = sent.await?;
    let is_tunnel = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if is_tunnel && !asks_upgrade {
        return Err(ForwardError::Unasked);
    }
    // An answer to HEAD has no body that a browser could show, and docker reads of it what the engine said.
    let is_typeless = parts.method == Method::HEAD && !response.headers().contains_key(header::CONTENT_TYPE);
    headers::prepare_response(response.status(), response.headers_mut(), permit.answer());
    if is_typeless {
        response.headers_mut().remove(header::CONTENT_TYPE);
    }
    if is_tunnel && let Some(client_side) = upgrade.take() {
        let engine_side = hyper::upgrade::on(&mut response);
        tunnel::spawn(client_side, engine_side, permit.identity(), on_close());
    }
    let response = response.map(|body| EngineBody::new(body, lease, guard, answering));
    Ok(Forwarded { response, is_tunnel })
}

fn rebuild(method: &Method, permit: &Permit, headers: HeaderMap, body: Upload) -> Request<Upload> {
    let mut request = Request::new(body);
    *request.method_mut() = method.clone();
    *request.uri_mut() = Uri::from(permit.target().forwarded().clone());
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = headers;
    request
}

/// The client's own headers. A list: it costs less than a map.
struct Own(Vec<(HeaderName, HeaderValue)>);

impl Own {
    fn of(headers: &HeaderMap) -> Self {
        Self(headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    fn into_map(self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in self.0 {
            headers.append(name, value);
        }
        headers
    }
}

/// Takes the request out and sends it. `again` makes another like it, if it may be sent twice.
async fn send(
    request: &mut Option<Request<Upload>>,
    mut again: Option<impl FnOnce() -> Request<Upload>>,
    pool: &Rc<Pool>,
    rest: Option<&Arc<str>>,
    own_task: bool,
    guard: &mut Guard,
    answering: &Answering,
) -> Result<(Response<hyper::body::Incoming>, Lease), ForwardError> {
    // On a new connection it is known where in its bytes the target ends.
    while let Some(lease) = pool.reuse().filter(|_| rest.is_none()) {
        match try_send(request, lease, own_task, guard, answering).await {
            Ok(answer) => return Ok(answer),
            Err(Failure::Cut) => return Err(ForwardError::Cut),
            Err(Failure::Unsent) => {}
            Err(Failure::Lost(error)) => match again.take().filter(|_| !error.is_parse()) {
                Some(again) => {
                    *request = Some(again());
                    break;
                }
                None => return Err(lost(error)),
            },
        }
    }
    // Boxed, like the second attempt: most requests find a connection and never need this room.
    let insertion = rest.zip(request.as_ref()).map(|(rest, request)| behind_target(request, rest));
    let lease = Box::pin(pool.open(insertion)).await?;
    match Box::pin(try_send(request, lease, own_task, guard, answering)).await {
        Ok(answer) => {
            // An engine of another version has closed the connections to the one before it.
            pool.note_api_version(answer.0.headers());
            Ok(answer)
        }
        Err(Failure::Cut) => Err(ForwardError::Cut),
        Err(Failure::Lost(error)) => Err(lost(error)),
        Err(Failure::Unsent) => {
            Err(EngineError::Connect(std::io::ErrorKind::ConnectionAborted.into()).into())
        }
    }
}

/// Writes the rest of a target behind what hyper writes of it, `METHOD target HTTP/1.1`.
fn behind_target<B>(request: &Request<B>, rest: &Arc<str>) -> Insertion {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    Insertion::new(request.method().as_str().len() + 1 + target, Bytes::copy_from_slice(rest.as_bytes()))
}

/// hyper calls a body that we gave it, and that failed, the user's error: here that is the client's.
pub(super) fn lost(error: hyper::Error) -> ForwardError {
    if error.is_user() { ForwardError::BadBody(error) } else { ForwardError::NoAnswer(error) }
}

enum Failure {
    Cut,
    /// Sent, at least in part, and not answered.
    Lost(hyper::Error),
    /// Not a byte was sent: the request is where it was.
    Unsent,
}

async fn try_send(
    request: &mut Option<Request<Upload>>,
    mut lease: Lease,
    own_task: bool,
    guard: &mut Guard,
    answering: &Answering,
) -> Result<(Response<hyper::body::Incoming>, Lease), Failure> {
    let Some(sent) = request.take() else { return Err(Failure::Unsent) };
    if own_task {
        lease.detach();
    }
    let result = {
        let (sender, conn, output_end) = lease.parts();
        output_end.begin();
        let mut answer = pin!(sender.try_send_request(sent));
        let mut is_sent = false;
        std::future::poll_fn(|cx| {
            let quiet = &mut Context::from_waker(Waker::noop());
            // Once sent, the answer may be there already: then nobody need be woken for it.
            if conn.is_some() && std::mem::replace(&mut is_sent, true) {
                pool::advance(conn);
            }
            if answering.has_input_ended() {
                output_end.ask();
            }
            let mut polled = answer.as_mut().poll(if conn.is_some() { quiet } else { cx });
            if polled.is_pending() && conn.is_some() {
                pool::drive(conn, cx);
                polled = answer.as_mut().poll(if conn.is_some() { quiet } else { cx });
            }
            match polled {
                Poll::Ready(result) => Poll::Ready(Some(result)),
                Poll::Pending => guard.poll_fallen(cx).map(|()| None),
            }
        })
        .await
    };
    match result {
        None => Err(Failure::Cut),
        Some(Ok(response)) => Ok((response, lease)),
        Some(Err(mut error)) => match error.take_message() {
            Some(unsent) => {
                *request = Some(unsent);
                Err(Failure::Unsent)
            }
            None => Err(Failure::Lost(error.into_error())),
        },
    }
}

//! Connections to the gateway, kept for a moment between requests.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::client::{ConnectError, GatewayUrl, Login, bearer, connect};
use crate::streams::{Framed, OutputEnd, STREAM_PATH, STREAM_PROTOCOL, Upload, UpstreamIo};

/// Shorter than any terminator keeps an idle connection: one that is closed while we pick it costs a request that cannot
/// be repeated. A command of docker asks again within milliseconds.
const MOST_IDLE: Duration = Duration::from_secs(4);

/// Why there is no answer.
#[derive(Debug, Error)]
pub(super) enum SendError {
    /// No connection to the gateway.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// It speaks, but not this.
    #[error("the gateway does not speak HTTP/1.1")]
    Http(#[source] hyper::Error),
    /// It closed the connection, or the client's body broke off.
    #[error("the gateway did not answer")]
    NoAnswer(#[source] hyper::Error),
    /// It closed the connection before a byte was sent.
    #[error("the gateway closed the connection")]
    Closed,
}

#[derive(Default)]
pub(super) struct Pool {
    idle: Rc<RefCell<Vec<Idle>>>,
}

struct Idle {
    sender: SendRequest<Upload>,
    login: Rc<Login>,
    since: Instant,
}

enum Failure {
    /// Not a byte was sent.
    Unsent(Box<Request<Upload>>),
    Lost(hyper::Error),
}

impl Pool {
    /// Sends a request. It is sent again, once and on a new connection, only if a kept one turned out to be closed and
    /// either nothing was sent or repeating it changes nothing (RFC 9112 section 9.3.1).
    pub(super) async fn send(
        &self,
        mut request: Request<Upload>,
        login: &Rc<Login>,
    ) -> Result<Response<Incoming>, SendError> {
        while let Some(sender) = self.reuse(login) {
            let spare = copy(&request);
            match self.try_send(sender, request, login).await {
                Ok(response) => return Ok(response),
                Err(Failure::Unsent(unsent)) => request = *unsent,
                Err(Failure::Lost(error)) => {
                    request = spare.ok_or(SendError::NoAnswer(error))?;
                    break;
                }
            }
        }
        let sender = open(login).await?;
        self.try_send(sender, request, login).await.map_err(|failure| match failure {
            Failure::Unsent(_) => SendError::Closed,
            Failure::Lost(error) => SendError::NoAnswer(error),
        })
    }

    /// Sends a request that may change protocol, over a connection within a connection: there each direction ends on its
    /// own, whatever terminator is on the way. A gateway or a terminator that will not have it is asked as any other.
    pub(super) async fn send_for_upgrade(
        &self,
        request: Request<Upload>,
        login: &Rc<Login>,
    ) -> Result<Response<Incoming>, SendError> {
        match inner(login).await? {
            Some(mut sender) => sender.send_request(request).await.map_err(SendError::NoAnswer),
            None => self.send(request, login).await,
        }
    }

    /// Closes what has been idle for too long.
    pub(super) fn sweep(&self) {
        self.idle.borrow_mut().retain(|idle| idle.is_fresh() && !idle.sender.is_closed());
    }

    fn reuse(&self, login: &Rc<Login>) -> Option<SendRequest<Upload>> {
        loop {
            let idle = self.idle.borrow_mut().pop()?;
            // Another login, or another key that the server is known by: those connections are not this one's.
            if idle.is_fresh() && idle.sender.is_ready() && Rc::ptr_eq(&idle.login, login) {
                return Some(idle.sender);
            }
        }
    }

    async fn try_send(
        &self,
        mut sender: SendRequest<Upload>,
        request: Request<Upload>,
        login: &Rc<Login>,
    ) -> Result<Response<Incoming>, Failure> {
        match sender.try_send_request(request).await {
            Ok(response) => {
                self.keep(sender, Rc::clone(login));
                Ok(response)
            }
            Err(mut error) => Err(match error.take_message() {
                Some(unsent) => Failure::Unsent(Box::new(unsent)),
                None => Failure::Lost(error.into_error()),
            }),
        }
    }

    /// Takes the connection back once it can carry another request, which is when this one's bodies are over.
    fn keep(&self, mut sender: SendRequest<Upload>, login: Rc<Login>) {
        let pool = Rc::downgrade(&self.idle);
        tokio::task::spawn_local(async move {
            if sender.ready().await.is_ok()
                && let Some(pool) = pool.upgrade()
            {
                pool.borrow_mut().push(Idle { sender, login, since: Instant::now() });
            }
        });
    }
}

impl Idle {
    fn is_fresh(&self) -> bool {
        self.since.elapsed() < MOST_IDLE
    }
}

async fn open(login: &Login) -> Result<SendRequest<Upload>, SendError> {
    over(connect(&login.url, &login.trust).await?.stream).await
}

/// A connection within a connection; `None` if that is refused.
async fn inner(login: &Login) -> Result<Option<SendRequest<Upload>>, SendError> {
    let mut sender = open(login).await?;
    let mut request = Request::new(Upload::empty());
    *request.uri_mut() = Uri::from_static(STREAM_PATH);
    let headers = request.headers_mut();
    address(headers, login);
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(STREAM_PROTOCOL));
    let mut response = sender.send_request(request).await.map_err(SendError::NoAnswer)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(None);
    }
    let upgraded = hyper::upgrade::on(&mut response).await.map_err(SendError::NoAnswer)?;
    over(Framed::new(TokioIo::new(upgraded))).await.map(Some)
}

async fn over(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> Result<SendRequest<Upload>, SendError> {
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(256 * 1024)
        .handshake(TokioIo::new(UpstreamIo::new(stream, OutputEnd::default(), None)))
        .await
        .map_err(SendError::Http)?;
    let connection = connection.with_upgrades();
    tokio::task::spawn_local(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = &error as &dyn std::error::Error, "a connection to the gateway ended");
        }
    });
    Ok(sender)
}

/// Writes whom a request is for, and whose it is.
pub(super) fn address(headers: &mut HeaderMap, login: &Login) {
    headers.insert(header::AUTHORIZATION, bearer(&login.token));
    // A terminator chooses by it; docker writes "docker" or nothing when it speaks to a socket.
    if let Ok(host) = HeaderValue::try_from(host(&login.url)) {
        headers.insert(header::HOST, host);
    }
}

/// Without a port that goes without saying, as browsers write it: terminators compare texts.
pub(super) fn host(url: &GatewayUrl) -> String {
    let authority = url.authority();
    let usual = if url.is_secure() { ":443" } else { ":80" };
    authority.strip_suffix(usual).map(str::to_owned).unwrap_or(authority)
}

/// A second copy of a request that can be repeated.
fn copy(request: &Request<Upload>) -> Option<Request<Upload>> {
    if !request.method().is_idempotent() || !http_body::Body::is_end_stream(request.body()) {
        return None;
    }
    let mut copy = Request::new(Upload::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

//! One thread's connections to the engine.
//!
//! A connection that carries no request body is driven by the very task that waits for its answer: no task of its own,
//! no wake-up across tasks. One that uploads, or will become a tunnel, gets a task, so that both directions flow
//! whatever the client reads.
//!
//! The two ends of such a connection would wake that one task for what it is doing already: once for each message that
//! one end hands to the other, and once more, when the next task takes the connection, the one that had it before. So
//! they are polled with a waker that does nothing ([`Lease::advance`]) as long as there is something to be had, and with
//! the task's own ([`Lease::drive`]) only to wait for the engine.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use http::HeaderName;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;

use crate::proxy::connect::{Connector, EngineError, EngineStream};
use crate::streams::{Insertion, OutputEnd, Upload, UpstreamIo};

/// Idle connections kept by each thread.
const MOST_IDLE: usize = 64;
/// How often [`Pool::sweep`] is to be called: age is counted in sweeps, so that a request need not look at the clock.
pub const SWEEP: Duration = Duration::from_secs(5);
/// Sweeps that a connection may stay idle for. 15 to 20 seconds are shorter than what common servers allow, so that they
/// rarely close one while we pick it.
const MOST_SWEEPS: u32 = 4;

/// `Api-Version`, as the engine says it.
static API_VERSION: HeaderName = HeaderName::from_static("api-version");

/// A connection as hyper drives it, for who needs more than to drive it.
pub(super) type HttpConnection = http1::Connection<TokioIo<UpstreamIo<EngineStream>>, Upload>;

pub(super) type Conn = Pin<Box<dyn Future<Output = hyper::Result<()>>>>;

/// A thread's pool. Never shared: no lock.
pub struct Pool {
    connector: Connector,
    idle: RefCell<Vec<Idle>>,
    /// `Api-Version` as the engine last said it; clients want it on our own refusals too.
    api_version: RefCell<Option<http::HeaderValue>>,
    sweeps: Cell<u32>,
}

struct Idle {
    sender: SendRequest<Upload>,
    conn: Option<Conn>,
    output_end: OutputEnd,
    /// Number of the sweep before which it was put back.
    since: u32,
}

/// A connection in use.
pub struct Lease {
    sender: SendRequest<Upload>,
    /// `None` once a task of its own drives it.
    conn: Option<Conn>,
    output_end: OutputEnd,
    pool: Rc<Pool>,
}

impl Pool {
    /// An empty pool.
    #[must_use]
    pub fn new(connector: Connector) -> Rc<Self> {
        Rc::new(Self {
            connector,
            idle: RefCell::default(),
            api_version: RefCell::default(),
            sweeps: Cell::new(0),
        })
    }

    /// What the engine last said its API version is.
    #[must_use]
    pub fn api_version(&self) -> Option<http::HeaderValue> {
        self.api_version.borrow().clone()
    }

    /// Notes the engine's API version from an answer.
    pub fn note_api_version(&self, headers: &http::HeaderMap) {
        if let Some(version) = headers.get(&API_VERSION)
            && self.api_version.borrow().as_ref() != Some(version)
        {
            *self.api_version.borrow_mut() = Some(version.clone());
        }
    }

    /// An idle connection that is still good, if there is one.
    pub fn reuse(self: &Rc<Self>) -> Option<Lease> {
        loop {
            let mut idle = self.idle.borrow_mut().pop()?;
            if self.is_old(&idle) {
                continue;
            }
            // One that is ready is used as it is: if the engine has closed it, the first step of sending finds out before a
            // byte is written.
            if !idle.sender.is_ready() {
                advance(&mut idle.conn);
            }
            if idle.sender.is_ready() {
                let Idle { sender, conn, output_end, .. } = idle;
                return Some(Lease { sender, conn, output_end, pool: Rc::clone(self) });
            }
        }
    }

    /// A new connection; with bytes that are to be written within the first request on it.
    ///
    /// # Errors
    /// [`EngineError`] if there is none to be had.
    pub async fn open(self: &Rc<Self>, insertion: Option<Insertion>) -> Result<Lease, EngineError> {
        let (sender, conn, output_end) = self.connect(insertion).await?;
        Ok(self.lease(sender, conn, output_end))
    }

    /// A new connection of which only its user knows: nobody else gets it.
    ///
    /// # Errors
    /// As [`Pool::open`].
    pub(super) async fn connect(
        &self,
        insertion: Option<Insertion>,
    ) -> Result<(SendRequest<Upload>, HttpConnection, OutputEnd), EngineError> {
        let stream = self.connector.connect().await?;
        let output_end = OutputEnd::default();
        let (sender, conn) = http1::Builder::new()
            .max_buf_size(256 * 1024)
            .handshake(TokioIo::new(UpstreamIo::new(stream, output_end.clone(), insertion)))
            .await
            .map_err(EngineError::Http)?;
        Ok((sender, conn, output_end))
    }

    /// Makes a connection one of the pool's.
    pub(super) fn lease(
        self: &Rc<Self>,
        sender: SendRequest<Upload>,
        conn: HttpConnection,
        output_end: OutputEnd,
    ) -> Lease {
        Lease { sender, conn: Some(Box::pin(conn.with_upgrades())), output_end, pool: Rc::clone(self) }
    }

    /// Closes what has been idle for too long.
    pub fn sweep(&self) {
        self.sweeps.set(self.sweeps.get().wrapping_add(1));
        self.idle.borrow_mut().retain_mut(|idle| {
            let was_driven_here = idle.conn.is_some();
            advance(&mut idle.conn);
            let has_ended = was_driven_here && idle.conn.is_none();
            !has_ended && !self.is_old(idle) && !idle.sender.is_closed()
        });
    }

    const fn is_old(&self, idle: &Idle) -> bool {
        self.sweeps.get().wrapping_sub(idle.since) >= MOST_SWEEPS
    }
}

/// Asks the engine once which API version it speaks, so that the very first refusal can say so.
pub async fn learn_api_version(pool: Rc<Pool>) {
    let Ok(mut lease) = pool.open(None).await else { return };
    let mut request = http::Request::new(Upload::empty());
    *request.method_mut() = http::Method::HEAD;
    *request.uri_mut() = http::Uri::from_static("/_ping");
    request.headers_mut().insert(http::header::HOST, http::HeaderValue::from_static("doorward"));
    lease.detach();
    if let Ok(response) = lease.sender.send_request(request).await {
        pool.note_api_version(response.headers());
    }
}

impl Lease {
    /// Lets the connection do its work from the calling task, which it wakes when there is more to do.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        drive(&mut self.conn, cx);
    }

    /// Lets the connection do the work that there is now, and wakes nobody for what comes later.
    pub(super) fn advance(&mut self) {
        advance(&mut self.conn);
    }

    /// Whether the calling task must drive it.
    pub(super) const fn is_driven_here(&self) -> bool {
        self.conn.is_some()
    }

    /// Its parts, to be used at once.
    pub(super) const fn parts(&mut self) -> (&mut SendRequest<Upload>, &mut Option<Conn>, &OutputEnd) {
        (&mut self.sender, &mut self.conn, &self.output_end)
    }

    /// Gives the connection a task of its own.
    pub(super) fn detach(&mut self) {
        if let Some(mut conn) = self.conn.take() {
            let output_end = self.output_end.clone();
            tokio::task::spawn_local(async move {
                let driven = std::future::poll_fn(|cx| {
                    output_end.driven_by(cx.waker());
                    conn.as_mut().poll(cx)
                });
                if let Err(error) = driven.await {
                    tracing::debug!(%error, "engine connection ended");
                }
            });
        }
    }

    /// Ends our output to the engine, as the client has ended its own; such a connection carries nothing else.
    /// `true` the first time: the connection is to be driven once more then.
    pub(super) fn end_output(&self) -> bool {
        self.output_end.ask()
    }

    /// Back into the pool, if it can carry another request.
    pub(super) fn give_back(self) {
        if self.sender.is_closed() || self.output_end.is_asked() {
            return;
        }
        let Self { sender, conn, output_end, pool } = self;
        let mut idle = pool.idle.borrow_mut();
        if idle.len() < MOST_IDLE {
            idle.push(Idle { sender, conn, output_end, since: pool.sweeps.get() });
        }
    }
}

/// See [`Lease::advance`].
pub(super) fn advance(conn: &mut Option<Conn>) {
    drive(conn, &mut Context::from_waker(Waker::noop()));
}

/// Lets a connection do its work; drops it when it is over.
pub(super) fn drive(conn: &mut Option<Conn>, cx: &mut Context<'_>) {
    if let Some(driven) = conn
        && driven.as_mut().poll(cx).is_ready()
    {
        *conn = None;
    }
}

//! One event loop's part of the gateway, and what all of them share.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use http::StatusCode;
use hyper::rt::Timer;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::mpsc;

use crate::audit::Sink;
use crate::gateway::check::check_framing;
use crate::gateway::head_timer::{self, HEAD_DEADLINE, HeadTimer};
use crate::gateway::hsts::Hsts;
use crate::gateway::lifetime::until_stop;
use crate::gateway::open_request::{Activity, IdleWatch};
use crate::gateway::stream::Wish;
use crate::gateway::timer::{self, CoarseTimer};
use crate::identity::{Doors, Shared};
use crate::listener::tls::TlsMaterial;
use crate::listener::{
    Accepted, AllowFrom, CertificateJudge, Connection, ServerNames, Share, Socket, TrustedProxies,
    UnauthenticatedBudget, accept,
};
use crate::pages::{self, PageService, PagesState};
use crate::proxy::{self, Connector, Pool};
use crate::streams::{Cut, SharedIo};

/// hyper's buffer: more than the largest head that the listener lets through.
const BUFFER_BYTES: usize = (1 << 20) + 64 * 1024;
/// Largest head over HTTP/2, as its tables count. The library must know before anybody has authenticated.
pub(super) const LINES: u32 = 32 * 1024;
/// The same of who showed a certificate that lets somebody in.
const MOST_LINES: u32 = 1 << 20;
/// Streams of one HTTP/2 connection. Resets beyond hyper's own bound end the connection (CVE-2023-44487).
const MOST_STREAMS: u32 = 128;

/// How clients reach the gateway.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// An external terminator speaks TLS: cookies are `Secure` all the same.
    Assumed,
    /// Plain HTTP, for `--no-login` only.
    Plain,
    /// The gateway speaks TLS.
    Tls,
}

/// Shared by all event loops.
pub struct Gateway {
    /// Doors, store and clock.
    pub doors: Arc<Shared>,
    /// What the pages share.
    pub pages: Arc<PagesState>,
    /// The certificate in use.
    pub tls: Option<Arc<TlsMaterial>>,
    /// How clients reach the gateway.
    pub mode: Mode,
    /// How browsers are bound to HTTPS.
    pub hsts: Option<Hsts>,
    /// Whose forwarded headers are believed.
    pub trusted: TrustedProxies,
    /// Who is served at all.
    pub allowed: AllowFrom,
    /// By which names, where nobody logs in.
    pub server_names: Option<ServerNames>,
    /// What connections may hold that have not authenticated.
    pub budget: UnauthenticatedBudget,
    /// The way to the engine.
    pub connector: Connector,
    /// The request log.
    pub log: Sink,
    /// Whether requests that change something are refused while the log cannot be written.
    pub log_required: bool,
    /// Whether the engine has pages of its own.
    pub engine_ui: bool,
    /// The end.
    pub stop: Stop,
}

/// The end of the gateway, in two steps, and who is still inside.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// Clients are asked to go elsewhere, and served as before.
    pub drain: Cut,
    /// No new work.
    pub gentle: Cut,
    /// Whatever is still open is dropped.
    pub firm: Cut,
    inside: Arc<AtomicUsize>,
}

impl Stop {
    /// Connections that are still open.
    #[must_use]
    pub fn inside(&self) -> usize {
        self.inside.load(Ordering::Relaxed)
    }

    /// Whether clients are asked to go elsewhere, while everything goes on.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.drain.has_fallen() && !self.gentle.has_fallen()
    }

    fn enter(&self) -> Inside {
        self.inside.fetch_add(1, Ordering::Relaxed);
        Inside(Arc::clone(&self.inside))
    }
}

/// Held by whatever lives on a connection; a tunnel outlives the HTTP that it came from, and its connection counts as
/// open until then: an orderly end waits for it.
pub(super) type Place = mpsc::Sender<Infallible>;

struct Inside(Arc<AtomicUsize>);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One event loop's own things: nothing here is shared, nothing is locked.
pub struct Worker {
    pub(super) gateway: Arc<Gateway>,
    pub(super) doors: Doors,
    pub(super) pool: Rc<Pool>,
    pub(super) pages: PageService,
    pub(super) ids: super::entry::RequestIds,
    timer: CoarseTimer,
}

impl Worker {
    /// Makes a loop's worker. To be called on the loop's own thread.
    ///
    /// # Errors
    /// If the pages cannot be built.
    pub async fn new(gateway: Arc<Gateway>) -> Result<Rc<Self>, anyhow::Error> {
        let worker = Rc::new(Self {
            doors: Doors::new(Arc::clone(&gateway.doors)),
            pool: Pool::new(gateway.connector.clone()),
            pages: pages::build(Arc::clone(&gateway.pages)).await?,
            ids: super::entry::RequestIds::new(),
            timer: CoarseTimer::new(),
            gateway,
        });
        tokio::task::spawn_local(tick(Rc::downgrade(&worker)));
        tokio::task::spawn_local(sweep_pool(Rc::downgrade(&worker)));
        tokio::task::spawn_local(proxy::learn_api_version(Rc::clone(&worker.pool)));
        Ok(worker)
    }

    /// Serves one socket until it ends. `asks` says whether it came by a listener that asks for a certificate.
    pub async fn serve(self: Rc<Self>, socket: Socket, asks: bool) {
        if !self.gateway.allowed.accepts(&socket, &self.gateway.trusted) {
            return;
        }
        // No word to whom there is no room for: it would take what is not there.
        let Some(membership) = self.gateway.budget.enter() else { return };
        let _inside = self.gateway.stop.enter();
        let tls = self.gateway.tls.as_ref();
        let tls = tls.map(|material| if asks { material.current_asking() } else { material.current() });
        let challenge = self.gateway.tls.as_ref().and_then(|material| material.challenge());
        let mut firm = self.gateway.stop.firm.guard();
        let share = membership.share();
        let mut serving = std::pin::pin!(self.serve_http(socket, tls, challenge, share));
        // By hand and not by select!: this runs on every request, and a guard that waits already costs one load.
        poll_fn(|cx| {
            if firm.poll_fallen(cx).is_ready() {
                return Poll::Ready(());
            }
            if !share.is_authenticated() && share.poll_evicted(cx).is_ready() {
                // Once more: who is sending a head is told so, if that can be done at once.
                let _ = serving.as_mut().poll(cx);
                return Poll::Ready(());
            }
            serving.as_mut().poll(cx)
        })
        .await;
    }

    async fn serve_http(
        self: Rc<Self>,
        socket: Socket,
        tls: Option<Arc<rustls::ServerConfig>>,
        challenge: Option<Arc<rustls::ServerConfig>>,
        share: &Arc<Share>,
    ) {
        // Boxed: a connection may last for days, and what its handshake needed is not to.
        if let Some(accepted) = Box::pin(accept(socket, tls, challenge, share)).await {
            self.serve_accepted(accepted, true).await;
        }
    }

    /// Serves a connection within a connection; within that there is no other.
    pub(super) fn serve_inner(self: Rc<Self>, accepted: Accepted) -> Pin<Box<dyn Future<Output = ()>>> {
        // Boxed, because it is part of what it holds.
        Box::pin(self.serve_accepted(accepted, false))
    }

    /// Serves a secured connection, and waits for what outlives its HTTP.
    fn serve_accepted(self: Rc<Self>, accepted: Accepted, may_nest: bool) -> impl Future<Output = ()> {
        // Boxed, and not in a function that waits: a tunnel may last for days, and what HTTP needed is not to.
        let speaking = Box::pin(self.speak_http(accepted, may_nest));
        async move {
            let mut left = speaking.await;
            // `None` as soon as nobody holds a place any more; nobody can send.
            left.recv().await;
        }
    }

    /// A certificate that lets somebody in lets large heads in, before there was any request.
    fn certificate_judge(&self, connection: &Connection) -> Option<CertificateJudge> {
        let certificate = Arc::clone(connection.certificate.as_ref()?);
        let doors = Arc::clone(&self.gateway.doors);
        Some(Box::new(move || {
            let door = doors.certificates.as_ref();
            door.is_some_and(|door| door.trust().verify(&certificate, doors.clock.now()).is_ok())
        }))
    }

    /// Gives what tells that nobody holds a [`Place`] any more.
    async fn speak_http(self: Rc<Self>, accepted: Accepted, may_nest: bool) -> mpsc::Receiver<Infallible> {
        let Accepted { io, connection } = accepted;
        let (peer, is_http2) = (connection.peer, connection.is_http2);
        let exit = connection.exit.clone();
        let judge = self.certificate_judge(&connection);
        let most_lines =
            if judge.as_ref().is_some_and(|judge| is_http2 && judge()) { MOST_LINES } else { LINES };
        if let Some(judge) = judge {
            connection.head_log.judge_by(judge);
        }
        // HTTP/2 asks once for the whole connection (GOAWAY); one that comes later is served until the end.
        let Stop { drain, gentle, .. } = &self.gateway.stop;
        let stop = if is_http2 && !drain.has_fallen() { drain.guard() } else { gentle.guard() };
        let (place, left) = mpsc::channel(1);
        let held = Rc::new((connection, place));
        let timer = self.timer.clone();
        let head_timer = HeadTimer::new(&held.0, timer.clone());
        let activity = Activity::new(&held.0, timer.clone());
        let watch = IdleWatch::new(Rc::clone(&activity));
        let service = service_fn(move |mut request| {
            let (worker, held) = (Rc::clone(&self), Rc::clone(&held));
            // Here and not later: by then more may have been read.
            let framing = check_framing(&held.0, &request);
            let open = activity.begin(&request);
            let may_keep = head_timer::may_keep(&request);
            let wish = if may_nest {
                Wish::of(&worker, &held.0, &mut request)
            } else {
                // Within, no terminator has written any header: not even one's own address can make them true.
                proxy::headers::strip_identity(request.headers_mut());
                None
            };
            async move {
                let mut response = worker.answer(&held.0, &held.1, request, framing).await;
                if let Some(mut open) = open {
                    open.answered(response.body().own_bytes());
                    response.body_mut().hold(open);
                }
                if held.0.exit.takeover.begin(&response) {
                    // The answer goes out with the byte stream, and this future with HTTP.
                    return std::future::pending().await;
                }
                if may_keep {
                    head_timer::tell(&mut response, &held.0);
                }
                if let Some(wish) = wish
                    && response.status() == StatusCode::SWITCHING_PROTOCOLS
                {
                    held.0.head_log.stop();
                    wish.grant(worker, held.1.clone());
                }
                Ok::<_, Infallible>(response)
            }
        });
        let result = if is_http2 {
            let serving = http2_builder(most_lines).serve_connection(TokioIo::new(io), service);
            Box::pin(until_stop(serving, stop, watch, |serving| serving.graceful_shutdown())).await
        } else {
            // Boxed: what HTTP needs goes when a connection leaves it, and a tunnel may last for days.
            let io = SharedIo::new(io, Arc::clone(&exit.input));
            let serving =
                http1_builder(head_timer).serve_connection(TokioIo::new(io.clone()), service).with_upgrades();
            let mut serving = Box::new(serving);
            let result = until_stop(exit.serve(&mut serving, &io), stop, watch, |mut serving| {
                Pin::new(&mut **serving.connection()).graceful_shutdown();
            })
            .await;
            if exit.takeover.has_begun()
                && let Some(parts) = serving.into_parts()
            {
                exit.takeover.hand_over(&io, &parts.read_buf).await;
            }
            result
        };
        if let Err(error) = result {
            note(peer, &error);
        }
        left
    }
}

/// hyper's own bound of 100 headers stands: any other makes it allocate two tables for each request.
pub(super) fn http1_builder(timer: impl Timer + Send + Sync + 'static) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.timer(timer).header_read_timeout(HEAD_DEADLINE).max_buf_size(BUFFER_BYTES).half_close(true);
    builder
}

pub(super) fn http2_builder(most_lines: u32) -> http2::Builder<Local> {
    let mut builder = http2::Builder::new(Local);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MOST_STREAMS)
        .max_header_list_size(most_lines)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(30));
    builder
}

/// Clients come and go; only what an operator could act on is worth more than a debug line.
fn note(peer: IpAddr, error: &hyper::Error) {
    if error.is_parse() {
        tracing::info!(%peer, %error, "a request could not be read");
    } else {
        tracing::debug!(%peer, error = error as &dyn std::error::Error, "connection ended");
    }
}

async fn tick(worker: Weak<Worker>) {
    let mut tick = tokio::time::interval(timer::TICK);
    loop {
        tick.tick().await;
        let Some(worker) = worker.upgrade() else { return };
        worker.timer.tick();
    }
}

async fn sweep_pool(worker: Weak<Worker>) {
    let mut tick = tokio::time::interval(proxy::SWEEP);
    loop {
        tick.tick().await;
        let Some(worker) = worker.upgrade() else { return };
        worker.pool.sweep();
        worker.doors.sweep();
        if worker.pool.api_version().is_none() {
            proxy::learn_api_version(Rc::clone(&worker.pool)).await;
        }
    }
}

/// Runs HTTP/2's tasks on the loop that they belong to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Local;

impl<F> hyper::rt::Executor<F> for Local
where
    F: Future + 'static,
{
    fn execute(&self, task: F) {
        tokio::task::spawn_local(async move {
            task.await;
        });
    }
}

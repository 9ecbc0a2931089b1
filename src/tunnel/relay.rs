//! One request: from the socket to the gateway and back.

use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio::net::UnixStream;
use tokio::time::{Interval, MissedTickBehavior};

use super::End;
use super::access::Access;
use super::answer::{self, Body};
use super::pool::{Pool, address};
use super::program::Program;
use crate::client::Login;
use crate::domain::hijack::{RAW_STREAM, is_hijack};
use crate::domain::hop;
use crate::streams::{Direction, Exit, Raw, SharedIo, Upload, hung_up};

/// How often a stream whose client has ended its input looks whether that client is gone.
const GONE_CHECK: Duration = Duration::from_millis(300);
/// The gateway's own pages and API: the login's business, not the engine's.
const OWN: &str = "/_doorward";

pub(super) struct Relay {
    access: Rc<Access>,
    pool: Pool,
}

impl Relay {
    pub(super) fn new(access: Rc<Access>) -> Self {
        Self { access, pool: Pool::default() }
    }

    /// Closes connections that nobody needs.
    pub(super) fn sweep(&self) {
        self.pool.sweep();
    }

    /// The gateway's answer, or why there is none.
    pub(super) async fn answer(&self, request: Request<Incoming>, exit: &Exit<Program>) -> Response<Body> {
        match self.relay(request, exit).await {
            Ok(response) => response,
            Err(refusal) => answer::error(refusal.0, &refusal.1),
        }
    }

    async fn relay(
        &self,
        mut request: Request<Incoming>,
        exit: &Exit<Program>,
    ) -> Result<Response<Body>, Refusal> {
        let target = target(&request)?;
        let login = self.login()?;
        let is_hijack = is_hijack(request.method(), target.path());
        let (protocol, local) = wanted(&mut request, is_hijack);
        let (mut parts, body) = request.into_parts();
        prepare(&mut parts.headers, &login, protocol);
        let answering = exit.input.answering();
        let body = if body.is_end_stream() {
            exit.input.is_whole();
            Upload::empty()
        } else {
            Upload::new(body, Arc::clone(&exit.input))
        };
        let mut outgoing = Request::new(body);
        *outgoing.method_mut() = parts.method;
        *outgoing.uri_mut() = Uri::from(target);
        *outgoing.headers_mut() = parts.headers;

        let sent = if !matches!(local, Local::Http) {
            self.pool.send_for_upgrade(outgoing, &login).await
        } else {
            self.pool.send(outgoing, &login).await
        };
        let mut response = sent.map_err(|error| unreachable(error, &login))?;
        if response.status() == StatusCode::UNAUTHORIZED {
            self.access.doubt(&login).await;
            self.refuse_if_ended()?;
        }
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let remote = hyper::upgrade::on(&mut response);
            match local {
                Local::Http => return Err(bad_gateway("the gateway changed protocol unasked")),
                Local::Upgrade(local) => drop(tokio::task::spawn_local(carry(upgraded(local), remote))),
                Local::Raw => {
                    as_hijacked(&mut response);
                    let claimed = exit.takeover.claim();
                    drop(tokio::task::spawn_local(carry(async { claimed.await.ok() }, remote)));
                }
            }
        } else {
            hop::strip_hop_by_hop(response.headers_mut());
        }
        Ok(response.map(|body| Body::new(body, answering)))
    }

    fn login(&self) -> Result<Rc<Login>, Refusal> {
        // Not at the next look: programs that come after a logout are not to be served until then.
        self.access.look();
        self.refuse_if_ended()?;
        match self.access.login() {
            Ok(Some(login)) => Ok(login),
            Ok(None) => Err(self.over(End::LoggedOut)),
            Err(error) => Err(bad_gateway(&format!("{:#}", anyhow::Error::from(error)))),
        }
    }

    /// With the sentence that the tunnel ends with: the program that asks has a screen, the tunnel may have none.
    fn refuse_if_ended(&self) -> Result<(), Refusal> {
        self.access.ended().map_or(Ok(()), |end| Err(self.over(end)))
    }

    fn over(&self, end: End) -> Refusal {
        Refusal(StatusCode::UNAUTHORIZED, end.sentence(&self.access.url()))
    }
}

/// A status and a sentence.
struct Refusal(StatusCode, String);

fn bad_gateway(text: &str) -> Refusal {
    Refusal(StatusCode::BAD_GATEWAY, text.to_owned())
}

fn unreachable(error: super::pool::SendError, login: &Login) -> Refusal {
    bad_gateway(&format!("doorward tunnel to {}: {:#}", login.url, anyhow::Error::from(error)))
}

/// The path and query as they came. Programs that were given this socket were given the engine, not the login: with a
/// container that has it mounted, that is the difference between a command and a token of one's own.
fn target(request: &Request<Incoming>) -> Result<PathAndQuery, Refusal> {
    let refused = |text: &str| Err(Refusal(StatusCode::BAD_REQUEST, text.to_owned()));
    let Some(target) = request.uri().path_and_query() else {
        return refused("there is no path in the request");
    };
    if request.method() == Method::CONNECT {
        return refused("this is no proxy for other hosts");
    }
    if is_own(target.path()) {
        let text = "the gateway's own API is not served here; use doorward whoami, token, session or api";
        return Err(Refusal(StatusCode::FORBIDDEN, text.to_owned()));
    }
    Ok(target.clone())
}

fn is_own(path: &str) -> bool {
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    let first = decoded.split('/').find(|segment| !segment.is_empty() && *segment != ".");
    first.is_some_and(|segment| segment == OWN.trim_start_matches('/'))
}

/// First what belongs to this hop goes, then what only we may say is written.
fn prepare(headers: &mut HeaderMap, login: &Login, upgrade: Option<HeaderValue>) {
    hop::strip_hop_by_hop(headers);
    // hyper has answered it on the socket, as soon as the gateway wants the body.
    headers.remove(header::EXPECT);
    headers.remove(header::TRAILER);
    if let Some(protocol) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, protocol);
    }
    address(headers, login);
}

/// How the program's side leaves HTTP.
enum Local {
    Http,
    Upgrade(OnUpgrade),
    /// The engine hijacks without being asked.
    Raw,
}

/// What the gateway is asked for, and how the program's side follows. Of a hijack the gateway is always asked for a change of
/// protocol, which terminators carry.
fn wanted(request: &mut Request<Incoming>, is_hijack: bool) -> (Option<HeaderValue>, Local) {
    let asked =
        request.headers().get(header::UPGRADE).cloned().filter(|_| request.version() == Version::HTTP_11);
    let protocol = if is_hijack { asked.clone() } else { hop::requested_upgrade(request.headers()) };
    match protocol {
        Some(protocol) if asked.is_some() => (Some(protocol), Local::Upgrade(hyper::upgrade::on(request))),
        _ if is_hijack => (Some(HeaderValue::from_static("tcp")), Local::Raw),
        _ => (None, Local::Http),
    }
}

/// The answer that the engine gives where it was not asked for a change of protocol.
fn as_hijacked<B>(response: &mut Response<B>) {
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    hop::strip_hop_by_hop(headers);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(RAW_STREAM));
}

async fn upgraded(local: OnUpgrade) -> Option<Raw<Program>> {
    let parts = local.await.ok()?.downcast::<TokioIo<SharedIo<Program>>>().ok()?;
    Raw::leave(parts.io.inner(), &parts.read_buf)
}

/// Carries a connection that left HTTP until both directions have ended, or one side is gone.
async fn carry(local: impl Future<Output = Option<Raw<Program>>>, remote: OnUpgrade) {
    let (Some(local), Ok(remote)) = tokio::join!(local, remote) else {
        tracing::debug!("a stream did not come about");
        return;
    };
    let mut stream = Stream {
        local: local.stream.0,
        remote: TokioIo::new(remote),
        up: Direction::starting_with(&local.early),
        down: Direction::default(),
        gone_check: None,
    };
    std::future::poll_fn(|cx| stream.poll(cx)).await;
}

struct Stream {
    local: UnixStream,
    remote: TokioIo<Upgraded>,
    up: Direction,
    down: Direction,
    gone_check: Option<Interval>,
}

impl Stream {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Poll::Ready(Err(_)) = self.down.poll(cx, &mut self.remote, &mut self.local) {
            return Poll::Ready(());
        }
        if let Poll::Ready(Err(_)) = self.up.poll(cx, &mut self.local, &mut self.remote) {
            return Poll::Ready(());
        }
        if self.up.is_done() && self.down.is_done() {
            return Poll::Ready(());
        }
        if self.up.has_ended() { self.poll_gone(cx) } else { Poll::Pending }
    }

    /// An end of input says either "I have said all" or "I am gone"; only looking tells. The engine has to hear of the
    /// latter: else a command that nobody watches runs on.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let interval = self.gone_check.get_or_insert_with(|| {
            let mut interval = tokio::time::interval(GONE_CHECK);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        });
        while interval.poll_tick(cx).is_ready() {
            if hung_up(self.local.as_fd()) {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::{is_own, prepare};
    use crate::client::{GatewayUrl, Login, Secret, ServerTrust};
    use crate::tunnel::pool::host;

    fn login(url: &str) -> Login {
        Login {
            url: GatewayUrl::parse(url).unwrap(),
            user: "bob".to_owned(),
            token: Secret::parse("dwt_right".to_owned().into()).unwrap(),
            expires: 9,
            made: 0,
            trust: ServerTrust::System,
            context: None,
        }
    }

    #[test]
    fn the_login_replaces_whatever_the_client_says_of_itself() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Basic eDp5"),
            ("connection", "Authorization, Upgrade, x-hop"),
            ("x-hop", "1"),
            ("expect", "100-continue"),
            ("host", "docker"),
            ("x-registry-auth", "kept"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        prepare(&mut headers, &login("gate.example"), Some(HeaderValue::from_static("tcp")));
        let all = |name: &str| headers.get_all(name).iter().map(|v| v.to_str().unwrap()).collect::<Vec<_>>();
        assert_eq!(all("authorization"), ["Bearer dwt_right"]);
        assert_eq!(all("host"), ["gate.example:8100"]);
        assert_eq!((all("connection"), all("upgrade")), (vec!["Upgrade"], vec!["tcp"]));
        assert_eq!(all("x-registry-auth"), ["kept"]);
        assert!(!headers.contains_key("x-hop") && !headers.contains_key("expect"));
    }

    #[test]
    fn the_host_is_written_as_browsers_write_it() {
        for (url, expected) in [
            ("https://gate.example", "gate.example"),
            ("https://gate.example:8443", "gate.example:8443"),
            ("http://10.0.0.1:80", "10.0.0.1"),
            ("https://[::1]:443", "[::1]"),
        ] {
            assert_eq!(host(&GatewayUrl::parse(url).unwrap()), expected);
        }
    }

    #[test]
    fn the_gateways_own_api_is_known_in_every_spelling() {
        for path in [
            "/_doorward",
            "/_doorward/api/v1/tokens",
            "/%5fdoorward/x",
            "//_doorward/x",
            "/./_doorward",
            "/_doorward%2fapi",
        ] {
            assert!(is_own(path), "{path}");
        }
        for path in ["/", "/_ping", "/v1.41/images/_doorward/json", "/_doorwards/x"] {
            assert!(!is_own(path), "{path}");
        }
    }
}

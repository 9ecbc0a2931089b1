//! A connection within a connection, for `doorward tunnel` behind a terminator that speaks HTTP.
//!
//! Such a terminator loses what makes a hijacked connection work: HAProxy drops `Upgrade` from a request with a body,
//! nginx ends both directions when one ends. So the tunnel asks for a change of protocol where there is no body, and what
//! follows is a connection of its own ([`Framed`]) that is served as any other: each request on it is identified, judged
//! and written down. It gains nobody anything; only who is let in already may open one.

use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use crate::gateway::body::GatewayBody;
use crate::gateway::worker::{Place, Worker};
use crate::listener::{Accepted, ClientIo, Connection, HeadLog, Metered, Socket, address_text};
use crate::streams::{Direction, Exit, Framed, STREAM_PATH, STREAM_PROTOCOL};

/// Terminators take a stream that is silent for longer for a dead one; nginx begins to after a minute.
const SILENCE: Duration = Duration::from_secs(20);

/// Marks a request that asks for a connection of its own.
#[derive(Clone, Copy)]
pub(super) struct Asked;

/// What is to follow if the request is granted.
pub(super) struct Wish {
    upgrade: OnUpgrade,
    connection: Connection,
}

impl Wish {
    /// Takes note of a request that asks for it, and marks it.
    pub(super) fn of(
        worker: &Worker,
        connection: &Connection,
        request: &mut Request<Incoming>,
    ) -> Option<Box<Self>> {
        let is_asked = request.uri().path() == STREAM_PATH
            && request.method() == Method::GET
            && request.version() == Version::HTTP_11
            && !connection.is_http2
            && is_plain_upgrade(request.headers())
            && request.headers().get(header::UPGRADE).is_some_and(|protocol| protocol == STREAM_PROTOCOL);
        if !is_asked {
            return None;
        }
        // Inside nobody stands between us and the client: it is where the terminator says it is now.
        // If the terminator cannot be understood, the request is refused.
        let forwarded = worker.forwarded(connection, request.headers()).ok()?;
        let client = forwarded.client.unwrap_or(connection.peer);
        let inner = Connection {
            peer: client,
            peer_text: address_text(client),
            head_log: HeadLog::default(),
            exit: Exit::default(),
            is_inner: true,
            share: None,
            ..connection.clone()
        };
        request.extensions_mut().insert(Asked);
        // Boxed: no other request shall need its room.
        Some(Box::new(Self { upgrade: hyper::upgrade::on(request), connection: inner }))
    }

    /// Serves what follows the change of protocol until it ends.
    pub(super) fn grant(self, worker: Rc<Worker>, place: Place) {
        let mut firm = worker.gateway.stop.firm.guard();
        tokio::task::spawn_local(async move {
            let _until_here = place;
            tokio::select! {
                () = firm.fallen() => {}
                () = self.serve(worker) => {}
            }
        });
    }

    async fn serve(self, worker: Rc<Worker>) {
        let Ok((mut near, far)) = UnixStream::pair() else { return };
        let Ok(upgraded) = self.upgrade.await else { return };
        let io =
            ClientIo::plain(Metered::new(Socket::Unix(far), None), Some(self.connection.head_log.clone()));
        let mut served = worker.serve_inner(Accepted { io, connection: self.connection });
        let mut framed = Framed::new(TokioIo::new(upgraded));
        let (mut up, mut down) = (Direction::default(), Direction::default());
        let mut is_served = false;
        let mut silence = tokio::time::interval(SILENCE);
        std::future::poll_fn(|cx| {
            while silence.poll_tick(cx).is_ready() {
                if framed.say_nothing(cx).is_err() {
                    return Poll::Ready(());
                }
            }
            is_served = is_served || served.as_mut().poll(cx).is_ready();
            if let Poll::Ready(Err(_)) = down.poll(cx, &mut near, &mut framed) {
                return Poll::Ready(());
            }
            if let Poll::Ready(Err(_)) = up.poll(cx, &mut framed, &mut near) {
                return Poll::Ready(());
            }
            // Whatever else the client says, nobody would hear it.
            if is_served && down.is_done() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        // Our end of the pair goes first: what is still served sees that its client is gone, and ends in its own way.
        drop((near, framed));
        if !is_served {
            served.await;
        }
    }
}

/// Nobody in between may read what follows as something else: no body, and the hop is told of the change.
fn is_plain_upgrade(headers: &HeaderMap) -> bool {
    let says_upgrade = |value: &HeaderValue| {
        value
            .to_str()
            .is_ok_and(|text| text.split(',').any(|word| word.trim().eq_ignore_ascii_case("upgrade")))
    };
    headers.get_all(header::CONNECTION).iter().any(says_upgrade)
        && !headers.contains_key(header::TRANSFER_ENCODING)
        && headers.get(header::CONTENT_LENGTH).is_none_or(|length| length == "0")
}

/// The answer that grants it.
pub(super) fn granted() -> Response<GatewayBody> {
    let mut response = Response::new(GatewayBody::from(Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(STREAM_PROTOCOL));
    response
}

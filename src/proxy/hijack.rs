//! Routes on which the engine takes the connection over without a change of protocol (see [`crate::domain::hijack`]).
//!
//! Asked without `Upgrade`, it answers `200` without a length, and from then on both sides send bytes until they have said
//! all. So the request has a connection of its own, and as soon as that head is read HTTP ends on both sides.

use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http::{Request, Response, StatusCode, header};
use http_body::Body as _;

use crate::listener::ClientIo;
use crate::policy::Permit;
use crate::proxy::body::EngineBody;
use crate::proxy::forward::{ForwardError, Forwarded, lost};
use crate::proxy::headers;
use crate::proxy::pool::{HttpConnection, Pool};
use crate::proxy::tunnel::{self, TunnelReport};
use crate::streams::{Answering, Raw, Takeover, Upload};

/// Sends a request that the engine may take the connection over for.
///
/// # Errors
/// [`ForwardError`].
pub(super) async fn forward(
    request: Request<Upload>,
    permit: &Permit,
    client: &Takeover<ClientIo>,
    pool: &Rc<Pool>,
    answering: Answering,
    on_close: impl FnOnce(TunnelReport) + 'static,
) -> Result<Forwarded, ForwardError> {
    let mut guard = permit.identity().cut().guard();
    let (mut sender, mut conn, output_end) = pool.connect(None).await?;
    let sent = {
        let mut answer = pin!(sender.send_request(request));
        std::future::poll_fn(|cx| {
            if answering.has_input_ended() {
                output_end.ask();
            }
            // Its errors are the answer's, too.
            let _ = conn.poll_without_shutdown(cx);
            match answer.as_mut().poll(cx) {
                Poll::Ready(result) => Poll::Ready(Some(result)),
                Poll::Pending => guard.poll_fallen(cx).map(|()| None),
            }
        })
        .await
    };
    let mut response = sent.ok_or(ForwardError::Cut)?.map_err(lost)?;
    pool.note_api_version(response.headers());
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(ForwardError::Unasked);
    }
    let is_raw = is_raw(&response);
    headers::prepare_response(response.status(), response.headers_mut(), permit.answer());
    if !is_raw {
        let mut lease = pool.lease(sender, conn, output_end);
        lease.detach();
        let response = response.map(|body| EngineBody::new(body, lease, guard, answering));
        return Ok(Forwarded { response, is_tunnel: false });
    }
    let (head, mut body) = response.into_parts();
    let engine = take_back(conn, &mut body);
    let client = client.claim();
    tunnel::spawn_over(async move { Some((client.await.ok()?, engine)) }, permit.identity(), on_close);
    Ok(Forwarded { response: Response::from_parts(head, EngineBody::left(body)), is_tunnel: true })
}

/// A `200` whose body ends with the connection (RFC 9112 section 6.3, item 8).
fn is_raw<B>(response: &Response<B>) -> bool {
    response.status() == StatusCode::OK
        && !response.headers().contains_key(header::CONTENT_LENGTH)
        && !response.headers().contains_key(header::TRANSFER_ENCODING)
}

/// Takes the byte stream back, with all that was read of it: what hyper took for the begin of a body comes first.
fn take_back(conn: HttpConnection, body: &mut hyper::body::Incoming) -> Raw<crate::proxy::EngineStream> {
    let mut early = BytesMut::new();
    let quiet = &mut Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut *body).poll_frame(quiet) {
        if let Ok(data) = frame.into_data() {
            early.extend_from_slice(&data);
        }
    }
    let parts = conn.into_parts();
    early.extend_from_slice(&parts.read_buf);
    Raw { stream: parts.io.into_inner().into_stream(), early: Bytes::from(early) }
}

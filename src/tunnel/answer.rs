//! Answers that do not come from the gateway.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::{Frame, SizeHint};
use http_body_util::{Either, Full};
use hyper::body::Incoming;

use crate::domain::add_security_headers;
use crate::streams::Answering;

/// The gateway's body on its way, or our own.
pub(super) struct Body {
    bytes: Either<Incoming, Full<Bytes>>,
    /// For as long as it is not out, the client may have ended its input.
    _answering: Option<Answering>,
}

impl Body {
    pub(super) const fn new(incoming: Incoming, answering: Answering) -> Self {
        Self { bytes: Either::Left(incoming), _answering: Some(answering) }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.bytes {
            Either::Left(incoming) => Pin::new(incoming).poll_frame(cx),
            Either::Right(full) => Pin::new(full).poll_frame(cx).map_err(|never| match never {}),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.bytes.size_hint()
    }
}

/// An error in the engine's own form. With a charset behind the content type, the docker CLI would print raw JSON.
pub(super) fn error(status: StatusCode, text: &str) -> Response<Body> {
    let body = serde_json::json!({ "message": text }).to_string();
    let mut response = Response::new(Body { bytes: Either::Right(Full::from(body)), _answering: None });
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    add_security_headers(response.headers_mut());
    response
}

//! Answers that do not come from the gateway.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{Either, Full};
use hyper::body::Incoming;

use crate::domain::add_security_headers;

/// The gateway's body on its way, or our own.
pub(super) type Body = Either<Incoming, Full<Bytes>>;

/// An error in the engine's own form. With a charset behind the content type, the docker CLI would print raw JSON.
pub(super) fn error(status: StatusCode, text: &str) -> Response<Body> {
    let body = serde_json::json!({ "message": text }).to_string();
    let mut response = Response::new(Either::Right(Full::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    add_security_headers(response.headers_mut());
    response
}

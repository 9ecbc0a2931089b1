//! What a request must be before anybody looks at who sent it.

use http::{Method, Request, StatusCode, Version};
use hyper::body::Incoming;

use crate::gateway::host::check_host;
use crate::listener::{Connection, check_framing};
use crate::policy::Target;

/// Refuses what could be read in two ways, and gives the target in its one meaning.
///
/// # Errors
/// The status and the sentence to refuse it with.
pub(super) fn check(
    connection: &Connection,
    request: &Request<Incoming>,
) -> Result<Target, (StatusCode, String)> {
    let bad = |text: &str| (StatusCode::BAD_REQUEST, text.to_owned());
    let method = request.method();
    if method == Method::CONNECT || method == Method::TRACE {
        return Err((StatusCode::METHOD_NOT_ALLOWED, format!("the method {method} is not allowed here")));
    }
    if !method.as_str().bytes().all(|b| b.is_ascii_uppercase() || b == b'-') {
        return Err(bad("the method must be written in capital letters"));
    }
    check_host(request)?;
    if !connection.is_http2 {
        let checked = connection
            .head_log
            .with(|read| check_framing(request.method(), request.uri(), request.headers(), read))
            .map_err(|framing| bad(&framing.to_string()))?;
        connection.head_log.forget(checked);
    }
    let is_http2 = request.version() == Version::HTTP_2;
    Target::parse(request.uri(), is_http2).map_err(|invalid| bad(&invalid.to_string()))
}
